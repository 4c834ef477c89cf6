"""The two databases a ledger can live in: engines, durability, the schema, and the lock that gives a log one writer.

SQLite runs in WAL mode with `synchronous=FULL`: what `append` returned is on the disk, and readers never wait for the
writer. PostgreSQL commits synchronously, whatever its configuration says.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from ledger.errors import LedgerBusyError, LedgerError, LedgerOpenError
from ledger.tables import SCHEMA_REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY_SECONDS: Final = 30
_LOG_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_MIGRATION: Final = "~schema"  # no log can have this name


class Database:
    """One ledger's database: an engine that reads, and connections that write."""

    def __init__(self, url: sa.URL, *, read_only: bool) -> None:
        """Prepares the engines; nothing is opened yet.

        Args:
            url: `sqlite:///PATH` or `postgresql://…`.
            read_only: never write, migrate or lock.

        Raises:
            LedgerOpenError: neither SQLite in a file nor PostgreSQL.
        """
        self.url = url
        self.read_only = read_only
        self.sqlite = url.get_backend_name() == "sqlite"
        if self.sqlite:
            if url.database in (None, "", ":memory:"):
                raise LedgerOpenError(str(url), "a ledger in memory keeps nothing; name a file")
            self.path = Path(str(url.database)).absolute()
            self.reader = _sqlite_engine(self.path, read_only=True)
            self.writer = None if read_only else _sqlite_engine(self.path, read_only=False)
        elif url.get_backend_name() == "postgresql":
            self.reader = _postgres_engine(url, read_only=True)
            self.writer = None if read_only else _postgres_engine(url, read_only=False)
        else:
            raise LedgerOpenError(str(url), "only SQLite and PostgreSQL are supported")

    def prepare(self) -> None:
        """Brings the schema up to date (a reader only checks it).

        Raises:
            LedgerOpenError: there is no ledger to read, or its schema is of another version, or no database answers.
        """
        if self.read_only and self.sqlite and not self.path.exists():
            raise LedgerOpenError(str(self.url), "no such file")
        try:
            if self.writer is not None and self.sqlite:
                self._create_file()
            if self.writer is not None and self._revision(self.writer) != SCHEMA_REVISION:
                self._migrate(self.writer)
            found = self._revision(self.reader)
        except sa.exc.DBAPIError as error:
            raise LedgerOpenError(str(self.url), str(error.orig).strip()) from error
        except OSError as error:
            raise LedgerOpenError(str(self.url), str(error)) from error
        if found is None:
            raise LedgerOpenError(str(self.url), "there is no ledger in this database")
        if found != SCHEMA_REVISION:
            raise LedgerOpenError(str(self.url), f"its schema is {found}, this program reads {SCHEMA_REVISION}")

    def claim(self, log: str) -> Claim:
        """Takes the right to write a log, and a connection to do it with.

        Raises:
            LedgerError: this ledger is open for reading, or the name is none.
            LedgerBusyError: somebody else writes this log.
        """
        if self.writer is None:
            message = "the ledger is open for reading only"
            raise LedgerError(message)
        if not _LOG_NAME.match(log):
            message = f"{log!r} is no name of a log: lower-case letters, digits, '.', '_' and '-', at most 64"
            raise LedgerError(message)
        connection = self.writer.connect()
        try:
            if self.sqlite:
                return Claim(connection, _lock_file(self._lock_path(log), lambda: LedgerBusyError(log)))
            _lock_session(connection, log)
            return Claim(connection, None)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Closes every pooled connection."""
        self.reader.dispose()
        if self.writer is not None:
            self.writer.dispose()

    def _create_file(self) -> None:
        """Creates the file for its owner alone; SQLite gives its side files the same mode."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))

    def _lock_path(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}.lock")

    @staticmethod
    def _revision(engine: sa.Engine) -> str | None:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(VERSION_TABLE):
                return None
            revision: str | None = connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - a constant
            return revision

    def _migrate(self, engine: sa.Engine) -> None:
        """Runs the migrations in one transaction, one process at a time."""
        # Imported here: a process that finds the schema up to date need not load Alembic.
        from alembic import command  # noqa: PLC0415 - see above
        from alembic.config import Config  # noqa: PLC0415 - see above
        from alembic.util import CommandError  # noqa: PLC0415 - see above

        config = Config()
        config.set_main_option("script_location", "ledger:migrations")
        config.set_main_option("path_separator", "os")
        with self._migration_lock(engine) as connection, connection.begin():
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise LedgerOpenError(str(self.url), f"its schema is of a later version ({error})") from error

    @contextlib.contextmanager
    def _migration_lock(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        with engine.connect() as connection:
            if self.sqlite:
                lock = _lock_file(self._lock_path(_MIGRATION), None)
                try:
                    yield connection
                finally:
                    os.close(lock)
            else:
                connection.execute(sa.select(sa.func.pg_advisory_lock(_advisory_key(_MIGRATION))))
                connection.commit()
                yield connection  # the lock goes with the connection, which is never pooled


class Claim:
    """The right to write one log, and the connection that goes with it.

    On PostgreSQL the lock belongs to the session of this very connection: a writer that lost its connection has lost
    its right as well and must claim anew, so two writers can never both believe that they hold it.
    """

    def __init__(self, connection: sa.Connection, lock: int | None) -> None:
        self.connection = connection
        self._lock = lock

    def release(self) -> None:
        """Gives the right back."""
        self.connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock_file(path: Path, busy: Callable[[], LedgerError] | None) -> int:
    """Locks a file until its descriptor is closed or the process ends, however it ends; waits if `busy` is None."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
    except BlockingIOError:
        os.close(descriptor)
        assert busy is not None  # without it flock waits
        raise busy() from None
    return descriptor


def _lock_session(connection: sa.Connection, log: str) -> None:
    """Locks a log for as long as this session of PostgreSQL lives."""
    if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(_advisory_key(log)))):
        raise LedgerBusyError(log)
    connection.commit()


def _advisory_key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"charter-ledger/{name}".encode()).digest()[:8], "big", signed=True)


def _sqlite_engine(path: Path, *, read_only: bool) -> sa.Engine:
    query = {"mode": "ro" if read_only else "rw", "uri": "true"}
    if (
        read_only
        and path.exists()
        and not (os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists())
    ):
        query["immutable"] = (
            "1"  # a copy on a read-only medium: nobody writes, and SQLite could not make its side files
        )
    url = sa.URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
    pool: dict[str, Any] = {} if read_only else {"poolclass": NullPool}
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **pool)
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @sa.event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where SQLAlchemy says, not where the driver guesses
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    options = "-c synchronous_commit=on -c client_encoding=UTF8"
    if read_only:
        options += " -c default_transaction_read_only=on"
    pool: dict[str, Any] = {"pool_pre_ping": True} if read_only else {"poolclass": NullPool}
    isolation: Any = "REPEATABLE READ" if read_only else "READ COMMITTED"
    return sa.create_engine(url, connect_args={"options": options}, isolation_level=isolation, **pool)
