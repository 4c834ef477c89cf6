"""Joins, invitations and the federation's door, with doubles for Synapse's store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from synapse.api.errors import SynapseError

from synapse_modules._decisions import Decisions
from synapse_modules._gate_people import PeopleGate
from synapse_modules._gate_rooms import RoomShape, Walls
from tests.unit.synapse_modules.gatekeeper.gate_doubles import SCRIBE, Event, Runtime, compiled

if TYPE_CHECKING:
    from pathlib import Path

ALICE, BOB, FAR = "@alice:acme.example", "@bob:acme.example", "@zoe:partner.example"
POLICY = f"""
grants:
  - {{id: guests, to: [everyone], allow: [room.join, room.invite]}}
federation:
  servers:
    - {{id: partner, server: partner.example, to: ["{ALICE}"], allow: [chat.*, external.*]}}
"""


class _Store:
    """Memberships and invitations by key."""

    def __init__(self) -> None:
        self.invited_by: str | None = None
        self.membership: str | None = None

    async def get_local_current_membership_for_user_in_room(self, _user: str, _room: str) -> tuple[str | None, None]:
        return self.membership, None

    async def get_invite_for_local_user_in_room(self, _user: str, _room: str) -> Any:
        return None if self.invited_by is None else SimpleNamespace(sender=self.invited_by)

    async def is_server_notice_room(self, _room: str) -> bool:
        return False


class _Rooms:
    """One room, or none that this server is in."""

    def __init__(self) -> None:
        self.shape: RoomShape | None = RoomShape("!r:acme.example", local=frozenset({ALICE, BOB}))
        self.walls = Walls()

    async def current(self, _room: str) -> RoomShape | None:
        return self.shape

    def facts_of(self, shape: RoomShape, *_rest: Any) -> Any:
        return shape.facts()


class _House:
    """A people gate and its doubles."""

    def __init__(self, folder: Path) -> None:
        self.runtime = Runtime(compiled(folder, POLICY))
        self.store, self.rooms = _Store(), _Rooms()
        runtime: Any = self.runtime
        runtime.api = SimpleNamespace(_store=self.store, server_name="acme.example")
        rooms: Any = self.rooms
        invariants: Any = SimpleNamespace(may_enter=lambda *_: None)
        self.gate = PeopleGate(runtime, Decisions(runtime), rooms, invariants, self.runtime.is_bot)


@pytest.fixture
def house(tmp_path: Path) -> _House:
    """Return a fresh gate."""
    return _House(tmp_path)


async def test_a_local_join_needs_room_join(house: _House) -> None:
    """With the grant it is no spam; without a policy it is refused."""
    assert await house.gate.user_may_join_room(BOB, "!r:acme.example", False) == "NOT_SPAM"  # noqa: FBT003 - Synapse's signature
    house.runtime.policy = None
    with pytest.raises(SynapseError):
        await house.gate.user_may_join_room(BOB, "!r:acme.example", False)  # noqa: FBT003 - Synapse's signature


@pytest.mark.parametrize(
    ("user", "room", "inviter", "allowed"),
    [
        (ALICE, "!far:partner.example", None, True),
        (ALICE, "!v12hash", FAR, True),
        (ALICE, "!v12hash", None, False),
        (ALICE, "!far:evil.example", None, False),
        (ALICE, "!far:evil.example", FAR, False),
        (BOB, "!far:partner.example", FAR, False),
        (BOB, "!any:partner.example", SCRIBE, True),
    ],
)
async def test_rooms_elsewhere_need_their_servers(
    house: _House, user: str, room: str, inviter: str | None, *, allowed: bool
) -> None:
    """Inviter and room id name the servers; where nothing does it is refused. Charter's own invitations pass."""
    house.rooms.shape = None
    house.store.invited_by = inviter
    if allowed:
        assert await house.gate.user_may_join_room(user, room, inviter is not None) == "NOT_SPAM"
    else:
        with pytest.raises(SynapseError):
            await house.gate.user_may_join_room(user, room, inviter is not None)


async def test_a_member_is_not_asked_again(house: _House) -> None:
    """Synapse asks at each change of profile; that is no join."""
    house.store.membership = "join"
    house.runtime.policy = None
    assert await house.gate.user_may_join_room(BOB, "!r:acme.example", False) == "NOT_SPAM"  # noqa: FBT003 - Synapse's signature


@pytest.mark.parametrize(("inviter", "allowed"), [(ALICE, True), (BOB, False)])
async def test_inviting_people_elsewhere_needs_the_server(house: _House, inviter: str, *, allowed: bool) -> None:
    """The grant alone is not enough for somebody of another server."""
    assert await house.gate.user_may_invite(inviter, "@carol:acme.example", "!r:acme.example") == "NOT_SPAM"
    if allowed:
        assert await house.gate.user_may_invite(inviter, FAR, "!r:acme.example") == "NOT_SPAM"
    else:
        with pytest.raises(SynapseError):
            await house.gate.user_may_invite(inviter, FAR, "!r:acme.example")


@pytest.mark.parametrize(("target", "allowed"), [(ALICE, True), (BOB, False), (SCRIBE, True)])
async def test_being_invited_from_elsewhere_is_stopped_at_the_door(
    house: _House, target: str, *, allowed: bool
) -> None:
    """The other server learns no reason; the record has it."""
    event: Any = Event("m.room.member", {"membership": "invite"}, FAR, target, "!far:partner.example")
    if allowed:
        assert await house.gate.federated_user_may_invite(event) == "NOT_SPAM"
    else:
        with pytest.raises(SynapseError) as caught:
            await house.gate.federated_user_may_invite(event)
        assert caught.value.msg == "This server does not allow that"
        assert house.runtime.outbox.bodies("refusal")[0]["path"] == "invited"


@pytest.mark.parametrize(
    ("members", "sender", "membership", "allowed"),
    [
        ({ALICE}, FAR, "join", True),
        ({ALICE, BOB}, FAR, "join", False),
        ({ALICE}, "@x:evil.example", "join", False),
        ({ALICE, BOB}, FAR, "knock", False),
        ({ALICE, BOB}, FAR, "leave", True),
    ],
)
async def test_remote_joins_need_every_member(
    house: _House, members: set[str], sender: str, membership: str, *, allowed: bool
) -> None:
    """One local member who is not open to the server keeps it out; leaving is never stopped."""
    event: Any = Event("m.room.member", {"membership": membership}, sender, sender)

    async def shape() -> RoomShape:
        return RoomShape("!r:acme.example", local=frozenset(members))

    state: Any = SimpleNamespace(shape=shape)
    if allowed:
        await house.gate.at_the_door(event, state)
    else:
        with pytest.raises(SynapseError):
            await house.gate.at_the_door(event, state)
