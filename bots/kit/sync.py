"""The bot's own /sync: nothing is parsed into models, gaps are filled, the token moves only after the caller is done.

nio's sync loop stores its token before it handles events, never fills a limited timeline and never reports left rooms;
this one gives every event of every section at least once. The caller makes that exactly once by committing the events
(by id) and `Batch.next_batch` in one transaction.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from bots.kit.backoff import Backoff
from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_list, as_str

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

logger = logging.getLogger(__name__)

Event = dict[str, Any]

PAGE = 500
"""Events per /messages page when a gap is filled."""
SPILL_AT = 5000
"""A gap larger than this is handed over in pieces, so that memory stays bounded."""
_FORBIDDEN = 403
_NOT_FOUND = 404


@dataclass(frozen=True)
class RoomSync:
    """What one /sync brought of one room.

    Attributes:
        room_id: the room.
        section: ``join``, ``leave``, ``invite`` or ``knock``.
        state: events of the state section.
        timeline: events of the timeline, oldest first.
        gap: events between the last batch and the timeline, oldest first.
        complete: False if a gap could not be filled because the server forbids it.
    """

    room_id: str
    section: str
    state: tuple[Event, ...]
    timeline: tuple[Event, ...]
    gap: tuple[Event, ...] = ()
    complete: bool = True

    def events(self) -> Iterator[Event]:
        """Yield every event of the section, as far as possible in order; an event may come twice."""
        yield from self.gap
        yield from self.state
        yield from self.timeline


@dataclass(frozen=True)
class Batch:
    """One /sync answer with its gaps filled.

    Attributes:
        since: the token it was asked with; None for the first.
        next_batch: the token to commit together with the events.
        rooms: the rooms that it speaks of.
        account_data: global account data events.
    """

    since: str | None
    next_batch: str
    rooms: tuple[RoomSync, ...]
    account_data: tuple[Event, ...] = ()


class Sync:
    """Fetches batches.

    Args:
        client: the bot's client.
        history: fill a newly joined room back to its beginning, as far as it may be seen.
        spill: receives the oldest part of a very large gap before the batch itself; must commit it.
    """

    def __init__(
        self,
        client: BotClient,
        *,
        history: bool,
        spill: Callable[[str, list[Event]], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._history = history
        self._spill = spill
        self._filter = orjson.dumps(_filter()).decode()

    async def fetch(self, since: str | None, wait: float) -> Batch:
        """Ask for what is new after `since` and fill every gap in it.

        Args:
            since: token of the last committed batch, or None for the beginning.
            wait: seconds the server may hold the request while nothing happens.

        Raises:
            ServerError: Synapse did not answer, or not with a sync; nothing has moved.
        """
        query = {"filter": self._filter, "set_presence": "offline", "timeout": str(int(wait * 1000))}
        if since is not None:
            query["since"] = since
        answer = as_dict(await self._client.call("GET", f"{CLIENT}/sync", query=query, timeout=wait + 60))
        token = as_str(answer.get("next_batch"))
        if not token:
            raise ServerError(0, "", "a sync without next_batch")
        rooms = []
        for section in ("join", "leave", "invite", "knock"):
            for room_id, room in as_dict(as_dict(answer.get("rooms")).get(section)).items():
                rooms.append(await self._room(section, room_id, as_dict(room), since))
        data = as_list(as_dict(answer.get("account_data")).get("events"))
        return Batch(since, token, tuple(rooms), tuple(e for e in data if isinstance(e, dict)))

    async def _room(self, section: str, room_id: str, room: dict[str, Any], since: str | None) -> RoomSync:
        if section in {"invite", "knock"}:
            return RoomSync(room_id, section, _events(room.get(f"{section}_state")), ())
        state, timeline = _events(room.get("state")), _events(room.get("timeline"))
        section_timeline = as_dict(room.get("timeline"))
        if not section_timeline.get("limited"):
            return RoomSync(room_id, section, state, timeline)
        new = since is None or self._joined_in(state + timeline)
        if new and not self._history:
            return RoomSync(room_id, section, state, timeline)
        start = as_str(section_timeline.get("prev_batch"))
        gap, complete = await self._gap(room_id, start, None if new else since)
        return RoomSync(room_id, section, state, timeline, tuple(gap), complete)

    def _joined_in(self, events: tuple[Event, ...]) -> bool:
        """Say whether the bot joined within these events: then `since` knows nothing of the room's past."""
        return any(
            event.get("type") == "m.room.member"
            and event.get("state_key") == self._client.user_id
            and as_dict(event.get("content")).get("membership") == "join"
            for event in events
        )

    async def _gap(self, room_id: str, start: str, stop: str | None) -> tuple[list[Event], bool]:
        """Walk /messages backwards from `start` to `stop`; return the events oldest first."""
        newest_first: list[Event] = []
        token, seen = start, {start}
        query = {"dir": "b", "limit": str(PAGE), "filter": '{"event_format":"federation"}'}
        if stop is not None:
            query["to"] = stop
        while token:
            path = f"{CLIENT}/rooms/{q(room_id)}/messages"
            try:
                page = as_dict(await self._client.call("GET", path, query=query | {"from": token}))
            except ServerError as error:
                if error.status not in {_FORBIDDEN, _NOT_FOUND}:
                    raise
                logger.warning("gap not readable room=%s status=%d", room_id, error.status)
                return newest_first[::-1], False
            newest_first.extend(event for event in as_list(page.get("chunk")) if isinstance(event, dict))
            if self._spill is not None and len(newest_first) >= SPILL_AT:
                await self._spill(room_id, newest_first[::-1])
                newest_first.clear()
            token = as_str(page.get("end"))
            if token in seen:
                break
            seen.add(token)
        return newest_first[::-1], True


def _events(section: Any) -> tuple[Event, ...]:
    return tuple(event for event in as_list(as_dict(section).get("events")) if isinstance(event, dict))


def _filter() -> dict[str, Any]:
    nothing: dict[str, Any] = {"types": []}
    return {
        "event_format": "federation",
        "presence": nothing,
        "room": {
            "include_leave": True,
            "ephemeral": nothing,
            "account_data": nothing,
            "state": {"lazy_load_members": False},
            "timeline": {"limit": 100},
        },
    }


async def run(
    sync: Sync,
    since: Callable[[], str | None],
    handle: Callable[[Batch], Awaitable[None]],
    *,
    wait: float,
    backoff: Backoff | None = None,
) -> None:
    """Fetch and handle batches for ever; after any failure the same token is asked for again, later.

    Until one batch was handled the server is asked to answer at once: a bot that starts is soon known to work.

    Args:
        sync: the fetcher.
        since: returns the token that `handle` committed last.
        handle: commits a batch and its token in one transaction.
        wait: seconds the server may hold an empty sync, but for the first.
        backoff: how long to wait after failures.
    """
    backoff = backoff or Backoff(most=10.0)
    patience = 0.0
    while True:
        try:
            batch = await sync.fetch(since(), patience)
            await handle(batch)
        except ServerError as error:
            pause = backoff.next(error.retry_after)
            logger.warning("sync failed status=%d errcode=%s retry_s=%.1f", error.status, error.errcode, pause)
            await asyncio.sleep(pause)
        except Exception:
            pause = backoff.next()
            logger.exception("batch not handled, it will be fetched again retry_s=%.1f", pause)
            await asyncio.sleep(pause)
        else:
            backoff.reset()
            patience = wait
