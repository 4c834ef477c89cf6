"""Rules that can never apply, or whose effect another rule takes away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charter.people import EVERYONE
from charter.policy import model as m

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charter.policy.checks.context import Context
    from charter.policy.shape import Path

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
