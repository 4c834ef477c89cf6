"""The outbox: what happened, durable in Synapse's database until every consumer has it.

Consumers read their own pending rows and acknowledge by id. Nobody reads "everything after position n", so a row
that commits late, from another process, is never skipped. Order of writing: record and pending rows in one
transaction; order of deletion: the pending row, then the record once nobody is pending, in one transaction.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

logger = logging.getLogger(__name__)

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_STEWARD_KINDS = frozenset({"refusal", "alarm", "policy", "policy-refused", "logon"})
_MAX_BATCH = 1000
DEPTH = Gauge("charter_outbox_depth", "Records waiting in the outbox for at least one consumer")
LOST = Counter("charter_outbox_lost", "Background records that could not be written", ["kind"])


_MAX_DEPTH = 64
_INT_BOUND = 2**63


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it is stored; `text` is its JSON."""

    id: str
    kind: str
    time: int
    text: str


def new_record_id(now_ms: int | None = None) -> str:
    """Return ``r-`` and a ULID: 48 bits of milliseconds and 80 random bits, in Crockford's base 32."""
    stamp = int(time.time() * 1000) if now_ms is None else now_ms
    value = (stamp << 80) | secrets.randbits(80)
    return "r-" + "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def consumers_of(kind: str, *, steward: bool) -> tuple[str, ...]:
    """Return who must acknowledge a record of this kind before it is deleted.

    The scribe always must, configured or not: evidence waits for it. The steward only where there is one.
    """
    return ("scribe", "steward") if steward and kind in _STEWARD_KINDS else ("scribe",)


class Outbox:
    """Puts, lists, acknowledges; every method is one transaction through the module API.

    Args:
        api: Synapse's module API.
        alarm_above: depth that raises an alarm.
        steward: whether there is a steward to wait for.
    """

    def __init__(self, api: ModuleApi, *, alarm_above: int, steward: bool = True) -> None:
        self._api = api
        self._steward = steward
        self._alarm_above = alarm_above
        self._alarmed = False

    async def put(
        self,
        kind: str,
        *,
        room: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        body: Mapping[str, Any],
    ) -> str:
        """Write a record and return its id; it is committed before this returns.

        Args:
            kind: a kind of docs/contracts.md.
            room: room id, where there is one.
            actor: MXID of who acted.
            subject: MXID, rule or thing acted upon.
            body: the kind's keys; JSON values only.
        """
        record = new_record(kind, room=room, actor=actor, subject=subject, body=body)
        await self._api.run_db_interaction("charter_outbox_put", self.insert, record)
        return record.id

    async def put_with(self, also: Callable[[LoggingTransaction, str], None], record: Record) -> str:
        """Write a record of :func:`new_record` and, in the same transaction, what `also` does with the record's id."""

        def insert(txn: LoggingTransaction) -> None:
            self.insert(txn, record)
            also(txn, record.id)

        await self._api.run_db_interaction("charter_outbox_put", insert)
        return record.id

    def put_soon(
        self,
        kind: str,
        *,
        room: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
        body: Mapping[str, Any],
    ) -> str:
        """Write a record in the background and return its id at once; never raises, a failure is logged and counted."""
        record = new_record(kind, room=room, actor=actor, subject=subject, body=body)
        self._api.run_as_background_process("charter_outbox_put", self._put_quietly, record)
        return record.id

    async def _put_quietly(self, record: Record) -> None:
        try:
            await self._api.run_db_interaction("charter_outbox_put", self.insert, record)
        except Exception:
            LOST.labels(record.kind).inc()
            logger.exception("record %s of kind %s could not be written", record.id, record.kind)

    async def pending(self, consumer: str, limit: int) -> list[dict[str, Any]]:
        """Return the consumer's pending records, oldest first; the steward's without what was refused."""
        records = await self._api.run_db_interaction(
            "charter_outbox_pending", _pending, consumer, max(1, min(limit, _MAX_BATCH))
        )
        return [_without_content(record) for record in records] if consumer == "steward" else records

    async def acknowledge(self, consumer: str, ids: Iterable[str]) -> int:
        """Forget records for this consumer and return how many were pending for it."""
        return await self._api.run_db_interaction("charter_outbox_ack", _acknowledge, consumer, list(ids))

    async def committed(self, record_id: str) -> bool:
        """Whether the scribe's ledger has a record: no longer pending for it (an unknown id counts as committed)."""
        return not await self._api.run_db_interaction("charter_outbox_committed", _waits_for_scribe, record_id)

    def insert(self, txn: LoggingTransaction, record: Record) -> None:
        """Insert a record of :func:`new_record` and its pending rows; for use inside a larger transaction."""
        txn.execute(
            "INSERT INTO charter_outbox (id, kind, at, record) VALUES (?, ?, ?, ?)",
            (record.id, record.kind, record.time, record.text),
        )
        for consumer in consumers_of(record.kind, steward=self._steward):
            txn.execute("INSERT INTO charter_outbox_pending (consumer, id) VALUES (?, ?)", (consumer, record.id))

    async def depth(self) -> int:
        """Count the waiting records and set the gauge."""
        depth = await self._api.run_db_interaction("charter_outbox_depth", _depth)
        DEPTH.set(depth)
        return depth

    async def watch(self) -> None:
        """Measure the depth; raise one alarm when it passes the bound, and be ready for the next after it sank."""
        await self._api.run_db_interaction("charter_outbox_sweep", _sweep)
        depth = await self.depth()
        if depth > self._alarm_above and not self._alarmed:
            self._alarmed = True
            body = {"code": "outbox-full", "text": f"{depth} records wait to be journaled", "depth": depth}
            await self.put("alarm", body=body)
        elif depth <= self._alarm_above // 2:
            self._alarmed = False


