"""A real PostgreSQL and a real Redis for tests, in a directory of their own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.ports import free_ports
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


class MissingServerError(AssertionError):
    """A server that the tests need is not installed; `make test` installs it."""


def _postgres_bin(name: str) -> str:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        msg = f"{name} is not installed (Debian: postgresql)"
        raise MissingServerError(msg)
    return found


def _as_postgres() -> list[str]:
    """PostgreSQL refuses root: run it as the user that Debian's package made."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


@dataclass(frozen=True)
class Postgres:
    """A running cluster; every database has locale C, as Synapse requires."""

    port: int
    data: Path

    def create(self, name: str) -> str:
        """Create a database and return its SQLAlchemy URL."""
        subprocess.run(
            [
                _postgres_bin("createdb"),
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-U",
                "postgres",
                "-T",
                "template0",
                "-E",
                "UTF8",
                "--locale=C",
                name,
            ],
            check=True,
            capture_output=True,
        )
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{name}"


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[Postgres]:
    """Start a throw-away cluster below `folder`; it trusts loopback and skips fsync of nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(_cluster(folder, stack))


def _home(folder: Path, stack: contextlib.ExitStack) -> Path:
    """Return where the data goes: pytest closes its own directories to every other user each time one more pytest starts."""
    if os.geteuid() != 0:
        return folder / "pg"
    home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="charter-postgres-")))
    home.chmod(0o711)
    data = home / "pg"
    data.mkdir()
    owner = pwd.getpwnam("postgres")
    os.chown(data, owner.pw_uid, owner.pw_gid)
    return data


@contextlib.contextmanager
def _cluster(folder: Path, stack: contextlib.ExitStack) -> Iterator[Postgres]:
    data = _home(folder, stack)
    log = stack.enter_context((folder / "postgres.log").open("wb"))
    subprocess.run(
        [
            *_as_postgres(),
            _postgres_bin("initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "--locale=C",
            "-E",
            "UTF8",
            "-N",
        ],
        check=True,
        capture_output=True,
    )
    (port,) = free_ports(1)
    server = subprocess.Popen(
        [
            *_as_postgres(),
            _postgres_bin("postgres"),
            "-D",
            str(data),
            "-p",
            str(port),
            "-k",
            "",
            "-h",
            "127.0.0.1",
            "-c",
            "max_connections=200",
        ],
        stdout=subprocess.DEVNULL,
        stderr=log,
        cwd="/",
    )
    try:
        ready = [_postgres_bin("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL answers")
        yield Postgres(port, data)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Start a throw-away Redis and yield its URL."""
    program = shutil.which("redis-server")
    if program is None:
        msg = "redis-server is not installed (Debian: redis-server)"
        raise MissingServerError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client = shutil.which("redis-cli") or "redis-cli"
        until(
            lambda: (
                subprocess.run([client, "-p", str(port), "ping"], check=False, capture_output=True).stdout == b"PONG\n"
            ),
            "Redis answers",
        )
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
