"""Every finding of `charter check`: what must give it, at which place, and what must never."""

from __future__ import annotations

import datetime as dt

import pytest

from charter.directory import DirectorySnapshot, Person
from charter.policy import LoadResult, load_files
from charter.policy.checks import Surroundings
from charter.policy.codes import CODES

BASE = """\
version: 1
organisation: {name: ACME, server_name: acme.example, timezone: Europe/Berlin, contact: it}
groups:
  staff: {directory: {under: "ou=people,dc=acme"}}
  traders: {directory: {member_of: "cn=traders,dc=acme"}}
  desk: {groups: [traders]}
  leads: {users: ["@ada:acme.example", "@max:acme.example"]}
  void: {groups: [hollow]}
  hollow: {}
"""
QUIET = BASE.replace("  void: {groups: [hollow]}\n  hollow: {}\n", "")
NOW = dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC)
AROUND = Surroundings(NOW, None, lambda name: name == "there.txt")


def _load(text: str, base: str = QUIET, around: Surroundings = AROUND) -> LoadResult:
    return load_files({"a.yaml": (base + text).encode()}, around)


def _marked(result: LoadResult, code: str) -> list[str]:
    """Return the underlined texts of a code's findings."""
    found = [one for one in result.diagnostics if one.code == code]
    return [one.source_line[one.column - 1 : one.column - 1 + one.length] for one in found]


GRANT = "grants:\n  - {id: g, to: [staff], allow: [chat.text]"
GATE = "gateway:\n  networks: [{id: net, kind: xmpp}]\n  grants:\n    - {id: x, to: [staff], network: net"
SEES = "compliance: {readers: [staff]"

