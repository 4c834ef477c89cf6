"""What each wildcard of a policy stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charter import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charter.policy.model import Policy


def patterns_of(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield rule id and pattern for every place of a policy where features are named."""
    for grant in policy.grants:
        for pattern in (*grant.allow, *grant.deny):
            yield grant.id, pattern
    for server in policy.federation.servers:
        for pattern in server.allow:
            yield server.id, pattern
    for service in policy.services:
        for pattern in service.allow:
            yield service.id, pattern
    bounds = policy.compliance.approvals_may_grant
    for pattern in bounds.features if bounds else ():
        yield "compliance.approvals_may_grant", pattern


def expansions(policy: Policy) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield rule id, wildcard and the features it stands for."""
    networks = tuple(network.id for network in policy.gateway.networks)
    for rule, pattern in patterns_of(policy):
        if pattern.endswith("*"):
            yield rule, pattern, catalogue.expand(pattern, networks)
