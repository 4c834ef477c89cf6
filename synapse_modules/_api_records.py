"""Calls about records: the outbox with acknowledgement and submission, originals, and the journal's watermark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from synapse.api.errors import Codes, SynapseError
from synapse.storage.databases.main.events_worker import EventRedactBehaviour

from synapse_modules._api_router import ANY_BOT, RECORDERS, SCRIBE, SUBMITTERS, Call, Route
from synapse_modules._notes import get_note, put_note

if TYPE_CHECKING:
    from synapse_modules._runtime import Runtime

SUBMITTABLE: dict[str, frozenset[str]] = {
    "steward": frozenset({"receipt", "alarm", "compliance-room", "approval"}),
    "gateway": frozenset({"gateway", "alarm"}),
}
"""Kind of bot -> kinds of records that it may submit."""

_RECORD_ID = re.compile(r"r-[0-9A-HJKMNP-TV-Z]{26}")
_MAX_IDS = 1000


class RecordCalls:
    """Handlers over the runtime's outbox."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.routes = (
            Route("GET", "/outbox", RECORDERS, self.pending),
            Route("POST", "/outbox/ack", RECORDERS, self.acknowledge),
            Route("POST", "/outbox", SUBMITTERS, self.submit),
            Route("GET", "/outbox/{id}", SUBMITTERS, self.committed),
            Route("GET", "/events/{id}", SCRIBE, self.original),
            Route("GET", "/watermark", ANY_BOT, self.watermark),
            Route("PUT", "/watermark", SCRIBE, self.set_watermark),
        )

    async def pending(self, call: Call) -> tuple[int, Any]:
        """Return the caller's pending records."""
        limit = call.whole_number("limit", 100)
        return 200, {"records": await self._runtime.outbox.pending(call.who, limit)}

    async def acknowledge(self, call: Call) -> tuple[int, Any]:
        """Forget records for the caller."""
        ids = call.json().get("ids")
        if not isinstance(ids, list) or len(ids) > _MAX_IDS or not all(isinstance(one, str) for one in ids):
            raise SynapseError(400, f"`ids` must be a list of at most {_MAX_IDS} record ids", Codes.BAD_JSON)
        return 200, {"acknowledged": await self._runtime.outbox.acknowledge(call.who, ids)}

    async def submit(self, call: Call) -> tuple[int, Any]:
        """Put a bot's own record; the body says which bot it came from."""
        content = call.json()
        kind, body = content.get("kind"), content.get("body")
        if not isinstance(kind, str) or kind not in SUBMITTABLE[call.who]:
            raise SynapseError(403, f"Records of this kind are not yours to submit: {kind!r}", Codes.FORBIDDEN)
        if not isinstance(body, dict):
            raise SynapseError(400, "`body` must be an object", Codes.BAD_JSON)
        names = {}
        for key in ("room", "actor", "subject"):
            value = content.get(key)
            if value is not None and not isinstance(value, str):
                raise SynapseError(400, f"`{key}` must be text or null", Codes.BAD_JSON)
            names[key] = value
        record_id = await self._runtime.outbox.put(kind, body=body | {"submitted_by": call.user}, **names)
        return 200, {"id": record_id}

    async def committed(self, call: Call) -> tuple[int, Any]:
        """Whether the ledger has a record."""
        record_id = call.parts["id"]
        if _RECORD_ID.fullmatch(record_id) is None:
            raise SynapseError(404, "Not a record id", Codes.NOT_FOUND)
        return 200, {"committed": await self._runtime.outbox.committed(record_id)}

    async def original(self, call: Call) -> tuple[int, Any]:
        """Return an event as it was sent, also where it was redacted since."""
        event = await self._runtime.api._store.get_event(  # noqa: SLF001 - the public API has no unredacted events
            call.parts["id"], redact_behaviour=EventRedactBehaviour.as_is, allow_none=True
        )
        if event is None:
            raise SynapseError(404, "There is no such event", Codes.NOT_FOUND)
        pdu = event.get_pdu_json()
        pdu.pop("unsigned", None)
        return 200, {"room": event.room_id, "pdu": pdu}

    async def watermark(self, _call: Call) -> tuple[int, Any]:
        """How far the journal has come."""
        value = await get_note(self._runtime.api, "watermark")
        if value is None:
            raise SynapseError(404, "The journal has not begun", Codes.NOT_FOUND)
        return 200, value

    async def set_watermark(self, call: Call) -> tuple[int, Any]:
        """Move the watermark."""
        content = call.json()
        events, time_ms, lag_ms = content.get("events"), content.get("time"), content.get("lag_ms", 0)
        if not isinstance(events, str) or not isinstance(time_ms, int) or not isinstance(lag_ms, int):
            raise SynapseError(400, "A watermark is {events: text, time: ms, lag_ms: number}", Codes.BAD_JSON)
        await put_note(self._runtime.api, "watermark", {"events": events, "time": time_ms, "lag_ms": lag_ms})
        return 200, {}
