"""What a person is told at log-on, and what Synapse is answered. The one place that turns outcomes into errors."""

from __future__ import annotations

from typing import Final

from synapse.api.errors import Codes, LoginError, SynapseError

from synapse_modules._ldap_outcome import Outcome

SILENT: Final = frozenset({Outcome.WRONG_CREDENTIALS, Outcome.UNKNOWN_USER, Outcome.NO_PASSWORD, Outcome.BAD_NAME})
"""Answered with Synapse's own "Invalid username or password": which of them it was tells an attacker too much."""

_REFUSED: Final = {
    Outcome.DISABLED: "Your account is disabled in the company directory.",
    Outcome.LOCKED: "Your account is locked in the company directory.",
    Outcome.EXPIRED: "Your account or its password has expired in the company directory.",
    Outcome.MUST_CHANGE: "You must change your password in the company directory before you can log on.",
}
_NOT_NOW: Final = {
    Outcome.BUSY: "Too many people are logging on at this moment; please try again in a few seconds.",
    Outcome.UNAVAILABLE: "The company directory cannot be reached; nobody can log on until it answers.",
    Outcome.MISCONFIGURED: "The company directory cannot be used at the moment; nobody can log on until an administrator repairs it.",
}


def ask(contact: str | None) -> str:
    """Return the sentence that says whom to ask."""
    return f"Ask {contact}." if contact else "Ask your administrator."


def refusal(outcome: Outcome, contact: str | None) -> SynapseError | None:
    """Return the error for an outcome that is no success, or None for Synapse's own answer.

    A `LoginError` counts for Synapse's limit of failed attempts; an outage (503) does not.
    """
    if outcome in _NOT_NOW:
        return SynapseError(503, f"{_NOT_NOW[outcome]} {ask(contact)}", Codes.UNKNOWN)
    if outcome in _REFUSED:
        # Element shows M_USER_DEACTIVATED in words of its own; of a plain 403 it says "incorrect password".
        code = Codes.USER_DEACTIVATED if outcome is Outcome.DISABLED else Codes.FORBIDDEN
        return LoginError(403, f"{_REFUSED[outcome]} {ask(contact)}", code)
    return None
