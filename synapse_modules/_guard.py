"""The guard around every hook: a hook answers, refuses in words, or fails with its declared answer.

Nothing but a deliberate refusal (a ``SynapseError``) and a cancelled request leaves a guarded hook as an exception.
Logs name the hook and the kind of failure, never content.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from synapse.api.errors import SynapseError
from twisted.internet.defer import CancelledError

from synapse_modules._metrics import HOOK_FAILURES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse_modules._runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)

ALARM_EVERY_S = 600.0


class Guard:
    """Wraps hooks; one per process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._alarmed: dict[str, float] = {}

    def wrap(
        self, name: str, hook: Callable[P, Awaitable[R]], *, on_failure: Callable[[], R]
    ) -> Callable[P, Awaitable[R]]:
        """Return the guarded hook.

        Args:
            name: the hook's name, for logs, metrics and the alarm.
            hook: what answers.
            on_failure: gives (or raises, as ``SynapseError``) the answer when the hook fails by accident: closed
                for local acts; for what remote servers bring, open or stopped at the door.
        """

        @functools.wraps(hook)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return await hook(*args, **kwargs)
            except (SynapseError, CancelledError):
                raise
            except Exception as error:  # noqa: BLE001 - the one place where any failure becomes the declared answer
                self._failed(name, error)
            return on_failure()

        return guarded

    def _failed(self, name: str, error: Exception) -> None:
        HOOK_FAILURES.labels(name).inc()
        logger.error("hook %s failed and gave its declared answer: %s", name, type(error).__name__, exc_info=error)
        now = self._runtime.now()
        if now - self._alarmed.get(name, float("-inf")) < ALARM_EVERY_S:
            return
        self._alarmed[name] = now
        text = f"Charter's hook {name} failed ({type(error).__name__}); what it judged got the declared answer."
        self._runtime.outbox.put_soon("alarm", body={"code": "hook-failed", "text": text, "hook": name})
