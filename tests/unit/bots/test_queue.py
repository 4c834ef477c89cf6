"""The outgoing queue under injected faults: never lost, never twice, in order."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bots.kit import queue as queues
from bots.kit.queue import Queue, put
from bots.kit.store import Store
from tests.harness.waiting import until_async
from tests.unit.bots.fake_homeserver import Failure, FakeHomeserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bots.kit.client import BotClient

ROOM = "!room:acme.example"


def queue_up(store: Store, *causes: str, room: str = ROOM, now: float | None = None, report: str | None = None) -> None:
    """Queue a text for each cause."""
    with store.transaction() as db:
        for cause in causes:
            put(db, room, {"body": cause}, cause, now=now or time.time(), report=report)


def bodies(homeserver: FakeHomeserver, room: str = ROOM) -> list[str]:
    """Return what the server has."""
    return [event["content"]["body"] for event in homeserver.sent[room]]


@asynccontextmanager
async def running(queue: Queue) -> AsyncIterator[None]:
    """Run a queue for a while and then cut it off, as a crash would."""
    task = asyncio.create_task(queue.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def drained(queue: Queue) -> None:
    """Wait until nothing waits."""

    async def empty() -> bool:
        return queue.waiting() == 0

    await until_async(empty, "the queue is empty", within=30)


async def test_messages_arrive_in_order_with_identity_and_token(
    homeserver: FakeHomeserver, client: BotClient, tmp_path: Path
) -> None:
    """Each request carries user, device and token; the order of a room is kept."""
    store = Store(tmp_path / "s.db")
    causes = [f"c{n}" for n in range(20)]
    queue_up(store, *causes)
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    assert bodies(homeserver) == causes
    assert {(r.query["user_id"], r.query["device_id"], r.headers["Authorization"]) for r in homeserver.requests} == {
        ("@charter-scribe:acme.example", "CHARTER", "Bearer secret")
    }
    store.close()


async def test_the_same_cause_is_queued_once(client: BotClient, tmp_path: Path) -> None:
    """A cause that comes again, even after it was sent, changes nothing."""
    store = Store(tmp_path / "s.db")
    queue_up(store, "a", "a")
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    queue_up(store, "a")
    assert queue.waiting() == 0
    store.close()


@pytest.mark.parametrize(
    "failure",
    [
        Failure(500),
        Failure(502, after=True),
        Failure(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 10}),
        Failure(429, headers={"Retry-After": "0.01"}),
        Failure(401, {"errcode": "M_UNKNOWN_TOKEN"}),
    ],
)
async def test_a_passing_failure_is_retried_without_a_second_event(
    homeserver: FakeHomeserver, client: BotClient, tmp_path: Path, failure: Failure
) -> None:
    """Failed and lost, or failed but persisted: in the end the room has each message once, in order."""
    store = Store(tmp_path / "s.db")
    homeserver.failures = [failure]
    queue_up(store, "a", "b")
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    assert bodies(homeserver) == ["a", "b"]
    store.close()


async def test_a_wait_that_the_server_asks_for_is_honoured(
    homeserver: FakeHomeserver, client: BotClient, tmp_path: Path
) -> None:
    """429 with a long Retry-After stops the room, not the others."""
    store = Store(tmp_path / "s.db")
    homeserver.failures = [Failure(429, headers={"Retry-After": "3600"})]
    queue_up(store, "late")
    queue = Queue(store, client, time.time)
    async with running(queue):

        async def refused() -> bool:
            return not homeserver.failures

        await until_async(refused, "the first attempt")
        queue_up(store, "now", room="!other:acme.example")
        queue.wake()

        async def other_arrived() -> bool:
            return bodies(homeserver, "!other:acme.example") == ["now"]

        await until_async(other_arrived, "the other room goes on")
    assert bodies(homeserver) == []
    store.close()


async def test_a_final_failure_does_not_stop_the_room(
    homeserver: FakeHomeserver, client: BotClient, tmp_path: Path
) -> None:
    """A message that the server refuses for good is given up; the next one goes."""
    store = Store(tmp_path / "s.db")
    homeserver.failures = [Failure(403, {"errcode": "M_FORBIDDEN"})]
    queue_up(store, "refused", "next")
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    assert bodies(homeserver) == ["next"]
    store.close()


async def test_an_old_message_is_looked_for_before_it_is_sent_again(
    homeserver: FakeHomeserver, client: BotClient, tmp_path: Path
) -> None:
    """After a day Synapse has forgotten transaction ids: what the room already has is not sent twice."""
    store = Store(tmp_path / "s.db")
    queue_up(store, "old", now=time.time() - queues.TRUSTED_AGE - 60, report="r")
    row = store.rows("SELECT txn, content FROM outgoing")[0]
    homeserver.sent[ROOM].append({"event_id": "$then", "content": {queues.CAUSE_KEY: row["txn"], "body": "old"}})
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    assert bodies(homeserver) == ["old"]
    assert [(owed.report, owed.event_id) for owed in queue.unreported()] == [("r", "$then")]
    store.close()


async def test_reports_are_owed_until_they_are_delivered(client: BotClient, tmp_path: Path) -> None:
    """The event id of a sent message is given back until somebody says that it was reported."""
    store = Store(tmp_path / "s.db")
    queue_up(store, "a", report="refusal r-1")
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    store.close()
    store = Store(tmp_path / "s.db")
    again = Queue(store, client, time.time)
    owed = again.unreported()
    assert [(one.report, one.event_id) for one in owed] == [("refusal r-1", "$0")]
    again.reported(owed[0].seq)
    assert again.unreported() == []
    store.close()


async def test_what_the_server_refuses_for_good_is_told_once(
    homeserver: FakeHomeserver, client: BotClient, tmp_path: Path
) -> None:
    """The report of a refused message is given back with the server's words, over a restart, until it is delivered."""
    store = Store(tmp_path / "s.db")
    homeserver.failures = [Failure(403, {"errcode": "M_FORBIDDEN", "error": "no"})]
    queue_up(store, "a", report="r-1")
    queue = Queue(store, client, time.time)
    async with running(queue):
        await drained(queue)
    store.close()
    store = Store(tmp_path / "s.db")
    again = Queue(store, client, time.time)
    assert again.unreported() == []
    owed = again.refused()
    assert [(one.report, one.room, one.error) for one in owed] == [("r-1", ROOM, "403 M_FORBIDDEN: no")]
    again.reported(owed[0].seq)
    assert again.refused() == []
    store.close()


