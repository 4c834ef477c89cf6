"""Charter inside Synapse: one entry of ``modules`` loads every part in order."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from synapse_modules._config import CharterConfig, parse_config

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi

__all__ = ["Charter"]

PARTS = (
    ("synapse_modules.custody", "Custody"),
    ("synapse_modules.directory_login", "DirectoryLogin"),
    ("synapse_modules.sessions", "Sessions"),
    ("synapse_modules.gatekeeper", "Gatekeeper"),
    ("synapse_modules.federation_gate", "FederationGate"),
)
"""The parts in the order in which they are loaded; each is a Synapse module of its own as well."""


class Charter:
    """The whole of Charter: constructs each part with the same configuration block.

    Raises:
        ImportError: a part is missing; Synapse does not start without it.
    """

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        self.parts: list[Any] = []
        for module, name in PARTS:
            if name == "DirectoryLogin" and config.login is None:
                continue
            self.parts.append(getattr(import_module(module), name)(config, api))

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block; see :func:`synapse_modules._config.parse_config`."""
        return parse_config(config)
