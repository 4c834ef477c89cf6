"""The outbox keeps records until every consumer has them, whatever they contain."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from immutabledict import immutabledict

from synapse_modules._outbox import LOST, Outbox, consumers_of, new_record, new_record_id
from tests.unit.synapse_modules.custody.custody_doubles import Api

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def api() -> Iterator[Api]:
    """Return a module API over an empty database."""
    made = Api()
    yield made
    made.close()


def outbox_of(api: Api, **more: Any) -> Outbox:
    """Return an outbox over the double."""
    return Outbox(api, **({"alarm_above": 4} | more))  # type: ignore[arg-type]  # the double


def test_record_ids_sort_by_time_and_differ() -> None:
    """26 characters of Crockford's alphabet; a later millisecond sorts later."""
    ids = [new_record_id(stamp) for stamp in (0, 1, 1_700_000_000_000, 2**48 - 1)]
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"r-[0-7][0-9A-HJKMNP-TV-Z]{25}", one) for one in ids)
    assert len({new_record_id(5) for _ in range(1000)}) == 1000


def test_who_waits_for_what() -> None:
    """The scribe gets everything, the steward what it tells people about."""
    assert consumers_of("refusal", steward=True) == ("scribe", "steward")
    assert consumers_of("refusal", steward=False) == ("scribe",)
    for kind in ("event", "admin-request", "configuration", "receipt", "gateway"):
        assert consumers_of(kind, steward=True) == ("scribe",)


async def test_row_goes_when_nobody_waits(api: Api) -> None:
    """Two consumers acknowledge separately, each once."""
    outbox = outbox_of(api)
    record_id = await outbox.put(
        "refusal", actor="@ada:acme.example", body={"feature": "file.image", "content": {"a": 1}}
    )
    assert await outbox.acknowledge("steward", [record_id]) == 1
    assert await outbox.acknowledge("steward", [record_id]) == 0
    assert await outbox.depth() == 1
    assert not await outbox.committed(record_id)
    assert await outbox.acknowledge("scribe", [record_id, "r-other"]) == 1
    assert await outbox.depth() == 0
    assert await outbox.committed(record_id)


async def test_a_record_and_what_belongs_to_it_are_one_transaction(api: Api) -> None:
    """Both are committed, or neither."""
    outbox = outbox_of(api)

    def note(txn: Any, record_id: str) -> None:
        txn.execute("INSERT INTO charter_notes (name, value) VALUES ('beside', ?)", (record_id,))

    first = new_record("refusal", room=None, actor=None, subject=None, body={})
    assert await outbox.put_with(note, first) == first.id
    with pytest.raises(sqlite3.IntegrityError):
        await outbox.put_with(note, new_record("refusal", room=None, actor=None, subject=None, body={}))
    assert [record["id"] for record in await outbox.pending("scribe", 10)] == [first.id]


async def test_steward_never_sees_what_was_refused(api: Api) -> None:
    """`content` is for the ledger only."""
    outbox = outbox_of(api)
    await outbox.put("refusal", body={"feature": "file.image", "content": "secret"})
    assert [record["body"] for record in await outbox.pending("steward", 10)] == [{"feature": "file.image"}]
    assert (await outbox.pending("scribe", 10))[0]["body"]["content"] == "secret"


async def test_oldest_first_and_bounded(api: Api) -> None:
    """A consumer gets its oldest rows, at most as many as it asked for."""
    outbox = outbox_of(api)
    ids = [await outbox.put("logoff", body={"n": n}) for n in range(5)]
    assert [record["id"] for record in await outbox.pending("scribe", 3)] == ids[:3]
    assert len(await outbox.pending("scribe", 0)) == 1


HOSTILE = [
    {"body": immutabledict({"nested": immutabledict({"n": 1})})},
    {"body": "\ud800 lone"},
    {"\ud800": 1},
    {"n": 10**40},
    {"n": float("nan")},
    {1: "number as key"},
    {"nul": "\x00"},
    {"bytes": b"\xff"},
    {"set": {1}},
]


@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: ascii(content)[:30])
async def test_hostile_content_does_not_lose_a_record(api: Api, content: Any) -> None:
    """Whatever a client sent, the record is stored and read back as JSON."""
    outbox = outbox_of(api)
    await outbox.put("refusal", body={"feature": "chat.text", "content": content})
    record = (await outbox.pending("scribe", 1))[0]
    assert orjson.loads(orjson.dumps(record)) == record
    assert record["body"]["feature"] == "chat.text"


async def test_deep_nesting_is_cut_not_lost(api: Api) -> None:
    """A thousand levels do not break the record."""
    deep: Any = "end"
    for _ in range(1000):
        deep = {"d": deep}
    await outbox_of(api).put("refusal", body={"feature": "unknown", "content": deep})
    assert (await outbox_of(api).pending("scribe", 1))[0]["body"]["feature"] == "unknown"


async def test_record_is_what_it_was_when_put(api: Api) -> None:
    """A content that changes after `put_soon` is recorded as it was."""
    outbox = outbox_of(api)
    body = {"text": "before"}
    outbox.put_soon("logoff", body=body)
    body["text"] = "after"
    await api.settle()
    assert (await outbox.pending("scribe", 1))[0]["body"] == {"text": "before"}


async def test_failure_is_raised_on_the_refusal_path_and_counted_beside_it(api: Api) -> None:
    """`put` raises, so that the caller closes; `put_soon` never does."""
    outbox = outbox_of(api)
    api.fail = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await outbox.put("refusal", body={})
    before = LOST.labels("logon")._value.get()
    outbox.put_soon("logon", body={})
    await api.settle()
    assert LOST.labels("logon")._value.get() == before + 1


async def test_growth_raises_one_alarm_until_it_sank(api: Api) -> None:
    """Above the bound one alarm; another only after the outbox had sunk below half of it."""
    outbox = outbox_of(api)

    async def alarms() -> int:
        return sum(record["kind"] == "alarm" for record in await outbox.pending("scribe", 100))

    for _ in range(5):
        await outbox.put("logoff", body={})
    await outbox.watch()
    await outbox.watch()
    assert await alarms() == 1
    await outbox.acknowledge("scribe", [record["id"] for record in await outbox.pending("scribe", 100)])
    await outbox.acknowledge("steward", [record["id"] for record in await outbox.pending("steward", 100)])
    await outbox.watch()
    for _ in range(5):
        await outbox.put("logoff", body={})
    await outbox.watch()
    assert await alarms() == 1


async def test_row_that_nobody_waits_for_is_swept(api: Api) -> None:
    """Two acknowledgements at once may each leave the row to the other; the next round takes it."""
    outbox = outbox_of(api)
    await outbox.put("logoff", body={})
    api.database.execute("DELETE FROM charter_outbox_pending")
    await outbox.watch()
    assert await outbox.depth() == 0


async def test_puts_at_once_are_all_kept(api: Api) -> None:
    """A hundred writers, a hundred rows."""
    outbox = outbox_of(api)
    ids = await asyncio.gather(*(outbox.put("logoff", body={"n": n}) for n in range(100)))
    assert {record["id"] for record in await outbox.pending("scribe", 1000)} == set(ids)
