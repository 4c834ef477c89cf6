"""Builds the browser client in the background; its failure is told by `charter status` and harms nothing else."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import psutil

from deploy.errors import DeployError, MissingProgramError
from deploy.parts import WEB, search_path
from deploy.secret_files import write_private
from deploy.state import State
from deploy.supervision import MARKER, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).resolve().parent.parent / "web"
LOG = "web-build.log"
NODE_VERSION = 18
"""Oldest with which the build is the same, byte for byte (tried: Debian's 18.20, and 20)."""
DONE = "index.html"


def require_node() -> tuple[str, str]:
    """Find `node` and `npm`.

    Raises:
        MissingProgramError: there is none, or it is too old.
    """
    advice = f"Install Node {NODE_VERSION} or later with npm; everything else runs without it."
    node, npm = shutil.which("node", path=search_path()), shutil.which("npm", path=search_path())
    if node is None or npm is None:
        name = "Node with npm"
        raise MissingProgramError(name, advice)
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - found on PATH
    match = re.match(r"v(\d+)", said.stdout)
    if match is None or int(match[1]) < NODE_VERSION:
        name = f"Node {NODE_VERSION}"
        raise MissingProgramError(name, advice)
    return node, npm


def build(output: Path, work: Path, log: Path, tell: Callable[[str], None] = lambda _: None) -> None:
    """Build the client from the sources in `web/` into `output`, which is replaced only when all went well.

    Args:
        output: the directory that will hold `index.html`.
        work: where the packages are installed; kept, so that the next build is short.
        log: what npm and webpack say.
        tell: is told what is being done, in a few words.

    Raises:
        DeployError: it cannot be built; the log says why.
    """
    node, npm = require_node()
    work.mkdir(parents=True, exist_ok=True)
    for name in ("src", "loaders"):
        shutil.copytree(SOURCE / name, work / name, dirs_exist_ok=True)
    for name in ("package.json", "package-lock.json", "webpack.config.js"):
        shutil.copy2(SOURCE / name, work / name)
    staged = output.with_name(output.name + ".new")
    shutil.rmtree(staged, ignore_errors=True)
    environment = {**os.environ, "CHARTER_WEB_OUTPUT": str(staged), "CI": "1"}
    with log.open("w", encoding="utf-8") as out:
        step = _Step(work, environment, out, tell)
        tell("installing packages")
        step.run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        tell("bundling")
        step.run(node, "--max-old-space-size=3072", str(work / "node_modules" / "webpack" / "bin" / "webpack.js"))
    if not (staged / DONE).exists():
        msg = "The browser client's build left no page."
        raise DeployError(msg, advice=f"Its log: {log}")
    shutil.rmtree(output, ignore_errors=True)
    staged.rename(output)


@dataclass(frozen=True)
class _Step:
    """Runs the programs of a build: their words go to the log, their progress is told."""

    work: Path
    environment: dict[str, str]
    log: TextIO
    tell: Callable[[str], None]

    def run(self, *command: str) -> None:
        """Run one program to its end.

        Raises:
            DeployError: it failed.
        """
        with subprocess.Popen(  # noqa: S603 - programs that require_node found
            command,
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None  # PIPE above
            for line in process.stdout:
                if match := re.match(r"progress (\d+)", line):
                    self.tell(f"bundling {match[1]} %")
                else:
                    self.log.write(line)
        if process.returncode:
            msg = f"The browser client could not be built: `{Path(command[0]).name}` ended with {process.returncode}."
            raise DeployError(msg, advice=f"Its log: {self.log.name}")


def record(state: State, word: str, step: str) -> None:
    """Remember how far the build is, for `charter status`."""
    write_private(state.web_record, json.dumps({"state": word, "step": step, "pid": os.getpid()}) + "\n")


def start(state: State) -> None:
    """Build in the background unless that was done or is being done; then the supervisor serves the result.

    Never raises for what the build needs and lacks: that is recorded as its failure.
    """
    if (state.web / DONE).exists():
        record(state, "ready", "")
        Supervisor(state).start_part(WEB)
        return
    if _building(state):
        return
    try:
        require_node()
    except DeployError as error:
        record(state, "failed", f"{error.message} {error.advice or ''}".strip())
        return
    record(state, "building", "starting")
    environment = {**os.environ, MARKER: str(state.root)}
    with (state.logs / LOG).open("w", encoding="utf-8") as log:
        subprocess.Popen(  # noqa: S603 - this interpreter
            _command(state),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=state.run,
            env=environment,
            start_new_session=True,
        ).returncode = 0  # it outlives us: its end is recorded, not waited for


def _building(state: State) -> bool:
    """Whether an earlier call's build is at work."""
    command = _command(state)
    for process in Supervisor(state).processes():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[1:] == command[1:]:
                return True
    return False


def _command(state: State) -> list[str]:
    return [sys.executable, "-m", "deploy.web_build", "--state", str(state.root)]


def main() -> NoReturn:
    """Build for one state directory; what goes wrong ends in the record."""
    parser = argparse.ArgumentParser(description="Build the browser client of a deployment.")
    parser.add_argument("--state", type=Path, required=True)
    state = State.at(parser.parse_args().state)
    try:
        log = state.logs / LOG
        build(state.web, state.root / "web-build", log, lambda step: record(state, "building", step))
        Supervisor(state).start_part(WEB)
    except DeployError as error:
        record(state, "failed", f"{error.message} {error.advice or ''}".strip())
        sys.exit(1)
    except Exception as error:
        record(state, "failed", f"{type(error).__name__}: {error}")
        raise
    record(state, "ready", "")
    sys.exit(0)


if __name__ == "__main__":
    main()
