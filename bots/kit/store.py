"""What a bot remembers: one SQLite file, every change in a transaction that reaches the disk."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outgoing (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    room TEXT NOT NULL,
    txn TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    content TEXT NOT NULL,
    queued_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'waiting',
    event_id TEXT,
    report TEXT,
    error TEXT
);
CREATE INDEX IF NOT EXISTS outgoing_waiting ON outgoing (room, seq) WHERE status = 'waiting';
CREATE INDEX IF NOT EXISTS outgoing_report ON outgoing (seq) WHERE report IS NOT NULL;
"""


class Store:
    """The bot's own database; used from one thread.

    Args:
        path: file, or ":memory:".
        schema: further statements (idempotent) of the bot.
    """

    def __init__(self, path: Path | str, schema: str = "") -> None:
        if str(path) != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA + schema)
        if "error" not in {row["name"] for row in self.rows("PRAGMA table_info(outgoing)")}:
            # A file of an earlier version.
            self._db.execute("ALTER TABLE outgoing ADD COLUMN error TEXT")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements that are all kept or all forgotten; never await inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query."""
        return self._db.execute(sql, values).fetchall()

    def note(self, name: str) -> str | None:
        """Return a remembered value."""
        found = self.rows("SELECT value FROM notes WHERE name = ?", name)
        return found[0]["value"] if found else None

    def remember(self, name: str, value: str) -> None:
        """Keep a value, in a transaction of its own."""
        with self.transaction() as db:
            put_note(db, name, value)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def put_note(db: sqlite3.Connection, name: str, value: str) -> None:
    """Keep a value within the caller's transaction."""
    db.execute(
        "INSERT INTO notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )
