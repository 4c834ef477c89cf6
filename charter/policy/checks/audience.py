"""Whom a name of a policy means, as far as the policy's text and a directory snapshot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charter.people import EVERYONE, Membership, localpart_server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.directory import DirectorySnapshot
    from charter.policy.model import Policy


class Audience:
    """The names of one policy; total, also for unknown names and cyclic groups."""

    def __init__(self, policy: Policy, snapshot: DirectorySnapshot | None) -> None:
        self._groups = policy.groups
        self._server = policy.organisation.server_name
        self._parents: dict[str, list[str]] = {}
        for name, group in policy.groups.items():
            for included in (*group.groups, *group.users):
                self._parents.setdefault(included, []).append(name)
        self._covering: dict[str, frozenset[str]] = {}
        self._people = _people(policy, snapshot)
        self._index: dict[str, int] = {}
        self._masks: dict[str, int] = {}

    def covering(self, name: str) -> frozenset[str]:
        """Return every name that certainly means all people whom this name means, itself included."""
        known = self._covering.get(name)
        if known is None:
            local = not name.startswith("@") or localpart_server(name) == self._server
            known = frozenset(_closure(name, self._parents)) | ({EVERYONE} if local else set())
            self._covering[name] = known
        return known

    def covered(self, names: Iterable[str], by: Iterable[str]) -> bool:
        """Return whether the people of all `names` are certainly among those of `by`."""
        those = set(by)
        return all(not those.isdisjoint(self.covering(name)) for name in names)

    def listed(self, name: str) -> frozenset[str]:
        """Return the MXIDs that a name means by the policy's own text."""
        if name.startswith("@"):
            return frozenset({name})
        children = {group: list(self._groups[group].groups) for group in self._groups}
        inside = _closure(name, children)
        return frozenset(user for group in inside if group in self._groups for user in self._groups[group].users)

    def nobody(self, name: str) -> bool:
        """Return whether a name certainly means nobody."""
        if name.startswith("@") or name == EVERYONE or name not in self._groups:
            return False
        if self._people is not None:
            return not self._people.get(name)
        children = {group: list(self._groups[group].groups) for group in self._groups}
        inside = [self._groups[group] for group in _closure(name, children) if group in self._groups]
        return not any(group.users or group.directory is not None for group in inside)

    def people(self, name: str) -> frozenset[str]:
        """Return the MXIDs that a name means as far as is known: everybody with a snapshot, else those listed."""
        if self._people is None or name.startswith("@"):
            return self.listed(name)
        return self._people.get(name, frozenset())

    def known(self, name: str) -> int | None:
        """Return exactly the people whom a name means, as bits, or None where that is not known.

        Nobody can list everybody of ``everyone``: people without an entry in the directory are meant too.
        """
        if not name.startswith("@") and (self._people is None or name == EVERYONE or name not in self._people):
            return None
        return self._bits(name)

    def certainly(self, to: Iterable[str], excepted: Iterable[str]) -> int:
        """Return the people to whom a rule certainly applies, as bits, as far as is known."""
        found = self.all_of(to)
        for name in excepted:
            others = self.known(name)
            if others is None:
                return 0
            found &= ~others
        return found

    def all_of(self, names: Iterable[str]) -> int:
        """Return the people whom names mean together, as bits, as far as is known."""
        found = 0
        for name in names:
            found |= self._bits(name)
        return found

    def _bits(self, name: str) -> int:
        """Return the people whom a name means as far as is known; everybody has one bit."""
        known = self._masks.get(name)
        if known is None:
            flags = bytearray()
            for user in self.people(name):
                index = self._index.setdefault(user, len(self._index))
                if index >= len(flags) * 8:
                    flags.extend(bytes(index // 8 + 1 - len(flags)))
                flags[index // 8] |= 1 << index % 8
            known = self._masks[name] = int.from_bytes(flags, "little")
        return known


def _closure(start: str, edges: dict[str, list[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def _people(policy: Policy, snapshot: DirectorySnapshot | None) -> dict[str, frozenset[str]] | None:
    if snapshot is None:
        return None
    membership = Membership(policy, snapshot)
    users = {user for group in policy.groups.values() for user in group.users} | set(snapshot.people)
    bits = {user: membership.of(user, stranger=False) for user in users}
    return {name: frozenset(user for user in users if bits[user] & bit) for name, bit in membership.bits.items()}
