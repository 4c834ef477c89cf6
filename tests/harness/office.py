"""A company's Synapse with its directory: Charter's log-on against a real slapd, and a way to apply policies."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from tests.harness.company import COMPANY
from tests.harness.gate import Gate
from tests.harness.slapd import SERVICE_DN, SERVICE_PASSWORD, SUFFIX, Slapd
from tests.harness.synapse import Client, Response
from tests.harness.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
version: 1
organisation: {name: ACME, server_name: acme.example, timezone: Europe/Berlin, contact: "the service desk, extension 4000"}
groups:
  desk: {directory: {member_of: "cn=desk,ou=groups,dc=acme,dc=example"}}
  contractors: {directory: {attribute: employeeType, equals: contractor}}
grants:
  - {id: everyone, to: [everyone], allow: [chat.*, room.*, profile.*]}
sessions:
  - {id: short, to: [desk], lifetime: 10h}
"""


@dataclass
class Office:
    """Use it as a context manager; everything lives below `folder`."""

    folder: Path
    login: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    workers: int = 0
    database: str | None = None
    redis: str | None = None

    def __enter__(self) -> Self:
        """Start directory and Synapse."""
        self.slapd = Slapd(self.folder / "slapd", COMPANY)
        secret = self.folder / "service-password"
        secret.write_text(SERVICE_PASSWORD)
        extra = {"password_config": {"localdb_enabled": False}} | self.extra
        self.gate = Gate(self.folder, extra, self.workers, self.database, self.redis)
        config = self.gate.homeserver.modules[0]["config"]
        login = {
            "servers": [self.slapd.url],
            "bind_dn": SERVICE_DN,
            "bind_password_file": str(secret),
            "base": SUFFIX,
            "operation_timeout": "1s",
            "sync_interval": "1s",
            "retry_after": "1s",
        }
        config["login"] = login | self.login
        self.gate.homeserver.modules = [{"module": "synapse_modules.Charter", "config": config}]
        self.gate.homeserver.write()
        try:
            self.slapd.start()
            self.gate.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        self.gate.homeserver.stop()
        self.slapd.stop()

    def log_on(self, user: str, password: str | None = None, *, process: str = "main", **more: Any) -> Response:
        """Log on with a password; `<user>-secret` unless given."""
        plain = Client(self.gate.homeserver.url(process))
        body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}}
        return plain.post("/login", {**body, "password": f"{user}-secret" if password is None else password, **more})

    def client(self, user: str, *, process: str = "main", **more: Any) -> Client:
        """Log on and return a client."""
        answer = self.log_on(user, process=process, **more)
        assert answer.status == 200, answer
        url = self.gate.homeserver.url(process)
        return Client(url, answer.body["access_token"], answer.body["user_id"], answer.body["device_id"])

    def record(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """Wait for a record of a kind whose body (or `actor`, `subject`) has these values, and return it."""

        def found() -> dict[str, Any] | None:
            for record in self.gate.records(kind):
                if all((record["body"] | record).get(key) == value for key, value in wanted.items()):
                    return record
            return None

        record = until(found, f"a record {kind} with {wanted}")
        assert record is not None
        return record

    def wait_for_directory(self) -> None:
        """Wait until a whole reading that began after this call is stored."""
        before = time.time() * 1000

        def read() -> bool:
            rows = self.gate.rows("SELECT taken_at FROM charter_directory")
            return bool(rows and rows[0][0] >= before)

        until(read, "the directory is read")
