"""The store: records, their tree and the writer's own state, committed together or not at all.

Who owns what: each log has one writer, which owns its rows, its tiles and its line in `ledger_logs`; the state table is
shared by the writers, which keep to keys of their own. Everything of one `append` is one transaction, so a writer that
dies at any point left either all of it or nothing, and whoever repeats an `append` gets the indexes of the first time.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import sqlalchemy as sa

from ledger import canonical as form
from ledger import search as searching
from ledger import verify as verifying
from ledger.database import Claim, Database
from ledger.errors import LedgerOpenError
from ledger.record import SALT_BYTES, Record, commitment, envelope
from ledger.tables import LOGS, RECORDS, STATE, TILES, from_column, to_column
from ledger.tree import HASH_BYTES, TILE_WIDTH, Frontier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ledger.search import Entry

_NO_STATE: Final[Mapping[str, str | None]] = {}
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class Head:
    """How far a log has grown.

    Attributes:
        log: name.
        size: number of records.
        root: root of the tree over them.
    """

    log: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A record ready to be committed; its bytes are made before the transaction begins."""

    record: Record
    body: str
    canonical: bytes


class Ledger:
    """An open ledger. Its methods block and may be called from any thread.

    Made by `open_ledger`; to be closed, or used in a `with`.
    """

    def __init__(self, database: Database, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._database = database
        self._random = random
        self._claims: dict[str, Claim] = {}
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives up the logs that this ledger writes and closes its connections."""
        with self._writing:
            for log in list(self._claims):
                self._claims.pop(log).release()
            self._database.close()

    def claim(self, log: str = "main") -> None:
        """Takes the right to write a log, as the first `append` otherwise does; call it at start to fail early.

        Raises:
            LedgerBusyError: another process, or another open ledger, writes this log.
            LedgerError: the name is none, or the ledger is open for reading only.
        """
        with self._writing:
            self._claimed(log)

    def append(
        self,
        records: Sequence[Record],
        *,
        log: str = "main",
        source_state: Mapping[str, str | None] = _NO_STATE,
    ) -> list[int]:
        """Commits records, in their order, together with the caller's state, in one transaction.

        When it returns, everything is on the disk. When it raises, either nothing is, or (the connection broke while
        committing) all of it; in both cases repeating the call is right, since ids that are there are not added again.

        Args:
            records: what to append; a record whose id the ledger has already, in any log, is left out.
            log: the log to append to.
            source_state: keys to set, or with None to delete.

        Returns:
            For each record its index in its log, also for those that were there.

        Raises:
            LedgerBusyError: another process writes this log.
            RecordError: a body is no JSON; nothing was committed.
            sqlalchemy.exc.DBAPIError: the database failed.
        """
        prepared = [_prepare(record) for record in records]
        with self._writing:
            claim = self._claimed(log)
            try:
                return self._commit(claim.connection, prepared, log, source_state)
            except sa.exc.IntegrityError:
                # The writer of another log committed one of these ids meanwhile; now it is visible.
                return self._commit(claim.connection, prepared, log, source_state)
            except sa.exc.DBAPIError:
                # Whatever the connection has become: the next append claims the log anew.
                self._claims.pop(log).release()
                raise

    def state(self, key: str) -> str | None:
        """Returns what a writer stored under the key, or None."""
        with self._database.reader.connect() as connection:
            return from_column(connection.scalar(sa.select(STATE.c.value).where(STATE.c.key == to_column(key))))

    def states(self, prefix: str) -> dict[str, str]:
        """Returns all state whose key starts with the prefix, sorted by key."""
        start = to_column(prefix)
        query = sa.select(STATE.c.key, STATE.c.value).where(sa.func.substr(STATE.c.key, 1, len(start)) == start)
        with self._database.reader.connect() as connection:
            found = {from_column(row.key): from_column(row.value) for row in connection.execute(query)}
        return dict(sorted(found.items()))

    def heads(self) -> list[Head]:
        """Returns every log with its size and root, by name."""
        with self._database.reader.connect() as connection:
            rows = connection.execute(sa.select(LOGS.c.name, LOGS.c.size, LOGS.c.root).order_by(LOGS.c.name))
            return [Head(row.name, row.size, bytes(row.root)) for row in rows]

    def get(self, record_id: str) -> Entry:
        """Returns the record with an id.

        Raises:
            UnknownRecordError: there is none.
        """
        with self._database.reader.connect() as connection:
            return searching.get(connection, record_id)

    def search(  # noqa: PLR0913 - one keyword for each condition
        self,
        *,
        person: str | None = None,
        room: str | None = None,
        kind: str | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        feature: str | None = None,
        decision: str | None = None,
        log: str | None = None,
        limit: int | None = 100,
        after: str | None = None,
    ) -> list[Entry]:
        """Returns the records that fit all conditions, in the order in which the ledger got them.

        Args:
            person: MXID of the actor or the subject, or the name in it before the colon.
            room: room id.
            kind: one kind.
            since: earliest time, in milliseconds since the epoch.
            until: first time that is too late.
            text: occurs in some string of the body, upper and lower case alike.
            feature: `feature` of the body.
            decision: `decision` of the body.
            log: name of a log.
            limit: at most so many; None for all.
            after: only what came after the record with this id (the last one of the page before).

        Raises:
            UnknownRecordError: no record has the id `after`.
        """
        wanted = searching.Query(
            person=person,
            room=room,
            kind=kind,
            since=since,
            until=until,
            text=text,
            feature=feature,
            decision=decision,
            log=log,
        )
        with self._database.reader.connect() as connection:
            return list(searching.run(connection, wanted, limit=limit, after=after))

    def verify(self) -> verifying.Report:
        """Recomputes everything from the stored records and names every fault; see `ledger.verify`."""
        with self._database.reader.connect() as connection:
            return verifying.verify(connection)

    def prove(self, record_id: str) -> dict[str, Any]:
        """Returns the proof that a record is in its log, as JSON; `ledger.proof.check` verifies it offline.

        Raises:
            UnknownRecordError: there is no such record.
        """
        with self._database.reader.connect() as connection:
            return verifying.prove(connection, record_id)

    def _claimed(self, log: str) -> Claim:
        if log not in self._claims:
            self._claims[log] = self._database.claim(log)
        return self._claims[log]

    def _commit(
        self,
        connection: sa.Connection,
        prepared: Sequence[_Prepared],
        log: str,
        source_state: Mapping[str, str | None],
    ) -> list[int]:
        with connection.begin():
            indexes = self._append(connection, prepared, log) if prepared else []
            if source_state:
                _put_state(connection, source_state)
        return indexes

    def _append(self, connection: sa.Connection, prepared: Sequence[_Prepared], log: str) -> list[int]:
        head = connection.execute(
            sa.select(LOGS.c.size, LOGS.c.frontier).where(LOGS.c.name == log).with_for_update()
        ).one_or_none()
        frontier = Frontier.from_bytes(head.size, bytes(head.frontier)) if head else Frontier()
        size = frontier.size
        indexes = _known(connection, [item.record.id for item in prepared])
        rows: list[dict[str, Any]] = []
        salts = self._random(SALT_BYTES * len(prepared))
        for number, item in enumerate(prepared):
            if item.record.id not in indexes:
                indexes[item.record.id] = size + len(rows)
                salt = salts[SALT_BYTES * number : SALT_BYTES * (number + 1)]
                rows.append(_row(item, log, size + len(rows), salt))
        if rows:
            grown = frontier.extend(row["commitment"] for row in rows)
            connection.execute(sa.insert(RECORDS), rows)
            for level, hashes in grown.items():
                _put_tiles(connection, log, level, size >> (8 * level), hashes)
            values = {"size": frontier.size, "root": frontier.root(), "frontier": frontier.to_bytes()}
            if head:
                connection.execute(sa.update(LOGS).where(LOGS.c.name == log).values(values))
            else:
                connection.execute(sa.insert(LOGS).values(name=log, **values))
        return [indexes[item.record.id] for item in prepared]


def open_ledger(url: str, *, read_only: bool = False) -> Ledger:
    """Opens a ledger, creating it or bringing its schema up to date unless it is only read.

    Args:
        url: `sqlite:///PATH` or `postgresql://…`.
        read_only: for readers beside the writer; never writes, migrates or locks.

    Raises:
        LedgerOpenError: no ledger can be opened there.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise LedgerOpenError(url, "this is no URL of a database") from error
    database = Database(parsed, read_only=read_only)
    try:
        database.prepare()
    except BaseException:
        database.close()
        raise
    return Ledger(database)


def _prepare(record: Record) -> _Prepared:
    body = form.write(record.body)
    return _Prepared(record, body.decode(), envelope(record, body))


def _row(item: _Prepared, log: str, index: int, salt: bytes) -> dict[str, Any]:
    record = item.record
    return {
        "log": log,
        "index": index,
        "id": to_column(record.id),
        "kind": to_column(record.kind),
        "time": record.time,
        "room": to_column(record.room),
        "actor": to_column(record.actor),
        "subject": to_column(record.subject),
        "body": item.body,
        "salt": salt,
        "commitment": commitment(item.canonical, salt),
    }


def _known(connection: sa.Connection, ids: Sequence[str]) -> dict[str, int]:
    """Returns the indexes of those ids that are there."""
    known: dict[str, int] = {}
    columns = [to_column(record_id) for record_id in ids]
    for start in range(0, len(columns), _CHUNK):
        chunk = columns[start : start + _CHUNK]
        query = sa.select(RECORDS.c.id, RECORDS.c.index).where(RECORDS.c.id.in_(chunk))
        known.update((from_column(row[0]), row[1]) for row in connection.execute(query))
    return known


def _put_tiles(connection: sa.Connection, log: str, level: int, start: int, hashes: list[bytes]) -> None:
    """Adds hashes to a level's tiles, of which it had `start`."""
    number, width = divmod(start, TILE_WIDTH)
    key = sa.and_(TILES.c.log == log, TILES.c.level == level)
    if width:
        own = sa.and_(key, TILES.c.number == number)
        have = bytes(connection.execute(sa.select(TILES.c.hashes).where(own)).scalar_one())
        taken = TILE_WIDTH - width
        # Cut to the width it must have: the row lock on the log makes it so, and a fault must not shift what follows.
        value = have[: width * HASH_BYTES] + b"".join(hashes[:taken])
        connection.execute(sa.update(TILES).where(own).values(hashes=value))
        number, hashes = number + 1, hashes[taken:]
    rows = [
        {
            "log": log,
            "level": level,
            "number": number + at // TILE_WIDTH,
            "hashes": b"".join(hashes[at : at + TILE_WIDTH]),
        }
        for at in range(0, len(hashes), TILE_WIDTH)
    ]
    if rows:
        connection.execute(sa.insert(TILES), rows)


def _put_state(connection: sa.Connection, state: Mapping[str, str | None]) -> None:
    keys = [{"at": to_column(key)} for key in state]
    connection.execute(sa.delete(STATE).where(STATE.c.key == sa.bindparam("at")), keys)
    rows = [{"key": to_column(key), "value": to_column(value)} for key, value in state.items() if value is not None]
    if rows:
        connection.execute(sa.insert(STATE), rows)
