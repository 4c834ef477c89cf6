"""A policy is applied to a real Synapse: good, bad, old, at once, and across restarts."""

from __future__ import annotations

import functools
import json
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from charter.bundle import Bundle, sign
from charter.policy.parse import load_files
from deploy.apply_cli import API, apply, apply_policy_set
from deploy.errors import DeployError
from deploy.keys import generate_admin_key, load_admin_key
from tests.harness.postgres import running_postgres, running_redis
from tests.harness.synapse import Client, Homeserver, Response
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from charter.policy.policy_set import PolicySet

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: "#help:acme.example"}
groups: {leads: {users: ["@ada:acme.example"]}}
grants:
  - {id: everyone-chats, to: [everyone], allow: [chat.*]}
compliance: {readers: [leads], approvers: ["@max:acme.example"]}
limits: [{id: usual, to: [everyone], max_file: 50MB, messages: 60/min}]
sessions: [{id: office, to: [everyone], lifetime: 10h}]
"""
MORE = POLICY.replace(
    "allow: [chat.*]}", "allow: [chat.*, call.voice]}\n  - {id: leads-files, to: [leads], allow: [file.*]}"
)
WITHIN = 2.0


def policy(text: str) -> PolicySet:
    """Parse a policy of one file."""
    result = load_files({"policy.yaml": text.encode()})
    assert result.policy_set is not None, result.diagnostics
    return result.policy_set


class Company:
    """A Synapse, the admin's key and the scribe's client."""

    def __init__(
        self, folder: Path, *, workers: int = 0, database: str | None = None, redis: str | None = None
    ) -> None:
        self.key_file = folder / "keys" / "admin.key"
        config = {
            "policy_keys": {"admin": generate_admin_key(self.key_file)},
            "bots": {"scribe": "@charter-scribe:acme.example"},
        }
        self.server = Homeserver(
            folder / "synapse",
            modules=[{"module": "synapse_modules.custody.Custody", "config": config}],
            bots=("charter-scribe",),
            workers=workers,
            database=database,
            redis=redis,
        )

    @property
    def key(self) -> Ed25519PrivateKey:
        """The admin's key."""
        return load_admin_key(self.key_file)

    @property
    def anyone(self) -> Client:
        """A client without a token."""
        return Client(self.server.base_url)

    def head(self) -> dict[str, Any]:
        """What is in force."""
        answer: dict[str, Any] = self.anyone.request("GET", f"{API}/bundle/head").body
        return answer

    def signed(self, text: str, key: Ed25519PrivateKey | None = None, key_id: str = "admin", **header: Any) -> Bundle:
        """Sign a policy on top of the one in force."""
        head = self.head()
        fields: dict[str, Any] = {"sequence": head["sequence"] + 1, "previous": head["digest"], "stage": "enforce"}
        return sign(policy(text), key or self.key, key_id, created_at=int(time.time()), **(fields | header))

    def put(self, body: bytes) -> Response:
        """Send a bundle."""
        return self.anyone.request("PUT", f"{API}/bundle", body)

    def apply(self, text: str) -> Any:
        """Apply as `charter apply` does."""
        return apply_policy_set(
            policy(text), homeserver=self.server.base_url, key=self.key_file, key_id="admin", stage="enforce", wait=20
        )

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the scribe's pending records of a kind."""
        answer = self.server.bot("charter-scribe").request("GET", f"{API}/outbox", query={"limit": "1000"})
        return [record for record in answer.body["records"] if record["kind"] == kind]


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    """Return a fresh company that runs."""
    made = Company(tmp_path)
    try:
        made.server.start()
        yield made
    finally:
        made.server.stop()


