"""The outbox: what happened, durable in Synapse's database until every consumer has it.

Consumers read their own pending rows and acknowledge by id. Nobody reads "everything after position n", so a row
that commits late, from another process, is never skipped. Order of writing: record and pending rows in one
transaction; order of deletion: the pending row, then the record once nobody is pending, in one transaction.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

logger = logging.getLogger(__name__)

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_STEWARD_KINDS = frozenset({"refusal", "alarm", "policy", "policy-refused", "logon"})
_MAX_BATCH = 1000
DEPTH = Gauge("charter_outbox_depth", "Records waiting in the outbox for at least one consumer")
LOST = Counter("charter_outbox_lost", "Background records that could not be written", ["kind"])


def new_record_id(now_ms: int | None = None) -> str:
    """Return ``r-`` and a ULID: 48 bits of milliseconds and 80 random bits, in Crockford's base 32."""
    stamp = int(time.time() * 1000) if now_ms is None else now_ms
    value = (stamp << 80) | secrets.randbits(80)
    return "r-" + "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def consumers_of(kind: str) -> tuple[str, ...]:
    """Return who must acknowledge a record of this kind before it is deleted."""
    return ("scribe", "steward") if kind in _STEWARD_KINDS else ("scribe",)


class Outbox:
    """Puts, lists, acknowledges; every method is one transaction through the module API."""

    def __init__(self, api: ModuleApi, *, alarm_above: int) -> None:
        self._api = api
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
        await self._api.run_db_interaction("charter_outbox_put", insert, record)
        return str(record["id"])

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
        return str(record["id"])

    async def _put_quietly(self, record: dict[str, Any]) -> None:
        try:
            await self._api.run_db_interaction("charter_outbox_put", insert, record)
        except Exception:
            LOST.labels(record["kind"]).inc()
            logger.exception("record %s of kind %s could not be written", record["id"], record["kind"])

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

    async def depth(self) -> int:
        """Count the waiting records and set the gauge."""
        depth = await self._api.run_db_interaction("charter_outbox_depth", _depth)
        DEPTH.set(depth)
        return depth

    async def watch(self) -> None:
        """Measure the depth; raise one alarm when it passes the bound, and be ready for the next after it sank."""
        depth = await self.depth()
        if depth > self._alarm_above and not self._alarmed:
            self._alarmed = True
            body = {"code": "outbox-full", "text": f"{depth} records wait to be journaled", "depth": depth}
            await self.put("alarm", body=body)
        elif depth <= self._alarm_above // 2:
            self._alarmed = False


def new_record(
    kind: str, *, room: str | None, actor: str | None, subject: str | None, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Build a record with a fresh id and the present time."""
    now_ms = int(time.time() * 1000)
    return {
        "id": new_record_id(now_ms),
        "kind": kind,
        "time": now_ms,
        "room": room,
        "actor": actor,
        "subject": subject,
        "body": dict(body),
    }


def insert(txn: LoggingTransaction, record: Mapping[str, Any]) -> None:
    """Insert a record and its pending rows; for use inside a larger transaction."""
    txn.execute(
        "INSERT INTO charter_outbox (id, kind, at, record) VALUES (?, ?, ?, ?)",
        (record["id"], record["kind"], record["time"], orjson.dumps(record).decode()),
    )
    for consumer in consumers_of(record["kind"]):
        txn.execute("INSERT INTO charter_outbox_pending (consumer, id) VALUES (?, ?)", (consumer, record["id"]))


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


def _waits_for_scribe(txn: LoggingTransaction, record_id: str) -> bool:
    txn.execute("SELECT 1 FROM charter_outbox_pending WHERE consumer = 'scribe' AND id = ?", (record_id,))
    return txn.fetchone() is not None


def _depth(txn: LoggingTransaction) -> int:
    txn.execute("SELECT COUNT(*) FROM charter_outbox")
    row = txn.fetchone()
    return int(row[0]) if row else 0


def _without_content(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"body": {key: value for key, value in record["body"].items() if key != "content"}}
