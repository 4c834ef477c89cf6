"""What a well-formed policy can still get wrong."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from charter.policy.checks.context import Context, Surroundings
from charter.policy.checks.groups import check_groups
from charter.policy.checks.names import check_names
from charter.policy.checks.outside import check_compliance, check_encryption, check_gateway, check_services
from charter.policy.checks.quantities import check_directory, check_overlaps, check_relays, check_sessions
from charter.policy.checks.rules import check_barriers, check_rules
from charter.policy.checks.shadowed import check_shadowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.policy.diagnostics import Diagnostic
    from charter.policy.merge import Merged
    from charter.policy.model import Policy

__all__ = ["BUT_NAMES", "CHECKS", "Check", "Defined", "Surroundings", "check", "check_names"]

Check = Callable[[Context], None]

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
BUT_NAMES = tuple(one for one in CHECKS if one is not check_names)


class Defined(NamedTuple):
    """What the files define, also where it did not parse.

    Attributes:
        groups: group ids.
        networks: network ids.
    """

    groups: frozenset[str]
    networks: tuple[str, ...]


def check(
    merged: Merged, policy: Policy, around: Surroundings, defined: Defined, checks: Iterable[Check] = CHECKS
) -> list[Diagnostic]:
    """Return what is wrong or doubtful.

    Args:
        merged: the tree that the policy was made from; its lists have the same indices.
        policy: the policy, perhaps without the parts that did not parse.
        around: what is known besides.
        defined: what rules may name.
        checks: which checks.
    """
    zone = zoneinfo.ZoneInfo(policy.organisation.timezone)
    context = Context(merged, policy, around, zone, defined.groups, defined.networks)
    for one in checks:
        one(context)
    return context.found
