"""The rules that concern one feature, as masks: which apply to a person costs what the person's groups cost.

Every rule of a table has one bit. For each group bit the table knows the rules that name it in `to` and in
`except`; joining those of a person's groups gives the rules that match, whatever the number of all rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from charter.catalogue import summary
from charter.verdict import Decision, Verdict
from charter.windows import ALWAYS, NEVER, Validity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Names = tuple[str, ...]

MAX_INTERNED: Final = 4096
"""Verdicts that a table keeps; more than that and it starts again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule as a table sees it.

    Attributes:
        id: rule id.
        allow: whether it allows; else it denies.
        to: names.
        except_: names.
        kinds: kinds of room, or None for all.
        validity: when it applies.
        shadow: recorded, not enforced.
        reason: the rule's own words, or None.
        place: ``file:line``, or "".
    """

    id: str
    allow: bool
    to: tuple[str, ...]
    except_: tuple[str, ...] = ()
    kinds: tuple[str, ...] | None = None
    validity: Validity = Validity()  # noqa: RUF009 - frozen
    shadow: bool = False
    reason: str | None = None
    place: str = ""


class Selection:
    """Which of some rules apply to a person at a moment, by masks; rule n is bit n.

    Args:
        rules: `to`, `except` and validity of each.
        bits: group id -> bit.
    """

    __slots__ = (
        "_except_bits",
        "_except_of",
        "_except_users",
        "_timed",
        "_to_bits",
        "_to_of",
        "_to_users",
        "_validities",
    )

    def __init__(self, rules: Sequence[tuple[Names, Names, Validity]], bits: Mapping[str, int]) -> None:
        self._to_of: dict[int, int] = {}
        self._to_users: dict[str, int] = {}
        self._except_of: dict[int, int] = {}
        self._except_users: dict[str, int] = {}
        for index, (to, except_, _) in enumerate(rules):
            self._add(to, 1 << index, bits, self._to_of, self._to_users)
            self._add(except_, 1 << index, bits, self._except_of, self._except_users)
        self._to_bits = sum(self._to_of)
        self._except_bits = sum(self._except_of)
        self._validities = tuple(validity for _, _, validity in rules)
        self._timed = mask_of(not validity.timeless for validity in self._validities)

    @staticmethod
    def _add(names: Names, rule: int, bits: Mapping[str, int], of: dict[int, int], users: dict[str, int]) -> None:
        for name in names:
            if name.startswith("@"):
                users[name] = users.get(name, 0) | rule
            elif name in bits:
                bit = bits[name]
                of[bit] = of.get(bit, 0) | rule

    def match(self, user: str, groups: int) -> int:
        """Return the rules whose `to` names the person and whose `except` does not."""
        found = self._to_users.get(user, 0) if self._to_users else 0
        left, of = groups & self._to_bits, self._to_of
        while left:
            bit = left & -left
            left ^= bit
            found |= of[bit]
        if not found:
            return 0
        if self._except_users:
            found &= ~self._except_users.get(user, 0)
        left, of = groups & self._except_bits, self._except_of
        while left:
            bit = left & -left
            left ^= bit
            found &= ~of[bit]
        return found

    def active(self, matched: int, now: float) -> tuple[int, float, float]:
        """Return which of the matching rules apply now, and between which moments that stays so."""
        timed = matched & self._timed
        if not timed:
            return matched, ALWAYS, NEVER
        since, until = ALWAYS, NEVER
        while timed:
            bit = timed & -timed
            timed ^= bit
            validity = self._validities[bit.bit_length() - 1]
            end = validity.end
            if now >= end:
                matched ^= bit
                since = max(end, since)
                continue
            until = min(end, until)
            if validity.window is not None:
                applies, begins, ends = validity.window.span(now)
                since, until = max(since, begins), min(until, ends)
                if not applies:
                    matched ^= bit
        return matched, since, until

    def changes(self, rules: int, now: float) -> list[float]:
        """Return when each of these rules begins or ceases to apply next; infinity where it never does."""
        found = []
        for index in bits_of(rules):
            validity = self._validities[index]
            active, _, until = validity.span(now)
            found.append(until if active or until < validity.end else NEVER)
        return found


class Table:
    """The rules of one feature, and the verdicts they give.

    Args:
        feature: catalogue id, for the verdicts.
        entries: the rules.
        bits: group id -> bit.
        default: what to say when nothing allows.
    """

    __slots__ = ("_default", "_enforced", "_interned", "_kinds", "allows", "entries", "feature", "selection")

    def __init__(
        self, feature: str, entries: Sequence[Entry], bits: Mapping[str, int], default: str | None = None
    ) -> None:
        self.feature = feature
        self.entries = tuple(sorted(entries, key=lambda entry: entry.id))
        self.selection = Selection([(entry.to, entry.except_, entry.validity) for entry in self.entries], bits)
        self.allows = mask_of(entry.allow for entry in self.entries)
        self._enforced = mask_of(not entry.shadow for entry in self.entries)
        self._kinds = {
            kind: mask_of(entry.kinds is None or kind in entry.kinds for entry in self.entries)
            for kind in ("direct", "private", "public", "external")
        }
        self._default = default or f"Nothing in the policy allows you to {summary(feature)} ({feature})."
        self._interned: dict[tuple[int, float, float], Verdict] = {}

    def decide(self, user: str, groups: int, kind: str, now: float, only: int = -1) -> Verdict:
        """Return the verdict on this feature for a person with these group bits.

        Args:
            user: MXID.
            groups: bits of the person's groups.
            kind: kind of room.
            now: POSIX seconds.
            only: mask of the rules that count; default all.
        """
        selection = self.selection
        matched = selection.match(user, groups) & self._kinds[kind] & only
        active, since, until = selection.active(matched, now)
        key = (matched, since, until)
        verdict = self._interned.get(key)
        if verdict is None:
            if len(self._interned) >= MAX_INTERNED:
                self._interned = {}
            verdict = self._interned[key] = self._verdict(matched, active, now, since, until)
        return verdict

    def _verdict(self, matched: int, active: int, now: float, since: float, until: float) -> Verdict:
        """Make the verdict; the rules that match and the interval determine all of it."""
        enforced, shadow = active & self._enforced, active & ~self._enforced
        denies, allows = enforced & ~self.allows, enforced & self.allows
        shadow_denies, shadow_allows = shadow & ~self.allows, shadow & self.allows
        would_have = 0
        if not denies and allows:
            would_have = shadow_denies
        elif not denies and not shadow_denies:
            would_have = shadow_allows
        deciding = self._of(denies or allows)
        allowed = bool(allows and not denies)
        changes = NEVER if until == NEVER else self._changes(matched & self._enforced, denies, allows, now)
        return Verdict(
            Decision.ALLOW if allowed else Decision.DENY,
            self.feature,
            tuple([entry.id for entry in deciding]),
            "" if allowed else self._reason(deciding),
            tuple([entry.id for entry in self._of(would_have)]) if would_have else (),
            since,
            None if changes == NEVER else changes,
            tuple([entry.place for entry in deciding]),
            expires=None if until == NEVER else until,
        )

    def _changes(self, enforced: int, denies: int, allows: int, now: float) -> float:
        """Return before which moment the decision cannot change.

        A denial lasts as long as the last of its rules, an allowance until a denial begins or its last rule ends,
        and where no rule applies nothing changes before one that allows begins.
        """
        changes = self.selection.changes
        if denies:
            return max(changes(denies, now))
        if not allows:
            return min(changes(enforced & self.allows, now), default=NEVER)
        return min(max(changes(allows, now)), *changes(enforced & ~self.allows, now), NEVER)

    def _reason(self, denies: Sequence[Entry]) -> str:
        given = [entry.reason for entry in denies if entry.reason]
        if given:
            return given[0]
        if denies:
            return f"A rule of the policy does not let you {summary(self.feature)} ({self.feature})."
        return self._default

    def _of(self, mask: int) -> list[Entry]:
        return [self.entries[index] for index in bits_of(mask)]


def bits_of(mask: int) -> Iterator[int]:
    """Yield the indices of the bits that are set, lowest first."""
    while mask:
        bit = mask & -mask
        mask ^= bit
        yield bit.bit_length() - 1


def mask_of(flags: Iterable[bool]) -> int:
    """Return the integer whose bit n is set if flag n is true."""
    return sum(1 << index for index, flag in enumerate(flags) if flag)
