"""`charter logs`: the last lines of the parts' logs, and those that follow."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

import click

from deploy.errors import DeployError
from deploy.supervision import Supervisor, log_files

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.state import State

POLL_SECONDS = 0.25


def show(state: State, part: str | None, *, lines: int, follow: bool) -> int:
    """Print the last lines of each log, or of one part's; then, if asked, what is appended.

    Raises:
        DeployError: there is no such log.
    """
    files = log_files(state)
    if part is not None and part not in files:
        msg = f"There is no log of `{part}`."
        raise DeployError(msg, advice=f"There are: {', '.join(files) or 'none yet'}.")
    chosen = {part: files[part]} if part is not None else files
    positions = {name: _print_last(name, path, lines, alone=part is not None) for name, path in chosen.items()}
    if follow:
        # Ctrl-C is how one stops following, not a failure.
        with contextlib.suppress(KeyboardInterrupt):
            _follow(state, part, positions)
    return 0


def _follow(state: State, part: str | None, positions: dict[str, int]) -> None:
    """Print what is appended, to logs that begin meanwhile too, until the deployment has ended."""
    alive = True
    while alive:
        alive = Supervisor(state).alive()
        for name, path in log_files(state).items():
            if part in {None, name}:
                positions[name] = _print_new(name, path, positions.get(name, 0), alone=part is not None)
        time.sleep(POLL_SECONDS)


def _print_last(name: str, path: Path, lines: int, *, alone: bool) -> int:
    with path.open("r", encoding="utf-8", errors="replace") as file:
        for line in deque(file, maxlen=lines):
            _print(name, line, alone=alone)
        return file.tell()


def _print_new(name: str, path: Path, position: int, *, alone: bool) -> int:
    """Print what came after a position; a file that shrank was rotated, and is read from its beginning."""
    try:
        with path.open("r", encoding="utf-8", errors="replace") as file:
            if path.stat().st_size < position:
                position = 0
            file.seek(position)
            while line := file.readline():
                _print(name, line, alone=alone)
            return file.tell()
    except FileNotFoundError:
        return 0


def _print(name: str, line: str, *, alone: bool) -> None:
    click.echo(line.rstrip("\n") if alone else f"{name:<11} {line.rstrip()}")
