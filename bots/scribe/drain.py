"""Draining custody's outbox into the ledger."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from bots.scribe.records import alarm
from ledger.errors import RecordError
from ledger.record import Record, canonical

if TYPE_CHECKING:
    from bots.kit.custody import Custody, OutboxRecord
    from bots.scribe.journal import Journal

logger = logging.getLogger(__name__)

PAGE = 100


class Drain:
    """Moves records from the outbox to the ledger; custody forgets them only after the ledger committed."""

    def __init__(self, custody: Custody, journal: Journal, scribe: str) -> None:
        self._custody = custody
        self._journal = journal
        self._scribe = scribe
        self.records = 0

    async def turn(self) -> None:
        """Drain until a page is not full. Killed before the acknowledgement, the same records come again."""
        while True:
            pending = await self._custody.outbox(PAGE)
            if pending:
                await self._journal.append([self._record(entry) for entry in pending])
                await self._custody.acknowledge([entry.id for entry in pending])
                self.records += len(pending)
            if len(pending) < PAGE:
                return

    def _record(self, entry: OutboxRecord) -> Record:
        """Return the record, or an alarm in its place: one bad row must not stop the rest."""
        try:
            record = Record.from_json(entry.raw)
            canonical(record)
        except RecordError as error:
            logger.error("outbox row is no record id=%s problem=%s", entry.id, error)  # noqa: TRY400 - data, no bug
            text = f"The outbox held something that is no record: {error}"
            return alarm(
                entry.id, "bad-record", text, time_ms=int(time.time() * 1000), actor=self._scribe, row=entry.id
            )
        return record
