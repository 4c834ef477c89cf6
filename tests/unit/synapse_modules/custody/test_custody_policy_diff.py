"""A change of policy is told rule by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charter.policy.parse import load_files
from synapse_modules._policy_diff import DIFF_BYTES, diff

if TYPE_CHECKING:
    from charter.policy.model import Policy

BASE = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: help}
groups: {staff: {users: ["@ada:acme.example"]}}
grants:
  - {id: chat, to: [staff], allow: [chat.*]}
  - {id: files, to: [staff], allow: [file.*]}
journal: {on_failure: block}
"""


def policy(text: str) -> Policy:
    """Parse a policy."""
    result = load_files({"p.yaml": text.encode()})
    assert result.policy_set is not None, result.diagnostics
    return result.policy_set.policy


def test_first_policy_adds_everything() -> None:
    """Before the first there was nothing."""
    found = diff(None, policy(BASE))
    assert {"chat", "files", "group:staff", "journal.on_failure", "organisation.name"} <= set(found.added)
    assert (found.removed, found.changed) == ((), ())


def test_same_policy_changes_nothing() -> None:
    """No difference, no names."""
    found = diff(policy(BASE), policy(BASE))
    assert found.names() == {"added": [], "removed": [], "changed": []}


def test_rules_groups_and_settings_are_named() -> None:
    """Added, removed and changed, with what was and what is."""
    text = BASE.replace("id: files", "id: pictures").replace("allow: [chat.*]", "allow: [chat.text]")
    text = text.replace("on_failure: block", "max_lag: 30s").replace('["@ada:acme.example"]', '["@max:acme.example"]')
    found = diff(policy(BASE), policy(text))
    assert found.added == ("journal.max_lag", "pictures")
    assert found.removed == ("files", "journal.on_failure")
    assert found.changed == ("chat", "group:staff")
    body = found.body()
    assert body["diff"]["chat"]["before"]["allow"] == ["chat.*"]
    assert body["diff"]["chat"]["after"]["allow"] == ["chat.text"]
    assert body["diff"]["files"]["after"] is None


def test_huge_change_keeps_the_names_only() -> None:
    """The record stays small; the bundles hold the rest."""
    rules = "".join(f"  - {{id: rule-{n}, to: [staff], allow: [chat.*], reason: {'x' * 100}}}\n" for n in range(1000))
    found = diff(policy(BASE), policy(BASE.replace("grants:\n", "grants:\n" + rules)))
    assert len(found.added) == 1000
    assert found.body()["diff"] is None
    assert DIFF_BYTES < 1000 * 100
