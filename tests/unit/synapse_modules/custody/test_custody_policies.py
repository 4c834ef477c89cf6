"""The active policy follows table and directory, and nothing bad ever replaces a good one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from charter.bundle import Bundle, sign
from charter.directory import DirectorySnapshot, Person
from charter.policy.parse import load_files
from synapse_modules._bundle import Policies, append, follows, head_of
from synapse_modules._outbox import Outbox
from tests.unit.synapse_modules.custody.custody_doubles import Api, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = Ed25519PrivateKey.generate()
KEYS = {"admin": base64.b64encode(KEY.public_key().public_bytes_raw()).decode()}
POLICY = """
version: 1
organisation: {name: NAME, server_name: acme.example, contact: help}
groups: {staff: {directory: {under: "ou=people"}}}
grants: [{id: chat, to: [staff], allow: [chat.*]}]
"""
ADA = DirectorySnapshot({"@ada:acme.example": Person("@ada:acme.example", "uid=ada,ou=people")}, 1.0)
NOBODY = DirectorySnapshot({}, 2.0)


def bundle(sequence: int, name: str = "ACME", key: Ed25519PrivateKey = KEY, previous: str = "") -> Bundle:
    """Sign a policy."""
    policy_set = load_files({"p.yaml": POLICY.replace("NAME", name).encode()}).policy_set
    assert policy_set is not None
    return sign(policy_set, key, "admin", sequence=sequence, previous=previous, stage="enforce", created_at=1)


class House:
    """Policies over a database double."""

    def __init__(self) -> None:
        self.api = Api()
        outbox = Outbox(self.api, alarm_above=10)  # type: ignore[arg-type]  # the double
        self.policies = Policies(self.api, outbox, keys=KEYS, bots=frozenset())  # type: ignore[arg-type]  # the double
        self.outbox = outbox

    def store(self, made: Bundle) -> None:
        """Write a row without asking anybody."""
        with self.api.database:
            append(Transaction(self.api.database.cursor()), made, made.to_json().decode())  # type: ignore[arg-type]  # the double

    async def refused(self) -> list[str]:
        """Return the reasons that were recorded."""
        await self.api.settle()
        found = await self.outbox.pending("scribe", 100)
        return [record["body"]["reason"] for record in found if record["kind"] == "policy-refused"]

    def sequence(self) -> int | None:
        """Return what is in force."""
        return None if self.policies.active is None else self.policies.active.bundle.sequence

    def chats(self) -> bool:
        """Whether Ada may chat."""
        assert self.policies.active is not None
        return self.policies.active.compiled.decide("@ada:acme.example", "chat.text", None, 0.0).allowed


def _broken(_active: object) -> None:
    raise RuntimeError


@pytest.fixture
def house() -> Iterator[House]:
    """Return an empty house."""
    made = House()
    yield made
    made.api.close()


async def test_nothing_is_in_force_before_the_first(house: House) -> None:
    """An empty table leaves the process closed."""
    await house.policies.poll()
    assert house.sequence() is None


async def test_newer_bundle_is_swapped_in_and_listeners_hear(house: House) -> None:
    """Polling takes what is newer; a listener that fails disturbs nobody."""
    heard: list[Any] = []
    house.policies.on_swap(_broken)
    house.policies.on_swap(lambda active: heard.append(active.bundle.sequence))
    house.store(bundle(1))
    await house.policies.poll()
    await house.policies.poll()
    house.store(bundle(2, "Other"))
    await house.policies.poll()
    assert heard == [1, 2]


BAD: dict[str, tuple[str, Callable[[], str]]] = {
    "signature": ("does not fit", lambda: bundle(2, key=Ed25519PrivateKey.generate()).to_json().decode()),
    "columns": ("columns do not fit", lambda: bundle(3).to_json().decode()),
    "nonsense": ("not JSON", lambda: "nonsense"),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_row_keeps_the_last_good_and_is_recorded_once(house: House, name: str) -> None:
    """Whatever somebody wrote into the table, judgement stays and one record says why."""
    reason, text = BAD[name]
    house.store(bundle(1))
    await house.policies.poll()
    house.api.database.execute("INSERT INTO charter_bundle VALUES (2, ?, 'enforce', ?, 0)", (bundle(2).digest, text()))
    await house.policies.poll()
    await house.policies.poll()
    assert house.sequence() == 1
    (recorded,) = await house.refused()
    assert reason in recorded
    house.store(bundle(4, "Repaired"))
    await house.policies.poll()
    assert house.sequence() == 4


async def test_table_that_lost_its_newest_row_does_not_bring_an_old_policy_back(house: House) -> None:
    """A running process does not go back when rows disappear."""
    house.store(bundle(1))
    house.store(bundle(2, "Newer"))
    await house.policies.poll()
    house.api.database.execute("DELETE FROM charter_bundle WHERE sequence = 2")
    await house.policies.poll()
    assert house.sequence() == 2
    assert "older" in (await house.refused())[0]


async def test_directory_change_recompiles(house: House) -> None:
    """Who leaves the directory loses what its groups gave."""
    house.policies.set_snapshot(ADA)
    house.store(bundle(1))
    await house.policies.poll()
    assert house.chats()
    house.policies.set_snapshot(NOBODY)
    await house.api.settle()
    assert not house.chats()


async def test_directory_that_changes_while_compiling_is_not_lost(house: House) -> None:
    """A snapshot that arrives in the middle of a compilation is in force afterwards, with the newest policy."""
    house.store(bundle(1))
    await house.policies.poll()

    def meanwhile() -> None:
        house.api.before_thread = lambda: None
        house.policies.set_snapshot(ADA)

    house.store(bundle(2, "Other"))
    house.api.before_thread = meanwhile
    await house.policies.poll()
    await house.api.settle()
    assert house.sequence() == 2
    assert house.chats()


async def test_policy_that_arrives_while_the_directory_is_compiled_wins(house: House) -> None:
    """A recompilation of the old policy never overwrites a newer one."""
    house.store(bundle(1))
    await house.policies.poll()
    newer = house.policies.examine(bundle(2, "Other").to_json())

    def meanwhile() -> None:
        house.api.before_thread = lambda: None
        house.policies._swap(newer)

    house.api.before_thread = meanwhile
    house.policies.set_snapshot(ADA)
    await house.api.settle()
    assert house.sequence() == 2
    assert house.chats()


def test_only_a_successor_follows() -> None:
    """The number must rise and the predecessor must be the head."""
    made = bundle(2, previous="d")
    assert follows(made, (1, "d", "enforce"))
    for head in ((2, "d", "enforce"), (3, "d", "enforce"), (1, "e", "enforce"), (0, "", "enforce")):
        assert not follows(made, head)
    assert follows(bundle(1), (0, "", "enforce"))


def test_head_of_an_empty_table_is_none(house: House) -> None:
    """No row, no head."""
    assert head_of(Transaction(house.api.database.cursor())) is None  # type: ignore[arg-type]  # the double
