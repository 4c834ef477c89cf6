"""Custody's HTTP API on a real Synapse: who may call what, outbox, notes, and what survives a crash."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from synapse_modules._outbox import new_record_id
from tests.harness.synapse import AppService, Client, Homeserver
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

API = "/_synapse/client/charter/v1"
BOTS = {
    "scribe": "@charter-scribe:acme.example",
    "steward": "@charter-steward:acme.example",
    "partner-xmpp": "@charter-xmpp:acme.example",
}
KEY = "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU2Nzg="

CALLS: list[tuple[str, str, Any, set[str]]] = [
    ("GET", "/bundle", None, {"scribe", "steward", "gateway"}),
    ("GET", "/bundle/head", None, {"scribe", "steward", "gateway", "person", "anyone"}),
    ("PUT", "/bundle", {}, {"scribe", "steward", "gateway", "person", "anyone"}),
    ("GET", "/processes", None, {"scribe", "steward", "gateway"}),
    ("GET", "/processes?digest=x", None, {"scribe", "steward", "gateway", "person", "anyone"}),
    ("GET", "/outbox", None, {"scribe", "steward"}),
    ("POST", "/outbox/ack", {"ids": []}, {"scribe", "steward"}),
    ("POST", "/outbox", {"kind": "alarm", "body": {"code": "test"}}, {"steward", "gateway"}),
    ("GET", f"/outbox/{new_record_id()}", None, {"steward", "gateway"}),
    ("GET", "/events/$unknown", None, {"scribe"}),
    ("GET", "/watermark", None, {"scribe", "steward", "gateway"}),
    ("PUT", "/watermark", {"events": "s1", "time": 1, "lag_ms": 0}, {"scribe"}),
    ("GET", "/rooms", None, {"scribe", "steward", "gateway"}),
    ("PUT", "/rooms", dict.fromkeys(("journal", "audit", "alerts", "approvals"), "!a:acme.example"), {"scribe"}),
    ("GET", "/directory", None, {"scribe", "steward"}),
    ("GET", "/readers", None, {"scribe", "steward"}),
    ("GET", "/why?user=@ada:acme.example&feature=chat.text", None, {"steward", "person"}),
    ("GET", "/me?user=@ada:acme.example", None, {"steward", "person"}),
    ("POST", "/heartbeat", {"healthy": True}, {"scribe", "steward", "gateway"}),
    ("GET", "/health", None, {"scribe", "steward", "gateway"}),
]
"""Method, call, body, and who may; everybody else must be refused."""


def module(**more: Any) -> list[dict[str, Any]]:
    """The module list with custody alone."""
    config = {"policy_keys": {"admin": KEY}, "bots": BOTS, **more}
    return [{"module": "synapse_modules.custody.Custody", "config": config}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    """Return a Synapse with custody, Charter's bots, and a bridge that claims every account."""
    folder = tmp_path_factory.mktemp("synapse")
    localparts = ("charter-scribe", "charter-steward", "charter-xmpp")
    homeserver = Homeserver(folder, modules=module(), bots=localparts)
    bridge = AppService("bridge", "as-bridge", "hs-bridge")
    wide = bridge.registration(homeserver.server_name)
    wide["namespaces"]["users"] = [{"exclusive": False, "regex": "@.*:acme\\.example"}]
    (folder / "bridge.yaml").write_bytes(orjson.dumps(wide))
    homeserver.extra["app_service_config_files"] = [str(folder / f"{n}.yaml") for n in (*localparts, "bridge")]
    homeserver.write()
    try:
        homeserver.start()
        yield homeserver
    finally:
        homeserver.stop()


@pytest.fixture(scope="module")
def callers(server: Homeserver) -> dict[str, Client]:
    """Return one client for each kind of caller, honest and not."""
    admin = server.user("root", admin=True)
    scribe = server.bot("charter-scribe")
    forged = admin.request("POST", f"/_synapse/admin/v1/users/{scribe.user_id}/login", {})
    return {
        "scribe": scribe,
        "steward": server.bot("charter-steward"),
        "gateway": server.bot("charter-xmpp"),
        "person": server.user("ada"),
        "anyone": Client(server.base_url),
        "admin as scribe": Client(server.base_url, forged.body.get("access_token"), scribe.user_id),
        "bridge as scribe": Client(server.base_url, "as-bridge", as_user=scribe.user_id),
        "wrong token": Client(server.base_url, "nobody"),
    }


