"""The commands `charter up`, `down`, `status` and `logs`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click
from rich.console import Console

from deploy import plan, screen, tail
from deploy import status as looking
from deploy import up as starting
from deploy.errors import DeployError
from deploy.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")

FAILED = 2
TOUR_DIFFERED = 1
"""The demo's policy was edited, or does not hold: the tour saw something else than it tells."""

state_option = click.option(
    "--state",
    "state_path",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    envvar="CHARTER_STATE",
    show_default=True,
    help="Directory that holds everything the deployment makes.",
)
_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def reported(command: Callable[P, int]) -> Callable[P, int]:
    """Turn a `DeployError` into one clear message and its exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except DeployError as error:
            screen.error(error)
            return error.exit_code

    return wrapped


@click.command("up")
@click.option("--demo", is_flag=True, help="A made-up company: policy, directory and a dozen people.")
@click.option("--tour", is_flag=True, help="Then play a day of that company through the client API.")
@click.option("--web", is_flag=True, help="Then build and serve a browser client in the background (needs Node 18).")
@state_option
@click.option("--port", type=click.IntRange(1, 65535), help="Where clients connect, on 127.0.0.1.  [default: 8008]")
@click.option("--policy", type=_DIRECTORY, help="Your policy, instead of --demo.")
@click.option("--login-config", type=_FILE, help="YAML of the modules' `login:` block: your directory servers.")
@click.option("--ldif", type=_FILE, help="Serve this LDIF instead (suffix dc=acme,dc=example); for trials.")
@click.option(
    "--database", metavar="URL", envvar="CHARTER_DATABASE", help="postgresql://… for Synapse.  [default: SQLite]"
)
@click.option("--redis", metavar="URL", envvar="CHARTER_REDIS", help="redis://… ; needed by --workers.")
@click.option("--workers", type=int, metavar="N", help="Synapse workers behind nginx; need PostgreSQL and Redis.")
@click.option("--json", "as_json", is_flag=True, help="At the end print what `charter status --json` prints.")
@reported
def up(  # noqa: PLR0917 - a command has as many parameters as options
    demo: bool,
    tour: bool,
    web: bool,
    state_path: Path,
    port: int | None,
    policy: Path | None,
    login_config: Path | None,
    ldif: Path | None,
    database: str | None,
    redis: str | None,
    workers: int | None,
    as_json: bool,
) -> int:
    """Start Synapse, directory, scribe and steward in the background, and wait until all are healthy.

    Everything is kept in the state directory. What runs already is left alone, what has ended is started again.
    A new deployment needs --demo, or --policy with --login-config or --ldif; later runs remember.
    """
    state = State.at(state_path)
    options = plan.Options(
        demo=demo,
        port=port,
        database=database,
        redis=redis,
        workers=workers,
        policy=policy,
        ldif=ldif,
        login_config=login_config,
    )
    as_meant = True
    deployment = starting.up(state, options, screen.Steps(Console(stderr=True)))
    if web:
        from deploy import web_build  # noqa: PLC0415 - only this option needs it

        web_build.start(state)
    if tour:
        from deploy import tour as playing  # noqa: PLC0415 - only this option needs it

        as_meant = playing.play_and_print(state, deployment, as_json=as_json)
    found = looking.status(state)
    if as_json:
        if not tour:
            click.echo(json.dumps(found, indent=2))
    else:
        screen.welcome(state, deployment.policy, found)
    if starting.unapplied(state, deployment):
        screen.unapplied(state, deployment.policy)
    return 0 if as_meant else TOUR_DIFFERED


@click.command("down")
@state_option
@reported
def down(state_path: Path) -> int:
    """End every process of the deployment; its data stays."""
    state = State.at(state_path)
    ended = starting.down(state)
    click.echo(f"Ended {ended} processes of {state.root}." if ended else f"Nothing was running in {state.root}.")
    return 0


@click.command("status")
@state_option
@click.option("--json", "as_json", is_flag=True, help="For programs; the keys are a contract.")
@reported
def status(state_path: Path, as_json: bool) -> int:
    """Show what runs, whether each part is healthy, and the demo's accounts; exits with 2 unless all is healthy."""
    state = State.at(state_path)
    found = looking.status(state)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        screen.status(state, found)
    return 0 if found["healthy"] else FAILED


@click.command("logs")
@click.argument("part", required=False)
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until interrupted.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="How many last lines of each."
)
@state_option
@reported
def logs(part: str | None, follow: bool, lines: int, state_path: Path) -> int:
    """Show the logs of all parts, or of PART."""
    return tail.show(State.at(state_path), part, lines=lines, follow=follow)
