"""The steward's parts one by one: folding, direct chats, who is answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

import bots.steward
from bots.kit.custody import Custody
from bots.kit.notices import Notices
from bots.kit.queue import Queue
from bots.kit.store import Store
from bots.kit.sync import Batch, RoomSync
from bots.steward import direct, receipts, talk
from bots.steward.config import StewardConfig
from bots.steward.desk import Desk
from bots.steward.direct import DirectChats
from bots.steward.receipts import Receipts
from bots.steward.talk import Talk
from tests.harness.waiting import until_async
from tests.unit.bots.fake_homeserver import SCRIBE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bots.kit.client import BotClient
    from tests.unit.bots.fake_homeserver import FakeHomeserver

ADA = "@ada:acme.example"
STEWARD = "@charter-steward:acme.example"
BASE = "/_matrix/client/v3"
CHAT = "!chat:acme.example"


class Clock:
    """A clock that a test moves."""

    now = 1_795_431_833.0

    def __call__(self) -> float:
        """Return POSIX seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


def room_state(members: dict[str, str] | None = None, *, join_rule: str = "invite", mark: str = "") -> list[Any]:
    """Return the state of a room: Ada's chat with the bots, and whoever else is named."""

    def event(kind: str, content: dict[str, Any], key: str = "") -> dict[str, Any]:
        return {"type": kind, "state_key": key, "content": content}

    people = {STEWARD: "join", SCRIBE: "join", ADA: "join"} | (members or {})
    return [
        event("m.room.create", {"org.charter.room": mark} if mark else {}),
        event("m.room.join_rules", {"join_rule": join_rule}),
        event("m.room.history_visibility", {"history_visibility": "shared"}),
        *(event("m.room.member", {"membership": membership}, user) for user, membership in people.items()),
    ]


