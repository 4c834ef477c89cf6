"""LDAP filters as a boundary type: values are escaped here and nowhere else (RFC 4515)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9;-]*")
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-+=,/:")


@dataclass(frozen=True, slots=True)
class LdapFilter:
    """A filter that is well formed by construction. Build it with the class methods only."""

    text: str

    @classmethod
    def equals(cls, attribute: str, value: str) -> LdapFilter:
        """Return `(attribute=value)` with every special octet of the value escaped.

        Args:
            attribute: attribute description, from configuration.
            value: anything, from anywhere.

        Raises:
            ValueError: `attribute` is not an attribute description.
        """
        if not _ATTRIBUTE.fullmatch(attribute):
            msg = f"not an attribute name: {attribute!r}"
            raise ValueError(msg)
        return cls(f"({attribute}={_escape(value)})")

    @classmethod
    def configured(cls, text: str) -> LdapFilter:
        """Return a filter that an administrator wrote.

        Raises:
            ValueError: its parentheses do not balance.
        """
        check_filter(text)
        return cls(text)

    @classmethod
    def all_of(cls, *parts: LdapFilter) -> LdapFilter:
        """Return the conjunction."""
        return cls(f"(&{''.join(part.text for part in parts)})")

    @classmethod
    def any_of(cls, *parts: LdapFilter) -> LdapFilter:
        """Return the disjunction."""
        return cls(f"(|{''.join(part.text for part in parts)})")

    def __str__(self) -> str:
        """Return the filter in RFC 4515 notation."""
        return self.text


def _escape(value: str) -> str:
    octets = value.encode("utf-8", "surrogatepass")
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in octets)


def check_filter(text: str) -> None:
    """Refuse a configured filter that cannot be whole.

    Raises:
        ValueError: not in parentheses, or the parentheses do not balance.
    """
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 1 and position < len(text) - 1:
            break
    else:
        if text and depth == 0:
            return
    msg = f"not an LDAP filter: {text!r} (one expression in parentheses)"
    raise ValueError(msg)
