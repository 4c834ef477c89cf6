"""Rules that can never apply, or whose effect another rule takes away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charter import catalogue
from charter.people import EVERYONE
from charter.policy import model as m

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charter.policy.checks.context import Context
    from charter.policy.shape import Path

KINDS: Final[tuple[m.RoomKind, ...]] = ("direct", "private", "public", "external")
EXAMPLES: Final = 5
"""How many names or places a message lists."""

_SHARED: Final = frozenset(m.Rule.model_fields) | {"to", "except_"}


def check_rules(context: Context) -> None:
    """Every rule can apply, to somebody, at some time, and says something."""
    for path, rule in context.rules():
        if context.expired(rule):
            help_ = "remove the rule or give it a later date"
            context.report("expired-rule", (*path, "until"), f"`{rule.id}` ended and does nothing any more", help_)
        _check_people(context, path, rule)
        _check_content(context, path, rule)


def _check_people(context: Context, path: Path, rule: m.Rule) -> None:
    to: tuple[str, ...] = getattr(rule, "to", ())
    exceptions: tuple[str, ...] = getattr(rule, "except_", ())
    for key, names in (("to", to), ("except", exceptions)):
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                context.report(
                    "repeated-name", (*path, key, index), f"`{name}` stands twice in `{key}`", "once is enough"
                )
            seen.add(name)
    if to and exceptions and context.audience.covered(to, exceptions):
        context.report(
            "never-applies",
            (*path, "except"),
            f"`{rule.id}` applies to nobody: `except` takes away everybody in `to`",
            "make `except` smaller",
        )
    elif to and all(context.audience.nobody(name) for name in to):
        context.report(
            "never-applies",
            (*path, "to"),
            f"`{rule.id}` applies to nobody: its groups are empty",
            "name a group that has members",
        )


def _check_content(context: Context, path: Path, rule: m.Rule) -> None:
    if isinstance(rule, m.Grant):
        if not rule.allow and not rule.deny:
            context.report(
                "empty-rule", path, f"`{rule.id}` neither allows nor denies anything", "give it `allow` or `deny`"
            )
        if rule.in_ == ():
            context.report(
                "empty-rule", (*path, "in"), f"`{rule.id}` holds in no kind of room", "leave `in` out for all kinds"
            )
    elif isinstance(rule, m.Limit | m.SessionRule):
        settings = [name for name in type(rule).model_fields if name not in _SHARED and getattr(rule, name) is not None]
        if not settings:
            context.report("empty-rule", path, f"`{rule.id}` sets nothing", "give it a setting, or remove it")


def check_shadowed(context: Context) -> None:
    """Every allowing grant gives somebody something that no deny takes away again."""
    denied = _denials(context)
    for index, grant in enumerate(context.policy.grants):
        if grant.allow and not context.expired(grant):
            _check_grant(context, index, grant, denied)


Denials = dict[tuple[str, str, str], int]


def _denials(context: Context) -> Denials:
    """Return (feature, kind of room, name) -> index of a deny that holds always and without exception."""
    denied: Denials = {}
    for index, grant in enumerate(context.policy.grants):
        conditional = grant.except_ or grant.during or grant.until or grant.stage != "enforce"
        if not grant.deny or conditional:
            continue
        for feature in catalogue.expand_all(grant.deny, context.networks):
            for kind in grant.in_ if grant.in_ is not None else KINDS:
                for name in grant.to:
                    denied.setdefault((feature, kind, name), index)
    return denied


def _check_grant(context: Context, index: int, grant: m.Grant, denied: Denials) -> None:
    if not denied:
        return
    covering = [context.audience.covering(name) for name in grant.to]
    kinds = grant.in_ if grant.in_ is not None else KINDS
    features = catalogue.expand_all(grant.allow, context.networks)
    culprits: set[int] = set()
    for feature in features:
        for kind in kinds:
            for names in covering:
                deny = next((denied[feature, kind, name] for name in names if (feature, kind, name) in denied), None)
                if deny is None:
                    return
                culprits.add(deny)
    if culprits:
        ids = ", ".join(f"`{context.policy.grants[one].id}`" for one in sorted(culprits))
        places = [(("grants", one, "deny"), f"denied by `{context.policy.grants[one].id}`") for one in sorted(culprits)]
        context.report(
            "shadowed-rule",
            ("grants", index, "allow"),
            f"`{grant.id}` gives nobody anything: {ids} denies all of it",
            "any deny beats every allow; remove one, or use `except`",
            *places[:EXAMPLES],
        )


def check_barriers(context: Context) -> None:
    """No wall runs through a group or a person."""
    for index, barrier in enumerate(context.policy.barriers):
        path: Path = ("barriers", index, "between")
        left, right = barrier.between
        if left == right:
            message = f"both sides of `{barrier.id}` are `{left}`"
            context.report("barrier-overlap", (*path, 1), message, "name two different groups")
        elif EVERYONE in barrier.between or right in context.audience.covering(left):
            _report_overlap(context, path, barrier.id, (left, right) if left != EVERYONE else (right, left))
        elif left in context.audience.covering(right):
            _report_overlap(context, path, barrier.id, (right, left))
        elif shared := sorted(_shared(context, barrier)):
            names = ", ".join(f"`{name}`" for name in shared[:EXAMPLES])
            names += f" and {len(shared) - EXAMPLES} more" if len(shared) > EXAMPLES else ""
            message = f"{names} would be on both sides of `{barrier.id}`"
            help_ = "take them out of a group or put them into `except`"
            context.report("barrier-shares-people", path, message, help_)


def _report_overlap(context: Context, path: Path, rule: str, sides: tuple[str, str]) -> None:
    message = f"`{rule}` splits a group from itself: `{sides[0]}` is part of `{sides[1]}`"
    context.report("barrier-overlap", path, message, "name groups that share nobody")


def _shared(context: Context, barrier: m.Barrier) -> Iterator[str]:
    people = context.audience.people
    excepted: set[str] = set()
    for name in barrier.except_:
        excepted |= people(name)
    left, right = (people(name) for name in barrier.between)
    yield from (left & right) - excepted
