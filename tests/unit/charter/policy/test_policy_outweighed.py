"""Rules that others outweigh: denied allowances and limits that never count; by the policy and by the directory."""

from __future__ import annotations

import datetime as dt

import pytest

from charter.directory import DirectorySnapshot, Person
from charter.policy import LoadResult, load_files
from charter.policy.checks import Surroundings

BASE = """\
version: 1
organisation: {name: ACME, server_name: acme.example, timezone: Europe/Berlin, contact: it}
groups:
  staff: {directory: {under: "ou=people,dc=acme"}}
  traders: {directory: {member_of: "cn=traders,dc=acme"}}
  desk: {groups: [traders]}
  leads: {users: ["@ada:acme.example", "@max:acme.example"]}
"""
NOW = dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC)


def _person(name: str, *groups: str) -> Person:
    return Person(f"@{name}:acme.example", f"uid={name},ou=people,dc=acme", member_of=groups)


STAFF = [_person("ada", "cn=traders,dc=acme"), _person("max", "cn=traders,dc=acme"), _person("sue"), _person("tim")]
WITH_STAFF = Surroundings(NOW, DirectorySnapshot({person.user_id: person for person in STAFF}, 0))
ALONE = Surroundings(NOW)
CALLS = "grants:\n  - {id: g, to: [traders], allow: [call.voice, call.video]"
SIZES = "limits:\n  - {id: l, to: [traders], max_file: 50MB"

OUTWEIGHED = [
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.*]}",
    CALLS + "}\n  - {id: d, to: [leads], deny: [call.*]}",
    CALLS + "}\n  - {id: d, to: ['@ada:acme.example'], deny: [call.*]}\n  - {id: e, to: ['@max:acme.example'], deny: [call.*]}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.voice]}\n  - {id: e, to: [leads], deny: [call.video]}",
    CALLS + "}\n  - {id: d, to: [everyone], deny: [call.*], except: ['@sue:acme.example']}",
    CALLS + ", except: ['@max:acme.example']}\n  - {id: d, to: [staff], deny: [call.*], except: ['@max:acme.example']}",
    CALLS + ", in: [direct]}\n  - {id: d, to: [staff], deny: [call.*], in: [direct, private]}",
    CALLS + ", until: 2027-01-01}\n  - {id: d, to: [staff], deny: [call.*], until: 2027-01-01}",
    CALLS + ", during: {days: mon-fri, hours: 9:00-17:00}}\n  - {id: d, to: [staff], deny: [call.*], during: {hours: 8:00-17:00}}",
    CALLS + ", during: {days: sat-sun}}\n  - {id: d, to: [staff], deny: [call.*], during: {days: fri-sun, hours: 00:00-24:00, timezone: Europe/Berlin}}",
    CALLS + ", stage: shadow}\n  - {id: d, to: [staff], deny: [call.*]}",
    SIZES + "}\n  - {id: k, to: [staff], max_file: 10MB}",
    SIZES + "}\n  - {id: k, to: [leads], max_file: 10MB}",
    SIZES + "}\n  - {id: k, to: [staff], max_file: 10MB, except: ['@sue:acme.example']}",
    SIZES + ", except: ['@max:acme.example']}\n  - {id: k, to: ['@ada:acme.example'], max_file: 10MB}",
    SIZES + ", until: 2027-01-01}\n  - {id: k, to: [staff], max_file: 10MB, until: 2028-01-01}",
    "sessions:\n  - {id: l, to: [traders], lifetime: 10h}\n  - {id: k, to: [staff], lifetime: 8h}",
]  # fmt: skip


def _load(text: str, around: Surroundings) -> LoadResult:
    return load_files({"a.yaml": (BASE + text).encode()}, around)


@pytest.mark.parametrize("text", OUTWEIGHED)
def test_the_directory_shows_what_others_outweigh(text: str) -> None:
    """Person by person: who is in a group by the directory is as covered as who is in one by the policy."""
    (found,) = _load(text, WITH_STAFF).diagnostics
    assert found.code == ("shadowed-rule" if text.startswith("grants") else "overlapping-limits")
    assert "`g`" in found.message or "`l`" in found.message


NOT_OUTWEIGHED = [
    CALLS + "}\n  - {id: d, to: ['@ada:acme.example'], deny: [call.*]}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.voice]}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.*], except: ['@max:acme.example']}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.*], in: [direct, private, public]}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.*], until: 2027-01-01}",
    CALLS + ", until: 2027-01-02}\n  - {id: d, to: [staff], deny: [call.*], until: 2027-01-01}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.*], stage: shadow}",
    CALLS + "}\n  - {id: d, to: [staff], deny: [call.*], during: {days: mon-fri}}",
    CALLS + ", during: {hours: 9:00-17:01}}\n  - {id: d, to: [staff], deny: [call.*], during: {hours: 8:00-17:00}}",
    CALLS + ", during: {days: sun, hours: 22:00-06:00}}\n  - {id: d, to: [staff], deny: [call.*], during: {days: sun}}",
    CALLS + ", during: {days: mon}}\n  - {id: d, to: [staff], deny: [call.*], during: {days: mon, timezone: UTC}}",
    "grants:\n  - {id: g, to: [everyone], allow: [call.*]}\n  - {id: d, to: [staff], deny: [call.*]}",
    "grants:\n  - {id: g, to: [staff], allow: [call.*]}\n  - {id: d, to: [traders], deny: [call.*]}",
    "grants:\n  - {id: g, to: [staff], allow: [call.*]}\n  - {id: d, to: [everyone], deny: [call.*], except: [traders]}",
    SIZES + "}\n  - {id: k, to: ['@ada:acme.example'], max_file: 10MB}",
    SIZES + "}\n  - {id: k, to: [staff], max_file: 50MB}",
    SIZES + "}\n  - {id: k, to: [staff], max_file: 10MB, except: ['@max:acme.example']}",
    SIZES + "}\n  - {id: k, to: [staff], max_file: 10MB, until: 2027-01-01}",
    SIZES + "}\n  - {id: k, to: [staff], max_file: 10MB, stage: shadow}",
    "limits:\n  - {id: l, to: [everyone], max_file: 50MB}\n  - {id: k, to: [staff], max_file: 10MB}",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_OUTWEIGHED)
def test_what_somebody_has_at_some_time_is_not_outweighed(text: str) -> None:
    """Partial coverage is no finding: by people, rooms, times or features."""
    assert _load(text, WITH_STAFF).diagnostics == ()


@pytest.mark.parametrize("text", [*OUTWEIGHED[:1], *OUTWEIGHED[3:5], OUTWEIGHED[11]])
def test_without_a_directory_nobody_is_guessed(text: str) -> None:
    """What only the directory can tell is not said without it."""
    assert _load(text, ALONE).diagnostics == ()


def test_a_denial_to_a_wider_group_of_the_policy_is_enough() -> None:
    """Groups that include others, and everyone, need no directory; nor does a window inside another."""
    text = (
        CALLS + ", during: {hours: 9:00-10:00}}\n  - {id: d, to: [desk], deny: [call.*], during: {hours: 8:00-12:00}}"
    )
    (found,) = _load(text, ALONE).diagnostics
    assert (found.code, found.message) == ("shadowed-rule", "`g` gives nobody anything: `d` denies all of it")
