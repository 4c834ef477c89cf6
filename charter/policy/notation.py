"""Notations with a unit: read to plain frozen values, and written back.

Every reader takes text, or the value that it would give. Errors are :class:`pydantic_core.PydanticCustomError`
whose type is the diagnostic's code and whose context carries ``message`` and ``help``.
"""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import re
import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

from charter.policy.regex import dangerous

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
"""Units of a duration; a year is 365 days."""

BYTES: Final[Mapping[str, int]] = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
"""Units of a size."""

PERIODS: Final[Mapping[str, int]] = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "week": 604_800}
"""Periods of a rate."""

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY: Final = 24 * 60
DURATION_HELP: Final = "units are s, m, h, d, w, y: `30s`, `10h`, `7y`"
SIZE_HELP: Final = "units are B, kB, MB, GB, TB and KiB, MiB, GiB, TiB: `50MB`"
RATE_HELP: Final = "write a number per s, min, h, day or week: `60/min`"
MAX_REGEX: Final = 1000
MAX_DURATION: Final = 1000 * SECONDS["y"]
MAX_NUMBER: Final = 2**53
YEARS: Final = (1970, 2999)


class Plain(str):
    """Text that stood unquoted in YAML, so that `3` may be a number and `"3"` may not."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Allowance:
    """`count` of something in any `per_seconds` seconds."""

    count: int
    per_seconds: int

    def __str__(self) -> str:
        """Return the notation, `60/min`."""
        unit = next(unit for unit, seconds in PERIODS.items() if seconds == self.per_seconds)
        return f"{self.count}/{unit}"


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the day in minutes since midnight; `end` is not included and may lie before `start` (wraps)."""

    start: int
    end: int

    def __str__(self) -> str:
        """Return the notation, `07:00-20:00`."""
        return f"{self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"

    @property
    def wraps(self) -> bool:
        """Whether the window goes over midnight."""
        return self.end < self.start

    def contains(self, minute: int) -> bool:
        """Return whether a minute of the day lies inside."""
        if self.wraps:
            return minute >= self.start or minute < self.end
        return self.start <= minute < self.end


ALL_DAY: Final = Window(0, MINUTES_A_DAY)
EVERY_DAY: Final = frozenset(range(7))
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def refuse(message: str, help_: str = "", code: str = "bad-value") -> PydanticCustomError:
    """Return the error that becomes a diagnostic with this code, message and help."""
    return PydanticCustomError(code, "{message}", {"message": message, "help": help_})


