"""`charter up` as an operator sees it: started, damaged, mended, started again and ended, on real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from deploy.ports import free_ports
from tests.harness.waiting import until
from tests.integration.operating import ROOT, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """A new state directory; whatever a test leaves running is ended."""
    somebody = Operator(tmp_path / "var")
    yield somebody
    somebody.charter("down")
    assert somebody.processes() == []


@pytest.fixture
def port() -> int:
    """A free port for the homeserver."""
    return free_ports(1)[0]


def test_the_life_of_a_demo(operator: Operator, port: int) -> None:
    """Up, healthy, a part killed and back, up again at once, down without a remainder."""
    first = operator.charter("up", "--demo", "--port", str(port))
    assert first.returncode == 0, first.stderr
    assert f"http://127.0.0.1:{port}" in first.stdout
    assert "ada-demo" in first.stdout

    status = operator.status()
    assert status["healthy"]
    assert status["server_name"] == "acme.example"
    assert status["homeserver"] == f"http://127.0.0.1:{port}"
    assert {"directory", "synapse", "scribe", "steward"} == {row["name"] for row in status["processes"]}
    assert all(status["rooms"].values())
    assert len(status["policy"]) == 64
    assert "traders" in next(row["groups"] for row in status["accounts"] if row["user"] == "ada")
    assert Path(status["ledger"]).exists()

    before = operator.pids()
    for name in ("directory", "scribe"):
        victim = before[name]
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    second = operator.charter("up", "--demo")
    took = time.monotonic() - began
    assert second.returncode == 0, second.stderr
    assert took < 10
    after = operator.pids()
    assert operator.status()["healthy"]
    assert before["synapse"] == after["synapse"]
    assert before["directory"] != after["directory"]

    down = operator.charter("down")
    assert down.returncode == 0, down.stderr
    assert operator.processes() == []
    assert not operator.status()["healthy"]
    assert "Nothing was running" in operator.charter("down").stdout

    third = operator.charter("up", "--json")
    assert third.returncode == 0, third.stderr
    assert json.loads(third.stdout)["policy"] == status["policy"]
    assert json.loads(third.stdout)["rooms"] == status["rooms"]
    assert "differs" not in third.stderr

    (operator.state / "policy" / "more.yaml").write_text("grants:\n  - {id: more, to: [everyone], allow: [presence]}\n")
    fourth = operator.charter("up")
    assert fourth.returncode == 0, fourth.stderr
    assert f"The policy in {operator.state}/policy differs from the one in force;" in fourth.stderr
    assert operator.charter("apply", str(operator.state / "policy"), "--tests", "skip").returncode == 0
    assert "differs" not in operator.charter("up").stderr


def test_a_scribe_that_was_killed_is_soon_healthy_again(operator: Operator, port: int) -> None:
    """On an idle server it says so right after its start, long before a request that the server holds would end."""
    assert operator.charter("up", "--demo", "--port", str(port)).returncode == 0
    config = operator.state / "bots" / "scribe.yaml"
    config.write_text(config.read_text().replace('"4s"', '"120s"'))
    victim = operator.pids()["scribe"]
    assert victim is not None
    os.kill(victim, signal.SIGKILL)

    def back() -> bool:
        rows = [row for row in operator.status()["processes"] if row["name"] == "scribe"]
        return bool(rows[0]["healthy"] and rows[0]["pid"] != victim)

    until(back, "the scribe is healthy", within=20)


def test_a_client_that_is_built_is_served_and_named(operator: Operator, port: int) -> None:
    """`up` waits until it answers: the text names its address, so does the status, and a second `up` is quick."""
    (operator.state / "web").mkdir(parents=True)
    (operator.state / "web" / "index.html").write_text("<p>built</p>")
    first = operator.charter("up", "--demo", "--port", str(port))
    assert first.returncode == 0, first.stderr
    status = operator.status()
    assert status["client"] == f"http://127.0.0.1:{status['ports']['web']}"
    assert status["client"] in first.stdout
    began = time.monotonic()
    second = operator.charter("up", "--web")
    assert time.monotonic() - began < 10
    assert status["client"] in second.stdout
    assert operator.status()["client"] == status["client"]


def test_secrets_stay_in_private_files(operator: Operator, port: int) -> None:
    """No other user can read a secret, on disk, in a command line or in an environment."""
    assert operator.charter("up", "--demo", "--port", str(port)).returncode == 0
    keys = sorted((operator.state / "keys").iterdir())
    assert keys
    assert {0o600} == {path.stat().st_mode & 0o777 for path in keys}
    assert (operator.state / "keys").stat().st_mode & 0o777 == 0o700
    secrets = [path.read_text().strip() for path in keys if path.suffix in {".secret", ".token"}]
    for pid in operator.processes():
        process = psutil.Process(pid)
        shown = " ".join([*process.cmdline(), *process.environ().values()])
        assert not any(secret in shown for secret in secrets)


def test_a_supervisor_that_was_killed_is_replaced(operator: Operator, port: int) -> None:
    """SIGKILL of the supervisor orphans the parts; the next `up` ends them and starts anew."""
    assert operator.charter("up", "--demo", "--port", str(port)).returncode == 0
    record = json.loads((operator.state / "run" / "supervisord.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    orphans = set(operator.processes()) - {record["pid"]}
    assert orphans
    again = operator.charter("up", "--demo")
    assert again.returncode == 0, again.stderr
    assert not orphans & set(operator.processes())
    assert operator.status()["healthy"]


def test_a_taken_port_is_one_clear_error(operator: Operator) -> None:
    """Nothing is started when the port is somebody else's."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        found = operator.charter("up", "--demo", "--port", str(number))
    assert found.returncode == 2
    assert f"error: Port {number} on 127.0.0.1 is taken by another program." in found.stderr
    assert "Traceback" not in found.stderr
    assert operator.processes() == []
    assert not operator.state.exists()


