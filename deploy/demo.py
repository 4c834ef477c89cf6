"""The made-up company: its policy and directory are copied into the state, to be edited there."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.errors import DeployError
from deploy.render import SERVICE_DN
from deploy.secret_files import private_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from deploy.state import Deployment, State

POLICIES = Path(__file__).resolve().parent.parent / "policies"
COMPANY = "acme"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an LDIF: attribute names in lower case."""

    dn: str
    attributes: Mapping[str, Sequence[str]]

    def first(self, name: str) -> str:
        """The first value of an attribute, or an empty text."""
        return next(iter(self.attributes.get(name.lower(), ())), "")


def read_entries(text: str) -> list[Entry]:
    """Read an LDIF's content records (RFC 2849: folded lines, comments, base64 values).

    Change records and URL values are not read; the demo has none.
    """
    unfolded = text.replace("\r\n", "\n").replace("\n ", "")
    entries = []
    for block in unfolded.split("\n\n"):
        attributes: dict[str, list[str]] = {}
        for line in block.splitlines():
            if not line or line.startswith(("#", "version:")):
                continue
            name, _, value = line.partition(":")
            if value.startswith(":"):
                value = base64.b64decode(value[1:].strip()).decode("utf-8", errors="replace")
            attributes.setdefault(name.strip().lower(), []).append(value.strip())
        if dn := attributes.pop("dn", None):
            entries.append(Entry(dn[0], attributes))
    return entries


def prepare(state: State, service_password: str) -> tuple[Path, Path]:
    """Copy policy and directory into the state, once; give the service account its own password.

    Returns:
        The policy directory and the LDIF.

    Raises:
        DeployError: this installation has no demo.
    """
    source = POLICIES / COMPANY
    if not any(source.glob("*.yaml")) or not (source / "directory.ldif").exists():
        msg = f"There is no demo company in {source}."
        raise DeployError(msg, advice="Run from a checkout, or give --policy DIR and --ldif FILE.")
    policy = state.root / "policy"
    if not policy.exists():
        staged = state.root / ".policy"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(source, staged, ignore=shutil.ignore_patterns("__pycache__"))
        staged.rename(policy)
    ldif = state.root / "directory" / f"{COMPANY}.ldif"
    if not ldif.exists():
        text = (source / "directory.ldif").read_text(encoding="utf-8")
        write_ldif(ldif, with_service_account(text, service_password))
    return policy, ldif


def write_ldif(path: Path, text: str) -> None:
    """Write a directory; private, for it holds passwords."""
    private_directory(path.parent)
    write_private(path, text)


def with_service_account(text: str, password: str) -> str:
    """The LDIF with Charter's own account, whatever password it had before; comments are left out."""
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if not line.startswith("#")]
    blocks = [block.strip("\n") for block in re.split(r"\n\n+", "\n".join(lines))]
    blocks = [block for block in blocks if block and not _is_service(block)]
    name = SERVICE_DN.partition(",")[0].partition("=")[2]
    account = (
        f"dn: {SERVICE_DN}\nobjectClass: top\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: {name}\nuserPassword: {password}"
    )
    return "\n\n".join([*blocks, account]) + "\n"


def _is_service(block: str) -> bool:
    return any(entry.dn.lower() == SERVICE_DN.lower() for entry in read_entries(block))


def accounts(deployment: Deployment) -> list[dict[str, Any]]:
    """The demo's people with their passwords and groups (of the directory, nested ones too); else nobody."""
    if not deployment.demo or deployment.ldif is None:
        return []
    entries = read_entries(deployment.ldif.read_text(encoding="utf-8"))
    groups = [entry for entry in entries if "groupofnames" in _classes(entry)]
    people = [entry for entry in entries if "inetorgperson" in _classes(entry)]
    return [
        {
            "user": person.first("uid"),
            "user_id": f"@{person.first('uid').lower()}:{deployment.server_name}",
            "name": person.first("cn"),
            "password": person.first("userPassword"),
            "groups": sorted(group.first("cn") for group in _groups_of(person.dn, groups)),
        }
        for person in people
    ]


def _classes(entry: Entry) -> set[str]:
    return {value.lower() for value in entry.attributes.get("objectclass", ())}


def _groups_of(dn: str, groups: Iterable[Entry]) -> list[Entry]:
    """Every group that holds a DN, itself or through another; cycles end."""
    members = {dn.lower()}
    found: list[Entry] = []
    remaining = list(groups)
    while True:
        new = [
            group for group in remaining if members & {value.lower() for value in group.attributes.get("member", ())}
        ]
        if not new:
            return found
        found += new
        members |= {group.dn.lower() for group in new}
        remaining = [group for group in remaining if group not in new]
