"""Records: fields, ids, commitments; the worked example of docs/ledger.md."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical as form
from ledger.errors import RecordError
from ledger.record import Record, canonical, commitment, event_record_id, new_record_id

TEXT = st.none() | st.text(st.characters(exclude_categories=()))
EXAMPLE = Record(
    id="r-01JDC8V3G00000000000000000",
    kind="refusal",
    time=1795428000000,
    room="!floor:acme.example",
    actor="@bob:acme.example",
    subject=None,
    body={"feature": "file.image", "decision": "deny", "rules": ["no-files-for-contractors"], "reason": "Für später"},
)
MANUAL = Path(__file__).parents[3] / "docs" / "ledger.md"


def test_the_manual_shows_the_bytes() -> None:
    """The worked example of the manual is what the program computes."""
    manual = MANUAL.read_text(encoding="utf-8")
    salt = bytes(range(32))
    assert canonical(EXAMPLE).decode() in manual
    assert salt.hex() in manual
    assert commitment(canonical(EXAMPLE), salt).hex() in manual
    assert hashlib.sha256(b"\0" + commitment(canonical(EXAMPLE), salt)).hexdigest() in manual


@given(TEXT, TEXT, TEXT, st.integers(-(2**63), 2**63 - 1))
def test_the_envelope_is_the_canonical_form_of_the_object(
    room: str | None, actor: str | None, subject: str | None, time: int
) -> None:
    """Putting the bytes together gives what writing the whole object gives."""
    record = Record("r-1", "alarm", time, room, actor, subject, {"text": "x", "at": 1.5})
    assert form.write(record.to_json()) == canonical(record)


def test_json_and_back() -> None:
    """The outbox's JSON is read back as the same record."""
    assert Record.from_json(orjson.loads(orjson.dumps(EXAMPLE.to_json()))) == EXAMPLE


@pytest.mark.parametrize(
    "change",
    [{"id": ""}, {"id": 1}, {"kind": None}, {"time": 1.0}, {"time": True}, {"time": 2**63}, {"room": 1}, {"body": []}],
)
def test_wrong_fields_are_refused(change: dict[str, Any]) -> None:
    """A record of wrong types cannot be made; the error names the field."""
    with pytest.raises(RecordError) as caught:
        Record.from_json({**EXAMPLE.to_json(), **change})
    assert next(iter(change)) == caught.value.field


def test_missing_keys_are_refused() -> None:
    """So is a record without its time."""
    with pytest.raises(RecordError, match="time is missing"):
        Record.from_json({"id": "r-1", "kind": "alarm", "body": {}})


@pytest.mark.parametrize(
    ("pdu", "time", "actor", "subject"),
    [
        ({"sender": "@a:b", "origin_server_ts": 5, "state_key": ""}, 5, "@a:b", ""),
        ({"sender": 5, "origin_server_ts": "5", "state_key": []}, 0, None, None),
        ({"origin_server_ts": 2**80}, 0, None, None),
        ({"origin_server_ts": True}, 0, None, None),
        ({"content": {"a\ud800": 10**30, "n": float("inf")}}, 0, None, None),
    ],
)
def test_hostile_events_are_recorded(pdu: dict[str, Any], time: int, actor: str | None, subject: str | None) -> None:
    """Whatever an event holds, it becomes a record, and its body keeps all of it."""
    record = Record.of_event("$x\ud800", "!r:b", pdu)
    assert (time, actor, subject) == (record.time, record.actor, record.subject)
    assert form.read(canonical(record).decode())["body"] == {"event_id": "$x\ud800", "pdu": pdu}


def test_ids() -> None:
    """Ids are as docs/contracts.md says; ULIDs sort by time."""
    assert event_record_id("$abc") == "e-iW-MZX-foRG42--P0rU2s7La1Zd7uRMd2SA3jlOnrXw"
    assert new_record_id(0, bytes(10)) == "r-" + "0" * 26
    assert new_record_id(1469918176.385, bytes(10))[:12] == "r-01ARYZ6S41"
    assert new_record_id(1, b"\xff" * 10) < new_record_id(2, bytes(10))


@pytest.mark.parametrize(("now", "entropy"), [(0, b"x"), (-1, bytes(10)), (2**48, bytes(10))])
def test_impossible_ids_are_refused(now: float, entropy: bytes) -> None:
    """Too little entropy, or a time that a ULID cannot hold."""
    with pytest.raises(RecordError):
        new_record_id(now, entropy)
