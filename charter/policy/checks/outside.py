"""Gateway, services, federation, journal and compliance: what is open, and who decides."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from charter.policy.checks.names import check_mxid
from charter.policy.values import show

if TYPE_CHECKING:
    from charter.policy.checks.context import Context
    from charter.policy.model import DlpRule, GatewayGrant
    from charter.policy.shape import Path


SAMPLE: Final = 64
"""Length of the example texts by which two expressions are compared."""


def check_gateway(context: Context) -> None:
    """Every gateway grant can carry something; every DLP rule looks for something."""
    for index, grant in enumerate(context.policy.gateway.grants):
        _check_gateway_grant(context, ("gateway", "grants", index), grant)
    for index, rule in enumerate(context.policy.gateway.dlp):
        _check_dlp(context, ("gateway", "dlp", index), rule)


def _check_gateway_grant(context: Context, path: Path, grant: GatewayGrant) -> None:
    if not grant.directions or not grant.carry:
        context.report(
            "empty-rule", path, f"`{grant.id}` carries nothing", "`directions` and `carry` need at least one word"
        )
        return
    closed = [
        way
        for way, addresses in (("out", grant.destinations), ("in", grant.senders))
        if way in grant.directions and not addresses
    ]
    key = {"out": "destinations", "in": "senders"}
    if len(closed) == len(set(grant.directions)):
        needed = " or ".join(f"`{key[way]}`" for way in closed)
        context.report(
            "gateway-closed",
            path,
            f"`{grant.id}` lets nothing through: it has no {needed}",
            'name the outside addresses, `["*@partner.example"]`',
        )
        return
    for way in closed:
        other = "in" if way == "out" else "out"
        context.report(
            "gateway-one-way",
            path,
            f"`{grant.id}` lets nothing {way}: `{key[way]}` is missing",
            f"add `{key[way]}`, or say `directions: [{other}]`",
        )


def _check_dlp(context: Context, path: Path, rule: DlpRule) -> None:
    if not rule.match and not rule.types and rule.larger_than is None and rule.sha256_in is None:
        context.report(
            "empty-rule",
            path,
            f"`{rule.id}` has no condition and would match nothing",
            "give it `match`, `types`, `larger_than` or `sha256_in`",
        )
    if not rule.on:
        context.report(
            "empty-rule", (*path, "on"), f"`{rule.id}` looks in no direction", "write `[in]`, `[out]` or `[in, out]`"
        )
    if rule.sha256_in is not None:
        name = PurePosixPath(rule.sha256_in)
        if name.is_absolute() or ".." in name.parts or "\\" in rule.sha256_in:
            context.report(
                "missing-file",
                (*path, "sha256_in"),
                f"{show(rule.sha256_in)} lies outside the policy",
                "name a file inside the policy directory",
            )
        elif context.around.has_file and not context.around.has_file(rule.sha256_in):
            context.report(
                "missing-file",
                (*path, "sha256_in"),
                f"there is no file {show(rule.sha256_in)}",
                "the path is relative to the policy directory",
            )


def check_services(context: Context) -> None:
    """No two services claim the same users, and none claims people."""
    services = context.policy.services
    samples = [_sample(service.users)[:SAMPLE] for service in services]
    patterns = [re.compile(service.users) for service in services]
    people = sorted({user for name in context.policy.groups for user in context.audience.people(name)})
    for index, service in enumerate(services):
        path: Path = ("services", index, "users")
        for first in range(index):
            same = service.users == services[first].users
            if same or patterns[first].fullmatch(samples[index]) or patterns[index].fullmatch(samples[first]):
                context.report(
                    "overlapping-services",
                    path,
                    f"`{service.id}` and `{services[first].id}` claim the same users",
                    "make the expressions exclude each other",
                    (("services", first, "users"), "the other"),
                )
                break
        person = next((user for user in people if patterns[index].fullmatch(user)), None)
        if person:
            context.report(
                "overlapping-services",
                path,
                f"`{service.id}` claims {show(person)}, who is a person",
                "an application service's users have a prefix of their own: `@_helpdesk_.*`",
            )


def _sample(pattern: str) -> str:
    """Return a text that a simple expression matches: wildcards become one letter, escapes themselves."""
    text = re.sub(r"(?<!\\)\[\^?[^\]]*\]|\\[dw]|(?<!\\)\.", "0", pattern)
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)([*+?]|\{[^}]*\}|[()^$])", "", text))


def check_compliance(context: Context) -> None:
    """Somebody reads, and somebody decides where a decision is asked for."""
    policy = context.policy
    compliance = policy.compliance
    root = context.merged.root
    if root is not None and "compliance" in root.values and not compliance.readers:
        context.report(
            "no-readers",
            ("compliance",),
            "nobody reads the compliance rooms",
            "name a group under `compliance.readers`",
        )
    if not compliance.approvers:
        if compliance.approvals_may_grant is not None:
            context.report(
                "no-approvers",
                ("compliance", "approvals_may_grant"),
                "nobody can approve anything",
                "name a group under `compliance.approvers`",
            )
        for index, grant in enumerate(policy.gateway.grants):
            if grant.approvals:
                context.report(
                    "no-approvers",
                    ("gateway", "grants", index, "approvals"),
                    f"`{grant.id}` waits for approvals that nobody can give",
                    "name a group under `compliance.approvers`",
                )
        for index, rule in enumerate(policy.gateway.dlp):
            if rule.then == "hold":
                context.report(
                    "no-approvers",
                    ("gateway", "dlp", index, "then"),
                    f"what `{rule.id}` holds nobody can release",
                    "name a group under `compliance.approvers`",
                )
    for index, user in enumerate(compliance.exempt_admins):
        check_mxid(context, ("compliance", "exempt_admins", index), user, local=True)


def check_encryption(context: Context) -> None:
    """A grant of encryption says nothing while the journal forbids it."""
    if context.policy.journal.encryption != "forbidden":
        return
    for index, grant in enumerate(context.policy.grants):
        if "room.encrypt" in grant.allow:
            context.report(
                "no-effect",
                ("grants", index, "allow", grant.allow.index("room.encrypt")),
                "`room.encrypt` has no effect while `journal.encryption` is `forbidden`",
                "write `journaled` there, or take the feature out",
            )
