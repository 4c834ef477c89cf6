"""Crashes at any point: nothing that was acknowledged is lost, nothing is doubled. On SQLite and on PostgreSQL."""

from __future__ import annotations

import random
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import sqlalchemy as sa

from ledger.errors import LedgerBusyError
from ledger.record import Record
from ledger.store import Ledger, open_ledger
from tests.harness.postgres import Postgres, running_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KILLS = 32
WRITER = Path(__file__).with_name("ledger_writer.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One PostgreSQL for the module; each test has a database of its own."""
    with running_postgres(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    cluster: Postgres = request.getfixturevalue("cluster")
    return cluster.create(f"ledger_{tmp_path.name.replace('-', '_')}".lower())


def check_invariant(url: str, acknowledged: int) -> int:
    """The one invariant: what was acknowledged is there, once, in order, unchanged, and the state fits the records.

    Returns:
        How many records there are.
    """
    with open_ledger(url, read_only=True) as ledger:
        report = ledger.verify()
        assert report.ok, report.to_json()
        ids = [entry.record.id for entry in ledger.search(limit=None)]
        assert ids == [f"r-{number:08d}" for number in range(len(ids))]
        assert acknowledged <= len(ids)
        assert int(ledger.state("next") or 0) == len(ids)
        return len(ids)


def _numbered(start: int, count: int) -> list[Record]:
    return [Record(f"r-{number:08d}", "alarm", number) for number in range(start, start + count)]


@pytest.mark.integration
def test_a_writer_killed_at_random_points(url: str) -> None:
    """SIGKILL, again and again: the next writer goes on where the acknowledged records end, at once."""
    chance = random.Random(5)  # noqa: S311 - when to kill
    acknowledged = 0
    for kill in range(KILLS):
        with subprocess.Popen(
            [sys.executable, str(WRITER), url, str(kill)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
        ) as writer:
            assert writer.stdout is not None
            for _ in range(1 + chance.randrange(6)):
                line = writer.stdout.readline()
                assert line, "the writer failed by itself"
                acknowledged = int(line)
            select.select([], [], [], chance.random() * 0.02)  # somewhere within the next appends
            writer.kill()
            rest = writer.stdout.read().split()
            acknowledged = int(rest[-1]) if rest else acknowledged
        if kill % 8 == 7:
            check_invariant(url, acknowledged)
    assert check_invariant(url, acknowledged) > KILLS


class _Broken(sa.exc.OperationalError):
    """A database that failed in the middle."""

    def __init__(self) -> None:
        super().__init__("injected", None, Exception("injected"))


def _fail_at(ledger: Ledger, step: int, *, persisted: bool) -> Callable[[], None]:
    """Makes the ledger's connection fail at its n-th statement (or at its commit, lost or persisted).

    Returns:
        What mends it again.
    """
    engine = ledger._database.writer
    assert engine is not None
    statements = 0

    def before(*_: Any) -> None:
        nonlocal statements
        statements += 1
        if statements == step:
            raise _Broken

    original = engine.dialect.do_commit

    def commit(connection: Any) -> None:
        if persisted:
            original(connection)
        else:
            engine.dialect.do_rollback(connection)
        raise _Broken

    if step:
        sa.event.listen(engine, "before_cursor_execute", before)
        return lambda: sa.event.remove(engine, "before_cursor_execute", before)
    engine.dialect.do_commit = commit  # type: ignore[method-assign, assignment]  # the fault is injected here
    return lambda: setattr(engine.dialect, "do_commit", original)


@pytest.mark.integration
def test_a_failure_at_every_step(url: str) -> None:
    """Failed and lost, at every statement and at the commit; failed but persisted: repeating the call is right."""
    with open_ledger(url) as ledger:
        following = 0
        for step, persisted in [*((step, False) for step in range(1, 12)), (0, False), (0, True)]:
            ledger.append(_numbered(following, 3), source_state={"next": str(following + 3)})
            following += 3
            batch, state = _numbered(following, 300), {"next": str(following + 300)}
            mend = _fail_at(ledger, step, persisted=persisted)
            try:
                ledger.append(batch, source_state=state)
            except sa.exc.OperationalError:
                failed = True
            else:
                failed = False
            finally:
                mend()
            assert failed or step > 6, step
            check_invariant(url, following)
            assert ledger.append(batch, source_state=state) == list(range(following, following + 300))
            following += 300
        assert check_invariant(url, following) == following


@pytest.mark.integration
def test_readers_beside_the_writer(url: str) -> None:
    """Whoever reads while records come sees whole batches only."""
    with open_ledger(url) as writer, open_ledger(url, read_only=True) as reader:
        for batch in range(20):
            writer.append(_numbered(batch * 10, 10), source_state={"next": str(batch * 10 + 10)})
            assert len(reader.search(limit=None)) == batch * 10 + 10
            assert reader.verify().ok


@pytest.mark.integration
def test_one_writer_also_between_processes(url: str) -> None:
    """While a process writes, nobody else can; as soon as it is dead, anybody."""
    with subprocess.Popen(
        [sys.executable, str(WRITER), url, "1"], stdout=subprocess.PIPE, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.stdout.readline()
        with open_ledger(url) as second, pytest.raises(LedgerBusyError):
            second.append([])
        writer.kill()
        writer.stdout.read()
    with open_ledger(url) as third:
        following = int(third.state("next") or 0)
        _claim_soon(third)
        assert third.append(_numbered(following, 1)) == [following]


def _claim_soon(ledger: Ledger) -> None:
    """Claims the log; PostgreSQL needs a moment to notice that a client has died."""
    for _ in range(100):
        try:
            ledger.claim()
        except LedgerBusyError:
            select.select([], [], [], 0.05)
        else:
            return
    pytest.fail("the dead writer still holds its log")


@pytest.mark.integration
def test_a_lost_connection_is_claimed_anew(cluster: Postgres) -> None:
    """PostgreSQL ends the writer's session: that append fails, the next one claims the log again and goes on."""
    url = cluster.create("ledger_lost_connection")
    with open_ledger(url) as ledger:
        ledger.append(_numbered(0, 5), source_state={"next": "5"})
        with psycopg2.connect(host="127.0.0.1", port=cluster.port, user="postgres", dbname="postgres") as admin:
            admin.cursor().execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'ledger_lost_connection'"
            )
        admin.close()
        with pytest.raises(sa.exc.OperationalError):
            ledger.append(_numbered(5, 5), source_state={"next": "10"})
        assert ledger.append(_numbered(5, 5), source_state={"next": "10"}) == [5, 6, 7, 8, 9]
    assert check_invariant(url, 10) == 10
