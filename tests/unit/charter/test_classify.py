from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutabledict import immutabledict

from charter.catalogue import BY_ID, UNKNOWN
from charter.classify import classify_create, classify_event, media_feature
from charter.facts import CreateRoomFacts, EventFacts
from charter.sdp import offered_media
from charter.wire import ENDINGS

ADA, BOB = "@ada:acme.example", "@bob:acme.example"
VOICE = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
VIDEO = VOICE + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
REFUSED_VIDEO = VOICE + "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=inactive\r\n"
BUNDLED_VIDEO = VOICE + "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\n"
DATA = VOICE + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"


def message(msgtype: Any = "m.text", **content: Any) -> dict[str, Any]:
    """Return the content of a message."""
    return {"msgtype": msgtype, "body": "x", **content}


def needs(event_type: Any, content: Any, **facts: Any) -> str:
    """Return what an event of Ada needs, in one line."""
    return " ".join(classify_event(EventFacts(event_type, content, **facts), ADA))


def edit(new: Any, **outer: Any) -> dict[str, Any]:
    """Return the content of an edit."""
    relation = {"rel_type": "m.replace", "event_id": "$e"}
    return {**message(body="* x"), "m.relates_to": relation, "m.new_content": new, **outer}


MESSAGES: list[tuple[Any, Any, str]] = [
    ("m.room.message", message(), "chat.text"),
    ("m.room.message", message("m.notice"), "chat.text"),
    ("m.room.message", message("m.emote"), "chat.text"),
    ("m.room.message", immutabledict(message()), "chat.text"),
    ("m.room.message", message("nic.custom.confetti"), "chat.text"),
    ("m.room.message", message("m.image"), "file.image"),
    ("m.room.message", message("m.video"), "file.video"),
    ("m.room.message", message("m.audio"), "file.audio"),
    ("m.room.message", message("m.file"), "file.other"),
    ("m.room.message", message("m.location"), "chat.location"),
    ("m.room.message", message("com.example.other"), "unknown"),
    ("m.room.message", {}, "unknown"),
    ("m.room.message", message(["m.text"]), "unknown"),
    ("m.room.message", message({"m": 1}), "unknown"),
    ("m.room.message", message(None), "unknown"),
    ("m.room.message", [], "unknown"),
    ("m.room.message", None, "unknown"),
    (None, {}, "unknown"),
    # voice messages
    ("m.room.message", message("m.audio", **{"org.matrix.msc3245.voice": {}}), "file.voice"),
    ("m.room.message", message("m.audio", **{"m.voice": {}}, info={"mimetype": "audio/ogg"}), "file.voice"),
    ("m.room.message", message("m.file", **{"m.voice": {}}), "file.other"),
    # claimed types
    ("m.room.message", message("m.image", info={"mimetype": "image/png"}), "file.image"),
    ("m.room.message", message("m.image", info={"mimetype": "application/zip"}), "file.image file.other"),
    ("m.room.message", message("m.file", info={"mimetype": "Video/MP4; codecs=x"}), "file.other file.video"),
    ("m.room.message", message("m.file", info={"mimetype": ["image/png"]}), "file.other"),
    ("m.room.message", message("m.video", info={"thumbnail_info": {"mimetype": "image/png"}}), "file.video"),
    ("m.room.message", message("m.image", info={"thumbnail_info": {"mimetype": "text/html"}}), "file.image file.other"),
    # words beside media
    ("m.room.message", message("m.image", body="cat.png", filename="cat.png"), "file.image"),
    ("m.room.message", message("m.image", body="look!", filename="cat.png"), "chat.text file.image"),
    ("m.room.message", message("m.image", body="a\nb"), "chat.text file.image"),
    ("m.room.message", message("m.image", body="a" * 300), "chat.text file.image"),
    ("m.room.message", message("m.image", formatted_body="<b>x</b>"), "chat.text file.image"),
    # media inside text
    ("m.room.message", message(url="mxc://a/b"), "chat.text file.other"),
    ("m.room.message", message(file={"mimetype": "image/png"}), "chat.text file.image"),
    ("m.room.message", message(**{"m.file": {"url": "mxc://a/b"}}), "chat.text file.other"),
    ("m.room.message", message(formatted_body="<IMG src='mxc://a/b'>"), "chat.text file.image"),
    ("m.room.message", message(formatted_body="<b>x</b>"), "chat.text"),
    # relations
    ("m.room.message", edit(message()), "chat.edit chat.text"),
    ("m.room.message", edit(message("m.file")), "chat.edit chat.text file.other"),
    ("m.room.message", edit(message("m.image"), msgtype="m.image", filename="x"), "chat.edit file.image"),
    ("m.room.message", edit("text"), "chat.edit chat.text unknown"),
    ("m.room.message", edit(edit(message())), "chat.edit chat.text unknown"),
    ("m.room.message", {**message(), "m.new_content": message("m.file")}, "chat.edit chat.text file.other"),
    ("m.room.message", message(**{"m.relates_to": {"rel_type": "m.thread"}}), "chat.text chat.thread"),
    ("m.room.message", message(**{"m.relates_to": {"rel_type": "io.element.thread"}}), "chat.text chat.thread"),
    ("m.room.message", message(**{"m.relates_to": {"m.in_reply_to": {"event_id": "$e"}}}), "chat.text"),
    ("m.room.message", message(**{"m.relates_to": {"rel_type": ["m.thread"]}}), "chat.text unknown"),
    ("m.room.message", message(**{"m.relates_to": "m.thread"}), "chat.text unknown"),
    ("m.room.message", message(**{"org.charter.refusal": {}}), "chat.text unknown"),
    ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "👍"}}, "chat.reaction"),
    ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "x" * 65}}, "chat.reaction chat.text"),
    ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "mxc://a/b"}}, "chat.reaction file.image"),
    ("m.room.redaction", {}, "chat.delete"),
    ("m.room.redaction", {"reason": "a letter"}, "chat.delete chat.text"),
    ("m.room.redaction", {"redacts": "$e", "letter": "x"}, "chat.delete unknown"),
    ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "key": "x", "body": "x"}}, "chat.reaction chat.text"),
    ("m.call.hangup", {"call_id": "1", "capabilities": {"letter": "x" * 700}}, "unknown"),
    ("m.call.hangup", {"call_id": "1", "m.relates_to": [[[[["x"]]]]]}, "unknown"),
    ("m.call.hangup", {"call_id": "1", "reason": "user_hangup", "capabilities": {"m.call.transferee": False}}, ""),
    ("org.matrix.msc4143.rtc.member", {"msc4354_sticky_key": "x" * 700}, "call.group"),
    (
        "m.reaction",
        {"m.relates_to": {"rel_type": "m.annotation", "key": "x"}, "body": "a letter"},
        "chat.reaction chat.text",
    ),
    ("m.room.message", edit({**message("m.notice"), "org.charter.refusal": {}}), "chat.edit chat.text unknown"),
    ("m.sticker", {"body": "x", "info": {"mimetype": "image/png"}}, "chat.sticker"),
    ("m.sticker", {"body": "x", "info": {"mimetype": "video/mp4"}}, "chat.sticker file.video"),
    ("m.poll.start", {}, "chat.poll"),
    ("org.matrix.msc3381.poll.response", {"m.relates_to": {"rel_type": "m.reference"}}, "chat.poll"),
    ("org.matrix.msc3381.poll.end", {}, "chat.poll"),
    ("m.beacon", {"m.relates_to": {"rel_type": "m.reference"}}, "chat.location"),
    ("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"}, "room.encrypt"),
    ("m.room.encrypted", {"m.relates_to": {"rel_type": "m.thread"}}, "chat.thread room.encrypt"),
    ("com.example.custom", {}, "unknown"),
    ("m.room.name", {"name": "state sent as a message"}, "unknown"),
    # calls
    ("m.call.invite", {"offer": {"sdp": VOICE}}, "call.voice"),
    ("m.call.invite", {"offer": {"sdp": VIDEO}}, "call.video call.voice"),
    ("m.call.invite", {"offer": {"sdp": REFUSED_VIDEO}}, "call.voice"),
    ("m.call.invite", {"offer": {"sdp": BUNDLED_VIDEO}}, "call.video call.voice"),
    ("m.call.invite", {"offer": {"sdp": DATA}}, "call.voice unknown"),
    ("m.call.invite", {}, "call.video call.voice"),
    ("m.call.invite", {"offer": "x"}, "call.video call.voice"),
    ("m.call.answer", {"answer": {"sdp": VIDEO}}, "call.video call.voice"),
    ("m.call.negotiate", {"description": {"sdp": VIDEO}}, "call.video call.voice"),
    (
        "m.call.negotiate",
        {"description": {"sdp": VIDEO}, "sdp_stream_metadata": {"a": {"purpose": "m.screenshare"}}},
        "call.screen call.video call.voice",
    ),
    (
        "m.call.invite",
        {"offer": {"sdp": VOICE}, "sdp_stream_metadata": {"a": {"purpose": "m.usermedia"}}},
        "call.voice",
    ),
    ("m.call.candidates", {"candidates": []}, "call.voice"),
    ("m.call.select_answer", {}, "call.voice"),
    ("m.call.hangup", {"call_id": "1", "version": "1", "reason": "user_hangup"}, ""),
    ("m.call.reject", {"call_id": "1", "party_id": "p", "version": 1}, ""),
    ("m.call.hangup", {"call_id": "1", "letter": "x"}, "unknown"),
    ("m.call.hangup", {"call_id": "x" * 5000}, "unknown"),
    ("org.matrix.msc4143.rtc.member", {"application": {}}, "call.group"),
    ("org.matrix.msc4143.rtc.member", {"msc4354_sticky_key": "k"}, ""),
    ("org.matrix.msc4075.rtc.notification", {}, "call.group"),
    ("org.matrix.msc4310.rtc.decline", {"m.relates_to": {"rel_type": "m.reference"}}, ""),
]

