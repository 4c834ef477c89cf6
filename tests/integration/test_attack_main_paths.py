"""What an employee tries with a client of their own: every attempt is judged by what a colleague can read afterwards.

Each attempt carries a word. The word must appear nowhere in what the colleague can get of the room, and the refusal
must be on record, with the feature that was missing.
"""

from __future__ import annotations

import functools
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import Gate, joined, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client, Response

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
groups:
  talkers: {users: ["@mallory:acme.example", "@bob:acme.example", "@carol:acme.example"]}
grants:
  - {id: basics, to: [everyone], allow: [room.create, room.direct, room.invite, room.join, file.download]}
  - {id: talk, to: [talkers], allow: [chat.text, chat.edit, chat.thread, file.image]}
  - {id: voice, to: ["@mallory:acme.example"], allow: [call.voice], in: [direct]}
  - {id: quiet, to: ["@mike:acme.example"], allow: [chat.reaction, chat.delete, chat.edit, room.settings, profile.*]}
  - {id: papers, to: ["@carol:acme.example"], allow: [file.other], in: [direct]}
limits:
  - {id: small, to: [everyone], max_file: 200kB, upload_per_day: 2MB}
journal: {encryption: forbidden}
"""
WORD = "xyzzy-word"
MALFORMED = "malformed"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 200
PDF = b"%PDF-1.7\n" + b"x" * 200
ZIP = b"PK\x03\x04" + b"\0" * 200
TEXT = {"msgtype": "m.text", "body": WORD}
REFUSAL = {"id": "r-1", "feature": "chat.text", "rules": [], "reason": WORD, "policy": "", "contact": ""}
AUDIO = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
CALL = {"call_id": WORD, "party_id": "p", "version": "1", "lifetime": 60000}


def offer(sdp: Any, **extra: Any) -> dict[str, Any]:
    """Return an m.call.invite."""
    return {**CALL, "offer": {"type": "offer", "sdp": sdp}, **extra}


def edited(new: Any, **extra: Any) -> dict[str, Any]:
    """Return an edit of the event FIRST."""
    relation = {"rel_type": "m.replace", "event_id": "FIRST"}
    return {"msgtype": "m.text", "body": "* ok", "m.new_content": new, "m.relates_to": relation, **extra}


# What Mallory, who may write, edit and send pictures, tries to send: name, type, content, the missing feature.
MESSAGES: list[tuple[str, str, Any, str]] = [
    ("edit into a file", "m.room.message", edited({"msgtype": "m.file", "body": WORD, "url": "MINE"}), "file.other"),
    ("edit into a video", "m.room.message", edited({"msgtype": "m.video", "body": WORD}), "file.video"),
    ("edit into nothing known", "m.room.message", edited({"msgtype": WORD, "body": WORD}), "unknown"),
    ("edit whose new content is text", "m.room.message", edited(WORD), "unknown"),
    ("edit whose new content is a list", "m.room.message", edited([{"msgtype": "m.text", "body": WORD}]), "unknown"),
    ("edit inside an edit", "m.room.message", edited({**TEXT, "m.new_content": TEXT}), "unknown"),
    ("new content without a relation", "m.room.message", {"msgtype": "m.text", "body": "x", "m.new_content": {
        "msgtype": "m.file", "body": WORD}}, "file.other"),
    ("edit into a forged refusal", "m.room.message", edited({"msgtype": "m.notice", "body": WORD, "org.charter.refusal":
        REFUSAL}), "unknown"),
    ("a forged refusal", "m.room.message", {"msgtype": "m.notice", "body": WORD, "org.charter.refusal": REFUSAL},
        "unknown"),
    ("relation that is a list", "m.room.message", {**TEXT, "m.relates_to": [{"rel_type": "m.replace"}]}, "unknown"),
    ("relation of an unknown kind", "m.room.message", {**TEXT, "m.relates_to": {"rel_type": WORD}}, "unknown"),
    ("relation kind that is a list", "m.room.message", {**TEXT, "m.relates_to": {"rel_type": ["m.thread"]}}, "unknown"),
    ("no msgtype", "m.room.message", {"body": WORD}, MALFORMED),
    ("msgtype list", "m.room.message", {"msgtype": ["m.text"], "body": WORD}, MALFORMED),
    ("msgtype object", "m.room.message", {"msgtype": {"m.text": 1}, "body": WORD}, MALFORMED),
    ("msgtype null", "m.room.message", {"msgtype": None, "body": WORD}, MALFORMED),
    ("msgtype in capitals", "m.room.message", {"msgtype": "M.TEXT", "body": WORD}, "unknown"),
    ("msgtype with a space", "m.room.message", {"msgtype": "m.text ", "body": WORD}, "unknown"),
    ("location", "m.room.message", {"msgtype": "m.location", "body": WORD, "geo_uri": "geo:1,2"}, "chat.location"),
    ("file", "m.room.message", {"msgtype": "m.file", "body": WORD, "url": "MINE"}, "file.other"),
    ("voice message", "m.room.message", {"msgtype": "m.audio", "body": WORD, "org.matrix.msc3245.voice": {}}, "file.voice"),
    ("text with a file", "m.room.message", {**TEXT, "file": {"url": "MINE", "mimetype": "application/pdf"}}, "file.other"),
    ("text with a file, unstable", "m.room.message", {**TEXT, "org.matrix.msc1767.file": {"url": "MINE", "mimetype":
        "application/pdf"}}, "file.other"),
    ("picture that claims to be a zip", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "MINE", "info": {
        "mimetype": "application/zip"}}, "file.other"),
    ("somebody's picture", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "BOBS"}, "file.other"),
    ("somebody's picture, encrypted", "m.room.message", {"msgtype": "m.image", "body": WORD, "file": {"url": "BOBS"}},
        "file.other"),
    ("somebody's thumbnail", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "MINE", "info": {
        "thumbnail_url": "BOBS"}}, "file.other"),
    ("somebody's encrypted thumbnail", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "MINE", "info": {
        "thumbnail_file": {"url": "BOBS"}}}, "file.other"),
    ("somebody's picture in an edit", "m.room.message", edited({"msgtype": "m.image", "body": WORD, "url": "BOBS"}),
        "file.other"),
    ("media of another server", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "mxc://evil.example/a"},
        "file.other"),
    ("a picture from the web", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "https://evil.example/a"},
        "file.other"),
    ("no such media", "m.room.message", {"msgtype": "m.image", "body": WORD, "url": "mxc://acme.example/none"},
        "file.other"),
    ("sticker", "m.sticker", {"body": WORD, "url": "MINE", "info": {}}, "chat.sticker"),
    ("poll, unstable", "org.matrix.msc3381.poll.start", {"org.matrix.msc1767.text": WORD}, "chat.poll"),
    ("poll", "m.poll.start", {"m.text": WORD}, "chat.poll"),
    ("location event, unstable", "org.matrix.msc3488.location", {"body": WORD}, "chat.location"),
    ("extensible file", "m.file", {"m.text": WORD, "m.file": {"url": "MINE"}}, "file.other"),
    ("reaction", "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": "FIRST", "key": WORD}},
        "chat.reaction"),
    ("reaction with an edit inside", "m.reaction", {"m.relates_to": {"rel_type": "m.replace", "event_id": "FIRST"},
        "m.new_content": {"body": WORD}}, "chat.reaction"),
    ("type of one's own", "com.example.letter", {"body": WORD}, "unknown"),
    ("type of one's own, as text", "m.room.message.text", TEXT, "unknown"),
    ("type in capitals", "M.ROOM.MESSAGE", TEXT, "unknown"),
    ("state type as a message", "m.room.topic", {"topic": WORD}, MALFORMED),
    ("member as a message", "m.room.member", {"membership": "join", "displayname": WORD}, MALFORMED),
    ("encrypted", "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": WORD}, "room.encrypt"),
    ("verification", "m.key.verification.request", {"body": WORD}, "room.encrypt"),
    ("group call notification", "org.matrix.msc4075.rtc.notification", {"lifetime": 1, "t": WORD}, "call.group"),
    ("hanging up with a letter", "m.call.hangup", {**CALL, "letter": WORD}, "unknown"),
    ("hanging up with a long reason", "m.call.hangup", {"call_id": "1", "reason": WORD * 100}, "unknown"),
    ("call with a data channel", "m.call.invite", offer(AUDIO + "m=application 9 UDP/DTLS/SCTP x\r\n"), "call.voice"),
    ("voice call in a room of three", "m.call.invite", offer(AUDIO), "call.voice"),
    ("answer in a room of three", "m.call.answer", {**CALL, "answer": {"type": "answer", "sdp": AUDIO}}, "call.voice"),
]  # fmt: skip

# What hides a camera in a call, in a direct chat where Mallory may call by voice alone.
VIDEOS: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", "m.call.invite", offer(AUDIO + "m=video 9 x 96\r\n")),
    ("line feeds", "m.call.invite", offer((AUDIO + "m=video 9 x 96\r\n").replace("\r\n", "\n"))),
    ("carriage returns", "m.call.invite", offer((AUDIO + "m=video 9 x 96\r\n").replace("\r\n", "\r"))),
    ("capitals", "m.call.invite", offer(AUDIO + "M=VIDEO 9 x 96\r\n")),
    ("bundle-only", "m.call.invite", offer(AUDIO + "m=video 0 x 96\r\na=bundle-only\r\n")),
    ("inactive at first", "m.call.invite", offer(AUDIO + "m=video 9 x 96\r\na=inactive\r\n")),
    ("no description", "m.call.invite", {**CALL, "offer": {"type": "offer"}}),
    ("description that is a list", "m.call.invite", offer([AUDIO, "m=video 9 x 96"])),
    ("offer that is a list", "m.call.invite", {**CALL, "offer": [{"sdp": AUDIO}]}),
    ("too long to read", "m.call.invite", offer(AUDIO + "a=x\r\n" * 8000 + "m=video 9 x 96\r\n")),
    ("in the answer", "m.call.answer", {**CALL, "answer": {"type": "answer", "sdp": AUDIO + "m=video 9 x 96\r\n"}}),
    ("in a later offer", "m.call.negotiate", {**CALL, "description": {"type": "offer", "sdp": AUDIO + "m=video 9 x 9"}}),
    ("shared screen", "m.call.invite", offer(AUDIO, sdp_stream_metadata={"s": {"purpose": "m.screenshare"}})),
    ("shared screen later", "m.call.sdp_stream_metadata_changed", {
        **CALL, "org.matrix.msc3077.sdp_stream_metadata": {"s": {"purpose": "m.screenshare"}}}),
    ("negotiate, unstable name", "org.matrix.call.negotiate", {**CALL, "description": {"sdp": AUDIO}}),
]  # fmt: skip

# What Mike, who may react and redact but not write, tries to say.
WORDLESS: list[tuple[str, str, Any, str]] = [
    ("text", "m.room.message", TEXT, "chat.text"),
    ("emote", "m.room.message", {"msgtype": "m.emote", "body": WORD}, "chat.text"),
    ("reaction that is a letter", "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": "FIRST", "key":
        WORD * 9}}, "chat.text"),
    ("reaction with a letter beside it", "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": "FIRST",
        "key": "+"}, "body": WORD}, "chat.text"),
    ("reaction with a picture", "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": "FIRST", "key":
        f"mxc://{WORD}/a"}}, "file.image"),
    ("redaction with a letter", "m.room.redaction", {"redacts": "FIRST", "letter": WORD}, "unknown"),
    ("redaction with a reason", "m.room.redaction", {"redacts": "FIRST", "reason": WORD}, "chat.text"),
]  # fmt: skip

# What Mike, who may change settings, tries to put into the room's state: name, type, state key, content.
STATES: list[tuple[str, str, str, Any]] = [
    ("a message as state", "m.room.message", "", TEXT),
    ("type of one's own", "com.example.letter", "", {"a": WORD}),
    ("odd key", "com.example.letter", "@mike:acme.example", {"a": WORD}),
    ("encryption", "m.room.encryption", "", {"algorithm": WORD}),
    ("public", "m.room.join_rules", "", {"join_rule": "public", "x": WORD}),
    ("join rule of one's own", "m.room.join_rules", "", {"join_rule": WORD}),
    ("readable by the world", "m.room.history_visibility", "", {"history_visibility": "world_readable", "x": WORD}),
    ("marker in a setting", "m.room.topic", "", {"topic": WORD, "org.charter.refusal": REFUSAL}),
    ("marker in a rule", "m.room.history_visibility", "", {"history_visibility": "joined", "org.charter.refusal": REFUSAL}),
    ("widget", "im.vector.modular.widgets", "w", {"url": WORD}),
    ("tombstone", "m.room.tombstone", "", {"body": WORD, "replacement_room": "!x:acme.example"}),
    ("power levels", "m.room.power_levels", "", {"users": {"@mike:acme.example": 100}, "x": WORD}),
    ("power levels under an odd key", "m.room.power_levels", "x", {"x": WORD}),
    ("shutting this server out", "m.room.server_acl", "", {"allow": [WORD]}),
    ("functional members without the scribe", "io.element.functional_members", "", {"service_members": [WORD]}),
    ("functional members that are no list", "io.element.functional_members", "", {"service_members": {"a": WORD}}),
    ("group call", "org.matrix.msc3401.call.member", "_@mike:acme.example_D", {"application": WORD}),
    ("own membership with a letter", "m.room.member", "@mike:acme.example", {"membership": "join", "letter": WORD}),
    ("leaving with a letter", "m.room.member", "@mike:acme.example", {"membership": "leave", "letter": WORD}),
    ("leaving with a reason", "m.room.member", "@mike:acme.example", {"membership": "leave", "reason": WORD}),
    ("inviting a bot with a letter", "m.room.member", "@charter-steward:acme.example", {
        "membership": "invite", "reason": WORD}),
    ("alias", "m.room.canonical_alias", "", {"alias": f"#{WORD}:acme.example"}),
    ("space", "m.space.child", "!x:acme.example", {"via": [WORD]}),
    ("creation again", "m.room.create", "", {"room_version": "11", "creator": WORD}),
    ("creation of another room", "m.room.create", "", {"room_version": "12", "creator": WORD}),
]  # fmt: skip


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running gate with the policy of this module."""
    gate = Gate(tmp_path_factory.mktemp("gate"), extra={"max_pending_media_uploads": 100})
    try:
        gate.start()
        gate.apply(POLICY)
        yield gate
    finally:
        gate.homeserver.stop()


