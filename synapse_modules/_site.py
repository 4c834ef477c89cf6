"""An installation seen from the command line: its configuration, and Charter's tables in Synapse's database."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa
import sqlalchemy.exc
import yaml
from pydantic import ValidationError

from charter.bundle import Bundle, BundleError
from charter.directory import DirectorySnapshot
from charter.policy.policy_set import PolicySet
from synapse_modules._directory_table import REQUEST, STATUS
from synapse_modules._login_config import LoginConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from charter.policy.model import Policy


class SiteError(Exception):
    """The installation cannot be found or read; `path` says where."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


@dataclass(frozen=True)
class Site:
    """One installation.

    Attributes:
        path: the configuration file.
        server_name: the Matrix server name.
        login: the `login:` block.
        database: driver and arguments of Synapse's database; None where the file does not name one.
    """

    path: Path
    server_name: str
    login: LoginConfig
    database: tuple[sa.URL, dict[str, Any]] | None

    def snapshot(self) -> DirectorySnapshot | None:
        """Return the stored snapshot, or None."""
        row = self._one("SELECT snapshot, taken_at FROM charter_directory WHERE name = 'current'")
        if row is None:
            return None
        return dataclasses.replace(DirectorySnapshot.from_json(row[0].encode()), taken_at=row[1] / 1000)

    def policy(self) -> Policy | None:
        """Return the newest stored policy, unverified: only to know which attributes it names."""
        row = self._one("SELECT bundle FROM charter_bundle ORDER BY sequence DESC LIMIT 1")
        if row is None:
            return None
        try:
            return PolicySet.from_canonical(Bundle.from_json(row[0]).payload).policy
        except (BundleError, KeyError, ValueError):
            return None

    def ask_for_sync(self, *, accept_shrink: bool) -> int:
        """Ask Synapse's background worker for a reading and return the request's number."""
        at = int(time.time() * 1000)
        value = orjson.dumps({"at": at, "accept_shrink": accept_shrink}).decode()
        statement = sa.text(
            "INSERT INTO charter_notes (name, value) VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        )
        with self._connected() as connection:
            connection.execute(statement, {"name": REQUEST, "value": value})
        return at

    def sync_status(self) -> dict[str, Any] | None:
        """Return how the last reading went, or None before the first."""
        row = self._one("SELECT value FROM charter_notes WHERE name = :name", name=STATUS)
        return None if row is None else orjson.loads(row[0])

    def _one(self, statement: str, **values: str) -> tuple[Any, ...] | None:
        with self._connected() as connection:
            row = connection.execute(sa.text(statement), values).first()
        return None if row is None else tuple(row)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Yield a connection inside a transaction.

        Raises:
            SiteError: no database, none that can be reached, or one that Charter has not been in.
        """
        if self.database is None:
            reason = "names no database; give --config homeserver.yaml"
            raise SiteError(self.path, reason)
        url, arguments = self.database
        engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool)
        try:
            with engine.begin() as connection:
                yield connection
        except sqlalchemy.exc.SQLAlchemyError as error:
            reason = f"Synapse's database: {getattr(error, 'orig', None) or error}"
            raise SiteError(self.path, reason) from error


def open_site(config: Path | None, state: Path) -> Site:
    """Open the installation of a configuration file, or of `charter up`'s state directory.

    Raises:
        SiteError: no such file, no `login:` block in it, or one that is not valid.
    """
    path = config or state / "synapse" / "homeserver.yaml"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"{error.strerror}: give --config or --state"
        raise SiteError(path, reason) from error
    except yaml.YAMLError as error:
        raise SiteError(path, str(error)) from error
    block = _block(raw)
    if not isinstance(block, dict):
        reason = "no `login:` block of Charter's modules in it"
        raise SiteError(path, reason)
    try:
        login = LoginConfig.model_validate(block)
    except ValidationError as error:
        problems = (
            f"login.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)
        )
        raise SiteError(path, "; ".join(problems)) from error
    return Site(path, str(raw.get("server_name", "")), login, _database(raw.get("database"), path))


def _block(raw: Any) -> Any:
    """Find the `login:` block in homeserver.yaml, or in a file with Charter's block alone."""
    if not isinstance(raw, dict):
        return None
    for module in raw.get("modules") or ():
        found = (module.get("config") or {}).get("login")
        if str(module.get("module", "")).startswith("synapse_modules.") and found:
            return found
    return raw.get("login")


def _database(raw: Any, path: Path) -> tuple[sa.URL, dict[str, Any]] | None:
    """Return what Synapse would hand to the driver, without the settings of its connection pool."""
    if not isinstance(raw, dict):
        return None
    arguments = {key: value for key, value in (raw.get("args") or {}).items() if not key.startswith("cp_")}
    if raw.get("name") == "sqlite3":
        return sa.URL.create("sqlite", database=str(path.parent / arguments["database"])), {}
    return sa.URL.create("postgresql+psycopg2"), arguments
