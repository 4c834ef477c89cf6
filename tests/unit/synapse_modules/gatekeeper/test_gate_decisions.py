"""Settling verdicts: records before answers, folding, floods, shadow and exemption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from synapse.api.errors import SynapseError

from charter.facts import ActFacts, EventFacts
from charter.judge import compile_policy
from charter.verdict import Decision, Verdict
from synapse_modules import _decisions
from synapse_modules._decisions import Act, Decisions, plain
from tests.unit.synapse_modules.gatekeeper.gate_doubles import Runtime, compiled

if TYPE_CHECKING:
    from pathlib import Path

ALICE = "@alice:acme.example"
TEXT = EventFacts("m.room.message", {"msgtype": "m.text", "body": "x"})
NO = Verdict(Decision.DENY, "chat.text", ("rule",), "No.", places=("a.yaml:3",))
POLICY = """
grants: [{id: all, to: [everyone], allow: [chat.text]}]
compliance: {exempt_admins: ["@boss:acme.example"]}
"""


def _decisions_of(runtime: Runtime) -> Decisions:
    anything: Any = runtime
    return Decisions(anything)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """Return a runtime with a policy that replaces."""
    return Runtime(compiled(tmp_path, POLICY))


async def test_what_is_allowed_leaves_no_record(runtime: Runtime) -> None:
    """An ordinary message touches no outbox."""
    decisions = _decisions_of(runtime)
    verdict = decisions.ask(runtime.policy, ALICE, TEXT)
    assert await decisions.settle(runtime.policy, ALICE, verdict, Act("event")) is None
    assert runtime.outbox.records == []


async def test_without_a_policy_everything_is_refused(runtime: Runtime) -> None:
    """No policy is closed: rejected, never replaced, and the reason says it."""
    decisions = _decisions_of(runtime)
    verdict = decisions.ask(None, ALICE, TEXT)
    refusal = await decisions.settle(None, ALICE, verdict, Act("event", replaceable=True))
    assert refusal is not None
    assert (refusal.answer, refusal.policy) == ("reject", "")
    assert refusal.verdict.reason.startswith("There is no policy yet")


async def test_a_refusal_is_recorded_whole(runtime: Runtime) -> None:
    """The record has the keys of docs/contracts.md, the content as plain JSON and the policy's digest."""
    act = Act("event", "!r:acme.example", "m.room.message", None, {"body": "secret", "list": ("a",)}, replaceable=True)
    refusal = await _decisions_of(runtime).settle(runtime.policy, ALICE, NO, act)
    assert refusal is not None
    assert refusal.answer == "replace"
    kind, record = runtime.outbox.records[0]
    assert (kind, record["room"], record["actor"]) == ("refusal", "!r:acme.example", ALICE)
    assert runtime.policy is not None
    assert record["body"] == {
        "feature": "chat.text",
        "decision": "deny",
        "rules": ["rule"],
        "places": ["a.yaml:3"],
        "policy": runtime.policy.digest,
        "reason": "No.",
        "path": "event",
        "answer": "replace",
        "event_type": "m.room.message",
        "content": {"body": "secret", "list": ["a"]},
        "until": None,
        "contact": "Ask Ada.",
        "folded": 0,
    }


async def test_nothing_is_answered_when_the_record_cannot_be_written(runtime: Runtime) -> None:
    """A failing outbox is a failure of the hook, which the guard turns into its closed answer."""
    runtime.outbox.broken = True
    with pytest.raises(OSError, match="disk full"):
        await _decisions_of(runtime).settle(runtime.policy, ALICE, NO, Act("event", replaceable=True))


async def test_repeated_refusals_count_as_one(runtime: Runtime) -> None:
    """Each is recorded with its content; `folded` counts those before it, by user, feature and room, for a while."""
    decisions = _decisions_of(runtime)
    for room in ("!a", "!a", "!b", "!a"):
        await decisions.settle(runtime.policy, ALICE, NO, Act("event", room))
    runtime.time += _decisions.FOLD_S
    await decisions.settle(runtime.policy, ALICE, NO, Act("event", "!a"))
    assert [body["folded"] for body in runtime.outbox.bodies("refusal")] == [0, 1, 0, 2, 0]


async def test_a_flood_is_told_to_wait(runtime: Runtime) -> None:
    """Beyond the bound nothing is written and the client gets 429, until the minute is over."""
    decisions = _decisions_of(runtime)
    for _ in range(_decisions.FLOOD_PER_MINUTE):
        await decisions.settle(runtime.policy, ALICE, NO, Act("event"))
    with pytest.raises(SynapseError) as caught:
        await decisions.settle(runtime.policy, ALICE, NO, Act("event"))
    assert caught.value.code == 429
    assert len(runtime.outbox.records) == _decisions.FLOOD_PER_MINUTE
    runtime.time += 60
    assert await decisions.settle(runtime.policy, ALICE, NO, Act("event")) is not None


