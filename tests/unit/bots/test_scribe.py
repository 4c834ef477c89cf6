"""The scribe's parts one by one: records, lines, outbox, rooms, readers, mirror."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.kit.client import ServerError
from bots.kit.custody import ComplianceRooms, Custody, Readers
from bots.kit.queue import Queue
from bots.kit.store import Store
from bots.kit.sync import Batch, RoomSync
from bots.scribe import names
from bots.scribe.config import ScribeConfig
from bots.scribe.drain import Drain
from bots.scribe.journal import Journal
from bots.scribe.lines import line_of
from bots.scribe.mirror import FOLD_ABOVE, FOLD_LINES, Mirror, fold
from bots.scribe.readers import Member, change, wanted
from bots.scribe.records import batch_records, event_records, restored, was_redacted
from bots.scribe.rooms import PLANS, creation, ensure_rooms
from ledger.record import Record, canonical
from ledger.store import open_ledger
from tests.unit.bots.fake_homeserver import SCRIBE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bots.kit.client import BotClient
    from tests.unit.bots.fake_homeserver import FakeHomeserver

ADA = "@ada:acme.example"
ROOM = "!room:acme.example"
ROOMS = ComplianceRooms("!journal:a", "!audit:a", "!alerts:a", "!approvals:a")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def config(homeserver: FakeHomeserver, tmp_path: Path) -> ScribeConfig:
    """A configuration that points to the scripted homeserver."""
    common = homeserver.config(tmp_path).model_dump(include={"homeserver", "server_name", "user_id", "device_id"})
    files = {"token_file": tmp_path / "token", "state": tmp_path / "s.db", "ledger": f"sqlite:///{tmp_path}/l.db"}
    return ScribeConfig(**common, **files, steward="@charter-steward:acme.example")


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    """A journal on a real ledger."""
    made = Journal(lambda: open_ledger(f"sqlite:///{tmp_path}/ledger.db"))
    await made.open()
    yield made
    await made.close()


def event(number: int, kind: str = "m.room.message", **more: Any) -> dict[str, Any]:
    """Return an event as /sync brings it."""
    base = {"event_id": f"${number}", "type": kind, "sender": ADA, "origin_server_ts": 1_700_000_000_000 + number}
    return base | {"content": {"msgtype": "m.text", "body": f"text {number}"}, "unsigned": {"age": 1}} | more


def shown(kind: str, content: dict[str, Any], **more: Any) -> tuple[str, str]:
    """Return mark and text of an event's line."""
    record = next(event_records(ROOM, [event(1, kind, content=content, **more)]))
    line = line_of(record)
    assert line is not None
    return line.mark, line.what


@pytest.mark.parametrize(
    ("kind", "content", "more", "expected"),
    [
        ("m.room.message", {"msgtype": "m.text", "body": "hello"}, {}, ("", "hello")),
        ("m.room.message", {"msgtype": "m.emote", "body": "waves"}, {}, ("", "* waves")),
        (
            "m.room.message",
            {
                "msgtype": "m.text",
                "body": "* b",
                "m.new_content": {"msgtype": "m.text", "body": "b"},
                "m.relates_to": {"rel_type": "m.replace"},
            },
            {},
            ("edited", "b"),
        ),
        (
            "m.room.message",
            {"msgtype": "m.file", "body": "a.pdf", "info": {"size": 1234, "mimetype": "application/pdf"}},
            {},
            ("", "file a.pdf (application/pdf, 1,234 bytes)"),
        ),
        ("m.room.message", {"msgtype": "m.notice", "body": "x", "org.charter.refusal": {}}, {}, ("refused", "x")),
        ("m.room.redaction", {"redacts": "$1", "reason": "oops"}, {}, ("deleted", "deleted $1: oops")),
        ("m.room.member", {"membership": "invite"}, {"state_key": "@bob:b"}, ("", "invited @bob:b")),
        ("m.room.member", {"membership": "leave"}, {"state_key": ADA}, ("", "left the room")),
        ("m.room.member", {"membership": "leave"}, {"state_key": "@bob:b"}, ("", "removed @bob:b")),
        ("m.reaction", {"m.relates_to": {"key": "👍"}}, {}, ("", "reacted with 👍")),
        ("m.call.invite", {"offer": {"sdp": "m=audio\nm=video"}}, {}, ("", "started a video call")),
        ("m.room.encrypted", {}, {}, ("", "sent an encrypted message")),
        ("com.example.odd", {}, {}, ("", "sent an event of type com.example.odd")),
    ],
)
def test_lines_read_like_sentences(
    kind: str, content: dict[str, Any], more: dict[str, Any], expected: tuple[str, str]
) -> None:
    """Each kind of conversation event has a line for people."""
    assert shown(kind, content, **more) == expected


