"""From directory entries to people: Matrix ids, account state, nested groups. Pure."""

from __future__ import annotations

import re
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from charter.directory import Person
from charter.people import normalise_dn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATE_ATTRIBUTES: Final = (
    "pwdAccountLockedTime",
    "pwdEndTime",
    "userAccountControl",
    "accountExpires",
    "nsAccountLock",
    "loginDisabled",
    "shadowExpire",
)
ID_ATTRIBUTES: Final = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID")
GROUP_LINKS: Final = ("primaryGroupID", "objectSid")
MEMBER_ATTRIBUTES: Final = ("member", "uniqueMember", "memberUid")

_LOCALPART: Final = re.compile(r"[a-z0-9._=/+-]+")
_MAX_USER_ID: Final = 255
_FOREVER_LOCKED: Final = "000001010000Z"
_UAC_DISABLED: Final = 0x2
_AD_NEVER: Final = frozenset({0, 0x7FFFFFFFFFFFFFFF})
_AD_EPOCH_SECONDS: Final = 11_644_473_600
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the directory returned it.

    Attributes:
        dn: its distinguished name.
        values: lower-case attribute name (options such as `;range` removed) -> raw values.
    """

    dn: str
    values: Mapping[str, tuple[bytes, ...]]

    def texts(self, attribute: str) -> tuple[str, ...]:
        """Return the values that are UTF-8 text; others are left out."""
        found = []
        for value in self.values.get(attribute.lower(), ()):
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)

    def first(self, attribute: str) -> str | None:
        """Return the first textual value."""
        return next(iter(self.texts(attribute)), None)


def localpart(entry: Entry, uid_attribute: str, server_name: str) -> str | None:
    """Return the Matrix localpart of the entry's user name, or None where it has none that can be one.

    The name is lower-cased; nothing is escaped or dropped, so two people never share an id by mapping.
    Source: Matrix specification, appendix "User Identifiers".
    """
    name = entry.first(uid_attribute)
    if name is None:
        return None
    candidate = name.lower()
    fits = (
        name.isascii()
        and _LOCALPART.fullmatch(candidate)
        and len(f"@{candidate}:{server_name}".encode()) <= _MAX_USER_ID
    )
    return candidate if fits else None


def is_enabled(entry: Entry, now: float) -> bool:
    """Return whether the directory lets the person work, from the attributes that its kind of server has.

    A lockout after failed passwords is *not* taken as disabled: otherwise anybody could end a colleague's sessions by
    typing wrong passwords. The permanent mark of an administrator is.
    """
    uac = _integer(entry, "userAccountControl")
    expires = _integer(entry, "accountExpires")
    shadow = _integer(entry, "shadowExpire")
    end = _generalized_time(entry.first("pwdEndTime"))
    return not (
        _FOREVER_LOCKED in entry.texts("pwdAccountLockedTime")
        or (uac is not None and uac & _UAC_DISABLED)
        or (expires is not None and expires not in _AD_NEVER and expires / 10_000_000 - _AD_EPOCH_SECONDS <= now)
        or (shadow is not None and shadow >= 0 and shadow * _DAY <= now)
        or (end is not None and end <= now)
        or any((entry.first(name) or "").lower() == "true" for name in ("nsAccountLock", "loginDisabled"))
    )


def stable_id(entry: Entry) -> str:
    """Return what stays the same when a person is renamed, or "" where the directory has nothing of the kind."""
    for guid in entry.values.get("objectguid", ()):
        if len(guid) == 16:  # noqa: PLR2004 - octets of a GUID
            return str(uuid.UUID(bytes_le=guid))
    return next((value for name in ID_ATTRIBUTES if (value := entry.first(name))), "")


def person(entry: Entry, user_id: str, member_of: Iterable[str], attributes: Iterable[str], now: float) -> Person:
    """Return the person of an entry, with the attributes named and no others."""
    kept = {name.lower(): entry.texts(name) for name in attributes if entry.texts(name)}
    return Person(
        user_id=user_id,
        dn=entry.dn,
        stable_id=stable_id(entry),
        enabled=is_enabled(entry, now),
        member_of=tuple(sorted(member_of)),
        attributes=dict(sorted(kept.items())),
    )


class GroupTree:
    """Who is in which group, nested membership resolved. Cycles are harmless.

    Reading the groups once and resolving here is a thousand times faster than asking the server for `memberOf`.

    Args:
        groups: the group entries with their member attributes.
    """

    def __init__(self, groups: Iterable[Entry]) -> None:
        self._parents: dict[str, set[str]] = {}
        self._names: dict[str, str] = {}
        self._by_sid: dict[bytes, str] = {}
        for group in groups:
            key = normalise_dn(group.dn)
            self._names[key] = group.dn
            for sid in group.values.get("objectsid", ()):
                self._by_sid[sid] = key
            for attribute in MEMBER_ATTRIBUTES:
                prefix = "uid:" if attribute == "memberUid" else ""
                for value in group.texts(attribute):
                    child = prefix + (value.lower() if prefix else normalise_dn(value))
                    self._parents.setdefault(child, set()).add(key)

    def of(self, entry: Entry, uid: str) -> list[str]:
        """Return the DNs of all groups of a person, as the directory wrote them, sorted."""
        found: set[str] = set()
        waiting = [*self._parents.get(normalise_dn(entry.dn), ()), *self._parents.get(f"uid:{uid.lower()}", ())]
        primary = self._primary(entry)
        if primary is not None:
            waiting.append(primary)
        while waiting:
            group = waiting.pop()
            if group not in found:
                found.add(group)
                waiting.extend(self._parents.get(group, ()))
        return sorted(self._names[group] for group in found)

    def _primary(self, entry: Entry) -> str | None:
        """Active Directory's primary group, which no member attribute mentions."""
        number = _integer(entry, "primaryGroupID")
        sid = next(iter(entry.values.get("objectsid", ())), b"")
        if number is None or not 0 <= number < 1 << 32 or len(sid) <= 4:  # noqa: PLR2004 - octets of the last part
            return None
        return self._by_sid.get(sid[:-4] + struct.pack("<I", number))


def _integer(entry: Entry, attribute: str) -> int | None:
    try:
        return int(entry.first(attribute) or "")
    except ValueError:
        return None


def _generalized_time(text: str | None) -> float | None:
    try:
        return datetime.strptime((text or "")[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
