"""Records and reports for people: plain lines that no record can turn against the terminal."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
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
    """Prints records, each as a line of when, what kind, who, where and its id, and an indented line of summary."""
    console = Console(soft_wrap=True, highlight=False)
    for entry in entries:
        record = entry.record
        who = " → ".join(name for name in (record.actor, record.subject) if name)
        head = Text(f"{_time(record.time)} UTC  ", style="dim")
        head.append(printable(record.kind), style="not dim bold")
        for part in (who, record.room or "", record.id):
            head.append(f"  {printable(part)}" if part else "", style="not dim" if part == who else "dim")
        console.print(head)
        if summary := _summary(record.body):
            console.print(Text(f"    {printable(summary)}"))


def show_report(report: Report, heads: Sequence[Head]) -> None:
    """Prints what a verification found."""
    console = Console(highlight=False)
    roots = {head.log: head for head in heads}
    for name, count in report.logs.items():
        head = roots.get(name)
        root = f", root {head.root.hex()}" if head else ""
        console.print(Text(f"{printable(name)}: {_counted(count, 'record')}{root}"))
    for fault in report.faults:
        where = fault.log if fault.index is None else f"{fault.log} {fault.index}"
        console.print(Text(f"{fault.kind}: {printable(where)}: {printable(fault.detail)}", style="red"))
    console.print(Text("every record is as it was committed" if report.ok else _counted(len(report.faults), "fault")))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


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
        words = [_word(name, body[name]) for name in _SUMMARY if isinstance(body.get(name), str | bool)]
    text = " ".join(word for word in words if word)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _word(name: str, value: str | bool) -> str:  # noqa: FBT001 - a value of a record, not a switch
    """Returns a sentence as it is and anything else with its name."""
    return str(value) if name in {"reason", "text"} else f"{name}={value}"
