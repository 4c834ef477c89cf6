"""Log-on end to end: a real Synapse, a real OpenLDAP, ordinary client requests."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.company import GROUPS, PEOPLE
from tests.harness.office import POLICY, Office
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
UNREACHABLE = (
    "The company directory cannot be reached; nobody can log on until it answers. Ask the service desk, extension 4000."
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A company under a policy."""
    with Office(tmp_path_factory.mktemp("office"), login={"mail_attribute": "mail"}) as office:
        assert office.log_on("dave").status == 200, "no policy closes everything but log-on"
        office.gate.apply(POLICY)
        office.wait_for_directory()
        yield office


def test_log_on_gives_a_session_with_the_policys_lifetime(office: Office) -> None:
    """A member of a nested group gets that group's lifetime; who has no rule gets the server's."""
    alice = office.log_on("alice", refresh_token=True)
    assert (alice.status, alice.body["user_id"]) == (200, "@alice:acme.example")
    assert 35_990_000 < alice.body["expires_in_ms"] <= 36_000_000
    assert "refresh_token" not in alice.body
    record = office.record("logon", device=alice.body["device_id"])
    stored = office.gate.rows("SELECT valid_until_ms FROM access_tokens WHERE token = ?", alice.body["access_token"])
    assert [(record["body"]["expires_at"],)] == stored
    assert tuple(record["body"][key] for key in ("ok", "reason", "address")) == (True, None, "127.0.0.1")
    assert "expires_in_ms" not in office.log_on("dave").body


@pytest.mark.parametrize(
    ("user", "password", "reason", "subject"),
    [
        ("alice", "wrong", "wrong credentials", "@alice:acme.example"),
        ("nobody", "wrong", "unknown user", "nobody"),
        ("@alice:other.example", "alice-secret", "user name unusable", "@alice:other.example"),
        ("*", "alice-secret", "unknown user", "*"),
    ],
)
def test_bad_credentials_all_read_alike_and_are_recorded(
    office: Office, user: str, password: str, reason: str, subject: str
) -> None:
    """The person learns nothing about who exists; the record says what it was."""
    answer = office.log_on(user, password)
    assert (answer.status, answer.body["error"]) == (403, "Invalid username or password")
    assert not office.record("logon", reason=reason, subject=subject)["body"]["ok"]


def test_an_empty_password_is_no_anonymous_bind(office: Office) -> None:
    """RFC 4513 section 5.1.2: a bind without password succeeds on many servers."""
    answer = office.log_on("alice", "")
    assert (answer.status, answer.body["error"]) == (403, "Invalid username or password")
    office.record("logon", reason="no password given")


@pytest.mark.parametrize(
    ("user", "code", "words"),
    [
        (
            "locked",
            "M_FORBIDDEN",
            "Your account is locked in the company directory. Ask the service desk, extension 4000.",
        ),
        ("fresh", "M_FORBIDDEN", "You must change your password in the company directory before you can log on."),
    ],
)
def test_accounts_that_may_not_log_on_are_told_why(office: Office, user: str, code: str, words: str) -> None:
    """The right password of an account that may not be used gets a sentence."""
    answer = office.log_on(user)
    assert (403, code) == (answer.status, answer.body["errcode"])
    assert words in answer.body["error"]


def test_no_password_is_stored(office: Office) -> None:
    """Synapse's accounts have no password hash."""
    office.client("alice")
    hashes = {value for (value,) in office.gate.rows("SELECT DISTINCT password_hash FROM users")}
    assert hashes <= {None, ""}


def test_typed_names_never_make_a_second_account(office: Office) -> None:
    """Look-alikes that the directory matches are the person whom it returned."""
    for typed in ("ALICE", "@alice:acme.example", "\uff41lice", "alice "):
        assert office.log_on(typed, "alice-secret").body["user_id"] == "@alice:acme.example"


def test_an_email_address_logs_on_where_configured(office: Office) -> None:
    """As Element sends it, and typed where a user name is asked for."""
    identifier = {"type": "m.id.thirdparty", "medium": "email", "address": "carol@acme.example"}
    for given in (identifier, {"type": "m.id.user", "user": "carol@acme.example"}):
        answer = office.log_on("carol", identifier=given)
        assert (answer.status, answer.body.get("user_id")) == (200, "@carol:acme.example")
        assert office.log_on("carol", "wrong", identifier=given).status == 403


def test_nobody_of_the_directory_can_be_a_bot(office: Office) -> None:
    """A person whose user name is a bot's is refused, whatever their password."""
    uid = "charter-scribe"
    office.slapd.add(f"uid={uid},{PEOPLE}", ["inetOrgPerson"], {"cn": uid, "sn": uid, "userPassword": f"{uid}-secret"})
    try:
        assert office.log_on(uid).status == 403
        record = office.record("logon", subject="@charter-scribe:acme.example")
        assert record["body"]["detail"] == "the name belongs to a service"
    finally:
        office.slapd.delete(f"uid={uid},{PEOPLE}")


