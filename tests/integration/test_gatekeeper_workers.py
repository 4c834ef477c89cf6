"""The gate on main and two workers with PostgreSQL and Redis: every process judges, whichever a client reaches."""

from __future__ import annotations

from http.client import IncompleteRead
from typing import TYPE_CHECKING

import pytest

from tests.harness.gate import SCRIBE, Gate, joined, texts
from tests.harness.postgres import running_postgres, running_redis
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
CLOSED = (
    OPEN
    + """
  - {id: silence, to: ["@bob:acme.example"], deny: [chat.text, file.image], reason: Bob is silent.}
"""
)
PICTURES = (
    OPEN
    + """
  - {id: pictures-only, to: ["@dora:acme.example"], deny: [file.other]}
"""
)
PROCESSES = ("main", "worker1", "worker2")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 200


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running deployment that is open."""
    folder = tmp_path_factory.mktemp("workers")
    with running_postgres(folder) as postgres, running_redis(folder) as redis:
        gate = Gate(folder / "gate", workers=2, database=postgres.create("synapse"), redis=redis)
        try:
            gate.start()
            gate.apply(OPEN)
            yield gate
        finally:
            gate.homeserver.stop()


def _at(gate: Gate, client: Client, process: str) -> Client:
    """Return the same session, served by another process."""
    return type(client)(gate.homeserver.url(process), client.token, client.user_id, client.device_id)


def test_every_process_judges_by_the_new_policy(gate: Gate) -> None:
    """A grant taken away is gone on each process; what was uploaded on one is known to be the sender's on another."""
    alice, bob = gate.homeserver.user("alice"), gate.homeserver.user("bob")
    room = joined(_at(gate, alice, "worker1"), [_at(gate, bob, "worker2")])
    until(lambda: SCRIBE in alice.get(f"/rooms/{room}/joined_members").body["joined"], "the scribe joined")
    uri = bob.upload(PNG, "image/png").body["content_uri"]
    image = {"msgtype": "m.image", "body": "p.png", "url": uri, "info": {"mimetype": "image/png"}}
    bobs = {process: _at(gate, bob, process) for process in PROCESSES}
    for process, client in bobs.items():
        assert client.say(room, f"open on {process}").status == 200
        sent = client.send(room, image)
        content = next(e["content"] for e in alice.messages(room) if e["event_id"] == sent.body["event_id"])
        assert content["msgtype"] == "m.image", process
    gate.apply(CLOSED)
    for process, client in bobs.items():
        assert client.say(room, f"closed on {process}").status == 200
        assert client.state(room, "com.example.x", {}).status == 403
    read = texts(alice, room)
    assert [text for text in read if text.startswith("open")] == [f"open on {process}" for process in PROCESSES]
    assert not [text for text in read if text.startswith("closed")]
    assert len([r for r in gate.records("refusal") if r["body"]["rules"] == ["silence"]]) == len(PROCESSES)


def test_rooms_made_on_a_worker_are_judged_there(gate: Gate) -> None:
    """A creation on a worker is refused whole, or gets its scribe."""
    carol = _at(gate, gate.homeserver.user("carol"), "worker2")
    refused = carol.create_room(initial_state=[{"type": "m.room.encryption", "content": {"algorithm": "x"}}])
    assert refused.status == 403
    room = joined(carol, [])
    until(lambda: SCRIBE in carol.get(f"/rooms/{room}/joined_members").body["joined"], "the scribe joined")


def test_a_withheld_upload_is_refused_on_every_process(gate: Gate) -> None:
    """What main took in is known for what it is on the workers, whatever the message claims and a later policy allows."""
    gate.apply(PICTURES)
    alice, dora = gate.homeserver.user("anna"), gate.homeserver.user("dora")
    room = joined(alice, [dora])
    uri = dora.upload(b"%PDF-1.7 plan", "image/png").body["content_uri"]
    image = {"msgtype": "m.image", "body": "p.png", "url": uri, "info": {"mimetype": "image/png"}}
    for policy in (PICTURES, OPEN):
        gate.apply(policy)
        for process in PROCESSES:
            sent = _at(gate, dora, process).send(room, image)
            content = next(e["content"] for e in alice.messages(room) if e["event_id"] == sent.body["event_id"])
            assert content["org.charter.refusal"]["feature"] == "file.other", (process, content)
    rows = gate.scribe.request("GET", "/_synapse/client/charter/v1/outbox", query={"limit": "1000"}).body["records"]
    assert [r["body"]["content"]["media_id"] for r in rows if r["body"].get("answer") == "withheld"] == [uri[-24:]]
    path = f"/_matrix/client/v1/media/download/{uri.removeprefix('mxc://')}"

    def gone() -> bool:
        try:
            return alice.request("GET", path).status == 404
        except IncompleteRead:
            return False

    until(gone, "the media is quarantined")
