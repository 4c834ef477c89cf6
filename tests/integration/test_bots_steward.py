"""Scribe and steward beside Charter's modules on a real Synapse: receipts, answers, compliance rooms."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import Gate, texts
from tests.harness.waiting import until
from tests.integration.bots_running import BotProcess, event_ids, records, server_events, verified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

POLICY = """\
version: 1
organisation: {name: ACME, server_name: acme.example, timezone: Europe/Berlin, contact: "#it-security:acme.example"}
groups:
  staff: {users: ["@ada:acme.example", "@bob:acme.example", "@eve:acme.example", "@finn:acme.example"]}
  security: {users: ["@eve:acme.example"]}
grants:
  - {id: chats, to: [staff], allow: [chat.*, room.*, profile.*, presence]}
  - {id: no-pictures, to: [staff], deny: [file.image], reason: Pictures go through the data room.}
limits:
  - {id: usual, to: [staff], max_file: 50MB, messages: 60/min}
compliance:
  readers: [SECURITY]
"""
_NUMBERS = itertools.count(1)
IMAGE = {"msgtype": "m.image", "body": "cat.png", "url": "mxc://acme.example/abc"}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A Synapse with Charter's modules and a policy."""
    served = Gate(tmp_path_factory.mktemp("gate"))
    served.start()
    try:
        served.apply(POLICY.replace("SECURITY", "security"))
        yield served
    finally:
        served.homeserver.stop()


@pytest.fixture(scope="module")
def scribe(gate: Gate) -> Iterator[BotProcess]:
    """A running scribe."""
    folder = gate.folder / "scribe"
    extra = {
        "ledger": f"sqlite:///{folder}/ledger.db",
        "steward": "@charter-steward:acme.example",
        "readers_interval": "1s",
        "drain_interval": "200ms",
    }
    process = BotProcess("scribe", gate.homeserver, folder, extra)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def steward(gate: Gate, scribe: BotProcess) -> Iterator[BotProcess]:
    """A running steward that folds for a long time."""
    extra = {"scribe": scribe.user_id, "fold_window": "1h", "outbox_interval": "200ms"}
    process = BotProcess("steward", gate.homeserver, gate.folder / "steward", extra)
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def ada(gate: Gate, steward: BotProcess) -> Client:
    """An employee; the steward runs."""
    assert steward._process is not None
    return gate.homeserver.user("ada")


def ledger_of(scribe: BotProcess) -> str:
    """URL of the scribe's ledger."""
    return str(scribe.config["ledger"])


def invites(client: Client, sender: str) -> list[str]:
    """Return the rooms into which somebody invited this person."""
    # Synapse caches identical initial syncs for two minutes: each asks for another number of events.
    only = json.dumps({"room": {"timeline": {"limit": next(_NUMBERS)}}})
    rooms = client.get("/sync", filter=only).body.get("rooms", {}).get("invite", {})
    return [
        room
        for room, section in rooms.items()
        if any(e.get("sender") == sender and e["type"] == "m.room.member" for e in section["invite_state"]["events"])
    ]


def direct_chat(person: Client, steward: BotProcess) -> str:
    """Wait for the steward's invite and accept it."""
    room = until(lambda: invites(person, steward.user_id), "the steward's invite", within=40)[0]
    assert person.join(room).status == 200
    return room


def said_by(client: Client, room: str, sender: str) -> list[dict[str, Any]]:
    """Return the contents of somebody's messages in a room."""
    return [e["content"] for e in client.messages(room) if e["sender"] == sender and e["type"] == "m.room.message"]


def wait_said(client: Client, room: str, part: str) -> None:
    """Wait until a message with these words is in a room."""
    until(lambda: any(part in body for body in texts(client, room)), f"{part!r} is said", within=40)


