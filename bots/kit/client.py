"""The bot's client: matrix-nio's HTTP session, acting with an as_token as one user and one device."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import aiohttp
import nio  # type: ignore[import-untyped]  # nio ships no types
import orjson

from bots.kit.foreign import loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bots.kit.config import BotConfig

logger = logging.getLogger(__name__)

CLIENT = "/_matrix/client/v3"
TOO_MANY_REQUESTS = 429
UNAUTHORIZED = 401
SERVER_ERROR = 500
_OK = 300


class ServerError(Exception):
    """A request that did not succeed.

    Attributes:
        status: HTTP status; 0 if no answer arrived.
        errcode: Matrix error code, or "".
        error: the server's words.
        retry_after: seconds the server asked to wait, or None.
    """

    def __init__(self, status: int, errcode: str, error: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {errcode}: {error}")
        self.status = status
        self.errcode = errcode
        self.error = error
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return (
            self.status in {0, UNAUTHORIZED, TOO_MANY_REQUESTS}
            or self.status >= SERVER_ERROR
            or self.errcode == "M_LIMIT_EXCEEDED"
        )


def q(text: str) -> str:
    """Quote one segment of a path."""
    return quote(text, safe="")


class BotClient(nio.AsyncClient):  # type: ignore[misc]  # nio ships no types
    """nio's client with ``user_id`` and ``device_id`` on every request and the as_token as authorization.

    nio's own sync loop, event parser and room model are not used: they lose events by design.
    """

    def __init__(self, config: BotConfig, token: str) -> None:
        super().__init__(config.homeserver.rstrip("/"), config.user_id, config.device_id, ssl=True)
        self.user_id = config.user_id
        self.access_token = token
        self._identity = {"user_id": config.user_id, "device_id": config.device_id}
        self.masquerade = True

    async def send(  # noqa: PLR0913, PLR0917 - nio's signature
        self,
        method: str,
        path: str,
        data: Any = None,
        headers: dict[str, str] | None = None,
        trace_context: Any | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - nio's signature
    ) -> aiohttp.ClientResponse:
        """Send one request as this user and device."""
        headers = dict(headers or {})
        headers["Authorization"] = f"Bearer {self.access_token}"
        if self.masquerade:
            path += ("&" if "?" in path else "?") + urlencode(self._identity)
        response: aiohttp.ClientResponse = await super().send(method, path, data, headers, trace_context, timeout)
        return response

    async def call(  # noqa: PLR0913 - one place for every request
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        timeout: float = 60.0,  # noqa: ASYNC109 - handed on to aiohttp
        allow: frozenset[int] = frozenset(),
    ) -> Any:
        """Send JSON and return the JSON of a successful answer.

        Args:
            method: HTTP method.
            path: path with quoted segments, without a query.
            body: JSON value, or None for no body.
            query: query parameters.
            timeout: seconds for the whole request.
            allow: statuses whose body is returned like a success.

        Raises:
            ServerError: no answer, an unreadable one, or a status that is not a success.
        """
        if query:
            path += "?" + urlencode(query)
        data = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        try:
            response = await self.send(method, path, data, headers, None, timeout)
            async with response:
                raw = await response.read()
                status, after = response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServerError(0, "", f"no answer: {type(error).__name__}") from error
        try:
            answer = loads(raw)
        except ValueError as error:
            raise ServerError(max(status, 0) if status >= _OK else 0, "", "answer is not JSON", _wait(after)) from error
        if status >= _OK and status not in allow:
            raise _error(status, answer, after)
        return answer

    async def close(self) -> None:
        """Close the HTTP session and let its sockets go."""
        await super().close()
        await asyncio.sleep(0)


def _wait(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None


def _error(status: int, answer: Any, header: str | None) -> ServerError:
    fields = answer if isinstance(answer, dict) else {}
    wait = _wait(header)
    milliseconds = fields.get("retry_after_ms")
    if wait is None and isinstance(milliseconds, int | float):
        wait = max(0.0, milliseconds / 1000)
    return ServerError(status, str(fields.get("errcode", "")), str(fields.get("error", ""))[:300], wait)
