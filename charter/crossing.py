"""What may cross to and from one outside network: the gateway's grants, by address, direction and kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from charter.catalogue import gateway_feature
from charter.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from charter.compiled import Compiled
    from charter.policy.model import GatewayGrant, Policy
    from charter.table import Entry
    from charter.verdict import Verdict

_CARRIED: Final = {"chat.edit": "edit", "chat.delete": "delete", "chat.reaction": "reaction"}


def carried_as(feature: str) -> str:
    """Return the word of `carry` that a message's feature needs."""
    family = feature.partition(".")[0]
    return _CARRIED.get(feature) or {"file": "file", "call": "call"}.get(family, "text")


class Crossing:
    """The rules of one network.

    Args:
        network: network id.
        policy: the policy.
        entries: rules of the feature ``gateway.<network>``; their denials are vetoes here.
        compiled: tells who is who.
    """

    __slots__ = ("_always", "_compiled", "_gates", "network", "table")

    def __init__(self, network: str, policy: Policy, entries: Sequence[Entry], compiled: Compiled) -> None:
        self.network = network
        self._compiled = compiled
        gates = {grant.id: grant for grant in policy.gateway.grants if grant.network == network}
        feature = gateway_feature(network)
        default = f"Nothing in the policy opens the network {network} with this address to you ({feature})."
        kept = [entry for entry in entries if not entry.allow or entry.id in gates]
        self.table = Table(feature, kept, compiled.bits, default)
        self._gates = tuple((1 << i, gates[e.id]) for i, e in enumerate(self.table.entries) if e.allow)
        self._always = ~sum(bit for bit, _ in self._gates)

    def judge(self, user: str, address: str | None, direction: str, carried: Iterable[str], now: float) -> Verdict:
        """Return whether a person may exchange something with an address.

        Args:
            user: MXID of the person inside.
            address: the outside address; None: any that the rules name.
            direction: ``out`` or ``in``.
            carried: words of `carry`, all of which must be carried.
            now: POSIX seconds.
        """
        words = set(carried)
        fitting = sum(bit for bit, gate in self._gates if fits(gate, address, direction, words))
        return self.table.decide(user, self._compiled.groups_of(user), "external", now, only=self._always | fitting)


def fits(gate: GatewayGrant, address: str | None, direction: str, carried: set[str]) -> bool:
    """Return whether a gateway grant covers an address, a direction and what is carried."""
    patterns = gate.destinations if direction == "out" else gate.senders
    if direction not in gate.directions or not carried.issubset(gate.carry):
        return False
    return bool(patterns) if address is None else any(matches(address, pattern) for pattern in patterns)


def matches(address: str, pattern: str) -> bool:
    """Return whether an address fits a pattern; ``*`` is the only wildcard, case is ignored."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    return re.fullmatch(expression, address, re.IGNORECASE | re.DOTALL) is not None
