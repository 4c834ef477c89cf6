"""Notices: foreign text can neither move, hide nor impersonate what is around it."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bots.scribe
import bots.steward
from bots.kit.neutral import neutral
from bots.kit.notices import BODY_LIMIT, Notices, matrix_link

SCRIBE = Notices(Path(bots.scribe.__file__).parent / "templates")
STEWARD = Notices(Path(bots.steward.__file__).parent / "templates")
LINE = {"when": "10:00", "who": "@ada:acme.example", "room": "!r:a", "where": "Room", "event": "$e", "mark": ""}


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\u202egnp.exe", "⟨U+202E⟩gnp.exe"),
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("x\x00y\x1b[31m", "x⟨U+0000⟩y⟨U+001B⟩[31m"),
        ("\ud800", "⟨U+D800⟩"),
        ("one\r\ntwo\nthree", "one ⏎ two ⏎ three"),
        ("tab\there", "tab here"),
        ("\u3164", "⟨U+3164⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("e" + "\u0301" * 50, "e" + "\u0301" * 4),
        ("Grüße 你好", "Grüße 你好"),
    ],
)
def test_dangerous_characters_are_spelled_out(hostile: str, shown: str) -> None:
    """Each invisible or moving character is visible afterwards; ordinary text stays."""
    assert neutral(hostile) == shown


@given(st.text(st.characters(), max_size=300))
def test_nothing_dangerous_is_left(text: str) -> None:
    """Whatever comes in, what goes out has no control, format or surrogate character and encodes as UTF-8."""
    out = neutral(text, 100)
    out.encode()
    assert not [c for c in out if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c != "\u200d"]


def test_a_huge_text_is_cut_and_says_so() -> None:
    """The end of a long text is replaced by how much is missing."""
    assert neutral("x" * 1000, 10) == "x" * 10 + " … (990 more characters)"


class Tags(HTMLParser):
    """Collects the tags of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        """Note a tag."""
        self.tags.append(tag)


@given(st.text(st.characters(), max_size=200))
def test_markup_in_values_never_becomes_markup(text: str) -> None:
    """The HTML of a line has the template's tags and no others."""
    values = LINE | {"what": text + "<img src=x onerror=alert(1)>", "where": text + "</a><script>"}
    content = SCRIBE.notice("lines", lines=[values])
    parser = Tags()
    parser.feed(content["formatted_body"])
    assert parser.tags == ["a", "a", "b"]


def test_an_event_stays_small_enough() -> None:
    """However much goes in, plain body and HTML together fit into one event."""
    content = SCRIBE.notice("lines", most=100_000, lines=[LINE | {"what": "€" * 90_000}])
    assert len(content["body"]) <= BODY_LIMIT + 2
    assert len(str(content).encode()) < 60_000
    assert "formatted_body" not in content


def test_notices_mention_nobody() -> None:
    """A name in a journal line must not ring that person's bell."""
    content = SCRIBE.notice("lines", lines=[LINE | {"what": "@room @ada:acme.example"}])
    assert (content["m.mentions"], content["msgtype"]) == ({}, "m.notice")


def test_links_are_quoted() -> None:
    """Identifiers cannot leave the path of a link."""
    assert matrix_link('!a"><b>:c', "$x/../y") == "https://matrix.to/#/%21a%22%3E%3Cb%3E%3Ac/%24x%2F..%2Fy"


def test_a_receipt_says_everything_a_person_needs() -> None:
    """What, why, which rule and where, until when, whom to ask, and the record."""
    content = STEWARD.notice(
        "receipt",
        what="send pictures",
        feature="file.image",
        replaced=True,
        room="!r:acme.example",
        reason="Pictures go through the data room.",
        rules=[{"id": "no-pictures", "place": "files.yaml:5"}],
        policy="abcdef",
        until="2026-12-01 10:00 CET",
        contact="#it:acme.example",
        record="r-1",
    )
    assert content["body"].splitlines() == [
        "You may not send pictures: your message was replaced by a note.",
        "Why: Pictures go through the data room.",
        "Rule: no-pictures (files.yaml:5)",
        "This may change at: 2026-12-01 10:00 CET",
        "Whom to ask: #it:acme.example",
        "Feature file.image, policy abcdef, record r-1. Write !why file.image or !me to know more.",
    ]
    assert "https://matrix.to/#/%23it%3Aacme.example" in content["formatted_body"]


def test_a_receipt_without_a_rule_does_not_speak_of_one() -> None:
    """Where an invariant of the house refused, the reason alone tells."""
    content = STEWARD.notice(
        "receipt",
        what="remove people",
        feature="room.moderate",
        replaced=False,
        room="",
        reason="The journal stays.",
        rules=[],
        policy="",
        until="",
        contact="",
        record="r-1",
    )
    assert content["body"].splitlines()[:2] == ["This was refused: remove people.", "Why: The journal stays."]
    assert "Rule" not in content["body"] + content["formatted_body"]
