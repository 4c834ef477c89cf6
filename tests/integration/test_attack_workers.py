"""The attacks on main and two workers: a sample of each table, through whichever process an employee reaches."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import SCRIBE, Gate, joined
from tests.harness.postgres import running_postgres, running_redis
from tests.harness.waiting import until
from tests.integration.attempts import (
    MALFORMED,
    MESSAGES,
    PNG,
    POLICY,
    STATES,
    UPLOADS,
    VIDEOS,
    WORDLESS,
    assert_not_uploaded,
    assert_stopped,
    filled,
    seen,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.synapse import Client, Response

pytestmark = pytest.mark.integration
PROCESSES = ("worker1", "worker2", "main")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a running deployment under the policy of the attacks."""
    folder = tmp_path_factory.mktemp("workers")
    with running_postgres(folder) as postgres, running_redis(folder) as redis:
        gate = Gate(folder / "gate", workers=2, database=postgres.create("synapse"), redis=redis)
        try:
            gate.start()
            gate.apply(POLICY)
            yield gate
        finally:
            gate.homeserver.stop()


def _everywhere(gate: Gate, client: Client) -> Iterator[Client]:
    """Yield the same session, served by one process after the other."""
    sessions = [
        type(client)(gate.homeserver.url(process), client.token, client.user_id, client.device_id)
        for process in PROCESSES
    ]
    return itertools.cycle(sessions)


def test_attempts_fail_on_every_process(gate: Gate) -> None:
    """Messages, words, cameras, state and uploads, each attempt on the next process."""
    people = {name: gate.homeserver.user(name) for name in ("mallory", "mike", "bob", "carol")}
    mallory, mike = (_everywhere(gate, people[name]) for name in ("mallory", "mike"))
    levels = {"users_default": 100, "users": {people["mallory"].user_id: 100}}
    room = joined(next(mallory), [next(mike), people["bob"]], power_level_content_override=levels)
    direct = joined(next(mallory), [people["carol"]], is_direct=True)
    names = {
        "FIRST": next(mallory).say(room, "first").body["event_id"],
        "MINE": people["mallory"].upload(PNG, "image/png").body["content_uri"],
        "BOBS": people["bob"].upload(PNG, "image/png").body["content_uri"],
    }
    until(lambda: "first" in seen(people["bob"], room), "the room is the same everywhere")
    attempts: list[tuple[Client, Client, str, str, Any, str]] = [
        *((next(mallory), people["bob"], room, kind, content, need) for _, kind, content, need in MESSAGES[::3]),
        *((next(mike), people["bob"], room, kind, content, need) for _, kind, content, need in WORDLESS[::2]),
        *((next(mallory), people["carol"], direct, kind, content, "") for _, kind, content in VIDEOS[::3]),
    ]
    for actor, watcher, where, kind, content, need in attempts:

        def send(actor: Client = actor, where: str = where, kind: str = kind, content: Any = content) -> Any:
            return actor.send(where, filled(content, names), kind)

        assert_stopped(gate, actor, watcher, where, send, need)
    for _, kind, key, content in STATES[::3]:
        actor = next(mike)

        def put(actor: Client = actor, kind: str = kind, key: str = key, content: Any = content) -> Any:
            return actor.state(room, kind, content, key)

        assert_stopped(gate, actor, people["bob"], room, put, MALFORMED if kind == "m.room.create" else "")


def test_creations_and_removals_fail_on_every_process(gate: Gate) -> None:
    """No odd creation, no room without its scribe, no refused upload, on any process."""
    mallory = _everywhere(gate, gate.homeserver.user("moira"))
    for config in ({"invite": {"@bob:acme.example": 1}}, {"preset": "public_chat"}, {"creation_content": {"x": 1}}):
        for _ in PROCESSES:
            assert next(mallory).create_room(**config).status == 403
    for _ in PROCESSES:
        host = next(mallory)
        room = joined(host, [])
        until(lambda host=host, room=room: SCRIBE in _members(host, room), "the scribe joined")  # type: ignore[misc] # mypy cannot type a default
        assert next(mallory).post(f"/rooms/{room}/kick", {"user_id": SCRIBE}).status == 403
        assert SCRIBE in _members(host, room)
    mona, bob = gate.homeserver.user("mona"), gate.homeserver.user("moses")
    for _, _, data, claimed, _ in UPLOADS[:5]:

        def upload(data: bytes = data, claimed: str = claimed or "") -> Response:
            return mona.upload(data, claimed)

        assert_not_uploaded(gate, mona, bob, data, upload)


def _members(client: Client, room: str) -> set[str]:
    return set(client.get(f"/rooms/{room}/joined_members").body["joined"])
