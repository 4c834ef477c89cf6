"""A circuit breaker for each directory server: one that failed is left alone for a while."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Remembers until when a server is not to be asked. Safe to use from several threads.

    Without it every log-on would wait for the time-out of a server that hangs.

    Args:
        hold: seconds for which a failed server is left alone.
        clock: monotonic seconds.
    """

    def __init__(self, hold: float, clock: Callable[[], float]) -> None:
        self._hold = hold
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_until: float | None = None

    def may_try(self) -> bool:
        """Return whether the server may be asked now.

        After the hold exactly one caller gets through; the others wait for its result.
        """
        with self._lock:
            if self._closed_until is None:
                return True
            now = self._clock()
            if now < self._closed_until:
                return False
            self._closed_until = now + self._hold
            return True

    def failed(self) -> None:
        """Note that the server did not answer."""
        with self._lock:
            self._closed_until = self._clock() + self._hold

    def succeeded(self) -> None:
        """Note that the server answered."""
        with self._lock:
            self._closed_until = None

    @property
    def holding(self) -> bool:
        """Whether the server is being left alone."""
        with self._lock:
            return self._closed_until is not None and self._clock() < self._closed_until
