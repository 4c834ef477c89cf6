"""Values with a notation: what is written is what was read, and mistakes are refused with help."""

from __future__ import annotations

import datetime as dt
import ipaddress
import time
import zoneinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from charter.policy import values as v
from charter.policy.regex import dangerous

ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "duration": TypeAdapter(v.Duration),
    "size": TypeAdapter(v.Size),
    "rate": TypeAdapter(v.Rate),
    "quota": TypeAdapter(v.Quota),
    "hours": TypeAdapter(v.HoursWindow),
    "days": TypeAdapter(v.Days),
    "network": TypeAdapter(v.Network),
    "until": TypeAdapter(v.Until),
    "zone": TypeAdapter(v.TimeZoneName),
    "regex": TypeAdapter(v.RegexText),
    "integer": TypeAdapter(v.Integer),
}

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
TIMES = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2999, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 - bounds are naive by contract
VALUES = st.one_of(
    st.tuples(st.just("duration"), st.integers(1, v.MAX_DURATION)),
    st.tuples(st.just("size"), st.integers(0, v.MAX_NUMBER)),
    st.tuples(st.sampled_from(["rate", "quota"]), st.builds(v.Allowance, st.integers(0, 10**9), st.sampled_from(list(v.PERIODS.values())))),
    st.tuples(st.just("hours"), st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: v.Window(*pair))),
    st.tuples(st.just("days"), st.frozensets(st.integers(0, 6), min_size=1)),
    st.tuples(st.just("network"), st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(ipaddress.ip_network)),
    st.tuples(st.just("until"), st.one_of(st.dates(dt.date(1970, 1, 1), dt.date(2999, 12, 31)), TIMES.map(lambda at: at.replace(microsecond=0)))),
    st.tuples(st.just("zone"), st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])),
    st.tuples(st.just("integer"), st.integers(-v.MAX_NUMBER, v.MAX_NUMBER)),
)  # fmt: skip


@given(VALUES)
def test_what_is_written_is_what_was_read(case: tuple[str, Any]) -> None:
    """Writing a value and reading it gives an equal value that hashes alike, through JSON too."""
    kind, value = case
    adapter = ADAPTERS[kind]
    written = adapter.dump_python(value, mode="json")
    read = adapter.validate_python(v.Plain(written) if isinstance(written, str) else written)
    assert read == value
    assert hash(read) == hash(value)
    assert adapter.validate_json(adapter.dump_json(value)) == value
    assert adapter.dump_python(read, mode="json") == written
    assert adapter.validate_python(value) == value


@given(st.text(max_size=30), st.sampled_from(sorted(ADAPTERS)))
def test_any_text_is_a_value_or_refused(text: str, kind: str) -> None:
    """Parsing foreign text gives a value or a validation error, nothing else."""
    try:
        ADAPTERS[kind].validate_python(v.Plain(text))
    except ValidationError as error:
        assert error.errors()[0]["msg"]  # noqa: PT017 - the error's text is what is tested


READ: list[tuple[str, str, Any]] = [
    ("duration", "90s", 90),
    ("duration", "1h30m", 5400),
    ("duration", "7y", 7 * 365 * 86_400),
    ("duration", "2w", 14 * 86_400),
    ("size", "50MB", 50_000_000),
    ("size", "50 MB", 50_000_000),
    ("size", "1KiB", 1024),
    ("size", "1kB", 1000),
    ("size", "0B", 0),
    ("rate", "60/min", v.Allowance(60, 60)),
    ("rate", "2 / s", v.Allowance(2, 1)),
    ("quota", "120/day", v.Allowance(120, 86_400)),
    ("hours", "07:00-20:00", v.Window(420, 1200)),
    ("hours", "22:00-00:00", v.Window(1320, 1440)),
    ("hours", "7:00 - 8:30", v.Window(420, 510)),
    ("days", "mon-fri", frozenset(range(5))),
    ("days", "Sat, Sun", frozenset({5, 6})),
    ("days", "fri-mon", frozenset({4, 5, 6, 0})),
    ("network", "10.0.0.1", ipaddress.ip_network("10.0.0.1/32")),
    ("until", "2026-12-31", dt.date(2026, 12, 31)),
    ("until", "2026-12-31T18:00Z", dt.datetime(2026, 12, 31, 18, tzinfo=dt.UTC)),
    ("until", "2026-12-31 18:00:30+01:00", dt.datetime(2026, 12, 31, 17, 0, 30, tzinfo=dt.UTC)),
    ("integer", "-3", -3),
]


@pytest.mark.parametrize(("kind", "text", "value"), READ)
def test_notations_are_read(kind: str, text: str, value: Any) -> None:
    """Each notation means what the manual says."""
    assert ADAPTERS[kind].validate_python(v.Plain(text)) == value


