"""The gate on a Synapse whose internals changed: the public hook does the same, more slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gate import SCRIBE, Gate, joined, texts
from tests.harness.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

POLICY = """
version: 1
organisation: {name: ACME, server_name: acme.example, contact: Ask Ada.}
grants:
  - {id: rooms, to: [everyone], allow: [room.create, room.invite, room.join]}
  - {id: talk, to: ["@alice:acme.example"], allow: [chat.text], in: [direct]}
"""


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Return a gate behind a module that changed the internal."""
    gate = Gate(tmp_path_factory.mktemp("gate"))
    changed = {"module": "tests.harness.changed_synapse.OtherCheckEventAllowed", "config": {}}
    gate.homeserver.modules.insert(0, changed)
    gate.homeserver.write()
    try:
        gate.start()
        gate.apply(POLICY)
        yield gate
    finally:
        gate.homeserver.stop()


def test_the_public_hook_judges_the_same(gate: Gate) -> None:
    """Text, kinds of room, unknown state and the scribe's place hold; the fallback is counted."""
    alice, bob, carol = (gate.homeserver.user(name) for name in ("alice", "bob", "carol"))
    direct, private = joined(alice, [bob]), joined(alice, [bob, carol])
    assert alice.say(direct, "heard").status == 200
    assert alice.say(private, "unheard").status == 200
    assert bob.say(direct, "unheard too").status == 200
    assert texts(bob, direct)[0] == "heard"
    assert not [text for room in (direct, private) for text in texts(bob, room) if text.startswith("unheard")]
    assert alice.state(direct, "com.example.x", {}).status == 403
    until(lambda: SCRIBE in alice.get(f"/rooms/{direct}/joined_members").body["joined"], "the scribe joined")
    assert alice.post(f"/rooms/{direct}/kick", {"user_id": SCRIBE}).status == 403
    assert 'charter_interposition_fallbacks_total{name="check_event_allowed"} 1.0' in gate.metrics()
