"""The scribe is a member of every room: invited at creation, brought into rooms that exist already.

The scribe accepts invitations itself; this part does not wait for that. A room is swept only while the scribe is not in
it, by one process, so that this costs nothing when all is well.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from synapse.api.errors import SynapseError

if TYPE_CHECKING:
    from synapse.events import EventBase
    from synapse.storage.database import LoggingTransaction
    from synapse.types import StateMap

    from synapse_modules._runtime import Runtime

logger = logging.getLogger(__name__)

FUNCTIONAL: Final = "io.element.functional_members"
SWEEP_MS: Final = 15_000
BATCH: Final = 50
SOON_MS: Final = (100, 500, 5_000)
"""When a new room is looked at for the invitation that its creation sends after everything but the others."""

LATER_MS: Final = 5_000
"""When a room that was made without an invitation (an upgrade) is looked at."""

SETTLED_S: Final = 10.0
"""A room that the scribe has been missing from for less is left alone by the sweep."""

PATIENCE_S: Final = 600.0
"""The longest creation: after that a room that looks half-made is entered too."""

REST_S: Final = 3600.0
"""A room that the scribe could not enter is tried again after so long."""

POWER_LEVELS: Final = "m.room.power_levels"
MEMBER: Final = "m.room.member"
CREATE: Final = "m.room.create"
JOIN_RULES: Final = "m.room.join_rules"
STATE: Final = [(POWER_LEVELS, ""), (CREATE, ""), (JOIN_RULES, ""), (FUNCTIONAL, "")]
CREATOR_POWER: Final = 2**53
REMEMBERED: Final = 10_000


class Attendance:
    """Brings the scribe into rooms; one per process, sweeping on the process for background tasks."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._api = runtime.api
        self._scribe = runtime.config.bots.get("scribe")
        self._resting: OrderedDict[str, float] = OrderedDict()
        self._missing: dict[str, float] = {}

    def start(self) -> None:
        """Sweep from time to time."""
        if self._scribe is not None:
            self._api.looping_background_call(self._sweep, SWEEP_MS, desc="charter_attendance")

    def invite_into(self, creator: str, config: dict[str, Any]) -> None:
        """Add the scribe to the invitations and to the functional members of a room about to be created.

        It is invited first: a creation that fails half-way, at another invitation, has its scribe all the same.
        """
        scribe = self._scribe
        if scribe is None or creator == scribe:
            return
        invited = config.get("invite")
        if invited is None or isinstance(invited, list):
            config["invite"] = [scribe, *(user for user in invited or [] if user != scribe)]
        state = config.get("initial_state")
        if state is None or isinstance(state, list):
            others = [
                event for event in state or [] if not (isinstance(event, dict) and event.get("type") == FUNCTIONAL)
            ]
            members = {"type": FUNCTIONAL, "state_key": "", "content": {"service_members": [scribe]}}
            config["initial_state"] = [*others, members]

    def soon(self, room_id: str, *, invited: bool) -> None:
        """Look at a room that is being created.

        Args:
            room_id: the room.
            invited: its creation invites the scribe, as its last step.
        """
        if self._scribe is not None:
            for delay in SOON_MS if invited else (LATER_MS,):
                self._api.delayed_background_call(delay, self._attend_quietly, room_id, invited, desc="charter_attend")

    async def attend(self, room_id: str, *, patient: bool) -> bool | None:
        """Bring the scribe into a room.

        Args:
            room_id: the room.
            patient: leave a room alone whose creation seems to be under way: it has no power levels yet, or names the
                scribe a functional member and has not invited it. An invitation beside that would end the creation.

        Returns:
            True if it is in the room; None if it was left alone; False if it cannot be brought in.
        """
        scribe = self._scribe
        assert scribe is not None
        store = self._api._store  # noqa: SLF001 - membership by key has no public reader
        membership, _ = await store.get_local_current_membership_for_user_in_room(scribe, room_id)
        if membership == "join":
            return True
        try:
            if membership != "invite":
                state = await self._api.get_room_state(room_id, STATE)
                if patient and membership is None and under_way(state, scribe):
                    return None
                await self._invite(scribe, room_id, state)
            await self._api.update_room_membership(scribe, scribe, room_id, "join")
        except SynapseError as error:
            logger.info("the scribe cannot enter %s: %s", room_id, error.msg)
            return False
        return True

    async def _invite(self, scribe: str, room_id: str, state: StateMap[EventBase]) -> None:
        rules = state.get((JOIN_RULES, ""))
        if rules is not None and rules.content.get("join_rule") == "public":
            return
        members = await self._api.get_room_state(room_id, [(MEMBER, None)])
        host = inviter(state, members, self._api.is_mine)
        if host is not None:
            await self._api.update_room_membership(host, scribe, room_id, "invite")

    async def _attend_quietly(self, room_id: str, patient: bool) -> None:  # noqa: FBT001 - Synapse's timer passes by position
        await self._try(room_id, patient=patient)

    async def _try(self, room_id: str, *, patient: bool) -> bool | None:
        try:
            return await self.attend(room_id, patient=patient)
        except Exception:
            logger.exception("bringing the scribe into %s failed; the sweep tries again", room_id)
            return False

    async def _sweep(self) -> None:
        """Enter the rooms that the scribe has been missing from for a while."""
        assert self._scribe is not None
        now = self._runtime.now()
        rooms = await self._api.run_db_interaction(
            "charter_attendance", _without, self._scribe, BATCH + len(self._resting)
        )
        self._missing = {room: self._missing.get(room, now) for room in rooms}
        for room_id, since in self._missing.items():
            if now - since < SETTLED_S or self._resting.get(room_id, 0) > now:
                continue
            if await self._try(room_id, patient=now - since < PATIENCE_S) is False:
                await self._give_up(room_id, now)

    async def _give_up(self, room_id: str, now: float) -> None:
        known = room_id in self._resting
        self._resting[room_id] = now + REST_S
        if len(self._resting) > REMEMBERED:
            self._resting.popitem(last=False)
        if known:
            return
        text = (
            "The scribe cannot join this room: nobody here may invite it. Its events are captured by the server only."
        )
        await self._runtime.outbox.put("alarm", room=room_id, body={"code": "scribe-cannot-join", "text": text})