STATES: list[tuple[str, Any, str]] = [
    ("m.room.name", {"name": "x"}, "room.settings"),
    ("m.room.topic", {"topic": "x"}, "room.settings"),
    ("m.room.power_levels", {}, "room.moderate"),
    ("m.room.server_acl", {}, "room.moderate"),
    ("m.room.pinned_events", {}, "room.pin"),
    ("im.vector.modular.widgets", {}, "room.widget"),
    ("m.room.tombstone", {}, "room.upgrade"),
    ("m.room.encryption", {}, "room.encrypt"),
    ("m.room.canonical_alias", {}, "room.alias"),
    ("m.space.child", {}, "room.space"),
    ("m.room.join_rules", {"join_rule": "public"}, "room.public"),
    ("m.room.join_rules", {"join_rule": "invite"}, "room.settings"),
    ("m.room.join_rules", {"join_rule": ["public"]}, "room.settings unknown"),
    ("m.room.join_rules", {"join_rule": "org.example.open"}, "room.settings unknown"),
    ("m.room.history_visibility", {"history_visibility": "world_readable"}, "room.public"),
    ("m.room.create", {}, "room.create"),
    ("m.room.create", {"type": "m.space"}, "room.space"),
    ("io.element.functional_members", {}, "room.settings"),
    ("m.beacon_info", {}, "chat.location"),
    ("org.matrix.msc3401.call.member", {"application": "m.call"}, "call.group"),
    ("org.matrix.msc3401.call.member", {}, ""),
    ("org.matrix.msc3401.call.member", {"memberships": []}, ""),
    ("m.room.message", message(), "unknown"),
    ("com.example.state", {}, "unknown"),
]

