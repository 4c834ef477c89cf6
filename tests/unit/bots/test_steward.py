"""The steward's parts one by one: folding, direct chats, who is answered."""

from __future__ import annotations

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
    }
    assert await desk.direct.room_for(ADA) == "!lost:a"
    assert [path for path, _ in homeserver.bodies if path.endswith("createRoom")] == []


async def test_who_left_the_chat_is_invited_again(homeserver: FakeHomeserver, desk: Desk) -> None:
    """The next receipt brings the person back into the same chat."""
    assert await desk.direct.room_for(ADA) == CHAT
    left = {"type": "m.room.member", "state_key": ADA, "sender": ADA, "content": {"membership": "leave"}}
    await Talk(desk).handle(Batch("s1", "s2", (RoomSync(CHAT, "join", (), (left,)),)))
    homeserver.custody[f"POST {BASE}/rooms/{CHAT}/invite"] = {}
    assert await desk.direct.room_for(ADA) == CHAT
    assert [body["user_id"] for path, body in homeserver.bodies if path.endswith("/invite")] == [ADA]


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
async def test_who_is_answered(desk: Desk, event: dict[str, Any], room: str, answers: int) -> None:
    """Fresh texts of local people, in their direct chat or where the steward is mentioned; always in the chat."""
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

    homeserver.custody[f"POST {BASE}/join/!hers:a"] = {}
    work = Talk(desk)
    rooms = (invite("!hers:a", ADA), invite("!evil:x", "@eve:elsewhere.example"))
    await work.handle(Batch("s1", "s2", rooms))
    await work.attend()
    await work.attend()
    assert desk.direct.known(ADA) == "!hers:a"
    assert [path for path, _ in homeserver.bodies if "/join/" in path] == [f"{BASE}/join/!hers:a"]
    assert ["Good day." in body for body in queued(desk)] == [True]
