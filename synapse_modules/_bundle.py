"""Which policy this process judges by: polled, verified, compiled in a thread, swapped as one reference.

Owner of ``charter_bundle``. A bundle becomes active only after its signature, its content and its compilation held;
until then, and whenever one of them fails, the last good stays. At start the newest row that verifies is taken, so the
last good survives restarts. Readers take :attr:`Policies.active` once per judgement and never see a half-made state.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from charter.bundle import Bundle, BundleError, verify
from charter.directory import DirectorySnapshot
from charter.judge import compile_policy
from synapse_modules._schema import at_startup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

    from charter.judge import Compiled
    from charter.policy.policy_set import PolicySet
    from synapse_modules._outbox import Outbox

logger = logging.getLogger(__name__)

SEQUENCE = Gauge("charter_policy_sequence", "Sequence number of the policy this process judges by; 0 without one")
APPLIED_AT = Gauge("charter_policy_applied_at_seconds", "When the policy this process judges by was applied")

Head = tuple[int, str, str]
"""Sequence, digest and stage of a stored bundle."""

AGE = Gauge("charter_policy_age_seconds", "Seconds since the policy this process judges by was applied; 0 without one")

_NOBODY = DirectorySnapshot({}, 0.0)


@dataclass(frozen=True, slots=True)
class Active:
    """A policy in force.

    Attributes:
        bundle: as signed.
        policy_set: its content.
        compiled: the content with the directory snapshot, ready to judge.
        snapshot: the directory it was compiled with; None before the first one.
        applied_at: POSIX seconds at which it was stored.
    """

    bundle: Bundle
    policy_set: PolicySet
    compiled: Compiled
    snapshot: DirectorySnapshot | None
    applied_at: float


def open_bundle(text: str | bytes, keys: Mapping[str, str]) -> tuple[Bundle, PolicySet]:
    """Parse and verify a bundle.

    Raises:
        charter.bundle.BundleError: with the reason in words; nothing of a bundle that fails is used.
    """
    bundle = Bundle.from_json(text)
    return bundle, verify(bundle, keys)


class Policies:
    """Keeps the active policy of this process in step with the table and the directory."""

    def __init__(
        self,
        api: ModuleApi,
        outbox: Outbox,
        *,
        keys: Mapping[str, str],
        bots: frozenset[str],
        is_service: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.active: Active | None = None
        self.snapshot: DirectorySnapshot | None = None
        self._api = api
        self._outbox = outbox
        self._keys = keys
        self._bots = bots
        self._is_service = is_service
        self._rejected: Head | None = None
        self._listeners: list[Callable[[Active], None]] = []
        self._recompiling = False

    def on_swap(self, listener: Callable[[Active], None]) -> None:
        """Call `listener` on the reactor thread after each swap; at once if there is a policy already."""
        self._listeners.append(listener)
        if self.active is not None:
            listener(self.active)

    def load_at_start(self) -> None:
        """Take the newest stored bundle that verifies; blocks, only while the process starts."""
        for sequence, text, applied_at in at_startup(self._api, "charter_bundles", _stored):
            try:
                self._swap(self.examine(text, applied_at))
            except Exception:
                logger.exception("stored policy %s is not usable; trying the one before", sequence)
            else:
                return

    def set_snapshot(self, snapshot: DirectorySnapshot) -> None:
        """Use another directory snapshot; the policy is recompiled in a thread and swapped soon after."""
        self.snapshot = snapshot
        if self.active is not None:
            self._api.run_as_background_process("charter_recompile", self._follow_directory)

    def set_snapshot_at_start(self, snapshot: DirectorySnapshot) -> None:
        """Use a snapshot and recompile at once; blocks, only while the process starts."""
        self.snapshot = snapshot
        if self.active is not None:
            active = self.active
            self._swap(self._compile(active.bundle, active.policy_set, snapshot, active.applied_at))

    async def poll(self) -> None:
        """Look for another bundle; one indexed query when there is none."""
        head = await self._api.run_db_interaction("charter_bundle_head", head_of)
        if head is None or head == self._rejected or self._judging_by(head):
            return
        await self.take(head)

    def _judging_by(self, head: Head) -> bool:
        active = self.active
        return active is not None and head == (active.bundle.sequence, active.bundle.digest, active.bundle.stage)

    def examine(self, text: str | bytes, applied_at: float | None = None) -> Active:
        """Open a bundle and compile it with the present directory, without using it; for a thread.

        Raises:
            Exception: whatever is wrong with it, in words.
        """
        bundle, policy_set = open_bundle(text, self._keys)
        return self._compile(bundle, policy_set, self.snapshot, time.time() if applied_at is None else applied_at)

    async def take(self, head: Head) -> None:
        """Load, verify, compile and swap the bundle of `head`; on failure keep the last good and record why, once."""
        row = await self._api.run_db_interaction("charter_bundle_row", row_of, head[0])
        if row is None:
            return
        try:
            active = await self._api.defer_to_thread(self.examine, *row)
            self._check_row(active.bundle, head)
        except Exception as error:
            self._rejected = head
            logger.exception("stored policy %s is not usable; the last good one stays", head[0])
            reason = str(error) or type(error).__name__
            self._outbox.put_soon("policy-refused", body={"reason": reason, "key_id": None, "sequence": head[0]})
        else:
            self._rejected = None
            self._swap(active)
            await self._follow_directory()

    def _check_row(self, bundle: Bundle, head: Head) -> None:
        """Refuse a row that says something else than what is signed, or that would bring an older policy back.

        Raises:
            BundleError: the table was tampered with or restored under the running process.
        """
        if (bundle.sequence, bundle.digest, bundle.stage) != head:
            msg = "the table's columns do not fit the signed bundle"
            raise BundleError(msg)
        if self.active is not None and bundle.sequence < self.active.bundle.sequence:
            msg = f"bundle {bundle.sequence} is older than the active bundle {self.active.bundle.sequence}"
            raise BundleError(msg)

    async def _follow_directory(self) -> None:
        """Recompile until policy and directory are both the newest; one at a time, the running one sees what came meanwhile."""
        if self._recompiling:
            return
        self._recompiling = True
        try:
            while (active := self.active) is not None and active.snapshot is not self.snapshot:
                renewed = await self._api.defer_to_thread(
                    self._compile, active.bundle, active.policy_set, self.snapshot, active.applied_at
                )
                if self.active is active:
                    self._swap(renewed)
        finally:
            self._recompiling = False

    def _compile(
        self, bundle: Bundle, policy_set: PolicySet, snapshot: DirectorySnapshot | None, applied_at: float
    ) -> Active:
        compiled = compile_policy(policy_set, snapshot or _NOBODY, bots=self._bots, is_service=self._is_service)
        return Active(bundle, policy_set, compiled, snapshot, applied_at)

    def _swap(self, active: Active) -> None:
        self.active = active
        SEQUENCE.set(active.bundle.sequence)
        APPLIED_AT.set(active.applied_at)
        AGE.set_function(lambda: time.time() - active.applied_at)
        logger.info("judging by policy %s, sequence %s", active.bundle.digest, active.bundle.sequence)
        for listener in self._listeners:
            try:
                listener(active)
            except Exception:
                logger.exception("a listener to policy changes failed")


def head_of(txn: LoggingTransaction) -> Head | None:
    """Return sequence, digest and stage of the newest stored bundle."""
    txn.execute("SELECT sequence, digest, stage FROM charter_bundle ORDER BY sequence DESC LIMIT 1")
    row = txn.fetchone()
    return None if row is None else (int(row[0]), str(row[1]), str(row[2]))


def row_of(txn: LoggingTransaction, sequence: int) -> tuple[str, float] | None:
    """Return JSON and time (POSIX seconds) of a stored bundle."""
    txn.execute("SELECT bundle, applied_at FROM charter_bundle WHERE sequence = ?", (sequence,))
    row = txn.fetchone()
    return None if row is None else (str(row[0]), row[1] / 1000)


def newest(txn: LoggingTransaction, keys: Mapping[str, str]) -> PolicySet | None:
    """Return the newest stored policy that verifies."""
    for sequence, text, _ in _stored(txn):
        try:
            return open_bundle(text, keys)[1]
        except Exception:
            logger.exception("stored policy %s is not usable", sequence)
    return None


def lock(txn: LoggingTransaction) -> Head:
    """Keep other writers of bundles out until the transaction ends, and return the head (0 and "" before the first).

    The update of the lock row makes a concurrent writer wait and then start over (Synapse retries on a serialisation failure), so that
    it sees what this one wrote: of two bundles that follow the same one, exactly one is stored.
    """
    txn.execute("UPDATE charter_notes SET value = ? WHERE name = 'bundle-lock'", (str(time.time_ns()),))
    return head_of(txn) or (0, "", "enforce")


def follows(bundle: Bundle, head: Head) -> bool:
    """Whether a bundle may be stored on top of a head."""
    return bundle.sequence > head[0] and (bundle.previous or "") == head[1]


def append(txn: LoggingTransaction, bundle: Bundle, text: str) -> None:
    """Store a bundle."""
    txn.execute(
        "INSERT INTO charter_bundle (sequence, digest, stage, bundle, applied_at) VALUES (?, ?, ?, ?, ?)",
        (bundle.sequence, bundle.digest, bundle.stage, text, int(time.time() * 1000)),
    )


def _stored(txn: LoggingTransaction) -> list[tuple[int, str, float]]:
    txn.execute("SELECT sequence, bundle, applied_at FROM charter_bundle ORDER BY sequence DESC LIMIT 20")
    return [(int(row[0]), str(row[1]), row[2] / 1000) for row in txn.fetchall()]
