"""The direct chat with each person: opened once, remembered, found again after any crash."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_list, as_str

if TYPE_CHECKING:
    import sqlite3

    from bots.kit.store import Store
    from bots.steward.config import StewardConfig

logger = logging.getLogger(__name__)

MARK = "org.charter.direct"
"""Key in ``m.room.create`` that names the person: it is how a chat is found after a crash."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS direct (
    person TEXT PRIMARY KEY, room TEXT UNIQUE, present INTEGER NOT NULL DEFAULT 1, listed INTEGER NOT NULL DEFAULT 0
);
"""


class DirectChats:
    """Direct chats of the steward; a person has one."""

    def __init__(self, client: BotClient, store: Store, config: StewardConfig) -> None:
        self._client = client
        self._store = store
        self._config = config

    def person_of(self, room: str) -> str | None:
        """Return whose direct chat a room is, or None."""
        rows = self._store.rows("SELECT person FROM direct WHERE room = ?", room)
        return rows[0]["person"] if rows else None

    def known(self, person: str) -> str | None:
        """Return the chat with a person, if there is one."""
        rows = self._store.rows("SELECT room FROM direct WHERE person = ?", person)
        return rows[0]["room"] if rows else None

    def adopt(self, person: str, room: str) -> bool:
        """Take the chat that a person began as theirs, unless there is one already."""
        if self.known(person):
            return False
        with self._store.transaction() as db:
            db.execute("INSERT OR REPLACE INTO direct (person, room) VALUES (?, ?)", (person, room))
        return True

    @staticmethod
    def note_presence(db: sqlite3.Connection, room: str, person: str, *, present: bool) -> None:
        """Remember whether a person is still in their chat, within the caller's transaction."""
        db.execute("UPDATE direct SET present = ? WHERE room = ? AND person = ?", (int(present), room, person))

    async def room_for(self, person: str) -> str:
        """Return the chat with a person; open it, or invite them again, if need be.

        Crash order: the intent is stored before /createRoom and the room after it; an intent without a room means that
        the chat may exist, so the steward's rooms are searched for the mark before another one is made.
        """
        rows = self._store.rows("SELECT room, present, listed FROM direct WHERE person = ?", person)
        room: str | None = rows[0]["room"] if rows else None
        if room is None:
            room = await self._find(person) if rows else None
            if room is None:
                with self._store.transaction() as db:
                    db.execute("INSERT OR IGNORE INTO direct (person) VALUES (?)", (person,))
                room = await self._create(person)
            with self._store.transaction() as db:
                db.execute("UPDATE direct SET room = ?, present = 1 WHERE person = ?", (room, person))
        elif not rows[0]["present"]:
            await self._invite_again(room, person)
        if not rows or not rows[0]["listed"]:
            await self._list(person, room)
        return room

    async def _create(self, person: str) -> str:
        body = {
            "preset": "private_chat",
            "visibility": "private",
            "is_direct": True,
            "invite": [person],
            "room_version": self._config.room_version,
            "creation_content": {MARK: person, "m.federate": False},
        }
        room = as_str(as_dict(await self._client.call("POST", f"{CLIENT}/createRoom", body)).get("room_id"))
        if not room:
            raise ServerError(0, "", "createRoom without room_id")
        logger.info("direct chat opened person=%s room=%s", person, room)
        return room

    async def _find(self, person: str) -> str | None:
        answer = as_dict(await self._client.call("GET", f"{CLIENT}/joined_rooms"))
        for room in as_list(answer.get("joined_rooms")):
            path = f"{CLIENT}/rooms/{q(room)}/state/m.room.create"
            content = as_dict(await self._client.call("GET", path, allow=frozenset({403, 404})))
            if content.get(MARK) == person:
                return str(room)
        return None

    async def _invite_again(self, room: str, person: str) -> None:
        body = {"user_id": person, "reason": "There is something to tell you."}
        try:
            await self._client.call("POST", f"{CLIENT}/rooms/{q(room)}/invite", body)
        except ServerError as error:
            if error.passing:
                raise
            logger.info("not invited again person=%s status=%d", person, error.status)
        with self._store.transaction() as db:
            self.note_presence(db, room, person, present=True)

    async def _list(self, person: str, room: str) -> None:
        """Mark the chat as direct in the steward's own account data, as clients do."""
        path = f"{CLIENT}/user/{q(self._config.user_id)}/account_data/m.direct"
        present: dict[str, Any] = as_dict(await self._client.call("GET", path, allow=frozenset({404})))
        present = {} if "errcode" in present else present
        rooms = [entry for entry in as_list(present.get(person)) if isinstance(entry, str)]
        if room not in rooms:
            await self._client.call("PUT", path, present | {person: [*rooms, room]})
        with self._store.transaction() as db:
            db.execute("UPDATE direct SET listed = 1 WHERE person = ?", (person,))
