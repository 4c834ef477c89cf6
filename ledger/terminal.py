"""Records and reports for people: plain tables that no record can turn against the terminal."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.search import Entry
    from ledger.store import Head
    from ledger.verify import Report

_LONGEST: Final = 200
_SUMMARY: Final = ("reason", "text", "feature", "decision", "ok", "method", "path", "before", "after")


def printable(text: str) -> str:
    """Returns a text in which nothing moves the cursor, changes direction or hides: such characters are escaped."""
    return "".join(
        character if not unicodedata.category(character).startswith("C") else f"\\u{ord(character):04x}"
        for character in text
    )


def show_entries(entries: Sequence[Entry]) -> None:
    """Prints records as a table, one line of summary each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time (UTC)", "kind", "who", "room", "what"):
        table.add_column(name, overflow="fold")
    table.add_column("id", overflow="fold", style="dim")
    for entry in entries:
        record = entry.record
        who = " → ".join(name for name in (record.actor, record.subject) if name)
        cells = (_time(record.time), record.kind, who, record.room or "", _summary(record.body), record.id)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console(soft_wrap=False).print(table)


def show_report(report: Report, heads: Sequence[Head]) -> None:
    """Prints what a verification found."""
    console = Console(highlight=False)
    roots = {head.log: head for head in heads}
    for name, count in report.logs.items():
        head = roots.get(name)
        root = f", root {head.root.hex()}" if head else ""
        console.print(Text(f"{printable(name)}: {count} records{root}"))
    for fault in report.faults:
        where = fault.log if fault.index is None else f"{fault.log} {fault.index}"
        console.print(Text(f"{fault.kind}: {printable(where)}: {printable(fault.detail)}", style="red"))
    console.print(Text("every record is as it was committed" if report.ok else f"{len(report.faults)} faults"))


def _time(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a hostile clock
        return str(milliseconds)


def _summary(body: Any) -> str:
    """Returns the few words of a body that say what happened."""
    pdu = body.get("pdu")
    if isinstance(pdu, dict):
        content = pdu.get("content")
        said = content.get("body") if isinstance(content, dict) else None
        words = [str(pdu.get("type", "")), said if isinstance(said, str) else ""]
    else:
        words = [f"{name}={body[name]}" for name in _SUMMARY if isinstance(body.get(name), str | bool)]
    text = " ".join(word for word in words if word)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
