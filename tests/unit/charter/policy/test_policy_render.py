"""The renderings of a report; the golden files are what `charter check DIR --at 2026-11-23` prints inside golden/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from charter.policy import Diagnostic, Span, render
from charter.policy.codes import CODES

GOLDEN = Path(__file__).parent / "golden"
FOUND = Diagnostic(
    "unknown-key",
    "error",
    "a b.yaml",
    5,
    3,
    "100% wrong,\nreally",
    "fix: it",
    "  effct: deny",
    5,
    ((Span("c.yaml", 1, 1), "first here"),),
)
WARNING = Diagnostic("expired-rule", "warning", "c.yaml", 1, 1, "old")


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_carets_stand_below_the_words(folder: Path) -> None:
    """Each golden file shows the carets exactly below what they mean, in wide and long lines too."""
    expected = (folder / "expected.txt").read_text(encoding="utf-8")
    for number, line in enumerate(lines := expected.splitlines()):
        if line.lstrip().startswith("| ") and "^" in line:
            start, end = line.index("^"), line.rindex("^") + 1
            assert _columns(lines[number - 1], end).strip(), (folder.name, number)
            assert start < end


def _columns(line: str, end: int) -> str:
    """Return a line up to a terminal column, wide characters counted twice."""
    shown = "".join(char * (2 if ord(char) > 0x2E80 else 1) for char in line)
    return shown[:end]


def test_a_program_gets_exactly_the_contract() -> None:
    """The keys of the JSON are those that scripts rely on, and no others."""
    document = json.loads(render.as_json((FOUND, WARNING)))
    assert document["ok"] is False
    assert list(document["diagnostics"][0]) == ["code", "severity", "file", "line", "column", "message", "help"]
    assert json.loads(render.as_json((WARNING,)))["ok"] is True
    assert json.loads(render.as_json(())) == {"ok": True, "diagnostics": []}


def test_github_annotations_are_escaped() -> None:
    """Nothing in a file name or message can end the annotation early."""
    assert render.github([FOUND], "policies/") == (
        "::error file=policies/a b.yaml,line=5,col=3,endColumn=8,title=unknown-key::100%25 wrong,%0Areally (fix: it)\n"
    )
    assert render.github([Diagnostic("bad-id", "error", "a,b:c.yaml", 1, 1, "x")]).startswith(
        "::error file=a%2Cb%3Ac.yaml,"
    )


def test_sarif_names_rules_and_places() -> None:
    """The log has the shape of SARIF 2.1.0: rules by index, regions from 1, related places."""
    log: dict[str, Any] = json.loads(render.sarif((FOUND, WARNING), "1.2", "policies"))
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    first = run["results"][0]
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "policies/a%20b.yaml"},
        "region": {"startLine": 5, "startColumn": 3, "endColumn": 8},
    }
    assert first["relatedLocations"][0]["message"]["text"] == "first here"
    assert "relatedLocations" not in run["results"][1]


def test_a_report_cannot_control_the_terminal() -> None:
    """Escape characters and direction marks of a policy file are shown as a replacement character."""
    found = Diagnostic("bad-value", "error", "a.yaml", 1, 1, "a\x1b[31m", "\u202e", "x\x1b]0;y\x07\tz", 1)
    text = render.human([found])
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x07" not in text


def test_an_empty_line_has_no_carets() -> None:
    """Where there is no text to show, help stands alone."""
    found = Diagnostic("no-policy", "error", ".", 1, 1, "nothing", "write one")
    assert render.human([found], "x") == "error[no-policy]: nothing\n  --> x/.:1:1\n   = help: write one\n\n"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), "no problems"),
        ((FOUND,), "1 error"),
        ((FOUND, FOUND, WARNING), "2 errors, 1 warning"),
        ((WARNING,), "1 warning"),
    ],
)
def test_the_summary_counts(found: tuple[Diagnostic, ...], words: str) -> None:
    """One line at the end says how many of what."""
    assert render.summary(found) == words


def test_every_code_is_explained() -> None:
    """Codes are kebab-case, and each has a sentence."""
    for code, kind in CODES.items():
        assert code == code.lower().replace("_", "-").replace(" ", "-")
        assert kind.summary.endswith(".")
