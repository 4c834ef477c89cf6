"""`charter ledger`: search, verify, prove and export, beside the writer and without disturbing it.

Exit codes: 0 clean, 1 the evidence failed (or what was asked for is not in it), 2 the tool failed.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import click
import orjson
import sqlalchemy as sa

from ledger import canonical as form
from ledger import terminal
from ledger.errors import LedgerError, UnknownRecordError
from ledger.proof import ProofError, check
from ledger.record import event_record_id
from ledger.store import Ledger, open_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.search import Entry

EVIDENCE_FAILED: Final = 1
TOOL_FAILED: Final = 2


class Moment(click.ParamType[int]):
    """A time: ISO 8601 (UTC if it names no zone) or milliseconds since the epoch."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Returns milliseconds since the epoch."""
        if isinstance(value, int):
            return value
        if value.isascii() and value.isdigit():
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither ISO 8601 (2026-11-23T10:00+01:00) nor milliseconds", param, ctx)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _fail(error: object, code: int) -> NoReturn:
    click.echo(f"error: {terminal.printable(str(error))}", err=True)
    sys.exit(code)


def _state_url(state: Path) -> str:
    """Returns where the deployment below a state directory keeps its ledger."""
    deployment = state / "deployment.json"
    if deployment.exists():
        try:
            named = orjson.loads(deployment.read_bytes()).get("ledger")
        except (orjson.JSONDecodeError, AttributeError, OSError) as error:
            _fail(f"{deployment}: {error}", TOOL_FAILED)
        if named:
            return named if "://" in named else f"sqlite:///{(state / named).absolute()}"
    return f"sqlite:///{(state / 'ledger' / 'ledger.db').absolute()}"


def _reads_ledger(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that name a ledger, and the ledger, open for reading, as its first argument."""

    @click.option(
        "--state", type=click.Path(path_type=Path), default=Path("var"), show_default=True, help="State directory."
    )
    @click.option("--ledger", "url", metavar="URL", help="Ledger to read instead: sqlite:///PATH or postgresql://…")
    @wraps(command)
    def run(state: Path, url: str | None, **arguments: Any) -> None:
        try:
            with open_ledger(url or _state_url(state), read_only=True) as opened:
                command(opened, **arguments)
        except (UnknownRecordError, ProofError) as error:
            _fail(error, EVIDENCE_FAILED)
        except LedgerError as error:
            _fail(error, TOOL_FAILED)
        except sa.exc.DBAPIError as error:
            _fail(f"the database failed: {error.orig}", TOOL_FAILED)
        except BrokenPipeError:  # whoever read the output has read enough
            sys.stderr.close()

    return run


def _selects(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that select records, as keywords of `Ledger.search`."""
    for option in reversed(
        (
            click.option("--person", metavar="USER", help="Actor or subject: an MXID, or the name in it."),
            click.option("--room", metavar="ROOM", help="Room id."),
            click.option("--kind", metavar="KIND", help="event, refusal, logon, policy …"),
            click.option("--since", type=Moment(), help="Not before."),
            click.option("--until", type=Moment(), help="Before."),
            click.option("--text", metavar="TEXT", help="Occurs in the body, in upper or lower case."),
            click.option("--feature", metavar="ID", help="Feature that was judged."),
            click.option("--decision", metavar="DECISION", help="What was decided: allow, deny …"),
            click.option("--log", metavar="NAME", help="One log."),
            click.option("--after", metavar="ID", help="Only what came after this record."),
        )
    ):
        command = option(command)
    return command


def _json_line(value: Any) -> str:
    """Returns one line of JSON that any parser and any terminal takes: ASCII, whatever the record holds."""
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):  # a number that JSON has not, or deep nesting: the canonical form has all
        return form.write(value).decode()


@click.group()
def ledger() -> None:
    """What happened: search it, prove it, verify it, export it."""


@ledger.command()
@_reads_ledger
@_selects
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON list of records.")
def search(opened: Ledger, *, as_json: bool, **conditions: Any) -> None:
    """Show the records that fit every condition, oldest first."""
    entries = opened.search(**conditions)
    if as_json:
        click.echo("[" + ",\n".join(_json_line(entry.to_json()) for entry in entries) + "]")
        return
    terminal.show_entries(entries)
    if len(entries) == conditions["limit"]:
        click.echo(f"more may follow: --after {terminal.printable(entries[-1].record.id)}", err=True)


@ledger.command()
@_reads_ledger
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def verify(opened: Ledger, *, as_json: bool) -> None:
    """Recompute every commitment and every tree; name each fault."""
    report = opened.verify()
    if as_json:
        click.echo(_json_line(report.to_json()))
    else:
        terminal.show_report(report, opened.heads())
    sys.exit(0 if report.ok else EVIDENCE_FAILED)


@ledger.command()
@_reads_ledger
@click.argument("record_id", metavar="ID")
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="Where to write the proof.")
@click.option("--json", "as_json", is_flag=True, help="The proof is JSON in any case.")
def prove(opened: Ledger, *, record_id: str, output: IO[str], as_json: bool) -> None:
    """Write the proof that a record (or the event with this id) is in its log."""
    del as_json
    proof = opened.prove(event_record_id(record_id) if record_id.startswith("$") else record_id)
    try:
        check(proof)
    except ProofError as error:
        _fail(f"the ledger does not prove {record_id}: {error}; run `charter ledger verify`", EVIDENCE_FAILED)
    output.write(json.dumps(proof, indent=1) + "\n")


@ledger.command()
@_reads_ledger
@_selects
@click.option("--output", type=click.File("w", encoding="utf-8"), default="-", help="Where to write.")
def export(opened: Ledger, *, output: IO[str], **conditions: Any) -> None:
    """Write the records that fit every condition as JSON Lines, oldest first."""
    last: str | None = conditions.pop("after")
    while True:
        page: list[Entry] = opened.search(**conditions, after=last, limit=1000)
        output.writelines(_json_line(entry.to_json()) + "\n" for entry in page)
        if not page:
            return
        last = page[-1].record.id
