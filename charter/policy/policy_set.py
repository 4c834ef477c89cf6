"""A parsed policy with the place of each rule and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from charter.policy.model import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """Where a rule stands: ``file`` relative to the policy directory, ``line`` counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return ``file:line``, as receipts and ``why`` show it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class PolicySet:
    """A checked policy, ready to be compiled or bundled.

    Attributes:
        policy: the merged policy.
        places: rule id -> place of its definition; groups under ``group:<id>``.
        digest: hex SHA-256 of :meth:`canonical`.
    """

    policy: Policy
    places: Mapping[str, SourcePlace]
    digest: str

    @staticmethod
    def of(policy: Policy, places: Mapping[str, SourcePlace]) -> PolicySet:
        """Build a set and compute its digest."""
        return PolicySet(policy, places, hashlib.sha256(_canonical(policy, places)).hexdigest())

    def canonical(self) -> bytes:
        """Return the canonical bytes: JSON, UTF-8, keys sorted, no white space, defaults left out."""
        return _canonical(self.policy, self.places)

    @staticmethod
    def from_canonical(data: bytes) -> PolicySet:
        """Rebuild a set from its canonical bytes.

        Raises:
            ValueError: the bytes are not the canonical form of a valid policy.
        """
        try:
            raw = orjson.loads(data)
            policy = Policy.model_validate_json(orjson.dumps(raw["policy"]), by_alias=True, by_name=False)
            places = {key: SourcePlace(file, line) for key, (file, line) in raw["places"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"not a canonical policy: {type(error).__name__}"
            raise ValueError(msg) from error
        rebuilt = PolicySet.of(policy, places)
        if rebuilt.canonical() != data:
            msg = "not in canonical form"
            raise ValueError(msg)
        return rebuilt


def _canonical(policy: Policy, places: Mapping[str, SourcePlace]) -> bytes:
    document = {
        "policy": policy.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "places": {key: [place.file, place.line] for key, place in places.items()},
    }
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