def test_good_policy_is_in_force_within_two_seconds_and_recorded(company: Company) -> None:
    """Each apply is judged by everywhere within 2 s, and its record says what changed."""
    first = company.apply(POLICY)
    assert (first.changed, first.sequence, first.judging, first.behind) == (True, 1, 1, ())
    assert first.rules["added"] == sorted([
        "compliance.approvers", "compliance.readers", "everyone-chats", "group:leads", "office", "organisation.contact",
        "organisation.name", "organisation.server_name", "usual", "version",
    ])  # fmt: skip
    second = company.apply(MORE)
    assert second.seconds < WITHIN
    assert second.rules == {"added": ["leads-files"], "removed": [], "changed": ["everyone-chats"]}
    again = company.apply(MORE)
    assert (again.changed, again.sequence) == (False, 2)
    record = company.records("policy")[-1]["body"]
    expected = {"before": policy(POLICY).digest, "after": policy(MORE).digest, "sequence": 2, "key_id": "admin"}
    assert expected.items() <= record.items()
    assert record["diff"]["everyone-chats"]["after"]["allow"] == ["chat.*", "call.voice"]
    scribe = company.server.bot("charter-scribe")
    bundle = scribe.request("GET", f"{API}/bundle")
    assert Bundle.from_json(orjson.dumps(bundle.body)).digest == policy(MORE).digest
    assert scribe.request("GET", f"{API}/bundle", headers={"If-None-Match": bundle.headers["ETag"]}).status == 304
    assert scribe.request("GET", f"{API}/health").body["policy"]["sequence"] == 2


def test_bad_bundles_change_nothing_and_are_recorded(company: Company) -> None:
    """Wrong signature, unknown key, changed content, nonsense, old number, another predecessor: refused, last good stays."""
    company.apply(POLICY)
    before = company.head()
    good = orjson.loads(company.signed(MORE).to_json())
    other = company.signed(POLICY.replace("ACME", "Other"))
    swapped = good | {"payload": orjson.loads(other.to_json())["payload"]}
    stranger = Ed25519PrivateKey.generate()
    bad = {
        "stranger's key": company.signed(MORE, stranger).to_json(),
        "unknown key id": company.signed(MORE, key_id="nobody").to_json(),
        "another content": orjson.dumps(swapped),
        "another stage": orjson.dumps(good | {"stage": "shadow"}),
        "no JSON": b"{",
        "an empty object": b"{}",
        "no bundle": orjson.dumps([1, 2]),
    }
    for name, body in bad.items():
        answer = company.put(body)
        assert (answer.status, answer.body["errcode"]) == (400, "CHARTER_BAD_BUNDLE"), (name, answer)
        assert "Traceback" not in answer.body["error"]
    old = {
        "same number": company.signed(MORE, sequence=1),
        "another predecessor": company.signed(MORE, previous="0" * 64),
        "no predecessor": company.signed(MORE, previous=""),
    }
    for name, bundle in old.items():
        answer = company.put(bundle.to_json())
        assert (answer.status, answer.body["errcode"]) == (409, "CHARTER_OLD_BUNDLE"), (name, answer)
    assert before == company.head()
    assert "admin" in until(
        lambda: [r["body"]["key_id"] for r in company.records("policy-refused")], "the refusal is recorded"
    )


def test_replayed_bundle_is_refused(company: Company) -> None:
    """A bundle that was in force once cannot come back by being sent again."""
    bundle = company.signed(POLICY).to_json()
    assert company.put(bundle).status == 200
    company.apply(MORE)
    assert company.put(bundle).status == 409


def test_of_concurrent_applies_exactly_one_wins(company: Company) -> None:
    """Eight bundles that follow the same policy: one is stored, the others hear that they are late."""
    bundles = [company.signed(POLICY.replace("ACME", f"ACME {n}"), sequence=n + 1).to_json() for n in range(8)]
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda b=b: statuses.append(_insisting(company, b))) for b in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [200, *[409] * 7] == sorted(statuses)
    assert len(company.records("policy")) == 1


def _insisting(company: Company, body: bytes) -> int:
    def put() -> int:
        status = company.put(body).status
        return 0 if status == 429 else status

    return until(put, "an answer other than `later`")


