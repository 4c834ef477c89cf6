"""`charter up` and `charter down`: start the parts in order, each healthy before what needs it; or end them all."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from deploy import plan, render
from deploy.errors import DeployError, PartFailedError
from deploy.health import ROOMS, Custody, Probe
from deploy.parts import WEB, parts_of
from deploy.supervision import POLL, Supervisor, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from deploy.state import Deployment, State

PART_SECONDS = 90.0
ROOMS_SECONDS = 60.0
CLIENT_SECONDS = 10.0
CRASHES = 3
_CRASHED = {"BACKOFF", "EXITED", "FATAL"}


class Progress(Protocol):
    """Who is told what is being done."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Something begins; it is done, or failed, when the context ends."""


@dataclass
class Start:
    """One `up` at work on one state directory."""

    state: State
    progress: Progress
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        """Find the supervisor, if there is one."""
        self.supervisor = Supervisor(self.state)

    def run(self, options: plan.Options) -> Deployment:
        """Bring the deployment up; when it cannot be, nothing that this call started stays.

        Raises:
            DeployError: why not.
        """
        if self.supervisor.alive():
            return self._mend(options)
        if self.supervisor.processes():
            with self.progress.step("Ending what an earlier run left"):
                self.supervisor.stop()
        with self.progress.step("Checking policy, ports and programs"):
            deployment = plan.choose(self.state, options)
            self._write(deployment)
        try:
            self._start(deployment)
        except BaseException:
            with self.progress.step("Ending what was started"):
                self.supervisor.stop()
            raise
        return deployment

    def _write(self, deployment: Deployment) -> None:
        """Write keys and configuration; what was chosen is saved last."""
        render.make_secrets(self.state)
        render.write_all(
            self.state,
            deployment,
            public_key=admin_public_key(self.state),
            database=plan.database_url(self.state),
            redis=plan.redis_url(self.state),
        )
        self.state.save(deployment)

    def _start(self, deployment: Deployment) -> None:
        with self.progress.step("Starting the supervisor"):
            self.supervisor.start()
        self._bring_up(deployment)

    def _mend(self, options: plan.Options) -> Deployment:
        """The supervisor runs already: start what does not, and wait until all of it is healthy."""
        deployment = self.state.load()
        if deployment is None:
            msg = f"{self.state.deployment_file} is gone, though the deployment runs."
            raise DeployError(msg, advice=f"End it with: charter down --state {self.state.root}")
        if asked := plan.conflicts(options, deployment):
            msg = f"This deployment runs already, with another {' and '.join(asked)}."
            raise DeployError(msg, advice=f"Run `charter down --state {self.state.root}` first.")
        plan.read_policy(deployment.policy)
        self._bring_up(deployment)
        return deployment

    def _bring_up(self, deployment: Deployment) -> None:
        names = [part.name for part in parts_of(self.state, deployment) if part.name != WEB]
        bots = [name for name in names if name in render.BOTS]
        # Synapse needs the directory only at its first log-on; its own start is the longest of all.
        first = [name for name in names if name in {"directory", "synapse"}]
        between = [name for name in names if name not in {*first, *bots}]
        for group in (first, between):
            self._start_and_wait(deployment, group)
        self._apply(deployment)
        self._start_and_wait(deployment, bots)
        with self.progress.step("Waiting for the compliance rooms"):
            self._wait_for_rooms(deployment)
        if (self.state.web / "index.html").exists():
            self.supervisor.start_part(WEB)
            self.wait_for_client(deployment)

    def wait_for_client(self, deployment: Deployment) -> None:
        """Wait a little until the browser client is served; whether it is, `charter status` says."""

        def served() -> bool:
            return Probe(self.state, deployment, self.supervisor.parts()).part(WEB).healthy

        with self.progress.step("Waiting for the browser client"):
            wait_for(served, CLIENT_SECONDS, POLL * 2)

    def _start_and_wait(self, deployment: Deployment, names: Iterable[str]) -> None:
        chosen = list(names)
        for name in chosen:
            self.supervisor.start_part(name)
        for name in chosen:
            with self.progress.step(f"Waiting for {name}"):
                self._wait(deployment, name)

    def _wait(self, deployment: Deployment, name: str) -> None:
        """Wait until a part is healthy; a part that keeps crashing is not waited for.

        Raises:
            PartFailedError: crashed again and again, or not healthy in time.
        """
        deadline = time.monotonic() + PART_SECONDS
        pids: set[int] = set()
        while True:
            running = self.supervisor.parts()
            health = Probe(self.state, deployment, running).part(name)
            if health.healthy:
                return
            if health.pid is not None:
                pids.add(health.pid)
            crashed = name in running and running[name].state in _CRASHED
            if time.monotonic() > deadline or len(pids) >= CRASHES or (crashed and len(pids) != 1):
                raise PartFailedError(
                    name, self._last_words(name) or health.reason, str(self.state.logs / f"{name}.log")
                )
            time.sleep(POLL * 2)

    def _wait_for_rooms(self, deployment: Deployment) -> None:
        """Wait until the scribe has made the compliance rooms, or has found those of last time.

        Raises:
            PartFailedError: it has not.
        """

        def made() -> bool:
            answer = Custody(self.state, deployment).get("rooms")
            return answer.ok and isinstance(answer.body, dict) and all(answer.body.get(name) for name in ROOMS)

        if not wait_for(made, ROOMS_SECONDS, POLL * 2):
            reason = self._last_words("scribe") or "it has not made the compliance rooms"
            part = "scribe"
            raise PartFailedError(part, reason, str(self.state.logs / "scribe.log"))

    def _last_words(self, name: str) -> str:
        """The last line of a part's log, where a program that gives up says why."""
        with contextlib.suppress(OSError):
            text = (self.state.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            return lines[-1][:300] if lines else ""
        return ""

    def _apply(self, deployment: Deployment) -> None:
        """Apply the policy if none is in force; one that is stays until `charter apply`."""
        if Custody(self.state, deployment).policy_in_force():
            return
        with self.progress.step("Applying the policy"):
            apply_policy(self.state, deployment)


def admin_public_key(state: State) -> str:
    """The public half of the admin's signing key, which is made the first time."""
    from deploy.keys import generate_admin_key  # noqa: PLC0415 - only `up` signs

    return generate_admin_key(state.keys / "admin.key")


def apply_policy(state: State, deployment: Deployment) -> None:
    """Sign and apply the deployment's policy, exactly as `charter apply` does."""
    from deploy.apply_cli import apply_directory  # noqa: PLC0415 - only `up` signs

    apply_directory(deployment.policy, homeserver=deployment.homeserver_url, key=state.keys / "admin.key")


def up(state: State, options: plan.Options, progress: Progress) -> Deployment:
    """Bring a deployment up, or mend one that runs.

    Raises:
        DeployError: it is not up; what this call started was ended, and what it made of a new deployment that was
            never settled is gone.
    """
    with _nothing_left(state), state.locked():
        return Start(state, progress).run(options)


@contextlib.contextmanager
def _nothing_left(state: State) -> Iterator[None]:
    """Remove what a failure leaves in a state directory that did not exist, or was empty, unless it was settled."""
    existed = state.root.exists()
    fresh = not existed or (state.root.is_dir() and not any(state.root.iterdir()))
    try:
        yield
    except BaseException:
        if fresh and state.root.is_dir() and not state.deployment_file.exists():
            shutil.rmtree(state.root)
            if existed:
                state.root.mkdir()
        raise


def unapplied(state: State, deployment: Deployment) -> bool:
    """Whether the deployment's policy directory holds another policy than the one in force; False if it is broken."""
    from charter.policy import load  # noqa: PLC0415 - as in plan.read_policy

    policy_set = load(deployment.policy).policy_set
    in_force = Custody(state, deployment).policy_in_force()
    return policy_set is not None and in_force is not None and policy_set.digest != in_force


def down(state: State) -> int:
    """End every process of a deployment.

    Returns:
        How many there were.
    """
    if not state.root.is_dir():
        return 0
    with state.locked():
        return Supervisor(state).stop()
