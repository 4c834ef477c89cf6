"""A directory becomes a policy set that survives being bundled; odd directories give findings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charter.policy import PolicySet, load, load_files
from charter.policy.merge import merge
from charter.policy.parse import RULE_LISTS
from charter.policy.source import read_source

ACME = Path(__file__).parents[4] / "policies" / "acme"
SMALL = b"version: 1\norganisation: {name: A, server_name: a.example, contact: x}\n"


def _acme() -> PolicySet:
    loaded = load(ACME).policy_set
    assert loaded is not None
    return loaded


def test_a_policy_survives_its_canonical_form() -> None:
    """What a bundle carries is the policy that was checked: same models, places and digest."""
    before = _acme()
    after = PolicySet.from_canonical(before.canonical())
    assert after == before
    assert after.policy.grants == before.policy.grants


def test_the_digest_is_of_the_meaning() -> None:
    """Comments and notation do not change the digest; a value does."""
    one = load_files({"a.yaml": SMALL + b"journal: {max_lag: 60s}"}).policy_set
    same = load_files({"a.yaml": SMALL + b"journal: {max_lag: 1m}  # a minute"}).policy_set
    default = load_files({"a.yaml": SMALL}).policy_set
    other = load_files({"a.yaml": SMALL + b"journal: {max_lag: 2m}"}).policy_set
    assert one is not None
    assert same is not None
    assert default is not None
    assert other is not None
    assert one.digest == same.digest == default.digest != other.digest


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b"", b'{"policy":{},"places":{}}', b'{"policy":{"version":1},"places":{"x":["a"]}}']
)
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    """Bytes that are no policy raise ValueError, whatever they are."""
    with pytest.raises(ValueError):  # noqa: PT011 - the contract is the class
        PolicySet.from_canonical(data)


def test_other_bytes_for_the_same_policy_are_refused() -> None:
    """A signature is over one form only."""
    data = _acme().canonical()
    with pytest.raises(ValueError, match="canonical"):
        PolicySet.from_canonical(data + b" ")


def test_every_rule_has_its_place() -> None:
    """Each id is found in the file and line that the set names."""
    loaded = _acme()
    for name, place in loaded.places.items():
        line = (ACME / place.file).read_text(encoding="utf-8").splitlines()[place.line - 1]
        assert name.removeprefix("group:") in line
    assert {f"group:{name}" for name in loaded.policy.groups} < set(loaded.places)


def test_every_list_of_rules_is_known() -> None:
    """A new kind of rule cannot be forgotten where ids are collected."""
    loaded = _acme()
    for path in RULE_LISTS:
        current: object = loaded.policy
        for step in path:
            current = getattr(current, str(step))
        assert isinstance(current, tuple)
        assert all(rule.id in loaded.places for rule in current), path


def test_a_missing_directory_is_an_empty_one(tmp_path: Path) -> None:
    """Loading never raises; the command line tells a missing directory apart before."""
    assert [found.code for found in load(tmp_path / "gone").diagnostics] == ["no-policy"]


def test_odd_files_are_found_not_read(tmp_path: Path) -> None:
    """A pipe, a dangling link and a name that is no UTF-8 give findings and do not hang."""
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nowhere")
    with open(os.fsencode(tmp_path) + b"/\xff.yaml", "wb") as file:  # noqa: PTH123 - a name that Path cannot spell
        file.write(b"x: [")
    found = {one.file: one.code for one in load(tmp_path).diagnostics}
    assert found == {"pipe.yaml": "unreadable-file", "link.yaml": "unreadable-file", "?.yaml": "yaml-syntax"}


def test_folders_are_read_too(tmp_path: Path) -> None:
    """Files of sub-folders belong to the policy, sorted by path; a byte order mark is no mistake."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.yml").write_bytes(b"\xef\xbb\xbfgrants: [{id: g, to: [everyone], allow: ['*']}]")
    (tmp_path / "a.yaml").write_bytes(SMALL.replace(b"\n", b"\r\n"))
    loaded = load(tmp_path).policy_set
    assert loaded is not None
    assert str(loaded.places["g"]) == "b/x.yml:1"


def test_merging_leaves_the_files_as_they_were() -> None:
    """The trees of single files can be read again after merging."""
    documents = [
        read_source("a.yaml", b"grants: [{id: a}]\njournal: {keep: []}"),
        read_source("b.yaml", b"grants: [{id: b}]\njournal: {layout: rooms}"),
    ]
    before = [document.root.data for document in documents if document.root]
    merge(documents)
    assert [document.root.data for document in documents if document.root] == before
