from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from charter.facts import ActFacts, CreateRoomFacts, EventFacts, GatewayFacts, LoginFacts, RoomFacts
from charter.judge import LOGON, closed_directory, combine, judge
from charter.verdict import FREE, Decision, Verdict

if TYPE_CHECKING:
    from tests.unit.charter.conftest import Make

ADA, BOB, ERIK, GRACE = (f"@{name}:acme.example" for name in ("ada", "bob", "erik", "grace"))
PAM = "@pam:partner.example"
MONDAY = dt.datetime.fromisoformat("2026-11-23T10:00+01:00").timestamp()
HOUR = 3600
TEXT = EventFacts("m.room.message", {"msgtype": "m.text", "body": "x"})
ALL = {"id": "all", "to": ["everyone"], "allow": ["*"]}
WITH_PARTNER = RoomFacts("!r", "external", frozenset({"partner.example"}))


def text_in(room: RoomFacts) -> EventFacts:
    """Return a text message in a room."""
    return EventFacts(TEXT.type, TEXT.content, room=room)


def test_nothing_is_allowed_by_default(make: Make) -> None:
    """A denial without a rule still says a sentence."""
    verdict = judge(make(), ADA, TEXT, MONDAY)
    assert (verdict.decision, verdict.rules, verdict.feature) == (Decision.DENY, (), "chat.text")
    assert verdict.reason == "Nothing in the policy allows you to send text messages (chat.text)."


def test_a_denial_beats_every_allowance_and_says_its_reason(make: Make) -> None:
    """The deciding rules are all matching denials, with their places."""
    compiled = make(
        grants=[
            ALL,
            {"id": "no-files", "to": ["staff"], "deny": ["file.*"], "except": ["erik"], "reason": "Use the data room."},
            {"id": "no-media", "to": [ADA], "deny": ["file.image"]},
        ]
    )
    verdict = judge(compiled, ADA, EventFacts("m.room.message", {"msgtype": "m.image", "body": "x"}), MONDAY)
    assert (verdict.rules, verdict.reason) == (("no-files", "no-media"), "Use the data room.")
    assert verdict.places == ("grants.yaml:2", "grants.yaml:3")
    assert judge(compiled, ERIK, ActFacts("file.image"), MONDAY).allowed


def test_ends_are_free_even_without_a_policy(make: Make) -> None:
    """Hanging up and leaving are never refused, not even to a disabled person."""
    compiled = make(off=["ada"])
    leave = EventFacts("m.room.member", {"membership": "leave"}, ADA)
    assert judge(compiled, ADA, EventFacts("m.call.hangup", {"call_id": "1"}), MONDAY) is FREE
    assert judge(compiled, ADA, leave, MONDAY) is FREE


def test_a_disabled_person_is_refused_everything(make: Make) -> None:
    """Whatever the rules say; and cannot log on, not even as an exempt admin."""
    compiled = make(off=["ada"], grants=[ALL], compliance={"exempt_admins": [ADA]})
    assert "disabled" in judge(compiled, ADA, TEXT, MONDAY).reason
    assert not judge(compiled, ADA, LoginFacts("10.0.0.1", 1), MONDAY).allowed


def test_an_exempt_admin_is_marked(make: Make) -> None:
    """No rule judges them, and the verdict says so."""
    compiled = make(compliance={"exempt_admins": [ADA]})
    verdict = judge(compiled, ADA, TEXT, MONDAY)
    assert verdict.allowed
    assert verdict.exempt


