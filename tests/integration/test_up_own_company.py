"""`charter up` with an operator's own policy and directory, and the logs of what runs."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from deploy.ports import free_ports
from tests.harness.company import COMPANY
from tests.harness.slapd import BASE_LDIF, SERVICE_DN, SERVICE_PASSWORD, SUFFIX, Slapd
from tests.harness.synapse import Client
from tests.harness.waiting import until
from tests.integration.operating import CHARTER, ROOT, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

POLICY = """\
version: 1
organisation: {name: ACME, server_name: acme.example, timezone: Europe/Berlin, contact: "the service desk"}
grants:
  - {id: everyone, to: [everyone], allow: [chat.*, room.*, profile.*]}
"""


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """A new state directory; whatever a test leaves running is ended."""
    somebody = Operator(tmp_path / "var")
    yield somebody
    somebody.charter("down")
    assert somebody.processes() == []


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A directory with a policy."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.yaml").write_text(POLICY)
    return folder


def log_on(homeserver: str, user: str, password: str) -> int:
    """Log on and return the status."""
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}
    return Client(homeserver).post("/login", body).status


def test_ones_own_directory_server(operator: Operator, policy: Path, tmp_path: Path) -> None:
    """People log on with the passwords of the company's directory; later runs remember where it is."""
    (port,) = free_ports(1)
    secret = tmp_path / "service-password"
    secret.write_text(SERVICE_PASSWORD)
    with Slapd(tmp_path / "slapd", COMPANY) as slapd:
        block = {"servers": [slapd.url], "bind_dn": SERVICE_DN, "bind_password_file": str(secret), "base": SUFFIX}
        (tmp_path / "login.yaml").write_text(yaml.safe_dump({"login": block}))
        words = ["--policy", str(policy), "--login-config", str(tmp_path / "login.yaml"), "--port", str(port)]
        first = operator.charter("up", *words)
        assert first.returncode == 0, first.stderr
        status = operator.status()
        assert status["healthy"]
        assert status["accounts"] == []
        assert {"synapse", "scribe", "steward"} == {row["name"] for row in status["processes"]}
        assert log_on(status["homeserver"], "bob", "bob-secret") == 200
        assert log_on(status["homeserver"], "bob", "wrong") == 403
        assert operator.charter("down").returncode == 0
        again = operator.charter("up")
        assert again.returncode == 0, again.stderr
        assert log_on(status["homeserver"], "carol", "carol-secret") == 200


def test_ones_own_ldif(operator: Operator, policy: Path, tmp_path: Path) -> None:
    """An LDIF is served for trials, with Charter's own account added."""
    (port,) = free_ports(1)
    ldif = tmp_path / "company.ldif"
    ldif.write_text(BASE_LDIF + COMPANY)
    first = operator.charter("up", "--policy", str(policy), "--ldif", str(ldif), "--port", str(port))
    assert first.returncode == 0, first.stderr
    status = operator.status()
    assert status["healthy"]
    assert "directory" in {row["name"] for row in status["processes"]}
    assert log_on(status["homeserver"], "erin", "pässwörd ½") == 200
    assert log_on(status["homeserver"], "erin", "wrong") == 403

    logs = operator.charter("logs", "-n", "3")
    assert logs.returncode == 0
    assert {"directory", "synapse", "steward"} <= {line.split()[0] for line in logs.stdout.splitlines()}
    one = operator.charter("logs", "synapse", "-n", "2")
    assert len(one.stdout.splitlines()) == 2
    assert operator.charter("logs", "nobody").returncode == 2
    _follow(operator)


def _follow(operator: Operator) -> None:
    """One follower is interrupted, another sees the deployment end."""
    command = [CHARTER, "logs", "-f", "-n", "0", "--state", str(operator.state)]
    interrupted = subprocess.Popen([*command, "synapse"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT)
    followed = operator.state.parent / "followed"
    with followed.open("wb") as out:
        follower = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    assert interrupted.stdout is not None
    assert b"HTTP/1.1" in interrupted.stdout.readline()
    os.kill(interrupted.pid, signal.SIGINT)
    rest, _ = interrupted.communicate(timeout=20)
    assert interrupted.returncode == 0, rest
    until(lambda: b"synapse " in followed.read_bytes(), "lines are followed")
    assert operator.charter("down").returncode == 0
    assert follower.wait(timeout=30) == 0
    assert b"level=INFO at=bots.kit.run stopped" in followed.read_bytes()
