"""Custody: the outbox, policy distribution and the bots' HTTP API, as one Synapse module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse_modules._config import CharterConfig, parse_config
from synapse_modules._runtime import Runtime

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi


class Custody:
    """Registers the API and the recorders."""

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        self.runtime = Runtime.of(config, api)

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block; see :func:`synapse_modules._config.parse_config`."""
        return parse_config(config)
