"""The rows of ``charter_directory`` and the notes about it; functions for transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Collection

    from synapse.storage.database import LoggingTransaction

LEAVERS: Final = "directory-leavers"
"""Note: people who left or were disabled and whose sessions may not have ended yet."""

REQUEST: Final = "directory-request"
"""Note: the command line asks for a reading [`at`, `accept_shrink`]."""

STATUS: Final = "directory-status"
"""Note: how the last reading went [`at`, `request`, `ok`, `text`, `people`]."""


def head(txn: LoggingTransaction) -> tuple[str, float] | None:
    """Return digest and time (POSIX seconds) of the stored snapshot."""
    txn.execute("SELECT digest, taken_at FROM charter_directory WHERE name = 'current'")
    row = txn.fetchone()
    return None if row is None else (str(row[0]), row[1] / 1000)


def current(txn: LoggingTransaction) -> tuple[str, float, str] | None:
    """Return digest, time (POSIX seconds) and JSON of the stored snapshot."""
    txn.execute("SELECT digest, taken_at, snapshot FROM charter_directory WHERE name = 'current'")
    row = txn.fetchone()
    return None if row is None else (str(row[0]), row[1] / 1000, str(row[2]))


def replace(  # noqa: PLR0913, PLR0917 - run_db_interaction passes positional arguments
    txn: LoggingTransaction, known: str, digest: str, taken_at: float, text: str, leavers: Collection[str]
) -> bool:
    """Replace the snapshot whose digest is `known` ("" for none); False if it is another one by now."""
    stamp = int(taken_at * 1000)
    if digest == known:
        txn.execute("UPDATE charter_directory SET taken_at = ? WHERE name = 'current' AND digest = ?", (stamp, known))
    elif known:
        txn.execute(
            "UPDATE charter_directory SET digest = ?, taken_at = ?, snapshot = ? WHERE name = 'current' AND digest = ?",
            (digest, stamp, text, known),
        )
    else:
        txn.execute(
            "INSERT INTO charter_directory (name, digest, taken_at, snapshot) VALUES ('current', ?, ?, ?)"
            " ON CONFLICT (name) DO NOTHING",
            (digest, stamp, text),
        )
    if txn.rowcount != 1:
        return False
    if leavers:
        noted: list[str] = note(txn, LEAVERS) or []
        set_note(txn, LEAVERS, sorted({*noted, *leavers}))
    return True


def without_leaver(txn: LoggingTransaction, user_id: str) -> None:
    """Shorten the list of leavers."""
    noted: list[str] = note(txn, LEAVERS) or []
    set_note(txn, LEAVERS, [user for user in noted if user != user_id])


def note(txn: LoggingTransaction, name: str) -> Any:
    """Return a note's value, or None."""
    txn.execute("SELECT value FROM charter_notes WHERE name = ?", (name,))
    row = txn.fetchone()
    return None if row is None else orjson.loads(row[0])


def set_note(txn: LoggingTransaction, name: str, value: Any) -> None:
    """Store a note of this process's own; see ``charter_notes``."""
    txn.execute(
        "INSERT INTO charter_notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, orjson.dumps(value).decode()),
    )
