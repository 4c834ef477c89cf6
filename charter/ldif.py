"""An LDIF file as a directory snapshot: for demonstrations, for `charter why` and for tests.

Own reader of RFC 2849 content records: the package `ldif` reports no positions, and reads a value from a
URL, that is from any file of the machine. Here ``attr:< url`` is an error.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from charter.directory import DirectorySnapshot, Person
from charter.errors import CharterError
from charter.people import normalise_dn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SECRET: Final = re.compile(r"(pwd|password|passwd|userpkcs12|krb|sambantpassword|sambalmpassword)", re.IGNORECASE)
"""Attributes that are never read."""

_LOCALPART: Final = re.compile(r"[^a-z0-9._=/+-]")
_GROUP_CLASSES: Final = {"groupofnames", "groupofuniquenames", "group", "groupofmembers"}
_PERSON_CLASSES: Final = {"inetorgperson", "person", "organizationalperson", "user", "posixaccount"}
_DISABLED_AD: Final = 0x2
_NAMES: Final = ("uid", "samaccountname")


class LdifError(CharterError):
    """The text is no LDIF.

    Attributes:
        line: counted from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass(slots=True)
class Entry:
    """One record.

    Attributes:
        dn: distinguished name.
        line: where it starts.
        attributes: lower-case name without options -> values.
        locked: the password policy has locked the account.
    """

    dn: str
    line: int
    locked: bool = False
    attributes: dict[str, list[str]] = field(default_factory=dict)

    def first(self, *names: str) -> str | None:
        """Return the first value of the first of these attributes that is there."""
        return next((self.attributes[name][0] for name in names if self.attributes.get(name)), None)

    def classes(self) -> set[str]:
        """Return the object classes, lower case."""
        return {value.lower() for value in self.attributes.get("objectclass", ())}


def read_ldif(text: str, server_name: str, now: float) -> DirectorySnapshot:
    """Return the people of an LDIF with their groups, nested membership resolved.

    Args:
        text: LDIF content records.
        server_name: Matrix server name for the MXIDs, which are made of ``uid`` (else
            ``sAMAccountName``).
        now: POSIX seconds, the snapshot's time.

    Raises:
        LdifError: not LDIF, or two people would have the same MXID.
    """
    entries = list(read_entries(text))
    groups = [entry for entry in entries if entry.classes() & _GROUP_CLASSES]
    direct: dict[str, list[str]] = {}
    for group in groups:
        for member in (*group.attributes.get("member", ()), *group.attributes.get("uniquemember", ())):
            direct.setdefault(normalise_dn(member), []).append(group.dn)
    people: dict[str, Person] = {}
    for entry in entries:
        name = entry.first(*_NAMES)
        if name is None or not entry.classes() & _PERSON_CLASSES or entry.classes() & _GROUP_CLASSES:
            continue
        person = _person(entry, name, server_name, direct)
        if person.user_id in people:
            msg = f"{person.user_id} is already {people[person.user_id].dn}"
            raise LdifError(msg, entry.line)
        people[person.user_id] = person
    return DirectorySnapshot(people, now)


def localpart(name: str) -> str:
    """Return a directory's user name as the local part of an MXID: lower case, other bytes as ``=xx``.

    Source: Matrix specification, appendices, "Mapping from other character sets".
    """
    return _LOCALPART.sub(
        lambda match: "".join(f"={byte:02x}" for byte in match[0].encode()), name.lower().replace("=", "=3d")
    )


def resolve_groups(dn: str, direct: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the DNs of all groups that hold an entry, directly or through other groups; safe with cycles.

    Args:
        dn: the entry's DN.
        direct: normalised DN of a member -> DNs of the groups that list it.
    """
    found: dict[str, str] = {}
    waiting = [normalise_dn(dn)]
    while waiting:
        for group in direct.get(waiting.pop(), ()):
            key = normalise_dn(group)
            if key not in found:
                found[key] = group
                waiting.append(key)
    return tuple(found[key] for key in sorted(found))


def read_entries(text: str) -> Iterator[Entry]:
    """Yield the records of an LDIF.

    Raises:
        LdifError: not LDIF content.
    """
    entry: Entry | None = None
    for line, content in _unfolded(text):
        if not content:
            if entry is not None:
                yield entry
            entry = None
            continue
        name, value = _attribute(content, line)
        if entry is None:
            if name == "version":
                continue
            if name != "dn":
                msg = f"a record begins with dn, not with {name}"
                raise LdifError(msg, line)
            entry = Entry(value, line)
        else:
            _add(entry, name, value, line)
    if entry is not None:
        yield entry


def _add(entry: Entry, name: str, value: str, line: int) -> None:
    if name in {"changetype", "dn"}:
        msg = (
            "a second dn; an empty line must separate records"
            if name == "dn"
            else "change records are not read, only content"
        )
        raise LdifError(msg, line)
    if name == "pwdaccountlockedtime":
        entry.locked = True
    if not _SECRET.search(name):
        entry.attributes.setdefault(name, []).append(value)


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers: continuation lines joined, comments dropped."""
    start, pending = 0, None
    for number, raw in enumerate([*text.removeprefix("\ufeff").split("\n"), ""], start=1):
        line = raw.removesuffix("\r")
        if line.startswith(" ") and pending:
            pending += line[1:]
            continue
        if pending is not None and not pending.startswith("#"):
            yield start, pending
        if line.startswith(" "):
            msg = "a continuation of nothing"
            raise LdifError(msg, number)
        start, pending = number, line
    yield start, ""


def _attribute(content: str, line: int) -> tuple[str, str]:
    name, colon, rest = content.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.;_-]*", name):
        msg = "neither `attribute: value` nor a comment"
        raise LdifError(msg, line)
    plain = name.split(";", 1)[0].lower()
    if rest.startswith("<"):
        msg = "values from a URL are not read"
        raise LdifError(msg, line)
    if not rest.startswith(":"):
        return plain, rest.lstrip(" ")
    try:
        raw = base64.b64decode(rest[1:].strip(), validate=True)
    except (ValueError, binascii.Error) as error:
        msg = f"the value of {name} is not base64"
        raise LdifError(msg, line) from error
    try:
        return plain, raw.decode()
    except UnicodeDecodeError as error:
        if plain == "dn":
            msg = "the dn is not UTF-8"
            raise LdifError(msg, line) from error
        return plain, "base64:" + base64.b64encode(raw).decode()


def _person(entry: Entry, name: str, server_name: str, direct: Mapping[str, Sequence[str]]) -> Person:
    return Person(
        user_id=f"@{localpart(name)}:{server_name}",
        dn=entry.dn,
        stable_id=entry.first("entryuuid", "objectguid") or "",
        enabled=_enabled(entry),
        member_of=resolve_groups(entry.dn, direct),
        attributes={key: tuple(values) for key, values in entry.attributes.items()},
    )


def _enabled(entry: Entry) -> bool:
    if entry.locked:
        return False
    control = entry.first("useraccountcontrol")
    if control is not None and control.isdigit() and int(control) & _DISABLED_AD:
        return False
    return (entry.first("nsaccountlock") or "").lower() != "true"
