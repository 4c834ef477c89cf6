"""Records that custody makes itself: Synapse's configuration at start, use of the admin API, silent bots.

Interposition (tested on Synapse 1.163.2): ``JsonResource._async_render`` is wrapped, because no hook of the module API sees admin
requests that fail to authenticate, come from an application service or register an account by shared secret. If Synapse changes that
method, :func:`watch_admin_requests` raises at start and Synapse does not come up unrecorded.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import inspect
import logging
import re
import secrets
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
from synapse.api.errors import Codes, SynapseError
from synapse.config._base import read_config_files
from synapse.http.server import JsonResource

from synapse_modules._api_health import HEARTBEAT
from synapse_modules._notes import read_note, read_notes, write_note
from synapse_modules._outbox import new_record
from synapse_modules._schema import at_startup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.http.site import SynapseRequest
    from synapse.storage.database import LoggingTransaction

    from synapse_modules._runtime import Runtime

logger = logging.getLogger(__name__)

_ADMIN = re.compile(r"/_synapse/admin/|/_matrix/client/(r0|v1|v3|unstable)/admin/")
_MARK = "_charter_runtime"


def record_configuration(runtime: Runtime) -> None:
    """Put a `configuration` record if this process's configuration is another than at its last start, or it starts anew."""
    config = read_config_files(runtime.api._hs.config.config_files)  # noqa: SLF001 - Synapse keeps no copy of the raw configuration
    at_startup(runtime.api, "charter_configuration", functools.partial(_note_configuration, runtime, config))


def _note_configuration(runtime: Runtime, config: Mapping[str, Any], txn: LoggingTransaction) -> None:
    """Compare keyed digests of each top-level key; the key stays in the database, so that a digest proves nothing about a secret."""
    instance = runtime.instance
    name = f"configuration:{instance}"
    last = read_note(txn, name) or {}
    key = str(last.get("key") or secrets.token_hex(32))
    digests = {str(entry): _digest(key, value) for entry, value in config.items()}
    before = last.get("digests", {})
    changed = sorted(entry for entry in before.keys() | digests.keys() if before.get(entry) != digests.get(entry))
    write_note(txn, name, {"key": key, "digests": digests})
    body = {
        "digest": _digest(key, config),
        "instance": instance,
        "synapse": version("matrix-synapse"),
        "charter": _charter_version(),
        "changed": changed if before else [],
    }
    runtime.outbox.insert(txn, new_record("configuration", room=None, actor=None, subject=instance, body=body))


def _digest(key: str, value: Any) -> str:
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return hmac.new(key.encode(), data, hashlib.sha256).hexdigest()


def _charter_version() -> str:
    try:
        return version("charter")
    except PackageNotFoundError:
        return "unknown"


def watch_admin_requests(runtime: Runtime) -> None:
    """Record each request to Synapse's admin API before it is carried out.

    Reading requests are recorded in the background; every other is carried out only after its record is durable, so that no change goes
    unrecorded. Bodies and query strings are not recorded. No request changes one of Charter's bots, or logs on as it.

    Raises:
        RuntimeError: this Synapse is built differently.
    """
    original = JsonResource._async_render  # noqa: SLF001 - see the module's docstring
    if getattr(original, _MARK, None) is not None:
        original = original.__wrapped__  # type: ignore[attr-defined]  # functools.wraps sets it
    if list(inspect.signature(original).parameters) != ["self", "request"]:
        msg = "Synapse's JsonResource changed; admin requests would go unrecorded"
        raise RuntimeError(msg)

    @functools.wraps(original)
    async def render(self: JsonResource, request: SynapseRequest) -> tuple[int, Any]:
        path = request.path.decode("ascii", "replace")
        if _ADMIN.match(path) and request.method != b"OPTIONS":
            await record_admin_request(runtime, request, path)
            if request.method not in {b"GET", b"HEAD"} and names_bot(runtime, path):
                raise SynapseError(403, "Charter's accounts are not changed through the admin API.", Codes.FORBIDDEN)
        return await original(self, request)

    setattr(render, _MARK, runtime)
    JsonResource._async_render = render  # type: ignore[method-assign]  # noqa: SLF001 - the interposition


def names_bot(runtime: Runtime, path: str) -> bool:
    """Whether a path of the admin API is about one of Charter's bots: to lock, shadow-ban or log on as it, for instance."""
    return any(runtime.is_bot(part) for part in unquote(path).split("/"))


async def record_admin_request(runtime: Runtime, request: SynapseRequest, path: str) -> None:
    """Put an `admin-request` record; see :func:`watch_admin_requests`."""
    method = request.method.decode("ascii", "replace")
    actor = await _actor(runtime, request)
    body = {"method": method, "path": path, "address": request.get_client_ip_if_available()}
    if method in {"GET", "HEAD"}:
        runtime.outbox.put_soon("admin-request", actor=actor, subject=path, body=body)
    else:
        await runtime.outbox.put("admin-request", actor=actor, subject=path, body=body)


async def _actor(runtime: Runtime, request: SynapseRequest) -> str | None:
    """Return whose token a request carries, without authenticating it: that is Synapse's part, and happens once, right after."""
    auth = runtime.api._hs.get_auth()  # noqa: SLF001 - `get_user_by_req` may run only once for a request
    try:
        token = auth.get_access_token_from_request(request)
        service = runtime.api._store.get_app_service_by_token(token)  # noqa: SLF001 - as above
        if service is not None:
            return service.sender.to_string()
        return (await auth.get_user_by_access_token(token, allow_expired=True)).user.to_string()
    except Exception:  # noqa: BLE001 - whoever it is, the request is recorded
        return None


class Watchman:
    """Raises an alarm once for each bot that falls silent, and looks after the outbox; runs on one process."""

    def __init__(self, runtime: Runtime, *, every: float = 10.0) -> None:
        self._runtime = runtime
        self._silent: set[str] = set()
        self._started = time.time()
        if runtime.api.should_run_background_tasks():
            runtime.api.looping_background_call(self.look, every * 1000, desc="charter_watch")

    async def look(self) -> None:
        """One round."""
        await self._runtime.outbox.watch()
        beats = await self._runtime.api.run_db_interaction("charter_heartbeats", read_notes, HEARTBEAT)
        now = time.time()
        for role, user in self._runtime.config.bots.items():
            beat = beats.get(role)
            seen = self._started if beat is None else max(beat["seen_at"] / 1000, self._started)
            if now - seen <= self._runtime.config.heartbeat_timeout:
                self._silent.discard(role)
            elif role not in self._silent:
                self._silent.add(role)
                text = f"The {role} has been silent for {int(now - seen)} seconds"
                body = {"code": "bot-silent", "text": text, "bot": role, "since": int(seen * 1000)}
                await self._runtime.outbox.put("alarm", subject=user, body=body)
                logger.warning("bot %s has been silent for %d s", role, now - seen)
