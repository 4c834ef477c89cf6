"""JSON over HTTP to the deployment's own servers: blocking, short time-outs, never through a proxy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_SECONDS = 10.0

_OPENER = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `status` is 0 when nothing did, and `body` then says why under `error`."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == 200  # noqa: PLR2004 - the status code itself


def request(  # noqa: PLR0913 - the parts of a request
    method: str,
    url: str,
    *,
    token: str | None = None,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    data: bytes | None = None,
    content_type: str = "application/json",
    timeout: float = TIMEOUT_SECONDS,
) -> Answer:
    """Ask; total: a refusal, a broken connection and a body that is no JSON are answers too."""
    if query:
        url = f"{url}?{urlencode(query)}"
    if body is not None:
        data = json.dumps(body).encode()
    made = Request(url, data=data, method=method)  # noqa: S310 - the deployment's own http:// addresses
    if data is not None:
        made.add_header("Content-Type", content_type)
    if token is not None:
        made.add_header("Authorization", f"Bearer {token}")
    try:
        with _OPENER.open(made, timeout=timeout) as response:
            return Answer(response.status, _decode(response.read()))
    except HTTPError as error:
        with error:
            return Answer(error.code, _decode(error.read()))
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        return Answer(0, {"error": str(reason)})


def _decode(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return {"error": raw[:200].decode("utf-8", errors="replace")}
