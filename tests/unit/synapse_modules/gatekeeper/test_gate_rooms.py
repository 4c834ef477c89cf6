"""Shapes of rooms: kinds, and what is read to know them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from synapse_modules import _gate_rooms
from synapse_modules._gate_rooms import RoomShape, RoomShapes
from tests.unit.synapse_modules.gatekeeper.gate_doubles import SCRIBE, Context, Event, Store, compiled

if TYPE_CHECKING:
    from pathlib import Path

ALICE, BOB, CAROL = "@alice:acme.example", "@bob:acme.example", "@carol:acme.example"
FAR = "@zoe:partner.example"


class _Groups:
    """State groups: group -> the group before and what changed."""

    def __init__(self, deltas: dict[int, tuple[int, dict[tuple[str, str], str]]]) -> None:
        self.deltas = deltas

    async def get_state_group_delta(self, group: int) -> tuple[int | None, dict[tuple[str, str], str] | None]:
        return self.deltas.get(group, (None, None))


def _shapes(store: Store, deltas: dict[int, tuple[int, dict[tuple[str, str], str]]] | None = None) -> Any:
    api: Any = SimpleNamespace(
        _store=store, _storage_controllers=SimpleNamespace(state=_Groups(deltas or {})), server_name="acme.example"
    )
    return RoomShapes(api, lambda user: user == SCRIBE)


def _member(store: Store, user: str, membership: str = "join") -> tuple[tuple[str, str], str]:
    event_id = f"${user}{membership}"
    store.events[event_id] = Event("m.room.member", {"membership": membership}, user, user)
    return ("m.room.member", user), event_id


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (RoomShape("!r"), "private"),
        (RoomShape("!r", local=frozenset({ALICE})), "private"),
        (RoomShape("!r", local=frozenset({ALICE, BOB})), "direct"),
        (RoomShape("!r", local=frozenset({ALICE, BOB, CAROL})), "private"),
        (RoomShape("!r", "public", local=frozenset({ALICE, BOB})), "public"),
        (RoomShape("!r", world_readable=True, local=frozenset({ALICE, BOB})), "public"),
        (RoomShape("!r", "public", local=frozenset({ALICE}), remote=frozenset({FAR})), "external"),
    ],
)
def test_kind_is_the_first_that_fits(shape: RoomShape, kind: str) -> None:
    """External before public before direct before private; two people make it direct, whatever it claims."""
    assert kind == shape.kind


async def test_state_is_read_once_for_a_state_group() -> None:
    """A second message in an unchanged room reads nothing at all."""
    store = Store()
    state = dict([_member(store, ALICE), _member(store, BOB), _member(store, SCRIBE)])
    rooms = _shapes(store)
    context = Context(7, state)
    first = await rooms.before(Event("m.room.message", {}), context)
    assert first.kind == "direct"
    assert first.local == {ALICE, BOB}
    reads = store.reads
    assert await rooms.before(Event("m.room.message", {}), context) is first
    assert (context.asked, store.reads) == (1, reads)


async def test_a_new_group_applies_its_delta_only() -> None:
    """A join, a departure and opened join rules change the shape without reading the rest again."""
    store = Store()
    rooms = _shapes(store)
    state = dict([_member(store, ALICE), _member(store, BOB)])
    await rooms.before(Event("m.room.message", {}), Context(1, state))
    steps: list[tuple[tuple[tuple[str, str], str], str]] = [
        (_member(store, CAROL, "invite"), "private"),
        (_member(store, FAR), "external"),
        (_member(store, FAR, "leave"), "private"),
    ]
    for number, (change, kind) in enumerate(steps, start=2):
        context = Context(number, {}, number - 1, dict([change]))
        assert (await rooms.before(Event("m.room.message", {}), context)).kind == kind
        assert context.asked == 0
    store.events["$rules"] = Event("m.room.join_rules", {"join_rule": "public"}, ALICE, "")
    context = Context(5, {}, 4, {("m.room.join_rules", ""): "$rules"})
    assert (await rooms.before(Event("m.room.message", {}), context)).kind == "public"


async def test_events_of_other_processes_are_caught_up() -> None:
    """Several groups behind, only what changed is read, the newest change of each key."""
    store = Store()
    deltas = {3: (2, dict([_member(store, FAR, "leave")])), 2: (1, dict([_member(store, FAR), _member(store, CAROL)]))}
    rooms = _shapes(store, deltas)
    await rooms.before(Event("m.room.message", {}), Context(1, dict([_member(store, ALICE), _member(store, BOB)])))
    context = Context(4, {}, 3, dict([_member(store, BOB, "leave")]))
    shape = await rooms.before(Event("m.room.message", {}), context)
    assert (shape.local, shape.remote) == ({ALICE, CAROL}, frozenset())
    assert context.asked == 0


async def test_a_fork_is_read_anew() -> None:
    """Without a delta from the group that is known the state is read by key."""
    store = Store()
    rooms = _shapes(store)
    await rooms.before(Event("m.room.message", {}), Context(1, dict([_member(store, ALICE)])))
    context = Context(9, dict([_member(store, ALICE), _member(store, FAR)]), 8, {})
    assert (await rooms.before(Event("m.room.message", {}), context)).kind == "external"
    assert context.asked == 1


async def test_members_appear_only_where_a_barrier_concerns_the_sender(tmp_path: Path) -> None:
    """Others cost nothing; those concerned see only people on a side."""
    policy = compiled(
        tmp_path,
        f"""
groups: {{left: {{users: ["{ALICE}"]}}, right: {{users: ["{BOB}"]}}}}
barriers: [{{id: wall, between: [left, right]}}]
""",
    )
    store = Store()
    rooms = _shapes(store)
    context = Context(1, dict([_member(store, ALICE), _member(store, BOB), _member(store, CAROL)]))
    assert (await rooms.facts(Event("m.room.message", {}, CAROL), context, policy)).members is None
    walled = await rooms.facts(Event("m.room.message", {}, ALICE), context, policy)
    assert walled.members == {ALICE, BOB}
    assert await rooms.facts(Event("m.room.message", {}, ALICE), context, policy) is walled


async def test_the_cache_is_bounded_by_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old rooms go when the members of all rooms together are too many; the newest stays."""
    monkeypatch.setattr(_gate_rooms, "MAX_MEMBERS", 6)
    store = Store()
    rooms = _shapes(store)
    state = dict([_member(store, ALICE), _member(store, BOB)])
    for number in range(5):
        event = Event("m.room.message", {}, room_id=f"!{number}:acme.example")
        await rooms.before(event, Context(number, state))
    assert list(rooms._rooms) == ["!3:acme.example", "!4:acme.example"]
    assert rooms._members == 6


async def test_an_outlier_is_not_remembered() -> None:
    """An event without a state group (a rejected remote invitation) has an empty room."""
    rooms = _shapes(Store())
    shape = await rooms.before(Event("m.room.member", {}), Context(None, {}))
    assert shape.kind == "private"
    assert not rooms._rooms
