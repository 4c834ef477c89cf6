"""Facts for the judge, gathered from Synapse's objects by key; nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from synapse.types.state import StateFilter

from charter.facts import EventFacts
from synapse_modules._gate_media import MEDIA_KEYS, Media, media_uris
from synapse_modules._gate_rooms import MEMBER, server_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.events import EventBase
    from synapse.events.snapshot import UnpersistedEventContextBase
    from synapse.types import StateMap

    from charter.facts import RoomFacts
    from charter.judge import Compiled
    from synapse_modules._gate_media import MediaTypes
    from synapse_modules._gate_rooms import RoomShape, RoomShapes


class StateBefore(Protocol):
    """The room's state before an event, however it can be had."""

    async def shape(self) -> RoomShape:
        """Return the room's shape."""

    async def facts(self, compiled: Compiled | None) -> RoomFacts:
        """Return the room's facts, with members where a barrier concerns the sender."""

    async def event(self, event_type: str, state_key: str) -> EventBase | None:
        """Return one state event."""


class ContextState:
    """State through an event's context: cached shape, single events by key."""

    def __init__(self, rooms: RoomShapes, event: EventBase, context: UnpersistedEventContextBase) -> None:
        self._rooms = rooms
        self._event = event
        self._context = context

    async def shape(self) -> RoomShape:
        """Return the room's shape."""
        return await self._rooms.before(self._event, self._context)

    async def facts(self, compiled: Compiled | None) -> RoomFacts:
        """Return the room's facts."""
        return await self._rooms.facts(self._event, self._context, compiled)

    async def event(self, event_type: str, state_key: str) -> EventBase | None:
        """Return one state event."""
        key = (event_type, state_key)
        ids = await self._context.get_prev_state_ids(StateFilter.from_types([key]))
        return await self._rooms.event(ids.get(key))


class LoadedState:
    """State as the public hook hands it over: all of it."""

    def __init__(self, rooms: RoomShapes, event: EventBase, state: StateMap[EventBase]) -> None:
        self._rooms = rooms
        self._event = event
        self._state = state

    async def shape(self) -> RoomShape:
        """Return the room's shape."""
        return self._rooms.of_state(self._event.room_id, self._state)

    async def facts(self, compiled: Compiled | None) -> RoomFacts:
        """Return the room's facts."""
        return self._rooms.facts_of(await self.shape(), compiled, self._event.sender)

    async def event(self, event_type: str, state_key: str) -> EventBase | None:
        """Return one state event."""
        return self._state.get((event_type, state_key))


async def event_facts(
    event: EventBase, state: StateBefore, rooms: RoomShapes, media: MediaTypes, compiled: Compiled | None
) -> tuple[EventFacts, list[Media | None]]:
    """Return the facts of a local event and the media it refers to (None for each that is not this server's)."""
    content = event.content
    found: list[Media | None] = []
    if not event.is_state() and not MEDIA_KEYS.isdisjoint(content):
        found = [await media.find(uri) for uri in media_uris(content)]
    room = await state.facts(compiled)
    previous: Mapping[str, Any] | None = None
    if event.type == MEMBER and event.is_state():
        room = await _membership_room(event, state, rooms, compiled, room)
        earlier = await state.event(MEMBER, event.state_key)
        previous = None if earlier is None else earlier.content
    sniffed = tuple(sorted({each.content_type for each in found if each is not None and each.certain}))
    facts = EventFacts(event.type, content, event.get_state_key(), room, sniffed, previous)
    return facts, found


async def _membership_room(
    event: EventBase, state: StateBefore, rooms: RoomShapes, compiled: Compiled | None, room: RoomFacts
) -> RoomFacts:
    """Return the room as it would be with the invited person in it."""
    if event.content.get("membership") != "invite":
        return room
    target = event.state_key
    after = (await state.shape()).with_person(target, local=server_of(target) == server_of(event.sender))
    return rooms.facts_of(after, compiled, event.sender, target)
