"""Calls about people: why, me, who reads the compliance rooms, and the directory snapshot."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson
from synapse.api.errors import Codes, SynapseError

from synapse_modules._api_router import RECORDERS, Call, Route, Who

if TYPE_CHECKING:
    from charter.judge import Compiled
    from synapse_modules._runtime import Runtime

_PERSONAL: frozenset[Who] = frozenset({"steward", "self"})


class PeopleCalls:
    """Handlers over the compiled policy and the snapshot."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.routes = (
            Route("GET", "/directory", RECORDERS, self.directory),
            Route("GET", "/readers", RECORDERS, self.readers),
            Route("GET", "/why", _PERSONAL, self.why),
            Route("GET", "/me", _PERSONAL, self.me),
        )

    async def directory(self, call: Call) -> tuple[int, Any]:
        """The directory snapshot."""
        snapshot = self._runtime.snapshot
        if snapshot is None:
            raise SynapseError(404, "There is no directory snapshot yet", Codes.NOT_FOUND)
        text = await self._runtime.api.defer_to_thread(snapshot.to_json)
        if call.etag(hashlib.sha256(text).hexdigest()):
            return 304, {}
        return 200, orjson.loads(text)

    async def readers(self, _call: Call) -> tuple[int, Any]:
        """Who reads the compliance rooms and who approves, by name."""
        raise SynapseError(404, "not yet", Codes.NOT_FOUND)

    async def why(self, call: Call) -> tuple[int, Any]:
        """Why somebody may or may not do something."""
        raise SynapseError(404, "not yet", Codes.NOT_FOUND)

    async def me(self, call: Call) -> tuple[int, Any]:
        """What somebody may do."""
        raise SynapseError(404, "not yet", Codes.NOT_FOUND)

    def _compiled(self) -> Compiled:
        compiled = self._runtime.compiled()
        if compiled is None:
            raise SynapseError(404, "There is no policy yet; ask your administrator", Codes.NOT_FOUND)
        return compiled

    def _about(self, call: Call) -> str:
        """Return whom a call is about: the steward names anybody, a person only themselves.

        Raises:
            SynapseError: 403 or 400.
        """
        user = call.query("user") or (call.user if call.who == "self" else None)
        if user is None:
            raise SynapseError(400, "`user` is missing", Codes.MISSING_PARAM)
        if call.who == "self" and user != call.user:
            raise SynapseError(403, "You may only ask about yourself", Codes.FORBIDDEN)
        return user
