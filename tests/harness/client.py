"""A raw client of the client-server API, and what it got."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Response:
    """Status and JSON body of one request."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Client:
    """A raw client-server API client: what a person's (or an attacker's) program can do."""

    base_url: str
    token: str | None = None
    user_id: str = ""
    device_id: str = ""
    as_user: str | None = None
    _counter: int = 0

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        within: float = 60,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one request below the server's root; `body` bytes go as they are, the rest as JSON."""
        asked = dict(query or {})
        if self.as_user is not None:
            asked.setdefault("user_id", self.as_user)
        url = self.base_url + path + ("?" + urllib.parse.urlencode(asked) if asked else "")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - loopback
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=within) as answer:  # noqa: S310 - loopback
                return _response(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return _response(error.code, error.read(), dict(error.headers))

    def get(self, path: str, **query: str) -> Response:
        """GET below /_matrix/client/v3."""
        return self.request("GET", "/_matrix/client/v3" + path, query=query)

    def post(self, path: str, body: Any = None, **query: str) -> Response:
        """POST below /_matrix/client/v3."""
        return self.request("POST", "/_matrix/client/v3" + path, {} if body is None else body, query=query)

    def put(self, path: str, body: Any, **query: str) -> Response:
        """PUT below /_matrix/client/v3."""
        return self.request("PUT", "/_matrix/client/v3" + path, body, query=query)

    def send(self, room: str, content: Any, event_type: str = "m.room.message") -> Response:
        """Send a message-like event with a fresh transaction id."""
        self._counter += 1
        txn = f"t{os.getpid()}-{id(self)}-{self._counter}"
        return self.put(f"/rooms/{_q(room)}/send/{_q(event_type)}/{txn}", content)

    def say(self, room: str, text: str) -> Response:
        """Send a text message."""
        return self.send(room, {"msgtype": "m.text", "body": text})

    def state(self, room: str, event_type: str, content: Any, key: str = "") -> Response:
        """Send a state event."""
        return self.put(f"/rooms/{_q(room)}/state/{_q(event_type)}/{_q(key)}", content)

    def upload(self, data: bytes, content_type: str, name: str = "file") -> Response:
        """Upload media."""
        return self.request(
            "POST", "/_matrix/media/v3/upload", data, headers={"Content-Type": content_type}, query={"filename": name}
        )

    def create_room(self, **config: Any) -> Response:
        """Create a room."""
        return self.post("/createRoom", config)

    def join(self, room: str) -> Response:
        """Join a room."""
        return self.post(f"/join/{_q(room)}")

    def invite(self, room: str, user: str, **extra: Any) -> Response:
        """Invite somebody."""
        return self.post(f"/rooms/{_q(room)}/invite", {"user_id": user, **extra})

    def messages(self, room: str, limit: int = 200) -> list[dict[str, Any]]:
        """Return what this user can read of the room's timeline, oldest first."""
        answer = self.get(f"/rooms/{_q(room)}/messages", dir="b", limit=str(limit))
        assert answer.status == 200, answer
        events: list[dict[str, Any]] = answer.body["chunk"]
        return events[::-1]


def _q(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _response(status: int, data: bytes, headers: dict[str, str]) -> Response:
    try:
        return Response(status, json.loads(data), headers)
    except ValueError:
        return Response(status, data, headers)
