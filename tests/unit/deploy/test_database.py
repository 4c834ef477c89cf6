"""Whether Synapse can use a database: one clear error for each thing that is wrong with it."""

from __future__ import annotations

import re
from importlib import util
from typing import TYPE_CHECKING

import psycopg2
import pytest

from deploy import database, parts
from deploy.errors import DeployError, MissingProgramError
from tests.harness.ports import free_ports
from tests.harness.postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a PostgreSQL with databases that Synapse can and cannot use."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        address = f"postgresql://postgres@127.0.0.1:{postgres.port}"
        connection = psycopg2.connect(f"{address}/postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name, terms in DATABASES.items():
                cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 {terms}")
        connection.close()
        yield address


DATABASES = {
    "good": database.CREATE.partition("template0 ")[2],
    "collated": "ENCODING 'UTF8' LOCALE 'C.UTF-8'",
    "latin": "ENCODING 'LATIN1' LOCALE 'C'",
}


def test_a_good_database_passes(server: str) -> None:
    """What the advice of an error says to make is what is wanted."""
    database.check(f"{server}/good")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("collated", "Synapse cannot use this database: its collation is C.UTF-8"),
        ("latin", "its encoding is LATIN1, and must be UTF8"),
        ("missing", 'database "missing" does not exist'),
    ],
)
def test_a_database_that_synapse_would_refuse(server: str, name: str, said: str) -> None:
    """The error says what is wrong with it, and nothing of the connection's secrets."""
    with pytest.raises(DeployError, match=re.escape(said)):
        database.check(f"{server}/{name}")


def test_nobody_listens() -> None:
    """A refused connection is an error of its own, which does not show the password."""
    (port,) = free_ports(1)
    with pytest.raises(DeployError, match="Connection refused") as caught:
        database.check(f"postgresql://synapse:hidden@127.0.0.1:{port}/synapse")
    assert "hidden" not in f"{caught.value.message}{caught.value.advice}"


def test_a_url_that_cannot_be_read() -> None:
    """A broken URL is not repeated: it may hold a password."""
    with pytest.raises(DeployError, match="cannot be read") as caught:
        database.check("postgresql://synapse:hidden@127.0.0.1:port/synapse?nonsense=1")
    assert "hidden" not in f"{caught.value.message}{caught.value.advice}"


def test_without_psycopg2_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL needs a package that SQLite does not."""
    present = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "psycopg2" else present(name))
    parts.require_programs(embedded_directory=False, workers=0, postgresql=False)
    with pytest.raises(MissingProgramError) as caught:
        parts.require_programs(embedded_directory=False, workers=0, postgresql=True)
    assert "pip install 'charter[postgres]'" in (caught.value.advice or "")
