"""Journaling what happens in rooms: each batch and its sync token in one ledger transaction."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_int, as_list, as_str
from bots.scribe.records import batch_records, event_records

if TYPE_CHECKING:
    from bots.kit.custody import Custody
    from bots.kit.store import Store
    from bots.kit.sync import Batch, Event, RoomSync
    from bots.scribe.journal import Journal

logger = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS invites (room TEXT PRIMARY KEY, inviter TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS unlisted (room TEXT PRIMARY KEY);
"""
FUNCTIONAL = "io.element.functional_members"


class Capture:
    """Commits batches, accepts invites, keeps the scribe a functional member.

    Args:
        client: the scribe's client.
        custody: where the watermark goes.
        journal: the ledger.
        store: the scribe's own database.
        server_name: invites of people of other servers are journaled, not accepted.
    """

    def __init__(self, client: BotClient, custody: Custody, journal: Journal, store: Store, server_name: str) -> None:
        self._client = client
        self._custody = custody
        self._journal = journal
        self._store = store
        self._server = server_name
        self.events = 0
        self.last_commit = 0.0

    async def spill(self, room: str, events: list[Event]) -> None:
        """Commit a part of a large gap before the batch that it belongs to; the token stays."""
        await self._journal.append(list(event_records(room, events)))

    async def handle(self, batch: Batch) -> None:
        """Commit a batch.

        Crash order: rooms to act on are remembered first (an invite is told only once), then events and token are
        committed together; killed in between, the batch comes again and both steps change nothing.
        """
        arrived = time.time()
        self._remember(batch)
        records = batch_records(batch, self._client.user_id, int(arrived * 1000))
        await self._journal.append(records, batch.next_batch)
        self.events += len(records)
        self.last_commit = time.time()
        await self._tell(batch.next_batch, arrived)

    async def _tell(self, token: str, arrived: float) -> None:
        """Publish the watermark; the next batch publishes a newer one if this fails."""
        now = time.time()
        try:
            await self._custody.put_watermark(token, int(now * 1000), int((now - arrived) * 1000))
        except ServerError as error:
            logger.warning("watermark not taken status=%d errcode=%s", error.status, error.errcode)

    def _remember(self, batch: Batch) -> None:
        invites = [(r.room_id, self._inviter(r)) for r in batch.rooms if r.section == "invite"]
        joins = [(r.room_id,) for r in batch.rooms if r.section == "join" and self._joins(r)]
        if not invites and not joins:
            return
        with self._store.transaction() as db:
            db.executemany("INSERT OR REPLACE INTO invites (room, inviter) VALUES (?, ?)", invites)
            db.executemany("INSERT OR IGNORE INTO unlisted (room) VALUES (?)", joins)

    def _own(self, event: Event, membership: str) -> bool:
        return (
            event.get("type") == "m.room.member"
            and event.get("state_key") == self._client.user_id
            and as_dict(event.get("content")).get("membership") == membership
        )

    def _inviter(self, room: RoomSync) -> str:
        return next((as_str(e.get("sender")) for e in room.events() if self._own(e, "invite")), "")

    def _joins(self, room: RoomSync) -> bool:
        return any(self._own(event, "join") for event in room.events())

    async def attend(self) -> None:
        """Accept what is pending: join the rooms, and list the scribe as a functional member."""
        for row in self._store.rows("SELECT room, inviter FROM invites"):
            await self._accept(row["room"], row["inviter"])
        for row in self._store.rows("SELECT room FROM unlisted"):
            await self._list(row["room"])

    async def _accept(self, room: str, inviter: str) -> None:
        if inviter.endswith(":" + self._server):
            try:
                await self._client.call("POST", f"{CLIENT}/join/{q(room)}", {})
            except ServerError as error:
                if error.passing:
                    raise
                logger.warning("invite not accepted room=%s status=%d", room, error.status)
        with self._store.transaction() as db:
            db.execute("DELETE FROM invites WHERE room = ?", (room,))

    async def _list(self, room: str) -> None:
        """Add the scribe to the room's functional members where it may and is missing."""
        try:
            await self._list_where_allowed(room)
        except ServerError as error:
            if error.passing:
                raise
            logger.debug("functional members stay as they are room=%s status=%d", room, error.status)
        with self._store.transaction() as db:
            db.execute("DELETE FROM unlisted WHERE room = ?", (room,))

    async def _list_where_allowed(self, room: str) -> None:
        me = self._client.user_id
        present = await self._state(room, FUNCTIONAL)
        members = [m for m in as_list(present.get("service_members")) if isinstance(m, str)]
        levels = await self._state(room, "m.room.power_levels")
        mine = as_int(as_dict(levels.get("users")).get(me), as_int(levels.get("users_default")))
        needed = as_int(as_dict(levels.get("events")).get(FUNCTIONAL), as_int(levels.get("state_default"), 50))
        if me in members or mine < needed:
            return
        path = f"{CLIENT}/rooms/{q(room)}/state/{FUNCTIONAL}"
        await self._client.call("PUT", path, present | {"service_members": [*members, me]})

    async def _state(self, room: str, kind: str) -> dict[str, object]:
        path = f"{CLIENT}/rooms/{q(room)}/state/{kind}"
        answer = await self._client.call("GET", path, allow=frozenset({404}))
        return {} if "errcode" in answer else as_dict(answer)
