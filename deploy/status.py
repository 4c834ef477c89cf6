"""What `charter status` says; its JSON is a contract (see docs/reference/cli.md)."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import psutil

from deploy import demo
from deploy.health import ROOMS, Custody, Probe
from deploy.parts import WEB
from deploy.supervision import Supervisor

if TYPE_CHECKING:
    from deploy.health import PartHealth
    from deploy.state import Deployment, State


def web_state(state: State) -> dict[str, Any]:
    """How far the browser client is: `state` is none, building, ready or failed; `step` says more."""
    with contextlib.suppress(OSError, ValueError):
        record: dict[str, Any] = json.loads(state.web_record.read_text(encoding="utf-8"))
        pid = record.pop("pid", 0)
        if record["state"] == "building" and record["step"] != "starting" and not psutil.pid_exists(pid):
            return {"state": "failed", "step": "it was interrupted; `charter up --web` begins again"}
        return record
    return {"state": "ready" if (state.web / "index.html").exists() else "none", "step": ""}


def nothing() -> dict[str, Any]:
    """The status where nothing was ever started."""
    return {
        "healthy": False,
        "server_name": None,
        "homeserver": None,
        "client": None,
        "accounts": [],
        "rooms": dict.fromkeys(ROOMS),
        "processes": [],
        "policy": None,
        "ledger": None,
        "ports": {},
        "web": {"state": "none", "step": ""},
    }


def status(state: State) -> dict[str, Any]:
    """Look at every part now."""
    deployment = state.load() if state.root.is_dir() else None
    if deployment is None:
        return nothing()
    web = web_state(state)
    supervisor = Supervisor(state)
    probe = Probe(state, deployment, supervisor.parts() if supervisor.alive() else {})
    parts = probe.all(with_web=web["state"] == "ready")
    policy = Custody(state, deployment).policy_in_force()
    served = any(part.name == WEB and part.healthy for part in parts)
    return {
        # The browser client is a comfort: its failure does not make the deployment unhealthy.
        "healthy": all(part.healthy for part in parts if part.name != WEB) and bool(policy),
        "server_name": deployment.server_name,
        "homeserver": deployment.homeserver_url,
        "client": deployment.client_url if served else None,
        "accounts": demo_accounts(deployment),
        "rooms": compliance_rooms(state, deployment),
        "processes": [_process(part) for part in parts],
        "policy": policy,
        "ledger": str(state.ledger),
        "ports": deployment.ports(),
        "web": web,
    }


def _process(part: PartHealth) -> dict[str, Any]:
    row: dict[str, Any] = {"name": part.name, "pid": part.pid, "healthy": part.healthy}
    return row if part.healthy else row | {"reason": part.reason}


def compliance_rooms(state: State, deployment: Deployment) -> dict[str, str | None]:
    """The compliance rooms' ids; None for those that the scribe has not made yet."""
    answer = Custody(state, deployment).get("rooms")
    known = answer.body if answer.ok and isinstance(answer.body, dict) else {}
    return {name: known.get(name) for name in ROOMS}


def demo_accounts(deployment: Deployment) -> list[dict[str, Any]]:
    """The demo's accounts; `groups` are those of the directory and of the policy."""
    rows = demo.accounts(deployment)
    if not rows or deployment.ldif is None:
        return rows
    for row, groups in zip(rows, _policy_groups(deployment, [row["user_id"] for row in rows]), strict=True):
        row["groups"] = sorted({*row["groups"], *groups})
    return rows


def _policy_groups(deployment: Deployment, users: list[str]) -> list[list[str]]:
    """The policy's groups that each person is in; none while the policy is broken."""
    from charter.judge import compile_policy  # noqa: PLC0415 - only the demo needs the judge here
    from charter.ldif import read_ldif  # noqa: PLC0415 - as above
    from charter.policy import load  # noqa: PLC0415 - as above

    result = load(deployment.policy)
    if result.policy_set is None or deployment.ldif is None:
        return [[] for _ in users]
    snapshot = read_ldif(deployment.ldif.read_text(encoding="utf-8"), deployment.server_name, 0.0)
    compiled = compile_policy(result.policy_set, snapshot)
    return [[name for name in result.policy_set.policy.groups if compiled.member(user, name)] for user in users]