@pytest.mark.parametrize(
    ("user", "feature", "allowed"),
    [
        ("@newcomer:acme.example", "chat.text", True),
        (PAM, "chat.text", False),
        (PAM, "chat.edit", True),
        ("@bot:acme.example", "chat.text", False),
        ("@bot:acme.example", "chat.edit", True),
        ("@_helpdesk_1:acme.example", "chat.text", False),
        ("@_helpdesk_1:acme.example", "file.other", True),
        ("@_helpdesk_1:acme.example", "chat.edit", False),
        ("x@_helpdesk_1:acme.example", "file.other", False),
    ],
)
def test_remote_people_bots_and_services_are_matched_only_when_named(
    make: Make, user: str, feature: str, *, allowed: bool
) -> None:
    """`everyone` is all local people; other services' users have what `services` gives them."""
    compiled = make(
        grants=[
            {"id": "chat", "to": ["everyone"], "allow": ["chat.text"]},
            {"id": "named", "to": [PAM, "robots"], "allow": ["chat.edit"]},
        ],
        groups={"robots": {"users": ["@bot:acme.example"]}},
        services=[{"id": "helpdesk", "users": "@_helpdesk_.*:acme.example", "allow": ["file.*"]}],
        bots=["@bot:acme.example"],
    )
    assert judge(compiled, user, ActFacts(feature), MONDAY).allowed is allowed


def test_every_feature_of_an_event_is_needed(make: Make) -> None:
    """An edit from text to file needs the file's feature; the first denial is told."""
    compiled = make(grants=[{"id": "chat", "to": ["staff"], "allow": ["chat.*"]}])
    content = {"msgtype": "m.text", "body": "* x", "m.new_content": {"msgtype": "m.file", "body": "x"}}
    verdict = judge(compiled, ADA, EventFacts("m.room.message", content), MONDAY)
    assert (verdict.allowed, verdict.feature) == (False, "file.other")


def test_every_server_of_a_room_must_list_the_feature(make: Make) -> None:
    """One server that does not is enough to refuse; rules of both are named when all do."""
    compiled = make(
        grants=[ALL],
        federation={"servers": [{"id": "partner", "server": "partner.example", "to": ["staff"], "allow": ["chat.*"]}]},
    )
    both = RoomFacts("!r", "external", frozenset({"partner.example", "elsewhere.example"}))
    assert judge(compiled, ADA, text_in(WITH_PARTNER), MONDAY).rules == ("all", "partner")
    assert "elsewhere.example" in judge(compiled, ADA, text_in(both), MONDAY).reason
    assert not judge(compiled, ADA, ActFacts("file.image", WITH_PARTNER), MONDAY).allowed


def test_inviting_and_joining_abroad_needs_what_the_server_lists(make: Make) -> None:
    """`external.*` is listed with the server; a grant may deny it."""
    server = {
        "id": "partner",
        "server": "Partner.example",
        "to": ["staff"],
        "allow": ["external.*"],
        "except": ["erik"],
    }
    grants = [
        {"id": "rooms", "to": ["staff"], "allow": ["room.*"]},
        {"id": "not-bob", "to": [BOB], "deny": ["external.invite"]},
    ]
    compiled = make(grants=grants, federation={"servers": [server]})
    invite = ActFacts("room.invite", other=PAM)
    assert judge(compiled, ADA, invite, MONDAY).rules == ("partner", "rooms")
    assert judge(compiled, BOB, invite, MONDAY).rules == ("not-bob",)
    assert not judge(compiled, ERIK, invite, MONDAY).allowed
    event = EventFacts("m.room.member", {"membership": "invite"}, PAM)
    assert not judge(compiled, ERIK, event, MONDAY).allowed
    assert judge(compiled, ADA, event, MONDAY).allowed
    assert judge(compiled, ADA, ActFacts("room.join", WITH_PARTNER), MONDAY).allowed
    assert judge(compiled, ADA, ActFacts("external.be-invited", other=PAM), MONDAY).allowed
    assert not judge(compiled, ADA, ActFacts("external.invite"), MONDAY).allowed
    create = CreateRoomFacts({"invite": [PAM]}, ())
    assert judge(compiled, ADA, create, MONDAY).allowed
    assert not judge(compiled, BOB, create, MONDAY).allowed
    assert not judge(compiled, ADA, CreateRoomFacts({"invite": [PAM, 7]}, ()), MONDAY).allowed


