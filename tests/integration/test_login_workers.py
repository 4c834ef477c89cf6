"""Log-on on a Synapse of several processes with PostgreSQL and Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from click.testing import CliRunner

from synapse_modules.cli import directory
from tests.harness.company import GROUPS, PEOPLE
from tests.harness.office import POLICY, Office
from tests.harness.postgres import running_postgres, running_redis
from tests.harness.synapse import Client
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
PROCESSES = ("main", "worker1", "worker2")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A main process and two workers; the first worker runs the background tasks."""
    folder = tmp_path_factory.mktemp("office")
    with running_postgres(folder / "postgres") as postgres, running_redis(folder / "redis") as redis:
        database = postgres.create("synapse")
        with Office(folder, workers=2, database=database, redis=redis) as office:
            office.gate.apply(POLICY)
            until(lambda: office.gate.records("directory"), "the directory is read")
            yield office


def statuses(office: Office, client: Client) -> set[int]:
    """Return what each process answers to a token."""
    urls = [office.gate.homeserver.url(process) for process in PROCESSES]
    return {Client(url, client.token).get("/account/whoami").status for url in urls}


def test_a_log_on_on_any_process_holds_on_all(office: Office) -> None:
    """The lifetime that one process writes is the one that the others enforce."""
    for process in PROCESSES:
        answer = office.log_on("alice", process=process)
        assert (answer.status, 35_900_000 < answer.body.get("expires_in_ms", 0) <= 36_000_000) == (200, True)
    office.gate.apply(POLICY.replace("lifetime: 10h", "lifetime: 3s"))
    bob = office.client("bob", process="worker2")
    assert statuses(office, bob) == {200}
    until(lambda: statuses(office, bob) == {401}, "every process refuses the expired token")
    office.record("logoff", device=bob.device_id, reason="expired")
    office.gate.apply(POLICY)


def test_somebody_new_is_known_to_every_process(office: Office) -> None:
    """The snapshot that one process completes reaches the others."""
    dn = f"uid=newcomer,{PEOPLE}"
    office.slapd.add(dn, ["inetOrgPerson"], {"cn": "New", "sn": "New", "userPassword": "newcomer-secret"})
    office.slapd.modify(f"cn=desk,{GROUPS}", {"member": [("MODIFY_ADD", [dn])]})
    answer = office.log_on("newcomer", process="worker2")
    assert 35_900_000 < answer.body.get("expires_in_ms", 0) <= 36_000_000

    def everywhere() -> bool:
        answers = [office.log_on("newcomer", process=process) for process in PROCESSES]
        return all(answer.body.get("expires_in_ms", 0) > 35_900_000 for answer in answers)

    until(everywhere, "every process gives the lifetime of the group")


def test_a_leaver_is_logged_off_everywhere(office: Office) -> None:
    """The background worker ends the sessions, and no process serves their tokens any more."""
    office.slapd.add(f"uid=leaver,{PEOPLE}", ["inetOrgPerson"], {"cn": "L", "sn": "L", "userPassword": "leaver-secret"})
    leaver = office.client("leaver", process="worker2")
    assert statuses(office, leaver) == {200}
    office.slapd.delete(f"uid=leaver,{PEOPLE}")
    until(lambda: statuses(office, leaver) == {401}, "no process serves the leaver")
    record = office.record("logoff", actor="@leaver:acme.example")
    assert record["body"]["reason"] == "left the directory"


def test_the_command_line_reaches_postgresql(office: Office) -> None:
    """`charter directory` reads the same database as Synapse."""
    config = str(office.gate.homeserver.folder / "homeserver.yaml")
    synced = CliRunner().invoke(directory, ["sync", "--config", config, "--json"])
    assert synced.exit_code == 0, synced.output
    shown = orjson.loads(CliRunner().invoke(directory, ["show", "alice", "--config", config, "--json"]).output)
    assert shown["in_step"], shown
