"""Starting and stopping a bot: arguments, configuration, lock, device, parts, signals."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bots.kit.backoff import Backoff
from bots.kit.client import BotClient, ServerError
from bots.kit.config import BotConfig, ConfigError, load_config
from bots.kit.device import IdentityError, pin_device
from bots.kit.lock import AlreadyRunningError, ProcessLock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence

logger = logging.getLogger(__name__)

FAILED = 1
MISUSED = 2
LONGEST_PAUSE = 15.0
C = TypeVar("C", bound=BotConfig)


class StartError(Exception):
    """The bot cannot start and waiting will not help; the message is one line."""


def main(
    name: str, model: type[C], body: Callable[[C, BotClient], Awaitable[None]], arguments: Sequence[str] | None = None
) -> int:
    """Run a bot until SIGTERM or SIGINT.

    Args:
        name: of the bot, for messages.
        model: of its configuration.
        body: what it does; runs until cancelled.
        arguments: of the command line; default those of the process.

    Returns:
        Exit code: 0 after a signal, 1 if the bot failed, 2 if configuration, token or lock forbid a start.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bots.{name}", description=f"The {name} of Charter.")
    parser.add_argument("--config", type=Path, required=True, help="the bot's YAML configuration")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config, model)
        token = config.token()
        _log_to_stderr(config.log_level)
        with ProcessLock(config.state.with_name(config.state.name + ".lock")):
            return asyncio.run(_run(config, token, body))
    except (ConfigError, AlreadyRunningError, IdentityError, StartError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return MISUSED


async def _run(config: C, token: str, body: Callable[[C, BotClient], Awaitable[None]]) -> int:
    client = BotClient(config, token)
    task = asyncio.ensure_future(_live(config, client, body))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        logger.info("stopped")
        return 0
    except (IdentityError, StartError):
        raise
    except Exception:
        logger.exception("failed")
        return FAILED
    finally:
        await client.close()
    return FAILED


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run parts side by side until cancelled; the first that fails ends all, and its exception is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def _live(config: C, client: BotClient, body: Callable[[C, BotClient], Awaitable[None]]) -> None:
    backoff = Backoff()
    while True:
        try:
            await pin_device(client, config)
            break
        except ServerError as error:
            pause = backoff.next(error.retry_after)
            logger.warning("Synapse not ready status=%d retry_s=%.1f", error.status, pause)
            await asyncio.sleep(pause)
    await body(config, client)


async def _end(tasks: Collection[asyncio.Future[None]]) -> None:
    """Cancel tasks until all have ended: a cancellation that meets a result which has just arrived can get lost."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)


async def every(
    seconds: float, what: Callable[[], Awaitable[None]], name: str, wake: asyncio.Event | None = None
) -> None:
    """Do something again and again; a failure is logged and tried again at the next turn.

    Args:
        seconds: between two turns; failures back off up to `LONGEST_PAUSE`.
        what: the thing to do.
        name: for the log.
        wake: set it for a turn at once.
    """
    backoff = Backoff(seconds, max(seconds, LONGEST_PAUSE))
    while True:
        pause = seconds
        try:
            await what()
            backoff.reset()
        except ServerError as error:
            pause = backoff.next(error.retry_after)
            logger.warning("%s failed status=%d errcode=%s retry_s=%.1f", name, error.status, error.errcode, pause)
        except Exception:
            pause = backoff.next()
            logger.exception("%s failed retry_s=%.1f", name, pause)
        if wake is None:
            await asyncio.sleep(pause)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await wake.wait()
            wake.clear()


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level, format="%(asctime)s level=%(levelname)s at=%(name)s %(message)s", force=True
    )
    for noisy in ("nio", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
