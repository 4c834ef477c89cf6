"""Exceptions of the core; each ends in `Error` and carries fields."""

from __future__ import annotations


class CharterError(Exception):
    """Something that a user can understand and mend; the command line prints it and exits with 2.

    Attributes:
        message: one sentence without a full stop.
        help: what to do about it, or "".
    """

    def __init__(self, message: str, help: str = "") -> None:  # noqa: A002 - the word that diagnostics use
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        """Return the sentence and the help."""
        return f"{self.message} ({self.help})" if self.help else self.message


class PolicyRefusedError(CharterError):
    """A policy has errors where a checked one is needed.

    Attributes:
        count: how many errors.
    """

    def __init__(self, directory: str, count: int) -> None:
        super().__init__(f"the policy in {directory} has {count} errors", f"run `charter check {directory}`")
        self.directory = directory
        self.count = count