def parse_integer(value: object) -> int:
    """Parse a whole number; quoted text, fractions and other notations are refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Plain) and re.fullmatch(r"-?(0|[1-9][0-9]{0,15})", value) and abs(int(value)) <= MAX_NUMBER:
        return int(value)
    help_ = "write it without quotes, unit, leading zeros or decimal point" if isinstance(value, str) else ""
    message = f"{show(value)} is not a whole number"
    raise refuse(message, help_)


def parse_duration(value: object) -> int:
    """Parse `10h`, `1h30m`, `7y` to seconds."""
    text = text_of(value, "a duration such as `10h`")
    if not re.fullmatch(r"([0-9]{1,15}[smhdwy]){1,6}", text, re.ASCII):
        message = f"{show(text)} is not a duration"
        raise refuse(message, _unit_help(text, "seconds: `{0}s`, minutes: `{0}m`, hours: `{0}h`", DURATION_HELP))
    parts = [(int(number), unit) for number, unit in re.findall(r"([0-9]+)([smhdwy])", text)]
    sizes = [SECONDS[unit] for _, unit in parts]
    if sizes != sorted(set(sizes), reverse=True):
        message = f"{show(text)} mixes its units"
        raise refuse(message, "units go from large to small, each once: `1h30m`")
    seconds = sum(number * SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= MAX_DURATION:
        message = f"{show(text)} is not a sensible duration"
        raise refuse(message, "a duration is longer than nothing and at most 1000y")
    return seconds


def format_duration(seconds: int) -> str:
    """Return the shortest notation that means these seconds."""
    unit = next(unit for unit, size in reversed(list(SECONDS.items())) if seconds % size == 0)
    return f"{seconds // SECONDS[unit]}{unit}"


def parse_size(value: object) -> int:
    """Parse `50MB`, `10MiB` to bytes."""
    text = text_of(value, "a size such as `50MB`")
    match = re.fullmatch(r"([0-9]{1,16}) ?([A-Za-z]+)", text, re.ASCII)
    if not match or match[2] not in BYTES:
        near = {"k": "kB", "kb": "kB", "m": "MB", "mb": "MB", "g": "GB", "gb": "GB", "t": "TB", "tb": "TB", "b": "B"}
        unit = near.get(match[2].lower()) if match else None
        help_ = (
            f"did you mean `{match[1]}{unit}`?"
            if match and unit
            else _unit_help(text, "bytes: `{0}B`, million bytes: `{0}MB`", SIZE_HELP)
        )
        message = f"{show(text)} is not a size"
        raise refuse(message, help_)
    size = int(match[1]) * BYTES[match[2]]
    if size > MAX_NUMBER:
        message = f"{show(text)} is too large"
        raise refuse(message, "a size is at most 9007TB")
    return size


def format_size(size: int) -> str:
    """Return the notation with the largest unit that divides exactly."""
    units = [(factor, unit) for unit, factor in BYTES.items() if size % factor == 0]
    factor, unit = max(units) if size else (1, "B")
    return f"{size // factor}{unit}"


def parse_allowance(value: object) -> Allowance:
    """Parse `60/min`, `120/day`."""
    if isinstance(value, Allowance):
        return value
    text = text_of(value, "a rate such as `60/min`")
    match = re.fullmatch(r"([0-9]{1,15}) ?/ ?([a-z]+)", text, re.ASCII)
    if not match or match[2] not in PERIODS:
        near = {"sec": "s", "second": "s", "m": "min", "minute": "min", "hour": "h", "hr": "h", "d": "day", "w": "week"}
        unit = near.get(match[2]) if match else None
        help_ = (
            f"did you mean `{match[1]}/{unit}`?"
            if match and unit
            else _unit_help(text, "`{0}/min`, `{0}/h`, `{0}/day`", RATE_HELP)
        )
        message = f"{show(text)} is not a rate"
        raise refuse(message, help_)
    return Allowance(int(match[1]), PERIODS[match[2]])


def parse_window(value: object) -> Window:
    """Parse `07:00-20:00`; a window over midnight (`22:00-06:00`) wraps."""
    if isinstance(value, Window):
        return value
    text = text_of(value, "hours such as `07:00-20:00`")
    match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2}) ?- ?([0-9]{1,2}):([0-9]{2})", text, re.ASCII)
    if not match:
        message = f"{show(text)} is not a window of hours"
        raise refuse(message, "write from and until as `07:00-20:00`")
    hour, minute, end_hour, end_minute = map(int, match.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or start >= MINUTES_A_DAY or end > MINUTES_A_DAY:  # noqa: PLR2004 - a clock
        message = f"{show(text)} is no time of day"
        raise refuse(message, "hours go from 00:00 to 24:00")
    if end == 0:
        end = MINUTES_A_DAY
    if start == end:
        message = f"{show(text)} is an empty window"
        raise refuse(message, "the whole day is `00:00-24:00`")
    return Window(start, end)


def parse_days(value: object) -> frozenset[int]:
    """Parse `mon-fri`, `sat,sun`, `fri-mon` to weekdays, Monday is 0."""
    if isinstance(value, frozenset):
        return value
    text = text_of(value, "days such as `mon-fri`")
    days: set[int] = set()
    for part in text.lower().split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
            message = f"{show(text)} does not name days"
            raise refuse(message, "days are mon, tue, wed, thu, fri, sat, sun: `mon-fri`, `sat,sun`")
        start = WEEKDAYS.index(first)
        span = (WEEKDAYS.index(last) - start) % 7 if dash else 0
        days.update((start + step) % 7 for step in range(span + 1))
    return frozenset(days)


def format_days(days: frozenset[int]) -> str:
    """Return runs of days, `mon-fri,sun`."""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(WEEKDAYS[run[0]] + (f"-{WEEKDAYS[run[-1]]}" if len(run) > 1 else "") for run in runs)


def parse_network(value: object) -> IPNetwork:
    """Parse a CIDR network; an address alone is a network of one."""
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    text = text_of(value, "a network such as `10.0.0.0/8`")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    message = f"{show(text)} is not a network"
    try:
        suggestion = f"did you mean `{ipaddress.ip_network(text, strict=False)}`?"
    except ValueError:
        suggestion = "write address and prefix: `10.0.0.0/8`, `2001:db8::/32`"
    raise refuse(message, suggestion)


def parse_until(value: object) -> dt.date | dt.datetime:
    """Parse a date (ends at its end, in the organisation's time zone) or a time with offset."""
    if isinstance(value, dt.date):
        return value
    text = text_of(value, "a date such as `2026-12-31`")
    message = f"{show(text)} is neither a date nor a time with offset"
    help_ = "write `2026-12-31` or `2026-12-31T18:00+01:00`"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", text, re.ASCII):
        raise refuse(message, help_)
    try:
        parsed = dt.date.fromisoformat(text) if len(text) == len("2026-12-31") else dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{show(text)} does not exist: {error}"
        raise refuse(message, help_) from error
    if isinstance(parsed, dt.datetime) and parsed.tzinfo is None:
        message = f"{show(text)} says no offset"
        raise refuse(message, f"write for example `{text}+01:00` or `{text}Z`")
    if not YEARS[0] <= parsed.year <= YEARS[1]:
        message = f"{show(text)} is not a sensible date"
        raise refuse(message, f"years go from {YEARS[0]} to {YEARS[1]}")
    return parsed


def format_until(until: dt.date | dt.datetime) -> str:
    """Return the ISO notation."""
    return until.isoformat()


def end_of(until: dt.date | dt.datetime, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """Return the first moment at which something with this `until` no longer holds."""
    if isinstance(until, dt.datetime):
        return until
    return dt.datetime.combine(until + dt.timedelta(days=1), dt.time(), zone)


def parse_timezone(value: object) -> str:
    """Check an IANA time zone name."""
    text = text_of(value, "a time zone such as `Europe/Berlin`")
    if text in _timezones():
        return str(text)
    import difflib  # noqa: PLC0415 - only needed to help with a mistake

    near = difflib.get_close_matches(text, sorted(_timezones()), n=1)
    message = f"{show(text)} is not a time zone"
    raise refuse(message, f"did you mean `{near[0]}`?" if near else "use an IANA name such as `Europe/Berlin`")


def parse_regex(value: object) -> str:
    """Check a regular expression: it compiles, is short, and cannot take exponential time."""
    text = text_of(value, "a regular expression")
    if not 0 < len(text) <= MAX_REGEX:
        message = f"a regular expression has 1 to {MAX_REGEX} characters, this one {len(text)}"
        raise refuse(message)
    why, help_ = dangerous(text)
    if why:
        raise refuse(why, help_)
    return str(text)


def text_of(value: object, wanted: str) -> str:
    """Return the text, or refuse anything else naming what is wanted."""
    if isinstance(value, str):
        return value
    message = f"{show(value)} is not {wanted}"
    raise refuse(message)


def show(value: object) -> str:
    """Return a value as messages quote it, shortened."""
    if isinstance(value, str):
        text = value if len(value) <= 60 else value[:57] + "…"  # noqa: PLR2004 - keeps a message on one line
        return f"`{text}`" if text.isprintable() else f"`{text.encode('unicode_escape').decode()}`"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"`{value}`"


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _unit_help(text: str, template: str, otherwise: str) -> str:
    return "a unit is missing: " + template.format(text) if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else otherwise
