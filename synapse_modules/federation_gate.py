"""The federation gate: closed to every server that the policy does not name, both ways, without a restart.

Synapse keeps references to its whitelist, so the list is changed in place and never replaced (see ``_interposed.py``).
Who may talk to a named server is the gatekeeper's matter.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from synapse.config._base import ConfigError

from charter.windows import expiry
from synapse_modules._config import CharterConfig, parse_config
from synapse_modules._interposed import FEDERATION_WHITELIST
from synapse_modules._metrics import FALLBACKS
from synapse_modules._runtime import Runtime

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi

    from charter.policy.model import Policy
    from synapse_modules._bundle import Active

logger = logging.getLogger(__name__)


class FederationGate:
    """Keeps the whitelist of this process in step with the policy."""

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        self._runtime = Runtime.of(config, api)
        self._server_name = api.server_name
        whitelist = api._hs.config.federation.federation_domain_whitelist  # noqa: SLF001 - see _interposed.FEDERATION_WHITELIST
        if not isinstance(whitelist, dict):
            FALLBACKS.labels(FEDERATION_WHITELIST.name).inc()
            msg = "Charter needs `federation_domain_whitelist: []` in homeserver.yaml; the policy names the servers"
            raise ConfigError(msg)
        self._whitelist: dict[str, bool] = whitelist
        self._apply(frozenset())
        self._runtime.on_policy(self._on_policy)
        api.looping_background_call(self._refresh, 30_000, desc="charter_federation_gate", run_on_all_instances=True)

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block; see :func:`synapse_modules._config.parse_config`."""
        return parse_config(config)

    async def _refresh(self) -> None:
        """Close what a rule's ``until`` has ended since the policy was applied."""
        compiled = self._runtime.compiled()
        if compiled is not None:
            self._apply(named_servers(compiled.policy, self._runtime.now()))

    def _on_policy(self, active: Active) -> None:
        self._apply(named_servers(active.policy_set.policy, self._runtime.now()))

    def _apply(self, servers: frozenset[str]) -> None:
        wanted = servers | {self._server_name}
        for gone in [server for server in self._whitelist if server not in wanted]:
            del self._whitelist[gone]
        for server in wanted:
            self._whitelist[server] = True


def named_servers(policy: Policy, now: float) -> frozenset[str]:
    """Return the servers of the rules that are in force; a shadow rule opens nothing."""
    timezone = policy.organisation.timezone
    return frozenset(
        rule.server.lower()
        for rule in policy.federation.servers
        if rule.stage == "enforce" and now < expiry(rule.until, timezone)
    )
