"""What a well-formed policy can still get wrong."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING

from charter.policy.checks.context import Context, Surroundings
from charter.policy.checks.groups import check_groups
from charter.policy.checks.names import check_names
from charter.policy.checks.outside import check_compliance, check_encryption, check_gateway, check_services
from charter.policy.checks.quantities import check_directory, check_overlaps, check_relays, check_sessions
from charter.policy.checks.rules import check_barriers, check_rules, check_shadowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.policy.diagnostics import Diagnostic
    from charter.policy.merge import Merged
    from charter.policy.model import Policy

__all__ = ["Surroundings", "check"]

CHECKS = (
    check_names,
    check_groups,
    check_rules,
    check_shadowed,
    check_barriers,
    check_overlaps,
    check_sessions,
    check_directory,
    check_relays,
    check_gateway,
    check_services,
    check_compliance,
    check_encryption,
)


def check(
    merged: Merged, policy: Policy, around: Surroundings, groups: Iterable[str], networks: Iterable[str]
) -> list[Diagnostic]:
    """Return what is wrong or doubtful.

    Args:
        merged: the tree that the policy was made from; its lists have the same indices.
        policy: the policy, perhaps without the parts that did not parse.
        around: what is known besides.
        groups: every group id that the files define, also of groups that did not parse.
        networks: the same for networks.
    """
    zone = zoneinfo.ZoneInfo(policy.organisation.timezone)
    context = Context(merged, policy, around, zone, frozenset(groups), tuple(networks))
    for one in CHECKS:
        one(context)
    return context.found
