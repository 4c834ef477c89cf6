"""What a judgement says: an ordered decision, the rules behind it, a reason and obligations."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Decision(enum.IntEnum):
    """Ordered by severity: combining judgements takes the highest."""

    ALLOW = 0
    DENY = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement. Instances are interned by the judge; never mutate or compare by identity.

    Attributes:
        decision: allow or deny.
        feature: the catalogue feature that decided (for a denial: the first one refused).
        rules: ids of the deciding rules, sorted: all matching denies, else all matching allows, else
            empty (default deny).
        reason: one sentence for the person; never empty for a denial.
        would_have: ids of shadow rules that would have changed the decision, sorted.
        since: POSIX seconds from which this verdict holds, rules and reason included.
        until: POSIX seconds at which the decision may change next, as far as the policy tells, or None.
        places: ``file:line`` of each of `rules`, in the same order.
        exempt: the person is one of ``compliance.exempt_admins``; the use raises an alarm.
        expires: POSIX seconds at which other rules may decide, be it the same decision, or None; caches keep it no
            longer. Never after `until`.
    """

    decision: Decision
    feature: str
    rules: tuple[str, ...]
    reason: str
    would_have: tuple[str, ...] = ()
    since: float = 0.0
    until: float | None = None
    places: tuple[str, ...] = ()
    exempt: bool = False
    expires: float | None = None

    @property
    def allowed(self) -> bool:
        """Whether the act may happen."""
        return self.decision is Decision.ALLOW


FREE: Final = Verdict(Decision.ALLOW, "", (), "", since=float("-inf"))
"""The verdict on what nobody may be refused: hanging up, declining, leaving."""


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on an act that needs all of these: the first denial, else all allowances.

    ``would_have`` names the shadow rules with which the whole would have ended differently. A denial may change
    only when every part that is denied has changed, an allowance as soon as one part does.
    """
    if len(verdicts) == 1:
        return verdicts[0]
    if not verdicts:
        return FREE
    denied = [verdict for verdict in verdicts if verdict.decision]
    flips: Iterable[Verdict] = verdicts
    if denied:
        flipping = all(v.would_have for v in denied) and not any(v.would_have for v in verdicts if not v.decision)
        flips = denied if flipping else ()
    places = {rule: place for v in verdicts for rule, place in zip(v.rules, v.places, strict=False)}
    rules = denied[0].rules if denied else tuple(sorted({rule for v in verdicts for rule in v.rules}))
    return Verdict(
        decision=Decision.DENY if denied else Decision.ALLOW,
        feature=(denied or verdicts)[0].feature,
        rules=rules,
        reason=denied[0].reason if denied else "",
        would_have=tuple(sorted({rule for v in flips for rule in v.would_have})),
        since=max(v.since for v in verdicts),
        until=_last(v.until for v in denied) if denied else _first(v.until for v in verdicts),
        places=tuple(places.get(rule, "") for rule in rules),
        exempt=any(v.exempt for v in verdicts),
        expires=_first(v.expires for v in verdicts),
    )


def _first(moments: Iterable[float | None]) -> float | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _last(moments: Iterable[float | None]) -> float | None:
    latest: float | None = None
    for moment in moments:
        if moment is None:
            return None
        latest = moment if latest is None else max(latest, moment)
    return latest
