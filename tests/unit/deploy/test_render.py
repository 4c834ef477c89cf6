"""Templates: what every configuration file must say, and how values are quoted."""

from __future__ import annotations

import configparser
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import render
from deploy.element import HIDDEN_FEATURES, element_config, well_known
from deploy.errors import DeployError
from deploy.state import Deployment, State

KEY = "A" * 43 + "="


def deployment(root: Path, **changes: Any) -> Deployment:
    """A deployment of the demo; nothing listens on its ports."""
    values: dict[str, Any] = {
        "server_name": "acme.example",
        "demo": True,
        "homeserver_port": 8008,
        "synapse_port": 8008,
        "metrics_port": 9001,
        "replication_port": 9002,
        "directory_port": 3890,
        "web_port": 9003,
        "database": "sqlite",
        "policy": root / "policy",
        "ldif": root / "directory" / "acme.ldif",
        "login_config": None,
        "presence": True,
        "timezone": "Europe/Berlin",
    }
    return Deployment.model_validate(values | changes)


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state directory whose name needs quoting."""
    made = State.at(tmp_path / 'it is "var"; all of it')
    made.create()
    render.make_secrets(made)
    return made


def written(state: State, **changes: Any) -> dict[str, Any]:
    """Write all files and read homeserver.yaml back."""
    redis = changes.pop("redis", None)
    database = changes.pop("database_url", "sqlite")
    render.write_all(state, deployment(state.root, **changes), public_key=KEY, database=database, redis=redis)
    return homeserver(state)


def homeserver(state: State) -> dict[str, Any]:
    """The homeserver's configuration as YAML reads it."""
    loaded: dict[str, Any] = yaml.safe_load((state.synapse / "homeserver.yaml").read_text())
    return loaded


MUST = {
    "federation_domain_whitelist": [],
    "trusted_key_servers": [],
    "report_stats": False,
    "url_preview_enabled": False,
    "enable_registration": False,
    "encryption_enabled_by_default_for_room_type": "off",
    "default_room_version": "11",
    "redaction_retention_period": None,
    "refreshable_access_token_lifetime": None,
    "nonrefreshable_access_token_lifetime": "24h",
    "password_config": {"enabled": True, "localdb_enabled": False},
    "turn_uris": [],
}


@pytest.mark.parametrize("key", MUST)
def test_the_homeserver_is_autonomous(state: State, key: str) -> None:
    """Every setting that keeps the server to itself is there, null and empty values included."""
    found = written(state)
    assert key in found
    assert MUST[key] == found[key]


def test_no_listener_serves_federation_or_the_network(state: State) -> None:
    """All listen on loopback; none answers other servers."""
    listeners = written(state)["listeners"]
    assert {("127.0.0.1",)} == {tuple(listener["bind_addresses"]) for listener in listeners}
    names = {name for listener in listeners for row in listener.get("resources", ()) for name in row["names"]}
    assert {"client"} == names


def test_the_modules_know_key_bots_and_directory(state: State) -> None:
    """The configuration block parses as the modules' own model."""
    from synapse_modules._config import CharterConfig  # noqa: PLC0415 - the model that Synapse will use

    block = written(state)["modules"][0]["config"]
    parsed = CharterConfig.model_validate(block)
    assert parsed.policy_keys == {"admin": KEY}
    assert parsed.bots["scribe"] == "@charter-scribe:acme.example"
    assert parsed.login is not None
    assert parsed.login.servers == ("ldap://127.0.0.1:3890",)


@pytest.mark.parametrize("bot", ["scribe", "steward"])
def test_each_bot_has_its_own_registration_and_configuration(state: State, bot: str) -> None:
    """One exclusive user, no address, no rate limit; the bot's file parses as its own model."""
    from bots.kit.config import load_config  # noqa: PLC0415 - the model that the bot will use
    from bots.scribe.config import ScribeConfig  # noqa: PLC0415 - as above
    from bots.steward.config import StewardConfig  # noqa: PLC0415 - as above

    paths = written(state)["app_service_config_files"]
    raw = yaml.safe_load(next(Path(path).read_text() for path in paths if bot in path))
    assert raw["url"] is None
    assert raw["rate_limited"] is False
    rule = raw["namespaces"]["users"][0]
    assert rule["exclusive"]
    assert re.fullmatch(rule["regex"], f"@charter-{bot}:acme.example")
    assert not re.fullmatch(rule["regex"], f"@charter-{bot}:acmeXexample")
    config = load_config(state.bots / f"{bot}.yaml", ScribeConfig if bot == "scribe" else StewardConfig)
    assert raw["as_token"] == config.token()
    assert isinstance(config, ScribeConfig | StewardConfig)
    assert config.timezone == "Europe/Berlin"
    assert set(config.bots) == {"@charter-scribe:acme.example", "@charter-steward:acme.example"}
    other = config.steward if isinstance(config, ScribeConfig) else config.scribe
    assert other in config.bots


