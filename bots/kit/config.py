"""A bot's configuration: one YAML file, parsed into a frozen model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class ConfigError(Exception):
    """A configuration that cannot be used; the message is one line for the operator."""


def _seconds(value: Any) -> Any:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        msg = "is not a duration such as 10s, 5m or 2h"
        raise ValueError(msg)
    return float(match[1]) * _UNITS[match[2]]


Duration = Annotated[float, BeforeValidator(_seconds)]
"""Seconds; written with a unit in YAML."""


class BotConfig(BaseModel):
    """What every bot needs to know.

    Attributes:
        homeserver: URL of Synapse's client API.
        server_name: the server's name, the part of an MXID after the colon.
        user_id: the bot's own MXID.
        device_id: the bot's one device; created at the first start.
        display_name: the name under which people see the bot.
        token_file: file with the as_token of the bot's registration; relative to the configuration file.
        state: SQLite file with the outgoing queue and what the bot remembers; relative likewise.
        log_level: least severe level that is logged.
        heartbeat: how often the bot tells custody that it lives.
        sync_timeout: how long Synapse may hold an empty /sync.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    homeserver: str = Field(pattern=r"^https?://[^/]+/?$")
    server_name: str = Field(min_length=1)
    user_id: str = Field(pattern=r"^@[^:]+:.+$")
    device_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    display_name: str = Field(default="Charter", min_length=1, max_length=100)
    token_file: Path
    state: Path
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    heartbeat: Duration = 10.0
    sync_timeout: Duration = 30.0

    def token(self) -> str:
        """Read the as_token.

        Raises:
            ConfigError: the file is missing or empty.
        """
        try:
            token = self.token_file.read_text().strip()
        except OSError as error:
            msg = f"token_file: cannot read {self.token_file}: {error.strerror}"
            raise ConfigError(msg) from error
        if not token or len(token.split()) != 1:
            msg = f"token_file: {self.token_file} does not hold one token"
            raise ConfigError(msg)
        return token


C = TypeVar("C", bound=BotConfig)


def load_config(path: Path, model: type[C]) -> C:
    """Read and check a configuration file.

    Raises:
        ConfigError: unreadable, not YAML, or not what `model` says; one line that names the key.
    """
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise ConfigError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path} is not YAML: {' '.join(str(error).split())}"
        raise ConfigError(msg) from error
    if not isinstance(raw, dict):
        msg = f"{path} must hold keys and values"
        raise ConfigError(msg)
    for key in ("token_file", "state"):
        if isinstance(raw.get(key), str):
            raw[key] = path.parent / raw[key]
    try:
        config = model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "configuration"
        msg = f"{path}: {where}: {first['msg']}"
        raise ConfigError(msg) from error
    if not config.user_id.endswith(":" + config.server_name):
        msg = f"{path}: user_id: {config.user_id} is not a user of {config.server_name}"
        raise ConfigError(msg)
    return config
