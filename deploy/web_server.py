"""Serves the browser client on the loopback interface, with its configuration and the well-known answer."""

from __future__ import annotations

import argparse
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from deploy.element import TRANSLATIONS, client_well_known, element_config
from deploy.errors import DeployError
from deploy.ports import LOOPBACK
from deploy.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from deploy.state import Deployment

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HASHED = ("/assets/", "/chunks/")


def security_headers(homeserver: str) -> dict[str, str]:
    """Headers of every answer: the page may talk to its own homeserver and to nobody else."""
    policy = (
        "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'; "
        "script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
        f"img-src 'self' blob: data: {homeserver}; media-src 'self' blob: data: {homeserver}; "
        f"connect-src 'self' blob: data: {homeserver}; worker-src 'self' blob:; child-src 'self' blob:; manifest-src 'self'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


def application(deployment: Deployment, files: Path) -> web.Application:
    """The site: static files, `/config.json`, `/translations.json` and `/.well-known/matrix/client`."""
    headers = security_headers(deployment.homeserver_url)

    @web.middleware
    async def harden(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        response.headers.update(headers)
        hashed = request.path.startswith(_HASHED)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response

    async def page(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(files / "index.html")

    async def config(_request: web.Request) -> web.StreamResponse:
        return web.json_response(element_config(deployment))

    async def well_known(_request: web.Request) -> web.StreamResponse:
        return web.json_response(client_well_known(deployment), headers={"Access-Control-Allow-Origin": "*"})

    async def translations(_request: web.Request) -> web.StreamResponse:
        return web.json_response(TRANSLATIONS, headers={"Access-Control-Allow-Origin": "*"})

    app = web.Application(middlewares=[harden])
    app.router.add_get("/", page)
    app.router.add_get("/config.json", config)
    app.router.add_get(f"/config.{LOOPBACK}.json", config)
    app.router.add_get("/translations.json", translations)
    app.router.add_get("/.well-known/matrix/client", well_known)
    app.router.add_static("/", files)
    return app


def main() -> None:
    """Serve until the supervisor ends it."""
    parser = argparse.ArgumentParser(description="Serve the browser client of a deployment.")
    parser.add_argument("--state", type=Path, required=True)
    state = State.at(parser.parse_args().state)
    deployment = state.load()
    if deployment is None:
        msg = f"There is no deployment in {state.root}."
        raise DeployError(msg)
    mimetypes.add_type("application/wasm", ".wasm")
    web.run_app(application(deployment, state.web), host=LOOPBACK, port=deployment.web_port, print=None)


if __name__ == "__main__":
    main()
