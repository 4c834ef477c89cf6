"""The gate on a real Synapse: messages that are allowed arrive, what is refused does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gate import SCRIBE, Gate, joined, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
groups:
  talkers: {users: ["@alice:acme.example", "@bob:acme.example"]}
  readers: {users: ["@carol:acme.example"]}
grants:
  - {id: rooms, to: [everyone], allow: [room.create, room.direct, room.invite, room.join, profile.*]}
  - {id: talk, to: [talkers], allow: [chat.text, chat.reaction, chat.delete]}
  - {id: no-edits, to: [talkers], deny: [chat.edit], reason: What was said stays said.}
services:
  - {id: helpdesk, users: "@helpdesk:acme.example", allow: [chat.text, room.join]}
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running gate with the policy of this module."""
    gate = Gate(tmp_path_factory.mktemp("gate"))
    try:
        gate.start()
        gate.apply(POLICY)
        yield gate
    finally:
        gate.homeserver.stop()


@pytest.fixture(scope="module")
def alice(gate: Gate) -> Client:
    """Return somebody who may talk."""
    return gate.homeserver.user("alice")


@pytest.fixture(scope="module")
def bob(gate: Gate) -> Client:
    """Return another one who may talk."""
    return gate.homeserver.user("bob")


@pytest.fixture(scope="module")
def carol(gate: Gate) -> Client:
    """Return somebody who may only read."""
    return gate.homeserver.user("carol")


@pytest.fixture(scope="module")
def room(alice: Client, bob: Client, carol: Client) -> str:
    """Return a room with all three."""
    return joined(alice, [bob, carol], preset="private_chat", name="Three")


def test_allowed_text_arrives(alice: Client, bob: Client, room: str) -> None:
    """Somebody with the grant is heard."""
    assert alice.say(room, "good morning").status == 200
    assert "good morning" in texts(bob, room)


def test_refused_text_is_replaced(gate: Gate, carol: Client, bob: Client, room: str) -> None:
    """Nobody reads the refused words; the notice names contact and marker; the ledger gets the original."""
    answer = carol.send(room, {"msgtype": "m.text", "body": "a secret", "m.mentions": {"user_ids": [bob.user_id]}})
    assert answer.status == 200, answer
    event = next(e for e in bob.messages(room) if e["event_id"] == answer.body["event_id"])
    assert event["content"]["msgtype"] == "m.notice"
    assert "#it-security:acme.example" in event["content"]["body"]
    assert event["content"]["m.mentions"] == {}
    marker = event["content"]["org.charter.refusal"]
    assert marker["feature"] == "chat.text"
    assert all("a secret" not in text for text in texts(bob, room))
    record = next(r for r in gate.records("refusal") if r["id"] == marker["id"])
    assert record["actor"] == carol.user_id
    assert record["room"] == room
    assert record["body"]["content"]["body"] == "a secret"
    assert record["body"]["answer"] == "replace"
    assert record["body"]["path"] == "event"


def test_refused_edit_does_not_edit(alice: Client, bob: Client, room: str) -> None:
    """A refused edit becomes a notice without its relation; the first version stays."""
    first = alice.say(room, "seven").body["event_id"]
    edit = {
        "msgtype": "m.text",
        "body": "* eight",
        "m.new_content": {"msgtype": "m.text", "body": "eight"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": first},
    }
    answer = alice.send(room, edit)
    assert answer.status == 200, answer
    event = next(e for e in bob.messages(room) if e["event_id"] == answer.body["event_id"])
    assert "m.relates_to" not in event["content"]
    assert "m.new_content" not in event["content"]
    assert event["content"]["org.charter.refusal"]["rules"] == ["no-edits"]
    assert "What was said stays said." in event["content"]["body"]
    original = next(e for e in bob.messages(room) if e["event_id"] == first)
    assert original["content"]["body"] == "seven"


@pytest.mark.parametrize(
    ("event_type", "content"),
    [
        ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "x"}}),
        ("m.sticker", {"body": "s", "url": "mxc://acme.example/x", "info": {}}),
        ("com.example.covert", {"body": "hidden words"}),
        (
            "m.call.invite",
            {"call_id": "1", "version": "1", "lifetime": 1, "offer": {"type": "offer", "sdp": "v=0\r\nm=audio 9 x 0"}},
        ),
        ("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}),
        ("m.poll.start", {"m.poll": {}}),
    ],
)
def test_other_refused_events_are_rejected(
    carol: Client, bob: Client, room: str, event_type: str, content: dict[str, object]
) -> None:
    """What is no message is rejected in words, and nobody sees it."""
    answer = carol.send(room, content, event_type)
    assert answer.status == 403, answer
    assert answer.body["errcode"] == "M_FORBIDDEN"
    assert answer.body["org.charter.refusal"]["id"].startswith("r-")
    assert "#it-security:acme.example" in answer.body["error"]
    assert event_type not in {event["type"] for event in bob.messages(room)}


def test_unknown_state_is_rejected(alice: Client, bob: Client, room: str) -> None:
    """A state event that no row of the catalogue knows does not become state."""
    answer = alice.state(room, "com.example.unknown", {"a": 1})
    assert answer.status == 403, answer
    assert bob.get(f"/rooms/{room}/state/com.example.unknown").status == 404


def test_the_scribe_is_there_and_stays(alice: Client, room: str) -> None:
    """The scribe joins by itself; nobody can remove it or deny that it is functional."""
    until(lambda: SCRIBE in alice.get(f"/rooms/{room}/joined_members").body["joined"], "the scribe is in the room")
    for act in ("kick", "ban"):
        assert alice.post(f"/rooms/{room}/{act}", {"user_id": SCRIBE}).status == 403
    assert alice.state(room, "io.element.functional_members", {"service_members": []}).status == 403
    members = alice.get(f"/rooms/{room}/state/io.element.functional_members").body
    assert members == {"service_members": [SCRIBE]}
    assert SCRIBE in alice.get(f"/rooms/{room}/joined_members").body["joined"]


def test_other_services_are_judged_by_their_rule(gate: Gate, alice: Client) -> None:
    """Another application service does what `services` allows and nothing that is only everybody's."""
    helpdesk = gate.homeserver.bot("helpdesk")
    room = joined(alice, [helpdesk])
    assert helpdesk.say(room, "ticket 7").status == 200
    assert texts(alice, room) == ["ticket 7"]
    for content, kind in (({"body": "x"}, "com.example.x"), ({"m.relates_to": {}}, "m.reaction")):
        assert helpdesk.send(room, content, kind).status == 403
    assert helpdesk.create_room().status == 403


def test_metrics_count_decisions(gate: Gate, alice: Client, room: str) -> None:
    """Decisions appear by feature and outcome, and so do judge times."""
    alice.say(room, "counted")
    page = gate.metrics()
    assert 'charter_decisions_total{feature="chat.text",outcome="allow"}' in page
    assert 'charter_decisions_total{feature="chat.text",outcome="replace"}' in page
    assert "charter_judge_seconds_count" in page