MEMBERS: list[tuple[str, dict[str, Any], dict[str, Any] | None, str]] = [
    (ADA, {"membership": "join"}, None, "room.join"),
    (ADA, {"membership": "join"}, {"membership": "invite"}, "room.join"),
    (ADA, {"membership": "join", "displayname": "B"}, {"membership": "join", "displayname": "A"}, "profile.name"),
    (ADA, {"membership": "join", "avatar_url": "mxc://b"}, {"membership": "join"}, "profile.avatar"),
    (ADA, {"membership": "join"}, {"membership": "join"}, ""),
    (ADA, {"membership": "join", "blob": "x" * 20000}, None, "room.join unknown"),
    (ADA, {"membership": "leave"}, {"membership": "join"}, ""),
    (ADA, {"membership": "leave", "reason": "bye"}, None, "chat.text"),
    (ADA, {"membership": "leave", "blob": "x"}, None, "unknown"),
    (ADA, {"membership": "leave", "third_party_invite": {"letter": "x"}}, None, "unknown"),
    (ADA, {"membership": "leave", "is_direct": "a letter"}, None, "unknown"),
    (ADA, {"membership": "join", "join_authorised_via_users_server": "x" * 300}, None, "room.join unknown"),
    (ADA, {"membership": "leave", "displayname": "a letter"}, {"membership": "join"}, "profile.name"),
    (ADA, {"membership": "leave", "displayname": "A"}, {"membership": "join", "displayname": "A"}, ""),
    (ADA, {"membership": "knock"}, None, "room.knock"),
    (ADA, {"membership": "knock", "reason": "a letter"}, None, "chat.text room.knock"),
    (ADA, {"membership": ["join"]}, None, "unknown"),
    (ADA, {}, None, "unknown"),
    (BOB, {"membership": "invite"}, None, "room.invite"),
    (BOB, {"membership": "invite", "reason": "a letter"}, None, "chat.text room.invite"),
    (BOB, {"membership": "leave"}, {"membership": "join"}, "room.moderate"),
    (BOB, {"membership": "ban"}, None, "room.moderate"),
    (BOB, {"membership": "ban", "org.matrix.msc4293.redact_events": True}, None, "room.moderate unknown"),
]

