"""The direct chats with each person: those they began and the one that the steward opens; remembered over any crash.

A direct chat is a room that nobody but one person, the steward and other bots is in or may enter. What the table says
is only where to look: before anything is said in a room, the server is asked who is there.
"""

from __future__ import annotations

import enum
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
COMPLIANCE_MARK = "org.charter.room"
"""Key in ``m.room.create`` of the compliance rooms, which are nobody's direct chat."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS direct (
    person TEXT PRIMARY KEY, room TEXT UNIQUE, present INTEGER NOT NULL DEFAULT 1, listed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS chats (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL UNIQUE, person TEXT NOT NULL,
    meant INTEGER NOT NULL, shared INTEGER NOT NULL DEFAULT 0
);
INSERT OR IGNORE INTO chats (room, person, meant) SELECT room, person, 1 FROM direct WHERE room IS NOT NULL;
"""
"""`direct`: the chat opened by the steward (without a room: about to be), or the first of a person.
`chats`: every room looked at, newest last; `person` is "" where it is no direct chat, `meant` says that it was begun as one,
`shared` that somebody else came in since."""
_IN = frozenset({"join", "invite", "knock"})
_REFUSED = frozenset({403, 404})


class Standing(enum.Enum):
    """What a room is to a person."""

    JOINED = "joined"
    INVITED = "invited"
    GONE = "gone"
    NOT_THEIRS = "not theirs"
    """Others are in it or may enter it or read it, or the steward is not in it any more."""


class DirectChats:
    """Direct chats of the steward; a person may have several."""

    def __init__(self, client: BotClient, store: Store, config: StewardConfig) -> None:
        self._client = client
        self._store = store
        self._config = config
        self._bots = frozenset({config.user_id, config.scribe, *config.bots} - {""})

    def person_of(self, room: str) -> str | None:
        """Return whose direct chat a room was when it was last looked at, or None."""
        rows = self._store.rows("SELECT person FROM chats WHERE room = ? AND person != '' AND NOT shared", room)
        return rows[0]["person"] if rows else None

    def is_meant(self, room: str) -> bool:
        """Whether a room was begun as a direct chat, so that every text in it is for the steward."""
        return bool(self._store.rows("SELECT 1 FROM chats WHERE room = ? AND meant", room))

    async def may_say(self, room: str, person: str) -> bool:
        """Ask the server whether what is said in a room is now heard by this person alone."""
        return await self._standing(room, person) is Standing.JOINED

    async def still_fits(self, room: str) -> bool:
        """Ask the server whether a room in which something is about to be said is still one person's, there or not."""
        rows = self._store.rows("SELECT person FROM chats WHERE room = ? AND person != ''", room)
        return bool(rows) and await self._standing(room, rows[0]["person"]) is not Standing.NOT_THEIRS

    @staticmethod
    def adopt(db: sqlite3.Connection, person: str, room: str, *, meant: bool) -> bool:
        """Take a chat that `may_say` allowed as theirs, within the caller's transaction.

        Returns:
            False if it was known as that already.
        """
        known = "SELECT 1 FROM chats WHERE room = ? AND person = ? AND meant >= ?"
        row = (room, person, int(meant))
        if db.execute(known, row).fetchone():
            return False
        db.execute("INSERT OR REPLACE INTO chats (room, person, meant) VALUES (?, ?, ?)", row)
        return True

    def note_member(self, db: sqlite3.Connection, room: str, user: str, membership: str) -> None:
        """Note that somebody came into a chat or left it, within the caller's transaction."""
        if user not in self._bots:
            shared = int(membership in _IN)
            db.execute("UPDATE chats SET shared = ? WHERE room = ? AND person != ?", (shared, room, user))

    async def room_for(self, person: str) -> str:
        """Return the newest chat that the person is in; else one that they are invited to, by a new invite if need be.

        Crash order: the intent is stored before /createRoom and the room after it; an intent without a room means that
        the chat may exist, so the steward's rooms are searched for the mark before another one is made.
        """
        waiting: str | None = None
        left: str | None = None
        for room in self._chats(person):
            standing = await self._standing(room, person)
            if standing is Standing.JOINED:
                return await self._listed(person, room)
            if standing is Standing.INVITED:
                waiting = waiting or room
            if standing is Standing.GONE:
                left = left or room
        if waiting is None and left is not None:
            await self._invite_again(left, person)
        return await self._listed(person, waiting or left or await self._open(person))

    def _chats(self, person: str) -> list[str]:
        sql = "SELECT room FROM chats WHERE person = ? AND meant AND NOT shared ORDER BY seq DESC"
        return [row["room"] for row in self._store.rows(sql, person)]

    async def _standing(self, room: str, person: str) -> Standing:
        path = f"{CLIENT}/rooms/{q(room)}/state"
        answer = await self._client.call("GET", path, allow=_REFUSED)
        found = standing(answer, person, self._config.user_id, self._bots)
        if found is Standing.NOT_THEIRS:
            with self._store.transaction() as db:
                db.execute("UPDATE chats SET shared = 1 WHERE room = ? AND person = ?", (room, person))
        return found

    async def _open(self, person: str) -> str:
        rows = self._store.rows("SELECT room FROM direct WHERE person = ?", person)
        interrupted = bool(rows) and rows[0]["room"] is None
        room = await self._find(person) if interrupted else None
        if room is None:
            with self._store.transaction() as db:
                db.execute("INSERT OR REPLACE INTO direct (person) VALUES (?)", (person,))
            room = await self._create(person)
        with self._store.transaction() as db:
            db.execute("UPDATE direct SET room = ? WHERE person = ?", (room, person))
            self.adopt(db, person, room, meant=True)
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
        """Return the chat that a creation left behind when its answer was lost."""
        for room in await self._joined():
            if self._store.rows("SELECT 1 FROM chats WHERE room = ? AND person != ''", room):
                continue
            path = f"{CLIENT}/rooms/{q(room)}/state/m.room.create"
            content = as_dict(await self._client.call("GET", path, allow=_REFUSED))
            if content.get(MARK) == person and await self._standing(room, person) is not Standing.NOT_THEIRS:
                return room
        return None

    async def _joined(self) -> list[str]:
        answer = as_dict(await self._client.call("GET", f"{CLIENT}/joined_rooms"))
        return [room for room in as_list(answer.get("joined_rooms")) if isinstance(room, str)]

    async def sweep(self) -> None:
        """Look at every room that the steward is in and never looked at."""
        for room in await self._joined():
            await self.look(room)

    async def look(self, room: str) -> None:
        """Find out whether a room that was never looked at is somebody's direct chat, and remember it."""
        if self._store.rows("SELECT 1 FROM chats WHERE room = ?", room):
            return
        state = await self._client.call("GET", f"{CLIENT}/rooms/{q(room)}/state", allow=_REFUSED)
        me, people = self._config.user_id, sorted(set(_members(state)) - self._bots)
        person = people[0] if len(people) == 1 and self._config.is_person(people[0]) else ""
        theirs = bool(person) and standing(state, person, me, self._bots) is Standing.JOINED
        meant = theirs and _created(state).get(MARK) == person
        with self._store.transaction() as db:
            row = (room, person if theirs else "", int(meant))
            db.execute("INSERT OR IGNORE INTO chats (room, person, meant) VALUES (?, ?, ?)", row)

    async def _invite_again(self, room: str, person: str) -> None:
        body = {"user_id": person, "reason": "There is something to tell you."}
        try:
            await self._client.call("POST", f"{CLIENT}/rooms/{q(room)}/invite", body)
        except ServerError as error:
            if error.passing:
                raise
            logger.info("not invited again person=%s status=%d", person, error.status)

    async def _listed(self, person: str, room: str) -> str:
        """Mark the chat as direct in the steward's own account data, as clients do; once for each chat."""
        note = f"listed:{room}"
        if self._store.note(note) is not None:
            return room
        path = f"{CLIENT}/user/{q(self._config.user_id)}/account_data/m.direct"
        present: dict[str, Any] = as_dict(await self._client.call("GET", path, allow=frozenset({404})))
        present = {} if "errcode" in present else present
        rooms = [entry for entry in as_list(present.get(person)) if isinstance(entry, str)]
        if room not in rooms:
            await self._client.call("PUT", path, present | {person: [*rooms, room]})
        self._store.remember(note, "1")
        return room


