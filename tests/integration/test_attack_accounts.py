"""What an employee tries at the log-on, with tokens and with custody's API; and what a directory that nobody read closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.gate import API, SCRIBE, STEWARD, joined, texts
from tests.harness.office import POLICY, Office
from tests.harness.synapse import Client, Response
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

PASSWORD = {"type": "m.login.password"}
CLOSING = POLICY + "directory: {max_age: 2s, then: close}\n"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A company under a policy, whose server has an account for its notices."""
    notices = {"server_notices": {"system_mxid_localpart": "carol", "room_name": "Notices"}}
    with Office(tmp_path_factory.mktemp("office"), extra=notices) as office:
        office.gate.apply(POLICY)
        office.wait_for_directory()
        yield office


def accounts(office: Office) -> tuple[int, int]:
    """Return how many accounts and tokens there are."""
    users = office.gate.rows("SELECT COUNT(*) FROM users")[0][0]
    return int(users), int(office.gate.rows("SELECT COUNT(*) FROM access_tokens")[0][0])


# Ways to a session without the directory's password: name, method, path below the client API, body.
WAYS: list[tuple[str, str, str, Any]] = [
    ("a bot's name", "POST", "/login", {**PASSWORD, "identifier": {"type": "m.id.user", "user": "charter-scribe"},
        "password": "charter-scribe-secret"}),
    ("a bot's full name", "POST", "/login", {**PASSWORD, "identifier": {"type": "m.id.user", "user": SCRIBE},
        "password": ""}),
    ("the old way of naming", "POST", "/login", {**PASSWORD, "user": "charter-steward", "password": "x"}),
    ("the account of the notices", "POST", "/login", {**PASSWORD, "identifier": {"type": "m.id.user", "user": "carol"},
        "password": "carol-secret"}),
    ("a token", "POST", "/login", {"type": "m.login.token", "token": "x"}),
    ("an application service", "POST", "/login", {"type": "m.login.application_service", "identifier": {
        "type": "m.id.user", "user": "charter-scribe"}}),
    ("a dummy", "POST", "/login", {"type": "m.login.dummy"}),
    ("single sign-on", "GET", "/login/sso/redirect", None),
    ("registration", "POST", "/register", {"username": "eve", "password": "eve-secret", "auth": {"type":
        "m.login.dummy"}}),
    ("registration as an application service", "POST", "/register", {"type": "m.login.application_service", "username":
        "charter-eve"}),
    ("a guest", "POST", "/register?kind=guest", {}),
    ("a refresh token", "POST", "/refresh", {"refresh_token": "syr_x"}),
    ("a new password", "POST", "/account/password", {"new_password": "mine-now"}),
    ("a forgotten password", "POST", "/account/password/email/requestToken", {"client_secret": "x", "email":
        "alice@acme.example", "send_attempt": 1}),
    ("an address to register", "POST", "/register/email/requestToken", {"client_secret": "x", "email":
        "eve@acme.example", "send_attempt": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("what", "method", "path", "body"), WAYS, ids=[row[0] for row in WAYS])
@pytest.mark.parametrize("logged_on", [False, True])
def test_no_session_without_the_directory(
    office: Office, what: str, method: str, path: str, body: Any, *, logged_on: bool
) -> None:
    """No account, no token and no password come into being, for a stranger or for an employee."""
    del what
    caller = office.client("alice") if logged_on else Client(office.gate.homeserver.base_url)
    before = accounts(office)
    answer = caller.request(method, "/_matrix/client/v3" + path, body)
    assert answer.status in {400, 401, 403, 404, 405}, answer
    assert "access_token" not in str(answer.body)
    assert accounts(office) == before
    assert {value for (value,) in office.gate.rows("SELECT DISTINCT password_hash FROM users")} <= {None, ""}


def test_an_employee_mints_no_second_session(office: Office) -> None:
    """Neither a log-in token for another device nor a new password with the right old one."""
    alice = office.client("alice")
    before = accounts(office)
    auth = {**PASSWORD, "identifier": {"type": "m.id.user", "user": "alice"}, "password": "alice-secret"}
    minted = alice.request("POST", "/_matrix/client/v1/login/get_token", {"auth": auth})
    assert minted.status in {400, 401, 403, 404}, minted
    changed = alice.post("/account/password", {"new_password": "mine-now", "auth": auth})
    assert changed.status in {400, 401, 403}, changed
    assert office.log_on("alice", "mine-now").status == 403
    assert accounts(office) == before


def test_an_expired_token_does_nothing(office: Office) -> None:
    """A token beyond its end neither reads nor writes, whichever process cached it."""
    alice, dave = office.client("alice"), office.client("dave")
    room = joined(alice, [dave])
    assert dave.post("/logout").status == 200
    for answer in (dave.say(room, "late"), dave.get("/sync"), dave.upload(b"x", "text/plain"), dave.create_room()):
        assert answer.status == 401, answer
    assert texts(alice, room) == []


CUSTODY = [
    ("GET", "/bundle"), ("GET", "/outbox"), ("POST", "/outbox"), ("POST", "/outbox/ack"), ("GET", "/watermark"),
    ("PUT", "/watermark"), ("GET", "/rooms"), ("PUT", "/rooms"), ("GET", "/directory"), ("GET", "/readers"),
    ("POST", "/heartbeat"), ("GET", "/health"), ("GET", "/processes"), ("GET", "/me?user=@bob:acme.example"),
    ("GET", "/why?user=@bob:acme.example&feature=chat.text"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CUSTODY)
def test_custody_is_not_for_employees(office: Office, method: str, path: str) -> None:
    """Not with their own token, not by naming a bot beside it, and not without one."""
    alice = office.client("alice")
    body = None if method == "GET" else {"ids": [], "kind": "alarm", "body": {}, "events": "s1", "time": 1}
    for named in ("", SCRIBE, STEWARD):
        extra = f"{'&' if '?' in path else '?'}user_id={named}" if named else ""
        for caller in (alice, Client(alice.base_url)):
            answer = caller.request(method, f"{API}{path}{extra}", body)
            assert answer.status in {401, 403}, (named, answer)


def test_no_bot_does_anothers_work(office: Office) -> None:
    """Each bot's token stands for that bot alone."""
    gate = office.gate
    tries: list[Response] = [
        gate.steward.request("PUT", f"{API}/watermark", {"events": "s1", "time": 1}),
        gate.steward.request("PUT", f"{API}/rooms", dict.fromkeys(("journal", "audit", "alerts", "approvals"), "!x:y")),
        gate.scribe.request("POST", f"{API}/outbox", {"kind": "alarm", "body": {}}),
        gate.steward.request("POST", f"{API}/outbox", {"kind": "refusal", "body": {}}),
        gate.steward.request("POST", f"{API}/outbox", {"kind": "policy", "body": {}}),
        gate.steward.request("GET", f"{API}/outbox", query={"user_id": SCRIBE}),
    ]
    assert [answer.status for answer in tries] == [403] * len(tries)


def test_a_directory_that_nobody_read_closes_everything(office: Office) -> None:
    """`directory.then: close` refuses every act but ends, and opens again with the directory."""
    alice, dave = office.client("alice"), office.client("dave")
    room = joined(alice, [dave])
    office.gate.apply(CLOSING)
    assert alice.say(room, "open").status == 200
    office.slapd.stop()
    try:
        until(lambda: alice.create_room().status == 403, "the directory is too old")
        answer = alice.create_room()
        assert "The directory has not been read for too long" in answer.body["error"]
        alice.say(room, "closed")
        assert alice.state(room, "m.room.topic", {"topic": "closed"}).status == 403
        assert "closed" not in texts(dave, room)
        assert dave.post(f"/rooms/{room}/leave").status == 200
    finally:
        office.slapd.start()
    until(lambda: alice.create_room().status == 200, "the directory is read again")
