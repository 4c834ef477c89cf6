"""The own /sync: gaps are filled, sections are kept apart, failures move nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bots.kit.backoff import Backoff
from bots.kit.client import ServerError
from bots.kit.sync import Batch, Sync, run
from tests.unit.bots.fake_homeserver import SCRIBE, Failure, FakeHomeserver

if TYPE_CHECKING:
    from bots.kit.client import BotClient

ROOM = "!room:acme.example"


def event(number: int, **more: Any) -> dict[str, Any]:
    """Return an event."""
    return {"event_id": f"${number}", "type": "m.room.message", "sender": "@ada:acme.example", "content": {}} | more


def answer(section: str, room: dict[str, Any]) -> dict[str, Any]:
    """Return a /sync answer that speaks of one room."""
    return {"next_batch": "s2", "rooms": {section: {ROOM: room}}}


def timeline(*events: dict[str, Any], limited: bool = False) -> dict[str, Any]:
    """Return a room with a timeline."""
    return {"timeline": {"events": list(events), "limited": limited, "prev_batch": "p1"}}


def own_join() -> dict[str, Any]:
    """Return the scribe's join."""
    return event(50, type="m.room.member", state_key=SCRIBE, content={"membership": "join"})


def ids(batch: Batch) -> list[str]:
    """Return the ids of the one room's events in order."""
    return [e["event_id"] for e in batch.rooms[0].events()]


async def test_federation_format_is_asked_for_and_presence_is_not_set(
    homeserver: FakeHomeserver, client: BotClient
) -> None:
    """The filter asks for full PDUs and left rooms; syncing does not make the bot online."""
    homeserver.syncs = [{"next_batch": "s1"}]
    batch = await Sync(client, history=True).fetch(None, 0)
    query = homeserver.requests[0].query
    assert ('"event_format":"federation"' in query["filter"], '"include_leave":true' in query["filter"]) == (True, True)
    assert query["set_presence"] == "offline"
    assert (batch.next_batch, batch.rooms) == ("s1", ())


@pytest.mark.parametrize("section", ["join", "leave"])
async def test_a_gap_is_filled_back_to_since(homeserver: FakeHomeserver, client: BotClient, section: str) -> None:
    """A limited timeline is completed with every page between the last token and it, also of a left room."""
    homeserver.syncs = [answer(section, timeline(event(5), limited=True))]
    homeserver.pages = {
        "p1": {"chunk": [event(4), event(3)], "end": "p2"},
        "p2": {"chunk": [event(2)], "end": "p3"},
        "p3": {"chunk": []},
    }
    batch = await Sync(client, history=True).fetch("s1", 0)
    assert ids(batch) == ["$2", "$3", "$4", "$5"]
    assert {r.query.get("to") for r in homeserver.requests if r.path.endswith("/messages")} == {"s1"}
    assert batch.rooms[0].section == section


async def test_a_new_room_is_fetched_from_its_beginning(homeserver: FakeHomeserver, client: BotClient) -> None:
    """A room joined since the last token has a past that the token knows nothing of."""
    room = timeline(event(5), limited=True) | {"state": {"events": [own_join()]}}
    homeserver.syncs = [answer("join", room)]
    homeserver.pages = {"p1": {"chunk": [event(1)]}}
    batch = await Sync(client, history=True).fetch("s1", 0)
    assert ids(batch) == ["$1", "$50", "$5"]
    assert "to" not in homeserver.requests[-1].query


async def test_without_history_a_new_room_is_not_fetched(homeserver: FakeHomeserver, client: BotClient) -> None:
    """A bot that only listens leaves the past alone."""
    homeserver.syncs = [answer("join", timeline(event(5), own_join(), limited=True))]
    batch = await Sync(client, history=False).fetch("s1", 0)
    assert ids(batch) == ["$5", "$50"]


async def test_a_forbidden_gap_is_reported(homeserver: FakeHomeserver, client: BotClient) -> None:
    """Where the server does not let the bot read, the batch says that it is not complete."""
    homeserver.syncs = [answer("leave", timeline(event(5), limited=True))]
    homeserver.failures = [Failure(403, {"errcode": "M_FORBIDDEN"})]
    batch = await Sync(client, history=True).fetch("s1", 0)
    assert (ids(batch), batch.rooms[0].complete) == (["$5"], False)


async def test_an_interrupted_gap_moves_nothing(homeserver: FakeHomeserver, client: BotClient) -> None:
    """If a page fails the whole batch fails: the token is asked for again."""
    homeserver.syncs = [answer("join", timeline(event(5), limited=True))]
    homeserver.failures = [Failure(500)]
    with pytest.raises(ServerError):
        await Sync(client, history=True).fetch("s1", 0)


