"""`charter` as an operator uses it: one state directory, commands run to their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.supervision import MARKER

ROOT = Path(__file__).resolve().parents[2]
CHARTER = str(Path(sys.executable).with_name("charter"))


@dataclass
class Operator:
    """Somebody with a shell."""

    state: Path

    def charter(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line to its end."""
        command = [CHARTER, *words, "--state", str(self.state)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
            cwd=ROOT,
            env={**os.environ, **environment},
        )

    def status(self) -> dict[str, Any]:
        """What `charter status --json` says."""
        found: dict[str, Any] = json.loads(self.charter("status", "--json").stdout)
        return found

    def pids(self) -> dict[str, int | None]:
        """The pid of each part."""
        return {row["name"]: row["pid"] for row in self.status()["processes"]}

    def processes(self) -> list[int]:
        """Every living process that carries the deployment's marker."""
        return [process.pid for process in psutil.process_iter() if self._mine(process)]

    def _mine(self, process: psutil.Process) -> bool:
        try:
            mine = process.environ().get(MARKER) == str(self.state.resolve())
            return mine and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return False
