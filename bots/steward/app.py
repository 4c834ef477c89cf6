"""The steward's parts, running side by side."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from bots.kit.custody import Custody
from bots.kit.notices import Notices
from bots.kit.queue import Queue
from bots.kit.run import every, together
from bots.kit.store import Store
from bots.kit.sync import Sync, run
from bots.steward import direct, receipts, talk
from bots.steward.desk import Desk
from bots.steward.direct import DirectChats
from bots.steward.receipts import Receipts
from bots.steward.talk import Talk

if TYPE_CHECKING:
    from bots.kit.client import BotClient
    from bots.kit.sync import Batch
    from bots.steward.config import StewardConfig

ATTEND_EVERY = 5.0
REPORT_EVERY = 2.0


class Steward:
    """One running steward."""

    def __init__(self, config: StewardConfig, client: BotClient) -> None:
        self._config = config
        self._client = client
        self._custody = Custody(client)
        self._store = Store(config.state, direct.SCHEMA + receipts.SCHEMA + talk.SCHEMA)
        notices = Notices(Path(__file__).parent / "templates")
        chats = DirectChats(client, self._store, config)
        self._queue = Queue(self._store, client, time.time, fits=chats.still_fits)
        zone = ZoneInfo(config.timezone)
        desk = Desk(config, client, self._custody, self._store, self._queue, chats, notices, zone, time.time)
        self._receipts = Receipts(desk)
        self._talk = Talk(desk)
        self._attend_now = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._synced = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        config = self._config
        try:
            await together(
                run(Sync(self._client, history=False), self._talk.since, self._handle, wait=config.sync_timeout),
                every(config.outbox_interval, self._receipts.turn, "receipts"),
                every(REPORT_EVERY, self._receipts.report, "receipt records"),
                every(ATTEND_EVERY, self._talk.attend, "attend", self._attend_now),
                every(config.heartbeat, self._beat, "heartbeat", self._beat_now),
                self._queue.run(),
            )
        finally:
            self._store.close()

    async def _handle(self, batch: Batch) -> None:
        await self._talk.handle(batch)
        if not self._synced:
            self._beat_now.set()
        self._synced = time.time()
        if any(room.section == "invite" for room in batch.rooms):
            self._attend_now.set()

    async def _beat(self) -> None:
        detail = {"receipts": self._receipts.sent, "unsent": self._queue.waiting()}
        healthy = time.time() - self._synced < 60 + self._config.sync_timeout
        await self._custody.heartbeat(healthy=healthy, detail=detail)


async def serve(config: StewardConfig, client: BotClient) -> None:
    """Run the steward until cancelled."""
    await Steward(config, client).run()
