"""The state directory of `charter up`: its layout, its lock, and what was chosen for it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.errors import DeployError
from deploy.secret_files import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET_PATH_LIMIT = 100
"""sockaddr_un holds 108 bytes; supervisord appends `.PID` while it creates its socket."""

DEFAULT_PORT = 8008


class Deployment(BaseModel):
    """What was chosen when the deployment was made; kept in `deployment.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server_name: str
    demo: bool
    homeserver_port: int = Field(ge=1, le=65535)
    synapse_port: int = Field(ge=1, le=65535)
    metrics_port: int = Field(ge=1, le=65535)
    replication_port: int = Field(ge=1, le=65535)
    directory_port: int | None = Field(ge=1, le=65535, description="None: the directory is somebody else's.")
    web_port: int = Field(ge=1, le=65535)
    worker_ports: tuple[int, ...] = ()
    worker_metrics_ports: tuple[int, ...] = ()
    database: str = Field(description="`sqlite` or `postgresql`; the URL with its password is in keys/.")
    policy: Path
    ldif: Path | None
    login_config: Path | None
    presence: bool
    timezone: str = "UTC"

    @property
    def homeserver_url(self) -> str:
        """Where clients reach the homeserver."""
        return f"http://127.0.0.1:{self.homeserver_port}"

    @property
    def client_url(self) -> str:
        """Where the browser client is served once it was built."""
        return f"http://127.0.0.1:{self.web_port}"

    def ports(self) -> dict[str, int]:
        """Every port by the name of what listens there."""
        ports = {"homeserver": self.homeserver_port, "metrics": self.metrics_port, "web": self.web_port}
        if self.directory_port is not None:
            ports["directory"] = self.directory_port
        if self.worker_ports:
            ports |= {"synapse": self.synapse_port, "replication": self.replication_port}
        ports |= {f"worker{number}": port for number, port in enumerate(self.worker_ports, start=1)}
        return ports | {
            f"worker{number}_metrics": port for number, port in enumerate(self.worker_metrics_ports, start=1)
        }


@dataclass(frozen=True)
class State:
    """Paths below one state directory; knows names, holds nothing open."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> State:
        """The state directory at a path, which need not exist yet."""
        return cls(path.expanduser().resolve())

    @property
    def deployment_file(self) -> Path:
        """What was chosen."""
        return self.root / "deployment.json"

    @property
    def keys(self) -> Path:
        """Secrets; mode 0700."""
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        """One log for each part."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Sockets, pid and status files: of no worth after `down`."""
        return self.root / "run"

    @property
    def synapse(self) -> Path:
        """Synapse's configuration, media and SQLite database."""
        return self.root / "synapse"

    @property
    def bots(self) -> Path:
        """The bots' configurations and stores."""
        return self.root / "bots"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.root / "ledger" / "ledger.db"

    @property
    def web(self) -> Path:
        """The browser client once built."""
        return self.root / "web"

    @property
    def supervisor_config(self) -> Path:
        """The configuration of supervisord."""
        return self.run / "supervisord.conf"

    @property
    def supervisor_record(self) -> Path:
        """Which process supervises this deployment."""
        return self.run / "supervisord.json"

    @property
    def web_record(self) -> Path:
        """How far the browser client's build is."""
        return self.run / "web.json"

    @property
    def supervisor_socket(self) -> Path:
        """The control socket of supervisord; under the runtime directory when the state's path is too long."""
        socket = self.run / "supervisor.sock"
        if len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT:
            return socket
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        return base / f"charter-{os.getuid()}" / f"{digest}.sock"

    def create(self) -> None:
        """Create every directory with its mode.

        Raises:
            DeployError: the state directory cannot be made or is not ours.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for path in (self.keys, self.synapse, self.bots, self.run, self.logs, self.ledger.parent):
                private_directory(path)
            socket_home = private_directory(self.supervisor_socket.parent)
        except OSError as error:
            msg = f"The state directory {self.root} cannot be used: {error.strerror}."
            raise DeployError(msg, advice="Choose another with --state DIR.") from error
        if socket_home.stat().st_uid != os.getuid():
            msg = f"{socket_home} belongs to another user."
            raise DeployError(msg, advice="Set XDG_RUNTIME_DIR to a directory of your own.")

    def load(self) -> Deployment | None:
        """What was chosen, or None before the first `up`.

        Raises:
            DeployError: the file is there and cannot be read as one.
        """
        try:
            return Deployment.model_validate_json(self.deployment_file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            msg = f"{self.deployment_file} cannot be read."
            advice = "It was written by another version, or was edited. Choose another --state, or mend it."
            raise DeployError(msg, advice=advice) from error

    def save(self, deployment: Deployment) -> None:
        """Remember what was chosen."""
        write_private(self.deployment_file, deployment.model_dump_json(indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the state directory's lock: one `up` or `down` at a time.

        Raises:
            DeployError: another command holds it.
        """
        self.create()
        with (self.run / "lock").open("w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                msg = f"Another `charter up` or `charter down` is at work in {self.root}."
                raise DeployError(msg, advice="Wait until it is done.") from error
            yield
