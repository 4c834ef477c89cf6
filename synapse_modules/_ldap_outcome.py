"""What a bind can mean: one outcome, from the result code, the password-policy control and the server's words."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PPOLICY_OID = "1.3.6.1.4.1.42.2.27.8.5.1"
"""Password-policy request and response control (draft-behera-ldap-password-policy)."""

_SUCCESS = 0
_INVALID_CREDENTIALS = 49
_CONSTRAINT_VIOLATION = 19
_UNWILLING = 53
_TEMPORARY = frozenset({3, 51, 52, 80, 81, 82, 83, 85, 91})
"""Time limit, busy, unavailable, other, and the local codes of connection trouble."""


class Outcome(enum.Enum):
    """Everything that an attempt to log on can come to."""

    OK = "ok"
    WRONG_CREDENTIALS = "wrong credentials"
    UNKNOWN_USER = "unknown user"
    NO_PASSWORD = "no password given"  # noqa: S105 - words, no secret
    BAD_NAME = "user name unusable"
    DISABLED = "disabled"
    LOCKED = "locked"
    EXPIRED = "expired"
    MUST_CHANGE = "must change password"
    BUSY = "too many log-ons at once"
    UNAVAILABLE = "directory unavailable"
    MISCONFIGURED = "directory misconfigured"


_PPOLICY = {0: Outcome.EXPIRED, 1: Outcome.LOCKED, 2: Outcome.MUST_CHANGE}
_AD_DATA = {
    0x525: Outcome.UNKNOWN_USER,
    0x52E: Outcome.WRONG_CREDENTIALS,
    0x530: Outcome.DISABLED,
    0x531: Outcome.DISABLED,
    0x532: Outcome.EXPIRED,
    0x533: Outcome.DISABLED,
    0x701: Outcome.EXPIRED,
    0x773: Outcome.MUST_CHANGE,
    0x775: Outcome.LOCKED,
}
_AD_MESSAGE = re.compile(r"AcceptSecurityContext error, data ([0-9a-fA-F]+)")


def ppolicy_error(value: bytes) -> int | None:
    """Return the error of a password-policy response value, or None. Total: bad bytes are no error.

    The value is `SEQUENCE { warning [0] … OPTIONAL, error [1] ENUMERATED OPTIONAL }` in BER with short lengths.
    """
    if len(value) < 2 or value[0] != 0x30 or value[1] != len(value) - 2:  # noqa: PLR2004 - tag and length octets
        return None
    position = 2
    while position + 1 < len(value):
        tag, length = value[position], value[position + 1]
        content = value[position + 2 : position + 2 + length]
        if tag == 0x81 and length == 1 and len(content) == 1:  # noqa: PLR2004 - context tag 1
            return content[0]
        position += 2 + length
    return None


def classify_bind(result: Mapping[str, Any]) -> Outcome:
    """Return what the result of a person's bind means.

    Only result 49 can be "wrong credentials"; a code that this table does not know is never taken for one.

    Args:
        result: ldap3's result: `result`, `message`, and `controls` where the server sent some.
    """
    code = int(result.get("result", 80))
    policy = _policy_outcome(result)
    if code == _SUCCESS:
        return policy or Outcome.OK
    message = str(result.get("message", ""))
    if code == _INVALID_CREDENTIALS:
        data = _AD_MESSAGE.search(message)
        named = _AD_DATA.get(int(data[1], 16)) if data else None
        return policy or named or Outcome.WRONG_CREDENTIALS
    if policy is not None:
        return policy
    if code == _CONSTRAINT_VIOLATION:  # 389 Directory Server: password retry limit
        return Outcome.LOCKED
    if code == _UNWILLING and "inactivated" in message.lower():  # 389 Directory Server: nsAccountLock
        return Outcome.DISABLED
    return Outcome.UNAVAILABLE if code in _TEMPORARY else Outcome.MISCONFIGURED


def _policy_outcome(result: Mapping[str, Any]) -> Outcome | None:
    control = (result.get("controls") or {}).get(PPOLICY_OID)
    value = control.get("value") if control else None
    error = ppolicy_error(value) if isinstance(value, bytes) else None
    return None if error is None else _PPOLICY.get(error)