@pytest.fixture
def desk(homeserver: FakeHomeserver, client: BotClient, tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """A steward's desk at the scripted homeserver, with one chat to open."""
    common = homeserver.config(tmp_path).model_dump(include={"homeserver", "server_name", "device_id", "token_file"})
    config = StewardConfig(**common, user_id=STEWARD, state=tmp_path / "s.db", scribe=SCRIBE)
    store = Store(":memory:", direct.SCHEMA + receipts.SCHEMA + talk.SCHEMA)
    queue = Queue(store, client, clock)
    notices = Notices(Path(bots.steward.__file__).parent / "templates")
    chats = DirectChats(client, store, config)
    homeserver.custody = {
        f"POST {BASE}/createRoom": {"room_id": CHAT},
        f"PUT {BASE}/user/{STEWARD}/account_data/m.direct": {},
        f"{BASE}/joined_rooms": {"joined_rooms": []},
        f"{BASE}/rooms/{CHAT}/state": room_state(),
        "POST outbox/ack": {},
    }
    yield Desk(config, client, Custody(client), store, queue, chats, notices, ZoneInfo("UTC"), clock)
    store.close()


def refusal(number: int, **more: Any) -> dict[str, Any]:
    """Return a refusal as the outbox hands it to the steward."""
    body = {"feature": "file.image", "rules": ["no-pictures"], "places": ["p.yaml:3"], "reason": "Because."}
    return {"id": f"r-{number}", "kind": "refusal", "time": 1, "room": "!r:a", "actor": ADA, "body": body} | more


def queued(desk: Desk) -> list[str]:
    """Return the bodies of what is queued."""
    return [row["content"] for row in desk.store.rows("SELECT content FROM outgoing ORDER BY seq")]


def acknowledged(homeserver: FakeHomeserver) -> list[str]:
    """Return the ids that were acknowledged."""
    return [i for path, body in homeserver.bodies if path == "outbox/ack" for i in body["ids"]]


async def test_repetitions_are_told_together(homeserver: FakeHomeserver, desk: Desk, clock: Clock) -> None:
    """The first refusal at once, the others in one message when the window is over, a later one anew."""
    work = Receipts(desk)
    homeserver.custody["outbox"] = {"records": [refusal(1), refusal(2), refusal(3)]}
    await work.turn()
    assert ["You may not" in body for body in queued(desk)] == [True]
    assert acknowledged(homeserver) == ["r-1", "r-2", "r-3"]
    homeserver.custody["outbox"] = {"records": []}
    clock.now += desk.config.fold_window + 1
    await work.turn()
    await work.turn()
    assert ["2 more like it" in body for body in queued(desk)] == [False, True]
    homeserver.custody["outbox"] = {"records": [refusal(4)]}
    await work.turn()
    assert ["You may not" in body for body in queued(desk)] == [True, False, True]


async def test_other_features_and_rooms_are_told_apart(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Only the same thing in the same place is folded."""
    other = refusal(3)
    other["body"] = other["body"] | {"feature": "file.video"}
    homeserver.custody["outbox"] = {"records": [refusal(1), refusal(2, room="!other:a"), other]}
    await Receipts(desk).turn()
    assert len(queued(desk)) == 3


async def test_a_record_that_comes_again_is_not_told_again(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Killed before the acknowledgement, the steward recognises what it told."""
    homeserver.custody["outbox"] = {"records": [refusal(1)]}
    work = Receipts(desk)
    await work.turn()
    await work.turn()
    assert len(queued(desk)) == 1
    assert desk.store.rows("SELECT more FROM folds")[0]["more"] == 0


async def test_strangers_bots_and_other_records_are_only_acknowledged(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Nobody but local people gets a receipt."""
    homeserver.custody["outbox"] = {
        "records": [refusal(1, actor="@eve:elsewhere.example"), refusal(2, actor=SCRIBE), refusal(3, kind="policy")]
    }
    await Receipts(desk).turn()
    assert (queued(desk), acknowledged(homeserver)) == ([], ["r-1", "r-2", "r-3"])


async def test_a_withheld_upload_is_told_with_its_message(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Upload and message are two refusals of one thing: one receipt."""
    upload = refusal(1, room=None)
    upload["body"] = upload["body"] | {"answer": "withheld", "path": "upload"}
    homeserver.custody["outbox"] = {"records": [upload, refusal(2)]}
    await Receipts(desk).turn()
    assert ["r-2" in body for body in queued(desk)] == [True]
    assert acknowledged(homeserver) == ["r-1", "r-2"]


async def test_a_refusal_stays_pending_while_the_chat_cannot_be_opened(homeserver: FakeHomeserver, desk: Desk) -> None:
    """A server that is busy loses nothing."""
    homeserver.custody["outbox"] = {"records": [refusal(1)]}
    homeserver.custody[f"POST {BASE}/createRoom"] = {"nothing": "useful"}
    await Receipts(desk).turn()
    assert (queued(desk), acknowledged(homeserver)) == ([], [])


async def test_a_chat_is_found_again_after_a_crash(homeserver: FakeHomeserver, desk: Desk) -> None:
    """An intent without a room leads to a search by mark, not to a second chat."""
    with desk.store.transaction() as db:
        db.execute("INSERT INTO direct (person) VALUES (?)", (ADA,))
    homeserver.custody |= {
        f"{BASE}/joined_rooms": {"joined_rooms": ["!other:a", "!lost:a"]},
        f"{BASE}/rooms/!other:a/state/m.room.create": {},
        f"{BASE}/rooms/!lost:a/state/m.room.create": {"org.charter.direct": ADA},
        f"{BASE}/rooms/!lost:a/state": room_state({ADA: "invite"}),
    }
    assert await desk.direct.room_for(ADA) == "!lost:a"
    assert created(homeserver) == []


def created(homeserver: FakeHomeserver) -> list[str]:
    """Return the requests that made rooms."""
    return [path for path, _ in homeserver.bodies if path.endswith("createRoom")]


async def test_who_left_the_chat_is_invited_again(homeserver: FakeHomeserver, desk: Desk) -> None:
    """The next receipt brings the person back into the same chat."""
    assert await desk.direct.room_for(ADA) == CHAT
    homeserver.custody[f"{BASE}/rooms/{CHAT}/state"] = room_state({ADA: "leave"})
    homeserver.custody[f"POST {BASE}/rooms/{CHAT}/invite"] = {}
    assert await desk.direct.room_for(ADA) == CHAT
    assert [body["user_id"] for path, body in homeserver.bodies if path.endswith("/invite")] == [ADA]
    assert len(created(homeserver)) == 1


async def test_a_receipt_goes_to_the_newest_chat_that_the_person_is_in(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Of several direct chats the newest counts; one that was left does not, one with an open invite only at last."""
    assert await desk.direct.room_for(ADA) == CHAT
    for room in ("!second:a", "!third:a"):
        homeserver.custody[f"{BASE}/rooms/{room}/state"] = room_state()
        with desk.store.transaction() as db:
            assert desk.direct.adopt(db, ADA, room, meant=True)
    assert await desk.direct.room_for(ADA) == "!third:a"
    homeserver.custody[f"{BASE}/rooms/!third:a/state"] = room_state({ADA: "invite"})
    assert await desk.direct.room_for(ADA) == "!second:a"
    homeserver.custody[f"{BASE}/rooms/!second:a/state"] = room_state({ADA: "leave"})
    homeserver.custody[f"{BASE}/rooms/{CHAT}/state"] = room_state({ADA: "leave"})
    assert await desk.direct.room_for(ADA) == "!third:a"
    assert len(created(homeserver)) == 1


NOT_ALONE = (
    room_state({"@carol:acme.example": "join"}),
    room_state({"@carol:acme.example": "invite"}),
    room_state({"@eve:elsewhere.example": "join"}),
    room_state(join_rule="public"),
    room_state(join_rule="restricted"),
    room_state({STEWARD: "leave"}),
    room_state(mark="approvals"),
    {"errcode": "M_FORBIDDEN", "error": "not in the room"},
    {"unreadable": "answer"},
    [None, 7, {"type": "m.room.member"}],
)


@pytest.mark.parametrize("state", NOT_ALONE)
async def test_nothing_is_said_where_others_hear_it(homeserver: FakeHomeserver, desk: Desk, state: Any) -> None:
    """A chat that others are in, may enter or were invited to is none any more: no answer there, no receipt there."""
    assert await desk.direct.room_for(ADA) == CHAT
    homeserver.custody[f"{BASE}/rooms/{CHAT}/state"] = state
    homeserver.custody[f"POST {BASE}/createRoom"] = {"room_id": "!fresh:a"}
    homeserver.custody["outbox"] = {"records": [refusal(1)]}
    await Talk(desk).handle(Batch("s1", "s2", (RoomSync(CHAT, "join", (), (said("!help"),)),)))
    assert queued(desk) == []
    await Receipts(desk).turn()
    assert [row["room"] for row in desk.store.rows("SELECT room FROM outgoing")] == ["!fresh:a"]


@pytest.mark.parametrize(("waited", "told"), [(1.0, True), (600.0, False)])
async def test_a_receipt_that_waited_is_not_told_to_who_came_meanwhile(
    homeserver: FakeHomeserver, desk: Desk, clock: Clock, waited: float, *, told: bool
) -> None:
    """Queued while the person was alone, sent much later: the server is asked again, and the receipt is given up."""
    homeserver.custody["outbox"] = {"records": [refusal(1)]}
    await Receipts(desk).turn()
    homeserver.custody[f"{BASE}/rooms/{CHAT}/state"] = room_state({"@carol:acme.example": "join"})
    clock.now += waited
    queue = Queue(desk.store, desk.client, clock, fits=desk.direct.still_fits)
    task = asyncio.create_task(queue.run())

    async def done() -> bool:
        return queue.waiting() == 0

    await until_async(done, "the queue is empty")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bool(homeserver.sent[CHAT]) == told
    assert len(queue.refused()) == (not told)


async def test_who_comes_into_a_chat_is_noticed_by_the_sync(desk: Desk) -> None:
    """While somebody else is there it is no chat; once they have left, it is one again if the server agrees."""
    await desk.direct.room_for(ADA)
    work = Talk(desk)

    async def batch(*events: dict[str, Any]) -> None:
        await work.handle(Batch("s1", "s2", (RoomSync(CHAT, "join", (), events),)))

    def carol(membership: str) -> dict[str, Any]:
        content = {"membership": membership}
        return {"type": "m.room.member", "state_key": "@carol:acme.example", "sender": ADA, "content": content}

    await batch(carol("invite"))
    assert desk.direct.person_of(CHAT) is None
    await batch(said("!help"))
    assert queued(desk) == []
    await batch(carol("leave"))
    await batch(said("!me"))
    assert len(queued(desk)) == 1


def said(text: str, more: dict[str, Any] | None = None, *, sender: str = ADA) -> dict[str, Any]:
    """Return a message, with more in its content."""
    content = more or {}
    return {
        "event_id": f"${text}{sender}{len(content)}",
        "type": "m.room.message",
        "sender": sender,
        "origin_server_ts": int(Clock.now * 1000),
        "content": {"msgtype": "m.text", "body": text} | content,
    }


@pytest.mark.parametrize(
    ("event", "room", "answers"),
    [
        (said("!help"), CHAT, 1),
        (said("hello"), CHAT, 1),
        (said("!help", {"msgtype": "m.notice"}), CHAT, 0),
        (said("!help", sender=STEWARD), CHAT, 0),
        (said("!help", sender=SCRIBE), CHAT, 0),
        (said("!help", sender="@eve:elsewhere.example"), CHAT, 0),
        (said("* !help", {"m.relates_to": {"rel_type": "m.replace"}}), CHAT, 0),
        (said("!help", {"org.charter.refusal": {}}), CHAT, 0),
        (said("!help") | {"origin_server_ts": 5}, CHAT, 0),
        (said("!help"), "!group:a", 0),
        (said("steward: !help", {"m.mentions": {"user_ids": [STEWARD]}}), "!group:a", 1),
        (said(f"{STEWARD} !help"), "!group:a", 1),
    ],
)
async def test_who_is_answered(
    homeserver: FakeHomeserver, desk: Desk, event: dict[str, Any], room: str, answers: int
) -> None:
    """Fresh texts of local people, in their direct chat or where the steward is mentioned; always in the chat."""
    homeserver.custody[f"{BASE}/rooms/!group:a/state"] = room_state({"@carol:acme.example": "join"})
    await desk.direct.room_for(ADA)
    work = Talk(desk)
    batch = Batch("s1", "s2", (RoomSync(room, "join", (), (event,)),))
    await work.handle(batch)
    await work.handle(batch)
    rows = desk.store.rows("SELECT room FROM outgoing")
    assert [row["room"] for row in rows] == [CHAT] * answers
    assert work.since() == "s2"


async def test_the_past_is_not_answered(desk: Desk) -> None:
    """At its first start the steward does not answer what was said before."""
    await desk.direct.room_for(ADA)
    await Talk(desk).handle(Batch(None, "s1", (RoomSync(CHAT, "join", (), (said("!help"),)),)))
    assert queued(desk) == []


async def test_a_flood_of_questions_is_not_answered_by_a_flood(desk: Desk) -> None:
    """With many answers unsent, further questions are left alone."""
    await desk.direct.room_for(ADA)
    questions = tuple(said(f"!help {n}") for n in range(50))
    await Talk(desk).handle(Batch("s1", "s2", (RoomSync(CHAT, "join", (), questions),)))
    assert len(queued(desk)) == talk.ENOUGH


async def test_a_person_may_begin_the_chat(homeserver: FakeHomeserver, desk: Desk) -> None:
    """A local person's direct invite is accepted, adopted and greeted; a stranger's is not accepted."""

    def invite(room: str, sender: str) -> RoomSync:
        content = {"membership": "invite", "is_direct": True}
        event = {"type": "m.room.member", "state_key": STEWARD, "sender": sender, "content": content}
        return RoomSync(room, "invite", (event,), ())

    homeserver.custody |= {f"POST {BASE}/join/!hers:a": {}, f"{BASE}/rooms/!hers:a/state": room_state()}
    work = Talk(desk)
    rooms = (invite("!hers:a", ADA), invite("!evil:x", "@eve:elsewhere.example"))
    await work.handle(Batch("s1", "s2", rooms))
    await work.attend()
    await work.attend()
    assert desk.direct.person_of("!hers:a") == ADA
    assert await desk.direct.room_for(ADA) == "!hers:a"
    assert [path for path, _ in homeserver.bodies if "/join/" in path] == [f"{BASE}/join/!hers:a"]
    assert ["Good day." in body for body in queued(desk)] == [True]


async def test_a_second_chat_is_a_chat_too(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Who has a chat and begins another is greeted and answered there, and still answered in the first."""
    await desk.direct.room_for(ADA)
    homeserver.custody |= {f"POST {BASE}/join/!second:a": {}, f"{BASE}/rooms/!second:a/state": room_state()}
    content = {"membership": "invite", "is_direct": True}
    invite = {"type": "m.room.member", "state_key": STEWARD, "sender": ADA, "content": content}
    work = Talk(desk)
    await work.handle(Batch("s1", "s2", (RoomSync("!second:a", "invite", (invite,), ()),)))
    await work.attend()
    rooms = (RoomSync("!second:a", "join", (), (said("!help"),)), RoomSync(CHAT, "join", (), (said("!help "),)))
    await work.handle(Batch("s2", "s3", rooms))
    found = [row["room"] for row in desk.store.rows("SELECT room FROM outgoing ORDER BY seq")]
    assert found == ["!second:a", "!second:a", CHAT]


async def test_a_chat_of_earlier_is_found_at_the_start(homeserver: FakeHomeserver, desk: Desk) -> None:
    """A room with one person that was never looked at: commands are answered there, other words are not; groups are none."""
    homeserver.custody |= {
        f"{BASE}/joined_rooms": {"joined_rooms": ["!early:a", "!group:a"]},
        f"{BASE}/rooms/!early:a/state": room_state(),
        f"{BASE}/rooms/!group:a/state": room_state({"@carol:acme.example": "join"}),
    }
    work = Talk(desk)
    await work.attend()
    assert (desk.direct.person_of("!early:a"), desk.direct.person_of("!group:a")) == (ADA, None)
    rooms = tuple(RoomSync(r, "join", (), (said("!help"), said("hello"))) for r in ("!early:a", "!group:a"))
    await work.handle(Batch("s1", "s2", rooms))
    assert [row["room"] for row in desk.store.rows("SELECT room FROM outgoing")] == ["!early:a"]


def alarms(homeserver: FakeHomeserver) -> list[dict[str, Any]]:
    """Return the alarms that were put."""
    return [body for path, body in homeserver.bodies if path == "outbox" and body["kind"] == "alarm"]


async def test_a_receipt_that_is_refused_for_good_raises_one_alarm(homeserver: FakeHomeserver, desk: Desk) -> None:
    """The server takes the room but not the message: the security team learns who was not told of what."""
    homeserver.custody |= {"outbox": {"records": [refusal(1)]}, "POST outbox": {"id": "r-9"}}
    work = Receipts(desk)
    await work.turn()
    with desk.store.transaction() as db:
        db.execute("UPDATE outgoing SET status = 'failed', error = '403 M_FORBIDDEN: no'")
    await work.report()
    await work.report()
    (alarm,) = alarms(homeserver)
    assert (alarm["subject"], alarm["room"], alarm["body"]["code"]) == (ADA, CHAT, "receipt-not-sent")
    assert alarm["body"]["refusal"] == "r-1"
    assert "M_FORBIDDEN" in alarm["body"]["text"]


async def test_a_chat_that_is_refused_for_good_raises_one_alarm(
    homeserver: FakeHomeserver, desk: Desk, clock: Clock
) -> None:
    """Where no chat can be opened the refusals are acknowledged, folded, and told to the security team."""
    homeserver.custody |= {"outbox": {"records": [refusal(1), refusal(2)]}, "POST outbox": {"id": "r-9"}}
    homeserver.refusals = {f"{BASE}/createRoom"}
    work = Receipts(desk)
    await work.turn()
    await work.report()
    await work.report()
    assert acknowledged(homeserver) == ["r-1", "r-2"]
    assert [alarm["body"]["refusal"] for alarm in alarms(homeserver)] == ["r-1"]
    homeserver.custody["outbox"] = {"records": []}
    clock.now += desk.config.fold_window + 1
    await work.turn()
    await work.turn()
    await work.report()
    assert [alarm["body"]["refusal"] for alarm in alarms(homeserver)] == ["r-1", "r-2"]
    assert queued(desk) == []


async def test_me_names_only_what_is_enforced(homeserver: FakeHomeserver, desk: Desk) -> None:
    """Settings that no part enforces yet are not told as if they held."""
    await desk.direct.room_for(ADA)
    homeserver.custody["me"] = {
        "features": [],
        "limits": {"max_file": 50_000_000, "call_minutes": "120/day", "concurrent_calls": 2, "sources": {}},
        "session": {"lifetime": 36000, "ends_when_away": 900, "per_kind": {"web": 1}, "max_sessions": 3, "until": None},
    }
    await Talk(desk).handle(Batch("s1", "s2", (RoomSync(CHAT, "join", (), (said("!me"),)),)))
    (body,) = queued(desk)
    assert all(part in body for part in ("50 MB", "10 h", "log-ons at the same time: 3"))
    assert not any(part in body for part in ("call", "away", "120/day", "kind of client", "900", "15 min"))
