"""The steward's commands: the table, and what each answers."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bots.kit.client import ServerError
from bots.kit.commands import Argument, Command, NotParsed, Permission, Reply, help_values, parse
from bots.kit.foreign import as_dict, as_list, as_str
from charter.catalogue import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from bots.kit.custody import Custody

KINDS = ("direct", "private", "public", "external")
_SUMMARIES = {feature.id: feature.summary for feature in FEATURES}
_SIZES = (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000))
_TIMES = (("h", 3600), ("min", 60))
_WORDS = {
    "max_file": "largest file",
    "upload_per_day": "uploads in 24 hours",
    "types": "types of files",
    "messages": "messages",
    "invites": "invitations",
    "rooms": "new rooms",
    "lifetime": "you stay logged on for at most",
    "max_sessions": "log-ons at the same time",
    "overflow": "with one log-on too many",
    "hours": "you may log on at",
    "networks": "you may log on from the networks",
}
_BYTES = frozenset({"max_file", "upload_per_day"})
_SECONDS = frozenset({"lifetime"})
_HIDDEN = frozenset({"sources", "until", "timezone"})
NOT_ENFORCED = frozenset({"call_minutes", "concurrent_calls", "ends_when_away", "per_kind"})
"""Settings of the policy that no part enforces yet (docs/enforcement.md): nobody is told that they hold."""


@dataclass(frozen=True)
class Asker:
    """What a command may use: who asks, custody's answers, the zone of times. Nothing else."""

    person: str
    custody: Custody
    zone: ZoneInfo


async def _help(_asker: Asker, _arguments: Mapping[str, str]) -> Reply:
    return Reply("help", {"problem": "", "usage": "", **help_values(COMMANDS)})


async def _why(asker: Asker, arguments: Mapping[str, str]) -> Reply:
    feature, kind = arguments["feature"], arguments.get("room")
    if feature not in _SUMMARIES and not feature.startswith("gateway."):
        near = difflib.get_close_matches(feature, _SUMMARIES, 3, 0.4)
        return _sorry(f"There is no feature {feature}.", f"Did you mean {', '.join(near)}?" if near else "")
    if kind is not None and kind not in KINDS:
        return _sorry(f"There is no kind of room {kind}.", f"It is one of {', '.join(KINDS)}.")
    answer = await asker.custody.why(asker.person, feature, kind)
    changes = answer.get("changes_at")
    return Reply(
        "why",
        {
            "feature": feature,
            "what": _SUMMARIES.get(feature, f"use {feature}"),
            "kind": kind or "",
            "allowed": answer.get("decision") == "allow",
            "reason": as_str(answer.get("reason")),
            "rules": _named_rules(answer),
            "changes": _moment(changes, asker.zone) if changes else "",
            "policy": as_str(answer.get("policy"))[:12],
        },
    )


def _named_rules(answer: dict[str, Any]) -> list[dict[str, str]]:
    """Return the deciding rules with their places, where custody tells them."""
    places = {
        as_str(as_dict(note).get("id") or as_dict(note).get("rule")): as_str(as_dict(note).get("place"))
        for note in as_list(answer.get("deciding"))
    }
    return [{"id": str(rule), "place": places.get(str(rule), "")} for rule in as_list(answer.get("rules"))]


async def _me(asker: Asker, _arguments: Mapping[str, str]) -> Reply:
    answer = await asker.custody.me(asker.person)
    features = [entry for entry in map(as_dict, as_list(answer.get("features"))) if as_str(entry.get("id"))]
    usual = {kind for entry in features for kind in as_list(entry.get("in")) if isinstance(kind, str)}
    allowed = [_feature(entry, asker.zone, usual) for entry in features if entry.get("allowed")]
    denied = [
        as_str(entry.get("id")) for entry in features if not entry.get("allowed") and entry.get("id") != "unknown"
    ]
    return Reply(
        "me",
        {
            "person": asker.person,
            "allowed": allowed,
            "denied": denied,
            "limits": _settings(as_dict(answer.get("limits"))),
            "session": _settings(as_dict(answer.get("session"))),
            "readers": [str(reader) for reader in as_list(answer.get("readers"))],
            "policy": as_str(answer.get("policy"))[:12],
        },
    )


def _feature(entry: dict[str, Any], zone: ZoneInfo, usual: set[str]) -> dict[str, str]:
    """Return one line; where the feature is allowed is said only if others are allowed in more kinds of room."""
    kinds = [kind for kind in KINDS if kind in as_list(entry.get("in"))]
    where = "" if not kinds or usual.issubset(kinds) else ", ".join(kinds)
    name, until = as_str(entry.get("id")), entry.get("until")
    return {
        "id": name,
        "what": _SUMMARIES.get(name, f"use {name}"),
        "where": where,
        "until": _moment(until, zone) if until is not None else "",
    }


def _settings(settings: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": _WORDS.get(name, name), "value": _value(name, value)}
        for name, value in settings.items()
        if name not in _HIDDEN | NOT_ENFORCED and value is not None and value not in ({}, [])
    ]


def _value(name: str, value: Any) -> str:
    if isinstance(value, int) and name in _BYTES | _SECONDS:
        for unit, size in _SIZES if name in _BYTES else _TIMES:
            if value >= size and value % (size // 10) == 0:
                return f"{value / size:g} {unit}"
        return f"{value} {'bytes' if name in _BYTES else 's'}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(inner) for inner in value)
    return str(value).replace("_", " ")


def _moment(value: Any, zone: ZoneInfo) -> str:
    """Return a time for people; takes POSIX seconds and ISO texts."""
    try:
        at = datetime.fromtimestamp(value, zone) if isinstance(value, int | float) else datetime.fromisoformat(value)
        return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")
    except (ValueError, TypeError, OverflowError, OSError):
        return str(value)


def _sorry(problem: str, usage: str = "") -> Reply:
    return Reply("help", {"problem": problem, "usage": usage, **help_values(COMMANDS)})


COMMANDS: tuple[Command[Asker], ...] = (
    Command("help", (), "Lists these commands.", Permission.LOCAL_PEOPLE, _help),
    Command(
        "why",
        (
            Argument("feature", "a feature of the policy, such as file.image or call.video"),
            Argument("room", "a kind of room: direct, private, public or external", required=False),
        ),
        "Says whether you may use a feature, by which rule, and when that changes.",
        Permission.LOCAL_PEOPLE,
        _why,
    ),
    Command(
        "me",
        (),
        "Says what you may do and until when, your limits, how long you stay logged on, and who reads the journal.",
        Permission.LOCAL_PEOPLE,
        _me,
    ),
)


async def answer(asker: Asker, text: str) -> Reply:
    """Answer what a person wrote; every failure is an answer as well."""
    parsed = parse(COMMANDS, text)
    if isinstance(parsed, NotParsed):
        return _sorry(parsed.problem, f"Write it as {parsed.usage}" if parsed.usage else "")
    try:
        return await parsed.command.handler(asker, parsed.arguments)
    except ServerError as error:
        said = error.error if error.errcode and not error.passing else "Ask again in a moment."
        return _sorry("I cannot answer that now.", said)
