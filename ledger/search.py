"""Search without a full-text index: indexed columns in the database, the rest on what they left over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from ledger import canonical as form
from ledger.errors import UnknownRecordError
from ledger.record import Record
from ledger.tables import RECORDS, from_column, to_column

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE: Final = 500
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]+")
_COLUMNS: Final = (
    RECORDS.c.position,
    RECORDS.c.log,
    RECORDS.c.index,
    RECORDS.c.id,
    RECORDS.c.kind,
    RECORDS.c.time,
    RECORDS.c.room,
    RECORDS.c.actor,
    RECORDS.c.subject,
    RECORDS.c.body,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and where it stands.

    Attributes:
        record: the record.
        log: name of its log.
        index: its place in that log, from 0.
    """

    record: Record
    log: str
    index: int

    def to_json(self) -> dict[str, Any]:
        """Returns the JSON that commands print: the contract of docs/contracts.md."""
        record = self.record
        return {
            "id": record.id,
            "log": self.log,
            "index": self.index,
            "kind": record.kind,
            "time": record.time,
            "room": record.room,
            "actor": record.actor,
            "subject": record.subject,
            "body": record.body,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; every condition that is not None must hold (see `Ledger.search`)."""

    person: str | None = None
    room: str | None = None
    kind: str | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None
    feature: str | None = None
    decision: str | None = None
    log: str | None = None


def get(connection: sa.Connection, record_id: str) -> Entry:
    """Returns the record with an id.

    Raises:
        UnknownRecordError: there is none.
    """
    row = connection.execute(sa.select(*_COLUMNS).where(RECORDS.c.id == to_column(record_id))).one_or_none()
    if row is None:
        raise UnknownRecordError(record_id)
    return entry_of(row)


def run(connection: sa.Connection, query: Query, *, limit: int | None, after: str | None) -> Iterator[Entry]:
    """Yields the records that fit, in the order in which they were committed.

    Raises:
        UnknownRecordError: no record has the id `after`.
    """
    position = 0
    if after is not None:
        found = connection.scalar(sa.select(RECORDS.c.position).where(RECORDS.c.id == to_column(after)))
        if found is None:
            raise UnknownRecordError(after)
        position = found
    statement = sa.select(*_COLUMNS).where(*_conditions(query)).order_by(RECORDS.c.position).limit(_PAGE)
    left = limit
    while left is None or left > 0:
        rows = connection.execute(statement.where(RECORDS.c.position > position)).all()
        for row in rows:
            entry = entry_of(row)
            if not _fits(query, entry.record.body):
                continue
            yield entry
            if left is not None:
                left -= 1
                if left == 0:
                    return
        if len(rows) < _PAGE:
            return
        position = rows[-1].position


def entry_of(row: Any) -> Entry:
    """Returns the entry of a row of the records table; a body that was destroyed is empty."""
    record = Record(
        from_column(row.id),
        from_column(row.kind),
        row.time,
        from_column(row.room),
        from_column(row.actor),
        from_column(row.subject),
        form.read(row.body) if row.body is not None else {},
    )
    return Entry(record, row.log, row.index)


def _conditions(query: Query) -> Iterator[sa.ColumnElement[bool]]:
    columns = RECORDS.c
    for column, value in ((columns.room, query.room), (columns.kind, query.kind), (columns.log, query.log)):
        if value is not None:
            yield column == to_column(value)
    if query.person is not None:
        yield _is_person(query.person)
    if query.since is not None:
        yield columns.time >= query.since
    if query.until is not None:
        yield columns.time < query.until
    for name, wanted in (("feature", query.feature), ("decision", query.decision)):
        if wanted is not None:
            yield columns.body.contains(f'"{name}":{form.quote(wanted)}', autoescape=True)
    if query.text:
        # Databases fold the case of ASCII alike, and of nothing else; what JSON escapes is left out as well. So the
        # longest plain part of the text finds the candidates and `_fits` decides.
        part = max(_PLAIN.findall(query.text), key=len, default="")
        yield sa.func.lower(columns.body).contains(part.lower(), autoescape=True)


def _is_person(person: str) -> sa.ColumnElement[bool]:
    columns = (RECORDS.c.actor, RECORDS.c.subject)
    if person.startswith("@"):
        return sa.or_(*(column == to_column(person) for column in columns))
    start = to_column(f"@{person}:")
    return sa.or_(*(column.startswith(start, autoescape=True) for column in columns))


def _fits(query: Query, body: Any) -> bool:
    if query.feature is not None and body.get("feature") != query.feature:
        return False
    if query.decision is not None and body.get("decision") != query.decision:
        return False
    return not query.text or _contains(body, query.text.lower())


def _contains(body: Any, wanted: str) -> bool:
    """Tells whether a string of the body, however deep, contains the text; keys do not count."""
    stack = [body]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if wanted in item.lower():
                return True
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False
