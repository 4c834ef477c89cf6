"""A real Synapse for tests: a monolith on SQLite, or main and workers on PostgreSQL and Redis."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.client import Client, Response
from tests.harness.ports import free_ports
from tests.harness.waiting import until

__all__ = ["SERVER_NAME", "AppService", "Client", "Homeserver", "Response"]

SERVER_NAME = "acme.example"
SECRET = "test-only-registration-secret"


@dataclass
class AppService:
    """One application-service registration of a bot."""

    localpart: str
    as_token: str
    hs_token: str

    def registration(self, server_name: str) -> dict[str, Any]:
        """Return the registration file's content."""
        regex = f"@{self.localpart}:{server_name}".replace(".", "\\.")
        return {
            "id": self.localpart,
            "url": None,
            "as_token": self.as_token,
            "hs_token": self.hs_token,
            "sender_localpart": f"_{self.localpart}",  # Synapse serves no /sync to the sender itself
            "rate_limited": False,
            "namespaces": {"users": [{"exclusive": True, "regex": regex}], "rooms": [], "aliases": []},
        }


@dataclass
class Homeserver:
    """A Synapse below `folder`; nothing runs before `start()`.

    Attributes:
        folder: everything it writes.
        modules: the ``modules:`` list of homeserver.yaml.
        extra: merged over the generated configuration.
        bots: localparts that get an application-service registration.
        workers: number of generic workers (needs `database` and `redis`).
        database: SQLAlchemy URL of PostgreSQL; None is SQLite.
        redis: Redis URL.
    """

    folder: Path
    modules: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    bots: tuple[str, ...] = ()
    workers: int = 0
    database: str | None = None
    redis: str | None = None
    server_name: str = SERVER_NAME
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose ports and write the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = ["main", *(f"worker{n}" for n in range(1, self.workers + 1))]
        ports = free_ports(2 * len(names) + 1)
        self.ports = dict(zip(names, ports, strict=False))
        self.metrics_ports = dict(zip(names, ports[len(names) :], strict=False))
        self.replication_port = ports[-1]
        self.app_services = {name: AppService(name, f"as-{name}", f"hs-{name}") for name in self.bots}
        self.write()

    @property
    def base_url(self) -> str:
        """URL of the main process."""
        return self.url("main")

    def url(self, process: str) -> str:
        """URL of one process."""
        return f"http://127.0.0.1:{self.ports[process]}"

    def write(self) -> None:
        """Write (again) every configuration file."""
        for service in self.app_services.values():
            (self.folder / f"{service.localpart}.yaml").write_text(
                yaml.safe_dump(service.registration(self.server_name))
            )
        (self.folder / "log.yaml").write_text(yaml.safe_dump(_log_config(self.folder / "homeserver.log")))
        (self.folder / "homeserver.yaml").write_text(yaml.safe_dump(self._config() | self.extra))
        for name in self.ports:
            if name != "main":
                (self.folder / f"{name}-log.yaml").write_text(yaml.safe_dump(_log_config(self.folder / f"{name}.log")))
                (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(self._worker_config(name)))

    def _config(self) -> dict[str, Any]:
        listeners: list[dict[str, Any]] = [self._listener("main"), self._metrics("main")]
        config: dict[str, Any] = {
            "server_name": self.server_name,
            "pid_file": str(self.folder / "main.pid"),
            "report_stats": False,
            "public_baseurl": self.base_url + "/",
            "listeners": listeners,
            "database": self._database(),
            "log_config": str(self.folder / "log.yaml"),
            "media_store_path": str(self.folder / "media"),
            "signing_key_path": str(self.folder / "signing.key"),
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "registration_shared_secret": SECRET,
            "enable_metrics": True,
            "macaroon_secret_key": "test-only",
            "form_secret": "test-only",
            "default_room_version": "11",
            "federation_domain_whitelist": [],
            "encryption_enabled_by_default_for_room_type": "off",
            "redaction_retention_period": None,
            "url_preview_enabled": False,
            "modules": self.modules,
            "app_service_config_files": [str(self.folder / f"{n}.yaml") for n in self.app_services],
            "rc_message": _FAST,
            "rc_login": {"address": _FAST, "account": _FAST, "failed_attempts": _FAST},
            "rc_joins": {"local": _FAST, "remote": _FAST},
            "rc_joins_per_room": _FAST,
            "rc_registration": _FAST,
            "rc_invites": {"per_room": _FAST, "per_user": _FAST, "per_issuer": _FAST},
            "rc_media_create": _FAST,
            "rc_room_creation": _FAST,
            "rc_user_directory": _FAST,
            "user_directory": {"enabled": True, "search_all_users": True},
            "rc_admin_redaction": _FAST,
        }
        if self.workers:
            redis = urllib.parse.urlparse(self.redis or "")
            config["redis"] = {"enabled": True, "host": redis.hostname, "port": redis.port}
            config["instance_map"] = {"main": {"host": "127.0.0.1", "port": self.replication_port}}
            config["run_background_tasks_on"] = "worker1"
            listeners.append(
                {
                    "port": self.replication_port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "resources": [{"names": ["replication"]}],
                }
            )
        return config

    def _database(self) -> dict[str, Any]:
        if self.database is None:
            return {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}}
        url = urllib.parse.urlparse(self.database)
        return {
            "name": "psycopg2",
            "args": {
                "host": url.hostname,
                "port": url.port,
                "user": url.username,
                "database": url.path.lstrip("/"),
                "cp_min": 2,
                "cp_max": 6,
            },
        }

    def _listener(self, name: str) -> dict[str, Any]:
        return {
            "port": self.ports[name],
            "bind_addresses": ["127.0.0.1"],
            "type": "http",
            "resources": [{"names": ["client", "media", "health"] if name == "main" else ["client", "health"]}],
        }

    def _metrics(self, name: str) -> dict[str, Any]:
        return {"port": self.metrics_ports[name], "bind_addresses": ["127.0.0.1"], "type": "metrics"}

    def _worker_config(self, name: str) -> dict[str, Any]:
        return {
            "worker_app": "synapse.app.generic_worker",
            "worker_name": name,
            "worker_log_config": str(self.folder / f"{name}-log.yaml"),
            "worker_listeners": [self._listener(name), self._metrics(name)],
        }

    def start(self, *, within: float = 90) -> None:
        """Start every process and wait until each answers /health."""
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        if not (self.folder / "signing.key").exists():
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "synapse.app.homeserver",
                    "-c",
                    str(self.folder / "homeserver.yaml"),
                    "--generate-keys",
                ],
                check=True,
                capture_output=True,
                env=environment,
            )
        for name in self.ports:
            self.start_process(name, environment)
            until(functools.partial(self._healthy, name), f"Synapse {name} is healthy", within=within)

    def start_process(self, name: str, environment: dict[str, str] | None = None) -> None:
        """Start one process without waiting for it."""
        app = "homeserver" if name == "main" else "generic_worker"
        command = [sys.executable, "-m", f"synapse.app.{app}", "-c", str(self.folder / "homeserver.yaml")]
        if name != "main":
            command += ["-c", str(self.folder / f"{name}.yaml")]
        with (self.folder / f"{name}.out").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self.folder, env=environment
            )

    def _healthy(self, name: str) -> bool:
        code = self._processes[name].poll()
        assert code is None, f"Synapse {name} ended with {code}: {(self.folder / f'{name}.out').read_text()[-4000:]}"
        try:
            return Client(self.url(name)).request("GET", "/health", within=2).status == 200
        except OSError:
            return False

    def pid(self, name: str = "main") -> int:
        """Return the process id of a running process."""
        return self._processes[name].pid

    def kill(self, name: str = "main") -> None:
        """SIGKILL one process."""
        self._processes[name].send_signal(signal.SIGKILL)
        self._processes.pop(name).wait()

    def stop(self) -> None:
        """End every process that `start` began."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def log(self) -> str:
        """Return the log of the main process."""
        return (self.folder / "homeserver.log").read_text()

    def user(self, localpart: str, *, admin: bool = False, process: str = "main") -> Client:
        """Register a person by shared secret (no directory) and return a logged-on client."""
        plain = Client(self.base_url)
        nonce = plain.request("GET", "/_synapse/admin/v1/register").body["nonce"]
        password = f"{localpart}-password"
        parts = [nonce, localpart, password, "admin" if admin else "notadmin"]
        mac = hmac.new(SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": localpart, "password": password, "admin": admin, "mac": mac}
        answer = plain.request("POST", "/_synapse/admin/v1/register", body)
        assert answer.status == 200, answer
        return Client(self.url(process), answer.body["access_token"], answer.body["user_id"], answer.body["device_id"])

    def bot(self, localpart: str, *, process: str = "main") -> Client:
        """Return a client that acts as a bot with its as_token; registers the bot's user if needed."""
        service = self.app_services[localpart]
        plain = Client(self.base_url, service.as_token)
        plain.request(
            "POST", "/_matrix/client/v3/register", {"type": "m.login.application_service", "username": localpart}
        )
        user_id = f"@{localpart}:{self.server_name}"
        return Client(self.url(process), service.as_token, user_id, as_user=user_id)


_FAST = {"per_second": 10000, "burst_count": 10000}


def _log_config(path: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"precise": {"format": "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(path), "formatter": "precise"}},
        "root": {"level": "INFO", "handlers": ["file"]},
        "loggers": {"synapse.storage.SQL": {"level": "INFO"}},
    }
