"""What an employee tries with rooms, memberships and the journal's place in them, watched by who is there afterwards."""

from __future__ import annotations

import functools
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import SCRIBE, STEWARD, Gate, joined, room_of, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = pytest.mark.integration

OPEN = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
grants:
  - {id: all, to: [everyone], allow: ["*", unknown]}
journal: {encryption: journaled}
"""
POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
groups:
  hosts: {users: ["@mallory:acme.example", "@rita:acme.example", "@tom:acme.example", "@root:acme.example"]}
  research: {users: ["@rita:acme.example"]}
  traders: {users: ["@tom:acme.example"]}
grants:
  - {id: basics, to: [everyone], allow: [chat.text, chat.delete, room.direct, room.join, room.knock]}
  - {id: hosting, to: [hosts], allow: [room.create, room.invite, room.settings, room.moderate, room.upgrade]}
barriers:
  - {id: wall, between: [research, traders], reason: Research and trading do not talk.}
compliance: {exempt_admins: ["@boss:acme.example"]}
journal: {encryption: forbidden}
"""
MALLORY, RITA, TOM, BOB = (f"@{name}:acme.example" for name in ("mallory", "rita", "tom", "bob"))
WORD = "xyzzy-word"


def state(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """Return a request whose initial state has one event."""
    return {"initial_state": [{"type": kind, "state_key": "", "content": content, **more}]}


# Creations that are refused, whoever asks: name, request.
CREATIONS: list[tuple[str, dict[str, Any]]] = [
    ("public", {"preset": "public_chat"}),
    ("preset of one's own", {"preset": WORD}),
    ("preset that is a list", {"preset": ["private_chat"]}),
    ("listed", {"visibility": "public"}),
    ("alias", {"room_alias_name": WORD}),
    ("empty alias", {"room_alias_name": ""}),
    ("opened by its state", state("m.room.join_rules", {"join_rule": "public"})),
    ("readable by the world", state("m.room.history_visibility", {"history_visibility": "world_readable"})),
    ("join rule that is a list", state("m.room.join_rules", {"join_rule": ["public"]})),
    ("state of one's own", state("com.example.letter", {"a": WORD})),
    ("state that is a message", state("m.room.message", {"msgtype": "m.text", "body": WORD})),
    ("state that is a member", state("m.room.member", {"membership": "join"}, state_key=TOM)),
    ("state that creates", state("m.room.create", {"creator": TOM})),
    ("state that is an object", {"initial_state": {"type": "com.example.letter", "content": {}}}),
    ("state content that is text", state("m.room.topic", WORD)),
    ("state without a type", {"initial_state": [{"content": {"a": WORD}}]}),
    ("encrypted", state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})),
    ("widget", state("im.vector.modular.widgets", {"url": WORD}, state_key="w")),
    ("shutting this server out", state("m.room.server_acl", {"deny": ["acme.*"], "allow": ["*"]})),
    ("forged refusal in its state", state("m.room.topic", {"topic": "x", "org.charter.refusal": {"reason": WORD}})),
    ("type of one's own", {"creation_content": {"type": WORD}}),
    ("letter in its creation", {"creation_content": {"com.example.letter": WORD}}),
    ("posing as the journal", {"creation_content": {"org.charter.room": "journal"}}),
    ("posing as the steward's chat", {"creation_content": {"org.charter.direct": TOM}, "is_direct": True}),
    ("creation that is a list", {"creation_content": [WORD]}),
    ("across the wall", {"invite": [RITA, TOM]}),
    ("invitations in an object", {"invite": {RITA: 1, TOM: 1}}),
    ("invitations in an object, to a chat", {"invite": {TOM: 1}, "is_direct": True}),
    ("invitations in a text", {"invite": TOM}),
    ("invitations that are none", {"invite": [TOM, {"user_id": RITA}]}),
    ("somebody of another server", {"invite": ["@eve:evil.example"]}),
    ("by e-mail", {"invite_3pid": [{"medium": "email", "address": "eve@evil.example", "id_server": "x", "id_access_token":
        "x"}]}),
    ("by e-mail, in an object", {"invite_3pid": {"medium": "email"}}),
]  # fmt: skip


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
    """Return the company; root and boss are server administrators, and only boss is exempt."""
    company = {name: gate.homeserver.user(name) for name in ("mallory", "rita", "tom", "bob", "carl")}
    return company | {name: gate.homeserver.user(name, admin=True) for name in ("root", "boss")}


@pytest.fixture(scope="module")
def room(people: dict[str, Client]) -> str:
    """Return a room of Mallory, Bob and Rita, with the scribe in it, where everybody has every power."""
    levels = {"users_default": 100, "users": {MALLORY: 100}}
    room = joined(people["mallory"], [people["bob"], people["rita"]], power_level_content_override=levels)
    until(lambda: SCRIBE in members(people["bob"], room), "the scribe joined")
    return room


