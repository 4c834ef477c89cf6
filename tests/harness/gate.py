"""A Synapse with Charter's gate and a way to apply policies to it, for tests that need no directory."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from charter.bundle import sign
from charter.policy import load
from tests.harness.synapse import Client, Homeserver, Response
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

API = "/_synapse/client/charter/v1"
SCRIBE = "@charter-scribe:acme.example"
STEWARD = "@charter-steward:acme.example"
PARTS = ("custody.Custody", "gatekeeper.Gatekeeper", "federation_gate.FederationGate")


@dataclass
class Gate:
    """A monolith below `folder` and the admin's key; `helpdesk` is an application service that is not Charter's."""

    folder: Path
    extra: dict[str, Any] = field(default_factory=dict)
    workers: int = 0
    database: str | None = None
    redis: str | None = None

    def __post_init__(self) -> None:
        """Write the configuration."""
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        config = {
            "policy_keys": {"admin": base64.b64encode(public).decode()},
            "bots": {"scribe": SCRIBE, "steward": STEWARD},
            "poll_interval": "100ms",
        }
        self.homeserver = Homeserver(
            self.folder / "synapse",
            modules=[{"module": f"synapse_modules.{part}", "config": config} for part in PARTS],
            bots=("charter-scribe", "charter-steward", "helpdesk"),
            extra=self.extra,
            workers=self.workers,
            database=self.database,
            redis=self.redis,
        )
        self._applied: list[str] = []

    def start(self) -> None:
        """Start, and register the bots."""
        self.homeserver.start()
        self.scribe = self.homeserver.bot("charter-scribe")
        self.steward = self.homeserver.bot("charter-steward")

    def apply(self, yaml: str, *, stage: Any = "enforce") -> str:
        """Apply a policy, wait until every process judges by it, and return its digest."""
        folder = self.folder / f"policy{len(self._applied)}"
        folder.mkdir()
        (folder / "policy.yaml").write_text(yaml)
        loaded = load(folder)
        assert loaded.policy_set is not None, loaded.diagnostics
        bundle = sign(
            loaded.policy_set,
            self.key,
            "admin",
            sequence=len(self._applied) + 1,
            previous=self._applied[-1] if self._applied else "",
            stage=stage,
            created_at=1_795_420_800,
        )
        plain = Client(self.homeserver.base_url)
        answer = plain.request("PUT", f"{API}/bundle", orjson.loads(bundle.to_json()))
        assert answer.status == 200, answer
        self._applied.append(bundle.digest)
        processes = 1 + self.workers

        def judging() -> bool:
            counts = plain.request("GET", f"{API}/processes", query={"digest": bundle.digest}).body
            return bool(counts.get("judging", 0) >= processes)

        until(judging, "every process judges by the policy")
        return bundle.digest

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the outbox's records of a kind as the scribe would get them, oldest first."""
        answer = self.scribe.request("GET", f"{API}/outbox", query={"limit": "1000"})
        assert answer.status == 200, answer
        return [record for record in answer.body["records"] if record["kind"] == kind]

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the SQLite database beside the running Synapse."""
        with closing(sqlite3.connect(self.homeserver.folder / "homeserver.db", timeout=10)) as connection:
            return connection.execute(sql, values).fetchall()

    def metrics(self) -> str:
        """Return the main process's metrics page."""
        port = self.homeserver.metrics_ports["main"]
        body = Client(f"http://127.0.0.1:{port}").request("GET", "/_synapse/metrics").body
        return body.decode() if isinstance(body, bytes) else str(body)


def texts(client: Client, room: str) -> list[str]:
    """Return the bodies of all messages that somebody can read in a room."""
    return [event["content"].get("body", "") for event in client.messages(room) if event["type"] == "m.room.message"]


def room_of(answer: Response) -> str:
    """Return the room id of a successful creation."""
    assert answer.status == 200, answer
    return str(answer.body["room_id"])


def joined(owner: Client, guests: Sequence[Client], **config: Any) -> str:
    """Create a room and have guests join it."""
    room = room_of(owner.create_room(invite=[guest.user_id for guest in guests], **config))
    for guest in guests:
        answer = guest.join(room)
        assert answer.status == 200, answer
    return room
