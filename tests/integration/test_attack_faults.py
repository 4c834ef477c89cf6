"""When Charter itself breaks on a running server: nothing happens unjudged or unrecorded, and people are told kindly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gate import SCRIBE, Gate, joined, room_of, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness.synapse import Client, Response

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: Ask Ada.}
grants:
  - {id: all, to: [everyone], allow: ["*"]}
  - {id: silence, to: ["@bob:acme.example"], deny: ["*"], reason: Bob is silent.}
"""
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 200
ACTS = ("message", "state", "creation", "invitation", "join", "knock", "upload", "alias", "listing", "redaction")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a gate that a file breaks."""
    gate = Gate(tmp_path_factory.mktemp("gate"))
    faults = {"module": "tests.harness.faulty_charter.Faults", "config": {"file": str(gate.folder / "fault")}}
    gate.homeserver.modules.insert(0, faults)
    gate.homeserver.write()
    try:
        gate.start()
        gate.apply(POLICY)
        yield gate
    finally:
        gate.homeserver.stop()


@pytest.fixture(scope="module")
def people(gate: Gate) -> dict[str, Client]:
    """Return three people."""
    return {name: gate.homeserver.user(name) for name in ("alice", "bob", "carol")}


@pytest.fixture(scope="module")
def rooms(people: dict[str, Client]) -> dict[str, str]:
    """Return a room of Alice and Carol, and two that Alice is outside of."""
    knocking = [{"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}]
    return {
        "own": joined(people["alice"], [people["carol"]]),
        "open": room_of(people["carol"].create_room(preset="public_chat")),
        "knocking": room_of(people["carol"].create_room(initial_state=knocking)),
    }


def _act(name: str, who: Client, rooms: dict[str, str]) -> Response:
    acts: dict[str, Callable[[], Response]] = {
        "message": lambda: who.say(rooms["own"], "unjudged"),
        "state": lambda: who.state(rooms["own"], "m.room.topic", {"topic": "unjudged"}),
        "creation": who.create_room,
        "invitation": lambda: who.invite(rooms["own"], "@bob:acme.example"),
        "join": lambda: who.join(rooms["open"]),
        "knock": lambda: who.post(f"/knock/{rooms['knocking']}"),
        "upload": lambda: who.upload(PNG, "image/png"),
        "alias": lambda: who.put("/directory/room/%23unjudged:acme.example", {"room_id": rooms["own"]}),
        "listing": lambda: who.put(f"/directory/list/room/{rooms['own']}", {"visibility": "public"}),
        "redaction": lambda: who.put(f"/rooms/{rooms['own']}/redact/$none/1", {}),
    }
    return acts[name]()


def _world(gate: Gate) -> list[int]:
    """Return how much there is of everything that an act makes."""
    tables = ("rooms", "room_aliases", "local_media_repository")
    counts = [gate.rows(f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables]  # noqa: S608 - our own names
    counts += gate.rows("SELECT COUNT(*) FROM events WHERE sender != ?", SCRIBE)[0]  # the scribe joins when it does
    return counts + list(gate.rows("SELECT COUNT(*) FROM rooms WHERE is_public")[0])


@pytest.mark.parametrize("act", ACTS)
def test_a_judge_that_fails_refuses(gate: Gate, people: dict[str, Client], rooms: dict[str, str], act: str) -> None:
    """An accident in any hook is closed, in words, and leaves nothing."""
    before = _world(gate)
    (gate.folder / "fault").write_text("judge")
    try:
        answer = _act(act, people["alice"], rooms)
    finally:
        (gate.folder / "fault").unlink()
    assert answer.status == 503, answer
    assert answer.body["error"].startswith("This could not be checked against the policy just now")
    assert _world(gate) == before
    assert "unjudged" not in texts(people["carol"], rooms["own"])
    until(lambda: "hook-failed" in {r["body"]["code"] for r in gate.records("alarm")}, "the alarm is on record")


def test_a_refusal_that_cannot_be_recorded_is_no_success(gate: Gate, people: dict[str, Client]) -> None:
    """What is refused does not happen, replaced or not, while the outbox takes nothing; what is allowed goes on."""
    alice, bob = people["alice"], people["bob"]
    room = room_of(alice.create_room())
    before = _world(gate)
    (gate.folder / "fault").write_text("outbox")
    try:
        answers = [bob.create_room(), bob.upload(PNG, "image/png"), bob.join(room)]
        unknown = alice.send(room, {"msgtype": "m.unheard-of", "body": "unrecorded"})
        assert _world(gate) == before
        assert alice.say(room, "recorded by nobody yet").status == 200
    finally:
        (gate.folder / "fault").unlink()
    assert [answer.status for answer in (*answers, unknown)] == [503, 503, 503, 503]
    assert texts(alice, room) == ["recorded by nobody yet"]


def test_everything_works_again(people: dict[str, Client], rooms: dict[str, str]) -> None:
    """A fault that is over leaves nothing behind."""
    for act in ("message", "state", "creation", "join", "upload"):
        assert _act(act, people["alice"], rooms).status == 200, act
