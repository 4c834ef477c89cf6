"""The commands `charter why` and `charter test`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import click
import orjson
from rich.console import Console
from rich.text import Text

from charter.directory import DirectorySnapshot
from charter.errors import PolicyRefusedError
from charter.judge import compile_policy
from charter.policy import load, render
from charter.policy.diagnostics import has_errors
from charter.policy.model import RoomKind
from charter.policy.values import parse_until
from charter.scenario import read_snapshot, read_suite, run_suite, test_files
from charter.why import Question, describe, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charter.policy.policy_set import PolicySet
    from charter.scenario import Outcome, Suite
    from charter.why import Explanation, Note

POLICY_FAILED: Final = 1
_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)


class _Moment(click.ParamType):  # type: ignore[type-arg] # older click has no parameter
    """An ISO time with offset."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            parsed = parse_until(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(parsed, dt.datetime):
            self.fail(f"`{value}` says no time; write `{value}T10:00+01:00`", param, ctx)
        return parsed.timestamp()


@click.command("why")
@click.argument("user")
@click.argument("feature")
@click.option("--policy", "folder", type=_FOLDER, required=True, help="The policy directory.")
@click.option(
    "--directory",
    "people",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="LDIF or snapshot of the directory; without it only groups that list MXIDs have members.",
)
@click.option("--at", type=_Moment(), help="When; an ISO time with offset. Default: now.")
@click.option(
    "--room", type=click.Choice(get_args(RoomKind)), help="Kind of room. Default: private, or external with a server."
)
@click.option("--server", help="Another server with members in the room.")
@click.option("--with", "other", help="The other person: user name or MXID.")
@click.option("--network", help="Gateway network that the message crosses.")
@click.option("--destination", help="Outside address on that network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why_command(  # noqa: PLR0917 - click passes by name
    user: str,
    feature: str,
    folder: Path,
    people: Path | None,
    at: float | None,
    room: RoomKind | None,
    server: str | None,
    other: str | None,
    network: str | None,
    destination: str | None,
    as_json: bool,
) -> int:
    """Say whether USER may use FEATURE, by which rule, and what would have to be different.

    USER is a user name of the directory or an MXID. Exits with 0 whatever the decision.
    """
    now = dt.datetime.now(dt.UTC).timestamp() if at is None else at
    policy_set = _checked(folder)
    server_name = policy_set.policy.organisation.server_name
    snapshot = read_snapshot(people, server_name, now) if people else DirectorySnapshot({}, now)
    compiled = compile_policy(policy_set, snapshot)
    explanation = explain(compiled, Question(user, feature, room, server, other, network, destination), now)
    if as_json:
        click.echo(orjson.dumps(explanation.to_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        if people is None:
            click.echo("note: without --directory only people whom the policy names are in a group", err=True)
        if room == "external" and not server and not other:
            click.echo("note: without --server only the grants are asked, not what a server must list", err=True)
        _show(explanation, feature, folder)
    return 0


@click.command("test")
@click.argument("folder", metavar="DIRECTORY", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def test_command(folder: Path, as_json: bool) -> int:
    """Run the scenarios (*.test.yaml) beside the policy in DIRECTORY.

    Exits with 1 if a scenario fails, or cannot be read, or there is none.
    """
    now = dt.datetime.now(dt.UTC).timestamp()
    policy_set = _checked(folder)
    server_name = policy_set.policy.organisation.server_name
    suites = [read_suite(path, folder, server_name, now) for path in test_files(folder)]
    outcomes = [outcome for suite in suites for outcome in run_suite(policy_set, suite, now)]
    diagnostics = tuple(found for suite in suites for found in suite.diagnostics)
    failed = sum(not outcome.ok for outcome in outcomes)
    if as_json:
        document = {"passed": len(outcomes) - failed, "failed": failed, "cases": [o.to_json() for o in outcomes]}
        if diagnostics:
            document["diagnostics"] = orjson.loads(render.as_json(diagnostics))["diagnostics"]
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(render.human(diagnostics, folder.as_posix()), nl=False, err=True)
        _show_outcomes(outcomes, suites, folder)
    return POLICY_FAILED if failed or has_errors(diagnostics) or not outcomes else 0


test_command.__test__ = False  # type: ignore[attr-defined] # keeps pytest from taking it for a test


def _checked(folder: Path) -> PolicySet:
    """Return the policy, or print what is wrong with it and end the command with 1."""
    result = load(folder)
    if result.policy_set is None:
        click.echo(render.human(result.diagnostics, folder.as_posix()), nl=False, err=True)
        click.echo(PolicyRefusedError(folder.as_posix(), len(result.diagnostics)), err=True)
        raise click.exceptions.Exit(POLICY_FAILED)
    return result.policy_set


def _show(explanation: Explanation, feature: str, folder: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    verdict = explanation.verdict
    word = Text("ALLOW" if verdict.allowed else "DENY", "bold green" if verdict.allowed else "bold red")
    console.print(Text.assemble(word, f"  {explanation.user}: {describe(feature)}"))
    console.print(f"  {explanation.reason}", markup=False)
    _show_notes(console, "Deciding", explanation.deciding, folder)
    _show_notes(console, "Almost", explanation.almost, folder)
    if verdict.would_have:
        console.print(
            Text.assemble(
                ("Would have", "bold"), f"  with {', '.join(verdict.would_have)} enforced it would be the opposite"
            )
        )
    groups = ", ".join(explanation.groups) or "none"
    changes = explanation.changes_iso() or "no change in sight"
    for label, text in (("Groups", groups), ("Changes", changes), ("Policy", explanation.digest[:16])):
        console.print(Text.assemble((f"{label:<10}", "bold"), f"  {text}"))


def _show_notes(console: Console, title: str, notes: Sequence[Note], folder: Path) -> None:
    for index, note in enumerate(notes):
        label = title if index == 0 else ""
        place = f"{folder.as_posix()}/{note.place}" if note.place else "-"
        console.print(Text.assemble((f"{label:<10}", "bold"), f"  {note.rule} ", (place, "dim"), f"  {note.text}"))


def _show_outcomes(outcomes: Sequence[Outcome], suites: Sequence[Suite], folder: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for outcome in outcomes:
        if outcome.ok:
            continue
        console.print(
            Text.assemble(
                ("FAIL", "bold red"),
                f"  {outcome.name}  ",
                (f"{folder.as_posix()}/{outcome.file}:{outcome.line}", "dim"),
            )
        )
        for key, value in outcome.expected.items():
            if outcome.actual.get(key) != value:
                console.print(f"      {key}: expected {value}, got {outcome.actual.get(key)}", markup=False)
        if said := outcome.actual.get("reason") or outcome.actual.get("error"):
            console.print(f"      {said}", markup=False)
    failed = sum(not outcome.ok for outcome in outcomes)
    style = "bold red" if failed or not outcomes else "bold green"
    files = "1 file" if len(suites) == 1 else f"{len(suites)} files"
    console.print(Text(f"{len(outcomes) - failed} passed, {failed} failed in {files}", style))
