"""From entries to people: names, states, ids, groups."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_modules._ldap_people import Entry, GroupTree, is_enabled, localpart, person, stable_id

NOW = 1_795_420_800.0  # 2026-11-23T08:00Z
SERVER = "acme.example"


def entry(dn: str = "uid=a,dc=x", /, **values: str | bytes | list[str]) -> Entry:
    """Return an entry."""
    raw = {
        name.lower(): tuple(
            v if isinstance(v, bytes) else v.encode() for v in ([value] if isinstance(value, str | bytes) else value)
        )
        for name, value in values.items()
    }
    return Entry(dn, raw)


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("alice", "alice"),
        ("Alice.B", "alice.b"),
        ("a+b=c/d-e_f", "a+b=c/d-e_f"),
        ("jürgen", None),
        ("a b", None),
        ("a:b", None),
        ("@a", None),
        ("", None),
        ("a\n", None),
        ("\u212aelvin", None),
        ("x" * 300, None),
    ],
)
def test_only_names_of_the_grammar_become_matrix_names(uid: str, expected: str | None) -> None:
    """A name that does not map is refused; none is rewritten but to lower case."""
    assert localpart(entry(uid=uid), "uid", SERVER) == expected


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_share_an_id_only_if_they_differ_in_case(one: str, two: str) -> None:
    """Mapping never merges two people whom the directory tells apart."""
    first, second = (localpart(entry(uid=name.encode("utf-8", "ignore")), "uid", SERVER) for name in (one, two))
    if first is not None and first == second:
        assert one.lower() == two.lower()


@pytest.mark.parametrize(
    ("values", "enabled"),
    [
        ({}, True),
        ({"pwdAccountLockedTime": "000001010000Z"}, False),
        ({"pwdAccountLockedTime": "20261123080000Z"}, True),
        ({"pwdEndTime": "20261123075959Z"}, False),
        ({"pwdEndTime": "20271123075959Z"}, True),
        ({"pwdEndTime": "soon"}, True),
        ({"userAccountControl": "514"}, False),
        ({"userAccountControl": "512"}, True),
        ({"userAccountControl": "x"}, True),
        ({"accountExpires": "0"}, True),
        ({"accountExpires": "9223372036854775807"}, True),
        ({"accountExpires": "133000000000000000"}, False),
        ({"accountExpires": "150000000000000000"}, True),
        ({"nsAccountLock": "TRUE"}, False),
        ({"nsAccountLock": "false"}, True),
        ({"loginDisabled": "true"}, False),
        ({"shadowExpire": "1"}, False),
        ({"shadowExpire": "-1"}, True),
        ({"shadowExpire": "99999"}, True),
        ({"nsAccountLock": b"\xff"}, True),
    ],
)
def test_account_state_of_each_kind_of_directory(values: dict[str, str | bytes], enabled: bool) -> None:  # noqa: FBT001 - a column of the table
    """Disabled and expired accounts; a lockout by wrong passwords does not disable."""
    assert is_enabled(entry(**values), NOW) is enabled


def test_stable_ids() -> None:
    """ObjectGUID in its mixed byte order, entryUUID as text, nothing where there is none."""
    guid = uuid.uuid4()
    assert stable_id(entry(objectGUID=guid.bytes_le)) == str(guid)
    assert stable_id(entry(entryUUID="e683f162-7b75-1041-95f7-fd86272e441f")) == "e683f162-7b75-1041-95f7-fd86272e441f"
    assert stable_id(entry()) == ""


def test_groups_nest_through_all_kinds_of_membership() -> None:
    """`member`, `uniqueMember`, `memberUid`, in any spelling of the DN, through a cycle, and the primary group."""
    domain = b"\x01\x05" + bytes(22)
    groups = [
        entry("cn=direct,dc=x", member="UID=A , dc=X"),
        entry("cn=unique,dc=x", uniqueMember="cn=direct,dc=x"),
        entry("cn=posix,dc=x", memberUid="A"),
        entry("cn=loop,dc=x", member=["cn=unique,dc=x", "cn=loop,dc=x"]),
        entry("cn=primary,dc=x", objectSid=domain + struct.pack("<I", 513)),
        entry("cn=over,dc=x", member="cn=primary,dc=x"),
        entry("cn=other,dc=x", member="uid=b,dc=x"),
    ]
    someone = entry("uid=a,dc=x", uid="a", primaryGroupID="513", objectSid=domain + struct.pack("<I", 1105))
    found = {dn.partition(",")[0][3:] for dn in GroupTree(groups).of(someone, "a")}
    assert found == {"direct", "unique", "posix", "loop", "primary", "over"}


def test_only_named_attributes_are_kept() -> None:
    """Names compare without regard to case; binary values are left out."""
    made = person(
        entry(uid="a", employeeType="staff", telephoneNumber="1", jpegPhoto=b"\xff\xd8"),
        "@a:acme.example",
        ["cn=b", "cn=a"],
        ["EMPLOYEETYPE", "jpegPhoto", "title"],
        NOW,
    )
    assert (made.attributes, made.member_of) == ({"employeetype": ("staff",)}, ("cn=a", "cn=b"))
