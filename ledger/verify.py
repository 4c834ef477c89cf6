"""Verification: recompute everything that the store claims, and name each fault by kind and index.

Three things are held against each other: the records (with their commitments), the tiles of the tree, and the size and
root of each log. Whoever changes one of them is named; whoever rewrites all three consistently is found only against
a root that was kept elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from ledger import proof
from ledger.compare import Leaf, compare
from ledger.errors import RecordError, UnknownRecordError
from ledger.fault import Fault
from ledger.record import SALT_BYTES, Record, commitment, envelope
from ledger.tables import LOGS, RECORDS, TILES, from_column, to_column
from ledger.tree import HASH_BYTES, TILE_WIDTH, Frontier, tile_node

if TYPE_CHECKING:
    from collections.abc import Iterator

_TILES_AT_ONCE: Final = 8
_BATCH: Final = TILE_WIDTH * _TILES_AT_ONCE
_COLUMNS: Final = (
    RECORDS.c.index,
    RECORDS.c.id,
    RECORDS.c.kind,
    RECORDS.c.time,
    RECORDS.c.room,
    RECORDS.c.actor,
    RECORDS.c.subject,
    RECORDS.c.body,
    RECORDS.c.salt,
    RECORDS.c.commitment,
)


@dataclass(slots=True)
class Report:
    """What a verification found.

    Attributes:
        logs: name -> number of records that were checked.
        faults: every fault, by log and index.
    """

    logs: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Is everything as it was committed?"""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        """Returns the report as JSON."""
        return {"ok": self.ok, "logs": self.logs, "faults": [fault.to_json() for fault in self.faults]}


def verify(connection: sa.Connection) -> Report:
    """Verifies every log of the ledger, as it stands at one moment."""
    report = Report()
    try:
        heads = {row.name: row for row in connection.execute(sa.select(LOGS))}
        names = set(connection.scalars(sa.select(RECORDS.c.log).distinct())) | heads.keys()
        for name in sorted(names):
            count, faults = _LogCheck(connection, name, heads.get(name)).run()
            report.logs[name] = count
            report.faults.extend(faults)
    except sa.exc.OperationalError:
        raise  # no answer is not an answer
    except sa.exc.DatabaseError as error:
        report.faults.append(Fault("database", "", None, str(error.orig)))
    return report


def prove(connection: sa.Connection, record_id: str) -> dict[str, Any]:
    """Returns the proof that a record is in its log, against the log's present root.

    Raises:
        UnknownRecordError: there is no such record.
        ProofError: what is stored of it proves nothing; `verify` names the fault.
    """
    query = sa.select(RECORDS.c.log, *_COLUMNS).where(RECORDS.c.id == to_column(record_id))
    row: Any = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownRecordError(record_id)
    head = connection.execute(sa.select(LOGS).where(LOGS.c.name == row.log)).one()
    cache: dict[tuple[int, int], list[bytes]] = {}

    def tile(level: int, number: int) -> list[bytes]:
        if (level, number) not in cache:
            cache[level, number] = _tiles(connection, row.log, level, number, 1)
        return cache[level, number]

    canonical_bytes = _canonical(row)
    if canonical_bytes is None:
        message = f"the record {record_id} is damaged or destroyed"
        raise proof.ProofError(message)
    return proof.build(
        log=row.log,
        index=row.index,
        size=head.size,
        root=bytes(head.root),
        canonical_bytes=canonical_bytes,
        salt=bytes(row.salt),
        node=lambda height, number: tile_node(height, number, tile),
    )


