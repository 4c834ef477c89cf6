"""The demo company with Element's interface in front of it, as `charter up --demo --web` starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.harness import element_build
from tests.harness.browser import Element, browsers
from tests.harness.ports import free_ports
from tests.harness.synapse import Client
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

CHARTER = str(Path(sys.executable).with_name("charter"))
BUILD_SECONDS = 900.0

if TYPE_CHECKING:
    Opener = Callable[..., AbstractContextManager[list[Element]]]


@dataclass(frozen=True)
class Company:
    """A running demo deployment."""

    state: Path
    homeserver: str
    client: str
    passwords: dict[str, str]

    def person(self, user: str) -> Client:
        """Log somebody on at the API, as a second client would."""
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}}
        answer = Client(self.homeserver).post("/login", {**body, "password": self.passwords[user]})
        assert answer.status == 200, answer
        return Client(self.homeserver, answer.body["access_token"], answer.body["user_id"], answer.body["device_id"])

    def add_rule(self, name: str, rule: dict[str, Any]) -> None:
        """Add a grant to the deployment's policy as an admin does, and wait until it is in force."""
        text = yaml.safe_dump({"grants": [{"id": name, **rule}]})
        (self.state / "policy" / f"{name}.yaml").write_text(text, encoding="utf-8")
        charter(self.state, "apply", str(self.state / "policy"))


def charter(state: Path, *words: str) -> str:
    """Run a command of the command line and return what it printed."""
    command = [CHARTER, *words, "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def served(state: Path) -> dict[str, Any] | None:
    """Return the status once the client is served; None as long as it is being built."""
    status: dict[str, Any] = json.loads(charter(state, "status", "--json"))
    assert status["web"]["state"] != "failed", (status["web"], (state / "logs" / "web-build.log").read_text()[-4000:])
    return status if status["client"] else None


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Start the demo company once for all tests with a browser; the client is built here if it was not before."""
    state = tmp_path_factory.mktemp("company")
    site = state / "web"
    had = element_build.restore(site)
    (port,) = free_ports(1)
    try:
        charter(state, "up", "--demo", "--web", "--port", str(port))
        status = until(partial(served, state), "the browser client is served", within=BUILD_SECONDS)
        assert status is not None
        if not had:
            element_build.keep(site)
        passwords = {account["user"]: account["password"] for account in status["accounts"]}
        yield Company(state, status["homeserver"], status["client"], passwords)
    finally:
        charter(state, "down")


@pytest.fixture
def at_element(company: Company, tmp_path: Path) -> Opener:
    """Return a way to seat people at browsers of their own, logged on."""

    @contextmanager
    def seated(*people: str) -> Iterator[list[Element]]:
        with browsers(company.client, tmp_path, people) as opened:
            for person, element in opened.items():
                element.log_on(person, company.passwords[person])
            yield [opened[person] for person in people]

    return seated
