"""`charter directory` against a running installation, and its explanations where something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from click.testing import CliRunner, Result

from synapse_modules.cli import directory
from tests.harness.company import PEOPLE
from tests.harness.office import POLICY, Office
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A company under a policy, whose directory is read on request only."""
    with Office(tmp_path_factory.mktemp("office"), login={"sync_interval": "1h"}) as office:
        office.gate.apply(POLICY)
        yield office


def run(office: Office, *arguments: str, given: str | None = None) -> Result:
    """Run a command against the installation."""
    config = str(office.gate.homeserver.folder / "homeserver.yaml")
    command, *rest = arguments
    return CliRunner().invoke(directory, [command, "--config", config, *rest], input=given)


def test_test_says_that_all_is_well(office: Office) -> None:
    """Servers, service account, people, groups and one log-on."""
    result = run(office, "test", "--log-on", "alice", given="alice-secret\n")
    assert result.exit_code == 0, result.output
    assert "8 people, 7 enabled, 5 groups with members" in result.output
    assert "ok, as @alice:acme.example" in result.output
    assert run(office, "test", "--log-on", "alice", given="wrong\n").exit_code == 1


def test_a_policy_that_names_an_attribute_has_it_read_at_once(office: Office) -> None:
    """The first reading knew no policy; nobody waits for the next one."""

    def in_step() -> bool:
        return bool(orjson.loads(run(office, "show", "carol", "--json").output)["in_step"])

    until(in_step, "the snapshot has the policy's attributes")


def test_sync_show_and_diff_follow_a_change(office: Office) -> None:
    """What diff foretells, sync does, and show shows on both sides."""
    assert run(office, "sync").exit_code == 0
    dn = f"uid=hired,{PEOPLE}"
    attributes: dict[str, str | list[str]] = {"cn": "Hired", "sn": "Hired", "employeeType": "contractor"}
    office.slapd.add(dn, ["inetOrgPerson"], attributes)
    office.slapd.delete(f"uid=dave,{PEOPLE}")
    told = orjson.loads(run(office, "diff", "--json").output)
    expected = {
        "added": ["@hired:acme.example"],
        "removed": ["@dave:acme.example"],
        "changed": [],
        "log_off": ["@dave:acme.example"],
        "doubt": None,
    }
    assert told == expected
    before = orjson.loads(run(office, "show", "hired", "--json").output)
    assert (before["in_step"], before["snapshot"]) == (False, None)
    synced = orjson.loads(run(office, "sync", "--json").output)
    assert (synced["ok"], synced["people"]) == (True, 8)
    after = orjson.loads(run(office, "show", "hired", "--json").output)
    assert (after["in_step"], after["snapshot"]["attributes"]) == (
        True,
        {"cn": ["Hired"], "employeetype": ["contractor"]},
    )
    assert run(office, "show", "dave").exit_code == 1


def test_a_halved_directory_needs_a_word_from_the_administrator(office: Office) -> None:
    """Without --accept-shrink the last good snapshot stays; with it the reading counts."""
    assert run(office, "sync").exit_code == 0
    for uid in ("bob", "carol", "erin", "locked", "fresh"):
        office.slapd.delete(f"uid={uid},{PEOPLE}")
    refused = run(office, "sync")
    assert (refused.exit_code, "--accept-shrink" in refused.output) == (1, True)
    assert "@bob:acme.example" in run(office, "show", "bob").output
    accepted = run(office, "sync", "--accept-shrink")
    assert (accepted.exit_code, "read: 3 people" in accepted.output) == (0, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"servers": ["ldap://127.0.0.1:1"]}, "Nothing listens there"),
        (
            {"servers": ["ldap://no-such-host.invalid"]},
            "did not answer|Name or service|getaddrinfo|does not resolve|invalid server address",
        ),
        ({"bind_dn": "cn=nobody,dc=acme,dc=example"}, "Check login.bind_dn"),
        ({"base": "dc=other,dc=example"}, "Check login.base"),
        ({"people_filter": "(objectClass=nothing)"}, "check base and people_filter"),
        ({"start_tls": True}, "StartTLS"),
    ],
)
def test_each_failure_is_explained(office: Office, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    """The step that failed names the setting to look at."""
    block = yaml.safe_load((office.gate.homeserver.folder / "homeserver.yaml").read_text())["modules"][0]["config"]
    file = tmp_path / "charter.yaml"
    file.write_text(yaml.safe_dump({"server_name": "acme.example", "login": block["login"] | change}))
    result = CliRunner().invoke(directory, ["test", "--config", str(file)])
    assert result.exit_code in {1, 2}
    assert any(word in result.output for word in words.split("|")), result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modules: []", "no `login:` block"),
        ("login: {servers: [http://x], bind_dn: a, base: b}", "login.bind_password_file|ldap://host:port"),
        ("login: [", "charter.yaml"),
    ],
)
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The tool fails with one sentence and exit code 2."""
    file = tmp_path / "charter.yaml"
    file.write_text(text)
    result = CliRunner().invoke(directory, ["test", "--config", str(file)])
    assert result.exit_code == 2
    assert any(word in result.output for word in words.split("|")), result.output


def test_without_a_database_the_directory_alone_is_tested(office: Office, tmp_path: Path) -> None:
    """`sync` says which file it needs."""
    block = yaml.safe_load((office.gate.homeserver.folder / "homeserver.yaml").read_text())["modules"][0]["config"]
    file = tmp_path / "charter.yaml"
    file.write_text(yaml.safe_dump({"server_name": "acme.example", "login": block["login"]}))
    assert CliRunner().invoke(directory, ["test", "--config", str(file)]).exit_code == 0
    result = CliRunner().invoke(directory, ["sync", "--config", str(file)])
    assert (result.exit_code, "homeserver.yaml" in result.output) == (2, True)
