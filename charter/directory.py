"""A snapshot of the directory as plain data: who exists, in which groups, with which attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Person:
    """One person of the directory.

    Attributes:
        user_id: MXID.
        dn: distinguished name as the directory returned it.
        stable_id: entryUUID or objectGUID; "" where the directory has none.
        enabled: False if disabled, locked or expired.
        member_of: DNs of all groups, nested membership resolved.
        attributes: lower-case attribute name -> values, only those the policy or configuration names.
    """

    user_id: str
    dn: str
    stable_id: str = ""
    enabled: bool = True
    member_of: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """Everybody, at one moment.

    Attributes:
        people: MXID -> person.
        taken_at: POSIX seconds.
    """

    people: Mapping[str, Person]
    taken_at: float

    def to_json(self) -> bytes:
        """Return the snapshot as JSON, keys sorted."""
        document = {
            "taken_at": self.taken_at,
            "people": [
                {
                    "user_id": p.user_id,
                    "dn": p.dn,
                    "stable_id": p.stable_id,
                    "enabled": p.enabled,
                    "member_of": list(p.member_of),
                    "attributes": {k: list(v) for k, v in p.attributes.items()},
                }
                for p in self.people.values()
            ],
        }
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Rebuild a snapshot.

        Raises:
            ValueError: not a snapshot.
        """
        raw = orjson.loads(data)
        try:
            people = [_person(entry) for entry in raw["people"]]
            return cls({p.user_id: p for p in people}, float(raw["taken_at"]))
        except (KeyError, TypeError, AttributeError) as error:
            msg = f"not a directory snapshot: {type(error).__name__}"
            raise ValueError(msg) from error


def _person(entry: dict[str, Any]) -> Person:
    return Person(
        user_id=entry["user_id"],
        dn=entry["dn"],
        stable_id=entry["stable_id"],
        enabled=bool(entry["enabled"]),
        member_of=tuple(entry["member_of"]),
        attributes={k: tuple(v) for k, v in entry["attributes"].items()},
    )
