"""The gate on a real Synapse: creating rooms, inviting, joining, and what protects the journal."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import API, SCRIBE, Gate, joined, room_of, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
groups:
  hosts: {users: ["@alice:acme.example", "@rita:acme.example", "@tom:acme.example", "@root:acme.example"]}
  research: {users: ["@rita:acme.example"]}
  traders: {users: ["@tom:acme.example"]}
  security: {users: ["@sara:acme.example"]}
  newcomers: {users: ["@nina:acme.example"]}
grants:
  - {id: talk, to: [everyone], allow: [chat.text]}
  - {id: hosting, to: [hosts], allow: [room.create, room.direct, room.invite, room.settings, room.moderate, room.upgrade]}
  - {id: joining, to: [everyone], except: [newcomers], allow: [room.join]}
  - {id: names, to: ["@alice:acme.example"], allow: [profile.name]}
barriers:
  - {id: wall, between: [research, traders], reason: Research and trading do not talk.}
compliance: {readers: [security], approvers: ["@alice:acme.example"], exempt_admins: ["@boss:acme.example"]}
journal: {encryption: forbidden}
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
def people(gate: Gate) -> dict[str, Client]:
    """Return the company; root and boss are server administrators."""
    names = ("alice", "bob", "rita", "tom", "sara", "nina")
    company = {name: gate.homeserver.user(name) for name in names}
    company |= {name: gate.homeserver.user(name, admin=True) for name in ("root", "boss")}
    return company


def _members(client: Client, room: str) -> set[str]:
    return set(client.get(f"/rooms/{room}/joined_members").body["joined"])


def _rooms_made(gate: Gate) -> int:
    return int(gate.rows("SELECT COUNT(*) FROM rooms")[0][0])


REFUSED_CREATIONS: list[tuple[str, dict[str, Any], str]] = [
    ("public", {"preset": "public_chat"}, "room.public"),
    ("listed", {"visibility": "public"}, "room.publ"),
    ("alias", {"room_alias_name": "den"}, "room.alias"),
    ("encrypted", {"initial_state": [{"type": "m.room.encryption", "content": {"algorithm": "x"}}]}, "room.encrypt"),
    (
        "opened later",
        {"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "public"}}]},
        "room.public",
    ),
    ("unknown state", {"initial_state": [{"type": "com.example.x", "content": {}}]}, "unknown"),
    ("space", {"creation_content": {"type": "m.space"}}, "room.space"),
    ("by e-mail", {"invite_3pid": [{"medium": "email", "address": "x@y.example"}]}, "external.invite"),
    ("odd state", {"initial_state": "x"}, "unknown"),
]


@pytest.mark.parametrize(("what", "config", "feature"), REFUSED_CREATIONS, ids=[row[0] for row in REFUSED_CREATIONS])
@pytest.mark.parametrize("who", ["alice", "root"])
def test_refused_creation_leaves_nothing(  # noqa: PLR0917 - the columns of the table
    gate: Gate, people: dict[str, Client], who: str, what: str, config: dict[str, Any], feature: str
) -> None:
    """A request to create a room is judged whole, an administrator's too, before any row of the room exists."""
    before = _rooms_made(gate)
    answer = people[who].create_room(**config)
    assert answer.status == 403, (what, answer)
    assert answer.body["org.charter.refusal"]["feature"].startswith(feature), answer
    assert _rooms_made(gate) == before


def test_somebody_without_the_grant_creates_nothing(gate: Gate, people: dict[str, Client]) -> None:
    """Default deny: no grant, no room, and the record holds what was asked."""
    before = _rooms_made(gate)
    answer = people["bob"].create_room(name="Bob's")
    assert answer.status == 403, answer
    assert _rooms_made(gate) == before
    record = gate.records("refusal")[-1]
    assert (record["actor"], record["body"]["path"]) == (people["bob"].user_id, "create")
    assert record["body"]["content"] == {"name": "Bob's"}


@pytest.mark.parametrize("version", ["10", "11", "12"])
def test_creation_in_each_room_version(gate: Gate, people: dict[str, Client], version: str) -> None:
    """A granted creation works with name, topic and guests; the scribe is in it and is functional."""
    room = joined(people["alice"], [people["bob"]], name="Team", topic="Work", room_version=version)
    until(lambda: SCRIBE in _members(people["alice"], room), "the scribe joined")
    functional = people["bob"].get(f"/rooms/{room}/state/io.element.functional_members").body
    assert functional == {"service_members": [SCRIBE]}
    assert people["bob"].say(room, "here").status == 200
    refused = people["bob"].state(room, "m.room.topic", {"topic": "x"})
    assert refused.status == 403
    assert not gate.homeserver.log().count("hook on_create_room failed")


