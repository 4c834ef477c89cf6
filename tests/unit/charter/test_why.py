from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from click.testing import CliRunner, Result

from charter.cli import run
from charter.directory import DirectorySnapshot
from charter.judge_cli import test_command as scenarios_command
from charter.judge_cli import why_command
from charter.ldif import read_ldif
from charter.policy import load
from charter.why import Question, explain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.charter.conftest import Make

POLICY = """\
version: 1
organisation: {name: Acme, server_name: acme.example, timezone: Europe/Berlin, contact: help}
groups:
  staff: {directory: {under: "ou=people,dc=acme"}}
  traders: {directory: {member_of: "cn=traders,ou=groups,dc=acme"}}
grants:
  - {id: chat, to: [staff], allow: [chat.*]}
  - {id: call, to: [traders], allow: [call.voice], in: [direct], during: {days: mon-fri, hours: "07:00-20:00"}}
  - {id: old, to: [staff], allow: [call.voice], until: 2026-01-31}
  - {id: pilot, to: [staff], allow: [call.group], stage: shadow}
  - {id: no-edit, to: [staff], deny: [chat.edit], except: [traders], reason: Think first.}
federation: {servers: [{id: partner, server: partner.example, to: [traders], allow: [chat.*]}]}
barriers: [{id: wall, between: ["@ada:acme.example", "@bob:acme.example"]}]
gateway:
  networks: [{id: xmpp, kind: xmpp}]
  grants: [{id: gate, to: [traders], network: xmpp, destinations: ["*@partner.example"]}]
"""
LDIF = """\
dn: uid=ada,ou=people,dc=acme
objectClass: person
uid: ada

dn: uid=bob,ou=people,dc=acme
objectClass: person
uid: bob

dn: cn=traders,ou=groups,dc=acme
objectClass: groupOfNames
member: uid=ada,ou=people,dc=acme
"""
MONDAY = "2026-11-23T10:00+01:00"
CASES = """\
directory: people.ldif
at: 2026-11-23T10:00+01:00
cases:
  - {name: chats, user: ada, feature: chat.text, expect: allow, rules: [chat]}
  - {user: bob, feature: chat.text, expect: deny, rules: [], would_have: []}
  - {name: nobody, user: zoe, feature: chat.text, expect: deny}
"""
BROKEN = """\
directory: nowhere.ldif
extra: 1
cases:
  - {name: x, user: ada, featur: chat.text, expect: alow, at: 2026-11-23, room: hall, rules: chat}
  - text
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a policy directory with its people."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "people.ldif").write_text(LDIF, encoding="utf-8")
    return tmp_path


def ask(folder: Path, *words: str, people: str | None = "people.ldif") -> Result:
    """Run `charter why`."""
    directory = ["--directory", str(folder / people)] if people else []
    return CliRunner().invoke(why_command, [*words, "--policy", str(folder), *directory], standalone_mode=False)


def answer(folder: Path, *words: str) -> dict[str, Any]:
    """Run `charter why --json` and return the document."""
    result = ask(folder, *words, "--json")
    assert result.exception is None, result.output
    document: dict[str, Any] = orjson.loads(result.stdout)
    return document


@pytest.mark.parametrize(
    ("words", "decision", "rules", "changes_at"),
    [
        (["ada", "chat.text"], "allow", ["chat"], None),
        (["ADA", "chat.text"], "allow", ["chat"], None),
        (["@ada:acme.example", "chat.edit"], "allow", ["chat"], None),
        (["bob", "chat.edit"], "deny", ["no-edit"], None),
        (["ada", "call.voice", "--room", "direct"], "allow", ["call"], "2026-11-23T20:00:00+01:00"),
        (["ada", "call.voice"], "deny", [], None),
        (["bob", "call.voice", "--room", "direct"], "deny", [], None),
        (["bob", "call.voice", "--at", "2026-01-31T23:00+01:00"], "allow", ["old"], "2026-02-01T00:00:00+01:00"),
        (
            ["ada", "call.voice", "--room", "direct", "--at", "2026-11-27T21:00+01:00"],
            "deny",
            [],
            "2026-11-30T07:00:00+01:00",
        ),
        (["ada", "chat.text", "--server", "partner.example"], "allow", ["chat", "partner"], None),
        (["bob", "chat.text", "--with", "@pam:partner.example"], "deny", [], None),
        (["ada", "chat.text", "--with", "bob"], "deny", ["wall"], None),
        (
            ["ada", "chat.text", "--network", "xmpp", "--destination", "a@partner.example"],
            "allow",
            ["chat", "gate"],
            None,
        ),
        (["ada", "chat.text", "--network", "xmpp"], "allow", ["chat", "gate"], None),
        (["ada", "chat.text", "--network", "xmpp", "--destination", "a@elsewhere.example"], "deny", [], None),
        (["@stranger:acme.example", "chat.text"], "deny", [], None),
    ],
)
def test_why_as_json(folder: Path, words: list[str], decision: str, rules: list[str], changes_at: str | None) -> None:
    """The contract of the design: exactly these keys."""
    found = answer(folder, *words, *([] if "--at" in words else ["--at", MONDAY]))
    assert set(found) == {"decision", "rules", "would_have", "reason", "changes_at", "policy"}
    assert (decision, rules, changes_at) == (found["decision"], found["rules"], found["changes_at"])
    assert found["reason"].endswith(".")


def test_shadow_rules_are_named(folder: Path) -> None:
    """With what would have been."""
    assert answer(folder, "ada", "call.group", "--at", MONDAY)["would_have"] == ["pilot"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["bob", "call.voice", "--room", "direct"],
            ["policy.yaml:8", "only for traders", "expired on 2026-01-31", "DENY"],
        ),
        (["ada", "call.voice"], ["only in direct rooms"]),
        (
            ["ada", "call.voice", "--room", "direct", "--at", "2026-11-23T06:00+01:00"],
            ["hours: 07:00-20:00; next from Mon 07:00"],
        ),
        (["ada", "call.group"], ["stage shadow", "Would have", "with pilot enforced"]),
        (["ada", "chat.edit"], ["ALLOW", "would deny, but you are excepted (as one of traders)"]),
        (["bob", "chat.edit"], ["Think first.", "no-edit", "another rule outweighs it"]),
        (["ada", "chat.text", "--network", "xmpp", "--destination", "a@x.example"], ["only to *@partner.example"]),
        (["ada", "call.voice", "--network", "xmpp", "--destination", "a@x.example"], ["it carries only text"]),
    ],
)
def test_why_for_people(folder: Path, words: list[str], said: list[str]) -> None:
    """Rules with their places, and why others did not apply."""
    result = ask(folder, *words, *([] if "--at" in words else ["--at", MONDAY]))
    assert result.exception is None
    for part in said:
        assert part in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adda", "chat.text"], "did you mean `ada`"),
        (["@ada", "chat.text"], "no MXID"),
        (["ada", "chat.txt"], "did you mean `chat.text`"),
        (["ada", "chat.text", "--network", "xmmp"], "did you mean `xmpp`"),
        (["ada", "chat.text", "--destination", "a@b"], "needs a network"),
        (["ada", "chat.text", "--at", "2026-11-23"], "says no time"),
        (["ada", "chat.text", "--at", "soon"], "neither a date nor"),
    ],
)
def test_a_question_that_makes_no_sense_fails_the_tool(
    folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, with a suggestion."""
    assert run(["why", *words, "--policy", str(folder), "--directory", str(folder / "people.ldif")]) == 2
    assert said in capsys.readouterr().err


