"""Alembic migrations of the ledger's database; `ledger.database` runs them."""
