"""From what /sync brought to records; pure."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from bots.kit.foreign import as_dict, as_int, as_str
from ledger.record import Record, new_record_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bots.kit.sync import Batch, Event, RoomSync

_LATEST = 2**48 - 1


def derived_id(time_ms: int, cause: str) -> str:
    """Return a record id that the same cause always gets, so that a repetition adds nothing."""
    entropy = hashlib.sha256(cause.encode("utf-8", "surrogatepass")).digest()[:10]
    return new_record_id(min(max(time_ms, 0), _LATEST) / 1000, entropy)


def event_records(room: str, events: Iterable[Event]) -> Iterator[Record]:
    """Yield a record of each event that has an id (stripped state of an invite has none)."""
    for event in events:
        event_id = event.get("event_id")
        if not isinstance(event_id, str) or not event_id:
            continue
        pdu = {key: value for key, value in event.items() if key not in {"unsigned", "event_id"}}
        record = Record.of_event(event_id, room, pdu)
        redaction = as_str(as_dict(as_dict(event.get("unsigned")).get("redacted_because")).get("event_id"))
        if redaction:
            body = {**record.body, "redacted_because": redaction}
            record = Record(record.id, record.kind, record.time, record.room, record.actor, record.subject, body)
        yield record


def was_redacted(record: Record) -> bool:
    """Whether an event had lost its content before the scribe saw it."""
    return record.kind == "event" and "redacted_because" in record.body


def restored(record: Record, pdu: dict[str, Any]) -> Record:
    """Return the record of a redacted event with the event as it was sent."""
    original = {key: value for key, value in pdu.items() if key not in {"unsigned", "event_id"}}
    whole = Record.of_event(record.body["event_id"], record.room or "", original)
    return dataclasses.replace(whole, body={**whole.body, "redacted_because": record.body["redacted_because"]})


def batch_records(batch: Batch, scribe: str, now_ms: int) -> list[Record]:
    """Return the records of a whole batch: its events, and the alarms that they raise."""
    records: list[Record] = []
    for room in batch.rooms:
        records.extend(event_records(room.room_id, room.events()))
        if room.section == "leave":
            records.extend(_removals(room, scribe))
        if not room.complete:
            records.append(_gap_alarm(room, batch, scribe, now_ms))
    return records


def alarm(  # noqa: PLR0913 - the fields of a record
    cause: str, code: str, text: str, *, time_ms: int, actor: str, room: str | None = None, **more: Any
) -> Record:
    """Return an alarm; the same cause at the same time is the same record."""
    body = {"code": code, "text": text, **more}
    return Record(derived_id(time_ms, f"{code}\0{cause}"), "alarm", time_ms, room, actor, None, body)


def _removals(room: RoomSync, scribe: str) -> Iterator[Record]:
    for event in room.events():
        ours = event.get("type") == "m.room.member" and event.get("state_key") == scribe
        membership = as_dict(event.get("content")).get("membership")
        sender, event_id = as_str(event.get("sender")), as_str(event.get("event_id"))
        if ours and membership in {"leave", "ban"} and sender != scribe and event_id:
            yield alarm(
                event_id,
                "scribe-removed",
                f"{sender} removed the scribe from {room.room_id}: nothing there is journaled any more.",
                time_ms=as_int(event.get("origin_server_ts")),
                actor=sender,
                room=room.room_id,
                event_id=event_id,
                membership=membership,
            )


def _gap_alarm(room: RoomSync, batch: Batch, scribe: str, now_ms: int) -> Record:
    return alarm(
        f"{room.room_id}\0{batch.since}",
        "journal-gap",
        f"Events of {room.room_id} could not be fetched: the server does not let the scribe read them.",
        time_ms=now_ms,
        actor=scribe,
        room=room.room_id,
        since=batch.since,
    )