def test_tokens_differ_and_stay(state: State) -> None:
    """Every secret is its own, and a second writing changes none."""
    before = {path.name: path.read_text() for path in state.keys.iterdir()}
    assert len(before) == len(set(before.values()))
    render.make_secrets(state)
    assert before == {path.name: path.read_text() for path in state.keys.iterdir()}


def test_every_file_with_a_secret_is_private(state: State) -> None:
    """Nobody else can read a configuration."""
    written(state, database_url="postgresql://synapse:secret@127.0.0.1/synapse", database="postgresql")
    for path in [*state.keys.iterdir(), *state.synapse.glob("*.yaml"), *state.bots.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_workers_sit_behind_nginx(state: State) -> None:
    """Main and workers have ports of their own, replication a secret, and nginx the port that people use."""
    found = written(
        state,
        worker_ports=(9011, 9012),
        synapse_port=9010,
        database="postgresql",
        database_url="postgresql://synapse@127.0.0.1/synapse",
        redis="redis://:p%40ss@127.0.0.1:6390/2",
    )
    assert found["redis"] == {"enabled": True, "host": "127.0.0.1", "port": 6390, "password": "p@ss", "dbid": 2}
    assert found["database"]["name"] == "psycopg2"
    assert found["instance_map"] == {"main": {"host": "127.0.0.1", "port": 9002}}
    assert yaml.safe_load((state.synapse / "worker2.yaml").read_text())["worker_listeners"][0]["port"] == 9012
    nginx = (state.run / "nginx.conf").read_text()
    assert "listen 127.0.0.1:8008;" in nginx
    assert "server 127.0.0.1:9011; server 127.0.0.1:9012;" in nginx


def test_the_supervisor_reads_awkward_paths(state: State) -> None:
    """Blanks, quotes and a semicolon in the state's path survive."""
    from supervisor.options import ServerOptions  # noqa: PLC0415 - the reader itself

    written(state)
    options = ServerOptions()
    options.realize(args=["-c", str(state.supervisor_config), "-n"])
    configs = {config.name: config for group in options.process_group_configs for config in group.process_configs}
    assert {"directory", "synapse", "scribe", "steward", "web"} == set(configs)
    assert str(state.logs / "synapse.log") == configs["synapse"].stdout_logfile
    assert str(state.synapse / "homeserver.yaml") in configs["synapse"].command
    assert all(not config.autostart and config.killasgroup for config in configs.values())


def test_a_path_the_supervisor_cannot_read_is_refused() -> None:
    """A comment sign after a blank would end the value, a per cent sign be expanded."""
    for path in ("/srv/a ;b", "/srv/100%", "/srv/a\nb"):
        with pytest.raises(DeployError, match="cannot read"):
            render.conf_value(path)
    assert render.conf_value("/srv/a;b") == "/srv/a;b"


def test_no_secret_is_in_the_supervisors_configuration(state: State) -> None:
    """Command lines name files, never what is in them."""
    written(state)
    text = state.supervisor_config.read_text()
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read_string(text)
    assert not any(path.read_text().strip() in text for path in state.keys.iterdir())
    assert f"user = {'root'}" in text if os.getuid() == 0 else True


def test_element_contacts_nobody_else(state: State) -> None:
    """The client knows one server and none of its makers' services."""
    config = element_config(deployment(state.root))
    assert config["default_server_config"]["m.homeserver"]["base_url"] == "http://127.0.0.1:8008"
    assert config["disable_custom_urls"]
    assert config["integrations_ui_url"] is None
    assert config["integrations_rest_url"] is None
    assert all(config["setting_defaults"][f"UIFeature.{name}"] is False for name in HIDDEN_FEATURES)
    assert well_known()["io.element.e2ee"]["force_disable"]
    assert not re.search(r"element\.io|vector\.im|matrix\.org", str(config))


@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis:/nothing", "127.0.0.1:6379"])
def test_a_redis_url_must_be_one(url: str) -> None:
    """Anything else is refused before it is written."""
    with pytest.raises(DeployError, match="redis://"):
        render.redis_settings(url)
