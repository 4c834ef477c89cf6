"""Small doubles of Synapse's objects and of the runtime, enough for the gate's units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from charter.directory import DirectorySnapshot
from charter.judge import compile_policy
from charter.policy import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from charter.judge import Compiled

SCRIBE = "@scribe:acme.example"
HEAD = 'version: 1\norganisation: {name: ACME, server_name: acme.example, contact: "Ask Ada."}\n'


def compiled(folder: Path, yaml: str) -> Compiled:
    """Compile a policy written without its head."""
    (folder / "policy.yaml").write_text(HEAD + yaml)
    loaded = load(folder)
    assert loaded.policy_set is not None, loaded.diagnostics
    return compile_policy(loaded.policy_set, DirectorySnapshot({}, 0.0), bots=frozenset({SCRIBE}))


@dataclass
class Outbox:
    """Keeps records; fails when told to."""

    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    broken: bool = False

    async def put(self, kind: str, **record: Any) -> str:
        """Keep a record durably, or fail."""
        if self.broken:
            msg = "disk full"
            raise OSError(msg)
        return self.put_soon(kind, **record)

    def put_soon(self, kind: str, **record: Any) -> str:
        """Keep a record."""
        self.records.append((kind, record))
        return f"r-{len(self.records)}"

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """Return the bodies of a kind."""
        return [record["body"] for found, record in self.records if found == kind]


@dataclass
class Runtime:
    """A runtime with a clock that tests set."""

    policy: Compiled | None = None
    outbox: Outbox = field(default_factory=Outbox)
    stage: str = "enforce"
    time: float = 1_795_420_800.0
    age: float | None = None

    def directory_age(self) -> float | None:
        """Return the age of the directory."""
        return self.age

    def compiled(self) -> Compiled | None:
        """Return the policy."""
        return self.policy

    def now(self) -> float:
        """Return the time."""
        return self.time

    def is_bot(self, user: str) -> bool:
        """Whether it is the scribe."""
        return user == SCRIBE


@dataclass
class Event:
    """An event as the gate reads one."""

    type: str
    content: Mapping[str, Any]
    sender: str = "@alice:acme.example"
    state_key: str | None = None
    room_id: str = "!r:acme.example"

    def is_state(self) -> bool:
        """Whether it is a state event."""
        return self.state_key is not None

    def get_state_key(self) -> str | None:
        """Return its state key."""
        return self.state_key

    def get_dict(self) -> dict[str, Any]:
        """Return a copy as JSON."""
        return {"type": self.type, "content": dict(self.content), "sender": self.sender, "room_id": self.room_id}


@dataclass
class Membership:
    """A row of room_memberships."""

    user_id: str
    membership: str


@dataclass
class Store:
    """Events by id; counts what is read."""

    events: dict[str, Event] = field(default_factory=dict)
    reads: int = 0

    async def get_membership_from_event_ids(self, ids: Mapping[str, str]) -> dict[str, Membership | None]:
        """Return memberships by event id."""
        self.reads += 1
        return {
            i: Membership(str(self.events[i].state_key), self.events[i].content["membership"])
            for i in ids
            if i in self.events
        }

    async def get_event(self, event_id: str, *, allow_none: bool = False) -> Event | None:
        """Return an event."""
        self.reads += 1
        assert allow_none
        return self.events.get(event_id)


@dataclass
class Context:
    """An event context with a state group."""

    state_group_before_event: int | None
    state: dict[tuple[str, str], str]
    prev_group_for_state_group_before_event: int | None = None
    delta_ids_to_state_group_before_event: dict[tuple[str, str], str] | None = None
    asked: int = 0

    async def get_prev_state_ids(self, _filter: Any = None) -> dict[tuple[str, str], str]:
        """Return the state before the event."""
        self.asked += 1
        return self.state
