"""Reading JSON that others wrote: total functions that give a value or one kind of error."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG_NUMBER = re.compile(rb"[:,\[]\s*-?\d{19}")


def loads(raw: bytes) -> Any:
    """Parse JSON without loss: what orjson would round or refuses (integers beyond 64 bits, lone surrogates) is kept.

    Raises:
        ValueError: not JSON, or nested too deeply.
    """
    if not _LONG_NUMBER.search(raw):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(raw)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def as_dict(value: Any) -> dict[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_str(value: Any, default: str = "") -> str:
    """Return the value if it is a string, else `default`."""
    return value if isinstance(value, str) else default


def as_int(value: Any, default: int = 0) -> int:
    """Return the value if it is an integer of 64 bits, else `default`."""
    ok = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if ok else default
