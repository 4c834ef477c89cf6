"""Whatever is done to a stored ledger is found and named."""

from __future__ import annotations

import sqlite3

import pytest

from ledger.record import Record
from ledger.store import Ledger, open_ledger

SIZE = 600
TAMPERING: dict[str, tuple[str, list[tuple[str, int | None]]]] = {
    "body": ("UPDATE ledger_records SET body = replace(body, 'no', 'ok') WHERE \"index\" = 7", [("altered", 7)]),
    "actor": ("UPDATE ledger_records SET actor = '@eve:a' WHERE \"index\" = 7", [("altered", 7)]),
    "null": ('UPDATE ledger_records SET room = NULL WHERE "index" = 7', [("altered", 7)]),
    "time": ("UPDATE ledger_records SET time = 'x' WHERE \"index\" = 7", [("altered", 7)]),
    "salt": ('UPDATE ledger_records SET salt = zeroblob(32) WHERE "index" = 7', [("altered", 7)]),
    "destroyed": ('UPDATE ledger_records SET body = NULL, salt = NULL WHERE "index" = 7', [("altered", 7)]),
    "commitment": ('UPDATE ledger_records SET commitment = zeroblob(32) WHERE "index" = 7', [("altered", 7)]),
    "removed": ('DELETE FROM ledger_records WHERE "index" = 7', [("removed", 7)]),
    "removed and closed up": (
        """DELETE FROM ledger_records WHERE "index" = 7;
        UPDATE ledger_records SET "index" = -"index";
        UPDATE ledger_records SET "index" = CASE WHEN "index" < -7 THEN -"index" - 1 ELSE -"index" END""",
        [("removed", 7)],
    ),
    "truncated": ('DELETE FROM ledger_records WHERE "index" >= 590', [("truncated", 590)]),
    "appended": (
        """INSERT INTO ledger_records (log, "index", id, kind, time, body, salt, commitment)
        SELECT log, 600, 'r-new', kind, time, body, salt, randomblob(32) FROM ledger_records WHERE "index" = 7""",
        [("altered", SIZE), ("inserted", SIZE)],
    ),
    "swapped": (
        (
            'UPDATE ledger_records SET "index" = -1 WHERE "index" = 7; UPDATE ledger_records SET "index" = 7 WHERE "index" = 300;'
            'UPDATE ledger_records SET "index" = 300 WHERE "index" = -1'
        ),
        [("reordered", 7), ("reordered", 300)],
    ),
    "renumbered": ('UPDATE ledger_records SET "index" = 605 WHERE "index" = 599', [("tree", SIZE - 1)]),
    "root": ("UPDATE ledger_logs SET root = zeroblob(32)", [("tree", None)]),
    "size": ("UPDATE ledger_logs SET size = size - 1", [("tree", None)]),
    "frontier": ("UPDATE ledger_logs SET frontier = zeroblob(32)", [("tree", None)]),
    "leaf tile": (
        "UPDATE ledger_tiles SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE level = 0 AND number = 1",
        [("tree", 256)],
    ),
    "upper tile": ("UPDATE ledger_tiles SET hashes = zeroblob(64) WHERE level = 1", [("tree", None)]),
    "no log": ("DELETE FROM ledger_logs", [("inserted", 0)]),
}


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """A ledger with a few tiles."""
    ledger.append([Record(f"r-{n}", "refusal", n, "!r:a", "@bob:a", None, {"reason": f"no {n}"}) for n in range(SIZE)])
    return ledger


def _tamper(url: str, script: str) -> None:
    database = sqlite3.connect(url.removeprefix("sqlite:///"))
    database.executescript(script)
    database.close()


def test_an_untouched_ledger_is_clean(filled: Ledger) -> None:
    """Nothing is found where nothing was done."""
    assert filled.verify().to_json() == {"ok": True, "logs": {"main": SIZE}, "faults": []}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_named(filled: Ledger, url: str, name: str) -> None:
    """Each kind of tampering is found, with its place."""
    script, expected = TAMPERING[name]
    _tamper(url, script)
    found = [(fault.kind, fault.index) for fault in filled.verify().faults]
    assert expected == found


def test_every_flipped_bit_is_found(ledger: Ledger, url: str) -> None:
    """One bit of any text or hash of a record, flipped: the record is named."""
    ledger.append([Record("r-1", "alarm", 5, "!r:a", "@b:a", "@c:a", {"text": "x"}), Record("r-2", "alarm", 6)])
    ledger.close()
    path = url.removeprefix("sqlite:///")
    for column in ("id", "kind", "room", "actor", "subject", "body", "salt", "commitment"):
        database = sqlite3.connect(path, isolation_level=None)
        (value,) = database.execute(f'SELECT {column} FROM ledger_records WHERE "index" = 0').fetchone()  # noqa: S608 - names above
        raw = value.encode() if isinstance(value, str) else value
        for bit in range(0, 8 * len(raw), 5):
            flipped = bytearray(raw)
            flipped[bit // 8] ^= 1 << bit % 8
            damaged: object = bytes(flipped)
            if isinstance(value, str):
                damaged = flipped.decode("latin-1")
            update = f'UPDATE ledger_records SET {column} = ? WHERE "index" = 0'  # noqa: S608 - names above
            database.execute(update, [damaged])
            with open_ledger(url, read_only=True) as reader:
                assert ("altered", 0) in {(fault.kind, fault.index) for fault in reader.verify().faults}, (column, bit)
            database.execute(update, [value])
        database.close()
    with open_ledger(url, read_only=True) as reader:
        assert reader.verify().ok
