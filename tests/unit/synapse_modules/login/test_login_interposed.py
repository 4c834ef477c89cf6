"""The wrapped password check: a reason reaches the person, a success is never made up."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from synapse.api.errors import Codes, LoginError, SynapseError
from synapse.handlers.auth import PasswordAuthProvider
from twisted.internet import defer

from synapse_modules._ldap_outcome import Outcome
from synapse_modules._login_answers import SILENT, refusal
from synapse_modules._login_interposed import Attempts

PASSWORD = "m.login.password"


def wrapped(check: Any) -> tuple[Attempts, PasswordAuthProvider]:
    """Return Synapse's own provider with our check in it, wrapped."""
    provider = PasswordAuthProvider()
    provider.register_password_auth_provider_callbacks(auth_checkers={(PASSWORD, ("password",)): check})
    attempts = Attempts()
    api = SimpleNamespace(_hs=SimpleNamespace(get_password_auth_provider=lambda: provider))
    assert attempts.interpose(cast("Any", api))
    return attempts, provider


def result_of(provider: PasswordAuthProvider) -> Any:
    """Run one check to its end, as Synapse's reactor would."""
    found: list[Any] = []
    defer.ensureDeferred(provider.check_auth("alice", PASSWORD, {"password": "x"})).addBoth(found.append)
    return found[0]


def test_a_noted_reason_is_raised_instead_of_wrong_password() -> None:
    """The person reads what the check noted."""

    async def check(*_: object) -> None:
        attempts.refuse(SynapseError(503, "The directory is away.", Codes.UNKNOWN))

    attempts, provider = wrapped(check)
    failure = result_of(provider)
    assert (failure.value.code, failure.value.msg) == (503, "The directory is away.")


def test_no_reason_is_synapses_own_answer() -> None:
    """Wrong credentials stay what they are, and a later attempt knows nothing of an earlier one."""
    reasons = [SynapseError(503, "away"), None]

    async def check(*_: object) -> None:
        reason = reasons.pop(0)
        if reason is not None:
            attempts.refuse(reason)

    attempts, provider = wrapped(check)
    assert result_of(provider).value.msg == "away"
    assert result_of(provider) is None


def test_a_success_stands() -> None:
    """Another module's success is not overruled by our reason."""

    async def check(*_: object) -> tuple[str, None]:
        attempts.refuse(SynapseError(503, "away"))
        return "@alice:acme.example", None

    attempts, provider = wrapped(check)
    assert result_of(provider) == ("@alice:acme.example", None)


def test_a_changed_synapse_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """With another signature nothing is replaced, and the log says so."""

    async def check_auth(username: str) -> None:
        """Have another signature."""

    provider = SimpleNamespace(check_auth=check_auth)
    api = SimpleNamespace(_hs=SimpleNamespace(get_password_auth_provider=lambda: provider))
    with caplog.at_level(logging.WARNING):
        assert not Attempts().interpose(cast("Any", api))
    assert (provider.check_auth, "changed" in caplog.text) == (check_auth, True)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_answer(outcome: Outcome) -> None:
    """Silent ones have none, so an attacker learns nothing; trouble is a 503 that names whom to ask."""
    error = refusal(outcome, "the service desk")
    if outcome in SILENT or outcome is Outcome.OK:
        assert error is None
        return
    assert error is not None
    assert error.msg.endswith("Ask the service desk.")
    trouble = outcome in {Outcome.BUSY, Outcome.UNAVAILABLE, Outcome.MISCONFIGURED}
    assert (error.code, isinstance(error, LoginError)) == ((503, False) if trouble else (403, True))
