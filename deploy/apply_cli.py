"""The command `charter apply`: check, test, sign, send, and wait until every Synapse process judges by the new policy."""

from __future__ import annotations

import datetime as dt
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from charter.bundle import Bundle, sign
from charter.policy import render
from charter.policy.diagnostics import has_errors
from charter.policy.parse import load
from charter.scenario import read_suite, run_suite, test_files
from deploy import screen
from deploy.errors import DeployError
from deploy.http_json import Answer, request
from deploy.keys import KEY_ID, load_admin_key
from deploy.state import State

if TYPE_CHECKING:
    from charter.policy.policy_set import PolicySet
    from charter.scenario import Outcome

API = "/_synapse/client/charter/v1"
POLICY_FAILED = 1
WAIT_SECONDS = 30.0
_POLL = 0.1
_UPLOAD_SECONDS = 60.0
_BUSY = 429
_BUSY_SECONDS = 10.0

Stage = Literal["enforce", "shadow"]
TestsMode = Literal["require", "warn", "skip"]


@dataclass(frozen=True)
class Applied:
    """What applying did.

    Attributes:
        policy: digest in force.
        sequence: its number.
        changed: False if that policy was in force already; nothing was sent then.
        judging: how many Synapse processes judge by it.
        behind: names of those that did not yet when the time was up.
        seconds: from sending to the last process.
        rules: ids of rules `added`, `removed` and `changed`.
    """

    policy: str
    sequence: int
    stage: str
    changed: bool
    judging: int
    behind: tuple[str, ...]
    seconds: float
    rules: dict[str, list[str]]


def apply_directory(
    directory: Path,
    *,
    homeserver: str,
    key: Path,
    key_id: str = KEY_ID,
    stage: Stage = "enforce",
    wait: float = WAIT_SECONDS,
) -> Applied:
    """Apply a policy directory that has been tested already.

    Raises:
        DeployError: the policy has errors (exit code 1), or it could not be applied (2).
    """
    result = load(directory)
    if result.policy_set is None:
        message = f"The policy in {directory} has errors."
        raise DeployError(message, advice=f"Run `charter check {directory}`.", exit_code=POLICY_FAILED)
    return apply_policy_set(result.policy_set, homeserver=homeserver, key=key, key_id=key_id, stage=stage, wait=wait)


def apply_policy_set(
    policy_set: PolicySet, *, homeserver: str, key: Path, key_id: str, stage: Stage, wait: float
) -> Applied:
    """Sign a checked policy on top of the one in force, send it, and wait for every process.

    Raises:
        DeployError: it could not be applied; nothing has changed then, unless the message says otherwise.
    """
    private = load_admin_key(key)
    base = homeserver.rstrip("/") + API
    head = _expect(request("GET", f"{base}/bundle/head"), homeserver)
    began = time.monotonic()
    rules: dict[str, list[str]] = {"added": [], "removed": [], "changed": []}
    changed = (head["digest"], head["stage"]) != (policy_set.digest, stage)
    sequence = head["sequence"]
    if changed:
        sequence += 1
        bundle = sign(
            policy_set,
            private,
            key_id,
            sequence=sequence,
            previous=head["digest"],
            stage=stage,
            created_at=int(time.time()),
        )
        rules = _send(base, bundle, homeserver)
    judging, behind = _wait(base, policy_set.digest, sequence, wait, homeserver)
    seconds = round(time.monotonic() - began, 2)
    return Applied(policy_set.digest, sequence, stage, changed, judging, behind, seconds, rules)


def _send(base: str, bundle: Bundle, homeserver: str) -> dict[str, list[str]]:
    deadline = time.monotonic() + _BUSY_SECONDS
    data = bundle.to_json()
    answer = request("PUT", f"{base}/bundle", data=data, timeout=_UPLOAD_SECONDS)
    while answer.status == _BUSY and time.monotonic() < deadline:
        time.sleep(_POLL)
        answer = request("PUT", f"{base}/bundle", data=data, timeout=_UPLOAD_SECONDS)
    body = _expect(answer, homeserver)
    return {name: list(body[name]) for name in ("added", "removed", "changed")}


