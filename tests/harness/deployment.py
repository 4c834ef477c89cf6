"""A whole deployment as an operator has it: `charter up` and the other commands, on real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import sqlalchemy as sa

from deploy.ports import free_ports
from tests.harness.synapse import Client, Response
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
CHARTER = str(Path(sys.executable).with_name("charter"))
FRONT = "homeserver"
"""The name of the address that clients are given: Synapse itself, or nginx before its processes."""


@dataclass
class Deployment:
    """The demo company below `state`; nothing runs before `up`.

    Attributes:
        state: the state directory.
        words: options of `charter up` beside --demo, --state and --port.
        database: SQLAlchemy URL of Synapse's database; None is the SQLite in the state directory.
    """

    state: Path
    words: Sequence[str] = ()
    database: str | None = None
    _sessions: dict[str, Client] = field(default_factory=dict)

    def charter(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line to its end, and check its exit code (None: any)."""
        command = [CHARTER, *words, "--state", str(self.state)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150, cwd=ROOT)
        assert code in {None, ended.returncode}, (words, ended.returncode, ended.stderr[-3000:], ended.stdout[-1000:])
        return ended

    def up(self) -> None:
        """Start it, or what has ended of it."""
        port = [] if self.state.exists() else ["--port", str(free_ports(1)[0])]
        self.charter("up", "--demo", *self.words, *port)
        self.ports: dict[str, int] = self.status()["ports"]

    def down(self) -> None:
        """End it."""
        self.charter("down")

    def status(self) -> dict[str, Any]:
        """What `charter status --json` says, healthy or not."""
        found: dict[str, Any] = json.loads(self.charter("status", "--json", code=None).stdout)
        return found

    def pid(self, part: str) -> int:
        """The pid of a part that runs."""
        pid = next(row["pid"] for row in self.status()["processes"] if row["name"] == part)
        assert pid, f"{part} does not run"
        return int(pid)

    @property
    def synapses(self) -> list[str]:
        """The names of Synapse's processes that serve clients, each a name in `ports`."""
        workers = [name for name in self.ports if name.startswith("worker") and name[6:].isdigit()]
        return ["synapse", *sorted(workers)] if workers else [FRONT]

    def url(self, process: str = FRONT) -> str:
        """The address of one process, or of what stands before them all."""
        return f"http://127.0.0.1:{self.ports[process]}"

    # People

    def log_on(self, user: str, password: str | None = None, *, process: str = FRONT) -> Response:
        """Log on with the directory password, `<user>-demo` unless given."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": f"{user}-demo" if password is None else password,
        }
        return Client(self.url(process)).post("/login", body)

    def new_session(self, user: str, *, process: str = FRONT) -> Client:
        """Log on as a demo account and return its client."""
        answer = self.log_on(user, process=process)
        assert answer.status == 200, answer
        return Client(self.url(process), answer.body["access_token"], answer.body["user_id"], answer.body["device_id"])

    def client(self, user: str) -> Client:
        """The session of a person, the same for all tests: a log-on costs one of a few."""
        if user not in self._sessions:
            self._sessions[user] = self.new_session(user)
        return self._sessions[user]

    def at(self, client: Client, process: str) -> Client:
        """The same session, served by another process; the same object for each, whose transaction ids are its own."""
        name = f"{process} {client.token}"
        if name not in self._sessions:
            self._sessions[name] = Client(self.url(process), client.token, client.user_id, client.device_id)
        return self._sessions[name]

    def everywhere(self, client: Client) -> dict[str, Client]:
        """The same session at the front and at each process by itself."""
        return {name: self.at(client, name) for name in {FRONT: 0} | dict.fromkeys(self.synapses)}

    # The policy

    @property
    def policy(self) -> Path:
        """The policy that the admin edits."""
        return self.state / "policy"

    def apply(self) -> dict[str, Any]:
        """`charter apply` of the edited policy; returns what it says."""
        said: dict[str, Any] = json.loads(self.charter("apply", str(self.policy), "--json").stdout)
        assert said["ok"], said
        return said

    @contextmanager
    def edited(self, change: Callable[[str], str]) -> Iterator[dict[str, Any]]:
        """Edit the grants and apply them; afterwards put them back and apply that."""
        path = self.policy / "grants.yaml"
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)
        try:
            yield self.apply()
        finally:
            path.write_text(before)
            self.apply()

    # The directory

    @contextmanager
    def directory_entry(self, user: str, line: str) -> Iterator[None]:
        """Add a line to somebody's entry of the directory; afterwards take it out."""
        path = self.state / "directory" / "acme.ldif"
        before = path.read_text()
        start = f"dn: uid={user},ou=people,dc=acme,dc=example\n"
        assert before.count(start) == 1
        path.write_text(before.replace(start, start + line + "\n"))
        try:
            yield
        finally:
            path.write_text(before)

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Stop a part's process without ending it: connections open and nothing answers."""
        process = psutil.Process(self.pid(part))
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def kill(self, part: str) -> Callable[[], None]:
        """SIGKILL a part; returns what waits until its supervisor has started it again."""
        old = self.pid(part)
        psutil.Process(old).kill()

        def healthy_again() -> bool:
            row = next(row for row in self.status()["processes"] if row["name"] == part)
            return bool(row["healthy"] and row["pid"] not in {None, old})

        def wait() -> None:
            until(healthy_again, f"{part} was started again", within=60)

        return wait

    # The evidence

    def ledger(self, **conditions: str) -> list[dict[str, Any]]:
        """`charter ledger search --json`, all of it."""
        options = [word for name, value in conditions.items() for word in (f"--{name}", value)]
        answer = self.charter("ledger", "search", "--json", "--limit", "100000", *options)
        records: list[dict[str, Any]] = json.loads(answer.stdout)
        return records

    def record(self, record_id: str, **conditions: str) -> dict[str, Any]:
        """Wait until the ledger has a record, and return it."""

        def found() -> list[dict[str, Any]]:
            return [record for record in self.ledger(**conditions) if record["id"] == record_id]

        (record,) = until(found, f"{record_id} is in the ledger", within=30)
        return record

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read Synapse's database beside it."""
        engine = sa.create_engine(self.database or f"sqlite:///{self.state}/synapse/homeserver.db")
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(sa.text(sql))]
        finally:
            engine.dispose()

    def metrics(self, process: str) -> dict[str, float]:
        """The metrics of one of `synapses`: sample with its labels -> value."""
        name = f"{process}_metrics" if process.startswith("worker") else "metrics"
        page = Client(f"http://127.0.0.1:{self.ports[name]}").request("GET", "/_synapse/metrics").body
        lines = page.decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {sample: float(value) for sample, _, value in samples}

    def processes(self) -> dict[int, str]:
        """Every living process whose command line, directory or environment names the state directory."""
        word = os.fsencode(str(self.state))
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                command, named = _names(folder, word)
                if named:
                    found[int(folder.name)] = command
        return found


