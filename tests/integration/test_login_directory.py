"""The same table of log-ons on a real OpenLDAP and on the embedded demonstration directory."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import ldap3
import pytest

from charter.ldif import read_ldif
from synapse_modules._ldap_connection import DirectoryMisconfiguredError
from synapse_modules._ldap_directory import Checked, Directory
from synapse_modules._ldap_outcome import Outcome
from synapse_modules._login_config import LoginConfig, TlsConfig
from tests.harness.company import COMPANY, GROUPS, PEOPLE
from tests.harness.demo_directory import DemoDirectory
from tests.harness.slapd import BASE_LDIF, SERVICE_DN, SERVICE_PASSWORD, SUFFIX, Authority, Slapd
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
SERVER = "acme.example"


def settings(folder: Path, url: str, **more: object) -> LoginConfig:
    """Return a configuration for one server."""
    secret = folder / "service-password"
    secret.write_text(SERVICE_PASSWORD + "\n")
    values: dict[str, object] = {
        "servers": (url,),
        "bind_dn": SERVICE_DN,
        "bind_password_file": secret,
        "base": SUFFIX,
        "operation_timeout": "1s",
        "connect_timeout": "1s",
        "mail_attribute": "mail",
        "page_size": 2,
    }
    return LoginConfig.model_validate(values | more)


@contextlib.contextmanager
def opened(config: LoginConfig) -> Iterator[Directory]:
    """Return a directory whose kept connections are closed at the end."""
    directory = Directory(config, SERVER, time.time)
    try:
        yield directory
    finally:
        directory.connector.close_thread()


def outcome_of(config: LoginConfig) -> Checked:
    """Log alice on, once."""
    with opened(config) as directory:
        return directory.check("alice", "alice-secret")


@contextlib.contextmanager
def unbound(connection: ldap3.Connection) -> Iterator[None]:
    """Close a connection at the end; ldap3's own context manager leaves one open that was open before."""
    try:
        yield
    finally:
        connection.unbind()


