"""Small facts shared by all processes: the rows of ``charter_notes``, JSON by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction


def read_note(txn: LoggingTransaction, name: str) -> Any:
    """Return a note's value, or None without one."""
    txn.execute("SELECT value FROM charter_notes WHERE name = ?", (name,))
    row = txn.fetchone()
    return None if row is None else orjson.loads(row[0])


def write_note(txn: LoggingTransaction, name: str, value: Any) -> None:
    """Set a note to a JSON value."""
    txn.execute(
        "INSERT INTO charter_notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value",
        (name, orjson.dumps(value).decode()),
    )


def read_notes(txn: LoggingTransaction, prefix: str) -> dict[str, Any]:
    """Return the notes whose names begin with `prefix`, by the rest of the name."""
    txn.execute("SELECT name, value FROM charter_notes WHERE name >= ? AND name < ?", (prefix, prefix + "\U0010ffff"))
    return {name[len(prefix) :]: orjson.loads(value) for name, value in txn.fetchall()}


async def get_note(api: ModuleApi, name: str) -> Any:
    """Return a note's value, or None without one."""
    return await api.run_db_interaction("charter_note_get", read_note, name)


async def put_note(api: ModuleApi, name: str, value: Any) -> None:
    """Set a note to a JSON value."""
    await api.run_db_interaction("charter_note_put", write_note, name, value)