@pytest.fixture(scope="module")
def people(gate: Gate) -> dict[str, Client]:
    """Return the company; root is a server administrator."""
    company = {name: gate.homeserver.user(name) for name in ("mallory", "mike", "bob", "carol")}
    return company | {"root": gate.homeserver.user("root", admin=True)}


@pytest.fixture(scope="module")
def room(people: dict[str, Client]) -> str:
    """Return a room of Mallory, Mike, Bob and the administrator, where everybody has every power that Matrix knows."""
    guests = [people[name] for name in ("mike", "bob", "root")]
    levels = {"users_default": 100, "users": {people["mallory"].user_id: 100}}
    return joined(people["mallory"], guests, power_level_content_override=levels)


@pytest.fixture(scope="module")
def names(people: dict[str, Client], room: str) -> dict[str, str]:
    """Return what the tables name: an event and two pictures that are really there."""
    return {
        "FIRST": people["mallory"].say(room, "first").body["event_id"],
        "MINE": people["mallory"].upload(PNG, "image/png").body["content_uri"],
        "BOBS": people["bob"].upload(PNG, "image/png").body["content_uri"],
    }


def filled(content: Any, names: dict[str, str]) -> Any:
    """Return content with the names of real things."""
    text = json.dumps(content)
    for name, value in names.items():
        text = text.replace(f'"{name}"', json.dumps(value))
    return json.loads(text)