@pytest.mark.parametrize(("method", "call", "body", "may"), CALLS, ids=[f"{c[0]} {c[1].split('?')[0]}" for c in CALLS])
def test_each_call_lets_in_exactly_whom_it_should(
    callers: dict[str, Client], method: str, call: str, body: Any, may: set[str]
) -> None:
    """Whoever may is served (or told what is missing); whoever may not gets 401 or 403, forged bots above all."""
    path, _, query = call.partition("?")
    arguments = dict(part.split("=") for part in query.split("&")) if query else {}
    for name, client in callers.items():
        answer = client.request(method, API + path, body, query=arguments)
        allowed = name in may or (name in {"admin as scribe", "bridge as scribe"} and "anyone" in may)
        refused = answer.status in {401, 403}
        assert refused != allowed, (name, answer)
        assert answer.status != 500, (name, answer)


def test_person_may_not_ask_about_another(callers: dict[str, Client]) -> None:
    """`why` and `me` answer a person only about themselves."""
    for call in ("/me", "/why"):
        query = {"user": "@max:acme.example", "feature": "chat.text"}
        assert callers["person"].request("GET", API + call, query=query).status == 403


def test_unknown_calls_and_bodies_are_refused_in_words(callers: dict[str, Client]) -> None:
    """404 M_UNRECOGNIZED for what does not exist, 400 and 413 for bodies that are none."""
    scribe = callers["scribe"]
    cases: list[tuple[str, str, Any, int, str]] = [
        ("GET", "/nothing", None, 404, "M_UNRECOGNIZED"),
        ("DELETE", "/bundle", None, 404, "M_UNRECOGNIZED"),
        ("POST", "/heartbeat", b"{", 400, "M_NOT_JSON"),
        ("POST", "/heartbeat", [], 400, "M_BAD_JSON"),
        ("POST", "/heartbeat", {"healthy": "yes"}, 400, "M_BAD_JSON"),
        ("POST", "/heartbeat", b" " * 20_000, 413, "M_TOO_LARGE"),
        ("POST", "/outbox/ack", {"ids": "all"}, 400, "M_BAD_JSON"),
        ("PUT", "/watermark", {}, 400, "M_BAD_JSON"),
        ("PUT", "/rooms", {"journal": "!a:b"}, 400, "M_BAD_JSON"),
        ("GET", "/outbox?limit=many", None, 400, "M_INVALID_PARAM"),
    ]
    for method, call, body, status, errcode in cases:
        path, _, query = call.partition("?")
        arguments = dict([query.split("=")]) if query else {}
        answer = scribe.request(method, API + path, body, query=arguments)
        assert (status, errcode) == (answer.status, answer.body["errcode"]), (call, answer)


def test_bots_submit_only_their_own_kinds(callers: dict[str, Client]) -> None:
    """A gateway cannot forge a refusal, nor the steward a log-on."""
    cases = [("gateway", "refusal"), ("gateway", "receipt"), ("steward", "logon"), ("steward", "policy")]
    for name, kind in cases:
        answer = callers[name].request("POST", f"{API}/outbox", {"kind": kind, "body": {}})
        assert answer.status == 403, (name, kind, answer)


def test_submission_is_committed_once_the_scribe_acknowledged(callers: dict[str, Client]) -> None:
    """A gateway learns that its record is in the ledger only after the scribe said so."""
    scribe, gateway = callers["scribe"], callers["gateway"]
    body = {"kind": "gateway", "room": "!r:acme.example", "actor": "@ada:acme.example", "body": {"step": "sent"}}
    record_id = gateway.request("POST", f"{API}/outbox", body).body["id"]
    assert gateway.request("GET", f"{API}/outbox/{record_id}").body == {"committed": False}
    records = {r["id"]: r for r in scribe.request("GET", f"{API}/outbox", query={"limit": "1000"}).body["records"]}
    expected = {"step": "sent", "submitted_by": BOTS["partner-xmpp"]}
    assert expected == records[record_id]["body"]
    assert tuple(records[record_id][key] for key in ("kind", "room", "actor", "subject")) == (
        "gateway",
        "!r:acme.example",
        "@ada:acme.example",
        None,
    )
    acknowledged = scribe.request("POST", f"{API}/outbox/ack", {"ids": [record_id, record_id, "r-unknown"]})
    assert acknowledged.body == {"acknowledged": 1}
    assert gateway.request("GET", f"{API}/outbox/{record_id}").body == {"committed": True}


def test_record_for_two_is_kept_until_both_have_it(callers: dict[str, Client]) -> None:
    """The steward's acknowledgement does not take an alarm from the scribe."""
    scribe, steward = callers["scribe"], callers["steward"]
    body = {"kind": "alarm", "body": {"code": "test", "content": "secret"}}
    record_id = steward.request("POST", f"{API}/outbox", body).body["id"]

    def bodies(client: Client) -> dict[str, Any]:
        records = client.request("GET", f"{API}/outbox", query={"limit": "1000"}).body["records"]
        return {record["id"]: record["body"] for record in records}

    assert "content" not in bodies(steward)[record_id]
    assert bodies(scribe)[record_id]["content"] == "secret"
    steward.request("POST", f"{API}/outbox/ack", {"ids": [record_id]})
    assert record_id not in bodies(steward)
    assert record_id in bodies(scribe)


