"""Who may bring the scribe into a room, and what a new room is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from synapse_modules._attendance import Attendance, inviter, under_way
from tests.unit.synapse_modules.gatekeeper.gate_doubles import SCRIBE, Event

ALICE, BOB, FAR = "@alice:acme.example", "@bob:acme.example", "@zoe:partner.example"
FUNCTIONAL = "io.element.functional_members"


def _attendance() -> Attendance:
    runtime: Any = SimpleNamespace(api=None, config=SimpleNamespace(bots={"scribe": SCRIBE}))
    return Attendance(runtime)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"invite": [BOB]},
        {"invite": [SCRIBE]},
        {"initial_state": [{"type": FUNCTIONAL, "content": {"service_members": [BOB]}}]},
        {"initial_state": [{"type": "m.room.topic", "content": {"topic": "x"}}]},
    ],
)
def test_a_new_room_gets_the_scribe(config: dict[str, Any]) -> None:
    """It is invited once and named functional, whatever the request said; the rest stays."""
    before = {event["type"] for event in config.get("initial_state", []) if event["type"] != FUNCTIONAL}
    _attendance().invite_into(ALICE, config)
    assert config["invite"].count(SCRIBE) == 1
    functional = [event for event in config["initial_state"] if event["type"] == FUNCTIONAL]
    assert [event["content"] for event in functional] == [{"service_members": [SCRIBE]}]
    assert before <= {event["type"] for event in config["initial_state"]}


def test_the_scribes_own_rooms_are_left_alone() -> None:
    """It is their creator."""
    config: dict[str, Any] = {}
    _attendance().invite_into(SCRIBE, config)
    assert config == {}


def _members(**memberships: str) -> Any:
    people = {"alice": ALICE, "bob": BOB, "zoe": FAR}
    return {
        ("m.room.member", people[name]): Event("m.room.member", {"membership": membership}, people[name], people[name])
        for name, membership in memberships.items()
    }


def _state(levels: dict[str, Any] | None, *, creators: bool = False) -> Any:
    create: Any = Event("m.room.create", {}, ALICE, "")
    create.room_version = SimpleNamespace(msc4289_creator_power_enabled=creators)
    state = {("m.room.create", ""): create}
    if levels is not None:
        state["m.room.power_levels", ""] = Event("m.room.power_levels", levels, ALICE, "")
    return state


@pytest.mark.parametrize(
    ("state", "members", "expected"),
    [
        (_state({"users": {ALICE: 100}, "invite": 50}), _members(alice="join", bob="join"), ALICE),
        (_state({"users": {ALICE: 100}, "invite": 50}), _members(alice="leave", bob="join"), None),
        (_state({"users": {}, "invite": 0}), _members(alice="leave", bob="join"), BOB),
        (_state({"users": {FAR: 100}, "invite": 50}), _members(zoe="join", bob="join"), None),
        (_state({"users": {}, "invite": 50}, creators=True), _members(alice="join", bob="join"), ALICE),
        (_state(None), _members(alice="join", bob="join"), ALICE),
        (_state({"users": {BOB: "odd"}, "invite": "50"}), _members(bob="join"), None),
        (_state({"users": {ALICE: 100}}), {}, None),
    ],
)
def test_the_local_member_with_most_power_invites(state: Any, members: Any, expected: str | None) -> None:
    """Somebody of this server who is in the room and may invite, or nobody."""
    assert expected == inviter(state, members, lambda user: user.endswith(":acme.example"))


def test_a_room_under_creation_is_recognised() -> None:
    """No power levels yet, or the scribe named before it was invited."""
    assert under_way(_state(None), SCRIBE)
    assert not under_way(_state({}), SCRIBE)
    named = _state({}) | {(FUNCTIONAL, ""): Event(FUNCTIONAL, {"service_members": [SCRIBE]}, ALICE, "")}
    assert under_way(named, SCRIBE)