async def test_a_shadow_policy_refuses_nobody(runtime: Runtime) -> None:
    """What it would refuse is recorded once in a while and happens."""
    runtime.stage = "shadow"
    decisions = _decisions_of(runtime)
    for _ in range(3):
        assert await decisions.settle(runtime.policy, ALICE, NO, Act("event")) is None
    assert [body["would_have"] for body in runtime.outbox.bodies("would-have")] == [["rule"]]


async def test_an_exempt_administrator_raises_an_alarm(runtime: Runtime) -> None:
    """The judge's exemption and the adapter's own denials both pass, each with one alarm in a while."""
    decisions = _decisions_of(runtime)
    boss = "@boss:acme.example"
    verdict = decisions.ask(runtime.policy, boss, ActFacts("room.public"))
    for _ in range(2):
        assert await decisions.settle(runtime.policy, boss, verdict, Act("create")) is None
    assert await decisions.settle(runtime.policy, boss, NO, Act("event")) is None
    assert [body["code"] for body in runtime.outbox.bodies("alarm")] == ["exempt-admin"] * 2


async def test_counters_are_bounded(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many people cannot make the memory of refusals grow for ever."""
    monkeypatch.setattr(_decisions, "REMEMBERED", 10)
    decisions = _decisions_of(runtime)
    for number in range(30):
        await decisions.settle(runtime.policy, f"@u{number}:acme.example", NO, Act("event"))
    assert len(decisions._seen) == 10


def test_plain_json_of_frozen_content() -> None:
    """Synapse's frozen containers become dicts and lists."""
    from immutabledict import immutabledict  # noqa: PLC0415 - what Synapse's events hold

    assert plain(immutabledict({"a": (immutabledict({"b": 1}), 2)})) == {"a": [{"b": 1}, 2]}


async def test_what_protects_the_journal_holds_in_the_shadow_stage(runtime: Runtime) -> None:
    """A firm denial is refused and recorded; any other is only noted."""
    runtime.stage = "shadow"
    decisions = _decisions_of(runtime)
    assert await decisions.settle(runtime.policy, ALICE, NO, Act("event")) is None
    assert await decisions.settle(runtime.policy, ALICE, NO, Act("event"), firm=True) is not None
    assert [kind for kind, _ in runtime.outbox.records] == ["would-have", "refusal"]


@pytest.mark.parametrize(("age", "allowed"), [(None, False), (59.0, True), (61.0, False)])
def test_a_stale_directory_closes_where_the_policy_says(tmp_path: Path, age: float | None, *, allowed: bool) -> None:
    """Everything but ends, for everybody but exempt administrators."""
    closing = Runtime(compiled(tmp_path, POLICY + "directory: {max_age: 1m, then: close}"), age=age)
    decisions = _decisions_of(closing)
    assert decisions.ask(closing.policy, ALICE, TEXT).allowed is allowed
    assert decisions.ask(closing.policy, "@boss:acme.example", TEXT).allowed
    assert decisions.ask(closing.policy, ALICE, EventFacts("m.call.hangup", {"call_id": "1"})).allowed


def test_services_that_no_rule_names_are_not_everybody(runtime: Runtime) -> None:
    """A user of another application service has nothing of `everyone`."""
    assert runtime.policy is not None
    policy = compile_policy(runtime.policy.policy_set, runtime.policy.snapshot, is_service=lambda user: user == ALICE)
    decisions = _decisions_of(runtime)
    assert not decisions.ask(policy, ALICE, TEXT).allowed
    assert decisions.ask(policy, "@bob:acme.example", TEXT).allowed


@pytest.mark.parametrize(("stage", "user"), [("shadow", ALICE), ("enforce", "@boss:acme.example")])
async def test_what_is_not_there_is_refused_to_everybody(runtime: Runtime, stage: str, user: str) -> None:
    """Neither the shadow stage nor an exemption brings withheld bytes back."""
    runtime.stage = stage
    decisions = _decisions_of(runtime)
    assert await decisions.settle(runtime.policy, user, NO, Act("event", replaceable=True)) is None
    refusal = await decisions.settle(runtime.policy, user, NO, Act("event", replaceable=True, final=True))
    assert refusal is not None
    assert refusal.answer == "replace"
