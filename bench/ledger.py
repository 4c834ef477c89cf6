"""Ledger append, beside plain SQLite inserts of the same rows, and verification: records per second.

Run from the repository: `python -m bench.ledger [--records N] [--database URL]`. Every append is on the disk when it is
counted; the plain inserts have the same durability, the same rows and one unique index, but no salt, hash or tree.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ledger.record import Record, canonical
from ledger.store import open_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCHES = (1, 10, 100, 1000)


def events(count: int, rooms: int = 1000, people: int = 500) -> list[Record]:
    """Returns events as a federation sends them, spread over rooms and people."""
    chance = random.Random(7)
    made = []
    for number in range(count):
        room, sender = f"!{chance.randrange(rooms):018d}:acme.example", f"@user{chance.randrange(people)}:acme.example"
        pdu = {
            "auth_events": ["$" + f"{chance.getrandbits(256):064x}"[:43] for _ in range(3)],
            "content": {"body": f"message {number} of the day", "msgtype": "m.text"},
            "depth": number,
            "hashes": {"sha256": f"{chance.getrandbits(256):064x}"[:43]},
            "origin_server_ts": 1_790_000_000_000 + number,
            "prev_events": ["$" + f"{chance.getrandbits(256):064x}"[:43]],
            "room_id": room,
            "sender": sender,
            "signatures": {"acme.example": {"ed25519:auto": f"{chance.getrandbits(512):0128x}"[:86]}},
            "type": "m.room.message",
        }
        made.append(Record.of_event(f"${number}-{chance.getrandbits(64):x}", room, pdu))
    return made


def _batches(records: list[Record], size: int) -> Iterator[list[Record]]:
    for start in range(0, len(records), size):
        yield records[start : start + size]


def append_rate(url: str, records: list[Record], size: int) -> float:
    """Returns records per second of `Ledger.append` at a batch size."""
    with open_ledger(url) as ledger:
        ledger.claim()
        began = time.perf_counter()
        for batch in _batches(records, size):
            ledger.append(batch, source_state={"since": batch[-1].id})
        return len(records) / (time.perf_counter() - began)


def plain_rate(path: Path, records: list[Record], size: int) -> float:
    """Returns records per second of nothing but SQLite: canonical body into one table, unique id, same fsync."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE plain (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT)")
    began = time.perf_counter()
    for batch in _batches(records, size):
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO plain (id, body) VALUES (?, ?)", [(record.id, canonical(record).decode()) for record in batch]
        )
        database.execute("COMMIT")
    rate = len(records) / (time.perf_counter() - began)
    database.close()
    return rate


def verify_rate(url: str) -> float:
    """Returns records per second of a full verification."""
    with open_ledger(url, read_only=True) as ledger:
        began = time.perf_counter()
        report = ledger.verify()
        assert report.ok, report.faults
        return sum(report.logs.values()) / (time.perf_counter() - began)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--database", help="an empty PostgreSQL database to measure instead, at batch 100")
    arguments = parser.parse_args()
    records = events(arguments.records)
    table = Table("batch", "plain SQLite /s", "ledger /s", "ratio", title=f"append, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        for size in BATCHES:
            some = records[: min(len(records), size * 1000)]
            plain = plain_rate(Path(folder, f"plain{size}.db"), some, size)
            url = f"sqlite:///{folder}/ledger{size}.db"
            if arguments.database and size == 100:
                url = arguments.database
            ours = append_rate(url, some, size)
            table.add_row(str(size), f"{plain:,.0f}", f"{ours:,.0f}", f"{ours / plain:.2f}")
        verified = verify_rate(f"sqlite:///{folder}/ledger1000.db")
    Console().print(table, f"verify: {verified:,.0f} records/s")


if __name__ == "__main__":
    main()