MUST: list[tuple[str, str, str]] = [
    # Reading
    ("empty-value", "grants:\n", "grants"),
    ("empty-value", GRANT + ", reason: ~}", "~"),
    ("empty-value", "grants: [null]", "null"),
    ("bad-key", "? [a]\n: b\n", "[a]"),
    ("bad-key", "? |\n  a\n  b\n: c\n", "|"),
    ("duplicate-key", GRANT + ", to: [traders]}", "to"),
    ("duplicate-key", "version: 1\n", "version"),
    ("yaml-alias", "grants: &x []", "&x"),
    ("yaml-alias", "grants: *x\n", "*x"),
    ("yaml-alias", "<<: {grants: []}", "<<"),
    ("yaml-tag", "grants: !!set {}", "!!set"),
    ("several-documents", "---\nversion: 1", "---"),
    ("yaml-syntax", "grants: [", ""),
    ("yaml-syntax", "grants:\n\t- x", "\t"),
    ("yaml-syntax", "grants: a: b", ":"),
    ("yaml-syntax", "grants: @staff", "@"),
    ("bad-character", "# \x07", "\x07"),
    ("too-deep", "grants: " + "[" * 40, "["),
    # Shape
    ("unknown-key", GRANT + ", alow: [x]}", "alow"),
    ("unknown-key", GRANT + ", in_: [direct]}", "in_"),
    ("unknown-key", "grant: []", "grant"),
    ("missing-key", "grants: [{id: g, allow: [chat.text]}]", "{id: g, allow: [chat.text]}"),
    ("wrong-type", "grants: {id: g}", "{id: g}"),
    ("wrong-type", "grants: [{id: g, to: staff, allow: [chat.text]}]", "staff"),
    ("wrong-type", "journal: [x]", "[x]"),
    ("wrong-type", "journal: quick", "quick"),
    ("wrong-type", GRANT + ", reason: [x]}", "[x]"),
    ("wrong-type", GRANT + ", during: office}", "office"),
    ("bad-value", GRANT + ", in: [privat]}", "privat"),
    ("bad-value", GRANT + ", in: [[x]]}", "[x]"),
    ("bad-value", GRANT + ", until: 2026-02-30}", "2026-02-30"),
    ("bad-value", GRANT + ", until: 2026-12-31T10:00}", "2026-12-31T10:00"),
    ("bad-value", GRANT + ", during: {hours: 12:30}}", "12:30"),
    ("bad-value", GRANT + ", during: {days: no}}", "no"),
    ("bad-value", GRANT + ", during: {timezone: Europe/Berlim}}", "Europe/Berlim"),
    ("bad-value", "limits: [{id: l, to: [staff], max_file: 50}]", "50"),
    ("bad-value", "limits: [{id: l, to: [staff], messages: 60/minute}]", "60/minute"),
    ("bad-value", "limits: [{id: l, to: [staff], concurrent_calls: '3'}]", "'3'"),
    ("bad-value", "limits: [{id: l, to: [staff], concurrent_calls: -1}]", "-1"),
    ("bad-value", "limits: [{id: l, to: [], max_file: 1MB}]", "[]"),
    ("bad-value", "barriers: [{id: b, between: [staff, leads, desk]}]", "[staff, leads, desk]"),
    ("bad-value", "memberships: [{id: m, group: desk, room: floor}]", "floor"),
    ("bad-value", "sessions: [{id: s, to: [staff], networks: [10.0.0.1/8]}]", "10.0.0.1/8"),
    ("bad-value", "services: [{id: s, users: '(a+)+', allow: [chat.text]}]", "'(a+)+'"),
    ("bad-value", GATE + ", destinations: ['*'], directions: [out], approvals: 10}", "10"),
    ("bad-id", "grants: [{id: Rule One, to: [staff], allow: [chat.text]}]", "Rule One"),
    ("bad-feature", "grants: [{id: g, to: [staff], allow: ['ch*t']}]", "'ch*t'"),
    ("bad-feature", "grants: [{id: g, to: [staff], allow: [Chat]}]", "Chat"),
    ("duplicate-id", GRANT + "}\nlimits: [{id: g, to: [staff], max_file: 1MB}]", "g"),
    ("duplicate-id", "grants: [{id: staff, to: [staff], allow: [chat.text]}]", "staff"),
    # Names
    ("unknown-group", "grants: [{id: g, to: [trader], allow: [chat.text]}]", "trader"),
    ("unknown-group", GRANT + ", except: [ada]}", "ada"),
    ("unknown-group", "memberships: [{id: m, group: floor, room: '#a:acme.example'}]", "floor"),
    ("unknown-group", SEES + ", approvers: [bosses]}", "bosses"),
    ("unknown-group", "journal: {keep: [{to: [nobody], for: 1y}]}", "nobody"),
    ("bad-user", "grants: [{id: g, to: ['@ada'], allow: [chat.text]}]", "'@ada'"),
    ("remote-user", "sessions: [{id: s, to: ['@ada:acme.exampel'], lifetime: 1h}]", "'@ada:acme.exampel'"),
    ("remote-user", SEES + ", exempt_admins: ['@root:elsewhere.org']}", "'@root:elsewhere.org'"),
    ("similar-server", "grants: [{id: g, to: ['@ada:acme.exampel'], allow: [chat.text]}]", "'@ada:acme.exampel'"),
    ("unknown-feature", "grants: [{id: g, to: [staff], allow: [chat.txt]}]", "chat.txt"),
    ("unknown-feature", "grants: [{id: g, to: [staff], deny: [chta.*]}]", "chta.*"),
    ("unknown-feature", "grants: [{id: g, to: [staff], allow: [chat]}]", "chat"),
    ("unknown-feature", SEES + ", approvers: [leads], approvals_may_grant: {features: [cal.*], at_most: 1d}}", "cal.*"),
    ("empty-wildcard", "grants: [{id: g, to: [staff], allow: [gateway.*]}]", "gateway.*"),
    ("unknown-network", "grants: [{id: g, to: [staff], allow: [gateway.irc]}]", "gateway.irc"),
    ("unknown-network", GATE.replace("network: net", "network: nett") + ", senders: ['*'], directions: [in]}", "nett"),
    ("bad-server", "federation: {servers: [{id: f, server: '*.example', to: [staff], allow: [chat.text]}]}", "'*.example'"),
    ("bad-server", "federation: {servers: [{id: f, server: acme.example, to: [staff], allow: [chat.text]}]}", "acme.example"),
    # Rules
    ("expired-rule", GRANT + ", until: 2026-11-22}", "2026-11-22"),
    ("expired-rule", GRANT + ", until: '2026-11-23T09:59Z'}", "'2026-11-23T09:59Z'"),
    ("never-applies", GRANT + ", except: [everyone]}", "[everyone]"),
    ("never-applies", "grants: [{id: g, to: [traders], allow: [chat.text], except: [desk]}]", "[desk]"),
    ("repeated-name", "grants: [{id: g, to: [staff, staff], allow: [chat.text]}]", "staff"),
    ("empty-rule", "grants:\n  - {id: g, to: [staff]}", "{id: g, to: [staff]}"),
    ("empty-rule", GRANT + ", in: []}", "[]"),
    ("empty-rule", "limits: [{id: l, to: [staff], reason: x}]", "{id: l, to: [staff], reason: x}"),
    ("empty-rule", "sessions: [{id: s, to: [staff], networks: []}]", "[]"),
    ("empty-rule", GATE + ", senders: ['*'], directions: []}", "{id: x, to: [staff], network: net, senders: ['*'], directions: []}"),
    ("empty-rule", "gateway: {dlp: [{id: d, then: deny}]}", "{id: d, then: deny}"),
    ("empty-rule", "gateway: {dlp: [{id: d, larger_than: 1MB, on: [], then: deny}]}", "[]"),
    ("shadowed-rule", GRANT + "}\n  - {id: d, to: [everyone], deny: [chat.*]}", "[chat.text]"),
    ("shadowed-rule", "grants:\n  - {id: g, to: [traders], allow: [chat.text], in: [direct]}\n  - {id: d, to: [desk], deny: [chat.*], in: [direct, public]}", "[chat.text]"),
    ("barrier-overlap", "barriers: [{id: b, between: [staff, staff]}]", "staff"),
    ("barrier-overlap", "barriers: [{id: b, between: [desk, traders]}]", "[desk, traders]"),
    ("barrier-overlap", "barriers: [{id: b, between: [traders, desk]}]", "[traders, desk]"),
    ("barrier-overlap", "barriers: [{id: b, between: [everyone, desk]}]", "[everyone, desk]"),
    ("overlapping-limits", "limits:\n  - {id: l, to: [staff], max_file: 50MB}\n  - {id: k, to: [staff], max_file: 10MB}", "staff"),
    ("overlapping-limits", "limits:\n  - {id: l, to: [traders], messages: 60/min}\n  - {id: k, to: [desk], messages: 2/s, invites: 1/h}\n  - {id: j, to: [everyone], messages: 30/min}", "traders"),
    ("overlapping-limits", "sessions:\n  - {id: l, to: [staff], lifetime: 10h}\n  - {id: k, to: [everyone], lifetime: 8h}", "staff"),
    ("no-type-left", "limits:\n  - {id: l, to: [staff], types: [image/*]}\n  - {id: k, to: [staff], types: [text/plain]}", "[text/plain]"),
    ("too-short", "sessions: [{id: s, to: [staff], ends_when_away: 59s}]", "59s"),
    ("no-effect", "sessions: [{id: s, to: [staff], lifetime: 1h, ends_when_away: 2h}]", "2h"),
    ("no-effect", "sessions: [{id: s, to: [staff], lifetime: 1h, overflow: end_oldest}]", "end_oldest"),
    ("no-effect", "grants: [{id: g, to: [staff], allow: [room.encrypt]}]", "room.encrypt"),
    ("hasty-directory", "directory: {max_age: 10m, then: close}", "10m"),
    ("hasty-directory", "directory: {max_age: 1m}", "1m"),
    ("ambiguous-relay", "relays: [{id: a, to: [staff], turn: x}, {id: b, to: [staff], turn: y}]", "staff"),
    ("gateway-closed", GATE + "}", "{id: x, to: [staff], network: net}"),
    ("gateway-closed", GATE + ", senders: ['*'], directions: [out]}", "{id: x, to: [staff], network: net, senders: ['*'], directions: [out]}"),
    ("gateway-one-way", GATE + ", senders: ['*']}", "{id: x, to: [staff], network: net, senders: ['*']}"),
    ("missing-file", "gateway: {dlp: [{id: d, sha256_in: gone.txt, then: deny}]}", "gone.txt"),
    ("missing-file", "gateway: {dlp: [{id: d, sha256_in: ../there.txt, then: deny}]}", "../there.txt"),
    ("overlapping-services", "services: [{id: s, users: '@_a.*:acme.example', allow: [chat.text]}, {id: t, users: '@_a_b.*:acme.example', allow: [chat.text]}]", "'@_a_b.*:acme.example'"),
    ("overlapping-services", "services: [{id: s, users: '@a.*:acme.example', allow: [chat.text]}]", "'@a.*:acme.example'"),
    ("no-readers", "compliance: {approvers: [leads]}", "{approvers: [leads]}"),
    ("no-approvers", SEES + ", approvals_may_grant: {features: [call.*], at_most: 1d}}", "{features: [call.*], at_most: 1d}"),
    ("no-approvers", GATE + ", senders: ['*'], directions: [in], approvals: 1}", "1"),
    ("no-approvers", "gateway: {dlp: [{id: d, match: x, then: hold}]}", "hold"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "marked"), MUST)
