"""Whether each part really works: asked of the part itself, not of its process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy import http_json
from deploy.parts import WEB, parts_of
from deploy.render import BOTS, SERVICE_DN, bot_user

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.state import Deployment, State
    from deploy.supervision import Running

ROOMS = ("journal", "audit", "alerts", "approvals")
"""The compliance rooms that the scribe makes."""

API = "/_synapse/client/charter/v1/"
HEARTBEAT_SECONDS = 30.0
CHECK_TIMEOUT = 3.0
LDAP_SECONDS = 3
"""A whole number: ldap3 packs it into a socket option."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part: `healthy`, or `reason` says why not."""

    name: str
    pid: int | None
    healthy: bool
    reason: str = ""


@dataclass(frozen=True)
class Custody:
    """Charter's own API in Synapse, as its bots see it."""

    state: State
    deployment: Deployment

    def get(self, path: str, *, bot: str = "steward") -> http_json.Answer:
        """Ask one of the calls of docs/contracts.md, as one of the bots."""
        token = (self.state.keys / f"{bot}.token").read_text(encoding="utf-8").strip()
        return http_json.request(
            "GET",
            self.deployment.homeserver_url + API + path,
            token=token,
            query={"user_id": bot_user(bot, self.deployment.server_name)},
            timeout=CHECK_TIMEOUT,
        )

    def policy_in_force(self) -> str | None:
        """The digest of the newest policy; None when there is none, or when Synapse does not answer.

        Needs no token: a bot that has not started yet is unknown to Synapse.
        """
        url = self.deployment.homeserver_url + API + "bundle/head"
        answer = http_json.request("GET", url, timeout=CHECK_TIMEOUT)
        return str(answer.body["digest"]) or None if answer.ok else None


@dataclass(frozen=True)
class Probe:
    """One look at a deployment."""

    state: State
    deployment: Deployment
    running: Mapping[str, Running]

    def part(self, name: str) -> PartHealth:
        """Check one part."""
        running = self.running.get(name)
        if running is None or running.pid is None or running.state not in {"RUNNING", "STARTING"}:
            return PartHealth(name, None, healthy=False, reason=_why_down(running))
        problem = self._problem(name)
        return PartHealth(name, running.pid, healthy=not problem, reason=problem)

    def all(self, *, with_web: bool) -> list[PartHealth]:
        """Check every part, in the order of start."""
        names = [part.name for part in parts_of(self.state, self.deployment) if part.name != WEB or with_web]
        return [self.part(name) for name in names]

    def _problem(self, name: str) -> str:
        """What is wrong with a part whose process runs, or nothing."""
        deployment = self.deployment
        if name == "directory":
            return directory_problem(deployment.directory_port or 0, self.state)
        if name == "synapse":
            return _http_problem(f"http://127.0.0.1:{deployment.synapse_port}/health")
        if name == "nginx":
            return _http_problem(f"{deployment.homeserver_url}/_matrix/client/versions")
        if name == WEB:
            return _http_problem(f"{deployment.client_url}/config.json")
        if name in BOTS:
            return self._bot_problem(name, self.running[name].started)
        port = deployment.worker_ports[int(name.removeprefix("worker")) - 1]
        return _http_problem(f"http://127.0.0.1:{port}/health")

    def _bot_problem(self, name: str, started: float) -> str:
        # Each asks for itself: Synapse does not know the other before its first start.
        answer = Custody(self.state, self.deployment).get("health", bot=name)
        if not answer.ok:
            return f"Synapse does not tell of its heartbeat: {_error(answer)}"
        bots: dict[str, Any] = answer.body.get("bots", {})
        user = bot_user(name, self.deployment.server_name)
        beat = bots.get(name) or bots.get(user)
        if not beat:
            return "no heartbeat yet"
        seen = float(beat["seen_at"]) / 1000
        if seen < started:
            return "no heartbeat since its start"
        age = time.time() - seen
        if age > HEARTBEAT_SECONDS:
            return f"its last heartbeat was {age:.0f} s ago"
        return "" if beat.get("healthy") else "it says that it is not healthy"


def directory_problem(port: int, state: State) -> str:
    """Bind as Synapse will; an empty text when the embedded directory lets us in."""
    import ldap3  # noqa: PLC0415 - `charter down` must work where ldap3 does not
    from ldap3.core.exceptions import LDAPException  # noqa: PLC0415 - as above

    password = (state.keys / "directory.secret").read_text(encoding="utf-8").strip()
    server = ldap3.Server("127.0.0.1", port=port, connect_timeout=LDAP_SECONDS, get_info=ldap3.NONE)
    connection = ldap3.Connection(server, SERVICE_DN, password, receive_timeout=LDAP_SECONDS, auto_referrals=False)
    try:
        if not connection.bind():
            return f"it refuses Charter's own account: {connection.result['description']}"
    except LDAPException as error:
        return f"it does not answer: {type(error).__name__}"
    finally:
        connection.unbind()
    return ""


def _http_problem(url: str) -> str:
    answer = http_json.request("GET", url, timeout=CHECK_TIMEOUT)
    # Synapse's /health says OK, not JSON.
    return "" if answer.ok else f"it does not answer: {_error(answer)}"


def _error(answer: http_json.Answer) -> str:
    detail = answer.body.get("error") if isinstance(answer.body, dict) else None
    return str(detail or f"HTTP {answer.status}")


def _why_down(running: Running | None) -> str:
    if running is None:
        return "not running"
    return f"{running.state.lower()}: {running.detail}" if running.detail else running.state.lower()
