"""Making foreign text harmless to show: nothing in it may move, hide or impersonate the text around it."""

from __future__ import annotations

import unicodedata
from typing import Any

MARKS_IN_A_ROW = 4
_VISIBLE_FORMAT = frozenset("\u200d")  # joins emoji; moves nothing
_DANGEROUS = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u180e")  # drawn as nothing though they are letters or marks
_MARKS = frozenset({"Mn", "Me"})


def neutral(text: str, most: int = 500, *, lines: bool = False) -> str:
    """Return the text with every control, direction and invisible character spelled out.

    Args:
        text: anything, lone surrogates included.
        most: characters that are kept; a longer text ends in a note of how much is missing.
        lines: keep line breaks; otherwise they become a visible mark.
    """
    kept = text[:most]
    out: list[str] = []
    marks = 0
    for character in kept.replace("\r\n", "\n"):
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if character == "\n":
            out.append("\n" if lines else " ⏎ ")
        elif character == "\t":
            out.append(" ")
        elif character in _BLANK or (category in _DANGEROUS and character not in _VISIBLE_FORMAT):
            out.append(f"⟨U+{ord(character):04X}⟩")
        elif marks <= MARKS_IN_A_ROW:
            out.append(character)
    if len(text) > most:
        out.append(f" … ({len(text) - most} more characters)")
    return "".join(out)


def neutral_values(value: Any, most: int = 500, *, lines: bool = False) -> Any:
    """Apply `neutral` to every string of a JSON-like value."""
    if isinstance(value, str):
        return neutral(value, most, lines=lines)
    if isinstance(value, dict):
        return {key: neutral_values(inner, most, lines=lines) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [neutral_values(inner, most, lines=lines) for inner in value]
    return value
