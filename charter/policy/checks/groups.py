"""Groups: do they select anybody, do they include themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from charter.people import EVERYONE
from charter.policy.checks.names import check_mxid
from charter.policy.translate import did_you_mean
from charter.policy.values import show

if TYPE_CHECKING:
    from charter.policy.checks.context import Context
    from charter.policy.model import DirectorySelector
    from charter.policy.shape import Path

_DN: Final = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9.-]*\s*=[^,]*(,\s*[A-Za-z0-9][A-Za-z0-9.-]*\s*=([^,\\]|\\.)*)*")


def check_groups(context: Context) -> None:
    """Every group can have members, includes groups that exist, and never itself."""
    for name, group in context.policy.groups.items():
        path: Path = ("groups", name)
        if name == EVERYONE:
            context.report("reserved-id", path, "`everyone` is built in: all local people", "give the group another id")
        if group.directory is not None:
            _check_selector(context, (*path, "directory"), group.directory)
        for index, user in enumerate(group.users):
            if user.startswith("@"):
                check_mxid(context, (*path, "users", index), user, local=True)
            else:
                own = f"@{user}:{context.policy.organisation.server_name}"
                context.report(
                    "bad-user", (*path, "users", index), f"{show(user)} is not a user id", f"did you mean `{own}`?"
                )
        for index, included in enumerate(group.groups):
            if included not in context.groups:
                help_ = (
                    "`everyone` needs no group"
                    if included == EVERYONE
                    else did_you_mean(included, sorted(context.groups), "define it under `groups`")
                )
                context.report("unknown-group", (*path, "groups", index), f"there is no group {show(included)}", help_)
        if context.audience.nobody(name):
            help_ = (
                "nobody in the directory matches"
                if context.around.snapshot
                else "give it `directory`, `users` or `groups`"
            )
            context.report("empty-group", path, f"nobody is in the group `{name}`", help_)
    _check_cycles(context)


def _check_selector(context: Context, path: Path, selector: DirectorySelector) -> None:
    if selector.attribute is not None and selector.equals is None:
        context.report(
            "incomplete-selector",
            (*path, "attribute"),
            "`attribute` without `equals` selects nobody",
            "add `equals` with the value",
        )
    if selector.equals is not None and selector.attribute is None:
        context.report(
            "incomplete-selector",
            (*path, "equals"),
            "`equals` without `attribute` selects nobody",
            "add `attribute` with its name",
        )
    if selector.under is None and selector.member_of is None and selector.attribute is None and selector.equals is None:
        context.report(
            "incomplete-selector",
            path,
            "a selector without conditions selects nobody",
            "give it `under`, `member_of` or `attribute`",
        )
    for key, dn in (("under", selector.under), ("member_of", selector.member_of)):
        if dn is not None and not _DN.fullmatch(dn):
            context.report(
                "bad-dn",
                (*path, key),
                f"{show(dn)} is not a distinguished name",
                "write it as `cn=traders,ou=groups,dc=acme,dc=example`",
            )


def _check_cycles(context: Context) -> None:
    """Report each cycle once, at the inclusion that closes it."""
    groups = context.policy.groups
    done: set[str] = set()
    for start in groups:
        if start in done:
            continue
        trail: list[str] = [start]
        waiting: list[list[tuple[int, str]]] = [list(enumerate(groups[start].groups))]
        while waiting:
            if not waiting[-1]:
                waiting.pop()
                done.add(trail.pop())
                continue
            index, name = waiting[-1].pop(0)
            if name in trail:
                circle = " → ".join([*trail[trail.index(name) :], name])
                context.report(
                    "cyclic-group",
                    ("groups", trail[-1], "groups", index),
                    f"the group `{name}` includes itself: {circle}",
                    "take one of the inclusions out",
                )
            elif name in groups and name not in done:
                trail.append(name)
                waiting.append(list(enumerate(groups[name].groups)))
