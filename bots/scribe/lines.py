"""What the compliance rooms show of a record: one line for people; pure and total.

The ledger holds the evidence. A line is for reading: it names who, where, what and when, and never carries media.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bots.kit.foreign import as_dict, as_int, as_list, as_str

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ledger.record import Record


@dataclass(frozen=True)
class Line:
    """One line of a compliance room.

    Attributes:
        target: ``journal``, ``audit`` or ``alerts``.
        what: what happened, without who and where.
        mark: a word that sets the line apart (edited, deleted, refused), or "".
    """

    target: str
    what: str
    mark: str = ""


def line_of(record: Record) -> Line | None:
    """Return the line of a record, or None for what is kept in the ledger only."""
    if record.kind == "event":
        return _event_line(as_dict(record.body.get("pdu")), as_str(record.body.get("redacted_because")))
    if record.kind == "alarm":
        return Line("alerts", _text(record.body, "text") or _text(record.body, "code"), "alarm")
    describe = _AUDIT.get(record.kind)
    if describe is None:
        return Line("audit", f"a record of kind {record.kind}")
    return describe(record)


def _event_line(pdu: Mapping[str, Any], redaction: str) -> Line | None:
    kind, content = as_str(pdu.get("type")), as_dict(pdu.get("content"))
    if redaction and not content:
        return Line("journal", f"a {_NAMES.get(kind, kind)} that was deleted before it could be journaled", "deleted")
    describe = _EVENTS.get(kind)
    if describe is not None:
        return describe(pdu, content)
    if kind in _QUIET or "state_key" in pdu:
        return None
    return Line("journal", f"sent an event of type {kind}")


def _message(_pdu: Mapping[str, Any], content: Mapping[str, Any]) -> Line:
    relation = as_dict(content.get("m.relates_to"))
    if relation.get("rel_type") == "m.replace":
        return Line("journal", _message_text(as_dict(content.get("m.new_content")) or content), "edited")
    if "org.charter.refusal" in content:
        return Line("journal", _message_text(content), "refused")
    return Line("journal", _message_text(content))


def _message_text(content: Mapping[str, Any]) -> str:
    msgtype, body = as_str(content.get("msgtype")), as_str(content.get("body"))
    if msgtype in {"m.text", "m.notice"}:
        return body
    if msgtype == "m.emote":
        return f"* {body}"
    label = _MEDIA.get(msgtype)
    if label is None:
        return f"{msgtype or 'a message without a type'}: {body}"
    info = as_dict(content.get("info"))
    name = as_str(content.get("filename")) or body
    size, mimetype = as_int(info.get("size"), -1), as_str(info.get("mimetype"))
    facts = ", ".join(part for part in (mimetype, f"{size:,} bytes" if size >= 0 else "") if part)
    return f"{label} {name}" + (f" ({facts})" if facts else "")


def _member(pdu: Mapping[str, Any], content: Mapping[str, Any]) -> Line | None:
    who, sender = as_str(pdu.get("state_key")), as_str(pdu.get("sender"))
    membership = as_str(content.get("membership"))
    own = who == sender
    if membership == "join":
        return Line("journal", "is in the room")
    if membership == "leave":
        return Line("journal", "left the room" if own else f"removed {who}")
    verb = {"invite": "invited", "ban": "banned", "knock": "asked to be let in:"}.get(membership)
    return Line("journal", f"{verb} {who}") if verb else None


def _redaction(pdu: Mapping[str, Any], content: Mapping[str, Any]) -> Line:
    reason = as_str(content.get("reason"))
    target = as_str(content.get("redacts")) or as_str(pdu.get("redacts"))
    return Line("journal", f"deleted {target}" + (f": {reason}" if reason else ""), "deleted")


def _reaction(_pdu: Mapping[str, Any], content: Mapping[str, Any]) -> Line:
    return Line("journal", f"reacted with {as_str(as_dict(content.get('m.relates_to')).get('key'))}")


def _poll(_pdu: Mapping[str, Any], content: Mapping[str, Any]) -> Line:
    start = as_dict(content.get("m.poll") or content.get("org.matrix.msc3381.poll.start"))
    question = as_dict(start.get("question"))
    text = as_str(question.get("body")) or as_str(question.get("org.matrix.msc1767.text"))
    return Line("journal", f"started a poll: {text}")


def _call(_pdu: Mapping[str, Any], content: Mapping[str, Any]) -> Line:
    video = "m=video" in as_str(as_dict(content.get("offer")).get("sdp"))
    return Line("journal", f"started a {'video' if video else 'voice'} call")


def _says(what: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Line]:
    return lambda _pdu, _content: Line("journal", what)


def _sets(what: str, key: str) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Line]:
    return lambda _pdu, content: Line("journal", f"set the {what} to {as_str(content.get(key)) or '(nothing)'}")


_MEDIA = {
    "m.image": "picture",
    "m.video": "video",
    "m.audio": "audio",
    "m.file": "file",
    "m.location": "location",
}
_NAMES = {"m.room.message": "message", "m.reaction": "reaction", "m.sticker": "sticker"}
_EVENTS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Line | None]] = {
    "m.room.message": _message,
    "m.room.member": _member,
    "m.room.redaction": _redaction,
    "m.room.create": _says("made the room"),
    "m.room.tombstone": _says("replaced the room by a new one"),
    "m.room.name": _sets("name", "name"),
    "m.room.topic": _sets("topic", "topic"),
    "m.room.join_rules": _sets("join rule", "join_rule"),
    "m.room.encrypted": _says("sent an encrypted message"),
    "m.room.encryption": _says("switched on encryption"),
    "m.reaction": _reaction,
    "m.sticker": lambda _pdu, content: Line("journal", f"sticker {as_str(content.get('body'))}"),
    "m.poll.start": _poll,
    "org.matrix.msc3381.poll.start": _poll,
    "m.call.invite": _call,
    "m.call.answer": _says("took the call"),
    "m.call.reject": _says("declined the call"),
    "m.call.hangup": _says("ended the call"),
}
_QUIET = frozenset(
    {
        "m.call.candidates",
        "m.call.negotiate",
        "m.call.select_answer",
        "m.call.replaces",
        "org.matrix.call.sdp_stream_metadata_changed",
    }
)
"""Signalling that says nothing to people; it is in the ledger."""


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else "" if value is None else str(value)


def _names_of(body: Mapping[str, Any], key: str) -> str:
    return ", ".join(str(name) for name in as_list(body.get(key)))


def _rules(body: Mapping[str, Any]) -> str:
    rules = _names_of(body, "rules")
    return f"rule {rules}" if rules else "no rule"


def _refusal(record: Record) -> Line:
    body = record.body
    mark = "withheld" if _text(body, "answer") == "withheld" else "refused"
    return Line("audit", f"{_text(body, 'feature')}: {_text(body, 'reason')} [{_rules(body)}; {record.id}]", mark)


def _logon(record: Record) -> Line:
    body = record.body
    where = ", ".join(part for part in (_text(body, "address"), _text(body, "user_agent")) if part)
    if body.get("ok"):
        return Line("audit", f"logged on from {where} with device {_text(body, 'device')}")
    return Line("audit", f"could not log on from {where}: {_text(body, 'reason')}", "refused")


def _logoff(record: Record) -> Line:
    reason = _text(record.body, "reason")
    return Line("audit", f"logged off device {_text(record.body, 'device')}" + (f": {reason}" if reason else ""))


def _policy(record: Record) -> Line:
    body = record.body
    changes = "; ".join(f"{key} {_names_of(body, key)}" for key in ("added", "removed", "changed") if body.get(key))
    digest = _text(body, "after")[:12]
    return Line("audit", f"policy {digest} is in force, signed by {_text(body, 'key_id')}: {changes or 'same rules'}")


def _readers(record: Record) -> Line:
    parts = [f"{key} {_names_of(record.body, key)}" for key in ("added", "removed") if record.body.get(key)]
    return Line("audit", f"readers of {_text(record.body, 'name')}: {'; '.join(parts)}")


def _directory(record: Record) -> Line:
    counts = [f"{len(as_list(record.body.get(key)))} {key}" for key in ("added", "removed", "changed")]
    return Line("audit", f"the directory changed: {', '.join(counts)}")


def _configuration(record: Record) -> Line:
    body = record.body
    changed = _names_of(body, "changed")
    what = f"{_text(body, 'instance')} runs with Synapse {_text(body, 'synapse')}, Charter {_text(body, 'charter')}"
    return Line("audit", what + (f"; changed: {changed}" if changed else ""))


_AUDIT: dict[str, Callable[[Record], Line | None]] = {
    "refusal": _refusal,
    "would-have": lambda r: Line(
        "audit", f"{_text(r.body, 'feature')} would have been decided otherwise by {_names_of(r.body, 'would_have')}"
    ),
    "logon": _logon,
    "logoff": _logoff,
    "policy": _policy,
    "policy-refused": lambda r: Line("alerts", f"a policy was not accepted: {_text(r.body, 'reason')}", "refused"),
    "configuration": _configuration,
    "admin-request": lambda r: Line("audit", f"admin request {_text(r.body, 'method')} {_text(r.body, 'path')}"),
    "directory": _directory,
    "receipt": lambda _r: None,
    "compliance-room": _readers,
}