def test_a_broken_policy_is_one_clear_error(operator: Operator, port: int) -> None:
    """The error names the place, the exit code says that the policy is at fault, nothing runs."""
    company = ROOT / "policies" / "acme"
    broken = operator.state.parent / "policy"
    broken.mkdir()
    text = (company / "organisation.yaml").read_text().replace("timezone:", "timezoon:")
    (broken / "organisation.yaml").write_text(text)
    found = operator.charter(
        "up", "--policy", str(broken), "--ldif", str(company / "directory.ldif"), "--port", str(port)
    )
    assert found.returncode == 1
    assert "organisation.yaml:" in found.stderr
    assert "The policy is broken" in found.stderr
    assert operator.processes() == []
    assert not operator.state.exists()


def test_a_missing_program_is_one_clear_error(operator: Operator, port: int, tmp_path: Path) -> None:
    """Workers need nginx; without it the error says how to get it."""
    words = ["--workers", "2", "--database", "postgresql://nobody@127.0.0.1/none", "--redis", "redis://127.0.0.1:1/0"]
    script = "import deploy.parts as p; p.search_path = lambda: '/nonexistent'; from charter.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        script,
        "up",
        "--demo",
        "--port",
        str(port),
        *words,
        "--state",
        str(tmp_path / "var"),
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert found.returncode == 2
    assert "nginx is needed and is not installed" in found.stderr
    assert operator.processes() == []


def test_a_part_that_cannot_start_takes_the_others_with_it(operator: Operator, port: int) -> None:
    """When Synapse cannot start, what this call started is ended and the error shows its last words."""
    operator.state.mkdir()
    (operator.state / "synapse").mkdir()
    (operator.state / "synapse" / "homeserver.db").write_bytes(
        b"this is no database, and it is long enough to be read" * 40
    )
    found = operator.charter("up", "--demo", "--port", str(port))
    assert found.returncode == 2
    assert "`synapse` did not become healthy" in found.stderr
    assert "synapse.log" in found.stderr
    assert operator.processes() == []
