"""Who is in which group: the policy's groups as bits of one integer per person.

One integer costs about 70 bytes for 200 groups and is not tracked by the garbage collector; a frozenset
costs eight times as much.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from charter.directory import DirectorySnapshot, Person
    from charter.policy.model import DirectorySelector, Group, Policy

EVERYONE: Final = "everyone"
"""The built-in name of all local people."""

EVERYONE_BIT: Final = 1
"""Bit 0 of every local person."""

_HEX: Final = re.compile(r"\\([0-9a-fA-F]{2})")


@functools.lru_cache(maxsize=65_536)
def normalise_dn(dn: str) -> str:
    r"""Return a distinguished name in a form that compares equal where the directory would.

    Attribute names and values are lower-cased, white space around ``,``, ``+`` and ``=`` is dropped and
    runs of it inside a value count once; the parts of a multi-valued name are sorted; ``\2C`` equals
    ``\,``. Attribute aliases (``commonName``, OIDs) are not resolved.

    Source: RFC 4514 §2, RFC 4518 §2.6.1.
    """
    if "\\" not in dn and "+" not in dn and '"' not in dn:
        return ",".join(_pair(part) for part in dn.lower().split(",")) if dn else ""
    return ",".join("+".join(sorted(map(_pair, _split(part, "+")))) for part in _split(_escaped(dn).lower(), ","))


def _escaped(dn: str) -> str:
    """Return the DN with every escape as a backslash and two hex digits of its character."""
    plain = _HEX.sub(lambda match: "\\" + chr(int(match[1], 16)) if int(match[1], 16) < 128 else match[0], dn)  # noqa: PLR2004 - ASCII
    return re.sub(
        r"\\([^0-9a-fA-F]|[0-9a-fA-F](?![0-9a-fA-F]))", lambda match: f"\\{ord(match[1]):02x}", plain, flags=re.DOTALL
    )


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator)


def _pair(part: str) -> str:
    name, _, value = part.partition("=")
    return f"{name.strip()}={' '.join(value.split())}"


def localpart_server(user_id: str) -> str:
    """Return the server part of an MXID, or "" if it is none."""
    return user_id.partition(":")[2] if user_id.startswith("@") else ""


class Membership:
    """The groups of a policy, resolved against one directory snapshot.

    Attributes:
        bits: group id -> its bit; ``everyone`` is bit 0.
        table: MXID -> the bits of the person's groups, nested groups included, for everybody who is in
            the directory or named in a group.
        disabled: people whom the directory has disabled.
    """

    __slots__ = ("_named", "bits", "disabled", "server_name", "table")

    def __init__(self, policy: Policy, snapshot: DirectorySnapshot) -> None:
        self.server_name = policy.organisation.server_name
        self.bits: dict[str, int] = {EVERYONE: EVERYONE_BIT}
        for name in policy.groups:
            self.bits.setdefault(name, 1 << len(self.bits))
        closure = _closure(policy.groups, self.bits)
        self._named = _named(policy.groups, closure)
        self.table: dict[str, int] = {}
        directory = _Selectors(policy.groups, closure)
        for user, person in snapshot.people.items():
            self.table[user] = EVERYONE_BIT | directory.bits_of(person) | self._named.get(user, 0)
        self.disabled = frozenset(user for user, person in snapshot.people.items() if not person.enabled)

    def of(self, user: str, *, stranger: bool) -> int:
        """Return the bits of a person.

        Args:
            user: MXID.
            stranger: a bot or another application service's user: in a group only if named there.
        """
        if stranger:
            return self._named.get(user, 0)
        known = self.table.get(user)
        if known is not None:
            return known
        local = localpart_server(user) == self.server_name
        return self._named.get(user, 0) | (EVERYONE_BIT if local else 0)


def _closure(groups: Mapping[str, Group], bits: Mapping[str, int]) -> dict[str, int]:
    """Return group id -> the bits of the group and of every group that includes it; safe with cycles."""
    parents: dict[str, list[str]] = {}
    for name, group in groups.items():
        for included in group.groups:
            parents.setdefault(included, []).append(name)
    closed: dict[str, int] = {}
    for name in groups:
        found, waiting = {name}, [name]
        while waiting:
            for parent in parents.get(waiting.pop(), ()):
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        closed[name] = sum(bits[member] for member in found)
    return closed


def _named(groups: Mapping[str, Group], closure: Mapping[str, int]) -> dict[str, int]:
    named: dict[str, int] = {}
    for name, group in groups.items():
        for user in group.users:
            named[user] = named.get(user, 0) | closure[name]
    return named


class _Selectors:
    """The `directory` selectors of all groups, indexed by what they look at."""

    def __init__(self, groups: Mapping[str, Group], closure: Mapping[str, int]) -> None:
        self._by_member: dict[str, int] = {}
        self._by_attribute: dict[str, dict[str, int]] = {}
        self._others: list[tuple[DirectorySelector, int]] = []
        for name, group in groups.items():
            if group.directory is not None:
                self._add(group.directory, closure[name])

    def _add(self, selector: DirectorySelector, bits: int) -> None:
        if selector.member_of and selector.under is None and selector.attribute is None:
            dn = normalise_dn(selector.member_of)
            self._by_member[dn] = self._by_member.get(dn, 0) | bits
        elif (
            selector.attribute and selector.equals is not None and selector.under is None and selector.member_of is None
        ):
            values = self._by_attribute.setdefault(selector.attribute.lower(), {})
            value = _value(selector.equals)
            values[value] = values.get(value, 0) | bits
        elif selector.under is not None or selector.member_of is not None or selector.attribute is not None:
            self._others.append((selector, bits))

    def bits_of(self, person: Person) -> int:
        bits = 0
        for dn in person.member_of:
            bits |= self._by_member.get(normalise_dn(dn), 0)
        for attribute, wanted in self._by_attribute.items():
            for value in person.attributes.get(attribute, ()):
                bits |= wanted.get(_value(value), 0)
        for selector, granted in self._others:
            if bits & granted != granted and selects(selector, person):
                bits |= granted
        return bits


def selects(selector: DirectorySelector, person: Person) -> bool:
    """Return whether a selector's conditions, all that are given, hold for a person; none given: no."""
    conditions: list[bool] = []
    if selector.under is not None:
        base, dn = normalise_dn(selector.under), normalise_dn(person.dn)
        conditions.append(dn == base or dn.endswith("," + base))
    if selector.member_of is not None:
        wanted = normalise_dn(selector.member_of)
        conditions.append(any(normalise_dn(dn) == wanted for dn in person.member_of))
    if selector.attribute is not None:
        conditions.append(selector.equals is not None and _holds(selector.attribute, selector.equals, person))
    return bool(conditions) and all(conditions)


def _holds(attribute: str, equals: str, person: Person) -> bool:
    wanted = _value(equals)
    return any(_value(value) == wanted for value in person.attributes.get(attribute.lower(), ()))


def _value(text: str) -> str:
    return " ".join(text.lower().split())


def local_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the MXIDs among the names of a rule."""
    return tuple(name for name in names if name.startswith("@"))
