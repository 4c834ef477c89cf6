"""What one person may do, feature by feature and by kind of room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charter.catalogue import names
from charter.verdict import Decision, Verdict, combine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.compiled import Compiled
    from charter.policy.model import RoomKind

KINDS: Final[tuple[RoomKind, ...]] = ("private", "direct", "public", "external")

_NOT_IN_ROOMS: Final = ("profile.", "presence", "directory.", "device.", "gateway.")
"""What is done elsewhere than in rooms, so that no server of a room needs to list it."""


def overview(compiled: Compiled, user: str, now: float) -> dict[str, dict[RoomKind, Verdict]]:
    """Return feature -> kind of room -> verdict, for every feature that the policy can name.

    In external rooms a feature needs a server that lists it for this person, as it does when it is judged;
    the most generous server counts. To whom no server is open, no feature is allowed there.

    Args:
        compiled: the policy.
        user: MXID.
        now: POSIX seconds.
    """
    features = names(compiled.networks)
    federated = {feature: _federated(compiled, user, feature, now) for feature in features}
    anything = _most_generous(federated.values())
    found: dict[str, dict[RoomKind, Verdict]] = {}
    for feature in features:
        verdicts = {kind: compiled.decide(user, feature, kind, now) for kind in KINDS}
        theirs = anything if feature.startswith(_NOT_IN_ROOMS) else federated[feature]
        if feature.startswith("external."):
            verdicts = {kind: combine([theirs, mine] if mine.allowed else [theirs]) for kind, mine in verdicts.items()}
        elif not compiled.is_exempt(user):
            verdicts["external"] = combine([verdicts["external"], theirs])
        found[feature] = verdicts
    return found


def _federated(compiled: Compiled, user: str, feature: str, now: float) -> Verdict:
    """Return whether some server lists a feature for a person."""
    listed = "external.join" if feature == "room.join" else feature
    verdicts = [compiled.decide_server(user, listed, server, now) for server in compiled.servers(listed)]
    nowhere = Verdict(
        Decision.DENY,
        feature,
        (),
        f"Nothing in the policy opens {feature} with another server to you.",
        since=float("-inf"),
    )
    return _most_generous([*verdicts, nowhere])


def _most_generous(verdicts: Iterable[Verdict]) -> Verdict:
    """Return an allowance that lasts longest, else the denial that ends first."""

    def rank(verdict: Verdict) -> tuple[int, float]:
        until = float("inf") if verdict.until is None else verdict.until
        return verdict.decision, -until if verdict.allowed else until

    return min(verdicts, key=rank)