@pytest.mark.parametrize(("answer", "mark"), [("reject", "refused"), ("replace", "refused"), ("withheld", "withheld")])
def test_lines_of_refusals(answer: str, mark: str) -> None:
    """An upload that was put away is told from the message that follows."""
    body = {"feature": "file.other", "reason": "No.", "rules": ["files"], "answer": answer}
    line = line_of(Record("r-1", "refusal", 0, None, ADA, None, body))
    assert line is not None
    assert (line.target, line.what, line.mark) == ("audit", "file.other: No. [rule files; r-1]", mark)


@given(
    st.sampled_from(["event", "refusal", "logon", "logoff", "policy", "alarm", "directory", "compliance-room", "x"]),
    JSON,
    JSON,
)
def test_lines_are_total(kind: str, pdu: Any, value: Any) -> None:
    """No record, however hostile, stops the mirror."""
    body = {"pdu": pdu, "event_id": "$1", "rules": value, "added": value, "ok": value, "reason": value, "text": value}
    line_of(Record("r-1", kind, 0, None, None, None, body))


@given(
    st.dictionaries(st.sampled_from(["type", "sender", "content", "origin_server_ts", "state_key", "unsigned"]), JSON)
)
def test_every_event_becomes_a_record_that_can_be_stored(hostile: dict[str, Any]) -> None:
    """Journaling is total: whatever the server hands over is kept as it is."""
    records = list(event_records(ROOM, [hostile | {"event_id": "$x"}]))
    assert [r.body["event_id"] for r in records] == ["$x"]
    canonical(records[0])
    for kind in ("m.room.message", "m.room.member", "m.call.invite", "m.poll.start", "m.reaction"):
        line_of(next(event_records(ROOM, [hostile | {"event_id": "$x", "type": kind}])))


def test_a_redacted_event_gets_its_words_back() -> None:
    """The record holds the event as it was sent, and still says what redacted it."""
    pruned = event(1, content={}, unsigned={"redacted_because": {"event_id": "$r"}})
    record = next(event_records(ROOM, [pruned]))
    whole = restored(record, event(1, content={"body": "words"}, unsigned={"age": 5}))
    assert was_redacted(record)
    assert not was_redacted(next(event_records(ROOM, [event(2)])))
    assert (whole.id, whole.body["redacted_because"]) == (record.id, "$r")
    assert whole.body["pdu"] == record.body["pdu"] | {"content": {"body": "words"}}


def test_unsigned_is_not_journaled_but_a_redaction_is_named() -> None:
    """What the server adds per reader is left out, except who deleted the event."""
    raw = event(1, content={}, unsigned={"age": 5, "redacted_because": {"event_id": "$r"}})
    record = next(event_records(ROOM, [raw]))
    assert ("unsigned" in record.body["pdu"], record.body["redacted_because"]) == (False, "$r")


def test_a_removal_of_the_scribe_raises_one_alarm() -> None:
    """The same kick, fetched twice, is the same alarm; leaving by itself is none."""
    kick = event(7, "m.room.member", state_key=SCRIBE, content={"membership": "leave"})
    own = kick | {"sender": SCRIBE}
    batch = Batch("s", "t", (RoomSync(ROOM, "leave", (), (kick,)), RoomSync("!b:c", "leave", (), (own,))))
    alarms = [r for r in batch_records(batch, SCRIBE, 1) if r.kind == "alarm"]
    again = [r for r in batch_records(batch, SCRIBE, 2) if r.kind == "alarm"]
    assert [(a.body["code"], a.actor) for a in alarms] == [("scribe-removed", ADA)]
    assert alarms[0].id == again[0].id


