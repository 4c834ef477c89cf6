"""Custody's HTTP API (docs/contracts.md) as typed calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bots.kit.client import BotClient, ServerError, q
from bots.kit.foreign import as_dict, as_int, as_list, as_str

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE = "/_synapse/client/charter/v1"
_NOT_FOUND = 404


@dataclass(frozen=True)
class OutboxRecord:
    """One pending row of the outbox; `raw` is the record as JSON, for the ledger."""

    id: str
    kind: str
    time: int
    room: str | None
    actor: str | None
    subject: str | None
    body: Mapping[str, Any]
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Readers:
    """Who may read the compliance rooms, and who approves; sorted."""

    readers: tuple[str, ...]
    approvers: tuple[str, ...]


@dataclass(frozen=True)
class ComplianceRooms:
    """Room ids of the four compliance rooms."""

    journal: str
    audit: str
    alerts: str
    approvals: str

    def all(self) -> frozenset[str]:
        """Return the four ids."""
        return frozenset({self.journal, self.audit, self.alerts, self.approvals})


class Custody:
    """Typed calls; each raises `ServerError` when custody does not answer or refuses."""

    def __init__(self, client: BotClient) -> None:
        self._client = client

    async def outbox(self, limit: int = 100) -> list[OutboxRecord]:
        """Return this bot's pending records, oldest first."""
        answer = await self._get("outbox", {"limit": str(limit)})
        return [_record(as_dict(raw)) for raw in as_list(as_dict(answer).get("records"))]

    async def acknowledge(self, ids: Iterable[str]) -> None:
        """Tell custody that these records are safe."""
        await self._client.call("POST", f"{BASE}/outbox/ack", {"ids": list(ids)})

    async def submit(
        self, kind: str, body: Mapping[str, Any], *, room: str | None, actor: str | None, subject: str | None
    ) -> str:
        """Put a record of this bot's own into the outbox; return its id."""
        record = {"kind": kind, "room": room, "actor": actor, "subject": subject, "body": dict(body)}
        return as_str(as_dict(await self._client.call("POST", f"{BASE}/outbox", record)).get("id"))

    async def original(self, event_id: str) -> dict[str, Any] | None:
        """Return an event in federation format as it was sent, also where it was redacted since; None if unknown."""
        try:
            return as_dict(as_dict(await self._get(f"events/{q(event_id)}")).get("pdu")) or None
        except ServerError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def put_watermark(self, events: str, time_ms: int, lag_ms: int) -> None:
        """Say up to where everything is committed to the ledger."""
        body = {"events": events, "time": time_ms, "lag_ms": lag_ms}
        await self._client.call("PUT", f"{BASE}/watermark", body)

    async def put_rooms(self, rooms: ComplianceRooms) -> None:
        """Publish the compliance rooms' ids."""
        body = {name: getattr(rooms, name) for name in ("journal", "audit", "alerts", "approvals")}
        await self._client.call("PUT", f"{BASE}/rooms", body)

    async def rooms(self) -> ComplianceRooms | None:
        """Return the compliance rooms, or None before the scribe made them."""
        try:
            raw = as_dict(await self._get("rooms"))
        except ServerError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        names = [as_str(raw.get(name)) for name in ("journal", "audit", "alerts", "approvals")]
        return ComplianceRooms(*names) if all(names) else None

    async def readers(self) -> Readers:
        """Return who may read the compliance rooms."""
        raw = as_dict(await self._get("readers"))
        return Readers(_names(raw.get("readers")), _names(raw.get("approvers")))

    async def why(self, user: str, feature: str, room: str | None = None) -> dict[str, Any]:
        """Return the explanation of one feature for one person."""
        return as_dict(await self._get("why", {"user": user, "feature": feature} | ({"room": room} if room else {})))

    async def me(self, user: str) -> dict[str, Any]:
        """Return what a person may do."""
        return as_dict(await self._get("me", {"user": user}))

    async def heartbeat(self, *, healthy: bool, detail: Mapping[str, Any]) -> None:
        """Tell custody that this bot lives, and how it is."""
        await self._client.call("POST", f"{BASE}/heartbeat", {"healthy": healthy, "detail": dict(detail)}, timeout=10)

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return await self._client.call("GET", f"{BASE}/{'/'.join(q(part) for part in path.split('/'))}", query=query)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(sorted({name for name in as_list(value) if isinstance(name, str)}))


def _record(raw: dict[str, Any]) -> OutboxRecord:
    return OutboxRecord(
        id=as_str(raw.get("id")),
        kind=as_str(raw.get("kind")),
        time=as_int(raw.get("time")),
        room=as_str(raw.get("room")) or None,
        actor=as_str(raw.get("actor")) or None,
        subject=as_str(raw.get("subject")) or None,
        body=as_dict(raw.get("body")),
        raw=raw,
    )