REFUSED = [
    *[("duration", text) for text in ("10", "10 h", "1.5h", "30m1h", "1h1h", "0s", "-1h", "1001y", "h", "", "10min", "\uff19h")],
    *[("size", text) for text in ("50", "50mb", "50M", "1.5GB", "-1B", "MB", "99999TB", "50MBB")],
    *[("rate", text) for text in ("60", "60/minute", "/min", "60/month", "-1/h", "6O/h", "60per h")],
    *[("hours", text) for text in ("07:00", "07:00-07:00", "24:00-07:00", "07:60-08:00", "7-8", "07:00-24:01", "a")],
    *[("days", text) for text in ("", "no", "monday", "mon-", "mon,,tue", "-", "1-5")],
    *[("network", text) for text in ("10.0.0.1/8", "10.0.0/8", "::1/200", "office", "")],
    *[("until", text) for text in ("2026", "31.12.2026", "2026-13-01", "2026-02-30", "2026-12-31T10:00", "1969-12-31", "3000-01-01", "2026-12-31T10:00+25:00", "2026-12-31T10:00:00.5Z")],
    *[("zone", text) for text in ("", "CET+1", "Europe/berlin!", "../UTC", "Berlin")],
    *[("regex", text) for text in ("", "(", "(a+)+$", "x" * 1001, "(a|ab)*c")],
    *[("integer", text) for text in ("1.0", "0x1", "010", "1e3", "", "one", "9" * 17, "+1", "1_000")],
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_other_notations_are_refused(kind: str, text: str) -> None:
    """What could be misread is refused with a message that quotes it."""
    with pytest.raises(ValidationError) as caught:
        ADAPTERS[kind].validate_python(v.Plain(text))
    assert caught.value.errors()[0]["type"] == "bad-value"


@pytest.mark.parametrize("kind", [kind for kind in ADAPTERS if kind != "integer"])
@pytest.mark.parametrize("value", [True, None, (), {}, 1.5])
def test_other_types_are_refused(kind: str, value: Any) -> None:
    """A list, a mapping or a truth value is never taken for a notation."""
    with pytest.raises(ValidationError):
        ADAPTERS[kind].validate_python(value)


def test_a_quoted_number_is_text() -> None:
    """Only an unquoted number is a number."""
    with pytest.raises(ValidationError):
        ADAPTERS["integer"].validate_python("3")


def test_a_window_over_midnight_contains_the_night() -> None:
    """The end is not included; a wrapped window has two parts."""
    day, night = v.Window(420, 1200), v.Window(1320, 360)
    assert [day.contains(minute) for minute in (419, 420, 1199, 1200)] == [False, True, True, False]
    assert [night.contains(minute) for minute in (1319, 1320, 0, 359, 360)] == [False, True, True, True, False]
    assert (day.wraps, night.wraps) == (False, True)


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (dt.date(2026, 12, 31), "2027-01-01T00:00:00+01:00"),
        (dt.date(2026, 10, 24), "2026-10-25T00:00:00+02:00"),
        (dt.date(2026, 10, 25), "2026-10-26T00:00:00+01:00"),
        (dt.datetime(2026, 12, 31, 18, tzinfo=dt.UTC), "2026-12-31T18:00:00+00:00"),
    ],
)
def test_a_date_ends_at_its_end(until: dt.date, end: str) -> None:
    """In the organisation's time zone, daylight saving included."""
    assert v.end_of(until, zoneinfo.ZoneInfo("Europe/Berlin")).isoformat() == end


FINE = [
    r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", "@_helpdesk_.*:acme.example", "(?:a|b)*c", "(a++)+b", "(?>a+)*b", r"(\d+,)*",
    r"(,\d+)*", "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}", r"(\d{4} ?){4}", "(a+){2}", "([^,]+,)*", "(?=a+)b", "a|b+", "(?:x*y)+",
    r"(\w+ )*", r"(\s+x)*", "(?i:abc)", "(a)?(?(1)b|c)", "(.){3}",
    ".*a.*b.*c",
]  # fmt: skip
RUNAWAY = [
    "(a+)+", "(a*)*", "(a|ab)*", "(a|a)*", "([a-z]+)*x", r"(\w+\s*)+", "(x+x+)+y", "(a{1,3})*", "(.*,)*", "((a+)|b)*",
    "(?:a*b?)*", "(?=(a+)+)b", "(?>(a+)+)", r"(\w+a)*", "([^a]+b)*", "(b|)*", r"(a)?(?(1)(b+)+|c)", "(a+){5}", r"(\S+x)*",
    ".*a.*b.*c.*d", "(.*)(.*)(.*)(.*)x",
]  # fmt: skip


@pytest.mark.parametrize("text", FINE)
def test_ordinary_expressions_pass(text: str) -> None:
    """What people write for addresses and account numbers is accepted."""
    assert dangerous(text) == ("", "")


@pytest.mark.parametrize("text", RUNAWAY)
def test_runaway_expressions_are_refused(text: str) -> None:
    """Nested repetitions are refused before they are ever matched."""
    started = time.monotonic()
    assert dangerous(text)[0]
    assert time.monotonic() - started < 1


def test_messages_stay_on_one_line() -> None:
    """A long or unprintable value is shortened and escaped."""
    assert len(v.show("x" * 500)) < 80
    assert v.show("a\nb\x1b") == r"`a\nb\x1b`"
    assert (v.show({}), v.show(()), v.show(None)) == ("a mapping", "a list", "`None`")
