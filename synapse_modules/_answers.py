"""Verdicts in Synapse's words: the only place that knows error codes, NOT_SPAM and what a replacement looks like."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn

from synapse.api.errors import Codes, LimitExceededError, SynapseError
from synapse.module_api import NOT_SPAM

if TYPE_CHECKING:
    from typing import Literal

    from synapse.events import EventBase

    from charter.verdict import Verdict

__all__ = ["NOT_SPAM", "Refusal", "at_the_door", "closed", "fail_closed", "flooded", "forbidden", "replaced"]

MARKER: Final = "org.charter.refusal"
NO_POLICY: Final = "There is no policy yet; ask your administrator."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal that is on record.

    Attributes:
        record: id of the outbox record.
        verdict: why.
        policy: digest of the policy, or "" without one.
        contact: whom the refused person asks; "" without a policy.
        answer: replace the message, reject the request, or withhold the upload.
    """

    record: str
    verdict: Verdict
    policy: str
    contact: str
    answer: Literal["replace", "reject", "withheld"]

    def marker(self) -> dict[str, Any]:
        """Return what programs read: see docs/contracts.md, "Markers"."""
        return {
            "id": self.record,
            "feature": self.verdict.feature,
            "rules": list(self.verdict.rules),
            "reason": self.verdict.reason,
            "policy": self.policy,
            "contact": self.contact,
        }


def sentence(verdict: Verdict, contact: str) -> str:
    """Return the refusal in words: reason, rule and contact.

    Clients show it raw for calls and joins, and as the body of a replaced message.
    """
    reason = verdict.reason.strip()
    parts = [reason if reason.endswith((".", "!", "?")) else f"{reason}."]
    if verdict.rules:
        parts.append(f"{'Rule' if len(verdict.rules) == 1 else 'Rules'}: {', '.join(verdict.rules)}.")
    if contact:
        parts.append(f"Questions: {contact}")
    return " ".join(parts)


def forbidden(refusal: Refusal) -> SynapseError:
    """Return the error for a rejected request."""
    return SynapseError(
        HTTPStatus.FORBIDDEN,
        sentence(refusal.verdict, refusal.contact),
        Codes.FORBIDDEN,
        additional_fields={MARKER: refusal.marker()},
    )


def replaced(event: EventBase, refusal: Refusal) -> dict[str, Any]:
    """Return the event with a notice in place of what was refused.

    Nothing of the refused content stays: no relation (a refused edit must not edit), no mention, no media.
    """
    document: dict[str, Any] = event.get_dict()
    document["content"] = {
        "msgtype": "m.notice",
        "body": f"This message was not delivered. {sentence(refusal.verdict, refusal.contact)}",
        "m.mentions": {},
        MARKER: refusal.marker(),
    }
    return document


def at_the_door() -> SynapseError:
    """Return the error for another server; it learns nothing of the policy."""
    return SynapseError(HTTPStatus.FORBIDDEN, "This server does not allow that", Codes.FORBIDDEN)


def not_the_bot() -> SynapseError:
    """Return the error for a person's token that acts as one of Charter's bots."""
    return SynapseError(HTTPStatus.FORBIDDEN, "Nobody acts as one of Charter's accounts.", Codes.FORBIDDEN)


def used_up() -> SynapseError:
    """Return the error for a second upload to a media id whose first was withheld."""
    return SynapseError(HTTPStatus.FORBIDDEN, "This upload was refused before; upload the file anew.", Codes.FORBIDDEN)


def flooded(retry_after_ms: int) -> SynapseError:
    """Return the error for somebody who keeps sending what is refused, faster than it can be recorded."""
    return LimitExceededError("charter refusals", retry_after_ms=retry_after_ms)


def closed() -> SynapseError:
    """Return the error for a local act that could not be judged or recorded."""
    return SynapseError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "This could not be checked against the policy just now, so it was not done. Please try again.",
        Codes.UNKNOWN,
    )


def fail_closed() -> NoReturn:
    """Raise the declared failure of hooks for local acts."""
    raise closed()


def stop_at_the_door() -> NoReturn:
    """Raise the declared failure of hooks that other servers reach: stopped whole, never half-way."""
    raise at_the_door()