class _LogCheck:
    """The check of one log: a quick pass, and a slow comparison only where that found something."""

    def __init__(self, connection: sa.Connection, log: str, head: Any) -> None:
        self._connection = connection
        self._log = log
        self._head = head
        self._faults: list[Fault] = []

    def run(self) -> tuple[int, list[Fault]]:
        """Returns the number of records and the faults."""
        frontier = Frontier()
        in_step = True
        upper: dict[int, list[bytes]] = {}
        for rows in self._batches():
            start = frontier.size
            grown = frontier.extend(self._check_record(row) for row in rows)
            tiles = _tiles(self._connection, self._log, 0, start // TILE_WIDTH, _TILES_AT_ONCE)
            in_step = in_step and tiles[: len(rows)] == grown[0]
            in_step = in_step and all(row.index == start + offset for offset, row in enumerate(rows))
            for level, hashes in grown.items():
                if level:
                    upper.setdefault(level, []).extend(hashes)
        if self._head is None:
            self._fault("inserted", 0, f"{frontier.size} records of a log that the ledger does not know")
            return frontier.size, self._faults
        agrees = frontier.size == self._head.size and frontier.root() == bytes(self._head.root)
        if not (in_step and agrees):
            self._explain(agrees=agrees)
        elif frontier.to_bytes() != bytes(self._head.frontier):
            self._fault("tree", None, "the stored frontier is not that of the records")
        if agrees:
            self._check_upper_tiles(upper)
        return frontier.size, sorted(self._faults, key=lambda fault: (fault.index is None, fault.index or 0))

    def _check_record(self, row: Any) -> bytes:
        """Returns the record's commitment, and notes a fault if it is not that of the record."""
        committed = bytes(row.commitment) if isinstance(row.commitment, bytes | memoryview) else b""
        canonical_bytes = _canonical(row)
        if canonical_bytes is None:
            self._fault("altered", row.index, f"record {row.id!s} is no record any more")
        elif commitment(canonical_bytes, bytes(row.salt)) != committed:
            self._fault("altered", row.index, f"record {row.id!s} is not what was committed")
        return committed

    def _explain(self, *, agrees: bool) -> None:
        """Says what is wrong with the sequence, by comparing it with the tiles."""
        tiles = _tiles(self._connection, self._log, 0, 0, None)
        frontier = Frontier()
        frontier.extend_leaves(tiles)
        if agrees:
            first = self._first_difference(tiles)
            self._fault("tree", first, "the tiles or the numbering differ from records that lead to the root")
            return
        if frontier.size != self._head.size or frontier.root() != bytes(self._head.root):
            self._fault("tree", None, "neither the records nor the tiles lead to the log's size and root")
        altered = {fault.index for fault in self._faults if fault.kind == "altered"}
        leaves = [
            Leaf(row.index, leaf) for rows in self._batches() for row, leaf in zip(rows, _leaves(rows), strict=True)
        ]
        for kind, index, detail in compare(leaves, tiles):
            if not (kind == "altered" and index in altered):
                self._fault(kind, index, detail)

    def _first_difference(self, tiles: list[bytes]) -> int | None:
        position = 0
        for rows in self._batches():
            for row, leaf in zip(rows, _leaves(rows), strict=True):
                if row.index != position or position >= len(tiles) or tiles[position] != leaf:
                    return position
                position += 1
        return None

    def _check_upper_tiles(self, upper: dict[int, list[bytes]]) -> None:
        levels = self._connection.scalars(sa.select(TILES.c.level).where(TILES.c.log == self._log).distinct())
        for level in sorted({*levels, *upper} - {0}):
            if _tiles(self._connection, self._log, level, 0, None) != upper.get(level, []):
                self._fault("tree", None, f"the tiles of level {level} are not those of the records")

    def _batches(self) -> Iterator[list[Any]]:
        """Yields all rows of the log by index, in full batches but for the last."""
        last: int | None = None
        while True:
            query = sa.select(*_COLUMNS).where(RECORDS.c.log == self._log).order_by(RECORDS.c.index).limit(_BATCH)
            rows: list[Any] = list(
                self._connection.execute(query if last is None else query.where(RECORDS.c.index > last))
            )
            if rows:
                yield rows
            if len(rows) < _BATCH:
                return
            last = rows[-1].index

    def _fault(self, kind: str, index: int | None, detail: str) -> None:
        self._faults.append(Fault(kind, self._log, index, detail))


def _leaves(rows: list[Any]) -> list[bytes]:
    return Frontier().extend(bytes(row.commitment) for row in rows)[0]


def _canonical(row: Any) -> bytes | None:
    """Returns the canonical bytes of a stored record from its columns, or None if they make no record."""
    try:
        if len(row.salt) != SALT_BYTES:
            return None
        record = Record(
            from_column(row.id),
            from_column(row.kind),
            row.time,
            from_column(row.room),
            from_column(row.actor),
            from_column(row.subject),
        )
        return envelope(record, row.body.encode())
    except (RecordError, TypeError, ValueError, AttributeError):
        return None


def _tiles(connection: sa.Connection, log: str, level: int, first: int, count: int | None) -> list[bytes]:
    """Returns the hashes of some neighbouring tiles, one behind the other."""
    query = sa.select(TILES.c.hashes).where(TILES.c.log == log, TILES.c.level == level, TILES.c.number >= first)
    if count is not None:
        query = query.where(TILES.c.number < first + count)
    joined = b"".join(bytes(hashes) for hashes in connection.scalars(query.order_by(TILES.c.number)))
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]
