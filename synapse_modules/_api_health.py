"""Calls about the house itself: heartbeats, health, compliance rooms, and who judges by what."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from synapse.api.errors import Codes, SynapseError

from synapse_modules._api_router import ANY_BOT, ANYONE, SCRIBE, Call, Route
from synapse_modules._notes import get_note, put_note, read_notes
from synapse_modules._processes import living

if TYPE_CHECKING:
    from synapse.storage.database import LoggingTransaction

    from synapse_modules._runtime import Runtime

HEARTBEAT = "heartbeat:"
_ROOMS = frozenset({"journal", "audit", "alerts", "approvals"})
_DETAIL_LIMIT = 16 * 1024


class HealthCalls:
    """Handlers over notes and processes."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.routes = (
            Route("POST", "/heartbeat", ANY_BOT, self.heartbeat),
            Route("GET", "/health", ANY_BOT, self.health),
            Route("GET", "/rooms", ANY_BOT, self.rooms),
            Route("PUT", "/rooms", SCRIBE, self.set_rooms),
            Route("GET", "/processes", ANYONE, self.processes),
        )

    async def heartbeat(self, call: Call) -> tuple[int, Any]:
        """Note that a bot lives."""
        content = call.json(_DETAIL_LIMIT)
        healthy, detail = content.get("healthy"), content.get("detail", {})
        if not isinstance(healthy, bool) or not isinstance(detail, dict):
            raise SynapseError(400, "A heartbeat is {healthy: true or false, detail: object}", Codes.BAD_JSON)
        beat = {"seen_at": int(time.time() * 1000), "healthy": healthy, "detail": detail}
        await put_note(self._runtime.api, f"{HEARTBEAT}{call.role}", beat)
        return 200, {}

    async def health(self, _call: Call) -> tuple[int, Any]:
        """Everything an operator looks at first."""
        active = self._runtime.active
        beats = await self._runtime.api.run_db_interaction("charter_heartbeats", read_notes, HEARTBEAT)
        policy = None
        if active is not None:
            policy = {
                "digest": active.bundle.digest,
                "sequence": active.bundle.sequence,
                "stage": active.bundle.stage,
                "age_s": int(time.time() - active.applied_at),
            }
        directory = None
        if self._runtime.snapshot is not None:
            taken_at = await self._runtime.api.run_db_interaction("charter_directory_age", _directory_taken_at)
            directory = {"taken_at": taken_at, "people": len(self._runtime.snapshot.people)}
        return 200, {
            "policy": policy,
            "processes": await self._runtime.api.run_db_interaction("charter_processes", living),
            "bots": beats,
            "outbox": await self._runtime.outbox.depth(),
            "directory": directory,
        }

    async def rooms(self, _call: Call) -> tuple[int, Any]:
        """The compliance rooms."""
        value = await get_note(self._runtime.api, "rooms")
        if value is None:
            raise SynapseError(404, "The compliance rooms do not exist yet", Codes.NOT_FOUND)
        return 200, value

    async def set_rooms(self, call: Call) -> tuple[int, Any]:
        """Say which rooms the compliance rooms are."""
        content = call.json()
        if set(content) != _ROOMS or not all(isinstance(v, str) and v.startswith("!") for v in content.values()):
            raise SynapseError(400, f"Room ids by {', '.join(sorted(_ROOMS))}", Codes.BAD_JSON)
        await put_note(self._runtime.api, "rooms", content)
        return 200, {}

    async def processes(self, call: Call) -> tuple[int, Any]:
        """Who judges by what; without a token only who does not yet judge by a digest the caller names."""
        digest = call.query("digest")
        if call.who == "anyone" and digest is None:
            raise SynapseError(401, "Name a digest, or use a bot's token", Codes.MISSING_TOKEN)
        rows = await self._runtime.api.run_db_interaction("charter_processes", living)
        if digest is None:
            return 200, {"processes": rows}
        sequence = call.whole_number("sequence", 0)
        behind = [row["instance"] for row in rows if row["digest"] != digest or row["sequence"] < sequence]
        return 200, {"digest": digest, "judging": len(rows) - len(behind), "behind": len(behind), "waiting_for": behind}


def _directory_taken_at(txn: LoggingTransaction) -> int | None:
    """Return when the directory was last read (ms), also where that changed nothing."""
    txn.execute("SELECT taken_at FROM charter_directory WHERE name = 'current'")
    row = txn.fetchone()
    return None if row is None else int(row[0])
