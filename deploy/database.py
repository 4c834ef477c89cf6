"""Whether Synapse can use a PostgreSQL database: asked before anything is started, answered in one sentence."""

from __future__ import annotations

from deploy.errors import DeployError

CONNECT_SECONDS = 5
OLDEST = 140000
"""Synapse's oldest PostgreSQL, as libpq writes versions."""
CREATE = "CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"


def check(url: str) -> None:
    """Connect to a database and look whether Synapse can use it.

    Raises:
        DeployError: it cannot; says why, without the URL, which may hold a password.
    """
    import psycopg2  # noqa: PLC0415 - only a deployment with PostgreSQL has it

    try:
        connection = psycopg2.connect(url, connect_timeout=CONNECT_SECONDS)
    except psycopg2.ProgrammingError:
        msg = "The --database URL cannot be read."
        raise DeployError(msg, advice="It must look like postgresql://user:password@host:5432/name.") from None
    except (psycopg2.Error, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())
        msg = f"PostgreSQL does not let Synapse in: {words or type(error).__name__}"
        raise DeployError(
            msg, advice="Is the server up, and are user, password and database those of --database?"
        ) from None
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database"
                " WHERE datname = current_database()"
            )
            encoding, collation, kinds = cursor.fetchone() or ("", "", "")
            version = connection.server_version
    except psycopg2.Error as error:
        msg = f"PostgreSQL does not answer as it should: {' '.join(str(error).split())}"
        raise DeployError(msg) from None
    finally:
        connection.close()
    if problem := _problem(version, encoding, collation, kinds):
        msg = f"Synapse cannot use this database: {problem}."
        raise DeployError(msg, advice=f"Make one with: {CREATE}")


def _problem(version: int, encoding: str, collation: str, kinds: str) -> str:
    """Return what Synapse would refuse at its start, or nothing."""
    if version < OLDEST:
        return f"PostgreSQL is {version // 10000}, and must be 14 or later"
    if encoding != "UTF8":
        return f"its encoding is {encoding}, and must be UTF8"
    if (collation, kinds) != ("C", "C"):
        return f"its collation is {collation} and its character type {kinds}; both must be C"
    return ""