def under_way(state: StateMap[EventBase], scribe: str) -> bool:
    """Whether a room in which the scribe never was looks as if its creation had not ended."""
    functional = state.get((FUNCTIONAL, ""))
    members = () if functional is None else functional.content.get("service_members")
    return (POWER_LEVELS, "") not in state or (isinstance(members, list | tuple) and scribe in members)


def inviter(state: StateMap[EventBase], members: StateMap[EventBase], is_mine: Any) -> str | None:
    """Return the local member with the most power among those who may invite, or None."""
    levels = state.get((POWER_LEVELS, ""))
    content: Any = {} if levels is None else levels.content
    create = state.get((CREATE, ""))
    needed = _level(content.get("invite"), 0)
    best: tuple[int, str] | None = None
    for (_, user), event in members.items():
        if event.content.get("membership") != "join" or not is_mine(user):
            continue
        power = _power(user, content, create, has_levels=levels is not None)
        if power >= needed and (best is None or power > best[0]):
            best = (power, user)
    return None if best is None else best[1]


def _power(user: str, content: Any, create: EventBase | None, *, has_levels: bool) -> int:
    if create is not None:
        creators = {create.sender, *(create.content.get("additional_creators") or ())}
        privileged = create.room_version.msc4289_creator_power_enabled
        if user in creators and (privileged or not has_levels):
            return CREATOR_POWER
    users = content.get("users") or {}
    return _level(users.get(user), _level(content.get("users_default"), 0))


def _level(value: Any, default: int) -> int:
    try:
        return default if value is None else int(value)
    except (TypeError, ValueError):
        return default


def _without(txn: LoggingTransaction, scribe: str, limit: int) -> list[str]:
    """Return rooms with local members in which the scribe is not."""
    txn.execute(
        "SELECT DISTINCT m.room_id FROM local_current_membership AS m WHERE m.membership = 'join'"
        " AND NOT EXISTS (SELECT 1 FROM local_current_membership AS s"
        " WHERE s.room_id = m.room_id AND s.user_id = ? AND s.membership = 'join') LIMIT ?",
        (scribe, limit),
    )
    return [str(row[0]) for row in txn.fetchall()]