def test_an_unreadable_gap_raises_an_alarm() -> None:
    """What could not be fetched is not passed over in silence."""
    batch = Batch("s", "t", (RoomSync(ROOM, "leave", (), (), complete=False),))
    assert [r.body["code"] for r in batch_records(batch, SCRIBE, 1)] == ["journal-gap"]


def outbox(*records: dict[str, Any]) -> dict[str, Any]:
    """Return custody's answer."""
    return {"records": list(records)}


async def test_the_outbox_is_acknowledged_only_after_the_commit(
    homeserver: FakeHomeserver, client: BotClient, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger fails nothing is acknowledged; a bad row becomes an alarm and does not stop the rest."""
    good = {"id": "r-1", "kind": "logon", "time": 1, "room": None, "actor": ADA, "subject": None, "body": {"ok": True}}
    homeserver.custody = {"outbox": outbox(good, {"id": "r-2", "kind": "odd"}), "POST outbox/ack": {"acknowledged": 2}}
    drain = Drain(Custody(client), journal, SCRIBE)

    async def fail(*_: Any) -> None:
        msg = "disk full"
        raise OSError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", fail)
        with pytest.raises(OSError, match="disk full"):
            await drain.turn()
    assert homeserver.bodies == []
    await drain.turn()
    assert homeserver.bodies == [("outbox/ack", {"ids": ["r-1", "r-2"]})]
    kept = await journal.after(None, 10)
    assert [(r.kind, r.body.get("code")) for r in kept] == [("logon", None), ("alarm", "bad-record")]


async def test_rooms_are_found_again_after_a_crash_between_making_and_remembering(
    homeserver: FakeHomeserver, client: BotClient, config: ScribeConfig, tmp_path: Path
) -> None:
    """An intent without an id leads to a search by mark, not to a second room."""
    store = Store(tmp_path / "s.db")
    store.remember("room:journal:intent", "1")
    made: list[Any] = []

    def create(request: Any) -> dict[str, Any]:
        made.append(request)
        return {"room_id": f"!new{len(made)}:a"}

    base = "/_matrix/client/v3"
    homeserver.custody = {
        f"{base}/joined_rooms": {"joined_rooms": ["!other:a", "!lost:a"]},
        f"{base}/rooms/!other:a/state/m.room.create": {"creator": SCRIBE},
        f"{base}/rooms/!lost:a/state/m.room.create": {"org.charter.room": "journal"},
        f"POST {base}/createRoom": create,
    }
    rooms = await ensure_rooms(client, store, config)
    assert rooms == ComplianceRooms("!lost:a", "!new1:a", "!new2:a", "!new3:a")
    assert await ensure_rooms(client, store, config) == rooms
    store.close()


def test_only_bots_post_where_people_only_read(config: ScribeConfig) -> None:
    """Journal, audit and alerts are for reading; approvals is for answering."""
    levels = {plan.name: creation(plan, config)["power_level_content_override"] for plan in PLANS}
    assert {name: level["events_default"] for name, level in levels.items()} == {
        "journal": 50,
        "audit": 50,
        "alerts": 50,
        "approvals": 0,
    }
    assert levels["journal"]["users"] == {SCRIBE: 100, config.steward: 50}
    assert {creation(plan, config)["room_version"] for plan in PLANS} == {"11"}


def test_members_are_brought_in_step() -> None:
    """Missing readers are invited, others removed; who left by themselves is left in peace, bots stay."""
    present = {
        "@in:a": Member("join", "@in:a"),
        "@old:a": Member("join", "@old:a"),
        "@asked:a": Member("invite", SCRIBE),
        "@declined:a": Member("leave", "@declined:a"),
        "@removed:a": Member("leave", SCRIBE),
        SCRIBE: Member("join", SCRIBE),
    }
    due = change(present, frozenset({"@in:a", "@declined:a", "@removed:a", "@new:a"}), frozenset({SCRIBE}))
    assert (due.added, due.removed) == (("@new:a", "@removed:a"), ("@asked:a", "@old:a"))


def test_approvers_are_in_the_approvals_room_only() -> None:
    """Approving does not make a reader of the journal."""
    readers = Readers(("@r:a",), ("@p:a",))
    assert (wanted("journal", readers), wanted("approvals", readers)) == (
        frozenset({"@r:a"}),
        frozenset({"@r:a", "@p:a"}),
    )


async def test_the_mirror_goes_on_where_it_was_and_folds(
    client: BotClient, config: ScribeConfig, journal: Journal, tmp_path: Path
) -> None:
    """Few lines are one message each, many are folded; posts of compliance rooms and bots are not mirrored; nothing comes twice."""
    store = Store(tmp_path / "s.db", names.SCHEMA)
    queue = Queue(store, client, time.time)
    mirror = Mirror(config, journal, store, queue)
    name = event(0, "m.room.name", state_key="", content={"name": "Plans"})
    await journal.append(list(event_records(ROOM, [name, event(1)])))
    await journal.append(list(event_records(ROOMS.journal, [event(2)])))
    await journal.append(list(event_records(ROOM, [event(3, sender=config.steward)])))
    await mirror.turn(ROOMS)
    assert queue.waiting() == 2
    await mirror.turn(ROOMS)
    assert queue.waiting() == 2
    await journal.append(list(event_records(ROOM, [event(n) for n in range(10, 10 + 3 * FOLD_LINES)])))
    await mirror.turn(ROOMS)
    rows = store.rows("SELECT room, content FROM outgoing ORDER BY seq")
    assert {row["room"] for row in rows} == {ROOMS.journal}
    assert "[Plans] @ada:acme.example: text 1" in rows[1]["content"]
    assert 5 <= len(rows) <= 12
    assert sum(row["content"].count("[Plans]") for row in rows) == 2 + 3 * FOLD_LINES
    store.close()


async def test_hostile_events_do_not_stop_the_mirror(
    client: BotClient, config: ScribeConfig, journal: Journal, tmp_path: Path
) -> None:
    """Times beyond every calendar, lone surrogates and wrong types are shown as well as they can be."""
    store = Store(tmp_path / "s.db", names.SCHEMA)
    queue = Queue(store, client, time.time)
    mirror = Mirror(config.model_copy(update={"timezone": "Pacific/Kiritimati"}), journal, store, queue)
    hostile = [
        event(1, origin_server_ts=2**62),
        event(2, origin_server_ts=-(2**62), sender="@\ud800:b", content={"body": "\ud800"}),
        event(3, "m.room.name", state_key="", content={"name": "\ud800\u202e"}),
        event(4, "m.room.member", state_key="\ud800", content={"membership": "join"}),
        event(5, content=[]),
        event(6, 7, sender=8),  # type: ignore[arg-type]  # hostile on purpose
        event(7, "m.room.member", state_key=SCRIBE, content={"membership": "join"}),
    ]
    await journal.append(list(event_records("!\ud800:b", hostile)))
    await mirror.turn(ROOMS)
    rows = store.rows("SELECT room, content FROM outgoing ORDER BY seq")
    assert {row["room"] for row in rows} == {ROOMS.journal}
    assert len(rows) == 6
    assert "9999-01-01" in rows[0]["content"]
    store.close()


def test_folding_keeps_every_line_in_order() -> None:
    """However lines are grouped, none is lost."""
    few: list[tuple[str, dict[str, Any]]] = [(str(n), {"what": "x"}) for n in range(FOLD_ABOVE)]
    many: list[tuple[str, dict[str, Any]]] = [(str(n), {"what": "x" * (n * 37 % 4000)}) for n in range(300)]
    assert [len(group) for group in fold(few)] == [1] * FOLD_ABOVE
    assert [entry for group in fold(many) for entry in group] == many


async def test_errors_of_custody_are_server_errors(client: BotClient) -> None:
    """What custody refuses is raised with its status."""
    with pytest.raises(ServerError) as caught:
        await Custody(client).readers()
    assert (caught.value.status, caught.value.passing) == (404, False)
