"""The embedded demonstration directory as a test fixture."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.harness.waiting import until


@dataclass
class DemoDirectory:
    """One running `python -m deploy.ldap_server`; use it as a context manager."""

    folder: Path
    ldif: str

    def __post_init__(self) -> None:
        """Write the LDIF."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "directory.ldif"
        self.file.write_text(self.ldif)
        self.output = self.folder / "server.log"
        self.url = ""

    def __enter__(self) -> Self:
        """Start it and wait for its ready line."""
        command = [sys.executable, "-m", "deploy.ldap_server", "--ldif", str(self.file), "--port", "0"]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2]
            )
        self.url = until(self._ready, "the demo directory is ready")
        return self

    def _ready(self) -> str:
        assert self._process.poll() is None, self.output.read_text()
        found = re.search(r"^ready: (ldap://\S+)$", self.output.read_text(), re.MULTILINE)
        return found[1] if found else ""

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)