CREATIONS: list[tuple[Any, tuple[str, ...], str]] = [
    ({}, (), "room.create"),
    ({"name": "x", "preset": "private_chat", "visibility": "private"}, (), "room.create"),
    ({"is_direct": True, "invite": [BOB]}, (BOB,), "room.direct"),
    ({"is_direct": True, "invite": [BOB, ADA]}, (BOB, ADA), "room.direct room.invite"),
    ({"invite": [BOB]}, (BOB,), "room.create room.invite"),
    ({"invite": [BOB]}, (), "room.create room.invite"),
    ({"invite_3pid": [{}]}, (), "room.create room.invite"),
    ({"preset": "public_chat"}, (), "room.create room.public"),
    ({"visibility": "public"}, (), "room.create room.public room.publish"),
    ({"preset": "com.example"}, (), "room.create unknown"),
    ({"room_alias_name": "x"}, (), "room.alias room.create"),
    ({"creation_content": {"type": "m.space"}}, (), "room.space"),
    ({"creation_content": {"type": "com.example"}}, (), "room.create unknown"),
    ({"initial_state": [{"type": "m.room.encryption", "content": {}}]}, (), "room.create room.encrypt"),
    ({"initial_state": [{"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}]}, (), "room.create"),
    (
        {"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "public"}}]},
        (),
        "room.create room.public",
    ),
    ({"initial_state": [{"type": "com.example", "content": {}}]}, (), "room.create unknown"),
    ({"initial_state": [{"type": "m.room.member", "content": {}}]}, (), "room.create unknown"),
    ({"initial_state": "x"}, (), "room.create unknown"),
    ({"initial_state": ["x", {"type": 1}]}, (), "room.create unknown"),
    ({"invite": {BOB: 1}}, (), "room.create unknown"),
    ({"invite": [BOB, {}]}, (BOB,), "room.create room.invite unknown"),
    ({"invite": BOB}, (), "room.create unknown"),
    ({"invite_3pid": {"medium": "email"}}, (), "room.create unknown"),
    ({"creation_content": {"m.federate": False, "predecessor": {}}}, (), "room.create"),
    ({"creation_content": {"type": "m.space", "letter": "x"}}, (), "room.space unknown"),
    ({"creation_content": {"org.charter.room": "journal"}, "is_direct": True}, (), "room.direct unknown"),
    (
        {
            "initial_state": [
                {
                    "type": "m.room.history_visibility",
                    "content": {"history_visibility": "shared", "org.charter.refusal": {}},
                }
            ]
        },
        (),
        "room.create unknown",
    ),
    ([], (), "unknown"),
]


@pytest.mark.parametrize(("event_type", "content", "expected"), MESSAGES)
def test_messages(event_type: Any, content: Any, expected: str) -> None:
    """What a message-like event needs."""
    assert expected == needs(event_type, content)


@pytest.mark.parametrize(("event_type", "content", "expected"), STATES)
def test_state(event_type: str, content: Any, expected: str) -> None:
    """What a state event needs."""
    assert expected == needs(event_type, content, state_key="")


@pytest.mark.parametrize(("target", "content", "previous", "expected"), MEMBERS)
def test_memberships(target: str, content: Any, previous: Any, expected: str) -> None:
    """What a membership event of Ada needs, about herself and about others."""
    assert expected == needs("m.room.member", content, state_key=target, previous=previous)


@pytest.mark.parametrize(("config", "invitees", "expected"), CREATIONS)
def test_room_creation(config: Any, invitees: tuple[str, ...], expected: str) -> None:
    """What creating a room needs."""
    assert expected == " ".join(classify_create(CreateRoomFacts(config, invitees)))


@pytest.mark.parametrize(
    ("msgtype", "sniffed", "expected"),
    [
        ("m.image", ("image/png",), "file.image"),
        ("m.image", ("application/octet-stream",), "file.image file.other"),
        ("m.text", ("image/png",), "chat.text file.image"),
        ("m.audio", ("video/mp4",), "file.audio file.video"),
    ],
)
def test_sniffed_types_count(msgtype: str, sniffed: tuple[str, ...], expected: str) -> None:
    """What the bytes are counts as well as what the sender says."""
    assert expected == needs("m.room.message", message(msgtype), sniffed=sniffed)


def test_media_feature_is_total() -> None:
    """Anything that is no content type is some other file."""
    assert media_feature(None) == media_feature("") == media_feature("x") == media_feature("text/plain") == "file.other"
    assert media_feature("application/ogg", voice=True) == "file.voice"


@pytest.mark.parametrize(
    ("sdp", "expected"),
    [
        (VOICE, {"audio"}),
        (VIDEO.replace("\r\n", "\n"), {"audio", "video"}),
        (VIDEO.replace("\r\n", "\r"), {"audio", "video"}),
        ("m=video 9 x", {"video"}),
        ("v=0\nM=VIDEO 9 x", {"video"}),
        ("v=0\nm= video 9 x", {"video"}),
        ("v=0\nm=video 00 x", set()),
        ("v=0\nm=video 0/2 x", set()),
        ("v=0\nm=", {"unreadable"}),
        ("v=0", None),
        ("", None),
        (None, None),
        ("m=audio 9 x" + " " * 70_000, None),
    ],
)
def test_offered_media(sdp: Any, expected: set[str] | None) -> None:
    """Session descriptions are read as tolerantly as the most tolerant client."""
    assert (None if expected is None else frozenset(expected)) == offered_media(sdp)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["msgtype", "body", "m.relates_to", "m.new_content", "info", "file", "url", "offer", "answer", "filename", "membership",
     "join_rule", "sdp_stream_metadata", "memberships", "formatted_body", "reason", "rel_type", "mimetype", "type", "key"]
)  # fmt: skip
WORDS = st.sampled_from(["m.text", "m.image", "m.audio", "m.replace", "join", "public", "m.space", "image/png"])
CONTENT = st.dictionaries(KEYS, JSON | WORDS | st.dictionaries(KEYS, JSON | WORDS, max_size=4), max_size=5)
TYPES = st.sampled_from([case[0] for case in MESSAGES + STATES] + ["m.room.member"]) | JSON


@given(TYPES, CONTENT | JSON, st.none() | st.text(max_size=3), st.lists(st.text(max_size=10), max_size=2), JSON)
def test_classification_never_raises(
    event_type: Any, content: Any, state_key: Any, sniffed: list[str], previous: Any
) -> None:
    """Arbitrary JSON gives features of the catalogue, sorted and single."""
    found = classify_event(EventFacts(event_type, content, state_key, sniffed=tuple(sniffed), previous=previous), ADA)
    assert sorted(set(found)) == list(found)
    assert set(BY_ID) >= set(found)
    if isinstance(event_type, str) and event_type not in ENDINGS and "member" not in event_type:
        assert found


@given(st.text().filter(lambda name: name not in ENDINGS), CONTENT)
def test_what_nothing_recognises_is_unknown(name: str, content: dict[str, Any]) -> None:
    """An event type that is in no table needs `unknown`, as a message and as state."""
    for state_key in (None, ""):
        if name not in {case[0] for case in MESSAGES + STATES}:
            assert UNKNOWN in classify_event(EventFacts(name, content, state_key))


@given(
    JSON
    | st.dictionaries(st.sampled_from(["preset", "invite", "initial_state", "creation_content", "is_direct"]), JSON)
)
def test_room_creation_never_raises(config: Any) -> None:
    """Arbitrary JSON needs at least one feature."""
    assert classify_create(CreateRoomFacts(config))
