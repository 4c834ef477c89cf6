"""Logs, records, tiles and the writers' state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the first schema."""
    op.create_table(
        "ledger_logs",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("frontier", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_records",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("room", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("body", sa.Text),
        sa.Column("salt", sa.LargeBinary),
        sa.Column("commitment", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ledger_records_id", "ledger_records", ["id"], unique=True)
    op.create_index("ledger_records_log", "ledger_records", ["log", "index"], unique=True)
    for column in ("kind", "time", "room", "actor", "subject"):
        op.create_index(f"ledger_records_{column}", "ledger_records", [column, "position"])
    op.create_table(
        "ledger_tiles",
        sa.Column("log", sa.Text, primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_state",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Refuses: a ledger is never taken apart.

    Raises:
        RuntimeError: always.
    """
    message = "the first schema of the ledger is not downgraded: its tables hold evidence"
    raise RuntimeError(message)
