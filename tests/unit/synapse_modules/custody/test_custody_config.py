"""The configuration block parses strictly and says everything that is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from synapse.module_api.errors import ConfigError

from synapse_modules import PARTS, Charter
from synapse_modules._config import bot_kind, parse_config

KEY = "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU2Nzg="
GOOD: dict[str, Any] = {"policy_keys": {"admin": KEY}, "bots": {"scribe": "@s:a.example"}, "poll_interval": "250ms"}


def test_block_parses_and_is_frozen() -> None:
    """Units become seconds, what is left out has its default."""
    config = Charter.parse_config(GOOD)
    assert (config.poll_interval, config.heartbeat_timeout, config.login) == (0.25, 60.0, None)
    with pytest.raises(ValueError, match="frozen"):
        config.poll_interval = 1.0  # type: ignore[misc]  # that is the point


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "policy_keys"),
    "no keys": ({"policy_keys": {}}, "policy_keys"),
    "key of another length": ({"policy_keys": {"admin": "YWJj"}}, "32 bytes"),
    "key that is no base64": ({"policy_keys": {"admin": "!"}}, "not base64"),
    "unknown setting": (GOOD | {"pol_interval": "1s"}, "pol_interval"),
    "interval without unit": (GOOD | {"poll_interval": "500"}, "poll_interval"),
    "interval of zero": (GOOD | {"poll_interval": "0s"}, "poll_interval"),
    "one account for two bots": (GOOD | {"bots": {"scribe": "@s:a", "steward": "@s:a"}}, "share an account"),
    "bad directory block": (GOOD | {"login": {"servers": []}}, "login.servers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_block_names_the_setting(name: str) -> None:
    """Synapse does not start, and prints which setting is wrong."""
    block, words = BAD[name]
    with pytest.raises(ConfigError, match=words):
        parse_config(block)


def test_every_other_role_is_a_gateway() -> None:
    """Only scribe and steward are special."""
    assert [bot_kind(role) for role in ("scribe", "steward", "partner-xmpp")] == ["scribe", "steward", "gateway"]


def test_parts_load_in_order() -> None:
    """Custody first, so that records have somewhere to go; the gates last."""
    names = [name for _, name in PARTS]
    assert names == ["Custody", "DirectoryLogin", "Sessions", "Gatekeeper", "FederationGate"]
