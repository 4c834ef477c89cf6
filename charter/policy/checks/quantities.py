"""Limits and sessions: which value wins, and values that make no sense."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from charter.people import EVERYONE
from charter.policy.checks.spans import outlasts
from charter.policy.model import Limit, SessionRule
from charter.policy.values import Allowance, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charter.policy.checks.context import Context
    from charter.policy.shape import Path

    Scale = tuple[Callable[[Any], float], Callable[[Any], str]]

SHORTEST_AWAY: Final = 60
SHORTEST_CLOSE: Final = 3600
SHORTEST_AGE: Final = 300


def _per_second(value: Allowance) -> float:
    return value.count / value.per_seconds


LIMITS: Final[Mapping[str, Scale]] = {
    "max_file": (float, format_size),
    "upload_per_day": (float, format_size),
    "messages": (_per_second, str),
    "invites": (_per_second, str),
    "rooms": (_per_second, str),
    "call_minutes": (_per_second, str),
    "concurrent_calls": (float, str),
}
SESSIONS: Final[Mapping[str, Scale]] = {
    "lifetime": (float, format_duration),
    "ends_when_away": (float, format_duration),
    "max_sessions": (float, str),
}
"""Setting -> how to compare it (the smaller is the stricter) and how to write it."""


@dataclass(frozen=True, slots=True)
class _Setting:
    """One setting of one rule."""

    path: Path
    rule: Limit | SessionRule
    value: Any


def check_overlaps(context: Context) -> None:
    """Where two rules set the same thing for the same people, say which value counts."""
    for kind, settings in (("limits", LIMITS), ("sessions", SESSIONS)):
        rules = [
            ((kind, index), rule)
            for index, rule in enumerate(context.rules_at((kind,)))
            if isinstance(rule, Limit | SessionRule) and rule.stage == "enforce" and not context.expired(rule)
        ]
        for name in settings:
            values = [_Setting(path, rule, getattr(rule, name)) for path, rule in rules]
            _check_setting(context, name, [one for one in values if one.value is not None], settings[name])
    _check_types(context)


def _check_setting(context: Context, name: str, settings: list[_Setting], scale: Scale) -> None:
    """Report each value that a stricter one, which holds always and without exception, puts out of effect."""
    strictness, write = scale
    strictest: dict[str, _Setting] = {}
    for one in settings:
        if not one.rule.except_ and one.rule.until is None:
            for who in one.rule.to:
                best = strictest.setdefault(who, one)
                if strictness(one.value) < strictness(best.value):
                    strictest[who] = one
    for one in settings:
        for index, who in enumerate(one.rule.to):
            rivals = [strictest[cover] for cover in context.audience.covering(who) if cover in strictest]
            winner = min(rivals, key=lambda rival: (strictness(rival.value), rival.path), default=one)
            if strictness(winner.value) >= strictness(one.value):
                winner = _stricter_for_all(context, one, who, settings, strictness) or one
            if winner is not one:
                mine, theirs = write(one.value), write(winner.value)
                context.report(
                    "overlapping-limits",
                    (*one.path, "to", index),
                    f"for `{who}` the `{name}` of `{one.rule.id}`, {mine}, never counts: `{winner.rule.id}` says {theirs}",
                    "the strictest value counts; use `except` in the other rule if this one should",
                    ((*winner.path, name), f"{theirs} here"),
                )


def _stricter_for_all(
    context: Context, one: _Setting, who: str, settings: Sequence[_Setting], strictness: Callable[[Any], float]
) -> _Setting | None:
    """Return the strictest other value that everybody of a name has as well, person by person, or None."""
    people = context.audience.known(who)
    people = people & ~context.audience.all_of(one.rule.except_) if people else None
    if not people:
        return None
    rivals = [
        other
        for other in settings
        if strictness(other.value) < strictness(one.value)
        and outlasts(context, other.rule, one.rule)
        and not people & ~context.audience.certainly(other.rule.to, other.rule.except_)
    ]
    return min(rivals, key=lambda rival: (strictness(rival.value), rival.path), default=None)


def _check_types(context: Context) -> None:
    """Two lists of content types for the same name that have nothing in common leave no type at all."""
    by_name: dict[str, list[tuple[int, Sequence[str]]]] = defaultdict(list)
    for index, limit in enumerate(context.policy.limits):
        if limit.types is not None and limit.stage == "enforce" and not context.expired(limit):
            for name in {*limit.to}:
                by_name[name].append((index, limit.types))
    for name in sorted(by_name):
        first, *others = by_name[name]
        for index, types in others[:1]:
            if types and first[1] and not any(_meet(one, other) for one in types for other in first[1]):
                context.report(
                    "no-type-left",
                    ("limits", index, "types"),
                    f"for `{name}` no content type is left: `{context.policy.limits[first[0]].id}` allows none of these",
                    "lists of several limits are intersected",
                    (("limits", first[0], "types"), "the other list"),
                )


def _meet(one: str, other: str) -> bool:
    kinds, theirs = one.split("/"), other.split("/")
    return all(mine == their or "*" in (mine, their) for mine, their in zip(kinds, theirs, strict=False))


def check_sessions(context: Context) -> None:
    """Session rules that end everybody at once, or say nothing."""
    for index, rule in enumerate(context.policy.sessions):
        path: Path = ("sessions", index)
        away = rule.ends_when_away
        if away is not None and away < SHORTEST_AWAY:
            context.report(
                "too-short",
                (*path, "ends_when_away"),
                f"{format_duration(away)} would end sessions of people who are there",
                "`ends_when_away` is at least 1m: clients ask about twice a minute",
            )
        if rule.lifetime is not None and away is not None and away >= rule.lifetime:
            context.report(
                "no-effect",
                (*path, "ends_when_away"),
                "`ends_when_away` is not shorter than `lifetime` and never counts",
                "make it shorter, or remove it",
            )
        if rule.networks == ():
            context.report(
                "empty-rule",
                (*path, "networks"),
                f"with an empty list of networks `{rule.id}` lets nobody log on",
                "name the networks, or leave `networks` out",
            )
        if rule.overflow is not None and rule.max_sessions is None and rule.per_kind is None:
            context.report(
                "no-effect",
                (*path, "overflow"),
                "`overflow` without `max_sessions` or `per_kind` says nothing",
                "add `max_sessions`",
            )


def check_directory(context: Context) -> None:
    """A directory that is briefly away must not stop the company."""
    directory = context.policy.directory
    least = {"close": SHORTEST_CLOSE, "no_logon": SHORTEST_AGE, "alert": 0}[directory.then]
    if directory.max_age < least:
        context.report(
            "hasty-directory",
            ("directory", "max_age"),
            f"after {format_duration(directory.max_age)} without the directory `then: {directory.then}` stops everybody",
            f"with `{directory.then}`, allow at least {format_duration(least)}",
        )


def check_relays(context: Context) -> None:
    """Each name has one relay."""
    chosen: dict[str, int] = {}
    relays = context.policy.relays
    for index, relay in enumerate(relays):
        if context.expired(relay) or relay.stage != "enforce":
            continue
        for position, name in enumerate(relay.to):
            first = chosen.setdefault(name, index)
            if relays[first].turn != relay.turn:
                words = "everyone" if name == EVERYONE else f"`{name}`"
                context.report(
                    "ambiguous-relay",
                    ("relays", index, "to", position),
                    f"{words} already has the relay `{relays[first].turn}`",
                    "name each group in one relay",
                    (("relays", first), "there"),
                )
