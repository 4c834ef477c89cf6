"""Ethical walls: who must not meet whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charter.verdict import Decision, Verdict
from charter.windows import NEVER, Validity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.compiled import Compiled
    from charter.policy.model import Barrier


class Wall:
    """One barrier, compiled.

    Args:
        barrier: the rule.
        compiled: tells who is who.
    """

    __slots__ = ("_compiled", "_except", "_left", "_right", "barrier", "place", "validity")

    def __init__(self, barrier: Barrier, compiled: Compiled) -> None:
        self.barrier = barrier
        self.place = compiled.place(barrier.id)
        self.validity = Validity.of(barrier.until, None, compiled.timezone)
        self._compiled = compiled
        self._left, self._right = (_Side((name,), compiled) for name in barrier.between)
        self._except = _Side(barrier.except_, compiled)

    def parts(self, movers: Iterable[str], people: Iterable[str]) -> bool:
        """Return whether a mover must not meet one of these people, whatever the time."""
        left: set[str] = set()
        right: set[str] = set()
        for user in people:
            groups = self._compiled.groups_of(user)
            if self._except.has(user, groups):
                continue
            if self._left.has(user, groups):
                left.add(user)
            if self._right.has(user, groups):
                right.add(user)
        if not left or not right:
            return False
        return any((user in left and right - {user}) or (user in right and left - {user}) for user in movers)

    def judge(self, feature: str, movers: Iterable[str], people: Iterable[str], now: float) -> Verdict | None:
        """Return a denial (or, in shadow, an allowance with ``would_have``) if a mover meets the wrong person.

        Args:
            feature: what the verdict names.
            movers: who acts, is invited, or is brought into a new room.
            people: everybody concerned, movers included.
            now: POSIX seconds.
        """
        active, since, until = self.validity.span(now)
        if not active or not self.parts(movers, people):
            return None
        shadow = self.barrier.stage == "shadow"
        sides = " and ".join(self.barrier.between)
        return Verdict(
            decision=Decision.ALLOW if shadow else Decision.DENY,
            feature=feature,
            rules=() if shadow else (self.barrier.id,),
            reason="" if shadow else self.barrier.reason or f"The policy keeps {sides} apart.",
            would_have=(self.barrier.id,) if shadow else (),
            since=since,
            until=None if until == NEVER else until,
            expires=None if until == NEVER else until,
            places=() if shadow else (self.place,),
        )


class _Side:
    """One side of a wall, or those who may pass it."""

    __slots__ = ("_mask", "_users")

    def __init__(self, names: Iterable[str], compiled: Compiled) -> None:
        self._users = frozenset(name for name in names if name.startswith("@"))
        self._mask = sum(compiled.bits[name] for name in set(names) if name in compiled.bits)

    def has(self, user: str, groups: int) -> bool:
        return bool(groups & self._mask) or user in self._users