def _wait(base: str, digest: str, sequence: int, seconds: float, homeserver: str) -> tuple[int, tuple[str, ...]]:
    """Return how many processes judge by a policy, and which do not yet when the time is up."""
    deadline = time.monotonic() + seconds
    query = {"digest": digest, "sequence": str(sequence)}
    while True:
        answer = _expect(request("GET", f"{base}/processes", query=query), homeserver)
        if (answer["behind"] == 0 and answer["judging"] > 0) or time.monotonic() > deadline:
            return int(answer["judging"]), tuple(answer["waiting_for"])
        time.sleep(_POLL)


def _expect(answer: Answer, homeserver: str) -> dict[str, Any]:
    """Return the body of a good answer.

    Raises:
        DeployError: any other answer, in words.
    """
    body = answer.body if isinstance(answer.body, dict) else {}
    if answer.ok:
        return body
    words = body.get("error", "no reason given")
    if answer.status == 0:
        message = f"Nothing answers at {homeserver}: {words}."
        raise DeployError(message, advice="Is the deployment up? See `charter status`; --homeserver URL names another.")
    if body.get("errcode") == "M_UNRECOGNIZED" or not body.get("errcode"):
        message = f"{homeserver} does not run Charter's modules (it answered {answer.status})."
        raise DeployError(message, advice="Load `synapse_modules.Charter` in homeserver.yaml, on every process.")
    if body["errcode"] == "CHARTER_OLD_BUNDLE":
        message = "Somebody else applied a policy at the same moment; nothing of yours was applied."
        raise DeployError(message, advice="See what changed, and apply again.")
    message = f"The policy was not applied: {words}"
    raise DeployError(message, advice="The policy that was in force still is.")


@click.command("apply")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--state",
    "state_path",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    envvar="CHARTER_STATE",
    show_default=True,
    help="State directory of the deployment: names the homeserver and the key.",
)
@click.option("--homeserver", metavar="URL", help="Where custody's API answers; default: the deployment's.")
@click.option(
    "--key", type=click.Path(dir_okay=False, path_type=Path), help="Your Ed25519 key (PEM); default: the deployment's."
)
@click.option("--key-id", default=KEY_ID, show_default=True, help="The key's name in `policy_keys`.")
@click.option(
    "--stage",
    type=click.Choice(["shadow", "enforce"]),
    default="enforce",
    show_default=True,
    help="shadow: the whole policy only records what it would have refused.",
)
@click.option(
    "--tests",
    type=click.Choice(("require", "warn", "skip")),
    default="warn",
    show_default=True,
    help="The policy's own scenarios: refuse a policy that fails them, say so, or do not run them.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 600),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds to wait for every process.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def apply(  # noqa: PLR0917 - click passes by name
    directory: Path,
    state_path: Path,
    homeserver: str | None,
    key: Path | None,
    key_id: str,
    stage: Stage,
    tests: TestsMode,
    wait: float,
    as_json: bool,
) -> int:
    """Check, test, sign and apply the policy in DIRECTORY; return when every process judges by it.

    Exits with 0 when it is in force, 1 if the policy has errors (or, with `--tests require`, fails its own
    scenarios), 2 if it could not be applied.
    """
    try:
        policy_set = _checked(directory, as_json=as_json)
        if policy_set is None:
            return POLICY_FAILED
        if tests != "skip" and not _tests_pass(directory, policy_set, required=tests == "require", as_json=as_json):
            return POLICY_FAILED
        state = State.at(state_path)
        applied = apply_policy_set(
            policy_set,
            homeserver=homeserver or _homeserver(state),
            key=key or state.keys / "admin.key",
            key_id=key_id,
            stage=stage,
            wait=wait,
        )
    except DeployError as error:
        return _failed(error, as_json=as_json)
    click.echo(json.dumps({"ok": not applied.behind, **asdict(applied)}) if as_json else _summary(applied))
    return 2 if applied.behind else 0


