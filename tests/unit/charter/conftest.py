from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from charter.directory import DirectorySnapshot, Person
from charter.judge import Compiled, compile_policy
from charter.policy.model import Policy
from charter.policy.policy_set import PolicySet, SourcePlace

if TYPE_CHECKING:
    from collections.abc import Iterable

PEOPLE = ("ada", "bob", "erik", "grace", "gone")


class Make(Protocol):
    """Compiles a policy from its parts."""

    def __call__(self, *, off: Iterable[str] = (), bots: Iterable[str] = (), **parts: Any) -> Compiled:
        """Return the compiled policy of Acme, whose people are in `staff` and a group of their own name."""


@pytest.fixture
def make() -> Make:
    """Return a function that compiles a policy."""

    def build(*, off: Iterable[str] = (), bots: Iterable[str] = (), **parts: Any) -> Compiled:
        groups = {"staff": {"directory": {"under": "ou=people,dc=acme"}}}
        groups |= {name: {"directory": {"attribute": "uid", "equals": name.upper()}} for name in PEOPLE}
        organisation = {"name": "Acme", "server_name": "acme.example", "timezone": "Europe/Berlin", "contact": "help"}
        policy = Policy.model_validate(
            {"version": 1, "organisation": organisation, "groups": groups | parts.pop("groups", {}), **parts},
            strict=False,
        )
        places = {grant.id: SourcePlace("grants.yaml", line) for line, grant in enumerate(policy.grants, start=1)}
        people = {
            f"@{name}:acme.example": Person(
                f"@{name}:acme.example",
                f"uid={name},ou=people,dc=acme",
                enabled=name not in set(off),
                attributes={"uid": (name,)},
            )
            for name in PEOPLE
        }
        return compile_policy(PolicySet.of(policy, places), DirectorySnapshot(people, 0.0), bots=frozenset(bots))

    return build
