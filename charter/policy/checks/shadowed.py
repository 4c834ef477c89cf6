"""Grants whose every allowance other grants deny: to the same people, in the same rooms, at the same times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charter import catalogue
from charter.policy.checks.rules import EXAMPLES
from charter.policy.checks.spans import outlasts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from charter.policy import model as m
    from charter.policy.checks.context import Context

KINDS: Final[tuple[m.RoomKind, ...]] = ("direct", "private", "public", "external")

Denials = dict[tuple[str, str], list[int]]
"""(feature, kind of room) -> indices of the grants that deny it to somebody at some time."""


def check_shadowed(context: Context) -> None:
    """Every allowing grant gives somebody something that no deny takes away again."""
    denials = _denials(context)
    for index, grant in enumerate(context.policy.grants):
        if denials and grant.allow and not context.expired(grant):
            _check_grant(context, index, grant, denials)


def _denials(context: Context) -> Denials:
    found: Denials = {}
    for index, grant in enumerate(context.policy.grants):
        if grant.deny and grant.stage == "enforce" and not context.expired(grant):
            for place in _places(context, grant, grant.deny):
                found.setdefault(place, []).append(index)
    return found


def _places(context: Context, grant: m.Grant, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for feature in sorted(catalogue.expand_all(tuple(patterns), context.networks)):
        for kind in grant.in_ if grant.in_ is not None else KINDS:
            yield feature, kind


def _check_grant(context: Context, index: int, grant: m.Grant, denials: Denials) -> None:
    grants = context.policy.grants
    culprits: set[int] = set()
    known: dict[tuple[int, ...], frozenset[int]] = {}
    for place in _places(context, grant, grant.allow):
        denying = tuple(denials.get(place, ()))
        if denying not in known:
            always = {one: grants[one] for one in denying if outlasts(context, grants[one], grant)}
            known[denying] = _covering(context, grant, always)
        if not known[denying]:
            return
        culprits |= known[denying]
    if culprits:
        ids = ", ".join(f"`{grants[one].id}`" for one in sorted(culprits))
        verb = "denies" if len(culprits) == 1 else "deny"
        places = [(("grants", one, "deny"), f"denied by `{grants[one].id}`") for one in sorted(culprits)]
        context.report(
            "shadowed-rule",
            ("grants", index, "allow"),
            f"`{grant.id}` gives nobody anything: {ids} {verb} all of it",
            "any deny beats every allow; remove one, or use `except`",
            *places[:EXAMPLES],
        )


def _covering(context: Context, grant: m.Grant, denying: Mapping[int, m.Grant]) -> frozenset[int]:
    """Return the denials that together cover everybody of a grant, or none.

    A name is covered for certain by one denial without exception whose names include it; where a snapshot tells
    who is who, by all those that deny somebody, person by person.
    """
    audience = context.audience
    culprits: set[int] = set()
    anybody = False
    for name in grant.to:
        certain = (one for one, deny in denying.items() if not deny.except_ and audience.covered((name,), deny.to))
        first = next(certain, None)
        if first is not None:
            culprits.add(first)
            anybody = True
            continue
        left = audience.known(name)
        if left is None:
            return frozenset()
        left &= ~audience.all_of(grant.except_)
        anybody = anybody or bool(left)
        for one, deny in denying.items():
            hit = left & audience.certainly(deny.to, deny.except_)
            if hit:
                culprits.add(one)
                left &= ~hit
        if left:
            return frozenset()
    return frozenset(culprits) if anybody else frozenset()
