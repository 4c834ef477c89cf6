"""A made-up company of any size, and the best embedded peer (Cedar) deciding on it.

Cedar gets its fairest form: one parsed PolicySet for each feature, and of the entities only the person's own.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cedarpy
import orjson

from charter.catalogue import UNKNOWN, names
from charter.directory import DirectorySnapshot, Person
from charter.policy.model import Policy
from charter.policy.policy_set import PolicySet, SourcePlace

if TYPE_CHECKING:
    from charter.policy.model import Grant

NOW = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC).timestamp()
GROUPS = 200
FEATURES = [feature for feature in names() if feature != UNKNOWN][:40]


@dataclass(frozen=True, slots=True)
class Company:
    """A policy with its people, and a stream of questions."""

    policy_set: PolicySet
    snapshot: DirectorySnapshot
    questions: list[tuple[str, str]]
    groups_of: dict[str, list[str]]


def company(rules: int, people: int, questions: int, seed: int = 1) -> Company:
    """Build one: 200 groups, 3 to 8 for each person, a tenth of the rules expiring, a twentieth with hours."""
    rng = random.Random(seed)
    groups: dict[str, Any] = {
        f"g{n}": {"directory": {"member_of": f"cn=g{n},ou=groups,dc=acme"}} for n in range(GROUPS)
    }
    for n in range(0, GROUPS, 10):
        groups[f"g{n}"]["groups"] = (f"g{n + 1}",)
    grants = [_rule(n, rng) for n in range(rules)]
    organisation = {"name": "ACME", "server_name": "acme.example", "timezone": "Europe/Berlin", "contact": "x"}
    policy = Policy.model_validate(
        {"version": 1, "organisation": organisation, "groups": groups, "grants": tuple(grants)}
    )
    places = {grant["id"]: SourcePlace("bench.yaml", line) for line, grant in enumerate(grants, start=1)}
    users: dict[str, Person] = {}
    memberships: dict[str, list[str]] = {}
    for n in range(people):
        user = f"@user{n}:acme.example"
        own = rng.sample(range(GROUPS), rng.randint(3, 8))
        memberships[user] = sorted({f"g{g}" for g in own} | {f"g{g - 1}" for g in own if g % 10 == 1})
        users[user] = Person(
            user, f"uid=user{n},ou=people,dc=acme", member_of=tuple(f"cn=g{g},ou=groups,dc=acme" for g in own)
        )
    everybody = list(users)
    asked = [(everybody[int(people * rng.random() ** 3)], rng.choice(FEATURES)) for _ in range(questions)]
    return Company(PolicySet.of(policy, places), DirectorySnapshot(users, NOW), asked, memberships)


def _rule(n: int, rng: random.Random) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": f"rule{n}",
        "to": tuple(f"g{rng.randrange(GROUPS)}" for _ in range(rng.randint(1, 3))),
    }
    rule["deny" if rng.random() < 0.15 else "allow"] = (FEATURES[n % len(FEATURES)],)
    if rng.random() < 0.1:
        rule["until"] = rng.choice(["2026-01-31", "2027-01-31"])
    if rng.random() < 0.05:
        rule["during"] = {"days": "mon-fri", "hours": rng.choice(["07:00-20:00", "13:00-18:00"])}
    if rng.random() < 0.05:
        rule["except"] = (f"g{rng.randrange(GROUPS)}",)
    return rule


def naive(made: Company, user: str, feature: str) -> bool:
    """Decide by reading every rule, at NOW (a Monday, 11:00 in Berlin)."""
    groups = set(made.groups_of[user])
    allowed = False
    for grant in made.policy_set.policy.grants:
        if not groups.intersection(grant.to) or groups.intersection(grant.except_) or not _now(grant):
            continue
        if feature in grant.deny:
            return False
        allowed = allowed or feature in grant.allow
    return allowed


def _now(grant: Grant) -> bool:
    today = dt.date(2026, 11, 23)
    if isinstance(grant.until, dt.date) and grant.until < today:
        return False
    return grant.during is None or grant.during.hours.contains(11 * 60)


class Cedar:
    """Cedar with one PolicySet for each feature."""

    def __init__(self, made: Company) -> None:
        texts: dict[str, list[str]] = {feature: [] for feature in FEATURES}
        for grant in made.policy_set.policy.grants:
            for feature in (*grant.allow, *grant.deny):
                texts[feature].append(_cedar(grant))
        self._sets = {feature: cedarpy.PolicySet.from_str("\n".join(text)) for feature, text in texts.items()}
        self._made = made
        self._entities: dict[str, Any] = {}

    def warm(self, user: str) -> None:
        """Parse a person's entities beforehand, as a server would."""
        parents = [{"type": "Group", "id": group} for group in self._made.groups_of[user]]
        entity = {"uid": {"type": "User", "id": user}, "attrs": {}, "parents": parents}
        self._entities.setdefault(user, cedarpy.Entities.from_json_str(orjson.dumps([entity]).decode()))

    def decide(self, user: str, feature: str) -> bool:
        """Ask Cedar."""
        request = {
            "principal": {"type": "User", "id": user},
            "action": 'Action::"use"',
            "resource": 'Room::"r"',
            "context": {"now": int(NOW), "minute": 11 * 60, "day": 0},
        }
        return bool(cedarpy.is_authorized(request, self._sets[feature], self._entities[user]).allowed)


def _cedar(grant: Grant) -> str:
    effect = "permit" if grant.allow else "forbid"
    conditions = ["(" + " || ".join(f'principal in Group::"{name}"' for name in grant.to) + ")"]
    conditions += [f'!(principal in Group::"{name}")' for name in grant.except_]
    if isinstance(grant.until, dt.date):
        end = dt.datetime.combine(grant.until + dt.timedelta(days=1), dt.time(), dt.UTC)
        conditions.append(f"context.now < {int(end.timestamp())}")
    if grant.during is not None:
        hours = grant.during.hours
        conditions.append(f"context.minute >= {hours.start} && context.minute < {hours.end} && context.day < 5")
    return f"{effect}(principal, action, resource) when {{ {' && '.join(conditions)} }};"
