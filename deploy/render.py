"""Configuration files from templates: pure text from what was chosen and the secrets."""

from __future__ import annotations

import os
import re
import secrets
import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from deploy import element
from deploy.errors import DeployError
from deploy.parts import parts_of
from deploy.secret_files import private_directory, secret, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.state import Deployment, State

BOTS = ("scribe", "steward")
SUFFIX = "dc=acme,dc=example"
SERVICE_DN = f"cn=charter,{SUFFIX}"
REDIS_PORT = 6379


def environment() -> Environment:
    """The templates; an undefined name is an error, and nothing is HTML."""
    made = Environment(
        loader=PackageLoader("deploy"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML and INI; every value passes tojson or conf
        keep_trailing_newline=True,
    )
    # The stock tojson escapes for HTML; these files are read by YAML and by people.
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "sort_keys": False}
    made.filters["conf"] = conf_value
    made.filters["command"] = command_line
    return made


def conf_value(value: object) -> str:
    """A value in supervisord.conf: ` ;` begins a comment, and `%` is expanded, in some values twice.

    Raises:
        DeployError: the text cannot be written there.
    """
    text = str(value)
    if re.search(r"\n|%|\s;", text):
        msg = f"The path {text!r} holds a line break, `%` or ` ;`, which the supervisor cannot read."
        raise DeployError(msg, advice="Choose another --state DIR.")
    return text


def command_line(words: tuple[str, ...]) -> str:
    """A command in supervisord.conf, quoted as its shell-like parser wants it."""
    return conf_value(shlex.join(words))


def bot_user(name: str, server_name: str) -> str:
    """The MXID of one of Charter's own bots."""
    return f"@charter-{name}:{server_name}"


def redis_settings(url: str) -> dict[str, Any]:
    """Synapse's `redis:` block from a `redis://[:password@]host[:port][/db]` URL.

    Raises:
        DeployError: not such a URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "redis" or not parts.hostname:
        msg = "The --redis URL must look like redis://127.0.0.1:6379/0."
        raise DeployError(msg)
    settings: dict[str, Any] = {"enabled": True, "host": parts.hostname, "port": parts.port or REDIS_PORT}
    if parts.password:
        settings["password"] = unquote(parts.password)
    if parts.path.strip("/"):
        settings["dbid"] = int(parts.path.strip("/"))
    return settings


def login_block(state: State, deployment: Deployment) -> dict[str, Any]:
    """The modules' `login:` block: of the embedded directory, or as the operator wrote it."""
    if deployment.login_config is not None:
        block: Any = yaml.safe_load(deployment.login_config.read_text(encoding="utf-8"))
        if not isinstance(block, dict):
            msg = f"{deployment.login_config} does not hold the keys of a `login:` block."
            raise DeployError(msg, advice="docs/reference/settings.md lists them.")
        found: dict[str, Any] = block.get("login", block)
        return found
    return {
        "servers": [f"ldap://127.0.0.1:{deployment.directory_port}"],
        "bind_dn": SERVICE_DN,
        "bind_password_file": str(state.keys / "directory.secret"),
        "base": SUFFIX,
        "sync_interval": "5s",
        # One server on this machine: there is no other to turn to while it is left alone.
        "retry_after": "3s",
    }


def charter_block(state: State, deployment: Deployment, public_key: str) -> dict[str, Any]:
    """The configuration of `synapse_modules.Charter`."""
    return {
        "policy_keys": {"admin": public_key},
        "bots": {name: bot_user(name, deployment.server_name) for name in BOTS},
        "poll_interval": "500ms",
        "login": login_block(state, deployment),
    }


def bot_settings(state: State, deployment: Deployment, name: str) -> dict[str, Any]:
    """One bot's configuration."""
    settings: dict[str, Any] = {
        "homeserver": deployment.homeserver_url,
        "server_name": deployment.server_name,
        "user_id": bot_user(name, deployment.server_name),
        "device_id": f"CHARTER_{name.upper()}",
        "token_file": str(state.keys / f"{name}.token"),
        "state": str(state.bots / f"{name}.db"),
        "heartbeat": "2s",
        "sync_timeout": "4s",
    }
    settings |= {
        "bots": [bot_user(bot, deployment.server_name) for bot in BOTS],
        "timezone": deployment.timezone,
    }
    if name == "scribe":
        settings |= {
            "ledger": f"sqlite:///{state.ledger}",
            "steward": bot_user("steward", deployment.server_name),
        }
    if name == "steward":
        settings["scribe"] = bot_user("scribe", deployment.server_name)
    return settings


def make_secrets(state: State) -> None:
    """Make what is missing of the secrets; those that exist are never changed."""
    for name in ("macaroon.secret", "form.secret", "replication.secret", "directory.secret"):
        secret(state.keys / name)
    for bot in BOTS:
        secret(state.keys / f"{bot}.token")
        secret(state.keys / f"{bot}.hs.token")
    secret(state.keys / "signing.key", _signing_key)


def _signing_key() -> str:
    """A new key in the format of Synapse's own file: `ed25519 a_VERSION BASE64`."""
    from signedjson.key import encode_signing_key_base64, generate_signing_key  # noqa: PLC0415 - only `up` needs it

    key = generate_signing_key("a_" + secrets.token_hex(3))
    return f"{key.alg} {key.version} {encode_signing_key_base64(key)}"


def write_all(state: State, deployment: Deployment, *, public_key: str, database: str, redis: str | None) -> None:
    """Write every configuration file of the deployment; all are private, for some hold secrets."""
    templates = environment()
    registrations = [state.synapse / f"{bot}.registration.yaml" for bot in BOTS]
    common: dict[str, Any] = {"d": deployment, "state": state, "root": os.getuid() == 0}

    def render(template: str, path: Path, **values: Any) -> None:
        write_private(path, templates.get_template(template).render(**common, **values))

    render(
        "homeserver.yaml.j2",
        state.synapse / "homeserver.yaml",
        database=database,
        redis=redis_settings(redis) if redis else None,
        registrations=[str(path) for path in registrations],
        well_known=element.well_known(),
        charter_block=charter_block(state, deployment, public_key),
    )
    render("log.yaml.j2", state.synapse / "log.yaml")
    ports = deployment.ports()
    for number, port in enumerate(deployment.worker_ports, start=1):
        name = f"worker{number}"
        metrics = ports.get(f"{name}_metrics")
        render("worker.yaml.j2", state.synapse / f"{name}.yaml", name=name, port=port, metrics=metrics)
    if deployment.worker_ports:
        private_directory(state.run / "nginx")
        render("nginx.conf.j2", state.run / "nginx.conf")
    for bot, path in zip(BOTS, registrations, strict=True):
        user = bot_user(bot, deployment.server_name)
        render(
            "registration.yaml.j2",
            path,
            localpart=user[1:].partition(":")[0],
            as_token=secret(state.keys / f"{bot}.token"),
            hs_token=secret(state.keys / f"{bot}.hs.token"),
            pattern=re.escape(user),
        )
        render("bot.yaml.j2", state.bots / f"{bot}.yaml", settings=bot_settings(state, deployment, bot))
    desktop = private_directory(state.root / "element")
    render("element.json.j2", desktop / "config.json", element=element.element_config(deployment))
    render("supervisord.conf.j2", state.supervisor_config, parts=parts_of(state, deployment))
