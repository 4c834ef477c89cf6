"""Threads that talk to the directory: a pool of their own, bounded, so that a hung directory stalls nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from twisted.python.threadpool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.module_api import ModuleApi

P = ParamSpec("P")
T = TypeVar("T")


class PoolFullError(Exception):
    """All threads are busy and the queue is full; `waiting` counts both."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} directory requests are under way")
        self.waiting = waiting


class DirectoryPool:
    """A bounded thread pool that lives as long as the reactor.

    Args:
        api: the module API.
        name: of the threads.
        threads: how many work at once.
        queue: how many more may wait.
    """

    def __init__(self, api: ModuleApi, name: str, *, threads: int, queue: int) -> None:
        self._api = api
        self._bound = threads + queue
        self._under_way = 0
        self._pool = ThreadPool(minthreads=0, maxthreads=threads, name=name)
        reactor = api._hs.get_reactor()  # noqa: SLF001 - the module API hands out no reactor
        reactor.callWhenRunning(self._pool.start)
        reactor.addSystemEventTrigger("during", "shutdown", self._pool.stop)  # type: ignore[arg-type]  # see IReactorCore: phase first

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a thread and return its result.

        Raises:
            PoolFullError: at once, instead of waiting in an endless queue.
        """
        if self._under_way >= self._bound:
            raise PoolFullError(self._under_way)
        self._under_way += 1
        try:
            return await self._api.defer_to_threadpool(self._pool, function, *args, **kwargs)
        finally:
            self._under_way -= 1