@pytest.fixture(scope="module", params=["slapd", "embedded"])
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """Serve the company from one kind of server after the other."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "slapd":
        with Slapd(folder / "slapd", COMPANY) as server, opened(settings(folder, server.url)) as directory:
            yield directory
    else:
        with DemoDirectory(folder, BASE_LDIF + COMPANY) as demo, opened(settings(folder, demo.url)) as directory:
            yield directory


@pytest.mark.parametrize(
    ("name", "password", "outcome", "user_id"),
    [
        ("alice", "alice-secret", Outcome.OK, "@alice:acme.example"),
        ("ALICE", "alice-secret", Outcome.OK, "@alice:acme.example"),
        ("@alice:acme.example", "alice-secret", Outcome.OK, "@alice:acme.example"),
        ("alice@acme.example", "alice-secret", Outcome.OK, "@alice:acme.example"),
        ("erin", "pässwörd ½", Outcome.OK, "@erin:acme.example"),
        ("mixed.case", "Mixed.Case-secret", Outcome.OK, "@mixed.case:acme.example"),
        ("alice", "alice-Secret", Outcome.WRONG_CREDENTIALS, "@alice:acme.example"),
        ("alice", " alice-secret", Outcome.WRONG_CREDENTIALS, "@alice:acme.example"),
        ("alice", "bob-secret", Outcome.WRONG_CREDENTIALS, "@alice:acme.example"),
        ("alice", "", Outcome.NO_PASSWORD, None),
        ("nobody", "x", Outcome.UNKNOWN_USER, None),
        ("@alice:other.example", "alice-secret", Outcome.BAD_NAME, None),
        ("", "alice-secret", Outcome.BAD_NAME, None),
        ("alice\0", "alice-secret", Outcome.BAD_NAME, None),
        ("star*(x)", "star*(x)-secret", Outcome.BAD_NAME, None),
        ("locked", "locked-secret", Outcome.LOCKED, "@locked:acme.example"),
        ("fresh", "fresh-secret", Outcome.MUST_CHANGE, "@fresh:acme.example"),
        ("fresh", "x", Outcome.WRONG_CREDENTIALS, "@fresh:acme.example"),
    ],
)
def test_log_on_has_exactly_one_outcome(
    directory: Directory, name: str, password: str, outcome: Outcome, user_id: str | None
) -> None:
    """The person comes from the entry that the directory returned, the outcome from its answer."""
    checked = directory.check(name, password)
    assert (outcome, user_id) == (checked.outcome, checked.user_id)


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "a*",
        "alice)(uid=*",
        "*)(|(uid=*",
        "alice)(objectClass=*))(&(uid=x",
        "\\2a",
        "alice\\",
        "(",
        "alice&",
        "|",
        "ali\\63e",
    ],
)
def test_filter_metacharacters_find_nobody(directory: Directory, name: str) -> None:
    """A typed name is a value, never a piece of a filter."""
    assert directory.check(name, "alice-secret").outcome == Outcome.UNKNOWN_USER


def test_people_and_nested_groups_are_read(directory: Directory) -> None:
    """Everybody is read over several pages; membership is nested and survives a cycle."""
    snapshot = directory.read_all(["employeeType"])
    short = {
        user.partition(":")[0]: {dn.removeprefix("cn=").removesuffix(f",{GROUPS}") for dn in person.member_of}
        for user, person in snapshot.people.items()
    }
    assert {
        "@alice": {"traders", "desk", "floor", "ring", "loop"},
        "@bob": {"desk", "floor", "ring", "loop"},
        "@carol": {"floor", "ring", "loop"},
        "@dave": set(),
        "@erin": set(),
        "@mixed.case": set(),
        "@locked": set(),
        "@fresh": set(),
    } == short
    carol = snapshot.people["@carol:acme.example"]
    assert ({"employeetype": ("contractor",)}, f"uid=carol,{PEOPLE}") == (carol.attributes, carol.dn)
    assert not snapshot.people["@locked:acme.example"].enabled
    assert snapshot.people["@alice:acme.example"].stable_id


def test_one_person_reads_as_in_the_whole(directory: Directory) -> None:
    """Reading one person gives the very person of a reading of everybody."""
    snapshot = directory.read_all(["employeeType"])
    for user, person in snapshot.people.items():
        assert person == directory.read_person(user, ["employeeType"])
    assert directory.read_person("@nobody:acme.example", []) is None


def test_nobody_reads_without_logging_on(directory: Directory) -> None:
    """Anonymous clients see no entries, and the service account sees no passwords."""
    address = directory.connector.addresses[0]
    server = ldap3.Server(address.host, address.port, get_info=ldap3.NONE)
    anonymous = ldap3.Connection(server, auto_bind=True, check_names=False)
    with unbound(anonymous):
        anonymous.search(SUFFIX, "(objectClass=*)", attributes=["*"])
        assert list(anonymous.response or []) == []
    service = ldap3.Connection(server, SERVICE_DN, SERVICE_PASSWORD, auto_bind=True, check_names=False)
    with unbound(service):
        service.search(SUFFIX, "(uid=alice)", attributes=["*", "userPassword"])
        found = [item["attributes"] for item in service.response or []]
        assert (len(found), any(attributes.get("userPassword") for attributes in found)) == (1, False)
        service.search(SUFFIX, "(userPassword=a*)", attributes=["uid"])
        assert list(service.response or []) == []


def test_the_demo_companys_file_reads_alike_in_both_ways(tmp_path: Path) -> None:
    """What is read over LDAP is what `charter why --directory FILE.ldif` reads from the file."""
    file = Path(__file__).parents[2] / "policies" / "acme" / "directory.ldif"
    text = file.read_text()
    account = BASE_LDIF[BASE_LDIF.index(f"dn: {SERVICE_DN}") :]
    with DemoDirectory(tmp_path, f"{text}\n{account}") as demo, opened(settings(tmp_path, demo.url)) as directory:
        served = directory.read_all(["employeeType"]).people
    read = read_ldif(text, SERVER, time.time()).people
    expected = {user: (p.dn, p.enabled, set(p.member_of), p.attributes.get("employeetype")) for user, p in read.items()}
    found = {user: (p.dn, p.enabled, set(p.member_of), p.attributes.get("employeetype")) for user, p in served.items()}
    assert found == expected


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that the servers' certificates come from."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Slapd]:
    """A server that speaks TLS under its address."""
    with Slapd(tmp_path_factory.mktemp("tls") / "slapd", COMPANY, authority.issue("127.0.0.1")) as server:
        yield server


@pytest.mark.parametrize("start_tls", [False, True])
def test_tls_is_verified(secure: Slapd, authority: Authority, tmp_path: Path, start_tls: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """LDAPS and StartTLS work with the right authority, and with no other."""
    url = secure.url if start_tls else secure.tls_url
    other = Authority(tmp_path / "other", "other")
    trusted = settings(tmp_path, url, start_tls=start_tls, tls=TlsConfig(ca_file=authority.ca_file))
    wrong = settings(tmp_path, url, start_tls=start_tls, tls=TlsConfig(ca_file=other.ca_file))
    system = settings(tmp_path, url, start_tls=start_tls)
    outcomes = [outcome_of(each) for each in (trusted, wrong, system)]
    assert [checked.outcome for checked in outcomes] == [Outcome.OK, Outcome.MISCONFIGURED, Outcome.MISCONFIGURED]
    assert "certificate not trusted" in outcomes[1].detail


def test_a_certificate_for_another_host_is_refused(authority: Authority, tmp_path: Path) -> None:
    """The name in the certificate must be the name in the configuration."""
    with Slapd(tmp_path / "slapd", COMPANY, authority.issue("ldap.other.example")) as server:
        config = settings(tmp_path, server.tls_url, tls=TlsConfig(ca_file=authority.ca_file))
        assert outcome_of(config).outcome == Outcome.MISCONFIGURED


def test_start_tls_refused_by_the_server_sends_no_password(tmp_path: Path) -> None:
    """A server without TLS is never spoken to in clear when StartTLS is configured."""
    with Slapd(tmp_path / "slapd", COMPANY) as server:
        config = settings(tmp_path, server.url, start_tls=True)
        checked = outcome_of(config)
        assert (checked.outcome, "StartTLS was refused" in checked.detail) == (Outcome.MISCONFIGURED, True)


def test_a_wrong_service_password_is_misconfigured(secure: Slapd, tmp_path: Path) -> None:
    """The service account's trouble is never told to people as their own wrong password."""
    config = settings(tmp_path, secure.url)
    (tmp_path / "service-password").write_text("wrong")
    assert outcome_of(config).outcome == Outcome.MISCONFIGURED
    with opened(config) as directory, pytest.raises(DirectoryMisconfiguredError, match="wrong DN or password"):
        directory.read_all([])