def seen(client: Client, room: str) -> str:
    """Return everything that somebody can get of a room, as one text."""
    state = client.get(f"/rooms/{room}/state")
    assert state.status == 200, state
    return json.dumps([client.messages(room, 500), state.body])


def refused(gate: Gate, client: Client, room: str | None = None) -> list[dict[str, Any]]:
    """Return the refusals of somebody."""
    return [r for r in gate.records("refusal") if r["actor"] == client.user_id and room in {None, r["room"]}]


def assert_stopped(  # noqa: PLR0917 - who, before whose eyes, where, what
    gate: Gate, actor: Client, watcher: Client, room: str, act: Any, feature: str = ""
) -> None:
    """Act, and require that the watcher sees nothing of it and that exactly one refusal more is on record.

    What Synapse itself calls malformed reaches no policy and leaves no record.
    """
    before = refused(gate, actor, room)
    answer: Response = act()
    assert WORD not in seen(watcher, room), answer
    if feature == MALFORMED:
        assert answer.status in {400, 403, 500}, answer
        assert "org.charter.refusal" not in answer.body
        return
    after = refused(gate, actor, room)
    assert len(after) == len(before) + 1, answer
    assert after[-1]["body"]["feature"].startswith(feature), after[-1]
    assert "#it-security:acme.example" in json.dumps(answer.body) or answer.status == 200, answer


