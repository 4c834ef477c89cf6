"""A policy made ready to decide: groups as bits, one table per feature, verdicts cached with their interval.

A `Compiled` never changes what it says; its caches are bounded and only remember. Swap the whole object.
"""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from charter.barriers import Wall
from charter.catalogue import expand_all, gateway_feature, names
from charter.crossing import Crossing
from charter.people import EVERYONE, Membership
from charter.table import Entry, Table
from charter.terms import Limits, SessionTerms, Strictest, merge_limits, session_merger
from charter.verdict import Decision, Verdict, combine
from charter.windows import Validity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charter.directory import DirectorySnapshot
    from charter.policy.model import Limit, Rule, SessionRule
    from charter.policy.policy_set import PolicySet

MAX_CACHED: Final = 50_000
"""Verdicts of one generation of the cache; there are two."""

_Key = tuple[str, str | tuple[str, ...], str | None]

SERVICE: Final = "service:"
"""Prefix of the bit that another application service's users have."""


class Compiled:
    """What :func:`charter.judge.compile_policy` returns; build it there.

    Attributes:
        policy_set: the checked policy with its places.
        policy: the policy.
        digest: its digest.
        snapshot: the directory it was compiled with.
        membership: who is in which group.
        walls: the barriers.
        crossings: network id -> the gateway's rules.
    """

    def __init__(
        self,
        policy_set: PolicySet,
        snapshot: DirectorySnapshot,
        bots: frozenset[str],
        is_service: Callable[[str], bool] = lambda _: False,
    ) -> None:
        policy = policy_set.policy
        self.policy_set, self.policy, self.digest = policy_set, policy, policy_set.digest
        self.snapshot, self.bots, self._is_service = snapshot, bots, is_service
        self.timezone = policy.organisation.timezone
        self.membership = Membership(policy, snapshot)
        self._services = tuple((re.compile(rule.users), SERVICE + rule.id) for rule in policy.services)
        bits = dict(self.membership.bits)
        for _, name in self._services:
            bits[name] = 1 << len(bits)
        self.bits = bits
        self.networks = tuple(network.id for network in policy.gateway.networks)
        sources = Entries(policy_set, self.networks)
        self._tables = {f: Table(f, sources.of_feature(f), bits) for f in names(self.networks)}
        self._servers = {
            server: {f: Table(f, entries, bits, _closed(server, f)) for f, entries in by_feature.items()}
            for server, by_feature in sources.of_servers().items()
        }
        self.walls = tuple(Wall(barrier, self) for barrier in policy.barriers)
        self.crossings = {n: Crossing(n, policy, sources.of_feature(gateway_feature(n)), self) for n in self.networks}
        self._limits: Strictest[Limit, Limits] = Strictest(policy.limits, bits, self.timezone, merge_limits)
        merge_sessions = session_merger(self.timezone)
        self._sessions: Strictest[SessionRule, SessionTerms] = Strictest(
            policy.sessions, bits, self.timezone, merge_sessions
        )
        self._exempt = frozenset(policy.compliance.exempt_admins)
        self._young: dict[_Key, Verdict] = {}
        self._old: dict[_Key, Verdict] = {}

    def decide(self, subject: str, feature: str, kind: str | None, now: float) -> Verdict:
        """Return the verdict on one feature: grants and services, nothing else. The hot path.

        Args:
            subject: MXID.
            feature: catalogue id; one that is not in the catalogue is denied.
            kind: kind of room; None stands for ``private``.
            now: POSIX seconds.
        """
        verdict = self._young.get((subject, feature, kind))
        if verdict is not None and verdict.since <= now and (verdict.expires is None or now < verdict.expires):
            return verdict
        return self._decide(subject, feature, kind or "private", now)

    def _decide(self, subject: str, feature: str, kind: str, now: float) -> Verdict:
        key: _Key = (subject, feature, kind)
        verdict = self._old.get(key)
        if verdict is None or not (verdict.since <= now and (verdict.expires is None or now < verdict.expires)):
            verdict = self.decide_uncached(subject, feature, kind, now)
        self._remember(key, verdict)
        return verdict

    def _remember(self, key: _Key, verdict: Verdict) -> None:
        if len(self._young) >= MAX_CACHED:
            self._old, self._young = self._young, {}
        self._young[key] = verdict

    def decide_all(self, subject: str, features: tuple[str, ...], kind: str, now: float) -> Verdict:
        """Return the verdict on an act that needs several features; cached like a single one.

        Args:
            subject: MXID.
            features: catalogue ids, as :mod:`charter.classify` returns them.
            kind: kind of room.
            now: POSIX seconds.
        """
        key = (subject, features, kind)
        verdict = self._young.get(key)
        if verdict is None or not (verdict.since <= now and (verdict.expires is None or now < verdict.expires)):
            verdict = combine([self.decide(subject, feature, kind, now) for feature in features])
            self._remember(key, verdict)
        return verdict

    def decide_uncached(self, subject: str, feature: str, kind: str, now: float) -> Verdict:
        """Return what :meth:`decide` returns, without the cache."""
        special = self._special(subject, feature)
        if special is not None:
            return special
        groups = self.membership.table.get(subject)
        if groups is None or subject in self.bots:
            groups = self.groups_of(subject)
        table = self._tables.get(feature)
        if table is None:
            table = Table(feature, (), self.bits)
        return table.decide(subject, groups, kind, now)

    def decide_server(self, subject: str, feature: str, server: str, now: float) -> Verdict:
        """Return whether the federation with one server covers a feature for a person.

        ``external.*`` features are listed with the servers; of the grants only their denials count.
        """
        special = self._special(subject, feature)
        if special is not None:
            return special
        table = self._servers.get(server.lower(), {}).get(feature)
        if table is None:
            table = _closed_table(server, feature)
        return table.decide(subject, self.groups_of(subject), "external", now)

    def groups_of(self, subject: str) -> int:
        """Return the bits of a person's groups; of a bot or service user only where they are named."""
        if subject in self.bots:
            return self.membership.of(subject, stranger=True)
        if subject not in self.membership.table:
            service = sum(self.bits[name] for pattern, name in self._services if pattern.fullmatch(subject))
            if service or self._is_service(subject):
                return self.membership.of(subject, stranger=True) | service
        return self.membership.of(subject, stranger=False)

    def member(self, user: str, name: str) -> bool:
        """Return whether a name of the language (group id, MXID, ``everyone``) means this person."""
        if name.startswith("@"):
            return name == user
        return bool(self.groups_of(user) & self.membership.bits.get(name, 0))

    def members(self, name: str) -> tuple[str, ...]:
        """Return everybody of the directory whom a name means, sorted; disabled people left out."""
        if name.startswith("@"):
            return (name,)
        people = set(self.snapshot.people) | set(self.policy.groups[name].users if name in self.policy.groups else ())
        return tuple(sorted(user for user in people - self.membership.disabled if self.member(user, name)))

    def is_disabled(self, user: str) -> bool:
        """Return whether the directory has disabled a person."""
        return user in self.membership.disabled

    def is_exempt(self, user: str) -> bool:
        """Return whether no rule judges this person."""
        return user in self._exempt and user not in self.membership.disabled

    def limits(self, user: str, now: float) -> Limits:
        """Return the strictest limits that match a person."""
        return self._limits.of(user, self.groups_of(user), now)

    def session(self, user: str, now: float) -> SessionTerms:
        """Return the strictest session terms that match a person."""
        return self._sessions.of(user, self.groups_of(user), now)

    def place(self, rule: str) -> str:
        """Return ``file:line`` of a rule, or "" where it is not known."""
        place = self.policy_set.places.get(rule)
        return "" if place is None else str(place)

    def table(self, feature: str) -> Table | None:
        """Return the table of a feature, for explanations."""
        return self._tables.get(feature)

    def servers(self, feature: str) -> tuple[str, ...]:
        """Return the servers whose rules list a feature, for anybody."""
        return tuple(server for server, tables in self._servers.items() if feature in tables)

    def server_table(self, server: str, feature: str) -> Table | None:
        """Return the table of a feature towards a server, for explanations."""
        return self._servers.get(server.lower(), {}).get(feature)

    def _special(self, subject: str, feature: str) -> Verdict | None:
        if subject in self.membership.disabled:
            return _disabled(feature)
        return _exempt(feature) if subject in self._exempt else None


