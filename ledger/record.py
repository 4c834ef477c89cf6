"""Records: what the ledger keeps, as canonical bytes, with a salted commitment that the tree is built over.

Pure: the clock and the salts arrive as arguments. docs/ledger.md specifies the bytes with a worked example; they are
final, since every commitment ever made depends on them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeGuard

import orjson

from ledger import canonical as form
from ledger.errors import RecordError

KINDS: Final = (
    "event",
    "refusal",
    "would-have",
    "logon",
    "logoff",
    "policy",
    "policy-refused",
    "configuration",
    "admin-request",
    "directory",
    "alarm",
    "receipt",
    "compliance-room",
)
"""Kinds that the parts of Charter write today (docs/contracts.md). A ledger keeps records of other kinds as well."""

SALT_BYTES: Final = 32
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_ENTROPY_BYTES: Final = 10
_ULID_CHARACTERS: Final = 26
_INT64: Final = range(-(2**63), 2**63)


def _is_time(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


_CHECKS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "id": (_is_name, "is not a string, or empty"),
    "kind": (_is_name, "is not a string, or empty"),
    "time": (_is_time, "is not an integer of 64 bits"),
    "room": (_is_text, "is neither a string nor null"),
    "actor": (_is_text, "is neither a string nor null"),
    "subject": (_is_text, "is neither a string nor null"),
    "body": (lambda value: isinstance(value, Mapping), "is not an object"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened.

    Attributes:
        id: unique in the whole ledger; a record whose id is already there is not appended again.
        kind: one of `KINDS`, or a kind of a later version.
        time: milliseconds since the epoch, by the clock of whoever made the record; not a proof of time.
        room: room id, or None.
        actor: MXID of who did it, or None.
        subject: to whom or what (for a state event its state key), or None.
        body: a JSON object; its keys depend on the kind.
    """

    id: str
    kind: str
    time: int
    room: str | None = None
    actor: str | None = None
    subject: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses what could not be stored later.

        Raises:
            RecordError: a field has the wrong type.
        """
        # Any: the types are promises of the caller, who often has them from foreign JSON.
        fields: dict[str, Any] = self.to_json()
        for name, (holds, problem) in _CHECKS.items():
            if not holds(fields[name]):
                raise RecordError(name, problem)

    @classmethod
    def from_json(cls, source: Mapping[str, Any]) -> Self:
        """Returns the record of a JSON object, as the outbox holds it; keys it does not know are ignored.

        Raises:
            RecordError: a key is missing or has the wrong type.
        """
        for name in ("id", "kind", "time", "body"):
            if name not in source:
                raise RecordError(name, "is missing")
        return cls(
            source["id"],
            source["kind"],
            source["time"],
            source.get("room"),
            source.get("actor"),
            source.get("subject"),
            source["body"],
        )

    @classmethod
    def of_event(cls, event_id: str, room: str, pdu: Mapping[str, Any]) -> Self:
        """Returns the record of a room's event; total, however hostile the event.

        The body keeps the event as it came. Sender, state key and time of the record are taken from it only where they
        have the right type; a time that is no 64-bit integer becomes 0.

        Args:
            event_id: the event's id.
            room: the room in which it was received.
            pdu: the event in federation format, without `unsigned`.
        """
        sender, state_key, at = pdu.get("sender"), pdu.get("state_key"), pdu.get("origin_server_ts")
        return cls(
            event_record_id(event_id),
            "event",
            at if _is_time(at) else 0,
            room,
            sender if isinstance(sender, str) else None,
            state_key if isinstance(state_key, str) else None,
            {"event_id": event_id, "pdu": pdu},
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the record as a JSON object; `from_json` reads it back."""
        return {
            "id": self.id,
            "kind": self.kind,
            "time": self.time,
            "room": self.room,
            "actor": self.actor,
            "subject": self.subject,
            "body": self.body,
        }


def canonical(record: Record) -> bytes:
    """Returns the record's canonical bytes (see `ledger.canonical` and docs/ledger.md).

    Raises:
        RecordError: the body holds something that no JSON parser returns.
    """
    return envelope(record, form.write(record.body))


def envelope(record: Record, body: bytes) -> bytes:
    """Returns the record's canonical bytes around a body that is canonical already; `record.body` is not looked at."""
    try:
        return orjson.dumps(
            {
                "actor": record.actor,
                "body": orjson.Fragment(body),
                "id": record.id,
                "kind": record.kind,
                "room": record.room,
                "subject": record.subject,
                "time": record.time,
            }
        )
    except TypeError:  # a lone surrogate
        outer = {**record.to_json(), "body": None}
        head, _, tail = form.write(outer).partition(b',"body":null,')
        return b"".join((head, b',"body":', body, b",", tail))


def commitment(canonical_bytes: bytes, salt: bytes) -> bytes:
    """Returns SHA-256(salt ‖ canonical bytes): it binds the record and, once the salt is destroyed, reveals nothing.

    Args:
        canonical_bytes: `canonical(record)`.
        salt: 32 random bytes of this record alone.
    """
    return hashlib.sha256(salt + canonical_bytes).digest()


def event_record_id(event_id: str) -> str:
    """Returns the record id of an event: `e-` and the unpadded base64url SHA-256 of the event id in UTF-8."""
    digest = hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).digest()
    return "e-" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_record_id(now: float, entropy: bytes) -> str:
    """Returns the id of a new record that is no event: `r-` and a ULID.

    Args:
        now: seconds since the epoch.
        entropy: 10 random bytes.

    Raises:
        RecordError: the entropy is not 10 bytes, or the time is outside 48 bits of milliseconds.
    """
    milliseconds = int(now * 1000)
    if len(entropy) != _ULID_ENTROPY_BYTES:
        msg = "entropy"
        raise RecordError(msg, "is not 10 bytes")
    if not 0 <= milliseconds < 2**48:
        msg = "now"
        raise RecordError(msg, "is outside what a ULID can hold")
    number = int.from_bytes(milliseconds.to_bytes(6, "big") + entropy, "big")
    return "r-" + "".join(_CROCKFORD[number >> shift & 31] for shift in range(5 * (_ULID_CHARACTERS - 1), -1, -5))