def members(client: Client, room: str) -> set[str]:
    """Return who is in a room."""
    return set(client.get(f"/rooms/{room}/joined_members").body["joined"])


def invited(client: Client) -> set[str]:
    """Return the rooms that somebody is invited to."""
    return set(client.get("/sync").body.get("rooms", {}).get("invite", {}))


def refusals(gate: Gate, user: str) -> int:
    """Return how many refusals of somebody are on record."""
    return len([record for record in gate.records("refusal") if record["actor"] == user])


@pytest.mark.parametrize(("what", "config"), CREATIONS, ids=[row[0] for row in CREATIONS])
@pytest.mark.parametrize("who", ["mallory", "root"])
def test_creations(gate: Gate, people: dict[str, Client], who: str, what: str, config: dict[str, Any]) -> None:
    """A refused creation leaves no room, no invitation and one record, an administrator's too."""
    del what
    asker, before = people[who], int(gate.rows("SELECT COUNT(*) FROM rooms")[0][0])
    waiting, records = invited(people["tom"]) | invited(people["rita"]), refusals(gate, asker.user_id)
    answer = asker.create_room(**config)
    assert answer.status == 403, answer
    assert answer.body["error"].endswith("Questions: #it-security:acme.example")
    assert int(gate.rows("SELECT COUNT(*) FROM rooms")[0][0]) == before
    assert invited(people["tom"]) | invited(people["rita"]) == waiting
    assert refusals(gate, asker.user_id) == records + 1


@pytest.mark.parametrize("version", ["6", "10", "11", "12"])
def test_no_creation_names_others_functional(people: dict[str, Client], version: str) -> None:
    """Whom the request called a service member is an ordinary one; the scribe is there in every version of rooms."""
    forged = state("io.element.functional_members", {"service_members": [TOM]})
    room = joined(people["mallory"], [people["tom"]], room_version=version, preset="trusted_private_chat", **forged)
    assert people["tom"].get(f"/rooms/{room}/state/io.element.functional_members").body == {"service_members": [SCRIBE]}
    until(lambda: SCRIBE in members(people["tom"], room), "the scribe joined")


def test_a_creation_that_fails_half_way_has_its_scribe_all_the_same(gate: Gate, people: dict[str, Client]) -> None:
    """Levels that forbid the creator to invite end the creation; whoever is left in that room is alone in it."""
    levels = {"users": {MALLORY: 50}, "invite": 75, "state_default": 0}
    answer = people["mallory"].create_room(invite=[BOB], power_level_content_override=levels)
    assert answer.status == 403, answer
    assert not invited(people["bob"])
    (room,) = gate.rows("SELECT room_id FROM room_stats_state ORDER BY rowid DESC LIMIT 1")[0]
    for act in (people["bob"].join, people["carl"].join):
        assert act(room).status == 403


def test_a_direct_chat_does_not_grow_into_a_group(people: dict[str, Client]) -> None:
    """Who may open direct chats alone opens no group, at once or later."""
    bob, carl, mallory = people["bob"], people["carl"], people["mallory"]
    direct = joined(bob, [mallory], is_direct=True)
    assert bob.invite(direct, carl.user_id).status == 403
    path = {"membership": "invite", "is_direct": True}
    assert bob.state(direct, "m.room.member", path, carl.user_id).status == 403
    assert bob.create_room(is_direct=True, invite=[mallory.user_id, carl.user_id]).status == 403
    assert bob.create_room(is_direct="true", invite=[mallory.user_id]).status == 403
    assert bob.create_room(invite=[mallory.user_id]).status == 403
    assert direct not in invited(carl)


def test_no_way_into_a_room_across_the_wall(gate: Gate, people: dict[str, Client], room: str) -> None:
    """Neither invitation by whatever path, nor a public join, nor a knock, nor an administrator's request."""
    tom, mallory, root = people["tom"], people["mallory"], people["root"]
    before = refusals(gate, MALLORY)
    assert mallory.invite(room, TOM).status == 403
    assert mallory.state(room, "m.room.member", {"membership": "invite"}, TOM).status == 403
    assert refusals(gate, MALLORY) == before + 2
    assert room not in invited(tom)
    public = room_of(people["boss"].create_room(preset="public_chat", invite=[RITA]))
    assert people["rita"].join(public).status == 200
    knocking = state("m.room.join_rules", {"join_rule": "knock"})
    other = joined(mallory, [people["rita"]], **knocking)
    for act in (tom.join, lambda one: tom.state(one, "m.room.member", {"membership": "join"}, TOM)):
        answer = act(public)
        assert answer.status == 403, answer
        assert "Research and trading do not talk." in answer.body["error"]
    assert tom.post(f"/knock/{urllib.parse.quote(other)}").status == 403
    forced = root.request("POST", f"/_synapse/admin/v1/join/{urllib.parse.quote(public)}", {"user_id": TOM})
    assert forced.status == 403, forced
    assert TOM not in members(people["rita"], public) | members(mallory, other)