def test_a_hung_server_costs_one_timeout_then_the_next_answers(secure: Slapd, tmp_path: Path) -> None:
    """The first log-on waits for one time-out, the following ones go straight to the second server."""
    with (
        Slapd(tmp_path / "first", COMPANY) as first,
        opened(settings(tmp_path, first.url, servers=(first.url, secure.url))) as directory,
    ):
        assert directory.check("alice", "alice-secret").outcome == Outcome.OK
        first.hang()
        times = []
        for _ in range(3):
            before = time.monotonic()
            assert directory.check("alice", "alice-secret").outcome == Outcome.OK
            times.append(time.monotonic() - before)
        assert times[0] < 2.5
        assert max(times[1:]) < 0.9


def test_all_servers_hung_is_unavailable_at_once(tmp_path: Path) -> None:
    """After the first time-out nobody waits, and a server that came back is found after the hold."""
    with (
        Slapd(tmp_path / "slapd", COMPANY) as server,
        opened(settings(tmp_path, server.url, retry_after="1s")) as directory,
    ):
        server.hang()
        assert directory.check("alice", "alice-secret").outcome == Outcome.UNAVAILABLE
        before = time.monotonic()
        assert directory.check("alice", "alice-secret").outcome == Outcome.UNAVAILABLE
        assert time.monotonic() - before < 0.2
        server.resume()
        until(lambda: directory.check("alice", "alice-secret").outcome is Outcome.OK, "the server is asked again")


def test_a_restarted_server_is_not_noticed(tmp_path: Path) -> None:
    """A kept connection that went stale is replaced within the same log-on."""
    with Slapd(tmp_path / "slapd", COMPANY) as server, opened(settings(tmp_path, server.url)) as directory:
        assert directory.check("alice", "alice-secret").outcome == Outcome.OK
        server.stop()
        server.start()
        assert directory.check("alice", "alice-secret").outcome == Outcome.OK


def test_lockout_by_wrong_passwords_is_told_apart(tmp_path: Path) -> None:
    """After five wrong passwords OpenLDAP locks; that is `locked`, and does not make the person disabled."""
    with Slapd(tmp_path / "slapd", COMPANY) as server, opened(settings(tmp_path, server.url)) as directory:
        outcomes = [directory.check("bob", "wrong").outcome for _ in range(6)]
        assert outcomes == [Outcome.WRONG_CREDENTIALS] * 5 + [Outcome.LOCKED]
        assert directory.check("bob", "bob-secret").outcome == Outcome.LOCKED
        assert directory.read_all([]).people["@bob:acme.example"].enabled


def test_the_demo_directory_follows_its_file(tmp_path: Path) -> None:
    """Editing the LDIF disables somebody; a broken edit changes nothing."""
    with DemoDirectory(tmp_path, BASE_LDIF + COMPANY) as demo, opened(settings(tmp_path, demo.url)) as directory:
        assert directory.check("alice", "alice-secret").outcome == Outcome.OK
        demo.file.write_text("dn: this is no\nLDIF at all")
        until(lambda: "kept the last good directory" in demo.output.read_text(), "the broken file is noticed")
        assert directory.check("alice", "alice-secret").outcome == Outcome.OK
        demo.file.write_text(
            (BASE_LDIF + COMPANY).replace("uid: alice\n", "uid: alice\npwdAccountLockedTime: 000001010000Z\n")
        )
        until(lambda: directory.check("alice", "alice-secret").outcome is Outcome.LOCKED, "the edit is served")
