"""Published modules that gate messages, loaded beside Charter as peers of the send path."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from synapse_invite_checker import InviteChecker

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.module_api import ModuleApi


class InviteCheckerPeer(InviteChecker):  # type: ignore[misc]  # the peer ships no types
    """synapse-invite-checker, without the hooks that only its authors' fork of Synapse has."""

    def __init__(self, config: Any, api: ModuleApi) -> None:
        register = api.register_third_party_rules_callbacks
        api.register_third_party_rules_callbacks = _only_known(register)  # type: ignore[method-assign]  # for its construction only
        super().__init__(config, api)
        api.register_third_party_rules_callbacks = register  # type: ignore[method-assign]  # and back


def _only_known(register: Callable[..., None]) -> Callable[..., None]:
    known = inspect.signature(register).parameters

    def call(**callbacks: Any) -> None:
        register(**{name: callback for name, callback in callbacks.items() if name in known})

    return call
