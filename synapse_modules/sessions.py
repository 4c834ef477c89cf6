"""Sessions after log-on: every end is recorded, and people who left the directory are logged off."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from synapse_modules._config import parse_config
from synapse_modules._directory_table import LEAVERS, note, set_note, without_leaver
from synapse_modules._runtime import Runtime

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

    from synapse_modules._config import CharterConfig

logger = logging.getLogger(__name__)

_SWEEP_EVERY_MS: Final = 5_000
_SWEPT: Final = "sessions-swept"


class Sessions:
    """The Synapse module: registers the hook, and on the background worker the sweeps."""

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        self._api = api
        self._runtime = Runtime.of(config, api)
        self._reasons: dict[str, str] = {}
        self._started_ms = int(self._runtime.now() * 1000)
        api.register_password_auth_provider_callbacks(on_logged_out=self.on_logged_out)
        if api.should_run_background_tasks():
            api.looping_background_call(self.sweep_expired, _SWEEP_EVERY_MS, desc="charter_sweep_sessions")
            poll = config.poll_interval * 1000
            api.looping_background_call(self.end_leavers, poll, desc="charter_end_leavers")

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block that all parts share."""
        return parse_config(config)

    async def on_logged_out(self, user_id: str, device_id: str | None, _access_token: str) -> None:
        """Record the end of a session, whoever ended it."""
        reason = self._reasons.get(user_id, "logged off")
        await self._logoff(user_id, device_id, reason)

    async def sweep_expired(self) -> None:
        """Record the sessions that expired since the last sweep.

        The rows stay: Synapse answers an expired token with a soft log-out, so the client keeps its keys and data.
        """
        now_ms = int(self._runtime.now() * 1000)
        expired = await self._api.run_db_interaction("charter_sessions_expired", _expired, self._started_ms, now_ms)
        for user_id, device_id in expired:
            await self._logoff(user_id, device_id, "expired")
        await self._api.run_db_interaction("charter_sessions_swept", set_note, _SWEPT, now_ms)

    async def end_leavers(self) -> None:
        """End all sessions of people who left the directory or were disabled there.

        A person who is enabled again by now keeps their sessions. An unreachable directory produces no leavers.
        """
        for user_id in await self._api.run_db_interaction("charter_leavers", note, LEAVERS) or ():
            snapshot = self._runtime.snapshot
            person = None if snapshot is None else snapshot.people.get(user_id)
            if person is None or not person.enabled:
                await self.end_all(user_id, "disabled in the directory" if person else "left the directory")
            await self._api.run_db_interaction("charter_leaver_done", without_leaver, user_id)

    async def end_all(self, user_id: str, reason: str) -> None:
        """End every session of a person; open requests of their clients end as well."""
        devices = await self._api._store.get_devices_by_user(user_id)  # noqa: SLF001 - no public interface
        self._reasons[user_id] = reason
        try:
            if devices:
                await self._api._device_handler.delete_devices(user_id, list(devices))  # noqa: SLF001 - the same
            await self._api._auth_handler.delete_access_tokens_for_user(user_id)  # noqa: SLF001 - the same
        finally:
            self._reasons.pop(user_id, None)
        logger.info("ended %s sessions of %s: %s", len(devices), user_id, reason)

    async def _logoff(self, user_id: str, device_id: str | None, reason: str) -> None:
        body = {"device": device_id, "reason": reason}
        await self._runtime.outbox.put("logoff", actor=user_id, subject=user_id, body=body)


def _expired(txn: LoggingTransaction, since_ms: int, now_ms: int) -> list[tuple[str, str | None]]:
    swept = note(txn, _SWEPT)
    txn.execute(
        "SELECT user_id, device_id FROM access_tokens WHERE valid_until_ms > ? AND valid_until_ms <= ?"
        " ORDER BY valid_until_ms",
        (since_ms if swept is None else swept, now_ms),
    )
    return [(str(user), device) for user, device in txn]
