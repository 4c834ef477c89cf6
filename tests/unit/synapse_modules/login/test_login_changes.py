"""What changed between two readings, and which reading is not to be believed."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charter.directory import DirectorySnapshot, Person
from synapse_modules._directory_changes import changes, digest_of, suspicious


def people(*names: str, enabled: bool = True, groups: tuple[str, ...] = ("cn=g",)) -> DirectorySnapshot:
    """Return a snapshot of these people."""
    made = (Person(f"@{n}:acme.example", f"uid={n}", enabled=enabled, member_of=groups) for n in names)
    return DirectorySnapshot({person.user_id: person for person in made}, 1.0)


def test_changes_name_everybody_once() -> None:
    """Added, removed, changed; leavers are the removed and the newly disabled."""
    old = people("a", "b", "c", "d")
    new = dict(people("b", "c", "d", "e").people)
    new["@c:acme.example"] = dataclasses.replace(new["@c:acme.example"], enabled=False)
    new["@d:acme.example"] = dataclasses.replace(new["@d:acme.example"], member_of=())
    found = changes(old, DirectorySnapshot(new, 2.0))
    assert found.added == ("@e:acme.example",)
    assert found.removed == ("@a:acme.example",)
    assert found.changed == ("@c:acme.example", "@d:acme.example")
    assert found.leavers == ("@a:acme.example", "@c:acme.example")
    body = found.body(2.0)
    assert (body["counts"], body["taken_at"]) == ({"added": 1, "removed": 1, "changed": 2}, 2000)


def test_a_record_names_at_most_two_hundred_and_counts_all() -> None:
    """The first reading of a large company is one small record."""
    body = changes(None, people(*(f"u{n}" for n in range(1000)))).body(1.0)
    assert (len(body["added"]), body["counts"]["added"]) == (200, 1000)


@given(st.floats(min_value=0, max_value=1e10))
def test_the_digest_is_of_the_people_alone(taken_at: float) -> None:
    """Reading the same people again changes nothing."""
    one = people("a", "b")
    assert digest_of(dataclasses.replace(one, taken_at=taken_at)) == digest_of(one)
    assert digest_of(people("a")) != digest_of(one)


@pytest.mark.parametrize(
    ("old", "new", "believed"),
    [
        (None, people("a"), True),
        (None, people(), False),
        (people("a"), people(), False),
        (people("a", "b", "c"), people("a"), True),
        (people("a", "b", "c", "d"), people("a", "b"), False),
        (people("a", "b", "c", "d"), people("a", "b", "c"), True),
        (people("a", "b", "c", "d"), people("a", "b", "c", "d", enabled=False), False),
        (people("a", "b", "c", "d"), people("a", "b", "c", "d", groups=()), False),
        (people("a", "b"), people("a", "b", "c", "d", "e"), True),
    ],
)
def test_a_reading_that_lost_half_is_not_believed(
    old: DirectorySnapshot | None,
    new: DirectorySnapshot,
    believed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """People, enabled people, people with groups: none may halve at once, nor all vanish."""
    assert (suspicious(old, new) is None) is believed