def test_the_next_request_is_not_part_of_the_creation(gate: Gate, people: dict[str, Client]) -> None:
    """Only the creation's own request passes unjudged, not the next one of the same person in the same room."""
    room = room_of(people["alice"].create_room())
    refused = people["alice"].state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert refused.status == 403
    refused = people["alice"].state(room, "m.room.join_rules", {"join_rule": "public"})
    assert refused.status == 403
    assert refused.body["org.charter.refusal"]["feature"] == "room.public"
    assert not gate.rows("SELECT 1 FROM state_events WHERE room_id = ? AND type = 'm.room.encryption'", room)


def test_invitations_need_the_grant(people: dict[str, Client]) -> None:
    """A member without the grant invites nobody."""
    room = joined(people["alice"], [people["bob"]])
    answer = people["bob"].invite(room, people["sara"].user_id)
    assert answer.status == 403, answer
    assert answer.body["org.charter.refusal"]["feature"] == "room.invite"
    assert room not in people["sara"].get("/sync").body.get("rooms", {}).get("invite", {})
    assert people["alice"].invite(room, people["sara"].user_id).status == 200


def test_joins_need_the_grant_and_say_why(people: dict[str, Client]) -> None:
    """A join is refused in a full sentence; clients show it raw. Declining stays possible."""
    room = room_of(people["alice"].create_room(invite=[people["nina"].user_id]))
    answer = people["nina"].join(room)
    assert answer.status == 403, answer
    assert answer.body["error"].endswith("Questions: #it-security:acme.example")
    assert people["nina"].user_id not in _members(people["alice"], room)
    assert people["nina"].post(f"/rooms/{room}/leave").status == 200


def test_a_barrier_parts_people_in_rooms(people: dict[str, Client]) -> None:
    """Neither creation, nor invitation, nor a third person's invitation brings two sides together."""
    rita, tom, alice = people["rita"], people["tom"], people["alice"]
    answer = rita.create_room(invite=[tom.user_id], is_direct=True)
    assert answer.status == 403, answer
    assert answer.body["org.charter.refusal"]["rules"] == ["wall"]
    own = room_of(rita.create_room())
    assert rita.invite(own, tom.user_id).status == 403
    room = joined(alice, [rita])
    answer = alice.invite(room, tom.user_id)
    assert answer.status == 403, answer
    assert "Research and trading do not talk." in answer.body["error"]
    assert alice.create_room(invite=[rita.user_id, tom.user_id]).status == 403


def test_profile_changes_in_a_room_are_no_joins(people: dict[str, Client]) -> None:
    """Somebody without room.join keeps the rooms; names need their own feature, and extra keys are unknown."""
    alice, bob = people["alice"], people["bob"]
    room = joined(alice, [bob])
    content = {"membership": "join", "displayname": "Al"}
    assert alice.state(room, "m.room.member", content, alice.user_id).status == 200
    refused = bob.state(room, "m.room.member", {"membership": "join", "displayname": "B"}, bob.user_id)
    assert refused.status == 403
    assert refused.body["org.charter.refusal"]["feature"] == "profile.name"
    smuggled = {"membership": "join", "displayname": "Al", "com.example.data": "x" * 1000}
    assert alice.state(room, "m.room.member", smuggled, alice.user_id).status == 403


def test_an_upgrade_keeps_working(gate: Gate, people: dict[str, Client]) -> None:
    """A granted upgrade makes the new room, closes the old one, and the scribe follows."""
    room = joined(people["alice"], [people["bob"]], room_version="10", topic="Old")
    answer = people["alice"].post(f"/rooms/{room}/upgrade", {"new_version": "11"})
    assert answer.status == 200, answer
    new = answer.body["replacement_room"]
    assert people["alice"].get(f"/rooms/{new}/state/m.room.topic").body["topic"] == "Old"
    until(lambda: SCRIBE in _members(people["alice"], new), "the scribe followed")
    before = _rooms_made(gate)
    refused = people["bob"].post(f"/rooms/{new}/upgrade", {"new_version": "12"})
    assert refused.status == 403, refused
    assert _rooms_made(gate) == before


