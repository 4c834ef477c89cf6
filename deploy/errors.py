"""Errors that end a command with one clear message."""

from __future__ import annotations


class DeployError(Exception):
    """A deployment cannot go on.

    Args:
        message: one sentence that says what is wrong.
        advice: what the operator can do about it, or None.
        exit_code: 1 when the policy is at fault, 2 when the tool or the machine is.
    """

    def __init__(self, message: str, *, advice: str | None = None, exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.exit_code = exit_code


class PortTakenError(DeployError):
    """Another program listens where a part of this deployment should."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} on 127.0.0.1 is taken by another program.",
            advice="Choose another with `charter up --port N`, or end the program that uses it.",
        )
        self.port = port


class MissingProgramError(DeployError):
    """A program or Python package that a part needs is not installed."""

    def __init__(self, name: str, advice: str) -> None:
        super().__init__(f"{name} is needed and is not installed.", advice=advice)
        self.name = name


class PartFailedError(DeployError):
    """A part did not become healthy in time."""

    def __init__(self, part: str, reason: str, log: str) -> None:
        super().__init__(f"The part `{part}` did not become healthy: {reason}", advice=f"Its log: {log}")
        self.part = part
        self.reason = reason
