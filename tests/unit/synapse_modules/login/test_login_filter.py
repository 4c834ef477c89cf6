"""Filters: a value is a value, whatever it contains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter

from synapse_modules._ldap_filter import LdapFilter, check_filter


@given(st.text())
def test_a_value_survives_the_filter_and_stays_one_assertion(value: str) -> None:
    """An LDAP client's parser reads back exactly one equality with exactly these octets."""
    text = LdapFilter.equals("uid", value).text
    if not value:
        assert text == "(uid=)"
        return
    parsed = parse_filter(text, None, auto_escape=False, auto_encode=False, validator=None, check_names=False)
    assertion = parsed.elements[0].assertion
    plain = bytes(assertion["value"])
    assert (assertion["attr"], _unescaped(plain)) == ("uid", value.encode("utf-8", "surrogatepass"))


def _unescaped(value: bytes) -> bytes:
    parts = value.split(b"\\")
    return parts[0] + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in parts[1:])


@pytest.mark.parametrize("attribute", ["", "uid)(x", "uid=", "1uid", "uid ", "uid\n"])
def test_an_attribute_name_is_never_a_piece_of_a_filter(attribute: str) -> None:
    """Names come from configuration and are checked all the same."""
    with pytest.raises(ValueError, match="attribute"):
        LdapFilter.equals(attribute, "x")


@pytest.mark.parametrize("text", ["(a=b)", "(&(a=b)(|(c=d)(e=*)))", "(!(a=b))"])
def test_whole_filters_are_accepted(text: str) -> None:
    """One expression in parentheses."""
    assert LdapFilter.configured(text).text == text


@pytest.mark.parametrize("text", ["", "a=b", "(a=b", "(a=b))", "(a=b)(c=d)", ")(", "(a=b)x"])
def test_other_filters_are_refused(text: str) -> None:
    """A filter that is not whole would swallow what is joined to it."""
    with pytest.raises(ValueError, match="not an LDAP filter"):
        check_filter(text)


def test_filters_combine() -> None:
    """Conjunction and disjunction nest."""
    one, two = LdapFilter.equals("a", "1"), LdapFilter.equals("b", "2")
    assert str(LdapFilter.all_of(one, LdapFilter.any_of(one, two))) == "(&(a=1)(|(a=1)(b=2)))"