def test_a_join_carries_nothing(people: dict[str, Client], gate: Gate) -> None:
    """A membership with more than Matrix puts there is refused; so is the word beside a knock without chat.text."""
    room = room_of(people["mallory"].create_room(invite=[BOB]))
    before = refusals(gate, BOB)
    letter = {"membership": "join", "com.example.letter": WORD * 100}
    assert people["bob"].state(room, "m.room.member", letter, BOB).status == 403
    assert BOB not in members(people["mallory"], room)
    assert refusals(gate, BOB) == before + 1
    assert people["bob"].join(room).status == 200


REMOVALS: list[tuple[str, str, Any]] = [
    ("/kick", SCRIBE, {}),
    ("/ban", SCRIBE, {}),
    ("/kick", SCRIBE, {"reason": WORD}),
    ("", SCRIBE, {"membership": "leave"}),
    ("", SCRIBE, {"membership": "ban"}),
    ("", SCRIBE, {"membership": "knock"}),
    ("/ban", STEWARD, {}),
]


@pytest.mark.parametrize(("path", "bot", "content"), REMOVALS)
@pytest.mark.parametrize("who", ["mallory", "root"])
def test_nobody_removes_the_scribe(  # noqa: PLR0917 - the columns of the table
    people: dict[str, Client], room: str, who: str, path: str, bot: str, content: Any
) -> None:
    """Not with every power in the room, and not as a server administrator."""
    if who == "root" and people["root"].user_id not in members(people["bob"], room):
        assert people["mallory"].invite(room, people["root"].user_id).status == 200
        assert people["root"].join(room).status == 200
    if path:
        answer = people[who].post(f"/rooms/{room}{path}", {"user_id": bot, **content})
    else:
        answer = people[who].state(room, "m.room.member", content, bot)
    assert answer.status in {400, 403}, answer
    assert SCRIBE in members(people["bob"], room)
    assert WORD not in str(people["bob"].get(f"/rooms/{room}/state").body)


def test_the_scribe_reads_on_whatever_the_room_does(gate: Gate, people: dict[str, Client]) -> None:
    """Levels that demote it, hidden history, closed doors and everybody else's leaving do not take the room from it."""
    mallory, bob = people["mallory"], people["bob"]
    room = joined(mallory, [bob])
    until(lambda: SCRIBE in members(bob, room), "the scribe joined")
    levels = mallory.get(f"/rooms/{room}/state/m.room.power_levels").body
    changed = {**levels, "users": {MALLORY: 100, SCRIBE: -100}, "users_default": -1, "events_default": -1}
    assert mallory.state(room, "m.room.power_levels", changed).status == 200
    assert mallory.state(room, "m.room.history_visibility", {"history_visibility": "joined"}).status == 200
    ignored: dict[str, Any] = {"ignored_users": {SCRIBE: {}, STEWARD: {}}}
    assert mallory.put(f"/user/{MALLORY}/account_data/m.ignored_user_list", ignored).status == 200
    assert bob.say(room, "still here").status == 200
    assert "still here" in texts(gate.scribe, room)
    for client in (mallory, bob):
        assert client.post(f"/rooms/{room}/leave").status == 200
    assert members(gate.scribe, room) == {SCRIBE}


ON_BOTS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/users/{bot}/login", {}),
    ("POST", "/v1/users/{bot}/shadow_ban", {}),
    ("PUT", "/v1/suspend/{bot}", {"suspend": True}),
    ("PUT", "/v2/users/{bot}", {"locked": True}),
    ("PUT", "/v2/users/{bot}", {"password": "known-to-me"}),
    ("PUT", "/v1/users/{bot}/admin", {"admin": True}),
    ("POST", "/v1/reset_password/{bot}", {"new_password": "known-to-me"}),
    ("POST", "/v1/deactivate/{bot}", {"erase": True}),
    ("POST", "/v2/users/{bot}/delete_devices", {"devices": ["X"]}),
    ("POST", "/v1/user/{bot}/redact", {"rooms": []}),
    ("POST", "/v1/users/{bot}/override_ratelimit", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), ON_BOTS, ids=[f"{row[0]} {row[1]} {row[2]}" for row in ON_BOTS])
