"""Waiting for a condition, with a deadline and without guessing how long things take."""

from __future__ import annotations

import asyncio
import select
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
POLL = 0.05


def until(condition: Callable[[], T], what: str, *, within: float = 20.0) -> T:
    """Poll `condition` until it is true and return its value.

    Raises:
        AssertionError: it did not come true within `within` seconds; names `what`.
    """
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        select.select([], [], [], POLL)


async def until_async(condition: Callable[[], Awaitable[T]], what: str, *, within: float = 20.0) -> T:
    """Poll the asynchronous `condition` until it is true and return its value.

    Raises:
        AssertionError: it did not come true within `within` seconds; names `what`.
    """
    deadline = time.monotonic() + within
    while True:
        value = await condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        await asyncio.sleep(POLL)
