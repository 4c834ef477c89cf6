"""Runs the migrations on the connection, and in the transaction, that `ledger.database` hands over."""

from __future__ import annotations

from alembic import context

from ledger.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
