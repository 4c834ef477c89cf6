"""How often: messages, invitations and rooms, counted by each process for itself.

A person who uses several processes at once may do up to so many times as much (the documented overshoot); nothing here
waits for a database. Counters are dropped with the process.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

from charter.verdict import Decision, Verdict

if TYPE_CHECKING:
    from typing import Literal

    from charter.judge import Compiled

    Counted = Literal["messages", "invites", "rooms"]

REMEMBERED: Final = 50_000
WORDS: Final = {"messages": "for messages", "invites": "for invitations", "rooms": "for new rooms"}


class Rates:
    """Sliding windows by person and setting, bounded."""

    def __init__(self) -> None:
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def take(  # noqa: PLR0913, PLR0917 - what is counted, whose, when
        self, compiled: Compiled, user: str, setting: Counted, feature: str, now: float, count: int = 1
    ) -> Verdict | None:
        """Count an act and return None, or return the denial of one act too many, which is not counted.

        Args:
            compiled: the policy.
            user: who acts.
            setting: what is counted.
            feature: what the denial names.
            now: POSIX seconds.
            count: how many at once.
        """
        if compiled.is_exempt(user):
            return None
        limits = compiled.limits(user, now)
        allowance = getattr(limits, setting)
        if allowance is None:
            return None
        times = self._window((user, setting), now - allowance.per_seconds)
        if len(times) + count > allowance.count:
            rules = limits.sources.get(setting, ())
            free_at = times[0] + allowance.per_seconds if times else None
            reason = f"Your limit is {allowance} {WORDS[setting]}."
            return Verdict(
                Decision.DENY, feature, rules, reason, until=free_at, places=tuple(map(compiled.place, rules))
            )
        times.extend([now] * count)
        return None

    def _window(self, key: tuple[str, str], since: float) -> deque[float]:
        times = self._times.get(key)
        if times is None:
            times = self._times[key] = deque()
            if len(self._times) > REMEMBERED:
                self._times.popitem(last=False)
        else:
            self._times.move_to_end(key)
        while times and times[0] <= since:
            times.popleft()
        return times
