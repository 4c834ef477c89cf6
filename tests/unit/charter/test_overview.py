"""What a person may do, by kind of room."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from charter.catalogue import names
from charter.facts import ActFacts, RoomFacts
from charter.judge import judge
from charter.overview import KINDS, overview

if TYPE_CHECKING:
    from charter.judge import Compiled
    from tests.unit.charter.conftest import Make

NOW = dt.datetime(2026, 11, 23, 9, tzinfo=dt.UTC).timestamp()
ENDS = dt.datetime(2026, 12, 31, 23, tzinfo=dt.UTC).timestamp()
INSIDE = ["private", "direct", "public"]


@pytest.fixture
def compiled(make: Make) -> Compiled:
    """Return a policy in which Ada may talk to a partner, and Bob only inside."""
    partner = {"server": "partner.example", "allow": ["chat.text", "external.*"], "until": "2026-12-31"}
    return make(
        grants=[
            {"id": "staff", "to": ["staff"], "allow": ["chat.*", "room.join", "presence", "gateway.*"]},
            {"id": "quiet", "to": ["grace"], "deny": ["chat.text"], "in": ["external"]},
            {"id": "stay", "to": ["grace"], "deny": ["external.invite"]},
        ],
        federation={"servers": [{"id": "partner", "to": ["ada", "grace"], **partner}]},
        gateway={"networks": [{"id": "xmpp", "kind": "xmpp"}]},
        compliance={"exempt_admins": ["@root:acme.example"]},
    )


def where(compiled: Compiled, name: str, feature: str) -> list[str]:
    """Return the kinds of room in which a feature is allowed."""
    verdicts = overview(compiled, f"@{name}:acme.example", NOW)[feature]
    return [kind for kind in KINDS if verdicts[kind].allowed]


@pytest.mark.parametrize(
    ("name", "feature", "expected"),
    [
        ("ada", "chat.text", [*INSIDE, "external"]),
        ("ada", "chat.poll", INSIDE),
        ("ada", "room.join", [*INSIDE, "external"]),
        ("ada", "external.invite", [*INSIDE, "external"]),
        ("ada", "presence", [*INSIDE, "external"]),
        ("ada", "gateway.xmpp", [*INSIDE, "external"]),
        ("ada", "call.voice", []),
        ("bob", "chat.text", INSIDE),
        ("bob", "room.join", INSIDE),
        ("bob", "external.invite", []),
        ("bob", "presence", INSIDE),
        ("grace", "chat.text", INSIDE),
        ("grace", "external.invite", []),
        ("grace", "external.join", [*INSIDE, "external"]),
        ("root", "chat.text", [*INSIDE, "external"]),
    ],
)
def test_external_rooms_need_a_server(compiled: Compiled, name: str, feature: str, expected: list[str]) -> None:
    """Nobody is told that they may do in external rooms what no server is open for."""
    assert expected == where(compiled, name, feature)


def test_it_says_when_the_server_closes(compiled: Compiled) -> None:
    """The end of the server's rule is the end of the feature there, and only there."""
    verdicts = overview(compiled, "@ada:acme.example", NOW)["chat.text"]
    assert (verdicts["external"].until, verdicts["private"].until) == (ENDS, None)
    assert overview(compiled, "@bob:acme.example", NOW)["chat.text"]["external"].until is None


@pytest.mark.parametrize("name", ["ada", "bob", "grace"])
def test_it_agrees_with_the_judge(compiled: Compiled, name: str) -> None:
    """What it says of external rooms is what an act in one with that server gets."""
    user = f"@{name}:acme.example"
    room = RoomFacts("", "external", frozenset({"partner.example"}))
    found = overview(compiled, user, NOW)
    for feature in names(compiled.networks):
        if feature not in {"presence", "gateway.xmpp"}:
            expected = judge(compiled, user, ActFacts(feature, room), NOW).allowed
            assert expected == found[feature]["external"].allowed, feature