@pytest.mark.parametrize("who", ["root", "boss"])
def test_no_administrator_becomes_or_changes_a_bot(  # noqa: PLR0917 - the columns of the table
    gate: Gate, people: dict[str, Client], who: str, method: str, path: str, body: Any
) -> None:
    """Not even an exempt one: the scribe reads what only the security team may, and is the journal."""
    for name in (SCRIBE, urllib.parse.quote(STEWARD, safe="")):
        answer = people[who].request(method, "/_synapse/admin" + path.format(bot=name), body)
        assert answer.status == 403, answer
        assert "access_token" not in str(answer.body)
    tried = [r for r in gate.records("admin-request") if r["actor"] == people[who].user_id]
    assert tried[-1]["body"]["method"] == method
    assert gate.scribe.get("/account/whoami").status == 200


def test_a_token_for_a_bot_is_worth_nothing(gate: Gate, people: dict[str, Client]) -> None:
    """However a person's token for a bot came about, it neither reads nor writes."""
    before = gate.rows("SELECT COALESCE(MAX(id), 0) FROM access_tokens")[0][0]
    token = "syt_forged_token"
    _insert(gate, before + 1, SCRIBE, token)
    forged = type(people["root"])(gate.homeserver.base_url, token, SCRIBE)
    room = room_of(people["mallory"].create_room(name="Plans"))
    until(lambda: SCRIBE in members(people["mallory"], room), "the scribe joined")
    for answer in (forged.get("/sync"), forged.get(f"/rooms/{room}/messages", dir="b"), forged.say(room, WORD)):
        assert answer.status == 403, answer
    assert WORD not in texts(people["mallory"], room)


def _insert(gate: Gate, number: int, user: str, token: str) -> None:
    import sqlite3  # noqa: PLC0415 - the only place that writes into a running database

    with sqlite3.connect(gate.homeserver.folder / "homeserver.db", timeout=30) as connection:
        connection.execute("INSERT INTO access_tokens (id, user_id, token) VALUES (?, ?, ?)", (number, user, token))
    connection.close()


def test_application_services_are_nobody_else(gate: Gate, people: dict[str, Client]) -> None:
    """A service that no rule of the policy names does nothing, and no service speaks as a person, a bot or its own sender."""
    helpdesk, mallory = gate.homeserver.bot("helpdesk"), people["mallory"]
    room = room_of(mallory.create_room(invite=[helpdesk.user_id, "@_helpdesk:acme.example"]))
    assert helpdesk.join(room).status == 403
    for name in (MALLORY, SCRIBE, STEWARD, "@_helpdesk:acme.example"):
        posing = type(helpdesk)(helpdesk.base_url, helpdesk.token, name, as_user=name)
        for act in (functools.partial(posing.say, room, WORD), functools.partial(posing.create_room, name=WORD)):
            assert act().status in {401, 403}, name
        answer = posing.request("GET", "/_synapse/client/charter/v1/outbox")
        assert answer.status in {401, 403}, (name, answer)
    assert WORD not in texts(mallory, room)
    assert helpdesk.user_id not in members(mallory, room)


def test_an_encrypted_room_of_former_times_is_not_upgraded(gate: Gate, people: dict[str, Client]) -> None:
    """What an older policy allowed is not carried into a new room."""
    gate.apply(OPEN)
    room = room_of(people["mallory"].create_room(**state("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})))
    gate.apply(POLICY)
    before = int(gate.rows("SELECT COUNT(*) FROM rooms")[0][0])
    answer = people["mallory"].post(f"/rooms/{room}/upgrade", {"new_version": "11"})
    assert answer.status == 403, answer
    assert int(gate.rows("SELECT COUNT(*) FROM rooms")[0][0]) == before
    assert people["mallory"].get(f"/rooms/{room}/state/m.room.tombstone").status == 404


def test_the_journals_place_is_no_matter_of_stages(gate: Gate, people: dict[str, Client]) -> None:
    """A policy that is only tried out refuses nothing but what would take the scribe away."""
    gate.apply(POLICY, stage="shadow")
    mallory, bob = people["mallory"], people["bob"]
    room = joined(mallory, [bob], preset="public_chat")
    until(lambda: SCRIBE in members(bob, room), "the scribe joined")
    assert mallory.post(f"/rooms/{room}/kick", {"user_id": SCRIBE}).status == 403
    assert mallory.state(room, "io.element.functional_members", {"service_members": []}).status == 403
    assert mallory.create_room(**state("m.room.server_acl", {"allow": []})).status == 403
    assert mallory.state(room, "com.example.letter", {"a": "tried out"}).status == 200
    assert SCRIBE in members(bob, room)