async def test_a_server_that_repeats_a_page_does_not_hold_the_bot(
    homeserver: FakeHomeserver, client: BotClient
) -> None:
    """A page that points to itself ends the walk."""
    homeserver.syncs = [answer("join", timeline(event(5), limited=True))]
    homeserver.pages = {"p1": {"chunk": [event(4)], "end": "p1"}}
    assert ids(await Sync(client, history=True).fetch("s1", 0)) == ["$4", "$5"]


async def test_a_very_large_gap_is_handed_over_in_pieces(
    homeserver: FakeHomeserver, client: BotClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays bounded: pieces are committed first, oldest events of each first."""
    monkeypatch.setattr("bots.kit.sync.SPILL_AT", 2)
    spilled: list[list[str]] = []

    async def spill(room: str, events: list[dict[str, Any]]) -> None:
        assert room == ROOM
        spilled.append([e["event_id"] for e in events])

    homeserver.syncs = [answer("join", timeline(event(9), limited=True))]
    homeserver.pages = {
        "p1": {"chunk": [event(8), event(7)], "end": "p2"},
        "p2": {"chunk": [event(6)], "end": "p3"},
        "p3": {"chunk": []},
    }
    batch = await Sync(client, history=True, spill=spill).fetch("s1", 0)
    assert (spilled, ids(batch)) == ([["$7", "$8"]], ["$6", "$9"])


@pytest.mark.parametrize(
    "bad",
    [
        Failure(500),
        Failure(502),
        Failure(429, {"errcode": "M_LIMIT_EXCEEDED"}, headers={"Retry-After": "0"}),
        Failure(401, {"errcode": "M_UNKNOWN_TOKEN"}),
        "<html>",
        "[]",
        '{"next_batch": 7}',
        '{"next_batch": ""}',
        "[" * 100_000,
    ],
)
async def test_a_bad_answer_is_survived_and_the_token_stays(
    homeserver: FakeHomeserver, client: BotClient, bad: Any
) -> None:
    """Whatever the server answers, the loop asks for the same token again."""
    homeserver.syncs = [bad, {"next_batch": "s2"}]
    done = asyncio.Event()
    handled: list[str] = []

    async def handle(batch: Batch) -> None:
        handled.append(batch.next_batch)
        done.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(
        run(Sync(client, history=True), lambda: "s1", handle, wait=0, backoff=Backoff(0.01, 0.01))
    )
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert handled == ["s2"]
    assert {r.query["since"] for r in homeserver.requests} == {"s1"}


async def test_a_batch_whose_handling_fails_comes_again(homeserver: FakeHomeserver, client: BotClient) -> None:
    """An exception in the handler loses nothing."""
    homeserver.syncs = [answer("join", timeline(event(1))), answer("join", timeline(event(1)))]
    done = asyncio.Event()
    seen: list[list[str]] = []

    async def handle(batch: Batch) -> None:
        seen.append(ids(batch))
        if len(seen) == 1:
            msg = "the disk is full"
            raise OSError(msg)
        done.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(
        run(Sync(client, history=True), lambda: "s1", handle, wait=0, backoff=Backoff(0.01, 0.01))
    )
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert seen == [["$1"], ["$1"]]


async def test_hostile_sections_are_values_not_exceptions(homeserver: FakeHomeserver, client: BotClient) -> None:
    """Sections and events of the wrong type are left out; numbers and surrogates survive unchanged."""
    text = (
        '{"next_batch":"s2","rooms":{"join":{"!a:b":7,"!c:d":{"state":[],"timeline":{"events":'
        '[null,1,{"event_id":"$1","content":{"body":"\\ud800","n":123456789012345678901234567890}}]}}},'
        '"leave":[],"invite":{"!e:f":{"invite_state":{"events":"no"}}}}}'
    )
    homeserver.syncs = [text]
    batch = await Sync(client, history=True).fetch("s1", 0)
    events = [e for room in batch.rooms for e in room.events()]
    assert events == [{"event_id": "$1", "content": {"body": "\ud800", "n": 123456789012345678901234567890}}]


async def test_the_first_sync_does_not_wait_for_news(homeserver: FakeHomeserver, client: BotClient) -> None:
    """A bot that starts knows at once that it works; only from then on may an idle server hold its requests."""
    homeserver.syncs = [Failure(502), {"next_batch": "s2"}, {"next_batch": "s3"}]
    done = asyncio.Event()

    async def handle(batch: Batch) -> None:
        if batch.next_batch == "s3":
            done.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(
        run(Sync(client, history=True), lambda: "s1", handle, wait=7, backoff=Backoff(0.01, 0.01))
    )
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [r.query["timeout"] for r in homeserver.requests] == ["0", "0", "7000"]
