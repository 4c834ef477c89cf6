"""The demo's directory: people, nested groups, and Charter's own account."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.demo import POLICIES, read_entries, with_service_account
from deploy.render import SERVICE_DN
from deploy.secret_files import secret, write_private
from deploy.state import SOCKET_PATH_LIMIT, State

if TYPE_CHECKING:
    from pathlib import Path

LDIF = """\
# a comment

dn: dc=acme,dc=example
objectClass: dcObject
dc: acme

dn: uid=ada,dc=acme,dc=example
objectClass: inetOrgPerson
uid: ada
cn:: QWRhIMOE
description: a long
  line
userPassword: ada-demo
"""


def test_folded_and_encoded_values_are_read() -> None:
    """RFC 2849: a line that begins with a blank continues the last, two colons mean base64."""
    entry = read_entries(LDIF)[1]
    assert entry.first("cn") == "Ada Ä"
    assert entry.first("description") == "a long line"
    assert entry.first("nothing") == ""


def test_the_service_account_is_replaced_not_doubled() -> None:
    """Its password is the deployment's own, whatever the LDIF said."""
    twice = with_service_account(with_service_account(LDIF, "first"), "second")
    accounts = [entry for entry in read_entries(twice) if entry.dn == SERVICE_DN]
    assert [entry.first("userPassword") for entry in accounts] == ["second"]
    assert len(read_entries(twice)) == len(read_entries(LDIF)) + 1


def test_the_demo_companys_directory_can_be_served(tmp_path: Path) -> None:
    """What `up` writes is what the embedded directory reads."""
    text = (POLICIES / "acme" / "directory.ldif").read_text(encoding="utf-8")
    path = tmp_path / "acme.ldif"
    path.write_text(with_service_account(text, "secret"), encoding="utf-8")
    # In a process of its own: ldaptor's import warns, and here warnings are errors.
    script = "import sys, pathlib; from deploy.ldap_server import read_tree; read_tree(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, timeout=60)


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    """The second reading gives the first value; a file that was too open is closed."""
    path = tmp_path / "a.secret"
    first = secret(path)
    path.chmod(0o644)
    assert secret(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    write_private(path, "other")
    assert path.read_text() == "other"


def test_a_long_state_path_gets_a_short_socket(tmp_path: Path) -> None:
    """sockaddr_un holds 108 bytes; two long paths never share a socket."""
    long = tmp_path / ("d" * 100)
    sockets = {State.at(path).supervisor_socket for path in (long / "a", long / "b", tmp_path)}
    assert len(sockets) == 3
    assert all(len(str(path)) <= SOCKET_PATH_LIMIT for path in sockets)