@pytest.mark.parametrize(
    ("user", "facts", "allowed"),
    [
        (ADA, ActFacts("chat.text", RoomFacts("!r", members=frozenset({BOB}))), False),
        (BOB, ActFacts("chat.text", RoomFacts("!r", members=frozenset({ADA}))), False),
        (ADA, ActFacts("room.invite", other=BOB), False),
        (ERIK, ActFacts("room.invite", RoomFacts("!r", members=frozenset({ADA})), BOB), False),
        (ERIK, ActFacts("chat.text", RoomFacts("!r", members=frozenset({ADA, BOB}))), True),
        (ADA, ActFacts("room.invite", other=GRACE), True),
        (GRACE, ActFacts("room.invite", other=BOB), True),
        (ADA, ActFacts("room.invite", other=ERIK), True),
        (ERIK, CreateRoomFacts({}, (ADA, BOB)), False),
        (ERIK, CreateRoomFacts({}, (ADA,)), True),
        (ADA, EventFacts("m.room.member", {"membership": "invite"}, BOB), False),
    ],
)
def test_a_barrier_keeps_people_apart(make: Make, user: str, facts: Any, allowed: bool) -> None:  # noqa: FBT001 - a column of the table
    """Those who act, are invited or are brought together must not be on two sides."""
    wall = {"id": "wall", "between": ["ada", "bob"], "except": ["grace"], "reason": "They do not talk."}
    verdict = judge(make(grants=[ALL], barriers=[wall]), user, facts, MONDAY)
    assert allowed is verdict.allowed
    if not allowed:
        assert (verdict.rules, verdict.reason) == (("wall",), "They do not talk.")


def test_a_shadow_barrier_is_only_recorded(make: Make) -> None:
    """It would have refused."""
    wall = {"id": "wall", "between": ["ada", "bob"], "stage": "shadow"}
    verdict = judge(make(grants=[ALL], barriers=[wall]), ADA, ActFacts("room.invite", other=BOB), MONDAY)
    assert (verdict.allowed, verdict.would_have) == (True, ("wall",))


def test_limits_on_size_and_type_hold(make: Make) -> None:
    """With the rule that set them; parameters of a type do not matter."""
    compiled = make(grants=[ALL], limits=[{"id": "small", "to": ["ada"], "max_file": "1MB", "types": ["image/*"]}])
    assert judge(compiled, ADA, ActFacts("file.image", content_type="Image/PNG; x=y", size=10**6), MONDAY).allowed
    assert judge(compiled, ADA, ActFacts("file.image", size=10**6 + 1), MONDAY).rules == ("small",)
    assert judge(compiled, ADA, ActFacts("file.other", content_type="text/html"), MONDAY).rules == ("small",)
    sniffed = EventFacts("m.room.message", {"msgtype": "m.file", "body": "x"}, sniffed=("text/html",))
    assert judge(compiled, ADA, sniffed, MONDAY).rules == ("small",)
    assert judge(compiled, BOB, ActFacts("file.other", content_type="text/html", size=10**9), MONDAY).allowed


def test_an_upload_needs_the_feature_of_what_it_is(make: Make) -> None:
    """The bytes' type counts beside the feature that the adapter names."""
    compiled = make(grants=[{"id": "pictures", "to": ["staff"], "allow": ["file.image", "file.voice"]}])
    assert not judge(compiled, ADA, ActFacts("file.image", content_type="video/mp4"), MONDAY).allowed
    assert judge(compiled, ADA, ActFacts("file.voice", content_type="audio/ogg"), MONDAY).allowed


