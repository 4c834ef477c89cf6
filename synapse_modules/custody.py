"""Custody: the outbox, policy distribution, custody's own records and the bots' HTTP API, as one Synapse module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse_modules._api_health import HealthCalls
from synapse_modules._api_people import PeopleCalls
from synapse_modules._api_policy import PolicyCalls
from synapse_modules._api_records import RecordCalls
from synapse_modules._api_router import PREFIX, Api
from synapse_modules._config import CharterConfig, parse_config
from synapse_modules._processes import Attendant
from synapse_modules._recorders import Watchman, record_configuration, watch_admin_requests
from synapse_modules._runtime import Runtime

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi

    from synapse_modules._api_router import Route


class Custody:
    """Registers the API and the recorders; keeps nothing itself."""

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        self.runtime = Runtime.of(config, api)
        record_configuration(self.runtime)
        watch_admin_requests(self.runtime)
        self.attendant = Attendant(self.runtime)
        self.watchman = Watchman(self.runtime)
        api.register_web_resource(PREFIX, Api(self.runtime, routes(self.runtime)))

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block; see :func:`synapse_modules._config.parse_config`."""
        return parse_config(config)


def routes(runtime: Runtime) -> tuple[Route, ...]:
    """Return every call of the API; docs/reference/api.md is generated from them."""
    return (
        *PolicyCalls(runtime).routes,
        *HealthCalls(runtime).routes,
        *RecordCalls(runtime).routes,
        *PeopleCalls(runtime).routes,
    )
