"""The outgoing queue: durable, in order within a room, and never twice.

Crash order: a message is queued in the same transaction as whatever caused it, sent with a transaction id derived from
that cause, and only then marked as sent. Killed between sending and marking, it is sent again with the same id and
Synapse answers with the first event. Synapse forgets transaction ids after a day, so an older message is first looked
for in the room.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from bots.kit.backoff import Backoff
from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_int, as_list

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

    from bots.kit.store import Store

logger = logging.getLogger(__name__)

CAUSE_KEY = "org.charter.cause"
"""Key in a sent event's content that holds the transaction id, for finding it again."""
TRUSTED_AGE = 20 * 3600.0
"""Seconds for which Synapse's memory of transaction ids is relied on (it keeps them for 24 hours)."""
FRESH = 5.0
"""Seconds for which what was known of a room when a message was queued is relied on."""
_FORBIDDEN = 403
KEEP_SENT = 14 * 86400.0
_CLOCKS_MAY_DIFFER_MS = 3600_000
_LOOK_BACK_PAGES = 50


def transaction_id(room: str, cause: str) -> str:
    """Return the transaction id of the message that `cause` brings about in `room`."""
    digest = hashlib.sha256(f"{room}\0{cause}".encode("utf-8", "surrogatepass")).digest()
    return "c" + base64.urlsafe_b64encode(digest[:24]).decode()


def put(  # noqa: PLR0913 - the columns of a row
    db: sqlite3.Connection,
    room: str,
    content: dict[str, Any],
    cause: str,
    *,
    now: float,
    report: str | None = None,
    event_type: str = "m.room.message",
) -> bool:
    """Queue a message within the caller's transaction.

    Args:
        db: the open transaction.
        room: where to send.
        content: the event's content.
        cause: what brought it about (a record or event id, with a suffix if one cause has several messages).
        now: POSIX seconds.
        report: what `Queue.unreported` gives back together with the event id once it is sent, or `Queue.refused`.
        event_type: type of the event.

    Returns:
        False if this cause was queued for this room before; then nothing changes.
    """
    txn = transaction_id(room, cause)
    row = (room, txn, event_type, orjson.dumps(content | {CAUSE_KEY: txn}).decode(), now, report)
    done = db.execute(
        "INSERT OR IGNORE INTO outgoing (room, txn, type, content, queued_at, report) VALUES (?, ?, ?, ?, ?, ?)", row
    )
    return done.rowcount == 1


@dataclass(frozen=True)
class Owed:
    """A message whose `report` is owed: sent as `event_id`, or refused with the server's words in `error`."""

    seq: int
    report: str
    room: str
    event_id: str
    error: str