def test_a_mistake_is_found_at_its_place(code: str, text: str, marked: str) -> None:
    """The finding has its code, underlines exactly the wrong words, and keeps the policy back if it is an error."""
    result = _load(text)
    assert marked in _marked(result, code), result.diagnostics
    assert (result.policy_set is None) == any(found.severity == "error" for found in result.diagnostics)


GROUPS_MUST: list[tuple[str, str, str]] = [
    ("bad-id", "  Staff: {}", "Staff"),
    ("reserved-id", "  everyone: {users: ['@x:acme.example']}", "{users: ['@x:acme.example']}"),
    ("unknown-group", "  a: {groups: [stff]}", "stff"),
    ("unknown-group", "  a: {groups: [everyone]}", "everyone"),
    ("bad-user", "  a: {users: [ada]}", "ada"),
    ("remote-user", "  a: {users: ['@ada:other.org']}", "'@ada:other.org'"),
    ("empty-group", "  a: {}", "{}"),
    ("empty-group", "  a: {groups: [b]}\n  b: {groups: [a]}", "{groups: [b]}"),
    ("cyclic-group", "  a: {groups: [a]}", "a"),
    ("cyclic-group", "  a: {groups: [staff, b]}\n  b: {groups: [c]}\n  c: {groups: [traders, a]}", "a"),
    ("incomplete-selector", "  a: {directory: {}}", "{}"),
    ("incomplete-selector", "  a: {directory: {equals: x, under: 'dc=acme'}}", "x"),
    ("incomplete-selector", "  a: {directory: {attribute: x, under: 'dc=acme'}}", "x"),
    ("bad-dn", "  a: {directory: {member_of: traders}}", "traders"),
]


