"""Listening to people: invites, commands in the direct chat or where the steward is mentioned."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bots.kit.client import CLIENT, ServerError, q
from bots.kit.commands import PREFIX, help_values
from bots.kit.foreign import as_dict, as_int, as_list, as_str
from bots.kit.queue import put
from bots.kit.store import put_note
from bots.steward.answers import COMMANDS, Asker, answer

if TYPE_CHECKING:
    from bots.kit.sync import Batch, Event, RoomSync
    from bots.steward.desk import Desk

logger = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS invites (room TEXT PRIMARY KEY, inviter TEXT NOT NULL, direct INTEGER NOT NULL);
"""
SINCE = "steward.since"
TOO_OLD = 3600.0
"""A question older than this is not answered any more."""
ENOUGH = 10
"""With so many answers unsent to one room, further questions there are left alone."""


class Talk:
    """Handles batches; the answers and the sync token are one transaction."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._swept = False

    def since(self) -> str | None:
        """Return the committed sync token."""
        return self._desk.store.note(SINCE)

    async def handle(self, batch: Batch) -> None:
        """Answer a batch; what happened before the first start is not answered."""
        answers: list[tuple[str, dict[str, Any], str]] = []
        if batch.since is not None:
            for room in batch.rooms:
                if room.section == "join":
                    answers += await self._answers(room)
        with self._desk.store.transaction() as db:
            for room in batch.rooms:
                self._remember(db, room)
            for target, content, cause in answers:
                put(db, target, content, cause, now=self._desk.clock())
            put_note(db, SINCE, batch.next_batch)
        self._desk.queue.wake()

    def _remember(self, db: Any, room: RoomSync) -> None:
        for event in room.events():
            if event.get("type") != "m.room.member":
                continue
            who, content = as_str(event.get("state_key")), as_dict(event.get("content"))
            membership = content.get("membership")
            if room.section == "invite" and who == self._desk.config.user_id and membership == "invite":
                row = (room.room_id, as_str(event.get("sender")), int(content.get("is_direct") is True))
                db.execute("INSERT OR REPLACE INTO invites (room, inviter, direct) VALUES (?, ?, ?)", row)
            elif room.section == "join" and who != self._desk.config.user_id:
                self._desk.direct.note_member(db, room.room_id, who, as_str(membership))

    async def _answers(self, room: RoomSync) -> list[tuple[str, dict[str, Any], str]]:
        found: list[tuple[str, dict[str, Any], str]] = []
        for event in (*room.gap, *room.timeline):
            if not self._is_words_of_a_person(event) or self._desk.queue.waiting(room.room_id) + len(found) >= ENOUGH:
                continue
            person, body = as_str(event.get("sender")), as_str(as_dict(event.get("content")).get("body"))
            try:
                asked = await self._asked(room.room_id, event, person, body)
            except ServerError as error:
                if error.passing:
                    raise
                logger.warning("no chat with person=%s status=%d errcode=%s", person, error.status, error.errcode)
                continue
            if asked is None:
                continue
            target, text = asked
            reply = await answer(Asker(person, self._desk.custody, self._desk.zone), text)
            content = self._desk.notices.notice(reply.template, **reply.values)
            found.append((target, content, f"answer {event['event_id']}"))
        return found

    async def _asked(self, room: str, event: Event, person: str, body: str) -> tuple[str, str] | None:
        """Return where to answer and the command; None if the event does not speak to the steward.

        The answer goes where the question came from if nobody else hears it there, else into a direct chat.
        """
        direct = self._desk.direct
        if body.startswith(PREFIX):
            await direct.look(room)
        own = direct.person_of(room) == person and (body.startswith(PREFIX) or direct.is_meant(room))
        if own and await direct.may_say(room, person):
            return room, body
        me = self._desk.config.user_id
        mentions = as_list(as_dict(as_dict(event.get("content")).get("m.mentions")).get("user_ids"))
        if me not in mentions and me not in body:
            return None
        start = body.find(PREFIX)
        return await direct.room_for(person), body[start:] if start >= 0 else PREFIX + "help"

    def _is_words_of_a_person(self, event: Event) -> bool:
        """Whether this is a fresh text of somebody to talk to; notices, edits and bots are never answered."""
        content = as_dict(event.get("content"))
        return (
            event.get("type") == "m.room.message"
            and content.get("msgtype") == "m.text"
            and as_str(event.get("event_id")) != ""
            and self._desk.config.is_person(as_str(event.get("sender")))
            and as_dict(content.get("m.relates_to")).get("rel_type") != "m.replace"
            and "org.charter.refusal" not in content
            and self._desk.clock() - as_int(event.get("origin_server_ts")) / 1000 < TOO_OLD
        )

    async def attend(self) -> None:
        """Accept invites of local people, greet who begins a direct chat, and once look at rooms of earlier."""
        for row in self._desk.store.rows("SELECT room, inviter, direct FROM invites"):
            room, inviter = row["room"], row["inviter"]
            if inviter.endswith(":" + self._desk.config.server_name) and not await self._join(room):
                continue
            theirs = self._desk.config.is_person(inviter) and await self._desk.direct.may_say(room, inviter)
            with self._desk.store.transaction() as db:
                db.execute("DELETE FROM invites WHERE room = ?", (room,))
                if theirs and self._desk.direct.adopt(db, inviter, room, meant=bool(row["direct"])) and row["direct"]:
                    content = self._desk.notices.notice("help", problem="Good day.", usage="", **help_values(COMMANDS))
                    put(db, room, content, f"welcome {room}", now=self._desk.clock())
            self._desk.queue.wake()
        if not self._swept:
            await self._desk.direct.sweep()
            self._swept = True

    async def _join(self, room: str) -> bool:
        """Join; False if it has to be tried again."""
        try:
            await self._desk.client.call("POST", f"{CLIENT}/join/{q(room)}", {})
        except ServerError as error:
            logger.warning("invite not accepted room=%s status=%d", room, error.status)
            return not error.passing
        return True
