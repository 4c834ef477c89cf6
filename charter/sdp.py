"""Which media a session description offers, read without building a tree of it.

Source: RFC 8866 §5.14 (media lines), RFC 9143 §6 (``bundle-only`` sections have port 0 and are live).
"""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 65_536
"""Characters of a session description that are read; a longer one counts as unreadable."""


def offered_media(sdp: object) -> frozenset[str] | None:
    """Return the kinds of media (``audio``, ``video`` …) that a session description uses.

    A media section with port 0 is unused, unless it is ``a=bundle-only``. Lines may end in CRLF, LF or
    CR, and case is ignored: a reader more tolerant than any client cannot be dodged.

    Args:
        sdp: the description as sent; any JSON.

    Returns:
        Lower-case media names; None if this is no readable description.
    """
    if type(sdp) is not str or len(sdp) > _LONGEST:
        return None
    if "\r" in sdp:
        sdp = sdp.replace("\r", "\n")
    if "M=" in sdp:
        sdp = sdp.replace("M=", "m=")
    found: set[str] = set()
    start = 0 if sdp.startswith("m=") else sdp.find("\nm=") + 1
    if start == 0 and not sdp.startswith("m="):
        return None
    while True:
        following = sdp.find("\nm=", start)
        section = sdp[start:following] if following >= 0 else sdp[start:]
        media = _media_of(section)
        if media:
            found.add(media)
        if following < 0:
            return frozenset(found)
        start = following + 1


def _media_of(section: str) -> str:
    """Return the media name of one section, or "" if the section is unused."""
    line = section.split("\n", 1)[0][2:].split(None, 2)
    if not line:
        return "unreadable"
    unused = len(line) > 1 and line[1].split("/", 1)[0].strip("0") == ""
    if unused and "a=bundle-only" not in section.lower():
        return ""
    return line[0].lower()
