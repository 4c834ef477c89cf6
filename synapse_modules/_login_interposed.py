"""Interposition on the password provider's check, so that "directory unreachable" reaches the person as a text.

Where: `synapse.handlers.auth.PasswordAuthProvider.check_auth(username, login_type, login_dict)` and
`check_3pid_auth(medium, address, password)`, on the one instance of `hs.get_password_auth_provider()`.
Why: an exception in a module's `check_auth` becomes "Invalid username or password", and a success may never be faked.
Tested with Synapse 1.163.2. Fallback where the signature differs: nothing is replaced, people read "Invalid username
or password" during an outage; no check becomes weaker.
"""

from __future__ import annotations

import contextvars
import inspect
import logging
from typing import TYPE_CHECKING, Any, Final

from synapse_modules._interposed import PASSWORD_CHECKS
from synapse_modules._metrics import FALLBACKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse.api.errors import SynapseError
    from synapse.module_api import ModuleApi

logger = logging.getLogger(__name__)

_EXPECTED: Final = {
    "check_auth": ["username", "login_type", "login_dict"],
    "check_3pid_auth": ["medium", "address", "password"],
}


class Attempts:
    """Hands the reason of a refused attempt from the module's check to the wrapped provider.

    `refuse` is called inside the check, while the wrapper of the same request waits for it.
    """

    def __init__(self) -> None:
        self._slot: contextvars.ContextVar[list[SynapseError] | None] = contextvars.ContextVar(
            "charter_login_attempt", default=None
        )

    def refuse(self, error: SynapseError) -> None:
        """Note the error that the person shall see. Without a wrapper around, nothing happens."""
        slot = self._slot.get()
        if slot is not None:
            slot.append(error)

    def interpose(self, api: ModuleApi) -> bool:
        """Wrap both checks; return False, after logging, where Synapse's are not the expected ones."""
        provider = api._hs.get_password_auth_provider()  # noqa: SLF001 - see the module's docstring
        originals = {name: getattr(provider, name, None) for name in _EXPECTED}
        for name, original in originals.items():
            fits = (
                inspect.iscoroutinefunction(original)
                and list(inspect.signature(original).parameters) == _EXPECTED[name]
            )
            if not fits:
                FALLBACKS.labels(PASSWORD_CHECKS.name).inc()
                logger.warning("PasswordAuthProvider.%s changed: outages will read as wrong passwords", name)
                return False
        for name, original in originals.items():
            setattr(provider, name, self._wrapped(original))
        return True

    def _wrapped(self, original: Any) -> Callable[..., Awaitable[Any]]:
        async def checked(*args: Any, **kwargs: Any) -> Any:
            slot: list[SynapseError] = []
            token = self._slot.set(slot)
            try:
                result = await original(*args, **kwargs)
            finally:
                self._slot.reset(token)
            if result is None and slot:
                raise slot[-1]
            return result

        return checked
