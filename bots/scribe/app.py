"""The scribe's parts, running side by side."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from bots.kit.custody import Custody
from bots.kit.queue import Queue
from bots.kit.run import StartError, every, together
from bots.kit.store import Store
from bots.kit.sync import Sync, run
from bots.scribe import capture, names
from bots.scribe.capture import Capture
from bots.scribe.drain import Drain
from bots.scribe.journal import Journal
from bots.scribe.mirror import Mirror
from bots.scribe.readers import ReadersInStep
from bots.scribe.rooms import ensure_rooms
from ledger.errors import LedgerError
from ledger.store import open_ledger

if TYPE_CHECKING:
    from bots.kit.client import BotClient
    from bots.kit.custody import ComplianceRooms
    from bots.kit.sync import Batch
    from bots.scribe.config import ScribeConfig

logger = logging.getLogger(__name__)

ATTEND_EVERY = 5.0
MIRROR_EVERY = 2.0
STUCK_AFTER = 60.0


class Scribe:
    """One running scribe."""

    def __init__(self, config: ScribeConfig, client: BotClient) -> None:
        self._config = config
        self._client = client
        self._custody = Custody(client)
        self._journal = Journal(lambda: open_ledger(config.ledger))
        self._store = Store(config.state, capture.SCHEMA + names.SCHEMA)
        self._queue = Queue(self._store, client, time.time)
        self._capture = Capture(client, self._custody, self._journal, self._store, config.server_name)
        self._drain = Drain(self._custody, self._journal, config.user_id)
        self._mirror = Mirror(config, self._journal, self._store, self._queue)
        self._readers = ReadersInStep(client, self._custody, self._journal, config.everyone_of_charter())
        self._rooms: ComplianceRooms | None = None
        self._attend_now = asyncio.Event()
        self._beat_now = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            StartError: the ledger cannot be opened or is written by another process.
        """
        try:
            await self._journal.open()
        except LedgerError as error:
            raise StartError(str(error)) from error
        sync = Sync(self._client, history=True, spill=self._capture.spill)
        config = self._config
        try:
            await together(
                run(sync, lambda: self._journal.since, self._handle, wait=config.sync_timeout),
                every(config.drain_interval, self._drain.turn, "drain"),
                every(ATTEND_EVERY, self._capture.attend, "attend", self._attend_now),
                every(config.readers_interval, self._keep_rooms, "compliance rooms"),
                every(MIRROR_EVERY, self._show, "mirror", self._journal.grown),
                every(config.heartbeat, self._beat, "heartbeat", self._beat_now),
                self._queue.run(),
            )
        finally:
            await self._journal.close()
            self._store.close()

    async def _handle(self, batch: Batch) -> None:
        first = not self._capture.last_commit
        await self._capture.handle(batch)
        if first:
            self._beat_now.set()
        if batch.rooms:
            self._attend_now.set()

    async def _keep_rooms(self) -> None:
        if self._rooms is None:
            self._rooms = await ensure_rooms(self._client, self._store, self._config)
        await self._custody.put_rooms(self._rooms)
        await self._readers.turn(self._rooms)

    async def _show(self) -> None:
        if self._rooms is not None:
            await self._mirror.turn(self._rooms)

    async def _beat(self) -> None:
        age = time.time() - self._capture.last_commit
        detail = {
            "events": self._capture.events,
            "records": self._drain.records,
            "last_commit_s": round(age, 1) if self._capture.last_commit else None,
            "unsent": self._queue.waiting(),
            "rooms": self._rooms is not None,
        }
        await self._custody.heartbeat(healthy=age < STUCK_AFTER + self._config.sync_timeout, detail=detail)


async def serve(config: ScribeConfig, client: BotClient) -> None:
    """Run the scribe until cancelled."""
    await Scribe(config, client).run()
