"""One report, several renderings: for people, programs, GitHub and SARIF viewers."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from charter.policy.codes import CODES
from charter.policy.diagnostics import Span, has_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from charter.policy.diagnostics import Diagnostic

    Style = Callable[[str, str], str]

MAX_WIDTH: Final = 140
"""Longer source lines are shown in part, around the carets."""

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def plain(text: str, role: str) -> str:
    """Return the text without colour; roles are error, warning, place, carets and bold."""
    del role
    return text


def human(diagnostics: Iterable[Diagnostic], prefix: str = "", style: Style = plain) -> str:
    """Return the findings with source lines and carets, ending in a line feed unless there are none.

    Args:
        diagnostics: the findings.
        prefix: the policy directory as the person named it; put before each path.
        style: gives a text the colour of its role.
    """
    return "".join(_human(found, prefix, style) + "\n" for found in diagnostics)


def _human(found: Diagnostic, prefix: str, style: Style) -> str:
    gutter = " " * len(str(found.line))
    bar = style("|", "place")
    head = style(f"{found.severity}[{found.code}]", found.severity) + style(f": {_printable(found.message)}", "bold")
    place = f"{_join(prefix, found.file)}:{found.line}:{found.column}"
    lines = [head, f"{gutter} {style('-->', 'place')} {place}"]
    beside = found.help if len(found.help) <= MAX_WIDTH // 2 else ""
    if found.source_line.strip():
        shown, padding, carets = _excerpt(found)
        number = style(f" {found.line} |", "place")
        mark = style(carets + (f" {_printable(beside)}" if beside else ""), found.severity)
        lines += [f"{gutter}  {bar}", f"{number} {shown}", f"{gutter}  {bar} {padding}{mark}"]
    else:
        beside = ""
    if found.help and not beside:
        lines.append(f"{gutter}  {style('=', 'place')} help: {_printable(found.help)}")
    for span, words in found.related:
        lines.append(f"{gutter} {style(':::', 'place')} {_join(prefix, str(span))} {_printable(words)}")
    return "\n".join(lines) + "\n"


def _excerpt(found: Diagnostic) -> tuple[str, str, str]:
    """Return the source line fit for a terminal, the padding below it and the carets."""
    start, end = found.column - 1, found.column - 1 + found.length
    line, cut = found.source_line, 0
    tail = ""
    if len(line) > MAX_WIDTH:
        cut = max(0, min(start - MAX_WIDTH // 3, len(line) - MAX_WIDTH))
        tail = "…" if cut + MAX_WIDTH < len(line) else ""
        line = line[cut : cut + MAX_WIDTH]
    start, end = start - cut, min(end - cut, len(line))
    lead = "…" if cut else ""
    padding = " " * _width(lead + line[:start])
    return lead + _printable(line) + tail, padding, "^" * max(1, _width(line[start:end]))


def _printable(text: str) -> str:
    """Return text that cannot move the cursor or colour the terminal; a tab becomes one space."""
    return "".join(" " if char == "\t" else char if char.isprintable() else "\ufffd" for char in text)


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _join(prefix: str, file: str) -> str:
    return f"{prefix.rstrip('/')}/{file}" if prefix and prefix != "." else file


def summary(diagnostics: tuple[Diagnostic, ...]) -> str:
    """Return `2 errors, 1 warning`, or `no problems`."""
    errors = sum(found.severity == "error" for found in diagnostics)
    counts = [(errors, "error"), (len(diagnostics) - errors, "warning")]
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts if count) or "no problems"


def as_json(diagnostics: tuple[Diagnostic, ...]) -> str:
    """Return the contract that scripts rely on, one JSON document."""
    document = {"ok": not has_errors(diagnostics), "diagnostics": [_plain_data(found) for found in diagnostics]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _plain_data(found: Diagnostic) -> dict[str, str | int]:
    return {
        "code": found.code,
        "severity": found.severity,
        "file": found.file,
        "line": found.line,
        "column": found.column,
        "message": found.message,
        "help": found.help,
    }


def github(diagnostics: Iterable[Diagnostic], prefix: str = "") -> str:
    """Return workflow commands that GitHub shows as annotations of the changed files."""
    return "".join(_annotation(found, prefix) for found in diagnostics)


def _annotation(found: Diagnostic, prefix: str) -> str:
    properties = {
        "file": _join(prefix, found.file),
        "line": found.line,
        "col": found.column,
        "endColumn": found.column + found.length,
        "title": found.code,
    }
    joined = ",".join(f"{key}={_escape(str(value), ':,')}" for key, value in properties.items())
    text = found.message + (f" ({found.help})" if found.help else "")
    return f"::{found.severity} {joined}::{_escape(text)}\n"


def _escape(text: str, more: str = "") -> str:
    return "".join(f"%{ord(char):02X}" if char in "%\r\n" + more else char for char in text)


def sarif(diagnostics: tuple[Diagnostic, ...], version: str, prefix: str = "") -> str:
    """Return a SARIF 2.1.0 log with one run."""
    used = sorted({found.code for found in diagnostics})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CODES[code].summary},
            "defaultConfiguration": {"level": CODES[code].severity},
        }
        for code in used
    ]
    driver = {"name": "charter", "version": version, "rules": rules}
    results = [_result(found, used.index(found.code), prefix) for found in diagnostics]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return orjson.dumps(log, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _result(found: Diagnostic, index: int, prefix: str) -> dict[str, Any]:
    here = Span(found.file, found.line, found.column, found.length)
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": index,
        "level": found.severity,
        "message": {"text": found.message + (f" ({found.help})" if found.help else "")},
        "locations": [_location(here, prefix)],
    }
    if found.related:
        result["relatedLocations"] = [
            _location(span, prefix) | {"message": {"text": words}} for span, words in found.related
        ]
    return result


def _location(span: Span, prefix: str) -> dict[str, Any]:
    region = {"startLine": span.line, "startColumn": span.column, "endColumn": span.column + span.length}
    uri = quote(_join(prefix, span.file))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