@pytest.mark.parametrize(("code", "text", "marked"), GROUPS_MUST)
def test_a_wrong_group_is_found(code: str, text: str, marked: str) -> None:
    """The same for groups."""
    assert marked in _marked(_load(text), code)


NEVER = [
    GRANT + ", until: 2026-11-23}",
    GRANT + ", until: '2026-11-23T10:01Z', stage: shadow, ticket: 12, reason: no}",
    GRANT + ", except: [leads]}\n  - {id: d, to: [everyone], deny: [chat.*], except: [leads]}",
    GRANT + "}\n  - {id: d, to: [leads], deny: [chat.*]}",
    GRANT + "}\n  - {id: d, to: [everyone], deny: [chat.*], in: [direct]}",
    GRANT + "}\n  - {id: d, to: [everyone], deny: [chat.*], until: 2027-01-01}",
    GRANT + "}\n  - {id: d, to: [everyone], deny: [chat.*], during: {days: mon}}",
    GRANT + "}\n  - {id: d, to: [everyone], deny: [chat.*], stage: shadow}",
    "grants: [{id: g, to: ['@ann:partner.org', everyone], allow: ['*', unknown], deny: [file.*]}]",
    "grants: [{id: g, to: [staff], allow: [room.*]}]",
    "limits:\n  - {id: l, to: [staff], max_file: 50MB}\n  - {id: k, to: [leads], max_file: 10MB}",
    "limits:\n  - {id: l, to: [staff], max_file: 50MB}\n  - {id: k, to: [staff], max_file: 10MB, until: 2020-01-01, stage: shadow}",
    "limits:\n  - {id: l, to: [staff], max_file: 50MB}\n  - {id: k, to: [staff], max_file: 10MB, except: [leads]}",
    "limits:\n  - {id: l, to: [staff], max_file: 50MB}\n  - {id: k, to: [staff], max_file: 10MB, until: 2027-01-01}",
    "limits:\n  - {id: l, to: [staff], types: [image/*]}\n  - {id: k, to: [staff], types: ['*/png', text/plain]}",
    "barriers: [{id: b, between: [staff, leads], except: ['@ada:acme.example']}]",
    "sessions: [{id: s, to: [staff], lifetime: 10h, ends_when_away: 1m, max_sessions: 1, overflow: refuse_newest}]",
    "directory: {max_age: 1m, then: alert}",
    "directory: {max_age: 1h, then: close}",
    "relays: [{id: a, to: [staff], turn: x}, {id: b, to: [leads], turn: y}, {id: c, to: [staff], turn: x}]",
    GATE + ", senders: ['*'], destinations: ['*']}",
    GATE + ", senders: ['*'], directions: [in]}",
    GATE + ", destinations: ['*'], directions: [out], approvals: 2}\n" + SEES + ", approvers: [leads]}",
    "gateway: {dlp: [{id: d, sha256_in: there.txt, then: deny}]}",
    "services: [{id: s, users: '@_a_.*:acme.example', allow: [chat.text]}, {id: t, users: '@_b_[0-9]+:acme\\.example', allow: [chat.text]}]",
    "journal: {encryption: journaled}\ngrants: [{id: g, to: [staff], allow: [room.encrypt]}]",
    "memberships: [{id: m, group: desk, room: '!opaque', power_level: -1}]",
    "federation: {servers: [{id: f, server: '[2001:db8::1]:8448', to: ['@x:partner.org'], allow: [chat.*]}]}",
]  # fmt: skip


