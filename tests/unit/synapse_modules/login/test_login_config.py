"""The `login:` block: what it accepts and what it names when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from synapse_modules._login_config import LoginConfig, ServerAddress

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "servers": ["ldap://127.0.0.1:3890"],
    "bind_dn": "cn=charter,dc=acme,dc=example",
    "bind_password_file": "/etc/charter/ldap",
    "base": "dc=acme,dc=example",
}


def test_the_contracts_example_parses() -> None:
    """Durations carry units; what is left out has its default."""
    made = LoginConfig.model_validate(GOOD | {"connect_timeout": "500ms", "sync_interval": "5m"})
    assert (made.connect_timeout, made.sync_interval, made.threads, made.tls.verify) == (0.5, 300.0, 4, True)
    assert [str(address) for address in made.addresses()] == ["ldap://127.0.0.1:3890"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"servers": []}, "servers"),
        ({"servers": ["http://x"]}, "ldap://host:port"),
        ({"servers": ["ldap://x/dc=a"]}, "ldap://host:port"),
        ({"servers": ["ldaps://x"], "start_tls": True}, "start_tls"),
        ({"people_filter": "uid=*"}, "not an LDAP filter"),
        ({"bind_password_file": None}, "bind_password_file"),
        ({"bind_password_credential": "a"}, "bind_password_credential"),
        ({"connect_timeout": "2 hours"}, "connect_timeout"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"uid_attribute": "uid)(x=*"}, "uid_attribute"),
        ({"bind_password": "secret"}, "bind_password"),
        ({"threads": "4"}, "threads"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], words: str) -> None:
    """The message names the key or what it should look like."""
    values = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(ValidationError) as caught:
        LoginConfig.model_validate(values)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ldap://h", ServerAddress("ldap", "h", 389)),
        ("ldaps://h", ServerAddress("ldaps", "h", 636)),
        ("ldaps://[::1]:1636", ServerAddress("ldaps", "::1", 1636)),
    ],
)
def test_addresses(url: str, expected: ServerAddress) -> None:
    """Ports have their defaults; IPv6 is written back in brackets."""
    assert ServerAddress.parse(url) == expected
    assert ServerAddress.parse(str(expected)) == expected


def test_the_service_password_comes_from_file_or_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break at the end is no part of it; an empty file is refused (it would bind anonymously)."""
    (tmp_path / "ldap").write_text("secret \n")
    by_file = LoginConfig.model_validate(GOOD | {"bind_password_file": str(tmp_path / "ldap")})
    assert by_file.read_bind_password() == b"secret "
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    without = {key: value for key, value in GOOD.items() if key != "bind_password_file"}
    assert LoginConfig.model_validate(without | {"bind_password_credential": "ldap"}).read_bind_password() == b"secret "
    (tmp_path / "ldap").write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        by_file.read_bind_password()