class Entries:
    """The rules of a policy, by feature."""

    def __init__(self, policy_set: PolicySet, networks: tuple[str, ...]) -> None:
        self._policy_set, self._networks = policy_set, networks
        policy = policy_set.policy
        self._timezone = policy.organisation.timezone
        self._expand = functools.lru_cache(maxsize=None)(lambda patterns: expand_all(patterns, networks))
        self._by_feature: dict[str, list[Entry]] = {}
        for grant in policy.grants:
            validity = Validity.of(grant.until, grant.during, self._timezone)
            denied = self._expand(grant.deny)
            self._add(
                self._expand(grant.allow) - denied,
                self._entry(grant, grant.to, grant.except_, validity, kinds=grant.in_),
            )
            self._add(denied, self._entry(grant, grant.to, grant.except_, validity, kinds=grant.in_, allow=False))
        for service in policy.services:
            validity = Validity.of(service.until, None, self._timezone)
            self._add(self._expand(service.allow), self._entry(service, (SERVICE + service.id,), (), validity))
        for gate in policy.gateway.grants:
            validity = Validity.of(gate.until, gate.during, self._timezone)
            self._add((gateway_feature(gate.network),), self._entry(gate, gate.to, gate.except_, validity))

    def of_feature(self, feature: str) -> tuple[Entry, ...]:
        """Return the rules that allow or deny a feature."""
        return tuple(self._by_feature.get(feature, ()))

    def of_servers(self) -> dict[str, dict[str, list[Entry]]]:
        """Return server -> feature -> the rules of the federation, with the denials of ``external.*``."""
        servers: dict[str, dict[str, list[Entry]]] = {}
        for rule in self._policy_set.policy.federation.servers:
            validity = Validity.of(rule.until, None, self._timezone)
            entry = self._entry(rule, rule.to, rule.except_, validity)
            features = servers.setdefault(rule.server.lower(), {})
            for feature in self._expand(rule.allow):
                features.setdefault(feature, self._vetoes(feature)).append(entry)
        return servers

    def _vetoes(self, feature: str) -> list[Entry]:
        if not feature.startswith("external."):
            return []
        return [entry for entry in self._by_feature.get(feature, ()) if not entry.allow]

    def _add(self, features: Iterable[str], entry: Entry) -> None:
        for feature in features:
            self._by_feature.setdefault(feature, []).append(entry)

    def _entry(  # noqa: PLR0913 - the columns of a rule
        self,
        rule: Rule,
        to: tuple[str, ...],
        except_: tuple[str, ...],
        validity: Validity,
        *,
        kinds: tuple[str, ...] | None = None,
        allow: bool = True,
    ) -> Entry:
        place = self._policy_set.places.get(rule.id)
        return Entry(
            id=rule.id,
            allow=allow,
            to=to,
            except_=except_,
            kinds=kinds,
            validity=validity,
            shadow=rule.stage == "shadow",
            reason=rule.reason,
            place="" if place is None else str(place),
        )


def _closed(server: str, feature: str) -> str:
    return f"Nothing in the policy opens {feature} with the server {server} to you."


@functools.lru_cache(maxsize=1024)
def _closed_table(server: str, feature: str) -> Table:
    return Table(feature, (), {EVERYONE: 1}, _closed(server, feature))


@functools.lru_cache(maxsize=1024)
def _exempt(feature: str) -> Verdict:
    return Verdict(Decision.ALLOW, feature, (), "", since=float("-inf"), exempt=True)


@functools.lru_cache(maxsize=1024)
def _disabled(feature: str) -> Verdict:
    return replace(
        _exempt(feature), decision=Decision.DENY, reason="Your account is disabled in the directory.", exempt=False
    )
