"""One employee at a keyboard: the real client API, logged on with the password of the directory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deploy import http_json
from deploy.errors import DeployError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.http_json import Answer

MARKER = "org.charter.refusal"
_numbers = itertools.count(1)


@dataclass
class Seat:
    """A logged-on employee."""

    homeserver: str
    user: str
    user_id: str
    token: str
    device: str
    _prefix: str = field(init=False)

    def __post_init__(self) -> None:
        """Transaction ids are this device's own."""
        self._prefix = f"tour-{self.device}"

    @classmethod
    def log_on(cls, homeserver: str, user: str, password: str) -> Seat:
        """Log on with a password.

        Raises:
            DeployError: refused; the tour cannot go on.
        """
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "initial_device_display_name": "charter tour",
        }
        answer = http_json.request("POST", f"{homeserver}/_matrix/client/v3/login", body=body)
        if not answer.ok:
            msg = f"{user} could not log on: {answer.body.get('error', answer.status)}"
            raise DeployError(msg)
        return cls(homeserver, user, answer.body["user_id"], answer.body["access_token"], answer.body["device_id"])

    def log_off(self) -> None:
        """End the session."""
        self.call("POST", "/_matrix/client/v3/logout", body={})

    def call(self, method: str, path: str, **rest: Any) -> Answer:
        """One request of this employee."""
        return http_json.request(method, self.homeserver + path, token=self.token, **rest)

    def send(self, room: str, kind: str, content: Mapping[str, Any]) -> Answer:
        """Send a message-like event."""
        transaction = f"{self._prefix}-{next(_numbers)}"
        path = f"/_matrix/client/v3/rooms/{quote(room)}/send/{quote(kind)}/{transaction}"
        return self.call("PUT", path, body=dict(content))

    def event(self, room: str, event_id: str) -> dict[str, Any]:
        """An event as the others see it."""
        answer = self.call("GET", f"/_matrix/client/v3/rooms/{quote(room)}/event/{quote(event_id)}")
        return answer.body if isinstance(answer.body, dict) else {}

    def upload(self, name: str, data: bytes, content_type: str) -> Answer:
        """Upload a file."""
        path = "/_matrix/media/v3/upload"
        return self.call("POST", path, query={"filename": name}, data=data, content_type=content_type)

    def create_room(self, **settings: Any) -> Answer:
        """Create a room."""
        return self.call("POST", "/_matrix/client/v3/createRoom", body=settings)

    def invite(self, room: str, user_id: str) -> Answer:
        """Invite somebody."""
        return self.call("POST", f"/_matrix/client/v3/rooms/{quote(room)}/invite", body={"user_id": user_id})

    def join(self, room: str) -> Answer:
        """Accept an invitation."""
        return self.call("POST", f"/_matrix/client/v3/rooms/{quote(room)}/join", body={})