class Queue:
    """Sends what is queued.

    Args:
        store: the bot's database.
        client: the bot's client.
        clock: returns POSIX seconds.
        parallel: rooms that are sent to at the same time.
        fits: asked again about the room of a message that waited longer than `FRESH`; where it says no, the message is
            given up as if the server had refused it. None: every room fits.
    """

    def __init__(
        self,
        store: Store,
        client: BotClient,
        clock: Callable[[], float],
        parallel: int = 4,
        fits: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._fits = fits
        self._slots = asyncio.Semaphore(parallel)
        self._wake = asyncio.Event()
        self._rooms: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Tell the sender that something was queued."""
        self._wake.set()

    def waiting(self, room: str | None = None) -> int:
        """Return how many messages are not sent yet."""
        where = "" if room is None else " AND room = ?"
        sql = f"SELECT count(*) AS n FROM outgoing WHERE status = 'waiting'{where}"  # noqa: S608 - no foreign text
        return int(self._store.rows(sql, *(() if room is None else (room,)))[0]["n"])

    def unreported(self) -> list[Owed]:
        """Return the sent messages whose report is still owed."""
        return self._owed("sent")

    def refused(self) -> list[Owed]:
        """Return the messages that the server refused for good and whose report is still owed."""
        return self._owed("failed")

    def _owed(self, status: str) -> list[Owed]:
        sql = "SELECT * FROM outgoing WHERE report IS NOT NULL AND status = ? ORDER BY seq"
        rows = self._store.rows(sql, status)
        return [Owed(r["seq"], r["report"], r["room"], r["event_id"] or "", r["error"] or "") for r in rows]

    def reported(self, seq: int) -> None:
        """Note that a report was delivered."""
        with self._store.transaction() as db:
            db.execute("UPDATE outgoing SET report = NULL WHERE seq = ?", (seq,))

    async def run(self) -> None:
        """Send for ever: one task per room that has something waiting."""
        with self._store.transaction() as db:
            old = self._clock() - KEEP_SENT
            db.execute("DELETE FROM outgoing WHERE status != 'waiting' AND report IS NULL AND queued_at < ?", (old,))
        try:
            while True:
                self._wake.clear()
                for row in self._store.rows("SELECT DISTINCT room FROM outgoing WHERE status = 'waiting'"):
                    task = self._rooms.get(row["room"])
                    if task is None or task.done():
                        self._rooms[row["room"]] = asyncio.create_task(self._drain(row["room"]))
                await self._wake.wait()
        finally:
            for task in self._rooms.values():
                task.cancel()
            await asyncio.gather(*self._rooms.values(), return_exceptions=True)

    async def _drain(self, room: str) -> None:
        backoff = Backoff()
        while rows := self._store.rows(
            "SELECT * FROM outgoing WHERE room = ? AND status = 'waiting' ORDER BY seq LIMIT 1", room
        ):
            row = rows[0]
            try:
                async with self._slots:
                    event_id = await self._deliver(row)
            except ServerError as error:
                if error.passing:
                    await self._retry_later(row, error, backoff)
                else:
                    code = error.errcode
                    logger.error("not sent room=%s status=%d errcode=%s", room, error.status, code)  # noqa: TRY400 - an answer, no bug
                    self._mark(row["seq"], "failed", None, str(error))
            except Exception:
                logger.exception("send broke room=%s", room)
                await asyncio.sleep(backoff.next())
            else:
                backoff.reset()
                self._mark(row["seq"], "sent", event_id)
        # Something queued after the last query and before this task ended is picked up by the next round.
        self._wake.set()

    async def _retry_later(self, row: sqlite3.Row, error: ServerError, backoff: Backoff) -> None:
        pause = backoff.next(error.retry_after)
        with self._store.transaction() as db:
            db.execute("UPDATE outgoing SET attempts = attempts + 1 WHERE seq = ?", (row["seq"],))
        logger.warning("send failed room=%s status=%d retry_s=%.1f", row["room"], error.status, pause)
        await asyncio.sleep(pause)

    def _mark(self, seq: int, status: str, event_id: str | None, error: str | None = None) -> None:
        with self._store.transaction() as db:
            values = (status, event_id, error, seq)
            db.execute("UPDATE outgoing SET status = ?, event_id = ?, error = ? WHERE seq = ?", values)

    async def _deliver(self, row: sqlite3.Row) -> str:
        if self._clock() - row["queued_at"] > TRUSTED_AGE:
            found = await self._find(row)
            if found is not None:
                return found
        if self._fits is not None and self._clock() - row["queued_at"] > FRESH and not await self._fits(row["room"]):
            raise ServerError(_FORBIDDEN, "", "the room is not what it was when this was queued")
        path = f"{CLIENT}/rooms/{q(row['room'])}/send/{q(row['type'])}/{row['txn']}"
        answer = await self._client.call("PUT", path, orjson.loads(row["content"]))
        return str(answer["event_id"])

    async def _find(self, row: sqlite3.Row) -> str | None:
        """Look for an old message in the room itself."""
        earliest = row["queued_at"] * 1000 - _CLOCKS_MAY_DIFFER_MS
        chosen = orjson.dumps({"senders": [self._client.user_id], "types": [row["type"]]}).decode()
        query = {"dir": "b", "limit": "100", "filter": chosen}
        for _ in range(_LOOK_BACK_PAGES):
            path = f"{CLIENT}/rooms/{q(row['room'])}/messages"
            page = as_dict(await self._client.call("GET", path, query=query))
            events = [as_dict(event) for event in as_list(page.get("chunk"))]
            for event in events:
                if as_dict(event.get("content")).get(CAUSE_KEY) == row["txn"]:
                    return str(event["event_id"])
            too_old = events and as_int(events[-1].get("origin_server_ts")) < earliest
            if too_old or not isinstance(page.get("end"), str):
                return None
            query["from"] = page["end"]
        return None