@pytest.fixture(scope="module")
def refused(ada: Client, steward: BotProcess) -> str:
    """Ada's direct chat with the steward after a refusal, told though the steward is killed meanwhile."""
    room = ada.create_room().body["room_id"]
    ada.send(room, IMAGE)
    chat = direct_chat(ada, steward)
    until(lambda: said_by(ada, chat, steward.user_id), "a receipt", within=40)
    ada.send(room, IMAGE)
    steward.kill()
    ada.send(room, IMAGE)
    steward.start()
    return chat


def test_a_refusal_is_told_with_rule_reason_and_contact(
    ada: Client, refused: str, steward: BotProcess, scribe: BotProcess
) -> None:
    """The receipt names the rule with its place, the reason, the contact and the record."""
    receipts = said_by(ada, refused, steward.user_id)
    body = receipts[0]["body"]
    for part in ("You may not", "no-pictures", "policy.yaml:", "data room", "#it-security:acme.example", "file.image"):
        assert part in body
    record = until(lambda: records(ledger_of(scribe), kind="refusal"), "the refusal is in the ledger")[0]
    assert record.id in body
    assert record.body["content"]["body"] == "cat.png"
    receipt = until(lambda: records(ledger_of(scribe), kind="receipt"), "the receipt is in the ledger")[0]
    assert receipt.body["refusal"] == record.id
    told = receipt.body["event_id"]
    until(lambda: told in event_ids(ledger_of(scribe), refused), "the message itself is journaled", within=40)


def test_repeated_refusals_are_folded(ada: Client, refused: str, steward: BotProcess, gate: Gate) -> None:
    """Three refusals of the same thing are one receipt, and all are acknowledged."""

    def pending() -> list[Any]:
        answer = gate.steward.request("GET", "/_synapse/client/charter/v1/outbox")
        return [r for r in answer.body["records"] if r["kind"] == "refusal"]

    until(lambda: not pending(), "everything is acknowledged", within=40)
    receipts = [c for c in said_by(ada, refused, steward.user_id) if "You may not" in c["body"]]
    assert len(receipts) == 1


def test_commands_are_answered_in_the_direct_chat(ada: Client, refused: str, steward: BotProcess) -> None:
    """Help, why and me answer; an unknown command gets a kind answer."""
    expected = {
        "!help": "!why FEATURE",
        "!why file.image": "Pictures go through the data room.",
        "!me": "@eve:acme.example",
        "!wyh": "Did you mean !why?",
        "hello": "I can answer",
    }
    for question, answer in expected.items():
        ada.say(refused, question)
        wait_said(ada, refused, answer)
    assert all(c["msgtype"] == "m.notice" for c in said_by(ada, refused, steward.user_id))


def test_a_person_may_begin_the_chat(gate: Gate, steward: BotProcess) -> None:
    """Who invites the steward into a direct chat is greeted, and receipts come there."""
    bob = gate.homeserver.user("bob")
    chat = bob.create_room(is_direct=True, preset="trusted_private_chat", invite=[steward.user_id]).body["room_id"]
    until(lambda: any("I can answer" in b for b in texts(bob, chat)), "a greeting", within=40)
    bob.send(chat, IMAGE)
    until(lambda: any("no-pictures" in b for b in texts(bob, chat)), "a receipt in the same chat", within=40)


def test_a_second_chat_is_answered_and_gets_the_receipts(ada: Client, refused: str, steward: BotProcess) -> None:
    """Who opens another chat is answered in both, even when the question came with the invite; receipts go to the new one."""
    second = ada.create_room(is_direct=True, preset="trusted_private_chat", invite=[steward.user_id]).body["room_id"]
    ada.say(second, "!why file.image")
    wait_said(ada, second, "Pictures go through the data room.")
    before = len(said_by(ada, refused, steward.user_id))
    ada.say(refused, "!why file.image")
    until(lambda: len(said_by(ada, refused, steward.user_id)) > before, "answered in the first chat too", within=40)
    ada.send(ada.create_room().body["room_id"], IMAGE)
    until(lambda: any("You may not" in b for b in texts(ada, second)), "a receipt in the newest chat", within=40)


