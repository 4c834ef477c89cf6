"""supervisord: started detached, spoken to over its own socket, and ended without a remainder.

Every process of a deployment carries `CHARTER_DEPLOYMENT=<state directory>` in its environment. That marker, not
a pid file, decides what belongs to the deployment: a pid may be another program's after a reboot.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from deploy.errors import DeployError
from deploy.secret_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from deploy.state import State

MARKER = "CHARTER_DEPLOYMENT"
START_SECONDS = 10.0
STOP_SECONDS = 30.0
KILL_SECONDS = 5.0
POLL = 0.05

_KEPT = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "PYTHONPATH",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "XDG_RUNTIME_DIR",
)
"""What parts inherit. Nothing else: no proxy to go outside by, and no secret that lay in the environment."""


@dataclass(frozen=True, slots=True)
class Running:
    """What supervisord says of one part."""

    name: str
    pid: int | None
    state: str
    detail: str
    started: float


def wait_for(condition: Callable[[], bool], seconds: float, poll: float = POLL) -> bool:
    """Poll until a condition holds; False when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


class Supervisor:
    """The supervisor of one state directory; holds nothing but the paths."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def _rpc(self) -> Any:
        # The transport ignores the URL's host; a proxy serves one call.
        transport = SupervisorTransport(None, None, f"unix://{self._state.supervisor_socket}")
        return ServerProxy("http://supervisor", transport=transport).supervisor

    def environment(self) -> dict[str, str]:
        """The environment of the supervisor and so of every part."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return kept | {MARKER: str(self._state.root), "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}

    def alive(self) -> bool:
        """Whether this deployment's supervisor runs and answers."""
        if self.pid() is None:
            return False
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except (OSError, Fault):
            return False

    def pid(self) -> int | None:
        """The supervisor's pid; None when it is gone, also when the record is from before a reboot."""
        try:
            record = json.loads(self._state.supervisor_record.read_text(encoding="utf-8"))
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            return None
        return int(record["pid"]) if same else None

    def start(self) -> None:
        """Start supervisord in its own session, with every part stopped.

        Raises:
            DeployError: it did not come up; what it said is in the message.
        """
        self._state.supervisor_socket.unlink(missing_ok=True)
        output = self._state.logs / "supervisord.out"
        with output.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - this interpreter and our own configuration
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self._state.supervisor_config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._state.run,
                env=self.environment(),
                start_new_session=True,
            )
        record = {"pid": process.pid, "created": psutil.Process(process.pid).create_time()}
        write_private(self._state.supervisor_record, json.dumps(record) + "\n")
        if (
            not wait_for(lambda: process.poll() is not None or self.alive(), START_SECONDS)
            or process.poll() is not None
        ):
            said = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            msg = f"The supervisor did not start: {said[-1] if said else 'it said nothing'}"
            raise DeployError(msg, advice=f"Its log: {output}")
        # From here on it is the init process's child, not ours.
        process.returncode = 0

    def start_part(self, name: str) -> None:
        """Start a part unless it runs."""
        try:
            self._rpc.startProcess(name, False)  # noqa: FBT003 - XML-RPC has no keywords
        except Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                msg = f"The supervisor could not start `{name}`: {fault.faultString}"
                raise DeployError(msg) from fault

    def stop_part(self, name: str) -> None:
        """Stop a part if it runs, and wait until it has ended."""
        with contextlib.suppress(Fault):
            self._rpc.stopProcess(name)

    def parts(self) -> dict[str, Running]:
        """What each part is doing; empty when the supervisor does not answer."""
        try:
            rows = cast("list[dict[str, Any]]", self._rpc.getAllProcessInfo())
        except (OSError, Fault):
            return {}
        return {
            row["name"]: Running(
                row["name"],
                row["pid"] or None,
                row["statename"],
                row["spawnerr"] or row["description"],
                float(row["start"]),
            )
            for row in rows
        }

    def processes(self) -> list[psutil.Process]:
        """Every living process of this deployment, found by its marker or by the supervisor's session."""
        supervisor = self.pid()
        found = []
        for process in psutil.process_iter():
            if process.pid == os.getpid():
                continue
            try:
                if process.status() != psutil.STATUS_ZOMBIE and self._ours(process, supervisor):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, PermissionError, ProcessLookupError):
                continue
        return found

    def _ours(self, process: psutil.Process, supervisor: int | None) -> bool:
        if supervisor is not None and os.getsid(process.pid) == supervisor:
            return True
        return process.environ().get(MARKER) == str(self._state.root)

    def stop(self) -> int:
        """End every process of the deployment, in order, then what is left by force.

        Returns:
            How many there were.

        Raises:
            DeployError: something still runs.
        """
        before = self.processes()
        if self.alive():
            for process in before:
                # The client's build is nobody's child: the supervisor does not know of it.
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    if os.getsid(process.pid) != self.pid():
                        process.terminate()
            with contextlib.suppress(OSError, Fault):
                self._rpc.shutdown()
            wait_for(lambda: not self.processes(), STOP_SECONDS)
        for signal_name in ("terminate", "kill"):
            remaining = self.processes()
            for process in remaining:
                with contextlib.suppress(psutil.NoSuchProcess):
                    getattr(process, signal_name)()
            if remaining:
                wait_for(lambda: not self.processes(), KILL_SECONDS)
        if left := self.processes():
            msg = f"These processes could not be ended: {', '.join(str(process.pid) for process in left)}."
            raise DeployError(msg)
        self._state.supervisor_record.unlink(missing_ok=True)
        self._state.supervisor_socket.unlink(missing_ok=True)
        return len(before)


def log_files(state: State) -> dict[str, Path]:
    """The log of each part that has written one."""
    return {path.stem: path for path in sorted(state.logs.glob("*.log"))}
