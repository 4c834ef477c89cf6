"""Bots as real processes on a real Synapse, and what a journal must satisfy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ledger.store import open_ledger
from tests.harness.waiting import until

if TYPE_CHECKING:
    from ledger.record import Record
    from tests.harness.synapse import Client, Homeserver

ROOT = Path(__file__).parents[2]


@dataclass
class BotProcess:
    """One bot; nothing runs before `start`."""

    name: str
    homeserver: Homeserver
    folder: Path
    extra: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        """Write configuration and token."""
        self.folder.mkdir(parents=True, exist_ok=True)
        service = self.homeserver.app_services[f"charter-{self.name}"]
        (self.folder / "token").write_text(service.as_token)
        self.config = {
            "homeserver": self.homeserver.base_url,
            "server_name": self.homeserver.server_name,
            "user_id": self.user_id,
            "device_id": "CHARTER",
            "token_file": "token",
            "state": "state.db",
            "heartbeat": "1s",
            "sync_timeout": "5s",
            **self.extra,
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))

    @property
    def user_id(self) -> str:
        """MXID of the bot."""
        return f"@charter-{self.name}:{self.homeserver.server_name}"

    def start(self) -> None:
        """Start the process."""
        command = [sys.executable, "-m", f"bots.{self.name}", "--config", str(self.folder / "config.yaml")]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}
            )

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        code = self._process.wait(20)
        self._process = None
        return code

    def log(self) -> str:
        """What the bot wrote to stderr."""
        return (self.folder / "log").read_text()


def records(ledger: str, **query: Any) -> list[Record]:
    """Read the ledger beside its writer."""
    path = Path(ledger.removeprefix("sqlite:///"))
    if not path.exists():
        return []
    with open_ledger(ledger, read_only=True) as opened:
        return [entry.record for entry in opened.search(limit=None, **query)]


def event_ids(ledger: str, room: str) -> list[str]:
    """Return the ids of a room's journaled events."""
    return [str(r.body["event_id"]) for r in records(ledger, kind="event", room=room)]


def server_events(client: Client, room: str) -> list[str]:
    """Return the ids of everything in a room that this member can see, from the beginning."""
    found: list[str] = []
    query = {"dir": "f", "limit": "500"}
    while True:
        answer = client.get(f"/rooms/{room}/messages", **query)
        assert answer.status == 200, answer
        found += [event["event_id"] for event in answer.body["chunk"]]
        if "end" not in answer.body:
            return found
        query["from"] = answer.body["end"]


def wait_journaled(ledger: str, client: Client, room: str, *, within: float = 60) -> None:
    """Wait until the ledger holds exactly what the server has of a room."""
    expected = sorted(server_events(client, room))
    until(lambda: sorted(event_ids(ledger, room)) == expected, f"{room} is journaled completely", within=within)


def verified(ledger: str) -> bool:
    """Whether the ledger's own check finds nothing wrong."""
    with open_ledger(ledger, read_only=True) as opened:
        report = opened.verify()
    assert not report.faults, report.faults
    return True
