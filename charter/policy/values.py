"""The annotated types of the policy models.

Each accepts its notation as text (from YAML or canonical JSON) or, from Python, the parsed value; each is
written back to the same notation. The readers and writers are in :mod:`charter.policy.notation`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from charter.policy.notation import (
    ALL_DAY,
    BYTES,
    DURATION_HELP,
    EVERY_DAY,
    MAX_DURATION,
    MAX_NUMBER,
    MAX_REGEX,
    MINUTES_A_DAY,
    PERIODS,
    RATE_HELP,
    SECONDS,
    SIZE_HELP,
    Allowance,
    IPNetwork,
    Plain,
    Window,
    end_of,
    format_days,
    format_duration,
    format_size,
    format_until,
    parse_allowance,
    parse_days,
    parse_duration,
    parse_integer,
    parse_network,
    parse_regex,
    parse_size,
    parse_timezone,
    parse_until,
    parse_window,
    show,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ALL_DAY",
    "BYTES",
    "DURATION_HELP",
    "EVERY_DAY",
    "MAX_DURATION",
    "MAX_NUMBER",
    "MAX_REGEX",
    "MINUTES_A_DAY",
    "PERIODS",
    "RATE_HELP",
    "SECONDS",
    "SIZE_HELP",
    "Allowance",
    "Days",
    "Duration",
    "HoursWindow",
    "IPNetwork",
    "Integer",
    "Network",
    "Plain",
    "Quota",
    "Rate",
    "RegexText",
    "Size",
    "TimeZoneName",
    "Until",
    "Window",
    "end_of",
    "format_days",
    "format_duration",
    "format_size",
    "format_until",
    "parse_allowance",
    "parse_days",
    "parse_duration",
    "parse_integer",
    "parse_network",
    "parse_regex",
    "parse_size",
    "parse_timezone",
    "parse_until",
    "parse_window",
    "show",
]


def _or_parsed(parse: Callable[[object], int]) -> Callable[[object], int]:
    def parse_or_keep(value: object) -> int:
        return value if isinstance(value, int) and not isinstance(value, bool) else parse(value)

    return parse_or_keep


def _schema(description: str, pattern: str, *examples: str) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "pattern": pattern, "examples": list(examples)}
    return WithJsonSchema(schema | {"description": description})


def _written(write: Callable[[Any], str]) -> PlainSerializer:
    return PlainSerializer(write, return_type=str, when_used="json")


Integer = Annotated[int, BeforeValidator(parse_integer)]
"""A whole number."""

Duration = Annotated[
    int,
    PlainValidator(_or_parsed(parse_duration)),
    _written(format_duration),
    _schema("Duration; " + DURATION_HELP, r"^([0-9]+[smhdwy])+$", "30s", "10h", "7y"),
]
"""Seconds, written `10h`, `1h30m`."""

Size = Annotated[
    int,
    PlainValidator(_or_parsed(parse_size)),
    _written(format_size),
    _schema("Size; " + SIZE_HELP, r"^[0-9]+ ?([kMGT]?B|[KMGT]iB)$", "50MB"),
]
"""Bytes, written `50MB`."""

Rate = Annotated[
    Allowance,
    PlainValidator(parse_allowance),
    _written(str),
    _schema("Rate; " + RATE_HELP, r"^[0-9]+ ?/ ?(s|min|h|day|week)$", "60/min", "20/h"),
]
"""How many in a period, written `60/min`."""

Quota = Annotated[
    Allowance,
    PlainValidator(parse_allowance),
    _written(str),
    _schema("Quota; " + RATE_HELP, r"^[0-9]+ ?/ ?(s|min|h|day|week)$", "120/day"),
]
"""How much in a period, written `120/day`."""

HoursWindow = Annotated[
    Window,
    PlainValidator(parse_window),
    _written(str),
    _schema("From and until; the end is not included", r"^\d\d?:\d\d ?- ?\d\d?:\d\d$", "07:00-20:00", "22:00-06:00"),
]
"""A part of the day, written `07:00-20:00`."""

Days = Annotated[
    frozenset[int],
    PlainValidator(parse_days),
    _written(format_days),
    _schema("Days of the week", r"^[a-zA-Z, -]+$", "mon-fri", "sat,sun"),
]
"""Weekdays (Monday is 0), written `mon-fri`."""

Network = Annotated[
    IPNetwork,
    PlainValidator(parse_network),
    _written(str),
    _schema("Network in CIDR notation", r"^[0-9a-fA-F.:/]+$", "10.0.0.0/8", "2001:db8::/32"),
]
"""A network, written `10.0.0.0/8`."""

Until = Annotated[
    dt.date | dt.datetime,
    PlainValidator(parse_until),
    _written(format_until),
    _schema("Date or time with offset", r"^\d{4}-\d\d-\d\d([T ].*)?$", "2026-12-31", "2026-12-31T18:00+01:00"),
]
"""A last day, or an aware time."""

TimeZoneName = Annotated[str, BeforeValidator(parse_timezone)]
"""An IANA time zone."""

RegexText = Annotated[str, BeforeValidator(parse_regex)]
"""A regular expression that compiles and cannot run away."""
