"""Names of people, features, networks and servers: do they exist, do they belong here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from charter import catalogue
from charter.people import EVERYONE, localpart_server
from charter.policy.translate import closest, did_you_mean
from charter.policy.values import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charter.policy.checks.context import Context
    from charter.policy.shape import Path

_MXID: Final = re.compile(r"@[^\s:@]+:[^\s:@]+(:[0-9]{1,5})?")
SERVER_NAME: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?"
)
"""Source: Matrix specification, appendices, "Server name"."""

REMOTE_ALLOWED: Final = frozenset({("grants",), ("federation", "servers"), ("barriers",)})
"""Rules that may name people of other servers; elsewhere such a name could never match."""


def check_names(context: Context) -> None:
    """Every name of a group or person, every feature and every network is one that exists."""
    for path, name, local in _people_named(context):
        _check_person(context, path, name, local=local)
    for path, pattern in _patterns(context):
        _check_feature(context, path, pattern)
    for index, grant in enumerate(context.policy.gateway.grants):
        if grant.network not in context.networks:
            help_ = did_you_mean(
                grant.network,
                context.networks,
                _list("the networks are", context.networks, "define it under `gateway.networks`"),
            )
            context.report(
                "unknown-network",
                ("gateway", "grants", index, "network"),
                f"there is no network {show(grant.network)}",
                help_,
            )
    _check_servers(context)


def _people_named(context: Context) -> Iterator[tuple[Path, str, bool]]:
    """Yield path, name and whether the name must be local."""
    for path, rule in context.rules():
        local = path[:-1] not in REMOTE_ALLOWED
        for key, attribute in (("to", "to"), ("between", "between"), ("except", "except_")):
            for index, name in enumerate(getattr(rule, attribute, ())):
                yield (*path, key, index), name, local and key != "except"
    for index, membership in enumerate(context.policy.memberships):
        yield ("memberships", index, "group"), membership.group, True
    for index, keep in enumerate(context.policy.journal.keep):
        for inner, name in enumerate(keep.to):
            yield ("journal", "keep", index, "to", inner), name, True
    compliance = context.policy.compliance
    for key, names in (("readers", compliance.readers), ("approvers", compliance.approvers)):
        for index, name in enumerate(names):
            yield ("compliance", key, index), name, True


def _check_person(context: Context, path: Path, name: str, *, local: bool) -> None:
    if name.startswith("@"):
        check_mxid(context, path, name, local=local)
    elif name != EVERYONE and name not in context.groups:
        own = f"@{name}:{context.policy.organisation.server_name}"
        known = [*context.groups, EVERYONE]
        if closest(name, known) is None and any(own in group.users for group in context.policy.groups.values()):
            help_ = f"did you mean the person `{own}`?"
        else:
            help_ = did_you_mean(name, sorted(known), f"define it under `groups`, or name a person: `{own}`")
        context.report("unknown-group", path, f"there is no group {show(name)}", help_)


def check_mxid(context: Context, path: Path, name: str, *, local: bool) -> None:
    """Check the form and, where only local people make sense, the server of an MXID."""
    server = context.policy.organisation.server_name
    if not _MXID.fullmatch(name) or len(name) > 255:  # noqa: PLR2004 - the specification's length
        context.report("bad-user", path, f"{show(name)} is not a user id", f"write it as `@name:{server}`")
        return
    theirs = localpart_server(name)
    if theirs == server:
        return
    near = closest(theirs, [server])
    own = f"{name.partition(':')[0]}:{server}"
    if local:
        help_ = f"did you mean `{own}`?" if near else f"only people of {server} can stand here"
        context.report("remote-user", path, f"{show(name)} is a user of another server", help_)
    elif near:
        context.report(
            "similar-server",
            path,
            f"{show(name)} is a user of another server, whose name is almost this one's",
            f"did you mean `{own}`?",
        )


def _patterns(context: Context) -> Iterator[tuple[Path, str]]:
    policy = context.policy
    for index, grant in enumerate(policy.grants):
        for key, patterns in (("allow", grant.allow), ("deny", grant.deny)):
            for inner, pattern in enumerate(patterns):
                yield ("grants", index, key, inner), pattern
    for index, server in enumerate(policy.federation.servers):
        for inner, pattern in enumerate(server.allow):
            yield ("federation", "servers", index, "allow", inner), pattern
    for index, service in enumerate(policy.services):
        for inner, pattern in enumerate(service.allow):
            yield ("services", index, "allow", inner), pattern
    bounds = policy.compliance.approvals_may_grant
    for inner, pattern in enumerate(bounds.features if bounds else ()):
        yield ("compliance", "approvals_may_grant", "features", inner), pattern


def _check_feature(context: Context, path: Path, pattern: str) -> None:
    if catalogue.expand(pattern, context.networks):
        return
    if pattern == "gateway.*":
        context.report(
            "empty-wildcard",
            path,
            "`gateway.*` stands for nothing: the policy has no network",
            "define one under `gateway.networks`",
        )
        return
    known = catalogue.names(context.networks)
    if pattern.endswith(".*"):
        prefixes = sorted({name.partition(".")[0] + ".*" for name in known if "." in name})
        context.report(
            "unknown-feature",
            path,
            f"no feature begins with {show(pattern[:-1])}",
            did_you_mean(pattern, prefixes, "`charter features` lists them"),
        )
    elif pattern.startswith("gateway."):
        networks = context.networks
        help_ = did_you_mean(
            pattern,
            [f"gateway.{name}" for name in networks],
            _list("the networks are", networks, "define one under `gateway.networks`"),
        )
        context.report("unknown-network", path, f"there is no network {show(pattern.partition('.')[2])}", help_)
    else:
        inside = [name for name in known if name.startswith(pattern + ".")]
        otherwise = (
            f"did you mean `{pattern}.*`?" if inside else did_you_mean(pattern, known, "`charter features` lists them")
        )
        context.report("unknown-feature", path, f"there is no feature {show(pattern)}", otherwise)


def _check_servers(context: Context) -> None:
    own = context.policy.organisation.server_name
    if not SERVER_NAME.fullmatch(own):
        context.report(
            "bad-server",
            ("organisation", "server_name"),
            f"{show(own)} is not a server name",
            "write it as in MXIDs: `acme.example`",
        )
    for index, rule in enumerate(context.policy.federation.servers):
        path = ("federation", "servers", index, "server")
        if not SERVER_NAME.fullmatch(rule.server):
            context.report(
                "bad-server",
                path,
                f"{show(rule.server)} is not a server name",
                "write it as in MXIDs, without wildcards: `partner.example`",
            )
        elif rule.server == own:
            context.report("bad-server", path, f"{show(own)} is this server itself", "name the other server")


def _list(words: str, names: tuple[str, ...], otherwise: str) -> str:
    return f"{words} {', '.join(names)}" if names else otherwise