def test_the_scribe_enters_rooms_that_exist(gate: Gate, people: dict[str, Client]) -> None:
    """A room that lost its scribe (here: it left) is swept; one that nobody may invite into raises the alarm."""
    room = room_of(people["alice"].create_room())
    orphan = joined(people["alice"], [people["bob"]], power_level_content_override={"invite": 50})
    for each in (room, orphan):
        until(lambda each=each: SCRIBE in _members(people["alice"], each), "the scribe joined")  # type: ignore[misc] # mypy cannot type a default
        assert gate.scribe.post(f"/rooms/{each}/leave").status == 200
    assert people["alice"].post(f"/rooms/{orphan}/leave").status == 200
    until(lambda: SCRIBE in _members(people["alice"], room), "the scribe came back", within=60)

    def alarmed() -> bool:
        alarms = [record for record in gate.records("alarm") if record["body"]["code"] == "scribe-cannot-join"]
        return [record["room"] for record in alarms] == [orphan]

    until(alarmed, "the alarm is on record", within=60)
    assert SCRIBE not in _members(people["bob"], orphan)


def test_compliance_rooms_are_for_their_readers(gate: Gate, people: dict[str, Client]) -> None:
    """Whatever room.join says, only readers enter, and nobody but bots changes such a room."""
    invited = [people[name].user_id for name in ("alice", "sara")]
    levels = {"users": {SCRIBE: 100}, "users_default": 50, "state_default": 50, "invite": 0}
    room = room_of(gate.scribe.create_room(invite=invited, power_level_content_override=levels))
    approvals = room_of(gate.scribe.create_room(invite=invited))
    rooms = {"journal": room, "audit": room, "alerts": room, "approvals": approvals}
    assert gate.scribe.request("PUT", f"{API}/rooms", rooms).status == 200
    until(lambda: "org.charter.refusal" in people["bob"].join(room).body, "the gate knows the rooms")
    assert gate.scribe.invite(room, people["bob"].user_id).status == 200
    assert people["bob"].join(room).status == 403
    assert people["alice"].join(room).status == 403
    assert people["alice"].join(approvals).status == 200
    assert people["sara"].join(room).status == 200
    assert people["sara"].state(room, "m.room.topic", {"topic": "mine"}).status == 403
    assert people["sara"].invite(room, people["tom"].user_id).status == 403
    assert people["bob"].user_id not in _members(gate.scribe, room)
    deleted = people["root"].request("DELETE", f"/_synapse/admin/v1/rooms/{room}", {})
    assert deleted.status == 403, deleted
    gone = people["root"].request("POST", f"/_synapse/admin/v1/deactivate/{SCRIBE}", {})
    assert gone.status == 403, gone
    assert people["sara"].user_id in _members(gate.scribe, room)


def test_an_exempt_administrator_passes_with_an_alarm(gate: Gate, people: dict[str, Client]) -> None:
    """The exempt administrator does what nobody may, and the ledger hears of it."""
    room = room_of(people["boss"].create_room(preset="public_chat"))
    assert people["boss"].state(room, "com.example.unknown", {"a": 1}).status == 200

    def alarmed() -> bool:
        return any(
            record["actor"] == people["boss"].user_id and record["body"]["code"] == "exempt-admin"
            for record in gate.records("alarm")
        )

    until(alarmed, "the alarm is on record")


def test_the_steward_reaches_people_without_grants(gate: Gate, people: dict[str, Client]) -> None:
    """Somebody who may not join rooms can still read the receipts that the steward sends."""
    room = room_of(gate.steward.create_room(invite=[people["nina"].user_id], is_direct=True))
    assert people["nina"].join(room).status == 200
    assert gate.steward.say(room, "This was refused because …").status == 200
    assert "This was refused because …" in texts(people["nina"], room)


def test_aliases_and_lists_are_judged(people: dict[str, Client]) -> None:
    """Neither an address nor an entry in the public list without the grant."""
    room = room_of(people["alice"].create_room())
    alias = urllib.parse.quote("#den:acme.example", safe="")
    assert people["alice"].put(f"/directory/room/{alias}", {"room_id": room}).status == 403
    assert people["bob"].get(f"/directory/room/{alias}").status == 404
    assert people["alice"].put(f"/directory/list/room/{room}", {"visibility": "public"}).status == 403
    assert people["bob"].get("/publicRooms").body["chunk"] == []
