"""Broken policy files give located findings, never an exception."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from charter.policy import load_files
from charter.policy.checks import Surroundings
from charter.policy.render import as_json, github, human, sarif
from charter.policy.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

ACME = Path(__file__).parents[4] / "policies" / "acme"
FILES = {
    path.name: path.read_text(encoding="utf-8") for path in sorted(ACME.glob("*.yaml")) if ".test." not in path.name
}
MUTATIONS = 640
BATCHES = 16

TRAPS = (
    "no", "yes", "on", "~", "null", "12:30", "0o17", "017", "1e3", ".inf", "2026-02-30", "2026-12-31", "!!binary x",
    "!foo", "&a", "*a", "<<: *a", "? [x, y]", "- - -", "---", "...", "%YAML 1.2", "{", "}", "[", "]", ":", ": ", "#",
    "'", '"', "\\", "|", ">", "@", "`", "\t", "\r", "\r\n", "\x00", "\x1b[31m", "\x85", "\u2028", "\ufeff", "\u202e",
    "\U0001f512", "é" * 30, "a" * 3000, "-1", "99999999999999999999", "50", "50 MB", "50mb", "1.5GB", "60/minute",
    "everyone", "@bob", "@bob:other.example", "chat", "ch*t", "*", "gateway.*", "gateway.nowhere", "(a+)+", "(", "[]",
    "{}", '""', "''", "[[[[[[[[", "{a: {a: {a: {a: {}}}}}", "in_: [direct]", "except_: [staff]", "id: usual",
)  # fmt: skip


def _spot(rng: random.Random, text: str) -> int:
    return rng.randrange(len(text) + 1)


def _delete_chars(rng: random.Random, text: str) -> str:
    at = _spot(rng, text)
    return text[:at] + text[at + rng.randint(1, 12) :]


def _insert_trap(rng: random.Random, text: str) -> str:
    at = _spot(rng, text)
    return text[:at] + rng.choice(TRAPS) + text[at:]


def _replace_char(rng: random.Random, text: str) -> str:
    at = _spot(rng, text)
    return text[:at] + chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x20, 0xD7FF)))) + text[at + 1 :]


def _duplicate_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines.insert(rng.randrange(len(lines) + 1), lines[at])
    return "".join(lines)


def _delete_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return "".join(lines)


def _indent_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = rng.choice((" ", "  ", "\t", "      ")) + lines[at] if rng.random() < 0.6 else lines[at].lstrip()
    return "".join(lines)


def _swap_lines(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _replace_value(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    spots = [index for index, line in enumerate(lines) if ": " in line and not line.lstrip().startswith("#")]
    at = rng.choice(spots)
    key, _, _ = lines[at].partition(": ")
    lines[at] = f"{key}: {rng.choice(TRAPS)}\n"
    return "".join(lines)


def _replace_key(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    spots = [index for index, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")]
    at = rng.choice(spots)
    key, colon, rest = lines[at].partition(":")
    indent = key[: len(key) - len(key.lstrip(" -"))]
    lines[at] = indent + rng.choice(TRAPS) + colon + rest
    return "".join(lines)


def _change_type(rng: random.Random, text: str) -> str:
    pairs = (
        ("[", ""),
        ("]", ""),
        ("{", "["),
        ("}", "]"),
        ("- ", ""),
        (": ", ":"),
        (": ", ": ["),
        ('"', ""),
        (", ", ","),
        ("\n", " "),
    )
    old, new = rng.choice(pairs)
    spots = [index for index in range(len(text)) if text.startswith(old, index)]
    if not spots:
        return text
    at = rng.choice(spots)
    return text[:at] + new + text[at + len(old) :]


def _truncate(rng: random.Random, text: str) -> str:
    return text[: _spot(rng, text)]


MUTATORS: tuple[Callable[[random.Random, str], str], ...] = (
    _delete_chars,
    _insert_trap,
    _replace_char,
    _duplicate_line,
    _delete_line,
    _indent_line,
    _swap_lines,
    _replace_value,
    _replace_key,
    _change_type,
    _truncate,
)


def _mutated(number: int) -> tuple[str, dict[str, bytes | str]]:
    rng = random.Random(number)  # noqa: S311 - reproducible, not secret
    name = rng.choice(sorted(FILES))
    text = FILES[name]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        text = rng.choice(MUTATORS)(rng, text) or " "
    data = text.encode("utf-8", "surrogatepass")
    if number % 40 == 0:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.randrange(128, 256)]) + data[at:]
    files: dict[str, bytes | str] = {other: source.encode() for other, source in FILES.items() if other != name}
    return name, files | {name: data}


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_broken_file_parses_or_says_where(batch: int) -> None:
    """Each mutated policy is accepted, or refused with an error whose place lies inside its file."""
    for number in range(batch, MUTATIONS, BATCHES):
        name, files = _mutated(number)
        result = load_files(files, Surroundings(has_file=lambda _: True))
        errors = [found for found in result.diagnostics if found.severity == "error"]
        assert (result.policy_set is None) == bool(errors), (number, name)
        for found in result.diagnostics:
            data = files[found.file]
            assert isinstance(data, bytes)
            lines = Source.of(found.file, data.decode("utf-8-sig", errors="replace")).lines
            assert 1 <= found.line <= len(lines), (number, found)
            width = len(lines[found.line - 1])
            assert 1 <= found.column <= width + 1, (number, found)
            assert 1 <= found.length <= max(1, width - found.column + 1), (number, found)
            assert found.source_line == lines[found.line - 1]
            assert found.message
        human(result.diagnostics)
        github(result.diagnostics)
        as_json(result.diagnostics)
        sarif(result.diagnostics, "0")


def test_most_mutations_are_found() -> None:
    """The mutations are worth the name: many are refused, and by many different codes."""
    codes = {found.code for number in range(0, MUTATIONS, 8) for found in load_files(_mutated(number)[1]).diagnostics}
    assert len(codes) >= 12
