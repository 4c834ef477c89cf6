"""The four compliance rooms: made once, found again after any crash."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bots.kit.client import CLIENT, BotClient, ServerError, q
from bots.kit.custody import ComplianceRooms
from bots.kit.foreign import as_dict, as_list, as_str

if TYPE_CHECKING:
    from bots.kit.store import Store
    from bots.scribe.config import ScribeConfig

logger = logging.getLogger(__name__)

MARK = "org.charter.room"
"""Key in ``m.room.create`` that names the compliance room: it is how a room is found after a crash."""
BOT_POWER = 50


@dataclass(frozen=True)
class Plan:
    """One compliance room as it is made; people post only where `open` is true."""

    name: str
    title: str
    topic: str
    open: bool = False


PLANS = (
    Plan("journal", "Journal", "Every conversation, as it happened. The ledger holds the evidence."),
    Plan("audit", "Audit", "Log-ons, log-offs, refusals, policy and configuration changes, use of admin rights."),
    Plan("alerts", "Alerts", "What needs somebody's attention now."),
    Plan("approvals", "Approvals", "Requests that wait for an approver.", open=True),
)


async def ensure_rooms(client: BotClient, store: Store, config: ScribeConfig) -> ComplianceRooms:
    """Return the compliance rooms, making those that are missing.

    Crash order: the intent is stored before /createRoom and the id after it. An intent without an id means that the
    room may exist: then the scribe's rooms are searched for the mark before another one is made.
    """
    found = {plan.name: await _ensure(client, store, config, plan) for plan in PLANS}
    return ComplianceRooms(**found)


async def _ensure(client: BotClient, store: Store, config: ScribeConfig, plan: Plan) -> str:
    known = store.note(f"room:{plan.name}")
    if known:
        return known
    room = await _search(client, plan.name) if store.note(f"room:{plan.name}:intent") else None
    if room is None:
        store.remember(f"room:{plan.name}:intent", "1")
        answer = await client.call("POST", f"{CLIENT}/createRoom", creation(plan, config))
        room = as_str(as_dict(answer).get("room_id"))
        if not room:
            raise ServerError(0, "", "createRoom without room_id")
        logger.info("compliance room made name=%s room=%s", plan.name, room)
    store.remember(f"room:{plan.name}", room)
    return room


async def _search(client: BotClient, name: str) -> str | None:
    answer = as_dict(await client.call("GET", f"{CLIENT}/joined_rooms"))
    for room in as_list(answer.get("joined_rooms")):
        path = f"{CLIENT}/rooms/{q(room)}/state/m.room.create"
        content = as_dict(await client.call("GET", path, allow=frozenset({403, 404})))
        if content.get(MARK) == name:
            return str(room)
    return None


def creation(plan: Plan, config: ScribeConfig) -> dict[str, Any]:
    """Return the body of /createRoom.

    History is ``shared``: a reader who joins the security team later reads the rooms from their beginning, which is
    what they are for; whoever leaves the team is removed and reads nothing more. Only bots change the rooms.
    """
    bots = sorted({config.steward} - {""})
    return {
        "name": plan.title,
        "topic": plan.topic,
        "preset": "private_chat",
        "visibility": "private",
        "room_version": config.room_version,
        "creation_content": {MARK: plan.name, "m.federate": False},
        "invite": bots,
        "initial_state": [
            {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "shared"}},
            {"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "forbidden"}},
            {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "invite"}},
        ],
        "power_level_content_override": {
            "users": {config.user_id: 100} | dict.fromkeys(bots, BOT_POWER),
            "users_default": 0,
            "events_default": 0 if plan.open else BOT_POWER,
            "events": {},
            "state_default": 100,
            "invite": 100,
            "kick": 100,
            "ban": 100,
            "redact": 100,
            "notifications": {"room": 100},
        },
    }
