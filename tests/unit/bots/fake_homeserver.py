"""A scripted homeserver: the little of the client API that the kit uses, failing on demand."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from bots.kit.client import BotClient
from bots.kit.config import BotConfig

if TYPE_CHECKING:
    from pathlib import Path

SCRIBE = "@charter-scribe:acme.example"


@dataclass
class Failure:
    """How the next request to a path goes wrong.

    `after` is true where the server has done its work and only the answer is lost or bad.
    """

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    after: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class FakeHomeserver:
    """Keeps events by room and transaction ids by device, like Synapse; listens on loopback."""

    def __init__(self) -> None:
        self.sent: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.transactions: dict[str, str] = {}
        self.failures: list[Failure] = []
        self.requests: list[web.Request] = []
        self.syncs: list[Any] = []
        self.pages: dict[str, dict[str, Any]] = {}
        self.custody: dict[str, Any] = {}
        self.bodies: list[tuple[str, Any]] = []
        self.refusals: set[str] = set()

    async def __aenter__(self) -> Self:
        """Serve."""
        app = web.Application()
        app.router.add_put("/_matrix/client/v3/rooms/{room}/send/{type}/{txn}", self._send)
        app.router.add_get("/_matrix/client/v3/rooms/{room}/messages", self._messages)
        app.router.add_get("/_matrix/client/v3/sync", self._sync)
        app.router.add_route("*", "/{path:.*}", self._other)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self._runner.cleanup()

    def config(self, folder: Path) -> BotConfig:
        """Return a configuration that points here."""
        return BotConfig(
            homeserver=self.url,
            server_name="acme.example",
            user_id=SCRIBE,
            device_id="CHARTER",
            token_file=folder / "token",
            state=folder / "state.db",
        )

    def client(self, folder: Path) -> BotClient:
        """Return a client of this server."""
        return BotClient(self.config(folder), "secret")

    def _fail(self, *, after: bool) -> web.Response | None:
        if self.failures and self.failures[0].after == after:
            failure = self.failures.pop(0)
            return web.json_response(failure.body, status=failure.status, headers=failure.headers)
        return None

    async def _send(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        failed = self._fail(after=False)
        if failed is not None:
            return failed
        room, txn = request.match_info["room"], request.match_info["txn"]
        if txn not in self.transactions:
            self.transactions[txn] = f"${len(self.transactions)}"
            content = await request.json()
            self.sent[room].append({"event_id": self.transactions[txn], "content": content, "sender": SCRIBE})
        return self._fail(after=True) or web.json_response({"event_id": self.transactions[txn]})

    async def _messages(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        failed = self._fail(after=False)
        if failed is not None:
            return failed
        start = request.query.get("from")
        if start is None:
            return web.json_response({"chunk": self.sent[request.match_info["room"]][::-1]})
        return web.json_response(self.pages[start])

    async def _sync(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        answer = self.syncs.pop(0)
        if isinstance(answer, Failure):
            return web.json_response(answer.body, status=answer.status, headers=answer.headers)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(text=text, content_type="application/json")

    async def _other(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        path = request.path.rsplit("/v1/", 1)[-1] if "/charter/" in request.path else request.path
        if request.can_read_body:
            self.bodies.append((path, await request.json()))
        if path in self.refusals:
            return web.json_response({"errcode": "M_FORBIDDEN", "error": "refused"}, status=403)
        answer = self.custody.get(f"{request.method} {path}", self.custody.get(path))
        if answer is None:
            return web.json_response({"errcode": "M_NOT_FOUND", "error": "no"}, status=404)
        return web.json_response(answer(request) if callable(answer) else answer)
