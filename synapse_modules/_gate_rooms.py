"""What kind of room it is, exact for the state before each event, without reading that state again for each event.

A shape belongs to one state group, which Synapse never changes. The next state event makes a new group whose delta to
the old one Synapse has at hand: the new shape is the old one with the delta applied. Only a room that this process does
not know yet, or whose history forked, has its members read by key.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from synapse.types.state import StateFilter

from charter.facts import RoomFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from synapse.events import EventBase
    from synapse.events.snapshot import UnpersistedEventContextBase
    from synapse.module_api import ModuleApi
    from synapse.types import StateMap

    from charter.judge import Compiled
    from charter.policy.model import RoomKind

MEMBER: Final = "m.room.member"
JOIN_RULES: Final = "m.room.join_rules"
HISTORY: Final = "m.room.history_visibility"
FILTER: Final = StateFilter.from_types([(MEMBER, None), (JOIN_RULES, ""), (HISTORY, "")])
PRESENT: Final = frozenset({"join", "invite"})
A_PAIR: Final = 2
STEPS: Final = 16
"""State events by which a shape may lag behind, because other processes handled them, and still be brought up to date."""

MAX_MEMBERS: Final = 1_000_000
"""Members in all cached shapes together: about 130 MB at the very worst."""


@dataclass(frozen=True, slots=True)
class RoomShape:
    """What a judgement needs of a room's state.

    Attributes:
        room_id: the room.
        join_rule: content of m.room.join_rules, ``invite`` without one.
        world_readable: anybody can read the history.
        local: local people joined or invited, without functional members.
        remote: people of other servers, joined or invited.
    """

    room_id: str
    join_rule: str = "invite"
    world_readable: bool = False
    local: frozenset[str] = frozenset()
    remote: frozenset[str] = frozenset()

    @property
    def kind(self) -> RoomKind:
        """The first that fits of external, public, direct (exactly two people) and private.

        The number of people is counted, not asked: the ``is_direct`` flag is the inviter's word.
        """
        if self.remote:
            return "external"
        if self.join_rule == "public" or self.world_readable:
            return "public"
        return "direct" if len(self.local) == A_PAIR else "private"

    def facts(self) -> RoomFacts:
        """Return the plain facts, without members."""
        return RoomFacts(self.room_id, self.kind, frozenset(server_of(user) for user in self.remote))

    def with_person(self, user: str, *, local: bool) -> RoomShape:
        """Return the shape after somebody joined or was invited."""
        if local:
            return replace(self, local=self.local | {user})
        return replace(self, remote=self.remote | {user})


@dataclass(slots=True)
class _Entry:
    group: int
    shape: RoomShape
    plain: RoomFacts
    walled: tuple[Compiled, RoomFacts] | None = field(default=None)


class Walls:
    """Who stands on a side of a barrier, remembered per compiled policy."""

    def __init__(self) -> None:
        self._compiled: Compiled | None = None
        self._sides: tuple[str, ...] = ()
        self._known: dict[str, bool] = {}

    def concern(self, compiled: Compiled, user: str) -> bool:
        """Whether some barrier names a side that the user is on."""
        if compiled is not self._compiled:
            barriers = compiled.policy.barriers
            self._sides = tuple(sorted({name for barrier in barriers for name in barrier.between}))
            self._known = {}
            self._compiled = compiled
        if not self._sides:
            return False
        known = self._known.get(user)
        if known is None:
            known = self._known[user] = any(compiled.member(user, side) for side in self._sides)
        return known


class RoomShapes:
    """Shapes of the rooms that this process has seen, bounded by the number of members."""

    def __init__(self, api: ModuleApi, is_functional: Callable[[str], bool]) -> None:
        self._store: Any = api._store  # noqa: SLF001 - membership by event id has no public reader
        self._state = api._storage_controllers.state  # noqa: SLF001 - neither has current state by key
        self._server_name = api.server_name
        self._is_functional = is_functional
        self._rooms: OrderedDict[str, _Entry] = OrderedDict()
        self._members = 0
        self.walls = Walls()

    async def before(self, event: EventBase, context: UnpersistedEventContextBase) -> RoomShape:
        """Return the room's shape before the event; no database round trip in a room whose state did not change."""
        return (await self._entry(event.room_id, context)).shape

    async def facts(
        self, event: EventBase, context: UnpersistedEventContextBase, compiled: Compiled | None
    ) -> RoomFacts:
        """Return the room's facts before the event, with members only where a barrier concerns the sender."""
        entry = await self._entry(event.room_id, context)
        if compiled is None or not compiled.walls or not self.walls.concern(compiled, event.sender):
            return entry.plain
        if entry.walled is None or entry.walled[0] is not compiled:
            entry.walled = (compiled, self.walled(entry.shape, compiled))
        return entry.walled[1]

    def facts_of(self, shape: RoomShape, compiled: Compiled | None, *people: str) -> RoomFacts:
        """Return the facts of a shape, with members where a barrier concerns one of these people."""
        if compiled is None or not any(self.walls.concern(compiled, user) for user in people):
            return shape.facts()
        return self.walled(shape, compiled)

    def walled(self, shape: RoomShape, compiled: Compiled) -> RoomFacts:
        """Return the facts of a shape with those members whom a barrier concerns."""
        concern = self.walls.concern
        return replace(shape.facts(), members=frozenset(user for user in shape.local if concern(compiled, user)))

    async def current(self, room_id: str) -> RoomShape | None:
        """Return the room's present shape, or None if this server is not in the room."""
        ids = await self._state.get_current_state_ids(room_id, FILTER, await_full_state=False)
        shape = await self._apply(RoomShape(room_id), ids)
        return shape if ids and any(key[0] == MEMBER for key in ids) else None

    def of_state(self, room_id: str, state: StateMap[EventBase]) -> RoomShape:
        """Return the shape of a state that is loaded already, as the public hook hands it over."""
        members = {
            key: str(event.content.get("membership"))
            for (event_type, key), event in state.items()
            if event_type == MEMBER
        }
        return self._changed(RoomShape(room_id), members, state.get((JOIN_RULES, "")), state.get((HISTORY, "")))

    async def _entry(self, room_id: str, context: UnpersistedEventContextBase) -> _Entry:
        group = getattr(context, "state_group_before_event", None)
        entry = self._rooms.get(room_id)
        if entry is not None and entry.group == group:
            return entry
        changes = None if entry is None or group is None else await self._since(entry.group, group, context)
        if entry is None or changes is None:
            shape = await self._apply(RoomShape(room_id), await context.get_prev_state_ids(FILTER))
        else:
            shape = await self._apply(entry.shape, changes)
        fresh = _Entry(-1 if group is None else group, shape, shape.facts())
        if group is not None:
            self._remember(room_id, fresh)
        return fresh

    async def _since(
        self, known: int, group: int, context: UnpersistedEventContextBase
    ) -> Mapping[tuple[str, str], str] | None:
        """Return what changed from one state group to a later one, or None if that is not a few steps away."""
        previous = getattr(context, "prev_group_for_state_group_before_event", None)
        delta = getattr(context, "delta_ids_to_state_group_before_event", None)
        changes: dict[tuple[str, str], str] = {}
        for _ in range(STEPS):
            if previous is None or delta is None:
                previous, delta = await self._state.get_state_group_delta(group)
            if previous is None or delta is None:
                return None
            changes = {**delta, **changes}
            if previous == known:
                return changes
            group, previous, delta = previous, None, None
        return None

    def _remember(self, room_id: str, entry: _Entry) -> None:
        old = self._rooms.pop(room_id, None)
        self._members += _weight(entry.shape) - (0 if old is None else _weight(old.shape))
        self._rooms[room_id] = entry
        while self._members > MAX_MEMBERS and len(self._rooms) > 1:
            _, oldest = self._rooms.popitem(last=False)
            self._members -= _weight(oldest.shape)

    async def _apply(self, shape: RoomShape, ids: Mapping[tuple[str, str], str]) -> RoomShape:
        member_ids = {event_id: key for (event_type, key), event_id in ids.items() if event_type == MEMBER}
        members: dict[str, str] = {}
        if member_ids:
            found = await self._store.get_membership_from_event_ids(member_ids)
            members = {key: row.membership if (row := found.get(i)) else "leave" for i, key in member_ids.items()}
        join_rules = await self.event(ids.get((JOIN_RULES, "")))
        history = await self.event(ids.get((HISTORY, "")))
        return self._changed(shape, members, join_rules, history)

    async def event(self, event_id: str | None) -> EventBase | None:
        """Return an event by id; None stays None."""
        if event_id is None:
            return None
        found: EventBase | None = await self._store.get_event(event_id, allow_none=True)
        return found

    def _changed(
        self,
        shape: RoomShape,
        members: Mapping[str, str],
        join_rules: EventBase | None,
        history: EventBase | None,
    ) -> RoomShape:
        touched = frozenset(members)
        present = {user for user, membership in members.items() if membership in PRESENT}
        mine = {user for user in present if server_of(user) == self._server_name and not self._is_functional(user)}
        theirs = {user for user in present if server_of(user) != self._server_name}
        return replace(
            shape,
            local=(shape.local - touched) | mine,
            remote=(shape.remote - touched) | theirs,
            join_rule=shape.join_rule if join_rules is None else str(join_rules.content.get("join_rule", "invite")),
            world_readable=shape.world_readable
            if history is None
            else history.content.get("history_visibility") == "world_readable",
        )


def server_of(user: str) -> str:
    """Return the server of an MXID; "" if it has none."""
    return user.partition(":")[2]


def _weight(shape: RoomShape) -> int:
    return 1 + len(shape.local) + len(shape.remote)
