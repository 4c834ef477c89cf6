"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

_MAX_DOUBLINGS = 16


@dataclass
class Backoff:
    """Exponential back-off with jitter; a wait that the server asked for is a lower bound.

    Attributes:
        first: seconds of the first wait, before jitter.
        most: longest wait in seconds, before jitter.
    """

    first: float = 0.5
    most: float = 60.0
    attempts: int = 0
    _random: random.Random = field(default_factory=random.Random)

    def next(self, asked: float | None = None) -> float:
        """Return the seconds to wait after one more failure."""
        wait = min(self.most, self.first * 2.0 ** min(self.attempts, _MAX_DOUBLINGS))
        self.attempts += 1
        wait *= 0.5 + self._random.random() / 2
        return max(wait, asked or 0.0)

    def reset(self) -> None:
        """Forget failures after a success."""
        self.attempts = 0
