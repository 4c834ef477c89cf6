"""Registering the bot and pinning its one device."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

from bots.kit.client import CLIENT, UNAUTHORIZED, BotClient, ServerError

if TYPE_CHECKING:
    from bots.kit.config import BotConfig

logger = logging.getLogger(__name__)

_FORBIDDEN = 403
_BAD_REQUEST = 400
_NOT_FOUND = 404


class IdentityError(Exception):
    """Synapse does not accept the bot's token or name; waiting will not help."""


async def pin_device(client: BotClient, config: BotConfig) -> None:
    """Make sure that the bot's user and device exist; idempotent.

    The token that the log-in returns expires; it is thrown away, the as_token stays in use.

    Raises:
        IdentityError: the token is wrong, or its registration does not cover the user.
        ServerError: Synapse cannot answer now.

    Source: Matrix client-server API, application service extensions (identity assertion, log-in).
    """
    try:
        await client.call("GET", f"{CLIENT}/account/whoami")
    except ServerError as error:
        if error.status not in {_BAD_REQUEST, UNAUTHORIZED, _FORBIDDEN}:
            raise
        if error.errcode == "M_UNKNOWN_TOKEN" and error.status == UNAUTHORIZED:
            msg = f"Synapse does not know the token in {config.token_file}"
            raise IdentityError(msg) from error
    else:
        await _show_name(client, config)
        return
    client.masquerade = False
    try:
        await _register(client, config)
        await _log_in(client, config)
    finally:
        client.masquerade = True
    answer = await client.call("GET", f"{CLIENT}/account/whoami")
    logger.info("device pinned user=%s device=%s", answer.get("user_id"), answer.get("device_id"))
    await _show_name(client, config)


async def _show_name(client: BotClient, config: BotConfig) -> None:
    """Make the display name what the configuration says; a server that refuses is no reason not to work."""
    path = f"{CLIENT}/profile/{quote(config.user_id, safe='')}/displayname"
    try:
        shown = await client.call("GET", path, allow=frozenset({_NOT_FOUND}))
        if shown.get("displayname") != config.display_name:
            await client.call("PUT", path, {"displayname": config.display_name})
    except ServerError as error:
        logger.warning("the display name was not set: %s", error.error)


async def _register(client: BotClient, config: BotConfig) -> None:
    localpart = config.user_id[1:].split(":", 1)[0]
    body = {"type": "m.login.application_service", "username": localpart, "inhibit_login": True}
    try:
        await client.call("POST", f"{CLIENT}/register", body)
    except ServerError as error:
        if error.passing and error.status != UNAUTHORIZED:
            raise
        if error.errcode != "M_USER_IN_USE":
            raise _refused(config, error) from error


async def _log_in(client: BotClient, config: BotConfig) -> None:
    body = {
        "type": "m.login.application_service",
        "identifier": {"type": "m.id.user", "user": config.user_id},
        "device_id": config.device_id,
        "initial_device_display_name": "Charter",
    }
    try:
        await client.call("POST", f"{CLIENT}/login", body)
    except ServerError as error:
        if error.passing and error.status != UNAUTHORIZED:
            raise
        raise _refused(config, error) from error


def _refused(config: BotConfig, error: ServerError) -> IdentityError:
    return IdentityError(f"Synapse refuses {config.user_id} with the token in {config.token_file}: {error.error}")