def test_notes_are_read_back(callers: dict[str, Client]) -> None:
    """Watermark, rooms and heartbeats are what was put."""
    scribe, gateway = callers["scribe"], callers["gateway"]
    watermark = {"events": "s42", "time": 1234, "lag_ms": 5}
    rooms = {name: f"!{name}:acme.example" for name in ("journal", "audit", "alerts", "approvals")}
    assert scribe.request("PUT", f"{API}/watermark", watermark).status == 200
    assert scribe.request("PUT", f"{API}/rooms", rooms).status == 200
    assert gateway.request("POST", f"{API}/heartbeat", {"healthy": False, "detail": {"queue": 3}}).status == 200
    assert gateway.request("GET", f"{API}/watermark").body == watermark
    assert gateway.request("GET", f"{API}/rooms").body == rooms
    health = gateway.request("GET", f"{API}/health").body
    assert (
        health["bots"]["partner-xmpp"]["healthy"],
        health["bots"]["partner-xmpp"]["detail"],
    ) == (False, {"queue": 3})
    assert health["policy"] is None
    assert [process["instance"] for process in health["processes"]] == ["master"]


def test_start_and_admin_requests_are_recorded(server: Homeserver, callers: dict[str, Client]) -> None:
    """Synapse's configuration at start and each use of the admin API, failed ones too, become records without secrets."""
    scribe, person = callers["scribe"], callers["person"]
    assert person.request("GET", "/_synapse/admin/v2/users").status == 403

    def recorded() -> list[dict[str, Any]]:
        found = scribe.request("GET", f"{API}/outbox", query={"limit": "1000"}).body["records"]
        wanted = [r for r in found if r["kind"] in {"configuration", "admin-request"}]
        return wanted if any(r["actor"] == person.user_id for r in wanted) else []

    records = until(recorded, "the person's attempt is recorded")
    start = next(r for r in records if r["kind"] == "configuration")
    assert (
        start["body"]["instance"],
        len(start["body"]["digest"]),
        start["body"]["synapse"],
    ) == ("master", 64, "1.163.2")
    seen = {(r["actor"], r["body"]["method"], r["body"]["path"]) for r in records if r["kind"] == "admin-request"}
    assert (None, "POST", "/_synapse/admin/v1/register") in seen
    assert ("@root:acme.example", "POST", f"/_synapse/admin/v1/users/{BOTS['scribe']}/login") in seen
    assert (person.user_id, "GET", "/_synapse/admin/v2/users") in seen
    assert all(r["body"]["address"] == "127.0.0.1" for r in records if r["kind"] == "admin-request")
    assert "as-bridge" not in orjson.dumps(records).decode()
    assert server.app_services["charter-scribe"].as_token not in orjson.dumps(records).decode()


def test_outbox_survives_a_crash(server: Homeserver, callers: dict[str, Client]) -> None:
    """What `POST outbox` answered for is there after SIGKILL, and a restart with another configuration says what changed."""
    steward = callers["steward"]
    answer = steward.request("POST", f"{API}/outbox", {"kind": "receipt", "body": {"n": 1}})
    server.kill()
    with closing(sqlite3.connect(server.folder / "homeserver.db")) as database:
        kept = database.execute("SELECT record FROM charter_outbox WHERE id = ?", (answer.body["id"],)).fetchone()
    assert orjson.loads(kept[0])["body"]["n"] == 1
    server.extra["max_upload_size"] = "7M"
    server.write()
    server.start()
    records = callers["scribe"].request("GET", f"{API}/outbox", query={"limit": "1000"}).body["records"]
    assert answer.body["id"] in {record["id"] for record in records}
    starts = [record["body"] for record in records if record["kind"] == "configuration"]
    assert starts[-1]["changed"] == ["max_upload_size"]


def test_silent_bot_raises_one_alarm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A bot that sends no heartbeat is reported once, not every round."""
    bots = {"scribe": BOTS["scribe"], "steward": BOTS["steward"]}
    homeserver = Homeserver(
        tmp_path_factory.mktemp("silent"),
        modules=module(bots=bots, heartbeat_timeout="1s"),
        bots=("charter-scribe", "charter-steward"),
    )
    try:
        homeserver.start()
        scribe, steward = homeserver.bot("charter-scribe"), homeserver.bot("charter-steward")

        def alarms() -> list[str]:
            assert scribe.request("POST", f"{API}/heartbeat", {"healthy": True}).status == 200
            records = steward.request("GET", f"{API}/outbox").body["records"]
            return [r["body"]["bot"] for r in records if r["kind"] == "alarm" and r["body"]["code"] == "bot-silent"]

        assert until(alarms, "the steward's silence is noticed", within=40) == ["steward"]
    finally:
        homeserver.stop()
