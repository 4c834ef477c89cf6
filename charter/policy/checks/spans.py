"""Whether one rule holds at all times at which another does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charter.policy.values import MINUTES_A_DAY, end_of

if TYPE_CHECKING:
    from charter.policy import model as m
    from charter.policy.checks.context import Context

_WEEK: Final = 7 * MINUTES_A_DAY


def outlasts(context: Context, rule: m.Rule, other: m.Rule) -> bool:
    """Return whether a rule certainly holds whenever the other does: it ends no earlier, and its window is wider."""
    if rule.until is not None and (
        other.until is None or end_of(rule.until, context.zone) < end_of(other.until, context.zone)
    ):
        return False
    mine: m.During | None = getattr(rule, "during", None)
    theirs: m.During | None = getattr(other, "during", None)
    if mine is None or minutes(mine) == minutes_of_week():
        return True
    own = context.policy.organisation.timezone
    if theirs is None or (mine.timezone or own) != (theirs.timezone or own):
        return False
    return not minutes(theirs) & ~minutes(mine)


def minutes(during: m.During) -> int:
    """Return the minutes of the week in which a window is open, as bits; Monday 00:00 is bit 0."""
    start, end = during.hours.start, during.hours.end
    length = end - start if not during.hours.wraps else end + MINUTES_A_DAY - start
    found = 0
    for day in during.days:
        found |= ((1 << length) - 1) << (day * MINUTES_A_DAY + start)
    return (found | found >> _WEEK) & minutes_of_week()


def minutes_of_week() -> int:
    """Return every minute of the week."""
    return (1 << _WEEK) - 1
