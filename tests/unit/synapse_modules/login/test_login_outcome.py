"""Bind results of OpenLDAP, Active Directory and 389 Directory Server, and what each means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_modules._ldap_breaker import Breaker
from synapse_modules._ldap_outcome import PPOLICY_OID, Outcome, classify_bind, ppolicy_error


def ad(data: str) -> dict[str, Any]:
    """Return what Active Directory says."""
    message = f"80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data {data}, v4563"
    return {"result": 49, "message": message}


def ppolicy(code: int, error: int) -> dict[str, Any]:
    """Return what OpenLDAP says."""
    value = bytes([0x30, 0x03, 0x81, 0x01, error])
    return {"result": code, "message": "", "controls": {PPOLICY_OID: {"value": value}}}


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ({"result": 0}, Outcome.OK),
        ({"result": 49, "message": ""}, Outcome.WRONG_CREDENTIALS),
        (ppolicy(49, 0), Outcome.EXPIRED),
        (ppolicy(49, 1), Outcome.LOCKED),
        (ppolicy(0, 2), Outcome.MUST_CHANGE),
        (ppolicy(0, 7), Outcome.OK),
        (ad("52e"), Outcome.WRONG_CREDENTIALS),
        (ad("525"), Outcome.UNKNOWN_USER),
        (ad("530"), Outcome.DISABLED),
        (ad("532"), Outcome.EXPIRED),
        (ad("533"), Outcome.DISABLED),
        (ad("701"), Outcome.EXPIRED),
        (ad("773"), Outcome.MUST_CHANGE),
        (ad("775"), Outcome.LOCKED),
        (ad("fff"), Outcome.WRONG_CREDENTIALS),
        ({"result": 53, "message": "Account inactivated. Contact system administrator."}, Outcome.DISABLED),
        ({"result": 19, "message": "Exceed password retry limit."}, Outcome.LOCKED),
        ({"result": 53, "message": "unauthenticated bind (DN with no password) disallowed"}, Outcome.MISCONFIGURED),
        ({"result": 8, "message": ""}, Outcome.MISCONFIGURED),
        ({"result": 13, "message": ""}, Outcome.MISCONFIGURED),
        ({"result": 51, "message": ""}, Outcome.UNAVAILABLE),
        ({"result": 52, "message": ""}, Outcome.UNAVAILABLE),
        ({"result": 80, "message": ""}, Outcome.UNAVAILABLE),
        ({}, Outcome.UNAVAILABLE),
    ],
)
def test_each_result_has_one_meaning(result: dict[str, Any], outcome: Outcome) -> None:
    """The table of results."""
    assert classify_bind(result) is outcome


@given(st.integers(min_value=0, max_value=200), st.text())
def test_only_result_49_is_wrong_credentials_and_only_0_is_ok(code: int, message: str) -> None:
    """Whatever else a server says, nobody is told that their password is wrong, or right."""
    outcome = classify_bind({"result": code, "message": message})
    assert outcome is not Outcome.WRONG_CREDENTIALS or code == 49
    assert outcome is not Outcome.OK or code == 0


@given(st.binary(max_size=40))
def test_any_control_value_can_be_read(value: bytes) -> None:
    """Bad bytes are no error of the policy, and no exception."""
    assert ppolicy_error(value) is None or 0 <= (ppolicy_error(value) or 0) <= 255


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"\x30\x00", None),
        (b"\x30\x03\x81\x01\x01", 1),
        (b"\x30\x05\xa0\x03\x80\x01\x0a", None),
        (b"\x30\x08\xa0\x03\x80\x01\x0a\x81\x01\x02", 2),
        (b"", None),
        (b"\x30\x03\x81\x01", None),
    ],
)
def test_control_values_of_the_draft(value: bytes, error: int | None) -> None:
    """With and without a warning before the error."""
    assert ppolicy_error(value) == error


def test_a_breaker_holds_then_lets_one_through() -> None:
    """After a failure the server is left alone; then exactly one attempt decides."""
    now = [0.0]
    breaker = Breaker(30.0, lambda: now[0])
    assert breaker.may_try()
    breaker.failed()
    assert [breaker.may_try(), breaker.holding] == [False, True]
    now[0] = 30.0
    assert [breaker.may_try(), breaker.may_try()] == [True, False]
    breaker.succeeded()
    assert [breaker.may_try(), breaker.may_try(), breaker.holding] == [True, True, False]
