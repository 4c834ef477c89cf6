from __future__ import annotations

import datetime as dt

import pytest

from charter.policy.model import During
from charter.policy.values import parse_until
from charter.windows import NEVER, Recurring, Validity, expiry


def moment(text: str) -> float:
    """Return POSIX seconds."""
    return dt.datetime.fromisoformat(text).timestamp()


def recurring(days: str, hours: str) -> Recurring:
    """Return a window of Berlin."""
    return Recurring.of(During.model_validate({"days": days, "hours": hours}), "Europe/Berlin")


@pytest.mark.parametrize(
    ("days", "hours", "now", "active", "until"),
    [
        # 2026-03-29: 02:00 CET becomes 03:00 CEST
        ("sun", "07:00-20:00", "2026-03-29T06:30+02:00", False, "2026-03-29T07:00+02:00"),
        ("mon-sun", "22:00-06:00", "2026-03-28T23:00+01:00", True, "2026-03-29T06:00+02:00"),
        ("mon-sun", "02:30-04:00", "2026-03-29T01:59+01:00", False, "2026-03-29T03:00+02:00"),
        ("mon-sun", "01:00-02:30", "2026-03-29T01:30+01:00", True, "2026-03-29T03:00+02:00"),
        # 2026-10-25: 03:00 CEST becomes 02:00 CET
        ("mon-sun", "22:00-06:00", "2026-10-24T23:00+02:00", True, "2026-10-25T06:00+01:00"),
        ("mon-sun", "02:30-04:00", "2026-10-25T02:45+02:00", True, "2026-10-25T02:00+01:00"),
        ("mon-sun", "02:30-04:00", "2026-10-25T02:15+01:00", False, "2026-10-25T02:30+01:00"),
        ("mon-sun", "02:30-04:00", "2026-10-25T02:45+01:00", True, "2026-10-25T04:00+01:00"),
        # a window over midnight belongs to the day on which it starts
        ("fri", "22:00-06:00", "2026-11-28T05:59+01:00", True, "2026-11-28T06:00+01:00"),
        ("fri", "22:00-06:00", "2026-11-27T05:59+01:00", False, "2026-11-27T22:00+01:00"),
        ("sat", "22:00-06:00", "2026-11-28T05:59+01:00", False, "2026-11-28T22:00+01:00"),
        ("mon-fri", "07:00-20:00", "2026-11-27T20:00+01:00", False, "2026-11-30T07:00+01:00"),
        ("mon-fri", "00:00-24:00", "2026-11-27T12:00+01:00", True, "2026-11-28T00:00+01:00"),
    ],
)
def test_windows_follow_the_wall_clock(days: str, hours: str, now: str, active: bool, until: str) -> None:  # noqa: FBT001 - a column of the table
    """On the days of the change as well."""
    window = recurring(days, hours)
    span = window.span(moment(now))
    assert (active, moment(until)) == (span.active, span.until)
    assert window.active(span.since) is active
    assert window.active(span.until) is not active
    assert window.span(moment(now)) is span


def test_a_window_that_is_always_open_never_changes() -> None:
    """And is not recomputed for it."""
    assert recurring("mon-sun", "00:00-24:00").span(0.0).until == NEVER


def test_a_date_ends_at_its_end_in_the_organisations_time_zone() -> None:
    """A time ends when it says."""
    assert moment("2027-01-01T00:00+01:00") == expiry(parse_until("2026-12-31"), "Europe/Berlin")
    assert moment("2026-12-31T18:00Z") == expiry(parse_until("2026-12-31T18:00Z"), "Europe/Berlin")
    assert expiry(None, "UTC") == NEVER


def test_a_validity_joins_end_and_window() -> None:
    """Whatever ends first."""
    during = During.model_validate({"hours": "07:00-20:00"})
    validity = Validity.of(parse_until("2026-11-23T12:00:00+01:00"), during, "Europe/Berlin")
    assert validity.span(moment("2026-11-23T10:00+01:00")).until == moment("2026-11-23T12:00+01:00")
    assert not validity.span(moment("2026-11-24T10:00+01:00")).active
    assert not validity.timeless
    assert Validity().timeless