@pytest.mark.parametrize("text", NEVER)
def test_what_is_right_is_not_complained_about(text: str) -> None:
    """Neighbours of the mistakes above give nothing, at most that an old rule is old."""
    result = _load(text)
    assert {found.code for found in result.diagnostics} <= {"expired-rule"}
    assert result.policy_set is not None


def test_the_table_covers_every_code() -> None:
    """Each code of the list is tested here or by name in another test of this file."""
    elsewhere = {
        "no-policy",
        "unreadable-file",
        "too-large",
        "not-utf8",
        "empty-file",
        "defined-twice",
        "barrier-shares-people",
    }
    assert {code for code, _, _ in (*MUST, *GROUPS_MUST)} | elsewhere == set(CODES)


FILES: list[tuple[str, dict[str, bytes | str]]] = [
    ("no-policy", {}),
    ("unreadable-file", {"a.yaml": "Permission denied"}),
    ("too-large", {"a.yaml": b"#" * (8 * 2**20 + 1)}),
    ("too-large", {f"{number}.yaml": b"" for number in range(1001)}),
    ("not-utf8", {"a.yaml": b"version: 1\nname: \xff\n"}),
    ("empty-file", {"a.yaml": b""}),
    ("empty-file", {"a.yaml": QUIET.encode(), "b.yaml": b"# nothing\n"}),
    ("empty-file", {"a.yaml": b"~"}),
    ("wrong-type", {"a.yaml": b"- a\n"}),
    ("wrong-type", {"a.yaml": b"word"}),
    ("missing-key", {"a.yaml": b"grants: []"}),
    ("defined-twice", {"a.yaml": QUIET.encode(), "b.yaml": b"organisation: {name: Other}"}),
    ("defined-twice", {"a.yaml": QUIET.encode(), "b.yaml": b"version: 2"}),
    ("defined-twice", {"a.yaml": QUIET.encode(), "b.yaml": b"groups: []"}),
    ("duplicate-id", {"a.yaml": QUIET.encode(), "b.yaml": b"groups: {staff: {users: []}}"}),
]


