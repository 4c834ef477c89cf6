"""Journaling what happens in rooms: each batch and its sync token in one ledger transaction."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_int, as_list, as_str
from bots.scribe.records import batch_records, event_records, restored, was_redacted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bots.kit.custody import Custody
    from bots.kit.store import Store
    from bots.kit.sync import Batch, Event, RoomSync
    from bots.scribe.journal import Journal
    from ledger.record import Record

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
        await self._journal.append(await self._whole(list(event_records(room, events))))

    async def handle(self, batch: Batch) -> None:
        """Commit a batch.

        Crash order: rooms to act on are remembered first (an invite is told only once), then events and token are
        committed together; killed in between, the batch comes again and both steps change nothing.
        """
        arrived = time.time()
        self._remember(batch)
        records = await self._whole(batch_records(batch, self._client.user_id, int(arrived * 1000)))
        await self._journal.append(records, batch.next_batch)
        self.events += len(records)
        self.last_commit = time.time()
        await self._tell(batch.next_batch, arrived)

    async def _whole(self, records: list[Record]) -> list[Record]:
        """Give redacted events back what they said: /sync prunes them, Synapse has the original.

        Raises:
            ServerError: custody does not answer; the batch comes again and nothing is lost.
        """
        whole = []
        for record in records:
            pdu = await self._custody.original(record.body["event_id"]) if was_redacted(record) else None
            whole.append(record if pdu is None else restored(record, pdu))
        return whole

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
        """Accept what is pending: join the rooms, and list the scribe as a functional member.

        A room that cannot be joined now is tried again at the next turn and does not hold up the others.
        """
        for row in self._store.rows("SELECT room, inviter FROM invites"):
            local = row["inviter"].endswith(":" + self._server)
            if not local or await self._settled(row["room"], self._join):
                self._forget("DELETE FROM invites WHERE room = ?", row["room"])
        for row in self._store.rows("SELECT room FROM unlisted"):
            if await self._settled(row["room"], self._list_where_allowed):
                self._forget("DELETE FROM unlisted WHERE room = ?", row["room"])

    def _forget(self, sql: str, room: str) -> None:
        with self._store.transaction() as db:
            db.execute(sql, (room,))

    async def _settled(self, room: str, act: Callable[[str], Awaitable[None]]) -> bool:
        """Act on a room; False if it has to be tried again."""
        try:
            await act(room)
        except ServerError as error:
            logger.warning("room not attended room=%s status=%d errcode=%s", room, error.status, error.errcode)
            return not error.passing
        return True

    async def _join(self, room: str) -> None:
        await self._client.call("POST", f"{CLIENT}/join/{q(room)}", {})

    async def _list_where_allowed(self, room: str) -> None:
        """Add the scribe to the room's functional members where it may and is missing."""
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
