"""The `login:` block of the modules' configuration as frozen, strict models."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from synapse_modules._ldap_filter import check_filter

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^(\d{1,9})(ms|s|m|h|d)$")
_PORTS = {"ldap": 389, "ldaps": 636}


def _seconds(value: object) -> object:
    """Read `2s` or `500ms` as seconds; a number comes from Python and is seconds already."""
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value.strip())
    if match is None:
        msg = "a whole number with a unit (ms, s, m, h or d), such as `500ms` or `30s`"
        raise ValueError(msg)
    return int(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]
"""Seconds, written with a unit."""

Texts = Annotated[tuple[str, ...], Field(strict=False)]
"""A YAML list of texts."""

FilePath = Annotated[Path, Field(strict=False)]
"""A file's path, written as text."""

AttributeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9;-]*$")]
"""The name of an LDAP attribute."""

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One directory server, parsed from `ldap://host:port` or `ldaps://host:port`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> ServerAddress:
        """Parse a URL.

        Raises:
            ValueError: not an LDAP URL, or one with more than scheme, host and port.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            msg = f"a directory server is ldap://host:port or ldaps://host:port, not {url!r}"
            raise ValueError(msg)
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])

    def __str__(self) -> str:
        """Return the URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class TlsConfig(BaseModel):
    """How directory servers prove who they are."""

    model_config = _STRICT

    ca_file: FilePath | None = Field(None, description="File of CA certificates (PEM); default: the system's.")
    verify: bool = Field(default=True, description="Whether certificate and host name must be valid. Default `true`.")


class LoginConfig(BaseModel):
    """The company's directory; left out, Charter does not log anybody on."""

    model_config = _STRICT

    servers: Annotated[Texts, Field(min_length=1)] = Field(
        description="`ldap://` or `ldaps://` addresses, tried in order."
    )
    start_tls: bool = Field(default=False, description="Upgrade `ldap://` with StartTLS before anything is sent.")
    tls: TlsConfig = Field(TlsConfig(ca_file=None), description="Certificate checks of `ldaps://` and StartTLS.")
    bind_dn: str = Field(min_length=1, description="DN of the account that searches.")
    bind_password_file: FilePath | None = Field(None, description="File that holds that account's password.")
    bind_password_credential: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        description="Name of the systemd credential that holds it, instead of a file.",
    )
    base: str = Field(min_length=1, description="DN below which people and groups are found.")
    people_base: str | None = Field(None, description="DN below which people are found. Default: `base`.")
    groups_base: str | None = Field(None, description="DN below which groups are found. Default: `base`.")
    people_filter: str = Field("(objectClass=inetOrgPerson)", description="LDAP filter of people.")
    groups_filter: str = Field("(objectClass=groupOfNames)", description="LDAP filter of groups.")
    uid_attribute: AttributeName = Field(
        "uid", description="Attribute that becomes the Matrix user name. Default `uid`."
    )
    mail_attribute: AttributeName | None = Field(
        None, description="Attribute with an e-mail address that is accepted at log-on too; left out: none."
    )
    attributes: Texts = Field((), description="Attributes kept in the snapshot besides those the policy names.")
    connect_timeout: Seconds = Field(2.0, description="Longest wait for a connection. Default `2s`.")
    operation_timeout: Seconds = Field(2.0, description="Longest wait for an answer. Default `2s`.")
    retry_after: Seconds = Field(30.0, description="How long a server that failed is left alone. Default `30s`.")
    sync_interval: Seconds = Field(30.0, description="How often people and groups are read. Default `30s`.")
    create_accounts: bool = Field(
        default=True,
        description="Give everybody an account before the first log-on, so that colleagues find them. Default true.",
    )
    page_size: int = Field(500, ge=1, le=10_000, description="Entries per page of such a reading. Default 500.")
    threads: int = Field(4, ge=1, le=64, description="Threads that talk to the directory. Default 4.")
    queue: int = Field(
        32, ge=0, le=10_000, description="Log-ons that may wait for a thread; more are refused. Default 32."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for url in self.servers:
            address = ServerAddress.parse(url)
            if self.start_tls and address.scheme == "ldaps":
                msg = f"start_tls is for ldap:// servers, {url} speaks TLS already"
                raise ValueError(msg)
        for text in (self.people_filter, self.groups_filter):
            check_filter(text)
        if (self.bind_password_file is None) == (self.bind_password_credential is None):
            msg = "give one of bind_password_file and bind_password_credential"
            raise ValueError(msg)
        return self

    def addresses(self) -> tuple[ServerAddress, ...]:
        """Return the servers in order."""
        return tuple(ServerAddress.parse(url) for url in self.servers)

    def read_bind_password(self) -> bytes:
        """Read the service account's password, without a trailing line break.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is empty (an empty password would bind anonymously, RFC 4513 section 5.1.2).
        """
        path = Path(self.bind_password_file or "")
        if self.bind_password_credential is not None:
            path = Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / self.bind_password_credential
        password = path.read_bytes().rstrip(b"\r\n")
        if not password:
            msg = f"{path} is empty"
            raise ValueError(msg)
        return password
