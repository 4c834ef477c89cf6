"""The people and groups that log-on tests use, as LDIF that slapd and the embedded directory both load."""

from __future__ import annotations

SUFFIX = "dc=acme,dc=example"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"


def person(uid: str, password: str | None = None, *, rdn: str | None = None, extra: str = "") -> str:
    """Return the LDIF of a person; the password is `<uid>-secret` unless given."""
    return f"""
dn: {rdn or f"uid={uid}"},{PEOPLE}
objectClass: inetOrgPerson
uid: {uid}
cn: {uid.title()} Example
sn: Example
mail: {uid}@acme.example
userPassword: {password or f"{uid}-secret"}
{extra}"""


def group(cn: str, *members: str) -> str:
    """Return the LDIF of a group; members are relative to the suffix."""
    lines = "".join(f"member: {member},{SUFFIX}\n" for member in members)
    return f"\ndn: cn={cn},{GROUPS}\nobjectClass: groupOfNames\ncn: {cn}\n{lines}"


COMPANY = "".join(
    (
        person("alice", extra="employeeType: staff\n"),
        person("bob"),
        person("carol", extra="employeeType: contractor\n"),
        person("dave"),
        person("erin", "pässwörd ½"),
        person("Mixed.Case"),
        person("star*(x)", rdn="cn=Star"),
        person("locked", extra="pwdAccountLockedTime: 000001010000Z\n"),
        person("fresh", extra="pwdReset: TRUE\n"),
        group("traders", "uid=alice,ou=people"),
        group("desk", "uid=bob,ou=people", "cn=traders,ou=groups"),
        group("floor", "cn=desk,ou=groups", "uid=carol,ou=people"),
        group("ring", "cn=floor,ou=groups", "cn=loop,ou=groups"),
        group("loop", "cn=ring,ou=groups"),
    )
)
