"""The scribe's hand on the ledger: one thread, so that nothing blocks the event loop and writes stay in order."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.record import Record
    from ledger.store import Ledger

T = TypeVar("T")
SINCE = "scribe.since"
"""Key of the sync token in the ledger's source state."""


class Journal:
    """Writes to the ledger from a thread of its own and tells who waits for new records.

    Args:
        open_ledger: opens the ledger; called on the thread.
    """

    def __init__(self, open_ledger: Callable[[], Ledger]) -> None:
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._open = open_ledger
        self._ledger: Ledger | None = None
        self.grown = asyncio.Event()
        self.since: str | None = None

    async def open(self) -> None:
        """Open the ledger, claim its log and read the committed sync token.

        Raises:
            LedgerError: it cannot be opened, or another process writes it.
        """

        def work() -> str | None:
            self._ledger = self._open()
            self._ledger.claim()
            return self._ledger.state(SINCE)

        self.since = await self._call(work)

    async def append(self, records: Sequence[Record], since: str | None = None) -> None:
        """Commit records; with `since`, the sync token in the same transaction."""
        if not records and (since is None or since == self.since):
            return
        state: dict[str, str | None] = {} if since is None else {SINCE: since}
        ledger = self._opened()
        await self._call(lambda: ledger.append(records, source_state=state))
        if since is not None:
            self.since = since
        if records:
            self.grown.set()

    async def after(self, record_id: str | None, limit: int) -> list[Record]:
        """Return up to `limit` records that the log got after the one with this id (None: from the first), in order."""
        ledger = self._opened()
        entries = await self._call(lambda: ledger.search(log="main", after=record_id, limit=limit))
        return [entry.record for entry in entries]

    async def close(self) -> None:
        """Close the ledger and end the thread."""
        if self._ledger is not None:
            await self._call(self._ledger.close)
        self._thread.shutdown()

    def _opened(self) -> Ledger:
        if self._ledger is None:
            msg = "the journal is not open"
            raise RuntimeError(msg)
        return self._ledger

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
