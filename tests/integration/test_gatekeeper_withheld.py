"""Refused uploads that are withheld: the message gets its notice, the bytes are put away, nobody can download them."""

from __future__ import annotations

import hashlib
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import Gate, joined, texts
from tests.harness.killing_charter import STEPS
from tests.harness.synapse import Client
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.synapse import Response

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#it-security:acme.example"}
grants:
  - {id: basics, to: [everyone], allow: [chat.text, room.create, room.direct, room.invite, room.join, file.download]}
  - {id: ninas, to: ["@nina:acme.example"], allow: [file.*]}
  - {id: pictures, to: ["@alice:acme.example"], allow: [file.image, chat.sticker]}
  - {id: no-papers, to: ["@tom:acme.example"], deny: [file.*], reason: Use the data room.}
limits:
  - {id: small, to: [everyone], max_file: 20kB, upload_per_day: 100kB}
  - {id: narrow, to: ["@nina:acme.example", "@tom:acme.example"], types: [image/*, application/pdf]}
"""
PAPERS = "  - {id: papers, to: [everyone], allow: [file.*]}\nlimits:"
NO_PAPERS = '  - {id: no-papers, to: ["@tom:acme.example"], deny: [file.*], reason: Use the data room.}\n'
ALLOWING = POLICY.replace(NO_PAPERS, "").replace("limits:", PAPERS)
PDF = b"%PDF-1.7\n" + b"secret plan " * 200
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 200


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running gate that a file can kill."""
    gate = Gate(tmp_path_factory.mktemp("gate"))
    kills = {"module": "tests.harness.killing_charter.Kills", "config": {"file": str(gate.folder / "kill")}}
    gate.homeserver.modules.insert(0, kills)
    gate.homeserver.write()
    try:
        gate.start()
        gate.apply(POLICY)
        yield gate
    finally:
        gate.homeserver.stop()


@pytest.fixture(scope="module")
def people(gate: Gate) -> dict[str, Client]:
    """Return the company."""
    return {name: gate.homeserver.user(name) for name in ("alice", "bob", "tom", "nina", "vera", "kim")}


@pytest.fixture(scope="module")
def room(people: dict[str, Client]) -> str:
    """Return a private room with everybody."""
    return joined(people["bob"], [people[name] for name in ("alice", "tom", "nina", "vera", "kim")])


def _media(gate: Gate) -> Path:
    return gate.homeserver.folder / "media"


def _kept(gate: Gate) -> dict[str, bytes]:
    """Return what lies in the folder of withheld uploads, by name."""
    folder = _media(gate) / "charter-withheld"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def _downloadable(gate: Gate, data: bytes) -> list[Path]:
    """Return the files of the media store, but for the folder of withheld uploads, that hold the end of these bytes."""
    files = [path for path in _media(gate).rglob("*") if path.is_file() and "charter-withheld" not in path.parts]
    return [path for path in files if data[-16:] in path.read_bytes()]


def _download(client: Client, uri: str) -> Response:
    return client.request("GET", f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}")


def _is_gone(client: Client, uri: str) -> bool:
    try:
        answer = _download(client, uri)
    except IncompleteRead as error:  # Not quarantined yet: the length without the bytes.
        if error.partial:
            raise
        return False
    assert answer.status == 404, answer
    return True


def _file(uri: str) -> dict[str, Any]:
    return {"msgtype": "m.file", "body": "plan.pdf", "url": uri, "info": {"mimetype": "application/pdf"}}


def _last(gate: Gate, who: Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = [
        r for r in gate.records("refusal") if r["actor"] == who.user_id and r["body"]["path"] == path
    ][-1]
    return found


def _notice(reader: Client, room: str, event: str) -> dict[str, Any]:
    content: dict[str, Any] = next(e["content"] for e in reader.messages(room) if e["event_id"] == event)
    assert content["msgtype"] == "m.notice", content
    assert "url" not in content
    return content


def _is_down(gate: Gate) -> bool:
    try:
        Client(gate.homeserver.base_url).request("GET", "/health", within=2)
    except (OSError, HTTPException):
        return True
    return False


def _withheld(client: Client, data: bytes = PDF, claimed: str = "application/pdf") -> str:
    answer = client.upload(data, claimed)
    assert answer.status == 200, answer
    return str(answer.body["content_uri"])


def test_a_refused_upload_becomes_a_notice_in_the_room(gate: Gate, people: dict[str, Client], room: str) -> None:
    """The upload is answered, its bytes are kept for the security team alone, the message gets its notice."""
    tom = people["tom"]
    answer = tom.request(
        "POST", "/_matrix/media/v3/upload", PDF, headers={"Content-Type": "image/png"}, query={"filename": "plän.pdf"}
    )
    assert answer.status == 200, answer
    uri = answer.body["content_uri"]
    record = _last(gate, tom, "upload")
    assert record["body"]["answer"] == "withheld"
    assert record["body"]["rules"] == ["no-papers"]
    assert record["body"]["content"] == {
        "content_type": "application/pdf",
        "size": len(PDF),
        "sha256": hashlib.sha256(PDF).hexdigest(),
        "media_id": uri.rpartition("/")[2],
        "name": "plän.pdf",
    }
    folder = _media(gate) / "charter-withheld"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / record["id"]).stat().st_mode & 0o777 == 0o600
    assert (folder / record["id"]).read_bytes() == PDF
    assert _downloadable(gate, PDF) == []
    event = tom.send(room, _file(uri)).body["event_id"]
    notice = _notice(people["bob"], room, event)
    assert notice["org.charter.refusal"]["rules"] == ["no-papers"]
    assert "Use the data room." in notice["body"]
    assert tom.say(room, "It is in the data room.").status == 200
    assert "It is in the data room." in texts(people["bob"], room)


def test_nobody_downloads_it_and_the_same_bytes_of_others_are_not_touched(
    gate: Gate, people: dict[str, Client]
) -> None:
    """The media is quarantined without its digest, so that nobody else's upload of the same bytes is quarantined."""
    data = PNG + b"same bytes"
    before = _withheld(people["alice"], data, "image/png")
    uri = _withheld(people["tom"], data, "image/png")
    until(lambda: _is_gone(people["tom"], uri), "the media is quarantined")
    after = _withheld(people["alice"], data, "image/png")
    for own in (before, after):
        answer = _download(people["alice"], own)
        assert (answer.status, answer.body) == (200, data)
    assert gate.rows("SELECT unfinished FROM charter_withheld WHERE owner = ?", people["tom"].user_id)[-1] == (0,)


def test_stickers_and_others_messages_cannot_use_it(people: dict[str, Client], room: str) -> None:
    """A withheld picture is no sticker, and nobody else's file."""
    uri = _withheld(people["tom"], PNG, "image/png")
    alice = people["alice"]
    sticker = {"body": "s", "url": uri, "info": {"mimetype": "image/png"}}
    assert alice.send(room, sticker, "m.sticker").status == 403
    _notice(people["bob"], room, alice.send(room, {**sticker, "msgtype": "m.image"}).body["event_id"])


@pytest.mark.parametrize("stage", ["enforce", "shadow"])
def test_what_was_withheld_stays_refused_under_a_policy_that_allows_it(
    gate: Gate, people: dict[str, Client], room: str, stage: str
) -> None:
    """The bytes are gone: the message says to send it again, and sent again it arrives."""
    tom = people["tom"]
    uri = _withheld(tom)
    try:
        gate.apply(ALLOWING, stage=stage)
        notice = _notice(people["bob"], room, tom.send(room, _file(uri)).body["event_id"])
        assert "send it again" in notice["body"]
        again = _withheld(tom)
        assert _download(people["bob"], again).body == PDF
        event = tom.send(room, _file(again)).body["event_id"]
        assert {e["event_id"]: e["content"] for e in people["bob"].messages(room)}[event]["url"] == again
    finally:
        gate.apply(POLICY)


def test_limits_are_answered_at_the_upload(gate: Gate, people: dict[str, Client]) -> None:
    """Size, type and the day's volume are errors with their words; nothing of it is kept."""
    kept = _kept(gate)
    assert people["tom"].upload(PDF + b"x" * 30_000, "application/pdf").status == 403
    assert people["nina"].upload(b"\x01\x02\x03", "application/pdf").status == 403
    assert _kept(gate) == kept
    assert people["tom"].upload(b"\x01\x02\x03", "application/pdf").status == 200
    kept = _kept(gate)
    big = PDF + b"x" * 17_000 + b"of Vera, too much"
    answers = [people["vera"].upload(big, "application/pdf").status for _ in range(6)]
    assert answers == [200] * 5 + [403]
    assert len(_kept(gate)) == len(kept) + 5
    assert _downloadable(gate, big) == []


def test_a_media_id_is_not_uploaded_to_twice(gate: Gate, people: dict[str, Client], room: str) -> None:
    """An id that was created first is used up by a withheld upload; a message sent before the upload is refused."""
    tom = people["tom"]
    uri = tom.request("POST", "/_matrix/media/v1/create", {}).body["content_uri"]
    path = f"/_matrix/media/v3/upload/{uri.removeprefix('mxc://')}"
    _notice(people["bob"], room, people["alice"].send(room, _file("mxc://acme.example/unknown")).body["event_id"])
    early = people["alice"].request("POST", "/_matrix/media/v1/create", {}).body["content_uri"]
    image = {"msgtype": "m.image", "body": "p.png", "url": early, "info": {"mimetype": "image/png"}}
    _notice(people["bob"], room, people["alice"].send(room, image).body["event_id"])
    assert tom.request("PUT", path, PDF, headers={"Content-Type": "application/pdf"}).status == 200
    until(lambda: _is_gone(tom, uri), "the media is quarantined")
    assert tom.request("PUT", path, PDF, headers={"Content-Type": "application/pdf"}).status == 409
    assert _kept(gate)[_last(gate, tom, "upload")["id"]] == PDF


def test_reject_answers_at_the_upload(gate: Gate, people: dict[str, Client]) -> None:
    """With `message: reject` the upload is a 403 with rule and contact, and nothing is kept."""
    kept = _kept(gate)
    gate.apply(POLICY + "refusals: {message: reject}\n")
    try:
        answer = people["tom"].upload(PDF, "application/pdf")
    finally:
        gate.apply(POLICY)
    assert answer.status == 403
    assert answer.body["org.charter.refusal"]["rules"] == ["no-papers"]
    assert _last(gate, people["tom"], "upload")["body"]["answer"] == "reject"
    assert _kept(gate) == kept


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("later", [False, True], ids=["at once", "created first"])
def test_a_crash_leaves_a_failed_upload_or_an_empty_one(
    gate: Gate, people: dict[str, Client], step: str, *, later: bool
) -> None:
    """Killed after any step: not a byte can be downloaded, and what is on record is kept with its digest."""
    kim, data = people["kim"], PDF + f"{later} {step:_>16}".encode()
    records = len(gate.records("refusal"))
    path, uri = "/_matrix/media/v3/upload", ""
    if later:
        uri = kim.request("POST", "/_matrix/media/v1/create", {}).body["content_uri"].removeprefix("mxc://")
        path += f"/{uri}"
    method = "PUT" if later else "POST"
    (gate.folder / "kill").write_text(step)
    survived = False
    try:
        answer = kim.request(method, path, data, headers={"Content-Type": "application/pdf"})
        survived = True
        uri = str(answer.body.get("content_uri", uri)).removeprefix("mxc://")
    except (OSError, HTTPException):
        pass  # The connection ended with the process.
    assert survived <= (step == "stored"), "only the last step comes after the answer"
    until(lambda: _is_down(gate), "the process was killed")
    gate.homeserver.kill()
    (gate.folder / "kill").unlink()
    gate.homeserver.start()
    new = gate.records("refusal")[records:]
    assert len(new) == (step != "copied")
    for record in new:
        assert record["body"]["content"]["sha256"] == hashlib.sha256(data).hexdigest()
        assert _kept(gate)[record["id"]] == data
        assert _downloadable(gate, data) == []
        uri = record["subject"].removeprefix("mxc://")
    if uri:
        answer = kim.request("GET", f"/_matrix/client/v1/media/download/{uri}", query={"timeout_ms": "0"})
        assert answer.status != 200
    if later and step not in {"copied", "stored"}:
        assert kim.request("PUT", path, b"anything", headers={"Content-Type": "text/plain"}).status == 403
        assert _kept(gate)[new[0]["id"]] == data
