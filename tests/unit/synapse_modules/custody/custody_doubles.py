"""A module API over one SQLite database, with the schema of the real one; the integration tests hold it to the real thing."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

from synapse_modules._schema import create_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Transaction:
    """What Synapse's LoggingTransaction offers, over a sqlite3 cursor."""

    database_engine = None

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> None:
        """Run one statement."""
        self._cursor.execute(sql, parameters)

    def fetchone(self) -> Any:
        """Return a row or None."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        return self._cursor.fetchall()

    @property
    def rowcount(self) -> int:
        """Rows of the last statement."""
        return self._cursor.rowcount


class Api:
    """The part of ModuleApi that custody uses; `fail` makes the next transactions raise."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.fail: Exception | None = None
        self.background: list[asyncio.Task[None]] = []
        self.before_thread: Callable[[], None] = lambda: None
        create_tables(Transaction(self.database.cursor()))  # type: ignore[arg-type]  # the double

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    async def run_db_interaction(self, _desc: str, func: Callable[..., Any], *args: Any) -> Any:
        """Run one transaction: all of it or nothing."""
        if self.fail is not None:
            raise self.fail
        with self.database:
            return func(Transaction(self.database.cursor()), *args)

    async def defer_to_thread(self, func: Callable[..., Any], *args: Any) -> Any:
        """Run `func`; what happens meanwhile on the reactor is `before_thread`."""
        result = func(*args)
        self.before_thread()
        return result

    def run_as_background_process(self, _desc: str, func: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
        """Start a task."""
        self.background.append(asyncio.get_running_loop().create_task(func(*args)))

    async def settle(self) -> None:
        """Wait for everything in the background."""
        while self.background:
            await self.background.pop()