def test_nothing_is_said_in_a_chat_that_others_were_asked_into(gate: Gate, steward: BotProcess) -> None:
    """The person invites a colleague into the chat: from then on answers and receipts come in a chat of their own."""
    finn = gate.homeserver.user("finn")
    chat = finn.create_room(is_direct=True, preset="trusted_private_chat", invite=[steward.user_id]).body["room_id"]
    wait_said(finn, chat, "I can answer")
    assert finn.post(f"/rooms/{chat}/invite", {"user_id": "@bob:acme.example"}).status == 200
    finn.say(chat, "!me")
    finn.send(chat, IMAGE)
    own = direct_chat(finn, steward)
    until(lambda: any("You may not" in b for b in texts(finn, own)), "a receipt in a chat of their own", within=40)
    assert len(said_by(finn, chat, steward.user_id)) == 1


def test_the_scribe_is_in_every_room_and_cannot_be_removed(ada: Client, scribe: BotProcess) -> None:
    """The gatekeeper brings the scribe into a new room; a kick is refused; everything there is journaled."""
    room = ada.create_room(preset="private_chat").body["room_id"]
    ada.say(room, "hello")
    until(lambda: scribe.user_id in ada.get(f"/rooms/{room}/joined_members").body["joined"], "joined", within=40)
    assert ada.post(f"/rooms/{room}/kick", {"user_id": scribe.user_id}).status == 403
    ada.say(room, "still here")
    expected = sorted(server_events(ada, room))
    until(lambda: sorted(event_ids(ledger_of(scribe), room)) == expected, "journaled", within=40)


def test_the_outbox_reaches_the_ledger_once_though_the_scribe_is_killed(ada: Client, scribe: BotProcess) -> None:
    """Refusals during kills are each in the ledger exactly once."""
    room = str(ada.create_room().body["room_id"])
    for number in range(8):
        assert ada.send(room, IMAGE | {"body": f"{number}.png"}).status == 200
        if number % 2:
            scribe.kill()
            scribe.start()

    def refused_files() -> list[str]:
        return [str(r.body["content"]["body"]) for r in records(ledger_of(scribe), kind="refusal", room=room)]

    until(lambda: len(refused_files()) >= 8, "every refusal is in the ledger", within=40)
    assert sorted(refused_files()) == [f"{number}.png" for number in range(8)]
    assert verified(ledger_of(scribe))


def test_readers_follow_the_policy(gate: Gate, ada: Client, scribe: BotProcess) -> None:
    """A reader is invited into the compliance rooms, reads them, and is removed when the policy says so."""
    eve = gate.homeserver.user("eve")
    rooms = until(lambda: invites(eve, scribe.user_id), "invites to the compliance rooms", within=40)
    until(lambda: len(invites(eve, scribe.user_id)) == 4, "four invites", within=40)
    assert rooms
    names = gate.scribe.request("GET", "/_synapse/client/charter/v1/rooms").body
    assert eve.join(names["journal"]).status == 200
    assert eve.join(names["audit"]).status == 200
    room = ada.create_room(name="Plans <b>").body["room_id"]
    ada.say(room, "read me \u202e<script>")
    until(lambda: any("read me ⟨U+202E⟩<script>" in t for t in texts(eve, names["journal"])), "mirrored", within=40)
    until(lambda: any("no-pictures" in t for t in texts(eve, names["audit"])), "the refusal is in the audit room")
    assert eve.say(names["journal"], "may I?").status == 403
    assert ada.join(names["journal"]).status == 403
    gate.apply(POLICY.replace("[SECURITY]", "[]"))
    until(lambda: eve.get(f"/rooms/{names['journal']}/joined_members").status == 403, "removed", within=40)
    changes = [r.body for r in records(ledger_of(scribe), kind="compliance-room") if r.body["removed"]]
    assert changes[0]["removed"] == ["@eve:acme.example"]
    assert verified(ledger_of(scribe))