def test_rules_that_are_nothing_to_a_person_are_left_out(make: Make) -> None:
    """Services' rules, denials and expired rules for others, and rules for named others are noise; groups are not."""
    compiled = make(
        groups={"callers": {"users": ["@max:acme.example"]}},
        grants=[
            {"id": "group", "to": ["callers"], "allow": ["call.*"]},
            {"id": "mixed", "to": ["@max:acme.example", "callers"], "allow": ["call.*"]},
            {"id": "person", "to": ["@bob:acme.example"], "allow": ["call.*"]},
            {"id": "denial", "to": ["bob"], "deny": ["call.*"]},
            {"id": "bygone", "to": ["bob"], "allow": ["call.*"], "until": "2020-01-01"},
            {"id": "mine-once", "to": ["ada"], "allow": ["call.*"], "until": "2020-01-01"},
            {"id": "not-me", "to": ["staff"], "deny": ["call.*"], "except": ["@ada:acme.example"]},
        ],
        services=[
            {"id": "desk", "users": "@_desk_.*:acme.example", "allow": ["call.*"], "stage": "shadow"},
            {"id": "bell", "users": "@_bell_.*:acme.example", "allow": ["call.*"]},
        ],
    )
    now = dt.datetime.fromisoformat(MONDAY).timestamp()

    def almost(user: str) -> list[str]:
        return [note.rule for note in explain(compiled, Question(user, "call.voice"), now).almost]

    assert almost("ada") == ["group", "mine-once", "mixed", "not-me"]
    assert almost("@_desk_1:acme.example") == ["desk", "group", "mixed"]