def test_last_good_survives_restart_and_tampering(company: Company) -> None:
    """After a crash the stored policy is verified and in force at once; a forged newer row is passed over and recorded."""
    applied = company.apply(POLICY)
    forged = company.signed(MORE, Ed25519PrivateKey.generate())
    company.server.kill()
    with closing(sqlite3.connect(company.server.folder / "homeserver.db")) as database:
        database.execute(
            "INSERT INTO charter_bundle VALUES (?, ?, ?, ?, ?)",
            (forged.sequence, forged.digest, forged.stage, forged.to_json().decode(), 1),
        )
        database.commit()
    company.server.start()
    health = company.server.bot("charter-scribe").request("GET", f"{API}/health").body
    assert health["policy"]["digest"] == applied.policy
    refused = until(lambda: company.records("policy-refused"), "the forged row is recorded")
    assert forged.sequence == refused[-1]["body"]["sequence"]
    assert company.server.bot("charter-scribe").request("GET", f"{API}/bundle").body["digest"] == applied.policy


def test_apply_says_what_is_wrong(company: Company, tmp_path: Path) -> None:
    """No server, a server without Charter's key, and a lost race each give one clear error."""
    generate_admin_key(tmp_path / "other.key")
    with pytest.raises(DeployError, match="not acceptable"):
        apply_policy_set(
            policy(POLICY),
            homeserver=company.server.base_url,
            key=tmp_path / "other.key",
            key_id="admin",
            stage="enforce",
            wait=1,
        )
    company.server.stop()
    with pytest.raises(DeployError, match="Nothing answers"):
        company.apply(POLICY)


