"""Exceptions of the ledger. Each ends in `Error` and carries the fields that a caller may want to show."""

from __future__ import annotations


class LedgerError(Exception):
    """Base of everything the ledger raises on purpose."""


class RecordError(LedgerError):
    """A record that is none: a field of the wrong type, or a body that no JSON parser could have produced.

    Attributes:
        field: the record's field that is wrong.
        problem: what is wrong with it.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field
        self.problem = problem


class LedgerBusyError(LedgerError):
    """Another process writes this log; a log has one writer.

    Attributes:
        log: name of the log.
    """

    def __init__(self, log: str) -> None:
        super().__init__(f"log {log!r} already has a writer: stop the other process first")
        self.log = log


class LedgerOpenError(LedgerError):
    """The ledger cannot be opened.

    Attributes:
        url: where it was looked for, without a password.
        problem: why it cannot be opened.
    """

    def __init__(self, url: str, problem: str) -> None:
        super().__init__(f"cannot open the ledger {url}: {problem}")
        self.url = url
        self.problem = problem


class UnknownRecordError(LedgerError):
    """No record has this id.

    Attributes:
        record_id: the id that was asked for.
    """

    def __init__(self, record_id: str) -> None:
        super().__init__(f"no record has the id {record_id!r}")
        self.record_id = record_id


class TreeError(LedgerError):
    """A tree was asked for something it does not have: a leaf beyond its size, a size beyond its end."""
