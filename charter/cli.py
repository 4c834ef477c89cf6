"""The command line `charter`: the core's own commands, and those that other packages contribute.

Packages add commands through the entry-point group `charter.commands`. They are imported only when they are
asked for, and one that cannot be imported does not break the others.

Exit codes: 0 clean, 1 the policy (or the evidence) failed, 2 the tool failed.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
import orjson

from charter import __version__, catalogue
from charter.errors import CharterError
from charter.policy import render
from charter.policy.expansion import expansions
from charter.policy.parse import load
from charter.policy.values import parse_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charter.directory import DirectorySnapshot
    from charter.policy.parse import LoadResult

POLICY_FAILED: Final = 1
TOOL_FAILED: Final = 2
INTERRUPTED: Final = 130
COLOURS: Final = {"error": "red", "warning": "yellow", "place": "blue"}

BUILT_IN: Final = {
    "check": "charter.cli:check_command",
    "features": "charter.cli:features_command",
    "test": "charter.judge_cli:test_command",
    "why": "charter.judge_cli:why_command",
}
"""The core's own commands; a package cannot replace them."""


class Commands(click.Group):
    """A group whose commands are loaded when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, sorted."""
        del ctx
        return sorted({*BUILT_IN, *_contributed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, one that says why it cannot be loaded, or None for an unknown name."""
        del ctx
        target = BUILT_IN.get(cmd_name)
        point = EntryPoint(cmd_name, target, "charter.commands") if target else _contributed().get(cmd_name)
        if point is None:
            return None
        try:
            command = point.load()
        except Exception as error:  # noqa: BLE001 - whatever a package does at import, the others must work
            return _unavailable(cmd_name, point, error)
        if not isinstance(command, click.Command):
            return _unavailable(cmd_name, point, TypeError(f"{point.value} is no command"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; when nobody reads its output any more, end quietly and not as a failed policy."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Without this Python complains again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return TOOL_FAILED


def _contributed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="charter.commands")}


def _unavailable(name: str, point: EntryPoint, error: Exception) -> click.Command:
    def say() -> NoReturn:
        package = point.value.partition(".")[0]
        words = f"`charter {name}` is not available: {package} cannot be loaded: {type(error).__name__}: {error}"
        raise CharterError(
            words, "install the extra that it needs, for example `pip install 'charter[synapse,bots,demo]'`"
        ) from error

    context = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return click.Command(name, callback=say, context_settings=context, short_help="(not available here)")


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="charter", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show tracebacks of unexpected errors.")
def cli(debug: bool) -> None:
    """Make a Matrix deployment a governed corporate messenger."""
    if debug:
        os.environ["CHARTER_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit; no traceback reaches a user who did not ask for one."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; a command may return its own."""
    try:
        result = cli.main(None if arguments is None else list(arguments), prog_name="charter", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return TOOL_FAILED
    except CharterError as error:
        return _failed(error.message, error.help)
    except Exception as error:  # noqa: BLE001 - the last resort: a person gets a sentence, not a traceback
        return _unexpected(error)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _failed(message: str, help_: str = "") -> int:
    click.echo(f"{click.style('error', fg='red', bold=True)}: {message}", err=True)
    if help_:
        click.echo(f"  = help: {help_}", err=True)
    return TOOL_FAILED


def _unexpected(error: Exception) -> int:
    if os.environ.get("CHARTER_DEBUG"):
        import traceback  # noqa: PLC0415 - only for those who asked

        traceback.print_exception(error)
    words = " ".join(str(error).split())
    return _failed(
        f"unexpected {type(error).__name__}: {words}", "run `charter --debug …` for the traceback, and report it"
    )


class Moment(click.ParamType[dt.datetime]):
    """An ISO time with offset, or a date (its beginning in UTC)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Parse the option."""
        if isinstance(value, dt.datetime):
            return value
        try:
            parsed = parse_until(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return parsed if isinstance(parsed, dt.datetime) else dt.datetime.combine(parsed, dt.time(), dt.UTC)


@click.command("check")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--format", "format_", type=click.Choice(["human", "json", "github", "sarif"]), default="human", show_default=True
)
@click.option("--json", "format_", flag_value="json", help="Same as --format json.")
@click.option("--at", type=Moment(), help="Judge what has expired at this time instead of now.")
@click.option(
    "--directory",
    "ldif",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="LDIF of the directory: finds empty groups, rules that others outweigh, barriers that share people.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show what each wildcard expands to.")
def check_command(directory: Path, format_: str, at: dt.datetime | None, ldif: Path | None, verbose: bool) -> int:
    """Check the policy in DIRECTORY: every mistake at once, each at its place.

    Exits with 0 if there is no error (warnings may remain), 1 if there is one.
    """
    now = at or dt.datetime.now(dt.UTC)
    result = load(directory, now=now)
    if ldif and result.policy_set:
        snapshot = _snapshot(ldif, result.policy_set.policy.organisation.server_name, now)
        result = load(directory, now=now, snapshot=snapshot)
    prefix = directory.as_posix()
    if format_ == "json":
        click.echo(render.as_json(result.diagnostics), nl=False)
    elif format_ == "github":
        click.echo(render.github(result.diagnostics, prefix), nl=False)
    elif format_ == "sarif":
        click.echo(render.sarif(result.diagnostics, __version__, prefix), nl=False)
    else:
        _print_human(result, directory, verbose=verbose)
    return 0 if result.policy_set else POLICY_FAILED


def _snapshot(ldif: Path, server_name: str, now: dt.datetime) -> DirectorySnapshot:
    from charter.ldif import read_ldif  # noqa: PLC0415 - only this option needs it

    try:
        return read_ldif(ldif.read_text(encoding="utf-8"), server_name, now.timestamp())
    except (OSError, ValueError) as error:
        message = f"{ldif} cannot be read: {error}"
        raise CharterError(message) from error


def _print_human(result: LoadResult, directory: Path, *, verbose: bool) -> None:
    text = render.human(result.diagnostics, directory.as_posix(), _style)
    colour = False if os.environ.get("NO_COLOR") else None
    click.echo(text, nl=False, color=colour)
    if result.policy_set:
        if verbose:
            for rule, pattern, features in expansions(result.policy_set.policy):
                click.echo(f"{rule}: {pattern} = {', '.join(features)}")
        policy = result.policy_set.policy
        rules = len(result.policy_set.places) - len(policy.groups)
        words = (
            f"{directory.as_posix()}: {rules} rules, {len(policy.groups)} groups, {render.summary(result.diagnostics)}"
        )
        click.echo(words)
    else:
        click.echo(f"{directory.as_posix()}: {render.summary(result.diagnostics)}")


def _style(text: str, role: str) -> str:
    return click.style(text, fg=COLOURS.get(role), bold=role != "place")


@click.command("features")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def features_command(as_json: bool) -> None:
    """List the features that a policy can allow or deny."""
    if as_json:
        rows = [{"id": row.id, "summary": row.summary, "wire": list(row.wire)} for row in catalogue.FEATURES]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    width = max(len(row.id) for row in catalogue.FEATURES)
    for row in catalogue.FEATURES:
        click.echo(f"{row.id:{width}}  {row.summary}")
    click.echo(f"{'gateway.<network>':{width}}  exchange messages with a network of the policy")
