"""What an employee may try to send: the tables of the attacks, shared by one process and by several."""

from __future__ import annotations

import json
from http.client import IncompleteRead
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.harness.gate import Gate
    from tests.harness.synapse import Client, Response


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
    (
        "reaction with a letter in its relation",
        "m.reaction",
        {"m.relates_to": {"rel_type": "m.annotation", "event_id": "FIRST", "key": "+", "letter": WORD}},
        "chat.text",
    ),
    ("hanging up with a letter inside", "m.call.hangup", {"call_id": "1", "capabilities": {"a": WORD * 99}}, "unknown"),
    ("hanging up with a list of letters", "m.call.hangup", {"call_id": "1", "seq": [WORD] * 99}, "unknown"),
    ("declining with a letter inside", "m.rtc.decline", {"m.relates_to": {"a": {"b": {"c": WORD * 99}}}}, "unknown"),
    ("leaving a call with a letter", "org.matrix.msc4143.rtc.member", {"msc4354_sticky_key": WORD * 99}, "call.group"),
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
    (
        "leaving with a letter inside",
        "m.room.member",
        "@mike:acme.example",
        {"membership": "leave", "third_party_invite": {"a": WORD}},
    ),
    ("leaving directly, with a letter", "m.room.member", "@mike:acme.example", {"membership": "leave", "is_direct": WORD}),
    ("leaving with a reason", "m.room.member", "@mike:acme.example", {"membership": "leave", "reason": WORD}),
    ("inviting a bot with a letter", "m.room.member", "@charter-steward:acme.example", {
        "membership": "invite", "reason": WORD}),
    ("alias", "m.room.canonical_alias", "", {"alias": f"#{WORD}:acme.example"}),
    ("space", "m.space.child", "!x:acme.example", {"via": [WORD]}),
    ("creation again", "m.room.create", "", {"room_version": "11", "creator": WORD}),
    ("creation of another room", "m.room.create", "", {"room_version": "12", "creator": WORD}),
]  # fmt: skip


# What each uploads: name, who, bytes, claimed type, and whether colleagues may have it.
UPLOADS: list[tuple[str, str, bytes, str | None, bool]] = [
    ("document as a picture", "mallory", PDF, "image/png", False),
    ("archive as a picture", "mallory", ZIP, "image/png", False),
    ("web page as a picture", "mallory", b"<!DOCTYPE html><script>1</script>", "image/png", False),
    ("nothing at all", "mallory", b"", "image/png", False),
    ("too large", "mallory", PNG + b"\0" * 300_000, "image/png", False),
    ("without a type", "mallory", ZIP, None, False),
    ("picture without a type", "mallory", PNG, None, True),
    ("granted in direct chats alone", "carol", PDF, "application/pdf", True),
    ("somebody without any file", "mike", PNG, "image/png", False),
    ("an administrator", "root", PNG, "image/png", False),
]


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


def handed_out(watcher: Client, answer: Response, data: bytes) -> bool:
    """Whether somebody else can download what was uploaded."""
    if answer.status != 200:
        return False
    path = answer.body.get("content_uri", "").removeprefix("mxc://")
    try:
        got = watcher.request("GET", f"/_matrix/client/v1/media/download/{path}?timeout_ms=100")
    except IncompleteRead:  # withheld and not quarantined yet: the length without the bytes
        return False
    return got.status == 200 and bool(data) and got.body == data


def assert_not_uploaded(gate: Gate, actor: Client, watcher: Client, data: bytes, act: Any) -> None:
    """Upload, and require that nobody gets the bytes and that one refusal more is on record."""
    before = len(refused(gate, actor))
    answer: Response = act()
    assert answer.status in {200, 403}, answer
    assert not handed_out(watcher, answer, data), answer
    assert len(refused(gate, actor)) == before + 1, answer