def new_record(
    kind: str, *, room: str | None, actor: str | None, subject: str | None, body: Mapping[str, Any]
) -> Record:
    """Build a record with a fresh id and the present time; later changes of `body` do not reach it."""
    now_ms = int(time.time() * 1000)
    record_id = new_record_id(now_ms)
    document = {
        "id": record_id,
        "kind": kind,
        "time": now_ms,
        "room": room,
        "actor": actor,
        "subject": subject,
        "body": body,
    }
    return Record(record_id, kind, now_ms, _to_json(document))


def _to_json(document: Mapping[str, Any]) -> str:
    """Serialise whatever a client may have sent: a record must not be lost because its content is hostile."""
    try:
        return orjson.dumps(document, default=_unknown, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return orjson.dumps(_tame(document, _MAX_DEPTH)).decode()


def _unknown(value: Any) -> Any:
    """Turn Synapse's frozen mappings into plain ones, anything else into text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def _tame(value: Any, depth: int) -> Any:  # noqa: PLR0911 - one answer for each kind of value
    """Return what JSON can carry: lone surrogates escaped, integers beyond 64 bits as text, too deep nesting cut."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < _INT_BOUND else str(value)
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {_tame(str(key), 1): _tame(one, depth - 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tame(one, depth - 1) for one in value]
    return str(value)


def _pending(txn: LoggingTransaction, consumer: str, limit: int) -> list[dict[str, Any]]:
    txn.execute(
        "SELECT o.record FROM charter_outbox_pending AS p JOIN charter_outbox AS o ON o.id = p.id"
        " WHERE p.consumer = ? ORDER BY o.position LIMIT ?",
        (consumer, limit),
    )
    return [orjson.loads(row[0]) for row in txn.fetchall()]


def _acknowledge(txn: LoggingTransaction, consumer: str, ids: list[str]) -> int:
    count = 0
    for record_id in ids:
        txn.execute("DELETE FROM charter_outbox_pending WHERE consumer = ? AND id = ?", (consumer, record_id))
        count += txn.rowcount
        txn.execute(
            "DELETE FROM charter_outbox WHERE id = ?"
            " AND NOT EXISTS (SELECT 1 FROM charter_outbox_pending AS p WHERE p.id = charter_outbox.id)",
            (record_id,),
        )
    return count


def _sweep(txn: LoggingTransaction) -> None:
    """Delete what nobody waits for: two consumers that acknowledge at the same moment may each still see the other's row."""
    txn.execute(
        "DELETE FROM charter_outbox WHERE NOT EXISTS"
        " (SELECT 1 FROM charter_outbox_pending AS p WHERE p.id = charter_outbox.id)"
    )


def _waits_for_scribe(txn: LoggingTransaction, record_id: str) -> bool:
    txn.execute("SELECT 1 FROM charter_outbox_pending WHERE consumer = 'scribe' AND id = ?", (record_id,))
    return txn.fetchone() is not None


def _depth(txn: LoggingTransaction) -> int:
    txn.execute("SELECT COUNT(*) FROM charter_outbox")
    row = txn.fetchone()
    return int(row[0]) if row else 0


def _without_content(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"body": {key: value for key, value in record["body"].items() if key != "content"}}