def test_without_a_directory_a_note_says_so(folder: Path) -> None:
    """Only people whom the policy names are in a group then."""
    result = ask(folder, "ada", "chat.text", people=None)
    assert "without --directory" in result.stderr
    assert "DENY" in result.stdout


def test_a_snapshot_is_as_good_as_ldif(folder: Path) -> None:
    """`--directory` takes both."""
    (folder / "people.json").write_bytes(read_ldif(LDIF, "acme.example", 1.0).to_json())
    assert "ALLOW" in ask(folder, "ada", "chat.text", people="people.json").output


@pytest.mark.parametrize("content", ["{", "dn: a\nb", "\udcff"])
def test_an_unreadable_directory_fails_the_tool(folder: Path, content: str) -> None:
    """Exit code 2, no traceback."""
    (folder / "people.ldif").write_bytes(content.encode(errors="surrogateescape"))
    assert run(["why", "ada", "chat.text", "--policy", str(folder), "--directory", str(folder / "people.ldif")]) == 2


def test_a_policy_with_errors_is_not_explained(folder: Path) -> None:
    """Exit code 1 and the errors at their places."""
    (folder / "policy.yaml").write_text(POLICY.replace("allow: [chat.*]", "alow: [chat.*]"), encoding="utf-8")
    assert run(["why", "ada", "chat.text", "--policy", str(folder)]) == 1
    assert run(["test", str(folder)]) == 1


def test_scenarios_run(folder: Path) -> None:
    """Passed and failed cases, in JSON and for people; a failure is exit code 1."""
    (folder / "acme.test.yaml").write_text(CASES, encoding="utf-8")
    result = CliRunner().invoke(scenarios_command, [str(folder), "--json"], standalone_mode=False)
    document = orjson.loads(result.stdout)
    assert (document["passed"], document["failed"], result.return_value) == (1, 2, 1)
    assert set(document["cases"][0]) == {"file", "name", "ok", "expected", "actual"}
    assert document["cases"][1]["expected"] == {"decision": "deny", "rules": [], "would_have": []}
    assert document["cases"][1]["actual"]["rules"] == ["chat"]
    human = CliRunner().invoke(scenarios_command, [str(folder)], standalone_mode=False).output
    assert "1 passed, 2 failed in 1 file" in human
    assert "acme.test.yaml:5" in human
    assert "nobody in the directory is named zoe" in human


def test_errors_of_scenario_files_are_located(folder: Path) -> None:
    """All at once, with their lines; nothing passes."""
    (folder / "bad.test.yaml").write_text(BROKEN, encoding="utf-8")
    result = CliRunner().invoke(scenarios_command, [str(folder), "--json"], standalone_mode=False)
    document = orjson.loads(result.stdout)
    found = {(one["code"], one["line"]) for one in document["diagnostics"]}
    assert {
        ("unreadable-file", 1),
        ("unknown-key", 2),
        ("unknown-key", 4),
        ("missing-key", 4),
        ("bad-value", 4),
        ("wrong-type", 4),
        ("wrong-type", 5),
    } == found
    assert result.return_value == 1
    assert "did you mean `allow`" in CliRunner().invoke(scenarios_command, [str(folder)], standalone_mode=False).stderr


def test_no_scenario_is_no_success(folder: Path) -> None:
    """A test run that tests nothing must not look green."""
    assert run(["test", str(folder)]) == 1


def test_the_policy_of_these_tests_is_good(folder: Path) -> None:
    """And the snapshot of nobody is one."""
    assert load(folder, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).policy_set
    assert not DirectorySnapshot({}, 0.0).people