@pytest.mark.parametrize(("code", "files"), FILES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_file_is_found(code: str, files: dict[str, bytes | str]) -> None:
    """Files that cannot be read or joined give a finding, never an exception."""
    result = load_files(files)
    assert code in {found.code for found in result.diagnostics}
    assert result.policy_set is None


def test_files_are_joined() -> None:
    """Lists are concatenated in the order of the files, mappings merged, and the version may be repeated."""
    files: dict[str, bytes | str] = {
        "a.yaml": QUIET.encode() + b"grants: [{id: a, to: [staff], allow: [chat.text]}]\njournal: {layout: digest}",
        "b.yaml": b"version: 1\ngrants: [{id: b, to: [guests], deny: [chat.text]}]\njournal: {max_lag: 5m}",
        "c/d.yaml": b"groups: {guests: {users: ['@g:acme.example']}}",
    }
    loaded = load_files(files).policy_set
    assert loaded is not None
    assert [grant.id for grant in loaded.policy.grants] == ["a", "b"]
    assert (loaded.policy.journal.layout, loaded.policy.journal.max_lag) == ("digest", 300)
    assert str(loaded.places["b"]) == "b.yaml:2"
    assert str(loaded.places["group:guests"]) == "c/d.yaml:1"


def test_everything_is_reported_at_once() -> None:
    """Mistakes of shape do not hide mistakes of meaning in other rules, nor the reverse."""
    text = "grants:\n  - {id: a, to: [stff], allow: [chat.txt]}\n  - {id: b, to: [staff], alow: [x]}\n  - {id: c, to: [stuff], allow: [chat.text]}"
    codes = [found.code for found in _load(text).diagnostics]
    assert codes == ["unknown-group", "unknown-feature", "unknown-key", "unknown-group"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GRANT + ", alow: [x], except: [led]}", ["unknown-key", "unknown-group"]),
        ("grants: [{id: a, to: [stff], alow: [x]}]", ["unknown-group", "unknown-key"]),
        ("grants: [{id: a, to: [stff], allow: [chat.txt], excpt: [x]}]", ["unknown-group", "unknown-feature", "unknown-key"]),
        ("grants: [{id: a, to: [[x], stff], allow: [chat.txt]}]", ["wrong-type", "unknown-group", "unknown-feature"]),
        ("grants: [{id: a, to: [[x]], allow: [chat.txt]}]", ["wrong-type"]),
        ("grants: [{id: a, to: [stff], allow: [chat.text], during: {dayz: mon}}]", ["unknown-group", "unknown-key"]),
        ("limits: [{id: a, to: [stff], max_file: 5mb}]", ["unknown-group", "bad-value"]),
        ("grants: [{id: a, to: [staff], allow: [chat.*], x: 1}, {id: b, to: [stff], deny: [chat.*], y: 1}]", ["unknown-key", "unknown-group", "unknown-key"]),
        (GRANT + "}\n  - {id: d, to: [staff], deny: [chat.*], excpt: [leads]}", ["unknown-key"]),
        ("gateway: {networks: [{id: n, kind: xmp}], grants: [{id: x, to: [stff], network: n, destination: ['*']}]}", ["bad-value", "unknown-group", "unknown-key"]),
        ("gateway: {networks: [{id: n, kind: xmpp, host: x}], grants: [{id: x, to: [staff], network: m, senders: ['*'], hosts: []}]}", ["unknown-key", "unknown-network", "unknown-key"]),
        ("services: [{id: s, users: '(a+)+', allow: [chat.txt]}]", ["bad-value"]),
        ("compliance: {readers: [stff], reader: [x]}", ["unknown-group", "unknown-key"]),
    ],
)  # fmt: skip
def test_a_rule_with_a_mistake_of_shape_is_read_on(text: str, expected: list[str]) -> None:
    """Wrong names in the rest of it are found too, each mistake once; what the rule would mean is not guessed."""
    assert expected == [found.code for found in _load(text).diagnostics]


