"""The gate on a real Synapse: uploads by what their bytes are, files in messages, calls by what they offer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import Gate, joined, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
groups:
  painters: {users: ["@alice:acme.example", "@bob:acme.example"]}
grants:
  - {id: basics, to: [everyone], allow: [chat.text, room.create, room.direct, room.invite, room.join, file.download]}
  - {id: pictures, to: [painters], allow: [file.image]}
  - {id: editing, to: [painters], allow: [chat.edit]}
  - {id: voice, to: ["@alice:acme.example"], allow: [call.voice], in: [direct]}
  - {id: archives, to: ["@dan:acme.example"], allow: [file.*]}
limits:
  - {id: small, to: [everyone], max_file: 20kB, upload_per_day: 100kB}
  - {id: papers, to: ["@dan:acme.example"], types: [application/pdf]}
"""
WITHHELD = None
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 200
PDF = b"%PDF-1.7\n" + b"x" * 200
ZIP = b"PK\x03\x04" + b"\0" * 200
AUDIO = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
VIDEO = AUDIO + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"


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
    """Return the company."""
    return {name: gate.homeserver.user(name) for name in ("alice", "bob", "carol", "dan")}


@pytest.fixture(scope="module")
def room(people: dict[str, Client]) -> str:
    """Return a private room with everybody."""
    return joined(people["alice"], [people["bob"], people["carol"], people["dan"]])


def _stored(gate: Gate) -> int:
    return int(gate.rows("SELECT COUNT(*) FROM local_media_repository")[0][0])


@pytest.mark.parametrize(
    ("who", "data", "claimed", "status"),
    [
        ("alice", PNG, "image/png", 200),
        ("alice", PNG, "text/plain", 200),
        ("alice", ZIP, "image/png", WITHHELD),
        ("alice", PDF, "application/pdf", WITHHELD),
        ("alice", PNG + b"\0" * 30_000, "image/png", 403),
        ("carol", PNG, "image/png", WITHHELD),
        ("carol", b"words", "text/plain", WITHHELD),
        ("dan", PDF, "application/pdf", 200),
        ("dan", PNG, "application/pdf", 403),
    ],
)
def test_uploads_are_judged_by_their_bytes(  # noqa: PLR0917 - the columns of the table
    gate: Gate, people: dict[str, Client], who: str, data: bytes, claimed: str, status: int | None
) -> None:
    """The claimed type counts for nothing, sizes and types are limited; what a limit refuses is not stored, what no grant gives is withheld."""
    before = _stored(gate)
    answer = people[who].upload(data, claimed)
    assert answer.status == (status or 200), answer
    if status is WITHHELD:
        body = gate.records("refusal")[-1]["body"]
        assert (body["path"], body["answer"], body["content"]["size"]) == ("upload", "withheld", len(data))
    elif status != 200:
        assert answer.body["errcode"] == "M_FORBIDDEN"
        assert "#it-security:acme.example" in answer.body["error"]
        assert gate.records("refusal")[-1]["body"]["path"] == "upload"
    assert _stored(gate) == before + (status != 403)


def test_clients_learn_their_limit(people: dict[str, Client]) -> None:
    """The media configuration names the strictest size."""
    answer = people["alice"].request("GET", "/_matrix/client/v1/media/config")
    assert answer.body == {"m.upload.size": 20_000}


def test_upload_volume_is_limited(gate: Gate, people: dict[str, Client]) -> None:
    """The day's volume holds, and the refusal is on record."""
    bob = people["bob"]
    answers = [bob.upload(PNG + b"\0" * 19_000, "image/png").status for _ in range(6)]
    assert answers[:5] == [200] * 5
    assert answers[5] == 403
    refused = [record for record in gate.records("refusal") if record["actor"] == bob.user_id]
    assert refused[-1]["body"]["rules"] == ["small"]


def _image(uri: str) -> dict[str, Any]:
    return {"msgtype": "m.image", "body": "p.png", "url": uri, "info": {"mimetype": "image/png"}}


def test_files_in_messages_must_be_ones_own(gate: Gate, people: dict[str, Client], room: str) -> None:
    """An own image arrives; another's, another server's and an invented one do not."""
    mine = people["alice"].upload(PNG, "image/png").body["content_uri"]
    arrived = people["alice"].send(room, _image(mine)).body["event_id"]
    readable = {e["event_id"]: e["content"] for e in people["carol"].messages(room)}
    assert readable[arrived]["url"] == mine
    for uri in (mine, "mxc://elsewhere.example/abc", "mxc://acme.example/nothing", "https://x.example/p.png"):
        answer = people["bob"].send(room, _image(uri))
        content = next(e["content"] for e in people["carol"].messages(room) if e["event_id"] == answer.body["event_id"])
        assert content["msgtype"] == "m.notice", uri
        assert "url" not in content
    assert gate.records("refusal")[-1]["body"]["content"]["url"] == "https://x.example/p.png"


def test_text_cannot_be_edited_into_a_file(people: dict[str, Client], room: str) -> None:
    """The replacement of an edit is judged like a message of its own."""
    first = people["bob"].say(room, "look").body["event_id"]
    file = {
        "msgtype": "m.file",
        "body": "x.zip",
        "url": "mxc://acme.example/x",
        "info": {"mimetype": "application/zip"},
    }
    edit = {**file, "m.new_content": file, "m.relates_to": {"rel_type": "m.replace", "event_id": first}}
    answer = people["bob"].send(room, edit)
    content = next(e["content"] for e in people["carol"].messages(room) if e["event_id"] == answer.body["event_id"])
    assert content["org.charter.refusal"]["feature"] == "file.other"
    assert "x.zip" not in " ".join(texts(people["carol"], room))


def _call(sdp: str) -> dict[str, Any]:
    return {
        "call_id": "c1",
        "party_id": "p",
        "version": "1",
        "lifetime": 60_000,
        "offer": {"type": "offer", "sdp": sdp},
    }


def test_calls_are_told_apart_by_what_they_offer(people: dict[str, Client], room: str) -> None:
    """Voice is allowed in a direct room only; video, and a switch to video, are refused in a sentence."""
    alice, bob = people["alice"], people["bob"]
    direct = joined(alice, [bob], is_direct=True)
    assert alice.send(direct, _call(AUDIO), "m.call.invite").status == 200
    refused = alice.send(direct, _call(VIDEO), "m.call.invite")
    assert refused.status == 403
    assert refused.body["org.charter.refusal"]["feature"] == "call.video"
    assert refused.body["error"].endswith("Questions: #it-security:acme.example")
    switch = {
        "call_id": "c1",
        "party_id": "p",
        "version": "1",
        "lifetime": 1,
        "description": {"type": "offer", "sdp": VIDEO},
    }
    assert alice.send(direct, switch, "m.call.negotiate").status == 403
    assert alice.send(room, _call(AUDIO), "m.call.invite").status == 403
    assert bob.send(direct, {"call_id": "c1", "party_id": "q", "version": "1"}, "m.call.hangup").status == 200
    assert [e["type"] for e in bob.messages(direct) if e["type"].startswith("m.call.")] == [
        "m.call.invite",
        "m.call.hangup",
    ]