def _homeserver(state: State) -> str:
    """Return the deployment's address.

    Raises:
        DeployError: there is no deployment in the state directory.
    """
    deployment = state.load()
    if deployment is None:
        message = f"There is no deployment in {state.root}."
        raise DeployError(
            message, advice="Name one with --state DIR, or the server with --homeserver URL and --key FILE."
        )
    return deployment.homeserver_url


def _checked(directory: Path, *, as_json: bool) -> PolicySet | None:
    """Load and check; print what was found."""
    result = load(directory, now=dt.datetime.now(dt.UTC))
    failed = result.policy_set is None
    if as_json and failed:
        diagnostics = json.loads(render.as_json(result.diagnostics))["diagnostics"]
        click.echo(json.dumps({"ok": False, "diagnostics": diagnostics}))
    elif result.diagnostics:
        click.echo(render.human(result.diagnostics, directory.as_posix()), nl=False, err=True)
    if failed and not as_json:
        click.echo("The policy has errors; nothing was applied.", err=True)
    return result.policy_set


def _tests_pass(directory: Path, policy_set: PolicySet, *, required: bool, as_json: bool) -> bool:
    """Run the policy's own scenarios, if it has any, and say which fail; without `required` they only warn."""
    now = time.time()
    server_name = policy_set.policy.organisation.server_name
    suites = [read_suite(path, directory, server_name, now) for path in test_files(directory)]
    failed = [outcome for suite in suites for outcome in run_suite(policy_set, suite, now) if not outcome.ok]
    diagnostics = tuple(found for suite in suites for found in suite.diagnostics)
    if not failed and not has_errors(diagnostics):
        return True
    if as_json and required:
        found = json.loads(render.as_json(diagnostics))["diagnostics"]
        click.echo(json.dumps({"ok": False, "diagnostics": found, "cases": [one.to_json() for one in failed]}))
        return False
    click.echo(render.human(diagnostics, directory.as_posix()), nl=False, err=True)
    for one in failed:
        click.echo(f"{directory.as_posix()}/{one.file}:{one.line}: {one.name}: {_difference(one)}", err=True)
    outcome = "nothing was applied" if required else "applying it all the same"
    click.echo(f"The policy fails its own scenarios; {outcome}. `charter test` shows more.", err=True)
    return not required


def _difference(outcome: Outcome) -> str:
    """Return what a scenario expected and what came, without what agreed."""
    parts = (f"expected {key} {value}, is {outcome.actual.get(key)}" for key, value in outcome.expected.items())
    return "; ".join(parts)


def _failed(error: DeployError, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"ok": False, "error": error.message, "help": error.advice}))
    else:
        screen.error(error)
    return error.exit_code


def _summary(applied: Applied) -> str:
    """Return what happened in words, rules first."""
    signs = (("added", "+"), ("removed", "-"), ("changed", "~"))
    lines = [f"  {sign_} {rule}" for name, sign_ in signs for rule in applied.rules[name]]
    name = f"policy {applied.policy[:12]}, number {applied.sequence}"
    processes = f"{applied.judging} Synapse process{'' if applied.judging == 1 else 'es'}"
    if not applied.changed:
        lines.append(
            f"Nothing to apply: {name} is this policy already; {processes} judge{'s' * (applied.judging == 1)} by it."
        )
    else:
        shadow = " in shadow: nothing is refused, what would be is recorded" if applied.stage == "shadow" else ""
        lines.append(f"Applied {name}{shadow}: {processes} after {applied.seconds:.2f} s.")
    if applied.behind:
        lines.append(f"Not yet judging by it: {', '.join(applied.behind)}. It is stored; they follow when they can.")
    return "\n".join(lines)
