"""The scribe: journals every event of every room and drains custody's outbox into the ledger."""