def test_re_authentication_is_checked_and_recorded(office: Office) -> None:
    """Deleting a device asks for the password again: the directory's, and it is on record."""
    bob, other = office.client("bob"), office.client("bob")
    path = f"/_matrix/client/v3/devices/{other.device_id}"
    session = bob.request("DELETE", path, {}).body["session"]
    identifier = {"type": "m.id.user", "user": "bob"}
    auth: dict[str, Any] = {"type": "m.login.password", "identifier": identifier, "session": session}
    assert bob.request("DELETE", path, {"auth": {**auth, "password": "wrong"}}).status == 401
    assert bob.request("DELETE", path, {"auth": {**auth, "password": "bob-secret"}}).status == 200
    assert office.record("logon", reason="re-authentication", subject="@bob:acme.example")["body"]["ok"]
    assert office.record("logoff", device=other.device_id)["body"]["reason"] == "logged off"


def test_logging_on_again_with_a_device_ends_its_old_token(office: Office) -> None:
    """One device has one token."""
    first = office.client("carol")
    again = office.log_on("carol", device_id=first.device_id)
    assert (200, first.device_id) == (again.status, again.body["device_id"])
    assert first.get("/account/whoami").status == 401


def test_an_expired_session_is_a_soft_log_out_and_recorded(office: Office) -> None:
    """The client keeps its keys; the record says that the session expired."""
    office.gate.apply(POLICY.replace("lifetime: 10h", "lifetime: 1s"))
    bob = office.client("bob")
    until(lambda: bob.get("/account/whoami").status == 401, "the session expires")
    assert bob.get("/account/whoami").body["soft_logout"] is True
    office.record("logoff", device=bob.device_id, reason="expired")
    office.gate.apply(POLICY)


def test_the_oldest_session_ends_when_there_are_too_many(office: Office) -> None:
    """`max_sessions` with `end_oldest` keeps the newest; with `refuse_newest` the log-on is refused with a text."""
    office.gate.apply(POLICY.replace("lifetime: 10h", "max_sessions: 2, overflow: end_oldest"))
    sessions = [office.client("bob") for _ in range(3)]
    assert [each.get("/account/whoami").status for each in sessions] == [401, 200, 200]
    office.gate.apply(POLICY.replace("lifetime: 10h", "max_sessions: 2, overflow: refuse_newest"))
    refused = office.log_on("bob")
    assert (refused.status, "log off elsewhere first" in refused.body["error"]) == (403, True)
    assert office.log_on("bob", device_id=sessions[2].device_id).status == 200
    office.gate.apply(POLICY)


def test_the_policy_refuses_a_log_on_in_words(office: Office) -> None:
    """Log-on from a network that the rule does not name is refused, with rule and contact."""
    office.gate.apply(POLICY.replace("lifetime: 10h", "networks: [10.0.0.0/8]"))
    answer = office.log_on("alice")
    assert (answer.status, answer.body["org.charter.refusal"]["rules"]) == (403, ["short"])
    assert "You may not log on from this network. Ask the service desk" in answer.body["error"]
    assert not office.record("logon", actor="@alice:acme.example", reason=answer.body["error"])["body"]["ok"]
    office.gate.apply(POLICY)


def test_a_policy_in_the_shadow_stage_changes_nothing(office: Office) -> None:
    """What it would have refused is on record; lifetimes are the server's."""
    office.gate.apply(POLICY.replace("lifetime: 10h", "lifetime: 10h, networks: [10.0.0.0/8]"), stage="shadow")
    answer = office.log_on("alice")
    assert (answer.status, answer.body.get("expires_in_ms")) == (200, None)
    assert office.record("would-have", actor="@alice:acme.example")["body"]["would_have"] == ["short"]
    office.gate.apply(POLICY)


def test_colleagues_are_found_before_they_ever_logged_on(office: Office) -> None:
    """Everybody of the directory has an account under their name, and no password; a disabled person has none."""
    alice = office.client("alice")

    def found() -> bool:
        answer = alice.post("/user_directory/search", {"search_term": "bob"})
        assert answer.status == 200, answer
        return [row["display_name"] for row in answer.body["results"]] == ["Bob Example"]

    until(found, "alice finds bob")
    assert office.gate.rows("SELECT password_hash FROM users WHERE name = '@bob:acme.example'") == [(None,)]
    assert office.gate.rows("SELECT name FROM users WHERE name = '@locked:acme.example'") == []


def test_somebody_new_has_their_rights_at_once(office: Office) -> None:
    """A person hired a moment ago logs on with the rights of their groups, without waiting for a reading."""
    dn = f"uid=newcomer,{PEOPLE}"
    attributes: dict[str, str | list[str]] = {"cn": "New Comer", "sn": "Comer", "userPassword": "newcomer-secret"}
    office.slapd.add(dn, ["inetOrgPerson"], attributes)
    office.slapd.modify(f"cn=desk,{GROUPS}", {"member": [("MODIFY_ADD", [dn])]})
    answer = office.log_on("newcomer")
    assert 35_900_000 < answer.body.get("expires_in_ms", 0) <= 36_000_000
    profile = office.client("newcomer").get("/profile/@newcomer:acme.example").body
    assert profile["displayname"] == "New Comer"


