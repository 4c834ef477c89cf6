"""Calls about the policy: the active bundle, its head, and applying a new one.

Applying needs no token: an administrator's signature over content, sequence and predecessor is the whole authority.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import orjson
from synapse.api.errors import Codes, LimitExceededError, SynapseError

from synapse_modules._api_router import ANY_BOT, ANYONE, Call, Route
from synapse_modules._bundle import Active, append, follows, head_of, lock, newest
from synapse_modules._outbox import new_record
from synapse_modules._policy_diff import PolicyDiff, diff

if TYPE_CHECKING:
    from synapse.storage.database import LoggingTransaction

    from synapse_modules._runtime import Runtime

logger = logging.getLogger(__name__)

BUNDLE_LIMIT = 8 * 1024 * 1024
_AT_ONCE = 2
_FOLD_SECONDS = 10.0
_REASON_LENGTH = 500


class OldBundleError(SynapseError):
    """409: another bundle is in force than the one this follows."""

    def __init__(self, sequence: int, digest: str) -> None:
        message = f"Another policy is in force by now (sequence {sequence}); apply again on top of it"
        fields = {"sequence": sequence, "digest": digest}
        super().__init__(409, message, "CHARTER_OLD_BUNDLE", additional_fields=fields)


class PolicyCalls:
    """Handlers over the runtime's policies."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._running = 0
        self._refused_at = 0.0
        self._folded = 0
        self.routes = (
            Route("GET", "/bundle", ANY_BOT, self.bundle),
            Route("GET", "/bundle/head", ANYONE, self.head),
            Route("PUT", "/bundle", ANYONE, self.apply),
        )

    async def bundle(self, call: Call) -> tuple[int, Any]:
        """The policy that this process judges by."""
        active = self._runtime.active
        if active is None:
            raise SynapseError(404, "There is no policy yet", Codes.NOT_FOUND)
        if call.etag(active.bundle.digest):
            return 304, {}
        return 200, orjson.loads(active.bundle.to_json())

    async def head(self, _call: Call) -> tuple[int, Any]:
        """Digest and sequence of the newest stored bundle: what the next one must follow."""
        found = await self._runtime.api.run_db_interaction("charter_bundle_head", head_of)
        sequence, digest, stage = (0, "", "enforce") if found is None else found
        return 200, {"digest": digest, "sequence": sequence, "stage": stage}

    async def apply(self, call: Call) -> tuple[int, Any]:
        """Verify, compile and store a bundle; nothing of a bad one is kept."""
        if self._running >= _AT_ONCE:
            raise LimitExceededError(limiter_name="charter_apply", retry_after_ms=1000)
        self._running += 1
        try:
            text = call.raw(BUNDLE_LIMIT)
            active = await self._check(text)
            changes = await self._store(active, text.decode())
        finally:
            self._running -= 1
        await self._runtime.policies.poll()
        return 200, {"digest": active.bundle.digest, "sequence": active.bundle.sequence, **changes.names()}

    async def _check(self, text: bytes) -> Active:
        """Open and compile in a thread.

        Raises:
            SynapseError: 400 CHARTER_BAD_BUNDLE with the reason in words.
        """
        try:
            return await self._runtime.api.defer_to_thread(self._runtime.policies.examine, text)
        except Exception as error:
            reason = (str(error) or type(error).__name__)[:_REASON_LENGTH]
            logger.warning("a bundle was refused: %s", reason)
            self._record_refusal(reason, text)
            raise SynapseError(400, f"This bundle is not acceptable: {reason}", "CHARTER_BAD_BUNDLE") from error

    async def _store(self, active: Active, text: str) -> PolicyDiff:
        """Append the bundle and its record in one transaction.

        Raises:
            OldBundleError: another bundle came first.
        """
        bundle = active.bundle

        def write(txn: LoggingTransaction) -> PolicyDiff:
            head = lock(txn)
            if not follows(bundle, head):
                raise OldBundleError(head[0], head[1])
            before = newest(txn, self._runtime.config.policy_keys)
            changes = diff(None if before is None else before.policy, active.policy_set.policy)
            append(txn, bundle, text)
            body = {
                "before": bundle.previous or None,
                "after": bundle.digest,
                "sequence": bundle.sequence,
                "stage": bundle.stage,
                "key_id": bundle.key_id,
                **changes.body(),
            }
            self._runtime.outbox.insert(
                txn, new_record("policy", room=None, actor=None, subject=bundle.digest, body=body)
            )
            return changes

        return await self._runtime.api.run_db_interaction("charter_bundle_store", write)

    def _record_refusal(self, reason: str, text: bytes) -> None:
        """Record a refused bundle; anybody can send one, so at most one record in ten seconds, which counts the others."""
        if time.monotonic() - self._refused_at < _FOLD_SECONDS:
            self._folded += 1
            return
        self._refused_at = time.monotonic()
        body = {"reason": reason, "key_id": _claimed_key(text), "folded": self._folded}
        self._folded = 0
        self._runtime.outbox.put_soon("policy-refused", body=body)


def _claimed_key(text: bytes) -> str | None:
    """Return the key id that a bundle claims, as far as it can be read."""
    try:
        claimed = orjson.loads(text)["key_id"]
    except (ValueError, TypeError, KeyError):
        return None
    return claimed[:64] if isinstance(claimed, str) else None