def standing(state: Any, person: str, me: str, bots: frozenset[str]) -> Standing:
    """Judge a room by its state: the answer of ``/state``, or an error's, which makes it nobody's.

    Args:
        state: the answer; what is missing in it counts as not private.
        person: whose chat it may be.
        me: the steward, which must be in the room.
        bots: the steward and the others, who may be.
    """
    members = _members(state)
    rule = _content(state, "m.room.join_rules").get("join_rule")
    seen = _content(state, "m.room.history_visibility").get("history_visibility")
    private = rule == "invite" and seen != "world_readable" and COMPLIANCE_MARK not in _created(state)
    if not private or members.get(me) != "join" or set(members) - bots - {person}:
        return Standing.NOT_THEIRS
    words = {"join": Standing.JOINED, "invite": Standing.INVITED}
    return words.get(members.get(person, ""), Standing.GONE)


def _members(state: Any) -> dict[str, str]:
    """Return who is in a room or about to be: user -> membership."""
    events = [as_dict(event) for event in as_list(state)]
    pairs = (
        (as_str(event.get("state_key")), as_str(as_dict(event.get("content")).get("membership")))
        for event in events
        if event.get("type") == "m.room.member"
    )
    return {user: membership for user, membership in pairs if membership in _IN}


def _content(state: Any, kind: str) -> dict[str, Any]:
    found = (as_dict(event) for event in as_list(state))
    return next((as_dict(event.get("content")) for event in found if event.get("type") == kind), {})


def _created(state: Any) -> dict[str, Any]:
    return _content(state, "m.room.create")