def test_leavers_and_disabled_people_are_logged_off(office: Office) -> None:
    """Deleting or disabling a person ends their sessions; being disabled again reads as words at log-on."""
    dn = f"uid=leaver,{PEOPLE}"
    for uid in ("leaver", "suspended"):
        office.slapd.add(
            f"uid={uid},{PEOPLE}", ["inetOrgPerson"], {"cn": uid, "sn": uid, "userPassword": f"{uid}-secret"}
        )
    leaver, suspended = office.client("leaver"), office.client("suspended")
    office.wait_for_directory()
    office.slapd.delete(dn)
    office.slapd.modify(f"uid=suspended,{PEOPLE}", {"pwdAccountLockedTime": [("MODIFY_ADD", ["000001010000Z"])]})
    until(lambda: leaver.get("/account/whoami").status == 401, "the leaver is logged off")
    until(lambda: suspended.get("/account/whoami").status == 401, "the suspended person is logged off")
    assert office.record("logoff", actor="@leaver:acme.example")["body"]["reason"] == "left the directory"
    office.record("logoff", actor="@suspended:acme.example", reason="disabled in the directory")
    assert "@leaver:acme.example" in office.record("directory", removed=["@leaver:acme.example"])["body"]["removed"]
    assert office.log_on("leaver").status == 403
    assert "locked in the company directory" in office.log_on("suspended").body["error"]


def test_a_hung_directory_stalls_nobody_else(office: Office) -> None:
    """While log-ons wait for the directory, requests of people who are logged on are answered as usual."""
    alice = office.client("alice")
    office.slapd.hang()
    try:
        attempts = [threading.Thread(target=office.log_on, args=("bob",)) for _ in range(12)]
        for attempt in attempts:
            attempt.start()
        waits = []
        for _ in range(20):
            before = time.monotonic()
            assert alice.get("/account/whoami").status == 200
            waits.append(time.monotonic() - before)
        for attempt in attempts:
            attempt.join()
        answer = office.log_on("bob")
        assert (answer.status, answer.body["error"]) == (503, UNREACHABLE)
        assert max(waits) < 0.8
        assert alice.get("/account/whoami").status == 200, "an unreachable directory ends no session"
        office.record("logon", reason="directory unavailable")
        office.record("alarm", code="directory")
    finally:
        office.slapd.resume()
    until(lambda: office.log_on("bob").status == 200, "the directory is asked again")


def test_a_stopped_directory_is_told_in_words(office: Office) -> None:
    """With the directory down nobody logs on, sessions stay, and it recovers by itself."""
    alice = office.client("alice")
    office.slapd.stop()
    try:
        answer = office.log_on("bob")
        assert (answer.status, answer.body["error"]) == (503, UNREACHABLE)
        assert alice.get("/account/whoami").status == 200
    finally:
        office.slapd.start()
    until(lambda: office.log_on("bob").status == 200, "the directory is asked again")


def test_an_emptied_directory_is_not_believed(office: Office) -> None:
    """A reading that shows half of the people is refused: nobody is logged off, an alarm tells."""
    alice = office.client("alice")
    office.wait_for_directory()
    people = {person.strip("@").partition(":")[0] for person in _snapshot(office)}
    for uid in people:
        office.slapd.modify(
            f"uid={uid},{PEOPLE}",
            {
                "objectClass": [("MODIFY_REPLACE", ["person", "uidObject"])],
                "mail": [("MODIFY_REPLACE", [])],
                "employeeType": [("MODIFY_REPLACE", [])],
            },
        )
    until(lambda: any("nobody" in r["body"]["text"] for r in office.gate.records("alarm")), "an alarm")
    assert people == {person.strip("@").partition(":")[0] for person in _snapshot(office)}
    assert alice.get("/account/whoami").status == 200


def _snapshot(office: Office) -> set[str]:
    answer = office.gate.scribe.request("GET", "/_synapse/client/charter/v1/directory")
    assert answer.status == 200, answer
    return {person["user_id"] for person in answer.body["people"]}


@pytest.mark.parametrize(
    ("extra", "login", "words"),
    [
        ({"password_config": {"localdb_enabled": True}}, {}, "localdb_enabled"),
        ({"password_config": {"enabled": False}}, {}, "localdb_enabled|enabled"),
        ({}, {"bind_password_file": "/nonexistent"}, "nonexistent"),
        ({}, {"people_filter": "(uid=*"}, "not an LDAP filter"),
    ],
)
def test_a_configuration_that_cannot_work_does_not_start(
    tmp_path: Any, extra: dict[str, Any], login: dict[str, Any], words: str
) -> None:
    """Synapse refuses to start and names the setting."""
    with pytest.raises(AssertionError, match=words), Office(tmp_path, login=login, extra=extra):
        pass