def test_a_crossing_needs_the_gateway_grant_and_the_feature(make: Make) -> None:
    """Address, direction and what is carried must fit, and no denial of `gateway.<id>` may stand against it."""
    gate = {
        "id": "gate",
        "to": ["staff"],
        "network": "xmpp",
        "destinations": ["*@partner.example"],
        "senders": ["boss@partner.example"],
        "during": {"hours": "07:00-20:00"},
    }
    compiled = make(
        grants=[
            {"id": "chat", "to": ["staff"], "allow": ["chat.*"]},
            {"id": "veto", "to": ["bob"], "deny": ["gateway.*"]},
        ],
        gateway={"networks": [{"id": "xmpp", "kind": "xmpp"}], "grants": [gate]},
    )
    out = GatewayFacts("xmpp", "A.B@Partner.Example")
    verdict = judge(compiled, ADA, out, MONDAY)
    assert (verdict.rules, verdict.until) == (("chat", "gate"), MONDAY + 10 * HOUR)
    assert judge(compiled, BOB, out, MONDAY).rules == ("veto",)
    refused = [
        GatewayFacts("xmpp", "a@partner.example.evil"),
        GatewayFacts("xmpp", "a@partner.example", "chat.edit"),
        GatewayFacts("xmpp", "a@partner.example", direction="in"),
        GatewayFacts("irc", "a@partner.example"),
    ]
    assert not any(judge(compiled, ADA, facts, MONDAY).allowed for facts in refused)
    assert not judge(compiled, ADA, out, MONDAY + 12 * HOUR).allowed
    assert judge(compiled, ADA, GatewayFacts("xmpp", "boss@partner.example", direction="in"), MONDAY).allowed
    assert judge(compiled, ADA, GatewayFacts("xmpp", None), MONDAY).allowed
    assert judge(compiled, ADA, ActFacts("gateway.xmpp"), MONDAY).rules == ("gate",)


@pytest.mark.parametrize(
    ("facts", "at", "rules", "allowed"),
    [
        (LoginFacts("10.1.2.3", 60), MONDAY, (), True),
        (LoginFacts("::ffff:10.1.2.3", 60), MONDAY, (), True),
        (LoginFacts("192.0.2.1", 60), MONDAY, ("net",), False),
        (LoginFacts(None, 60), MONDAY, ("net",), False),
        (LoginFacts("nonsense", 60), MONDAY, ("net",), False),
        (LoginFacts("10.1.2.3", 60), MONDAY + 13 * HOUR, ("office",), False),
        (LoginFacts("10.1.2.3", 90_000), MONDAY, (), False),
        (LoginFacts("10.1.2.3", None), MONDAY, (), False),
    ],
)
def test_log_on(make: Make, facts: LoginFacts, at: float, rules: tuple[str, ...], allowed: bool) -> None:  # noqa: FBT001 - a column of the table
    """Hours, networks and the age of the directory decide, not the features."""
    sessions = [
        {"id": "office", "to": ["staff"], "hours": "06:00-22:00"},
        {"id": "net", "to": ["ada"], "networks": ["10.0.0.0/8"]},
    ]
    verdict = judge(make(sessions=sessions), ADA, facts, at)
    assert (LOGON, rules, allowed) == (verdict.feature, verdict.rules, verdict.allowed)
    assert allowed is (verdict.reason == "")


def test_an_alert_does_not_close_the_log_on(make: Make) -> None:
    """`then: alert` lets people in."""
    assert judge(make(directory={"then": "alert"}), ADA, LoginFacts(None, None), MONDAY).allowed


def test_a_stale_directory_closes_everything_if_the_policy_says_so(make: Make) -> None:
    """Only then, and not for exempt admins."""
    closing = make(directory={"then": "close", "max_age": "1h"}, compliance={"exempt_admins": [BOB]})
    assert closed_directory(closing, ADA, "chat.text", 3600) is None
    assert closed_directory(closing, BOB, "chat.text", None) is None
    for age in (3601, None):
        verdict = closed_directory(closing, ADA, "chat.text", age)
        assert verdict is not None
        assert (verdict.allowed, verdict.feature) == (False, "chat.text")
    assert closed_directory(make(), ADA, "chat.text", None) is None


