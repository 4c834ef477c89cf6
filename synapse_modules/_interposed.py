"""Every place where Charter replaces an internal of Synapse, with the versions it was tested on.

An interposition checks the internal's presence and signature when the process starts. Where it is not what is
expected, its row says what happens instead: something logged, and never weaker.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synapse_modules._metrics import FALLBACKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse.events import EventBase
    from synapse.events.snapshot import UnpersistedEventContextBase
    from synapse.module_api import ModuleApi
    from synapse.types import StateMap

    Answer = tuple[bool, dict[str, Any] | None]
    Interposed = Callable[[EventBase, UnpersistedEventContextBase], Awaitable[Answer]]
    Public = Callable[[EventBase, StateMap[EventBase]], Awaitable[Answer]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Interposition:
    """One replaced internal.

    Attributes:
        name: label of the metric and of docs/enforcement.md.
        where: module and attribute.
        why: what the public interface cannot do.
        fallback: what happens when the internal changed.
        tested: Synapse versions on which the integration tests ran.
    """

    name: str
    where: str
    why: str
    fallback: str
    tested: tuple[str, ...]


CHECK_EVENT_ALLOWED = Interposition(
    name="check_event_allowed",
    where="synapse.module_api.callbacks.third_party_event_rules_callbacks"
    ".ThirdPartyEventRulesModuleApiCallbacks.check_event_allowed",
    why="the public hook loads the room's whole state for every event",
    fallback="the public check_event_allowed hook",
    tested=("1.163.2",),
)
FEDERATION_WHITELIST = Interposition(
    name="federation_domain_whitelist",
    where="synapse.config.federation.FederationConfig.federation_domain_whitelist",
    why="the list of servers cannot change without a restart",
    fallback="federation as configured in homeserver.yaml; the gate refuses to start when that is open to all",
    tested=("1.163.2",),
)
PASSWORD_CHECKS = Interposition(
    name="password_checks",
    where="synapse.handlers.auth.PasswordAuthProvider.check_auth and .check_3pid_auth",
    why="an unreachable directory would read as a wrong password, and a success may never be faked",
    fallback="nothing is replaced; an outage reads as a wrong password, no check becomes weaker",
    tested=("1.163.2",),
)
"""Done by ``_login_interposed.py``."""

ADMIN_REQUESTS = Interposition(
    name="admin_requests",
    where="synapse.http.server.JsonResource._async_render",
    why="no hook sees the admin API, its failed authentications and registrations by shared secret among it",
    fallback="Synapse does not start: admin requests would go unrecorded",
    tested=("1.163.2",),
)
"""Done by ``_recorders.py``."""

INTERPOSITIONS = (CHECK_EVENT_ALLOWED, FEDERATION_WHITELIST, PASSWORD_CHECKS, ADMIN_REQUESTS)
"""All of them; docs/enforcement.md lists the same rows."""


def interpose_check_event_allowed(api: ModuleApi, ours: Interposed, public: Public) -> bool:
    """Judge each event before its room's state is loaded.

    Args:
        api: the module API.
        ours: called with event and context; its denial or replacement is final, its permission is handed on to
            the callbacks of other modules where there are any.
        public: registered as the ordinary hook when the internal is not what is expected.

    Returns:
        Whether the internal was replaced.
    """
    rules = getattr(getattr(api, "_callbacks", None), "third_party_event_rules", None)
    original = getattr(rules, "check_event_allowed", None)
    if not _as_expected(rules, original):
        FALLBACKS.labels(CHECK_EVENT_ALLOWED.name).inc()
        logger.warning("Synapse's %s changed; using the slower public hook", CHECK_EVENT_ALLOWED.where)
        api.register_third_party_rules_callbacks(check_event_allowed=public)
        return False
    assert rules is not None
    assert original is not None

    async def check_event_allowed(event: EventBase, context: UnpersistedEventContextBase) -> Answer:
        allowed, replacement = await ours(event, context)
        if not allowed or replacement is not None:
            return allowed, replacement
        if rules._check_event_allowed_callbacks:  # noqa: SLF001 - checked by _as_expected; see the module's docstring
            answer: Answer = await original(event, context)
            return answer
        return True, None

    rules.check_event_allowed = check_event_allowed
    return True


def _as_expected(rules: object, original: object) -> bool:
    if not inspect.iscoroutinefunction(original):
        return False
    if not isinstance(getattr(rules, "_check_event_allowed_callbacks", None), list):
        return False
    return list(inspect.signature(original).parameters) == ["event", "context"]