def _names(folder: Path, word: bytes) -> tuple[str, bool]:
    """Return a process's command line, and whether it has to do with a path; a process that has just ended has not."""
    try:
        command = (folder / "cmdline").read_bytes()
        seen = command + (folder / "environ").read_bytes() + os.fsencode((folder / "cwd").readlink())
    except OSError:
        return "", False
    return command.replace(b"\0", b" ").decode(errors="replace"), bool(command) and word in seen


def marker(event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the refusal that an event stands for, or None."""
    found: dict[str, Any] | None = event["content"].get("org.charter.refusal")
    return found


def everything(client: Client, room: str) -> list[dict[str, Any]]:
    """Return every event of a room that a member can read, from the beginning."""
    found: list[dict[str, Any]] = []
    query = {"dir": "f", "limit": "500"}
    while True:
        answer = client.get(f"/rooms/{room}/messages", **query)
        assert answer.status == 200, answer
        found += answer.body["chunk"]
        if "end" not in answer.body:
            return found
        query["from"] = answer.body["end"]


def persistently(client: Client, room: str, content: dict[str, Any], transaction: str) -> Response:
    """Send a message as clients do: again and again with the same transaction id until the server has it."""

    def sent() -> Response | None:
        try:
            answer = client.put(f"/rooms/{room}/send/m.room.message/{transaction}", content)
        except OSError:
            return None
        return answer if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR else None

    answer = until(sent, "the server takes a message", within=60)
    assert answer is not None
    return answer
