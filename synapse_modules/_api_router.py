"""The rim of custody's HTTP API: routes as data, who may call, body limits, Matrix errors.

A handler gets a :class:`Call` and returns a status and JSON. What it raises other than SynapseError becomes Synapse's plain 500, which
names no internals; the traceback is in the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import orjson
from synapse.api.errors import Codes, MissingClientTokenError, SynapseError
from synapse.module_api import DirectServeJsonResource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from synapse.http.site import SynapseRequest

    from synapse_modules._runtime import Runtime

PREFIX = "/_synapse/client/charter/v1"
BODY_LIMIT = 256 * 1024

Who = Literal["scribe", "steward", "gateway", "self", "anyone"]
"""`self` is any person with a token of their own; the handler sees to it that they ask about themselves."""

ANY_BOT: frozenset[Who] = frozenset({"scribe", "steward", "gateway"})
RECORDERS: frozenset[Who] = frozenset({"scribe", "steward"})
SUBMITTERS: frozenset[Who] = frozenset({"steward", "gateway"})
SCRIBE: frozenset[Who] = frozenset({"scribe"})
ANYONE: frozenset[Who] = ANY_BOT | {"anyone"}
PERSONAL: frozenset[Who] = frozenset({"steward", "self"})


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request.

    Attributes:
        request: Synapse's request; handlers use it for headers only.
        user: MXID of the caller; "" for calls that need no token.
        who: as what the caller was let in.
        role: the bot's role of the configuration, or None.
        parts: what the route's pattern captured, unquoted.
    """

    request: SynapseRequest
    user: str
    who: Who
    role: str | None
    parts: dict[str, str]

    def query(self, name: str) -> str | None:
        """Return a query parameter, or None.

        Raises:
            SynapseError: 400, not UTF-8.
        """
        args: dict[bytes, list[bytes]] = self.request.args or {}
        values = args.get(name.encode())
        if not values:
            return None
        try:
            return values[-1].decode()
        except UnicodeDecodeError as error:
            raise SynapseError(400, f"{name} is not UTF-8", Codes.INVALID_PARAM) from error

    def whole_number(self, name: str, default: int) -> int:
        """Return a query parameter as a number.

        Raises:
            SynapseError: 400, not a number.
        """
        text = self.query(name)
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{1,9}", text) is None:
            raise SynapseError(400, f"{name} must be a whole number", Codes.INVALID_PARAM)
        return int(text)

    def raw(self, limit: int = BODY_LIMIT) -> bytes:
        """Return the body.

        Raises:
            SynapseError: 413, longer than `limit` bytes.
        """
        body = self.request.content
        data: bytes = b"" if body is None else body.read(limit + 1)
        if len(data) > limit:
            raise SynapseError(413, f"The body is longer than {limit} bytes", Codes.TOO_LARGE)
        return data

    def json(self, limit: int = BODY_LIMIT) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            SynapseError: 400 or 413.
        """
        try:
            value = orjson.loads(self.raw(limit))
        except ValueError as error:
            raise SynapseError(400, "The body is not JSON", Codes.NOT_JSON) from error
        if not isinstance(value, dict):
            raise SynapseError(400, "The body is not a JSON object", Codes.BAD_JSON)
        return value

    def etag(self, digest: str) -> bool:
        """Set the answer's ETag; True if the caller has this version already (answer 304 then)."""
        tag = f'"{digest}"'
        self.request.setHeader(b"ETag", tag.encode())  # type: ignore[no-untyped-call]  # twisted is untyped here
        known = self.request.getHeader(b"If-None-Match")
        return known is not None and known == tag.encode()


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API: method, path below the prefix (``{name}`` captures one segment), callers, handler."""

    method: str
    path: str
    who: frozenset[Who]
    handler: Callable[[Call], Awaitable[tuple[int, Any]]]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return what the path captures, or None if this is another call."""
        if method != self.method:
            return None
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path), path)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


class Api(DirectServeJsonResource):
    """The resource that is registered on every process."""

    isLeaf = True  # noqa: N815 - the name that twisted reads

    def __init__(self, runtime: Runtime, routes: Iterable[Route]) -> None:
        super().__init__(clock=runtime.api._clock)  # noqa: SLF001 - the resource wants the process's own clock
        self._runtime = runtime
        self.routes = tuple(routes)

    async def _async_render(self, request: SynapseRequest) -> tuple[int, Any] | None:
        method = request.method.decode("ascii")
        if method == "OPTIONS":
            return 200, {}
        path = request.path.decode("ascii", "replace").removeprefix(PREFIX)
        for route in self.routes:
            parts = route.match("GET" if method == "HEAD" else method, path)
            if parts is not None:
                request.request_metrics.name = f"Charter {route.method} {route.path}"
                call = await self._admit(request, route, parts)
                return await route.handler(call)
        raise SynapseError(404, "Unrecognized request", Codes.UNRECOGNIZED)

    async def _admit(self, request: SynapseRequest, route: Route, parts: dict[str, str]) -> Call:
        """Authenticate and authorise.

        A bot is its MXID *and* a token of an application service that owns it exclusively: a token that an administrator made to act
        as the bot, or another application service with a wide namespace, is not the bot.

        Raises:
            SynapseError: 401 or 403.
        """
        try:
            requester = await self._runtime.api.get_user_by_req(request)
        except MissingClientTokenError:
            if "anyone" in route.who:
                return Call(request, "", "anyone", None, parts)
            raise
        user = requester.user.to_string()
        service_id = requester.app_service_id
        if service_id is not None and self._owns(service_id, user):
            kind = self._runtime.bot_kind(user)
            if kind is not None and kind in route.who:
                return Call(request, user, kind, self._runtime.role(user), parts)
        if "anyone" in route.who:
            return Call(request, user, "anyone", None, parts)
        if "self" in route.who and service_id is None:
            return Call(request, user, "self", None, parts)
        raise SynapseError(403, "This account may not use this call", Codes.FORBIDDEN)

    def _owns(self, service_id: str, user: str) -> bool:
        store = self._runtime.api._store  # noqa: SLF001 - the module API knows no application services
        service = store.get_app_service_by_id(service_id)
        return service is not None and service.is_exclusive_user(user)
