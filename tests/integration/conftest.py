"""The whole company, started once for every test that only lives in it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.harness.deployment import Deployment
from tests.harness.postgres import running_postgres, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=["workers", "monolith"])
def company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return a running demo: main and two workers on PostgreSQL and Redis, or Synapse alone on SQLite.

    The last one runs until the session ends; it is the lighter.
    """
    folder = tmp_path_factory.mktemp(f"whole-{request.param}")
    with ExitStack() as stack:
        deployment = Deployment(folder / "var")
        if request.param == "workers":
            database = stack.enter_context(running_postgres(folder / "postgres")).create("synapse")
            redis = stack.enter_context(running_redis(folder / "redis"))
            words = ("--workers", "2", "--database", database.replace("+psycopg2", ""), "--redis", redis)
            deployment = Deployment(folder / "var", words, database)
        stack.callback(deployment.down)
        deployment.up()
        yield deployment