def test_a_broken_group_is_still_a_group() -> None:
    """Rules that name a group which has a mistake of its own are not said to name nothing."""
    text = "  odd: {user: []}\ngrants: [{id: a, to: [odd], allow: [chat.text]}]"
    assert [found.code for found in _load(text).diagnostics] == ["unknown-key"]


def test_without_the_time_nothing_is_expired() -> None:
    """Loading is pure: what depends on the clock needs the caller's time."""
    assert _load(GRANT + ", until: 2020-01-01}", around=Surroundings()).diagnostics == ()


def _person(name: str, *groups: str) -> Person:
    return Person(f"@{name}:acme.example", f"uid={name},ou=people,dc=acme", member_of=groups)


def test_the_directory_shows_empty_groups_and_shared_people() -> None:
    """With a snapshot, groups that nobody is in and people on both sides of a wall are found."""
    people = [_person("ada"), _person("max", "cn=traders,dc=acme"), *(_person(f"p{number}") for number in range(9))]
    snapshot = DirectorySnapshot({person.user_id: person for person in people}, 0)
    text = "  gone: {directory: {member_of: 'cn=gone,dc=acme'}}\nbarriers:\n  - {id: b, between: [leads, traders]}\n  - {id: c, between: [staff, leads], except: [traders]}\nlimits: [{id: l, to: [gone], max_file: 1MB}]"
    found = {one.code: one for one in _load(text, around=Surroundings(snapshot=snapshot)).diagnostics}
    assert set(found) == {"empty-group", "never-applies", "barrier-shares-people"}
    assert "`@ada:acme.example` would be" in found["barrier-shares-people"].message


def test_many_shared_people_are_counted() -> None:
    """A message lists a few examples, not the company."""
    people = [_person(f"p{number}", "cn=traders,dc=acme") for number in range(9)]
    snapshot = DirectorySnapshot({person.user_id: person for person in people}, 0)
    result = _load("barriers: [{id: b, between: [staff, traders]}]", around=Surroundings(snapshot=snapshot))
    (found,) = [one for one in result.diagnostics if one.code == "barrier-shares-people"]
    assert "and 4 more" in found.message


@pytest.mark.parametrize(
    ("text", "help_"),
    [
        ("grants: [{id: g, to: [trader], allow: [chat.text]}]", "did you mean `traders`?"),
        ("grants: [{id: g, to: [max], allow: [chat.text]}]", "did you mean the person `@max:acme.example`?"),
        ("grants: [{id: g, to: [staff], allow: [chat]}]", "did you mean `chat.*`?"),
        ("grants: [{id: g, to: [staff], allow: [call.vioce]}]", "did you mean `call.voice`?"),
        ("grants: [{id: g, to: ['@ada:acme.exampel'], allow: [chat.text]}]", "did you mean `@ada:acme.example`?"),
        ("grants: [{id: g, to: staff, allow: [chat.text]}]", "write `[staff]`"),
        ("limits: [{id: l, to: [staff], max_file: 50mb}]", "did you mean `50MB`?"),
        ("limits: [{id: l, to: [staff], messages: 60/minute}]", "did you mean `60/min`?"),
        ("sessions: [{id: s, to: [staff], networks: [10.0.0.1/8]}]", "did you mean `10.0.0.0/8`?"),
        (
            "sessions: [{id: s, to: [staff], lifetime: 10}]",
            "a unit is missing: seconds: `10s`, minutes: `10m`, hours: `10h`",
        ),
        ("journal: {layout: thread}", "did you mean `threads`?"),
        ("organization: {}", "did you mean `organisation`?"),
    ],
)
def test_help_names_the_likely_cure(text: str, help_: str) -> None:
    """A suggestion is made where one is likely to be right."""
    assert help_ in {found.help for found in _load(text).diagnostics}
