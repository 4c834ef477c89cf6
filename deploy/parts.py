"""The parts of a deployment, in the order in which they are started."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import util
from typing import TYPE_CHECKING

from deploy.errors import MissingProgramError

if TYPE_CHECKING:
    from deploy.state import Deployment, State

WEB = "web"
"""The browser client's server; started only once the client is built."""

_PACKAGES = (
    ("synapse", "synapse"),
    ("ldap3", "synapse"),
    ("nio", "bots"),
    ("supervisor", "demo"),
    ("jinja2", "demo"),
    ("psutil", "demo"),
)
"""Python packages that every deployment imports, and the extra that brings each."""


@dataclass(frozen=True, slots=True)
class Part:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    restart: bool = True


def parts_of(state: State, deployment: Deployment) -> tuple[Part, ...]:
    """Every process of a deployment; each stops before those above it."""
    python = sys.executable
    parts: list[Part] = []
    if deployment.directory_port is not None and deployment.ldif is not None:
        port = str(deployment.directory_port)
        command = (python, "-m", "deploy.ldap_server", "--ldif", str(deployment.ldif), "--port", port)
        parts.append(Part("directory", command))
    homeserver = str(state.synapse / "homeserver.yaml")
    parts.append(Part("synapse", (python, "-m", "synapse.app.homeserver", "-c", homeserver)))
    for number, _ in enumerate(deployment.worker_ports, start=1):
        own = str(state.synapse / f"worker{number}.yaml")
        command = (python, "-m", "synapse.app.generic_worker", "-c", homeserver, "-c", own)
        parts.append(Part(f"worker{number}", command))
    if deployment.worker_ports:
        nginx = shutil.which("nginx", path=search_path()) or "nginx"
        parts.append(Part("nginx", (nginx, "-e", "stderr", "-p", str(state.run), "-c", str(state.run / "nginx.conf"))))
    parts.extend(
        Part(bot, (python, "-m", f"bots.{bot}", "--config", str(state.bots / f"{bot}.yaml")))
        for bot in ("scribe", "steward")
    )
    parts.append(Part(WEB, (python, "-m", "deploy.web_server", "--state", str(state.root))))
    return tuple(parts)


def search_path() -> str:
    """Where programs are looked for: PATH, and the sbin directories an ordinary user's PATH lacks."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def require_programs(*, embedded_directory: bool, workers: int, postgresql: bool) -> None:
    """Check that everything the parts need is installed, before anything is started.

    Raises:
        MissingProgramError: names the first that is missing and how to get it.
    """
    packages = list(_PACKAGES)
    if embedded_directory:
        packages.append(("ldaptor", "demo"))
    if postgresql:
        packages.append(("psycopg2", "postgres"))
    if workers:
        packages.append(("txredisapi", "postgres"))
    for package, extra in packages:
        if util.find_spec(package) is None:
            name = f"The Python package `{package}`"
            raise MissingProgramError(name, f"Install it with: {sys.executable} -m pip install 'charter[{extra}]'")
    if workers and shutil.which("nginx", path=search_path()) is None:
        name = "nginx"
        raise MissingProgramError(name, "It spreads requests over the workers. On Debian: apt install nginx-light")
