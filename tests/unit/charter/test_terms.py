from __future__ import annotations

import datetime as dt
import ipaddress
from typing import TYPE_CHECKING

from charter.policy.values import Allowance, Window

if TYPE_CHECKING:
    from tests.unit.charter.conftest import Make

ADA, BOB = "@ada:acme.example", "@bob:acme.example"
NOW = dt.datetime.fromisoformat("2026-11-23T10:00+01:00").timestamp()


def test_the_strictest_limit_counts_and_names_its_rules(make: Make) -> None:
    """Of each setting; types intersect; rules in shadow and expired rules set nothing."""
    limits = [
        {
            "id": "usual",
            "to": ["staff"],
            "max_file": "50MB",
            "types": ["image/*", "application/pdf"],
            "messages": "60/min",
        },
        {
            "id": "ada",
            "to": [ADA],
            "max_file": "5MB",
            "types": ["image/png", "application/*", "text/plain"],
            "messages": "100/h",
        },
        {"id": "also", "to": ["everyone"], "max_file": "5MB", "concurrent_calls": 1, "until": "2026-11-23"},
        {"id": "shadow", "to": ["everyone"], "max_file": "1B", "stage": "shadow"},
        {"id": "past", "to": ["everyone"], "max_file": "2B", "until": "2026-11-22"},
        {"id": "others", "to": ["everyone"], "max_file": "3B", "except": ["staff"]},
    ]
    terms = make(limits=limits).limits(ADA, NOW)
    assert (5_000_000, Allowance(100, 3600), 1) == (terms.max_file, terms.messages, terms.concurrent_calls)
    assert terms.types == ("image/png", "application/pdf")
    assert terms.sources["max_file"] == ("ada", "also")
    assert terms.sources["types"] == ("ada", "usual")
    assert terms.until == dt.datetime.fromisoformat("2026-11-24T00:00+01:00").timestamp()
    assert terms.invites is None
    assert terms.allows_type("image/PNG; a=b")
    assert not terms.allows_type("image/jpeg")


def test_no_limit_that_matches_is_none(make: Make) -> None:
    """The server's default then holds; disjoint types leave none."""
    limits = [{"id": "a", "to": [ADA], "types": ["image/*"]}, {"id": "b", "to": [ADA], "types": ["video/*"]}]
    compiled = make(limits=limits)
    assert compiled.limits(ADA, NOW).types == ()
    assert compiled.limits(BOB, NOW).types is None
    assert compiled.limits(BOB, NOW).allows_type("any/thing")


def test_the_strictest_session_counts(make: Make) -> None:
    """Every window of hours must hold; networks intersect."""
    sessions = [
        {"id": "office", "to": ["staff"], "lifetime": "10h", "max_sessions": 3, "overflow": "end_oldest",
         "hours": "06:00-22:00", "networks": ["10.0.0.0/8", "2001:db8::/32"], "per_kind": {"web": 2}},
        {"id": "ada", "to": [ADA], "lifetime": "8h", "ends_when_away": "15m", "overflow": "refuse_newest",
         "hours": "08:00-23:00", "networks": ["10.1.0.0/16", "192.0.2.0/24"], "per_kind": {"web": 1, "mobile": 0}},
    ]  # fmt: skip
    terms = make(sessions=sessions).session(ADA, NOW)
    assert (terms.lifetime, terms.ends_when_away, terms.max_sessions, terms.overflow) == (
        8 * 3600,
        900,
        3,
        "refuse_newest",
    )
    assert terms.hours == (Window(480, 1380), Window(360, 1320))
    assert terms.networks == (ipaddress.ip_network("10.1.0.0/16"),)
    assert terms.per_kind == {"web": 1, "mobile": 0}
    assert terms.sources["networks"] == ("ada", "office")
    assert terms.sources["per_kind.web"] == ("ada",)
    assert terms.open_at(NOW)
    assert not terms.open_at(NOW - 3 * 3600)
    assert not terms.open_at(NOW + 12.5 * 3600)
    assert terms.hours_end(NOW) == NOW + 12 * 3600
    assert make().session(ADA, NOW).hours_end(NOW) is None