def test_the_cache_forgets_and_stays_right(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two generations are kept; a verdict that has left both is made anew."""
    monkeypatch.setattr("charter.compiled.MAX_CACHED", 2)
    compiled = make(grants=[{"id": "chat", "to": ["staff"], "allow": ["chat.*"]}])
    for _ in range(3):
        for feature in ("chat.text", "chat.edit", "chat.poll", "call.voice", "chat.sticker"):
            assert compiled.decide(ADA, feature, None, MONDAY).allowed is feature.startswith("chat.")


def test_what_is_no_feature_is_denied_and_what_are_no_facts_is_a_mistake(make: Make) -> None:
    """A word that the catalogue does not know has no rules."""
    compiled = make(grants=[ALL])
    assert not judge(compiled, ADA, ActFacts("chat.telepathy"), MONDAY).allowed
    with pytest.raises(TypeError, match="not facts: str"):
        judge(compiled, ADA, "text", MONDAY)  # type: ignore[arg-type] # the mistake


def test_members_of_a_name(make: Make) -> None:
    """Readers and approvers are resolved; disabled people are left out."""
    compiled = make(off=["gone"], groups={"leads": {"users": [PAM], "groups": ["ada"]}})
    assert compiled.members("leads") == (ADA, PAM)
    assert compiled.members("staff") == (ADA, BOB, ERIK, GRACE)
    assert compiled.members(BOB) == (BOB,)
    assert compiled.members("nobody") == ()
    assert compiled.member(ADA, ADA)
    assert not compiled.member(ADA, BOB)


def test_would_have_of_a_combination(make: Make) -> None:
    """Only what would have turned the whole counts."""
    del make
    allow = Verdict(Decision.ALLOW, "a", ("r",), "", places=("f:1",))
    deny = Verdict(Decision.DENY, "b", (), "no")
    flips = Verdict(Decision.DENY, "c", (), "no", would_have=("s",))
    turns = Verdict(Decision.ALLOW, "d", ("q",), "", would_have=("t",), places=("f:2",))
    assert combine([]) is FREE
    assert combine([allow, turns]).would_have == ("t",)
    assert combine([allow, flips]).would_have == ("s",)
    assert combine([deny, flips]).would_have == ()
    assert combine([turns, flips]).would_have == ()
    assert combine([turns, allow]).places == ("f:2", "f:1")


def test_a_refusal_says_when_it_may_end(make: Make) -> None:
    """Not when something else changes: a part that is never allowed keeps the whole refused."""
    office = {"during": {"hours": "07:00-20:00"}}
    compiled = make(
        grants=[
            {"id": "calls", "to": ["staff"], "allow": ["call.voice"], **office},
            {"id": "evening", "to": ["staff"], "deny": ["file.image"], "during": {"hours": "09:00-18:00"}},
            {"id": "files", "to": ["staff"], "allow": ["file.*"], **office},
            {"id": "never", "to": ["ada"], "deny": ["file.image"]},
            {"id": "later", "to": ["staff"], "allow": ["chat.poll"], "during": {"hours": "12:00-13:00"}},
        ]
    )

    def until(user: str, *features: str) -> float | None:
        return compiled.decide_all(user, features, "private", MONDAY).until

    assert until(ADA, "call.voice", "call.video") is None
    assert until(ADA, "call.video", "call.voice") is None
    assert until(ADA, "call.voice") == MONDAY + 10 * HOUR
    assert until(BOB, "file.image") == MONDAY + 8 * HOUR
    assert until(ADA, "file.image") is None
    assert until(BOB, "file.image", "chat.poll") == MONDAY + 8 * HOUR
    assert until(BOB, "chat.poll", "call.voice") == MONDAY + 2 * HOUR