def test_a_file_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    """The column for the server's words is added; what waited still waits."""
    store = Store(tmp_path / "s.db")
    queue_up(store, "a")
    with store.transaction() as db:
        db.execute("ALTER TABLE outgoing DROP COLUMN error")
    store.close()
    store = Store(tmp_path / "s.db")
    assert [row["error"] for row in store.rows("SELECT error FROM outgoing")] == [None]
    store.close()


class CrashError(BaseException):
    """The process dies here."""


class CrashingStore(Store):
    """A store whose process dies at its n-th transaction, before or after the commit."""

    fuse = -1
    before = True

    def transaction(self) -> Any:
        """Die when the fuse is burnt."""
        self.fuse -= 1
        if self.fuse == 0 and self.before:
            raise CrashError
        return super().transaction()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=6))
async def test_wherever_it_dies_each_message_arrives_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, crashes: list[tuple[int, bool]]
) -> None:
    """Killed between any two steps, and with answers lost, the queue goes on where it was."""
    folder = tmp_path_factory.mktemp("queue")
    async with FakeHomeserver() as homeserver:
        client = homeserver.client(folder)
        causes = [f"c{n}" for n in range(6)]
        store: Store = Store(folder / "s.db")
        queue_up(store, *causes)
        store.close()
        for fuse, lost in crashes:
            crashing = CrashingStore(folder / "s.db")
            crashing.fuse = fuse
            homeserver.failures = [Failure(502, after=True)] if lost else []
            queue = Queue(crashing, client, time.time)
            task = asyncio.create_task(queue.run())
            await asyncio.wait([task], timeout=0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            crashing.close()
        homeserver.failures = []
        store = Store(folder / "s.db")
        queue = Queue(store, client, time.time)
        async with running(queue):
            await drained(queue)
        assert bodies(homeserver) == causes
        store.close()
        await client.close()
