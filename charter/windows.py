"""When a rule applies: its `until` and its recurring window, as intervals of POSIX seconds.

A recurring window is read on the wall clock of its time zone: it holds at every moment whose local
weekday and time lie inside, so daylight saving neither skips nor doubles an hour of work. A window over
midnight belongs to the day on which it starts.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from charter.policy.values import MINUTES_A_DAY, end_of

if TYPE_CHECKING:
    from charter.policy.model import During
    from charter.policy.values import Window

ALWAYS: Final = float("-inf")
NEVER: Final = float("inf")
_HORIZON: Final = 9
"""Days that are searched for the next boundary: a week, and a day to either side."""


class Span(NamedTuple):
    """Whether a rule applies, and the interval ``[since, until)`` in which that answer holds."""

    active: bool
    since: float
    until: float


FOREVER: Final = Span(active=True, since=ALWAYS, until=NEVER)


def zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the time zone of a checked IANA name."""
    return zoneinfo.ZoneInfo(name)


def expiry(until: dt.date | dt.datetime | None, timezone: str) -> float:
    """Return the POSIX seconds at which a rule with this `until` ends, or infinity."""
    return NEVER if until is None else end_of(until, zone(timezone)).timestamp()


@dataclass(slots=True)
class Recurring:
    """A weekly recurring window.

    Attributes:
        days: weekdays on which it starts; Monday is 0.
        hours: part of the day.
        tz: its time zone.
    """

    days: frozenset[int]
    hours: Window
    tz: zoneinfo.ZoneInfo
    _last: Span = field(default=Span(active=False, since=NEVER, until=ALWAYS), compare=False)

    @staticmethod
    def of(during: During, default_timezone: str) -> Recurring:
        """Build the window of a `during`."""
        return Recurring(during.days, during.hours, zone(during.timezone or default_timezone))

    def active(self, now: float) -> bool:
        """Return whether the local wall clock lies inside."""
        local = dt.datetime.fromtimestamp(now, self.tz)
        minute, day = local.hour * 60 + local.minute, local.weekday()
        start, end = self.hours.start, self.hours.end
        if not self.hours.wraps:
            return start <= minute < end and day in self.days
        return (minute >= start and day in self.days) or (minute < end and (day - 1) % 7 in self.days)

    def span(self, now: float) -> Span:
        """Return whether it holds now, and between which moments that stays so.

        The bounds are boundaries of the window or changes of the clock; at each the answer may change.
        """
        last = self._last
        if last.since <= now < last.until:
            return last
        bounds = self._bounds(now)
        active = self.active(now)
        after = next((b for b in bounds if b > now and self.active(b) != active), NEVER)
        before = next(
            (b for b in reversed(bounds) if b <= now and self.active(b) == active != self.active(b - 1)), ALWAYS
        )
        if before == ALWAYS and after != NEVER:
            before = bounds[0]
        self._last = fresh = Span(active, before, after if after != NEVER or self._unchanging() else bounds[-1])
        return fresh

    def _unchanging(self) -> bool:
        return len(self.days) == 7 and self.hours.end - self.hours.start == MINUTES_A_DAY  # noqa: PLR2004 - a week

    def _bounds(self, now: float) -> list[float]:
        """Return the moments around now at which the answer may change, sorted."""
        today = dt.datetime.fromtimestamp(now, self.tz).date()
        found: set[float] = set()
        for offset in range(-_HORIZON, _HORIZON + 1):
            midnight = dt.datetime.combine(today + dt.timedelta(days=offset), dt.time(), self.tz)
            for minutes in (0, self.hours.start, self.hours.end % MINUTES_A_DAY):
                wall = midnight.replace(hour=minutes // 60, minute=minutes % 60)
                found.add(wall.timestamp())
                found.add(wall.replace(fold=1).timestamp())
            found.update(self._clock_change(midnight))
        return sorted(found)

    def _clock_change(self, midnight: dt.datetime) -> list[float]:
        """Return the moment in this day at which the clock changes, if there is one."""
        low, high = int(midnight.timestamp()), int((midnight + dt.timedelta(days=1)).timestamp())
        before = self._offset(low)
        if before == self._offset(high):
            return []
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        return [float(high)]

    def _offset(self, at: int) -> dt.timedelta | None:
        return dt.datetime.fromtimestamp(at, self.tz).utcoffset()


@dataclass(frozen=True, slots=True)
class Validity:
    """When a rule applies: until its end, and in its window.

    Attributes:
        end: POSIX seconds at which the rule ends, or infinity.
        window: the recurring window, or None.
    """

    end: float = NEVER
    window: Recurring | None = None

    @staticmethod
    def of(until: dt.date | dt.datetime | None, during: During | None, timezone: str) -> Validity:
        """Build the validity of a rule in a policy of this time zone."""
        window = None if during is None else Recurring.of(during, timezone)
        return Validity(expiry(until, timezone), window)

    @property
    def timeless(self) -> bool:
        """Whether the rule applies at every moment."""
        return self.end == NEVER and self.window is None

    def span(self, now: float) -> Span:
        """Return whether the rule applies now, and between which moments that stays so."""
        if now >= self.end:
            return Span(active=False, since=self.end, until=NEVER)
        if self.window is None:
            return Span(active=True, since=ALWAYS, until=self.end)
        inner = self.window.span(now)
        return inner if inner.until <= self.end else Span(inner.active, inner.since, self.end)
