from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter.directory import DirectorySnapshot, Person
from charter.ldif import LdifError, localpart, read_entries, read_ldif, resolve_groups
from charter.people import normalise_dn, selects
from charter.policy.model import DirectorySelector

SECRET = "hunter2"
TEXT = f"""\
version: 1
# people
dn: uid=ada,ou=people,dc=acme,dc=example
objectClass: inetOrgPerson
uid: Ada
cn:: {base64.b64encode("Ada Löve".encode()).decode()}
description: a long
  line
jpegPhoto:: {base64.b64encode(bytes([255, 216])).decode()}
userPassword: {SECRET}
employeeType;lang-en: contractor

dn: uid=bob,ou=people,dc=acme,dc=example
objectClass: inetOrgPerson
uid: bob
nsAccountLock: TRUE

dn: uid=eve,ou=people,dc=acme,dc=example
objectClass: inetOrgPerson
uid: eve
pwdAccountLockedTime: 000001010000Z

dn: cn=Fred,ou=people,dc=acme,dc=example
objectClass: user
sAMAccountName: fred
userAccountControl: 514

dn: cn=inner,ou=groups,dc=acme,dc=example
objectClass: groupOfNames
member: UID=ada, OU=people,dc=acme,dc=example
member: cn=outer,ou=groups,dc=acme,dc=example

dn: cn=outer,ou=groups,dc=acme,dc=example
objectClass: groupOfNames
member: cn=inner,ou=groups,dc=acme,dc=example
"""


def test_people_are_read_with_nested_groups() -> None:
    """Folding, base64, comments, options; cyclic groups end."""
    ada = read_ldif(TEXT.replace("\n", "\r\n"), "acme.example", 5.0).people["@ada:acme.example"]
    assert ada.member_of == ("cn=inner,ou=groups,dc=acme,dc=example", "cn=outer,ou=groups,dc=acme,dc=example")
    assert ada.attributes["cn"] == ("Ada Löve",)
    assert ada.attributes["description"] == ("a long line",)
    assert ada.attributes["employeetype"] == ("contractor",)
    assert ada.enabled


def test_secrets_are_never_read() -> None:
    """No attribute that holds a password gets into the snapshot."""
    snapshot = read_ldif(TEXT, "acme.example", 5.0)
    assert SECRET.encode() not in snapshot.to_json()
    assert b"pwd" not in snapshot.to_json()


def test_disabled_people_are_marked() -> None:
    """In the ways of OpenLDAP's password policy, 389 and Active Directory."""
    people = read_ldif(TEXT, "acme.example", 5.0).people
    assert {user[1:].partition(":")[0]: person.enabled for user, person in people.items()} == {
        "ada": True,
        "bob": False,
        "eve": False,
        "fred": False,
    }


def test_a_snapshot_survives_json() -> None:
    """Also one read from LDIF."""
    snapshot = read_ldif(TEXT, "acme.example", 5.0)
    assert snapshot == DirectorySnapshot.from_json(snapshot.to_json())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("dn: uid=a\nnonsense\n", 2, "neither"),
        ("uid: a\n", 1, "begins with dn"),
        (" folded\n", 1, "continuation"),
        ("dn: uid=a\n\n folded\n", 3, "continuation"),
        ("dn: uid=a\ncn:: ???\n", 2, "base64"),
        ("dn:: /w==\n", 1, "UTF-8"),
        ("dn: uid=a\ncn:< file:///etc/passwd\n", 2, "URL"),
        ("dn: uid=a\nchangetype: modify\n", 2, "change records"),
        ("dn: uid=a\nuid: a\ndn: uid=b\n", 3, "second dn"),
        ("dn: uid=a,o=1\nobjectClass: person\nuid: a\n\ndn: uid=a,o=2\nobjectClass: person\nuid: A\n", 5, "already"),
    ],
)
def test_errors_have_a_line(text: str, line: int, words: str) -> None:
    """Nothing is skipped in silence."""
    with pytest.raises(LdifError, match=words) as caught:
        read_ldif(text, "acme.example", 0)
    assert line == caught.value.line


@given(st.text(max_size=300))
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    """No other error comes out."""
    with contextlib.suppress(LdifError):
        read_ldif(text, "acme.example", 0)


def test_localparts_are_those_of_the_matrix_specification() -> None:
    """Lower case; what an MXID cannot hold is written as bytes."""
    assert [localpart(name) for name in ("Ada", "a b", "ü", "a=b", "x/y")] == ["ada", "a=20b", "=c3=bc", "a=3db", "x/y"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("CN=A , OU=b", "cn=a,ou=B", True),
        ("cn=a  b,o=c", "cn=a b,o=c", True),
        ("cn=a\\2Cb,o=c", "cn=a\\,b,o=c", True),
        ("cn=a\\2cb,o=c", "cn=a,b,o=c", False),
        ("cn=a+sn=b,o=c", "sn=b+cn=a,o=c", True),
        ("", "", True),
    ],
)
def test_distinguished_names_compare_as_the_directory_does(one: str, other: str, equal: bool) -> None:  # noqa: FBT001 - a column of the table
    """Case, white space, escapes and the order of a multi-valued name do not matter."""
    assert equal is (normalise_dn(one) == normalise_dn(other))


def test_selectors_are_combined_with_and() -> None:
    """Every condition that is given; none given selects nobody."""
    person = Person("@a:x", "uid=a,ou=people,dc=x", member_of=("cn=g,dc=x",), attributes={"type": ("Contractor",)})
    assert selects(
        DirectorySelector(under="OU=people, dc=x", member_of="cn=G,dc=x", attribute="Type", equals="contractor"), person
    )
    assert not selects(DirectorySelector(under="ou=people,dc=x", member_of="cn=other,dc=x"), person)
    assert not selects(DirectorySelector(under="ople,dc=x"), person)
    assert not selects(DirectorySelector(attribute="type"), person)
    assert not selects(DirectorySelector(), person)


def test_groups_resolve_without_end() -> None:
    """A group may contain itself."""
    assert resolve_groups("uid=a", {"uid=a": ["cn=g"], "cn=g": ["cn=g", "cn=h"]}) == ("cn=g", "cn=h")
    assert [entry.dn for entry in read_entries("dn: a=b")] == ["a=b"]
