"""What no grant gives away, and how often something may be done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from synapse_modules._decisions import denial
from synapse_modules._gate_invariants import NO_ENCRYPTION, Invariants, is_firm
from synapse_modules._gate_rates import Rates
from tests.unit.synapse_modules.gatekeeper.gate_doubles import SCRIBE, Event, compiled

if TYPE_CHECKING:
    from pathlib import Path

    from charter.judge import Compiled

ALICE, SARA = "@alice:acme.example", "@sara:acme.example"
JOURNAL, APPROVALS, ROOM = "!journal:acme.example", "!approvals:acme.example", "!r:acme.example"
FUNCTIONAL = "io.element.functional_members"
POLICY = f"""
compliance: {{readers: ["{SARA}"], approvers: ["{ALICE}"]}}
limits:
  - {{id: slow, to: ["{ALICE}"], messages: 2/min}}
  - {{id: slower, to: [everyone], messages: 1000/h, invites: 1/h}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Compiled:
    """Return a policy with readers, approvers and rates."""
    return compiled(tmp_path, POLICY)


@pytest.fixture
def invariants() -> Invariants:
    """Return the invariants of a server with two compliance rooms."""
    runtime: Any = SimpleNamespace(
        config=SimpleNamespace(bots={"scribe": SCRIBE}),
        api=SimpleNamespace(server_name="acme.example"),
        is_bot=lambda user: user == SCRIBE,
    )
    rooms: Any = SimpleNamespace(roles={JOURNAL: "journal", APPROVALS: "approvals"})
    return Invariants(runtime, rooms)


def _member(who: str, membership: str, sender: str = ALICE, room: str = ROOM) -> Event:
    return Event("m.room.member", {"membership": membership}, sender, who, room)


def _state(kind: str, content: dict[str, Any], room: str = ROOM) -> Event:
    return Event(kind, content, ALICE, "", room)


BROKEN = [
    _member(SCRIBE, "leave"),
    _member(SCRIBE, "ban"),
    _state(FUNCTIONAL, {}),
    _state(FUNCTIONAL, {"service_members": "x"}),
    _state(FUNCTIONAL, {"service_members": [ALICE]}),
    _state("m.room.server_acl", {}),
    _state("m.room.server_acl", {"allow": ["*"], "deny": ["ACME.*"]}),
    _state("m.room.server_acl", {"allow": ["partner.example"]}),
    _state("m.room.server_acl", {"allow": "*"}),
    _state("m.room.encryption", {"algorithm": "x"}),
    Event("m.room.encrypted", {"ciphertext": "x"}),
    _state("m.room.topic", {"topic": "x"}, JOURNAL),
    _member("@bob:acme.example", "invite", room=JOURNAL),
    _member(ALICE, "join", room=JOURNAL),
    Event("m.room.redaction", {}, SARA, room_id=JOURNAL),
]
KEPT = [
    _member("@bob:acme.example", "ban"),
    _member(SCRIBE, "invite"),
    _state(FUNCTIONAL, {"service_members": [SCRIBE, "@other:acme.example"]}),
    _state("m.room.server_acl", {"allow": ["*"], "deny": ["*.evil.example", 5]}),
    _state("m.room.server_acl", {"allow": ["acme.exampl?"]}),
    _state("m.room.topic", {"topic": "x"}),
    _member(ALICE, "join", room=APPROVALS),
    _member(ALICE, "leave", room=JOURNAL),
    _member(SARA, "join", SARA, JOURNAL),
    Event("m.room.message", {"body": "x"}, SARA, room_id=JOURNAL),
]


@pytest.mark.parametrize("event", BROKEN)
def test_what_would_break_an_invariant_is_refused(invariants: Invariants, policy: Compiled, event: Any) -> None:
    """Each with a reason in words."""
    verdict = invariants.check(event, policy)
    assert verdict is not None
    assert verdict.reason.endswith(".")


@pytest.mark.parametrize("event", KEPT)
def test_everything_else_is_left_to_the_judge(invariants: Invariants, policy: Compiled, event: Any) -> None:
    """Nothing of the ordinary is refused here."""
    assert invariants.check(event, policy) is None


@pytest.mark.parametrize(
    ("user", "room", "allowed"),
    [
        (SARA, JOURNAL, True),
        (SARA, APPROVALS, True),
        (ALICE, JOURNAL, False),
        (ALICE, APPROVALS, True),
        (ALICE, ROOM, True),
    ],
)
def test_only_readers_enter_compliance_rooms(
    invariants: Invariants, policy: Compiled, user: str, room: str, *, allowed: bool
) -> None:
    """Approvers enter the approvals room alone; without a policy nobody enters any."""
    assert (invariants.may_enter(user, room, policy) is None) is allowed
    assert (invariants.may_enter(user, room, None) is None) is (room == ROOM)


@pytest.mark.parametrize("state", [None, "x", [None, 5, {"type": 3}], [{"type": "m.room.topic"}]])
def test_hostile_creations_are_no_accident(invariants: Invariants, policy: Compiled, state: object) -> None:
    """Initial state of any shape is read without an exception."""
    assert invariants.check_creation({"initial_state": state}, policy) is None


def test_the_strictest_rate_holds(policy: Compiled) -> None:
    """Two in a minute for Alice; what is refused is not counted, and the window slides."""
    rates = Rates()
    answers = [rates.take(policy, ALICE, "messages", "chat.text", now) for now in (0.0, 30.0, 59.0, 60.0, 61.0)]
    assert [answer is None for answer in answers] == [True, True, False, True, False]
    refused = answers[2]
    assert refused is not None
    assert refused.rules == ("slow",)
    assert refused.until == 60.0
    assert rates.take(policy, SARA, "messages", "chat.text", 61.0) is None


def test_many_at_once_count_each(policy: Compiled) -> None:
    """Two invitations do not fit into one an hour, and then one still does."""
    rates = Rates()
    assert rates.take(policy, SARA, "invites", "room.invite", 0.0, 2) is not None
    assert rates.take(policy, SARA, "invites", "room.invite", 0.0, 1) is None
    assert rates.take(policy, SARA, "rooms", "room.create", 0.0) is None


@pytest.mark.parametrize(
    ("kind", "key", "room", "denied"),
    [
        ("io.element.functional_members", "", ROOM, True),
        ("m.room.server_acl", "", ROOM, True),
        ("m.room.member", SCRIBE, ROOM, True),
        ("m.room.member", ALICE, ROOM, False),
        ("m.room.topic", "", ROOM, False),
        ("io.element.functional_members", "", JOURNAL, False),
        ("m.room.message", None, ROOM, False),
    ],
)
def test_redactions_do_not_empty_what_protects_the_journal(
    invariants: Invariants, kind: str, key: str | None, room: str, *, denied: bool
) -> None:
    """The target counts, where it is in the redaction's room."""
    redaction: Any = Event("m.room.redaction", {}, ALICE, None, ROOM)
    target: Any = Event(kind, {}, ALICE, key, room)
    assert (invariants.check_redaction(redaction, target) is not None) is denied
    assert invariants.check_redaction(redaction, None) is None


def test_only_encryption_is_a_matter_of_the_stage(invariants: Invariants, policy: Compiled) -> None:
    """What protects the journal is firm; what the policy alone says is not."""
    kicked: Any = _member(SCRIBE, "leave")
    assert is_firm(invariants.check(kicked, policy))
    assert not is_firm(None)
    assert not is_firm(denial("room.encrypt", NO_ENCRYPTION))
