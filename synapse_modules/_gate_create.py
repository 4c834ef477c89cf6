"""Room creation: judged whole before anything persists; the events that then make the room are not judged again.

A creation belongs to one request. Its events are recognised by that request, their sender and the room that its
``m.room.create`` made: never by what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from synapse.logging.context import current_context

from charter.facts import ActFacts, CreateRoomFacts
from synapse_modules._decisions import Act
from synapse_modules._gate_invariants import is_firm

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.events import EventBase
    from synapse.module_api import Requester

    from charter.judge import Compiled
    from charter.verdict import Verdict
    from synapse_modules._attendance import Attendance
    from synapse_modules._decisions import Decisions
    from synapse_modules._gate_invariants import Invariants
    from synapse_modules._gate_rates import Rates
    from synapse_modules._runtime import Runtime

CREATE: Final = "m.room.create"
MOVED: Final = frozenset({"m.room.power_levels", "m.room.canonical_alias", "m.room.tombstone"})
"""What an upgrade, once judged, changes in the old room."""


@dataclass(slots=True)
class Creation:
    """A judged creation under way.

    Attributes:
        creator: MXID.
        request: Synapse's object for the request; a later request on the same connection has another.
        room: the new room, once its create event was seen.
        old: the room that is upgraded, if it is an upgrade.
        invitees: who was named in the request.
    """

    creator: str
    request: object
    room: str | None = None
    old: str | None = None
    invitees: frozenset[str] = field(default_factory=frozenset)


_UNDER_WAY: ContextVar[Creation | None] = ContextVar("charter_creation", default=None)


class Creations:
    """Judges creations and recognises the events that follow."""

    def __init__(  # noqa: PLR0913, PLR0917 - one of each part that a creation needs
        self,
        runtime: Runtime,
        decisions: Decisions,
        invariants: Invariants,
        rates: Rates,
        attendance: Attendance,
        trusted: Callable[[str], bool],
    ) -> None:
        self._runtime = runtime
        self._decisions = decisions
        self._invariants = invariants
        self._rates = rates
        self._attendance = attendance
        self._trusted = trusted

    async def on_create_room(self, requester: Requester, config: dict[str, Any], is_admin: bool) -> None:  # noqa: ARG002, FBT001 - Synapse's signature
        """Judge a request to create a room, administrators' too, and have the scribe invited."""
        creator = requester.user.to_string()
        if not self._trusted(creator):
            await self._judge(creator, config)
        self._attendance.invite_into(creator, config)
        invitees = frozenset(_texts(config.get("invite")))
        _UNDER_WAY.set(Creation(creator, current_context().request, invitees=invitees))

    async def covers(self, event: EventBase) -> bool:
        """Whether an event belongs to a creation that was judged whole.

        Raises:
            SynapseError: the event creates a room to upgrade another, and that is refused.
        """
        creation = current()
        if event.type == CREATE and event.is_state():
            if creation is None:
                creation = await self._upgrade(event)
            creation.room = event.room_id
            self._attendance.soon(event.room_id, invited=creation.old is None)
            return True
        if creation is None or creation.creator != event.sender:
            return False
        if creation.room is not None and creation.room == event.room_id:
            return True
        return creation.old is not None and creation.old == event.room_id and event.type in MOVED

    async def _judge(self, creator: str, config: dict[str, Any]) -> None:
        compiled = self._runtime.compiled()
        facts = CreateRoomFacts(config, tuple(_texts(config.get("invite"))))
        broken = self._invariants.check_creation(config, compiled)
        verdict = broken or self._decisions.ask(compiled, creator, facts)
        if verdict.allowed and config.get("invite_3pid"):
            verdict = self._decisions.ask(compiled, creator, ActFacts("external.invite"))
        if verdict.allowed and compiled is not None:
            verdict = self._too_often(compiled, creator, len(facts.invitees)) or verdict
        act = Act("create", content=config)
        await self._decisions.require(compiled, creator, verdict, act, firm=is_firm(broken))

    def _too_often(self, compiled: Compiled, creator: str, invited: int) -> Verdict | None:
        now = self._runtime.now()
        if invited:
            refused = self._rates.take(compiled, creator, "invites", "room.invite", now, invited)
            if refused is not None:
                return refused
        return self._rates.take(compiled, creator, "rooms", "room.create", now)

    async def _upgrade(self, event: EventBase) -> Creation:
        predecessor = event.content.get("predecessor")
        old = predecessor.get("room_id") if isinstance(predecessor, Mapping) else None
        compiled = self._runtime.compiled()
        feature = "room.create" if old is None else "room.upgrade"
        verdict = self._decisions.ask(compiled, event.sender, ActFacts(feature))
        act = Act("create", event_type=CREATE, subject=old, content=event.content)
        await self._decisions.require(compiled, event.sender, verdict, act)
        creation = Creation(event.sender, current_context().request, old=old)
        _UNDER_WAY.set(creation)
        return creation


def current() -> Creation | None:
    """Return the creation of the present request, if it is one."""
    creation = _UNDER_WAY.get()
    if creation is None or creation.request is not current_context().request:
        return None
    return creation


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list | tuple) else []