@pytest.mark.parametrize(("what", "event_type", "content", "feature"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_messages(  # noqa: PLR0917 - the columns of the table
    gate: Gate,
    people: dict[str, Client],
    room: str,
    names: dict[str, str],
    what: str,
    event_type: str,
    content: Any,
    feature: str,
) -> None:
    """No message carries what its sender may not send."""
    del what
    act = functools.partial(people["mallory"].send, room, filled(content, names), event_type)
    assert_stopped(gate, people["mallory"], people["bob"], room, act, feature)


@pytest.mark.parametrize(("what", "event_type", "content", "feature"), WORDLESS, ids=[row[0] for row in WORDLESS])
def test_words_without_chat_text(  # noqa: PLR0917 - the columns of the table
    gate: Gate,
    people: dict[str, Client],
    room: str,
    names: dict[str, str],
    what: str,
    event_type: str,
    content: Any,
    feature: str,
) -> None:
    """Nobody who may not write writes by other means."""
    del what
    act = functools.partial(people["mike"].send, room, filled(content, names), event_type)
    assert_stopped(gate, people["mike"], people["bob"], room, act, feature)


@pytest.mark.parametrize(("what", "event_type", "key", "content"), STATES, ids=[row[0] for row in STATES])
@pytest.mark.parametrize("who", ["mike", "root"])
def test_state(  # noqa: PLR0917 - the columns of the table
    gate: Gate, people: dict[str, Client], room: str, who: str, what: str, event_type: str, key: str, content: Any
) -> None:
    """No state event carries what its sender may not set, whatever power the room gives; administrators like everybody."""
    del what
    key = key.replace("@mike:", f"@{who}:") if event_type == "m.room.member" else key
    act = functools.partial(people[who].state, room, event_type, content, key)
    assert_stopped(gate, people[who], people["bob"], room, act, MALFORMED if event_type == "m.room.create" else "")


@pytest.mark.parametrize(("what", "event_type", "content"), VIDEOS, ids=[row[0] for row in VIDEOS])
def test_cameras_in_voice_calls(
    gate: Gate, people: dict[str, Client], what: str, event_type: str, content: dict[str, Any]
) -> None:
    """Somebody who may call by voice cannot turn on a camera or share the screen, however it is written."""
    del what
    mallory, carol = people["mallory"], people["carol"]
    direct = joined(mallory, [carol], is_direct=True)
    assert mallory.send(direct, offer(AUDIO, call_id="ok"), "m.call.invite").status == 200
    act = functools.partial(mallory.send, direct, content, event_type)
    assert_stopped(gate, mallory, carol, direct, act)
    assert mallory.send(direct, {"call_id": "ok", "version": "1"}, "m.call.hangup").status == 200


def test_no_redaction_empties_what_protects_the_journal(gate: Gate, people: dict[str, Client], room: str) -> None:
    """Redacting the event that names the scribe functional, its membership or the creation changes nothing."""
    mike = people["mike"]
    state = mike.get(f"/rooms/{room}/state").body
    before = len(refused(gate, mike, room))
    guarded = [e for e in state if e["type"] in {"io.element.functional_members", "m.room.create"}]
    guarded += [e for e in state if e["type"] == "m.room.member" and e["state_key"] == gate.scribe.user_id]
    for event in guarded:
        path = f"/rooms/{room}/redact/{urllib.parse.quote(event['event_id'])}/{event['type']}"
        assert mike.put(path, {}).status == 403, event
    assert [e["content"] for e in mike.get(f"/rooms/{room}/state").body] == [e["content"] for e in state]
    assert len(refused(gate, mike, room)) == before + len(guarded) == before + 3


def test_a_transaction_id_says_one_thing(people: dict[str, Client], room: str, gate: Gate) -> None:
    """The second content under one transaction id is not sent, whether the first was refused or not."""
    mallory, path = people["mallory"], f"/rooms/{room}/send/m.room.message/same"
    before = len(refused(gate, mallory, room))
    answers = [
        mallory.put(path, content)
        for content in (
            {"msgtype": "m.file", "body": WORD},
            {"msgtype": "x", "body": WORD},
            {"msgtype": "m.file", "body": WORD},
        )
    ]
    assert WORD not in seen(people["bob"], room)
    assert {answer.status for answer in answers} <= {200, 400, 403}
    assert len(refused(gate, mallory, room)) > before


def test_a_huge_message_is_nobodys_accident(gate: Gate, people: dict[str, Client], room: str) -> None:
    """Sizes and depths beyond reason are refused by somebody, and no hook fails over them."""
    deep: Any = WORD
    for _ in range(400):
        deep = {"a": deep}
    for content in ({"msgtype": "m.text", "body": WORD * 7000}, {"msgtype": ["x" * 60_000], "body": WORD}, deep):
        answer = people["mallory"].send(room, content)
        assert answer.status in {200, 400, 403, 413, 503}, answer
        assert WORD not in seen(people["bob"], room)
    assert "hook check_event_allowed failed" not in gate.homeserver.log()


UPLOADS: list[tuple[str, str, bytes, str | None, int]] = [
    ("document as a picture", "mallory", PDF, "image/png", 403),
    ("archive as a picture", "mallory", ZIP, "image/png", 403),
    ("web page as a picture", "mallory", b"<!DOCTYPE html><script>1</script>", "image/png", 403),
    ("nothing at all", "mallory", b"", "image/png", 403),
    ("too large", "mallory", PNG + b"\0" * 300_000, "image/png", 403),
    ("without a type", "mallory", ZIP, None, 403),
    ("picture without a type", "mallory", PNG, None, 200),
    ("granted in direct chats alone", "carol", PDF, "application/pdf", 200),
    ("somebody without any file", "mike", PNG, "image/png", 403),
    ("an administrator", "root", PNG, "image/png", 403),
]


@pytest.mark.parametrize(("what", "who", "data", "claimed", "status"), UPLOADS, ids=[row[0] for row in UPLOADS])
@pytest.mark.parametrize("later", [False, True], ids=["at once", "created first"])
def test_uploads(  # noqa: PLR0917 - the columns of the table
    gate: Gate,
    people: dict[str, Client],
    what: str,
    who: str,
    data: bytes,
    claimed: str | None,
    status: int,
    *,
    later: bool,
) -> None:
    """Both ways to upload are judged by the bytes; a refused upload is nowhere."""
    del what
    client, headers = people[who], {"Content-Type": claimed} if claimed else {"Content-Type": ""}
    before, records = _stored(gate), len(refused(gate, client))
    if later:
        uri = client.request("POST", "/_matrix/media/v1/create", {}).body["content_uri"].removeprefix("mxc://")
        answer = client.request("PUT", f"/_matrix/media/v3/upload/{uri}", data, headers=headers)
    else:
        answer = client.request("POST", "/_matrix/media/v3/upload", data, headers=headers)
    assert answer.status == status, answer
    assert _stored(gate) == before + (status == 200)
    assert len(refused(gate, client)) == records + (status != 200)


def _stored(gate: Gate) -> int:
    return int(gate.rows("SELECT COUNT(*) FROM local_media_repository WHERE media_length IS NOT NULL")[0][0])


def test_a_file_granted_in_direct_chats_stays_there(gate: Gate, people: dict[str, Client]) -> None:
    """The upload is possible, the message only where the grant holds."""
    carol, bob, mike = people["carol"], people["bob"], people["mike"]
    uri = carol.upload(PDF, "application/pdf").body["content_uri"]
    file = {"msgtype": "m.file", "body": "plan.pdf", "url": uri}
    direct, three = joined(carol, [bob], is_direct=True), joined(carol, [bob, mike])
    assert carol.send(direct, file).status == 200
    assert texts(bob, direct) == ["plan.pdf"]
    carol.send(three, file)
    assert "plan.pdf" not in seen(bob, three)
    assert refused(gate, carol, three)[-1]["body"]["feature"] == "file.other"
