"""The strictest values of limits and sessions that match a person, with the rules that set each."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from charter.table import MAX_INTERNED, Selection
from charter.windows import NEVER, Recurring, Validity, zone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from charter.policy.model import Limit, SessionKinds, SessionRule
    from charter.policy.values import Allowance, IPNetwork, Window

Sources = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What limits a person; a setting that is None has no limit in the policy: the server's default holds.

    Attributes:
        max_file: bytes of one upload.
        upload_per_day: bytes in 24 hours.
        types: content types, the intersection of all that match; empty: none.
        messages: allowance.
        invites: allowance.
        rooms: allowance.
        call_minutes: allowance.
        concurrent_calls: count.
        sources: setting -> ids of the rules that set it.
        until: POSIX seconds at which it may change next, or None.
    """

    max_file: int | None = None
    upload_per_day: int | None = None
    types: tuple[str, ...] | None = None
    messages: Allowance | None = None
    invites: Allowance | None = None
    rooms: Allowance | None = None
    call_minutes: Allowance | None = None
    concurrent_calls: int | None = None
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: float | None = None

    def allows_type(self, content_type: str) -> bool:
        """Return whether a content type may be sent."""
        plain = content_type.split(";", 1)[0].strip().lower()
        return self.types is None or any(_within(plain, pattern) for pattern in self.types)


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What holds for a person's log-ons; None: the server's default.

    Attributes:
        lifetime: seconds.
        ends_when_away: seconds without a request.
        max_sessions: count.
        overflow: ``refuse_newest`` (the stricter) or ``end_oldest``.
        hours: windows of the day, all of which must hold, in the organisation's time zone.
        networks: the client must be inside one of them; empty: none; None: from anywhere.
        per_kind: kind of client -> count.
        sources: setting -> ids of the rules that set it.
        until: POSIX seconds at which it may change next, or None.
        timezone: IANA zone of `hours`.
    """

    lifetime: int | None = None
    ends_when_away: int | None = None
    max_sessions: int | None = None
    overflow: str | None = None
    hours: tuple[Window, ...] = ()
    networks: tuple[IPNetwork, ...] | None = None
    per_kind: Mapping[str, int] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: float | None = None
    timezone: str = "UTC"

    def open_at(self, now: float) -> bool:
        """Return whether the hours allow a log-on."""
        return all(self._recurring(window).active(now) for window in self.hours)

    def hours_end(self, now: float) -> float | None:
        """Return the POSIX seconds at which the hours close or open next, or None."""
        ends = [self._recurring(window).span(now).until for window in self.hours]
        return min((end for end in ends if end != NEVER), default=None)

    def from_network(self, address: str | None) -> bool:
        """Return whether the networks allow a log-on from an address; an unreadable address is in none."""
        if self.networks is None:
            return True
        try:
            parsed = ipaddress.ip_address((address or "").split("%", 1)[0])
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(mapped.version == network.version and mapped in network for network in self.networks)

    def _recurring(self, window: Window) -> Recurring:
        return Recurring(_ALL_DAYS, window, zone(self.timezone))


_ALL_DAYS: Final = frozenset(range(7))
_Terms = TypeVar("_Terms")
_Rule = TypeVar("_Rule", "Limit", "SessionRule")


class Strictest(Generic[_Rule, _Terms]):
    """Rules of one kind, and the terms that those matching a person give together.

    Args:
        rules: the rules; shadow rules set nothing.
        bits: group id -> bit.
        timezone: the organisation's.
        merge: makes the terms of the matching rules, which are sorted by id.
    """

    __slots__ = ("_interned", "_merge", "_rules", "_selection")

    def __init__(
        self,
        rules: Sequence[_Rule],
        bits: Mapping[str, int],
        timezone: str,
        merge: Callable[[Sequence[_Rule], float | None], _Terms],
    ) -> None:
        self._rules: tuple[_Rule, ...] = tuple(
            sorted((rule for rule in rules if rule.stage == "enforce"), key=lambda rule: rule.id)
        )
        named = [(rule.to, rule.except_, Validity.of(rule.until, None, timezone)) for rule in self._rules]
        self._selection = Selection(named, bits)
        self._merge: Callable[[Sequence[_Rule], float | None], _Terms] = merge
        self._interned: dict[tuple[int, float], _Terms] = {}

    def of(self, user: str, groups: int, now: float) -> _Terms:
        """Return the terms of a person with these group bits."""
        matched, _, until = self._selection.active(self._selection.match(user, groups), now)
        key = (matched, until)
        terms = self._interned.get(key)
        if terms is None:
            if len(self._interned) >= MAX_INTERNED:
                self._interned = {}
            active = [rule for index, rule in enumerate(self._rules) if matched >> index & 1]
            terms = self._interned[key] = self._merge(active, None if until == NEVER else until)
        return terms


def merge_limits(rules: Sequence[Limit], until: float | None) -> Limits:
    """Return the strictest value of each setting.

    Of two rates the stricter allows less per second, and of equal ones the smaller count.
    """
    sources: Sources = {}
    values: dict[str, Any] = {}
    for setting in (f.name for f in fields(Limits)):
        given = [(rule.id, getattr(rule, setting)) for rule in rules if getattr(rule, setting, None) is not None]
        if setting in {"sources", "until"} or not given:
            continue
        if setting == "types":
            values["types"] = _intersect([value for _, value in given], _narrower_type)
            sources["types"] = tuple(name for name, _ in given)
        else:
            values[setting], sources[setting] = _least(given)
    return Limits(**values, sources=sources, until=until)


def session_merger(timezone: str) -> Callable[[Sequence[SessionRule], float | None], SessionTerms]:
    """Return the function that merges session rules of a policy with this time zone."""

    def merge(rules: Sequence[SessionRule], until: float | None) -> SessionTerms:
        sources: Sources = {}
        values: dict[str, Any] = {}
        for setting in ("lifetime", "ends_when_away", "max_sessions"):
            given = [(rule.id, getattr(rule, setting)) for rule in rules if getattr(rule, setting) is not None]
            if given:
                values[setting], sources[setting] = _least(given)
        overflow = [(rule.id, rule.overflow) for rule in rules if rule.overflow is not None]
        if overflow:
            values["overflow"] = max(value for _, value in overflow)
            sources["overflow"] = tuple(name for name, value in overflow if value == values["overflow"])
        hours = [(rule.id, rule.hours) for rule in rules if rule.hours is not None]
        if hours:
            values["hours"] = tuple(dict.fromkeys(window for _, window in hours))
            sources["hours"] = tuple(name for name, _ in hours)
        networks = [(rule.id, rule.networks) for rule in rules if rule.networks is not None]
        if networks:
            values["networks"] = _intersect([value for _, value in networks], _narrower_network)
            sources["networks"] = tuple(name for name, _ in networks)
        kinds = [(rule.id, rule.per_kind) for rule in rules if rule.per_kind is not None]
        values["per_kind"] = _per_kind(kinds, sources)
        return SessionTerms(**values, sources=sources, until=until, timezone=timezone)

    return merge


def _per_kind(rules: Sequence[tuple[str, SessionKinds]], sources: Sources) -> dict[str, int]:
    merged: dict[str, int] = {}
    for kind in ("web", "desktop", "mobile"):
        given = [(name, getattr(kinds, kind)) for name, kinds in rules if getattr(kinds, kind) is not None]
        if given:
            merged[kind], sources[f"per_kind.{kind}"] = _least(given)
    return merged


def _least(given: Sequence[tuple[str, Any]]) -> tuple[Any, tuple[str, ...]]:
    strictest = min((value for _, value in given), key=_strictness)
    return strictest, tuple(name for name, value in given if _strictness(value) == _strictness(strictest))


def _strictness(value: Any) -> tuple[float, int]:
    if isinstance(value, int):
        return (value, 0)
    return (value.count / value.per_seconds, value.count)


def _intersect(sets: Sequence[Sequence[Any]], narrower: Callable[[Any, Any], Any]) -> tuple[Any, ...]:
    """Return the intersection of unions of nested things (type patterns, networks)."""
    result = tuple(dict.fromkeys(sets[0]))
    for other in sets[1:]:
        common = (narrower(mine, theirs) for mine in result for theirs in other)
        result = tuple(dict.fromkeys(found for found in common if found is not None))
    return result


def _within(inner: str, outer: str) -> bool:
    outer = outer.lower()
    return outer in {"*", "*/*", inner} or (outer.endswith("/*") and inner.startswith(outer[:-1]))


def _narrower_type(mine: str, theirs: str) -> str | None:
    mine, theirs = mine.lower(), theirs.lower()
    if _within(mine, theirs):
        return mine
    return theirs if _within(theirs, mine) else None


def _narrower_network(mine: Any, theirs: Any) -> Any:
    if mine.version != theirs.version:
        return None
    if mine.subnet_of(theirs):
        return mine
    return theirs if theirs.subnet_of(mine) else None
