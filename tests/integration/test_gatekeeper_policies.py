"""The gate on a real Synapse as policies come and go: none, shadow, reject, the opposite, and the federation's list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gate import Gate, joined, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = pytest.mark.integration

OPEN = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: Ask Ada.}
grants:
  - {id: all, to: [everyone], allow: ["*"]}
"""
REJECTING = (
    OPEN
    + """
  - {id: silence, to: ["@alice:acme.example"], deny: [chat.text], reason: Alice is silent.}
refusals: {message: reject}
"""
)
SHADOW = (
    OPEN
    + """
  - {id: silence, to: ["@alice:acme.example"], deny: [chat.text], stage: shadow}
"""
)
PARTNERS = (
    OPEN
    + """
federation:
  servers:
    - {id: partner, server: partner.example, to: [everyone], allow: [chat.*, external.*]}
    - {id: gone, server: gone.example, to: [everyone], allow: [chat.*], until: 2020-01-01}
"""
)
LIMITED = (
    OPEN
    + """
limits:
  - {id: slow, to: [everyone], messages: 3/min, rooms: 1/day, invites: 2/h}
"""
)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running gate without a policy."""
    notices = {"system_mxid_localpart": "notices", "room_name": "Notices"}
    gate = Gate(tmp_path_factory.mktemp("gate"), extra={"server_notices": notices})
    try:
        gate.start()
        yield gate
    finally:
        gate.homeserver.stop()


@pytest.fixture(scope="module")
def alice(gate: Gate) -> Client:
    """Return somebody."""
    return gate.homeserver.user("alice")


@pytest.fixture(scope="module")
def bob(gate: Gate) -> Client:
    """Return somebody else."""
    return gate.homeserver.user("bob")


def test_no_policy_is_closed_and_says_so(alice: Client) -> None:
    """Without a policy nothing that is judged happens, with an explanation; logging on and syncing work."""
    answer = alice.create_room()
    assert answer.status == 403, answer
    assert answer.body["error"].startswith("There is no policy yet")
    assert alice.upload(b"words", "text/plain").status == 403
    assert alice.get("/sync").status == 200


def test_server_notices_work_without_a_policy(gate: Gate, bob: Client) -> None:
    """The server's own notices reach people whatever the policy says."""
    admin = gate.homeserver.user("root", admin=True)
    notice = {"user_id": bob.user_id, "content": {"msgtype": "m.text", "body": "Maintenance at six."}}
    answer = admin.request("POST", "/_synapse/admin/v1/send_server_notice", notice)
    assert answer.status == 200, answer
    (room,) = bob.get("/sync").body["rooms"]["invite"]
    assert bob.join(room).status == 200
    assert texts(bob, room) == ["Maintenance at six."]


def test_a_policy_opens_and_another_closes(gate: Gate, alice: Client, bob: Client) -> None:
    """Each policy is judged by within seconds, without a restart; `reject` is a plain error in words."""
    gate.apply(OPEN)
    room = joined(alice, [bob])
    assert alice.say(room, "one").status == 200
    gate.apply(REJECTING)
    answer = alice.say(room, "two")
    assert answer.status == 403
    assert answer.body["error"] == "Alice is silent. Rule: silence. Questions: Ask Ada."
    assert bob.say(room, "three").status == 200
    assert texts(bob, room) == ["one", "three"]


def test_shadow_rules_and_shadow_policies_only_record(gate: Gate, alice: Client, bob: Client) -> None:
    """What would have been refused happens, and the record says so once."""
    gate.apply(SHADOW)
    room = joined(alice, [bob])
    for text in ("one", "two"):
        assert alice.say(room, text).status == 200

    def recorded() -> list[list[str]]:
        return [r["body"]["would_have"] for r in gate.records("would-have") if r["actor"] == alice.user_id]

    until(lambda: recorded() == [["silence"]], "one record of what would have been")
    gate.apply(REJECTING, stage="shadow")
    assert alice.say(room, "three").status == 200
    assert texts(bob, room) == ["one", "two", "three"]


def test_rates_hold(gate: Gate, alice: Client, bob: Client) -> None:
    """Messages, rooms and invitations are limited, and the refusal names the limit."""
    gate.apply(LIMITED)
    room = joined(bob, [alice])
    refused = bob.create_room()
    assert refused.status == 403
    assert refused.body["org.charter.refusal"]["rules"] == ["slow"]
    for n in range(5):
        assert alice.say(room, f"number {n}").status == 200
    read = [text for text in texts(bob, room) if text.startswith("number")]
    assert read == ["number 0", "number 1", "number 2"]
    assert bob.invite(room, "@carl:acme.example").status == 200
    assert bob.invite(room, "@cleo:acme.example").status == 403


def test_the_federation_list_follows_the_policy(gate: Gate, alice: Client) -> None:
    """A server that the policy does not name is refused before anything is sent; a named one is tried."""
    gate.apply(OPEN)
    refused = alice.get("/profile/@x:partner.example")
    assert "not on the federation domain whitelist" in str(refused.body) or refused.status in {403, 404}
    log = gate.homeserver.log()
    gate.apply(PARTNERS)
    tried = alice.get("/profile/@x:partner.example")
    assert tried.status != 200
    assert "partner.example" in gate.homeserver.log()[len(log) :]
