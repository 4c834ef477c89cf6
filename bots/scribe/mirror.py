"""Mirroring the ledger into the compliance rooms.

The mirror follows the ledger: its place in the log, what it learned of room names, and the messages it queues are one
transaction of the scribe's own database. Killed anywhere it goes on where it was; no line is lost or said twice.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bots.kit.foreign import as_dict, as_str
from bots.kit.notices import Notices
from bots.kit.queue import Queue, put
from bots.kit.store import put_note
from bots.scribe.lines import Line, line_of
from bots.scribe.names import label, learn

if TYPE_CHECKING:
    import sqlite3

    from bots.kit.custody import ComplianceRooms
    from bots.kit.store import Store
    from bots.scribe.config import ScribeConfig
    from bots.scribe.journal import Journal
    from ledger.record import Record

logger = logging.getLogger(__name__)

PAGE = 200
FOLD_ABOVE = 8
"""More lines than this for one room at once are folded into few messages."""
FOLD_LINES = 40
FOLD_CHARACTERS = 6000
BEHIND = 50
"""With this many messages unsent the mirror waits: what comes meanwhile is folded."""
LINE_LIMIT = 3000
_CURSOR = "mirror:cursor"
_LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times come from other servers: a later one is shown as this, which every time zone can still write."""


class Mirror:
    """Turns new records into messages of the compliance rooms."""

    def __init__(self, config: ScribeConfig, journal: Journal, store: Store, queue: Queue) -> None:
        self._journal = journal
        self._store = store
        self._queue = queue
        self._bots = config.everyone_of_charter()
        self._zone = ZoneInfo(config.timezone)
        self._notices = Notices(Path(__file__).parent / "templates")

    async def turn(self, rooms: ComplianceRooms) -> None:
        """Mirror everything that the ledger has by now, unless too much is unsent already."""
        while self._queue.waiting() < BEHIND:
            records = await self._journal.after(self._store.note(_CURSOR), PAGE)
            if not records:
                return
            with self._store.transaction() as db:
                self._mirror(db, records, rooms)
                put_note(db, _CURSOR, records[-1].id)
            self._queue.wake()

    def _mirror(self, db: sqlite3.Connection, records: list[Record], rooms: ComplianceRooms) -> None:
        lines: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        own = rooms.all()
        for record in records:
            try:
                if record.kind == "event":
                    learn(db, record)
                line = None if self._passed_over(record, own) else line_of(record)
                values = None if line is None else self._values(db, record, line)
            except Exception:
                # One record that cannot be shown must not stop the others; the ledger has it in full.
                logger.exception("record cannot be shown id=%s", record.id)
                line = Line("audit", f"a record that cannot be shown: {record.id}")
                values = {"when": "", "who": "", "room": "", "where": "", "event": "", "what": line.what, "mark": ""}
            if line is not None and values is not None:
                lines.setdefault(line.target, []).append((record.id, values))
        for target, entries in lines.items():
            for group in fold(entries):
                content = self._notices.notice("lines", most=LINE_LIMIT, lines=[values for _, values in group])
                put(db, getattr(rooms, target), content, f"mirror {group[0][0]}", now=time.time())

    def _passed_over(self, record: Record, own: frozenset[str]) -> bool:
        """Whether a record is in the ledger only: posts of the compliance rooms, what bots say, and their membership."""
        if record.kind != "event":
            return False
        member = as_dict(record.body.get("pdu")).get("type") == "m.room.member"
        return record.room in own or record.actor in self._bots or (member and record.subject in self._bots)

    def _values(self, db: sqlite3.Connection, record: Record, line: Line) -> dict[str, Any]:
        """Return what the template shows of one record."""
        event_id = as_str(as_dict(record.body).get("event_id"))
        at = datetime.fromtimestamp(min(max(record.time / 1000, 0), _LAST), self._zone)
        return {
            "when": at.strftime("%Y-%m-%d %H:%M:%S"),
            "who": record.actor or (record.subject or "" if record.kind in {"logon", "logoff"} else ""),
            "room": record.room or "",
            "where": label(db, record.room, self._bots) if record.room else "",
            "event": event_id,
            "what": line.what,
            "mark": line.mark,
        }


def fold(entries: list[tuple[str, dict[str, Any]]]) -> list[list[tuple[str, dict[str, Any]]]]:
    """Group lines into messages: one each while they are few, else as many as fit."""
    if len(entries) <= FOLD_ABOVE:
        return [[entry] for entry in entries]
    groups: list[list[tuple[str, dict[str, Any]]]] = []
    size = 0
    for entry in entries:
        length = min(len(entry[1]["what"]), LINE_LIMIT) + 200
        if not groups or len(groups[-1]) >= FOLD_LINES or size + length > FOLD_CHARACTERS:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += length
    return groups
