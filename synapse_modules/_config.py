"""The configuration block of the Synapse modules as frozen, strict models.

A field's ``description`` is the manual's text; ``docs/reference/settings.md`` is generated from it by
:mod:`synapse_modules.reference`.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from synapse_modules._login_config import LoginConfig

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_INTERVAL = re.compile(r"^(\d+)(ms|s|m|h|d)$")
_ED25519_BYTES = 32


def _interval(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _INTERVAL.match(value.strip())
    if match is None:
        msg = "a number and a unit (ms, s, m, h or d), such as `500ms` or `30s`"
        raise ValueError(msg)
    return int(match[1]) * _UNITS[match[2]]


def _public_key(value: str) -> str:
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        msg = "not base64"
        raise ValueError(msg) from error
    if len(raw) != _ED25519_BYTES:
        msg = "an Ed25519 public key is 32 bytes"
        raise ValueError(msg)
    return value


Interval = Annotated[float, BeforeValidator(_interval), Field(gt=0)]
"""Seconds, written with a unit: `500ms`, `30s`, `10m`."""

PublicKey = Annotated[str, AfterValidator(_public_key)]
"""Base64 of the 32 bytes of an Ed25519 public key."""


class Settings(BaseModel):
    """Base of the module settings: frozen, strict, and refusing unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CharterConfig(Settings):
    """The whole block, shared by all parts."""

    policy_keys: dict[str, PublicKey] = Field(
        min_length=1, description="Key id -> base64 of an Ed25519 public key; whose signatures count on policies."
    )
    bots: dict[str, str] = Field(
        default_factory=dict,
        description="Role -> MXID of an application-service user: `scribe`, `steward`; any other role is a gateway.",
    )
    poll_interval: Interval = Field(
        0.5, description="How often each process looks for a new policy or directory snapshot. Default `500ms`."
    )
    heartbeat_timeout: Interval = Field(60.0, description="A bot silent for so long raises an alarm. Default `60s`.")
    outbox_alarm: int = Field(
        10_000, ge=1, description="Records waiting in the outbox above which an alarm is raised. Default 10000."
    )
    login: LoginConfig | None = Field(None, description="The company's directory; left out: no directory log-on.")

    @model_validator(mode="after")
    def _distinct_bots(self) -> CharterConfig:
        if len(set(self.bots.values())) != len(self.bots):
            msg = "two roles of `bots` share an account; each process needs its own"
            raise ValueError(msg)
        return self


BotKind = Literal["scribe", "steward", "gateway"]


def bot_kind(role: str) -> BotKind:
    """Return what a role of ``bots`` may do: every role but scribe and steward is a gateway's."""
    if role == "scribe":
        return "scribe"
    return "steward" if role == "steward" else "gateway"


def parse_config(config: dict[str, Any]) -> CharterConfig:
    """Parse the block as Synapse hands it over.

    Raises:
        ConfigError: with every problem, each named by its path; Synapse prints it and does not start.
    """
    from synapse.config._base import ConfigError  # noqa: PLC0415 - the command line imports this file without Synapse

    try:
        return CharterConfig.model_validate(config)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'config'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        msg = f"Charter's configuration: {problems}"
        raise ConfigError(msg) from error
