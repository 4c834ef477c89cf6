"""What rooms are called, learned from the journaled events themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bots.kit.foreign import as_dict, as_str

if TYPE_CHECKING:
    import sqlite3

    from ledger.record import Record

SCHEMA = """
CREATE TABLE IF NOT EXISTS room_facts (
    room TEXT NOT NULL, fact TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (room, fact, key)
);
"""
_FACTS = {"m.room.name": "name", "m.room.canonical_alias": "alias", "m.room.member": "membership"}
_NAMED = 3
_LONGEST = 200


def learn(db: sqlite3.Connection, record: Record) -> None:
    """Note a room's name, alias or member; of several the latest counts, in whatever order they come."""
    pdu = as_dict(record.body.get("pdu"))
    key = _FACTS.get(as_str(pdu.get("type")))
    if key is None or not isinstance(pdu.get("state_key"), str) or not record.room:
        return
    value = as_str(as_dict(pdu.get("content")).get(key))[:_LONGEST]
    db.execute(
        "INSERT INTO room_facts (room, fact, key, value, at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (room, fact, key) DO UPDATE SET value = excluded.value, at = excluded.at"
        " WHERE excluded.at >= room_facts.at",
        (_storable(record.room), key, _storable(pdu["state_key"]), _storable(value), record.time),
    )


def label(db: sqlite3.Connection, room: str, bots: frozenset[str]) -> str:
    """Return what people call a room: its name, its alias, or who is in it."""
    rows = db.execute("SELECT fact, key, value FROM room_facts WHERE room = ? ORDER BY key", (_storable(room),))
    facts = rows.fetchall()
    for wanted in ("name", "alias"):
        found = next((row["value"] for row in facts if row["fact"] == wanted and not row["key"] and row["value"]), "")
        if found:
            return str(found)
    people = [
        row["key"]
        for row in facts
        if row["fact"] == "membership" and row["value"] in {"join", "invite"} and row["key"] not in bots
    ]
    if not people:
        return room
    more = f" and {len(people) - _NAMED} more" if len(people) > _NAMED else ""
    return "chat of " + ", ".join(people[:_NAMED]) + more


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
