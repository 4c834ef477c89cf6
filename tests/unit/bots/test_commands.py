"""Commands as data: the table is the program, the help and the reference page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.kit.client import ServerError
from bots.kit.commands import NotParsed, Parsed, help_values, parse
from bots.steward.answers import COMMANDS, Asker, answer
from bots.steward.reference import page

ROOT = Path(__file__).parents[3]


class Custody:
    """Answers like custody's API."""

    def __init__(self, failure: ServerError | None = None) -> None:
        self.failure = failure
        self.asked: list[tuple[str, ...]] = []

    async def why(self, user: str, feature: str, room: str | None = None) -> dict[str, Any]:
        """Say no."""
        self.asked.append((user, feature, room or ""))
        if self.failure:
            raise self.failure
        return {
            "decision": "deny",
            "rules": ["no-pictures"],
            "reason": "Because.",
            "changes_at": "2026-11-23T10:00:00+00:00",
            "policy": "0123456789abcdef",
        }

    async def me(self, user: str) -> dict[str, Any]:
        """Say a little."""
        self.asked.append((user,))
        return {
            "features": [
                {"id": "chat.text", "allowed": True, "in": ["direct", "private"], "until": 1795431833.0},
                {"id": "chat.react", "allowed": True, "in": ["private", "direct", "public"]},
                {"id": "file.image", "allowed": False},
                "nonsense",
            ],
            "limits": {"max_file": 50_000_000, "messages": "60/min", "sources": {}, "until": None},
            "session": {"lifetime": 36000, "overflow": "end_oldest"},
            "readers": ["@eve:acme.example"],
            "policy": "0123456789abcdef",
        }


def asker(custody: Custody) -> Asker:
    """Return Ada, who asks."""
    return Asker("@ada:acme.example", custody, ZoneInfo("Europe/Berlin"))  # type: ignore[arg-type]  # a double


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("!help", "help", {}),
        ("  !ME ", "me", {}),
        ("!why file.image", "why", {"feature": "file.image"}),
        ('!why "file.image" direct', "why", {"feature": "file.image", "room": "direct"}),
    ],
)
def test_commands_are_read(text: str, name: str, arguments: dict[str, str]) -> None:
    """Case and quotation marks do not matter."""
    parsed = parse(COMMANDS, text)
    assert isinstance(parsed, Parsed)
    assert (parsed.command.name, parsed.arguments) == (name, arguments)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello", "I am a program"),
        ("", "I am a program"),
        ("!", "I am a program"),
        ("!wyh", "Did you mean !why?"),
        ("!why", "!why needs FEATURE."),
        ("!why a b c", "!why takes 2 arguments."),
        ("!me now", "!me takes no arguments."),
        ('!why "unbalanced b c', "!why takes 2 arguments."),
    ],
)
def test_what_is_no_command_says_why(text: str, problem: str) -> None:
    """A parse failure is the reply."""
    parsed = parse(COMMANDS, text)
    assert isinstance(parsed, NotParsed)
    assert problem in parsed.problem


@given(st.text(st.characters(), max_size=200))
def test_parsing_is_total(text: str) -> None:
    """No text raises."""
    parse(COMMANDS, "!" + text)


async def test_why_tells_decision_rules_and_change() -> None:
    """The explanation comes from custody, for the person who asks."""
    custody = Custody()
    reply = await answer(asker(custody), "!why file.image")
    assert custody.asked == [("@ada:acme.example", "file.image", "")]
    assert (reply.values["allowed"], reply.values["rules"]) == (False, [{"id": "no-pictures", "place": ""}])
    assert reply.values["changes"] == "2026-11-23 11:00 CET"


async def test_an_unknown_feature_is_answered_without_custody() -> None:
    """A misspelt feature gets suggestions."""
    custody = Custody()
    reply = await answer(asker(custody), "!why file.imge")
    assert ("file.image" in reply.values["usage"], custody.asked) == (True, [])


async def test_me_tells_limits_in_words() -> None:
    """Sizes and times have units, who reads is named, and so is where something is allowed in fewer rooms than the rest."""
    reply = await answer(asker(Custody()), "!me")
    assert reply.values["limits"] == [
        {"name": "largest file", "value": "50 MB"},
        {"name": "messages", "value": "60/min"},
    ]
    assert reply.values["session"][0] == {"name": "you stay logged on for at most", "value": "10 h"}
    assert (reply.values["denied"], reply.values["readers"]) == (["file.image"], ["@eve:acme.example"])
    assert [entry["where"] for entry in reply.values["allowed"]] == ["direct, private", ""]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ServerError(0, "", "no answer"), "Ask again in a moment."),
        (ServerError(404, "M_NOT_FOUND", "There is no policy yet"), "There is no policy yet"),
    ],
)
async def test_a_failure_is_an_answer(failure: ServerError, said: str) -> None:
    """When custody is silent the person is still told something."""
    reply = await answer(asker(Custody(failure)), "!why file.image")
    assert reply.values["usage"] == said


def test_help_lists_the_whole_table() -> None:
    """Nothing is hidden."""
    assert [c["usage"] for c in help_values(COMMANDS)["commands"]] == [c.usage for c in COMMANDS]


def test_the_reference_page_is_generated() -> None:
    """docs/reference/commands.md is what the table says."""
    assert (ROOT / "docs/reference/commands.md").read_text() == page()
