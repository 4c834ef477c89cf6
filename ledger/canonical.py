r"""JSON values as canonical bytes and back, total and lossless: whatever a JSON parser returns can be written.

The form (docs/ledger.md gives the worked example):

- UTF-8, no white space, the keys of an object sorted by code point.
- Strings escape `"`, `\`, and U+0000 to U+001F (`\b \t \n \f \r`, else `\u00xx` in lower case). A lone surrogate is
  `\udxxx` in lower case; a high surrogate before a low one is the character that both encode. All else stands as is.
- Integers are decimal digits, of any length.
- Floats are the shortest digits that read back as the same double, with `.0` if integral, and as `d.de-XX` or
  `d.de+XX` (two digits at least) if the decimal exponent is below -4 or above 15: Python's `repr`.
- `NaN`, `Infinity` and `-Infinity`, which JSON lacks but parsers accept, are `{"$number":"NaN"}` and so on. An object
  whose only key is `$number` behind any number of further `$` gets one more `$` in front: nothing is ambiguous.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from ledger.errors import RecordError

_STRICT: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_PLAIN: Final = frozenset({str, int, bool, type(None)})
# orjson reads integers beyond 64 bits as floats, and refuses lone surrogates by itself.
_NOT_FAST_IN: Final = re.compile(r'(?:\A|[:,\[])-?\d{19}|\$number"')
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TAGGED: Final = re.compile(r"\$+number\Z")
_TOKEN: Final = re.compile(
    r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")|(?P<number>-?\d+(?P<fraction>\.\d+)?(?P<exponent>[eE][-+]?\d+)?)'
    r"|(?P<mark>[][{},:])|(?P<word>true|false|null)"
)
_NON_FINITE: Final = ("NaN", "Infinity", "-Infinity")
_WORDS: Final = {"true": True, "false": False, "null": None}
_LITERALS: Final = {True: "true", False: "false", None: "null"}


def write(value: Any) -> bytes:
    """Returns the canonical bytes of a JSON value.

    Args:
        value: what a JSON parser returns: None, bool, int, float, str, list (or tuple), Mapping with str keys.

    Raises:
        RecordError: the value holds something that JSON has not (bytes, a key that is no string …).
    """
    if not _is_plain(value):
        return _write_slowly(value)
    try:
        return orjson.dumps(value, option=_STRICT)
    except (TypeError, RecursionError):
        return _write_slowly(value)


def read(text: str) -> Any:
    """Returns the value of a canonical text; the inverse of `write`, at any depth and for any number.

    Raises:
        RecordError: the text is not JSON.
    """
    if not _NOT_FAST_IN.search(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return _Reader(text).value()


def quote(text: str) -> str:
    """Returns a string as canonical JSON, with its quotation marks."""
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))
    return json.dumps(text, ensure_ascii=False)


class _Raw(str):
    """Output that is already canonical, among values that are not yet."""

    __slots__ = ()


def _is_plain(value: Any) -> bool:
    """Tells whether orjson may write the value; it writes floats in another form, and NaN as null."""
    items = [value]
    for item in items:  # which grows meanwhile: a walk without recursion
        kind = type(item)
        if kind is dict:
            if len(item) == 1 and _TAGGED.match(str(next(iter(item)))):
                return False
            items.extend(item.values())
        elif kind is list or kind is tuple:
            items.extend(item)
        elif kind not in _PLAIN:
            return False
    return True


def _write_slowly(value: Any) -> bytes:
    """Writes any value without recursion, so that nesting has no limit."""
    out: list[str] = []
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, _Raw):
            out.append(item)
        elif isinstance(item, Mapping):
            stack.extend(reversed(_object_parts(item)))
        elif isinstance(item, list | tuple):
            stack.append(_Raw("]"))
            for position in range(len(item) - 1, -1, -1):
                stack += (item[position], _Raw("," if position else ""))
            stack.append(_Raw("["))
        elif isinstance(item, float) and not math.isfinite(item):
            out.append(
                '{"$number":"NaN"}' if math.isnan(item) else f'{{"$number":"{"-" if item < 0 else ""}Infinity"}}'
            )
        else:
            out.append(_scalar(item))
    return "".join(out).encode()


def _object_parts(item: Mapping[Any, Any]) -> list[Any]:
    keys: dict[str, Any] = {}
    for key, inner in item.items():
        if not isinstance(key, str):
            msg = "body"
            raise RecordError(msg, f"has a key of type {type(key).__name__}")
        plain = key.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if plain in keys:
            msg = "body"
            raise RecordError(msg, "has the same key twice")
        keys[plain] = inner
    parts: list[Any] = [_Raw("{")]
    escape = "$" if len(keys) == 1 and _TAGGED.match(next(iter(keys))) else ""
    for number, key in enumerate(sorted(keys)):
        parts += (_Raw("," if number else ""), _Raw(quote(escape + key) + ":"), keys[key])
    return [*parts, _Raw("}")]


def _scalar(item: Any) -> str:
    if item is None or isinstance(item, bool):
        return _LITERALS[item]
    if isinstance(item, str):
        return quote(item)
    if isinstance(item, int):
        return str(Decimal(item))  # unlike str(int) without a limit on the digits
    if isinstance(item, float):
        return float.__repr__(item)
    msg = "body"
    raise RecordError(msg, f"holds a {type(item).__name__}, which JSON has not")


class _Reader:
    """Reads JSON without white space, without recursion and without limits."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self) -> Any:
        """Returns the one value of the text."""
        root: list[Any] = []
        open_ones: list[tuple[Any, str]] = [(root, "")]  # the container and the key that waits for its value
        while True:
            container, key = open_ones[-1]
            found = self._token()
            if found.lastgroup == "mark" and found[0] in "]}":
                if found[0] != ("}" if isinstance(container, dict) else "]") or len(open_ones) == 1 or key:
                    raise self._error()
                open_ones.pop()
                if isinstance(container, dict):
                    self._unwrap(open_ones[-1], container)
            elif found[0] == ",":
                continue
            elif isinstance(container, dict) and found["string"] and self._text.startswith(":", self._at) and key == "":
                self._at += 1
                open_ones[-1] = (container, found["string"])
                continue
            else:
                opened = self._put(container, key, found)
                open_ones[-1] = (container, "")
                if opened is not None:
                    open_ones.append((opened, ""))
            if len(open_ones) == 1:
                break
        if self._at != len(self._text) or len(root) != 1:
            raise self._error()
        return root[0]

    def _put(self, container: Any, key: str, found: re.Match[str]) -> Any:
        """Puts a token's value into its container; returns it if it is a container itself."""
        opened: Any = {"{": {}, "[": []}.get(found[0])
        value = opened if opened is not None else self._scalar(found)
        if isinstance(container, list):
            container.append(value)
        elif key:
            container[json.loads(key)] = value
        else:
            raise self._error()
        return opened

    def _scalar(self, found: re.Match[str]) -> Any:
        if found["string"]:
            return json.loads(found["string"])
        if found["number"]:
            return float(found[0]) if found["fraction"] or found["exponent"] else int(Decimal(found[0]))
        if found["word"]:
            return _WORDS[found[0]]
        raise self._error()

    @staticmethod
    def _unwrap(parent: tuple[Any, str], item: dict[str, Any]) -> None:
        """Turns a tagged number that has just been closed into what it stands for, where it stands."""
        if len(item) != 1:
            return
        ((key, value),) = item.items()
        if not _TAGGED.match(key):
            return
        if key == "$number" and value not in _NON_FINITE:
            return
        result: Any = float(value) if key == "$number" else {key[1:]: value}
        container = parent[0]
        container[-1 if isinstance(container, list) else next(reversed(container))] = result

    def _token(self) -> re.Match[str]:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise self._error()
        self._at = found.end()
        return found

    def _error(self) -> RecordError:
        return RecordError("body", f"is not canonical JSON near character {self._at}")
