"""What a judgement says: an ordered decision, the rules behind it, a reason and obligations."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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
        since: POSIX seconds from which this verdict holds.
        until: POSIX seconds at which it may change next, or None.
        places: ``file:line`` of each of `rules`, in the same order.
        exempt: the person is one of ``compliance.exempt_admins``; the use raises an alarm.
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

    @property
    def allowed(self) -> bool:
        """Whether the act may happen."""
        return self.decision is Decision.ALLOW