def test_person_sees_what_holds_for_them(company: Company) -> None:
    """`me` and `readers` are resolved from the policy."""
    company.apply(MORE)
    ada = company.server.user("ada")
    me = ada.request("GET", f"{API}/me").body
    allowed = {feature["id"] for feature in me["features"] if feature["allowed"]}
    assert {"chat.text", "call.voice", "file.image"} <= allowed
    assert "call.video" not in allowed
    assert ("@ada:acme.example", policy(MORE).digest, ["@ada:acme.example"]) == (
        me["user"],
        me["policy"],
        me["readers"],
    )
    assert (me["limits"]["messages"], me["session"]["lifetime"]) == ("60/min", 36000)
    people = company.server.bot("charter-scribe").request("GET", f"{API}/readers").body
    assert people == {"readers": ["@ada:acme.example"], "approvers": ["@max:acme.example"]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Return a company on PostgreSQL and Redis: main and two workers, started all at once on an empty database."""
    folder = tmp_path_factory.mktemp("cluster")
    with running_postgres(folder / "postgres") as postgres, running_redis(folder / "redis") as redis:
        made = Company(folder, workers=2, database=postgres.create("synapse"), redis=redis)
        try:
            made.server.start()
            yield made
        finally:
            made.server.stop()


def test_every_worker_judges_by_a_policy_within_two_seconds(cluster: Company) -> None:
    """Three processes on PostgreSQL: an apply through one is in force on all, and each names itself."""
    applied = cluster.apply(POLICY)
    assert (applied.judging, applied.behind) == (3, ())
    assert applied.seconds < WITHIN
    again = cluster.apply(MORE)
    assert again.seconds < WITHIN
    for name in ("main", "worker1", "worker2"):
        scribe = cluster.server.bot("charter-scribe", process=name)
        assert scribe.request("GET", f"{API}/bundle").body["digest"] == policy(MORE).digest, name
    processes = cluster.server.bot("charter-scribe").request("GET", f"{API}/processes").body["processes"]
    assert [p["instance"] for p in processes] == ["master", "worker1", "worker2"]


def test_processes_that_start_at_once_create_the_tables_once(cluster: Company) -> None:
    """Main and workers on a database without Charter's tables, all started at the same moment: none fails."""
    cluster.server.stop()
    database = sa.create_engine(cluster.server.database or "")
    tables = ("bundle", "directory", "outbox", "outbox_pending", "processes", "notes")
    with database.begin() as connection:
        for table in tables:
            connection.execute(sa.text(f"DROP TABLE charter_{table}"))
    database.dispose()
    for name in cluster.server.ports:
        cluster.server.start_process(name)
    for name in cluster.server.ports:
        until(functools.partial(cluster.server._healthy, name), f"{name} is healthy", within=60)
    assert cluster.apply(POLICY).sequence == 1
    judging = "all three judge"
    until(
        lambda: (
            cluster.anyone.request("GET", f"{API}/processes", query={"digest": policy(POLICY).digest}).body["judging"]
            == 3
        ),
        judging,
    )


def test_concurrent_applies_through_several_processes_have_one_winner(cluster: Company) -> None:
    """Two processes on PostgreSQL get bundles that follow the same policy: exactly one is stored."""
    cluster.apply(POLICY)
    sequence = cluster.head()["sequence"]
    clients = [Client(cluster.server.url(name)) for name in ("main", "worker1", "worker2")] * 2
    bundles = [cluster.signed(POLICY.replace("ACME", f"A{n}"), sequence=sequence + 1 + n).to_json() for n in range(6)]
    statuses: list[int] = []

    def send(client: Client, body: bytes) -> None:
        def put() -> int:
            status = client.request("PUT", f"{API}/bundle", body).status
            return 0 if status == 429 else status

        statuses.append(until(put, "an answer other than `later`"))

    threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, bundles, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [200, *[409] * 5] == sorted(statuses)


def test_killed_worker_is_named_and_catches_up(cluster: Company) -> None:
    """An apply while a worker is dead says who is behind; the worker judges by it as soon as it is back."""
    cluster.apply(POLICY)
    cluster.server.kill("worker2")
    applied = apply_policy_set(
        policy(MORE), homeserver=cluster.server.base_url, key=cluster.key_file, key_id="admin", stage="enforce", wait=2
    )
    assert (applied.behind, applied.judging) == (("worker2",), 2)
    cluster.server.start_process("worker2")

    def caught_up() -> bool:
        answer = cluster.anyone.request("GET", f"{API}/processes", query={"digest": policy(MORE).digest})
        return (answer.body["behind"], answer.body["judging"]) == (0, 3)

    until(caught_up, "worker2 judges by the policy", within=30)


def test_command_checks_tests_and_applies(company: Company, tmp_path: Path) -> None:
    """`charter apply` refuses a policy with errors or failing scenarios, applies a good one, and says so for programs."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.yaml").write_text(POLICY.replace("allow: [chat", "alow: [chat"))
    where = ["--homeserver", company.server.base_url, "--key", str(company.key_file), "--json"]

    def run(*more: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(apply, [str(folder), *where, *more], standalone_mode=False)
        assert result.exception is None, result.output
        return result.return_value, json.loads(result.stdout)

    code, found = run()
    assert (code, found["ok"]) == (1, False)
    assert found["diagnostics"][0]["line"] == 6
    scenario = '{name: text, user: "@ada:acme.example", feature: chat.text, expect: %s}'
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "a.test.yaml").write_text(f"cases:\n  - {scenario % 'deny'}\n")
    code, found = run("--tests", "require")
    assert (code, found["cases"][0]["name"]) == (1, "text")
    assert company.head()["sequence"] == 0
    code, found = run("--stage", "shadow")
    assert (code, found["ok"], found["sequence"], found["stage"]) == (0, True, 1, "shadow")
    (folder / "a.test.yaml").write_text(f"cases:\n  - {scenario % 'allow'}\n")
    code, found = run()
    assert (code, found["sequence"], found["stage"], found["changed"]) == (0, 2, "enforce", True)
    code, found = run()
    assert (code, found["sequence"], found["changed"]) == (0, 2, False)
    result = CliRunner().invoke(apply, [str(folder), "--state", str(tmp_path / "nowhere")], standalone_mode=False)
    assert result.return_value == 2
    assert "There is no deployment" in result.stderr
