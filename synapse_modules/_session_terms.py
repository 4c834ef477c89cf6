"""The terms of a session at log-on: may it begin, how long does it last, which older ones end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from charter.facts import LoginFacts
from charter.judge import judge
from synapse_modules._login_answers import ask

if TYPE_CHECKING:
    from synapse.storage.database import LoggingTransaction

    from charter.directory import Person
    from charter.judge import Compiled
    from synapse_modules._runtime import Runtime

logger = logging.getLogger(__name__)


class SessionTermsWriter:
    """Judges a log-on and writes its terms where Synapse enforces them: into the token's row."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._api = runtime.api
        self._store = runtime.api._store  # noqa: SLF001 - tokens have no public interface

    async def refused(
        self, user_id: str, device_id: str | None, address: str | None, age: float | None, person: Person | None
    ) -> tuple[str, dict[str, Any]] | None:
        """Return text and extra fields of a refusal, or None. No policy: people may log on, and read why they may no more.

        Args:
            user_id: who.
            device_id: the device that logs on again, or None for a new one.
            address: the client's.
            age: of the directory snapshot, in seconds.
            person: of the snapshot, where known.
        """
        compiled = self._runtime.compiled()
        contact = None if compiled is None else compiled.policy.organisation.contact
        if person is not None and not person.enabled:
            return f"Your account is disabled in the company directory. {ask(contact)}", {}
        if compiled is None:
            return None
        now = self._runtime.now()
        verdict = judge(compiled, user_id, LoginFacts(address=address, snapshot_age=age), now)
        if not verdict.allowed and self._runtime.stage == "shadow":
            body = {
                "feature": verdict.feature,
                "rules": [],
                "would_have": list(verdict.rules),
                "policy": compiled.digest,
            }
            self._runtime.outbox.put_soon("would-have", actor=user_id, subject=user_id, body=body)
            return None
        if not verdict.allowed:
            marker = {
                "id": None, "feature": verdict.feature, "rules": list(verdict.rules), "reason": verdict.reason,
                "policy": compiled.digest, "contact": contact,
            }  # fmt: skip
            return f"{verdict.reason} {ask(contact)}", {"org.charter.refusal": marker}
        return await self._too_many(compiled, user_id, device_id)

    async def apply(self, response: Any) -> int | None:
        """Write the terms to the token of a log-on's response, and to the response.

        A policy in the shadow stage sets no terms. The token gets no refresh token, and is the only one of its device: logging on again with the same device id
        would leave the old token valid.

        Returns:
            When the token expires, in milliseconds since the epoch; None for never.
        """
        user_id, token = str(response["user_id"]), str(response["access_token"])
        now_ms = int(self._runtime.now() * 1000)
        compiled = self._runtime.compiled() if self._runtime.stage == "enforce" else None
        terms = None if compiled is None else compiled.session(user_id, self._runtime.now())
        lives = self._server_lifetimes() if "refresh_token" in response else [response.get("expires_in_ms")]
        if terms is not None and terms.lifetime is not None:
            lives.append(int(terms.lifetime * 1000))
        shortest = min((life for life in lives if life is not None), default=None)
        until = None if shortest is None else now_ms + shortest
        token_id = await self._api.run_db_interaction("charter_session_terms", self._write, token, until)
        response.pop("refresh_token", None)
        response.pop("expires_in_ms", None)
        if shortest is not None:
            response["expires_in_ms"] = shortest
        await self._api._auth_handler.delete_access_tokens_for_user(  # noqa: SLF001 - no public interface
            user_id, except_token_id=token_id, device_id=str(response["device_id"])
        )
        if terms is not None and terms.max_sessions is not None and terms.overflow != "refuse_newest":
            await self._end_oldest(user_id, terms.max_sessions, keep=str(response["device_id"]))
        return until

    def _server_lifetimes(self) -> list[int | None]:
        """Return what homeserver.yaml allows a token without a refresh token; the one issued lives shorter."""
        settings = self._api._hs.config.registration  # noqa: SLF001 - no public interface
        return [settings.nonrefreshable_access_token_lifetime, settings.session_lifetime]

    async def take_back(self, user_id: str, device_id: str) -> None:
        """End a session that could not be completed; a failure is logged, the client never saw the token."""
        try:
            await self._api._device_handler.delete_devices(user_id, [device_id])  # noqa: SLF001 - no public interface
        except Exception:
            logger.exception("the session of an incomplete log-on could not be ended")

    async def _too_many(
        self, compiled: Compiled, user_id: str, device_id: str | None
    ) -> tuple[str, dict[str, Any]] | None:
        terms = compiled.session(user_id, self._runtime.now())
        if self._runtime.stage == "shadow" or terms.max_sessions is None or terms.overflow != "refuse_newest":
            return None
        devices = await self._devices(user_id)
        if device_id in devices or len(devices) < terms.max_sessions:
            return None
        contact = compiled.policy.organisation.contact
        return (
            f"You have {len(devices)} sessions already and may have {terms.max_sessions}: log off elsewhere first. {ask(contact)}",
            {},
        )

    async def _end_oldest(self, user_id: str, at_most: int, *, keep: str) -> None:
        others = [device for device in await self._devices(user_id) if device != keep]
        surplus = others[: max(0, len(others) + 1 - at_most)]
        if surplus:
            await self._api._device_handler.delete_devices(user_id, surplus)  # noqa: SLF001 - no public interface

    async def _devices(self, user_id: str) -> list[str]:
        """Return the devices with a valid token, the one logged on longest ago first."""
        now_ms = int(self._runtime.now() * 1000)
        devices: list[str] = await self._api.run_db_interaction("charter_session_devices", _devices, user_id, now_ms)
        return devices

    def _write(self, txn: LoggingTransaction, token: str, until: int | None) -> int:
        """Set the token's end and cut it loose from a refresh token; every process forgets what it cached of it."""
        txn.execute(
            "UPDATE access_tokens SET valid_until_ms = ?, refresh_token_id = NULL WHERE token = ?", (until, token)
        )
        if txn.rowcount != 1:
            msg = "the token of this log-on is gone"
            raise LookupError(msg)
        txn.execute("SELECT id FROM access_tokens WHERE token = ?", (token,))
        row = txn.fetchone()
        assert row is not None
        self._store._invalidate_cache_and_stream(txn, self._store.get_user_by_access_token, (token,))  # noqa: SLF001 - as above
        return int(row[0])


def _devices(txn: LoggingTransaction, user_id: str, now_ms: int) -> list[str]:
    txn.execute(
        "SELECT device_id FROM access_tokens WHERE user_id = ? AND device_id IS NOT NULL AND puppets_user_id IS NULL"
        " AND (valid_until_ms IS NULL OR valid_until_ms > ?) GROUP BY device_id ORDER BY MAX(id)",
        (user_id, now_ms),
    )
    return [str(row[0]) for row in txn]
