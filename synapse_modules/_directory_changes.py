"""What changed between two readings of the directory, and whether a reading is to be believed. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from charter.directory import DirectorySnapshot, Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from charter.policy.model import Policy

_NAMES_IN_A_RECORD: Final = 200
_SMALL: Final = 4
"""Below so many people a halving is everyday life."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Who is new, gone or different; sorted MXIDs.

    Attributes:
        leavers: those gone, and those disabled now who were not before.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    leavers: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.added or self.removed or self.changed)

    def body(self, taken_at: float) -> dict[str, Any]:
        """Return the body of a `directory` record; lists are cut after 200 names, the counts are not."""
        lists = {"added": self.added, "removed": self.removed, "changed": self.changed}
        return {
            **{key: list(names[:_NAMES_IN_A_RECORD]) for key, names in lists.items()},
            "counts": {key: len(names) for key, names in lists.items()},
            "taken_at": int(taken_at * 1000),
        }


def digest_of(snapshot: DirectorySnapshot) -> str:
    """Return the hex SHA-256 of the people; the time of reading does not count."""
    return hashlib.sha256(DirectorySnapshot(snapshot.people, 0.0).to_json()).hexdigest()


def changes(old: DirectorySnapshot | None, new: DirectorySnapshot) -> Changes:
    """Compare two readings."""
    before = {} if old is None else old.people
    removed = sorted(before.keys() - new.people.keys())
    both = before.keys() & new.people.keys()
    disabled = [user for user in both if before[user].enabled and not new.people[user].enabled]
    return Changes(
        added=tuple(sorted(new.people.keys() - before.keys())),
        removed=tuple(removed),
        changed=tuple(sorted(user for user in both if before[user] != new.people[user])),
        leavers=tuple(sorted([*removed, *disabled])),
    )


def suspicious(old: DirectorySnapshot | None, new: DirectorySnapshot) -> str | None:
    """Return why a reading is not to be believed, or None.

    A wrong filter, a lost permission or a half-restored server looks like everybody having left; acting on it would
    log the whole company off. People vanish one by one, so an empty or halved reading waits for an administrator.
    """
    if not new.people:
        return "the directory shows nobody: check base, people_filter and the service account's permissions"
    if old is None:
        return None
    counts: tuple[tuple[str, Callable[[Person], bool]], ...] = (
        ("people", lambda _: True),
        ("enabled people", lambda person: person.enabled),
        ("people with groups", lambda person: bool(person.member_of)),
    )
    for what, counted in counts:
        before = sum(1 for person in old.people.values() if counted(person))
        after = sum(1 for person in new.people.values() if counted(person))
        if before >= _SMALL and after * 2 <= before:
            return (
                f"{what} fell from {before} to {after} at once; confirm with `charter directory sync --accept-shrink`"
            )
    return None


NAME: Final = "cn"
"""The attribute with a person's name where the policy names none."""


def policy_attributes(policy: Policy | None) -> frozenset[str]:
    """Return the attributes that a policy's selectors and profile name, and the name; nothing else about people is kept."""
    if policy is None:
        return frozenset({NAME})
    named = {group.directory.attribute for group in policy.groups.values() if group.directory is not None}
    profile = policy.directory.profile
    named |= {NAME} if profile is None else {profile.display_name or NAME, profile.email}
    return frozenset(name for name in named if name)
