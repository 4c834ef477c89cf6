"""A Synapse module for tests: makes an internal look as in some other version, so that fallbacks can be watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi


class OtherCheckEventAllowed:
    """Gives ``check_event_allowed`` one more parameter, as a later Synapse might."""

    def __init__(self, config: dict[str, Any], api: ModuleApi) -> None:  # noqa: ARG002 - Synapse's signature
        rules = api._callbacks.third_party_event_rules
        original = rules.check_event_allowed

        async def check_event_allowed(event: Any, context: Any, batch: Any = None) -> Any:  # noqa: ARG001 - stands for another version
            return await original(event, context)

        rules.check_event_allowed = check_event_allowed  # type: ignore[method-assign] # that is the point

    @staticmethod
    def parse_config(config: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration unchanged."""
        return config
