"""The compiled judge against a slow evaluator that was written from the specification, and laws of combination."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from charter.catalogue import expand
from charter.directory import DirectorySnapshot, Person
from charter.judge import Compiled, compile_policy
from charter.policy.model import Grant, Policy
from charter.policy.policy_set import PolicySet

if TYPE_CHECKING:
    from charter.verdict import Verdict

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
USERS = [
    "@a:acme.example",
    "@b:acme.example",
    "@c:acme.example",
    "@gone:acme.example",
    "@r:other.example",
    "@bot:acme.example",
]
BOTS = frozenset({"@bot:acme.example"})
GROUPS: dict[str, Any] = {
    "staff": {"directory": {"under": "ou=people,dc=acme"}},
    "traders": {"directory": {"member_of": "cn=Traders, ou=groups,dc=acme"}},
    "named": {"users": ("@b:acme.example", "@r:other.example"), "groups": ("traders",)},
    "outer": {"groups": ("named", "outer")},
}
PEOPLE = {
    "@a:acme.example": Person(
        "@a:acme.example", "uid=a,ou=people,dc=acme", member_of=("cn=traders,ou=groups,dc=acme",)
    ),
    "@b:acme.example": Person("@b:acme.example", "uid=b, OU=People,dc=acme"),
    "@c:acme.example": Person("@c:acme.example", "uid=c,ou=robots,dc=acme"),
    "@bot:acme.example": Person("@bot:acme.example", "uid=bot,ou=people,dc=acme"),
}
MEMBERS = {
    "everyone": {"@a:acme.example", "@b:acme.example", "@c:acme.example", "@gone:acme.example"},
    "staff": {"@a:acme.example", "@b:acme.example"},
    "traders": {"@a:acme.example"},
    "named": {"@a:acme.example", "@b:acme.example", "@r:other.example"},
    "outer": {"@a:acme.example", "@b:acme.example", "@r:other.example"},
}
FEATURES = ["chat.text", "chat.edit", "call.voice", "unknown"]
KINDS = ["direct", "private", "public", "external"]
START = dt.datetime(2026, 3, 27, tzinfo=dt.UTC).timestamp()
WEEK = 7 * 86_400

names = st.sampled_from([*MEMBERS, *USERS])
hours = st.sampled_from(["00:00-24:00", "07:00-20:00", "22:00-06:00", "02:30-03:30", "00:00-00:30"])
patterns = st.lists(st.sampled_from(["chat.text", "chat.*", "*", "unknown", "call.*"]), max_size=2)


@st.composite
def grants(draw: st.DrawFn) -> dict[str, Any]:
    """Draw one rule without its id."""
    rule: dict[str, Any] = {
        "to": draw(st.lists(names, min_size=1, max_size=2)),
        "allow": draw(patterns),
        "deny": draw(patterns),
    }
    if draw(st.booleans()):
        rule["except"] = draw(st.lists(names, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        rule["in"] = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=2))
    if draw(st.integers(0, 3)) == 0:
        rule["until"] = draw(st.sampled_from(["2026-03-28", "2026-03-29", "2026-03-29T03:15:00+02:00"]))
    if draw(st.integers(0, 2)) == 0:
        rule["during"] = {"days": draw(st.sampled_from(["mon-fri", "sat,sun", "sun", "mon-sun"])), "hours": draw(hours)}
    if draw(st.integers(0, 3)) == 0:
        rule["stage"] = "shadow"
    return rule


def policy(rules: list[dict[str, Any]]) -> Policy:
    """Return a policy with these rules."""
    return Policy.model_validate(
        {
            "version": 1,
            "organisation": {"name": "A", "server_name": "acme.example", "timezone": "Europe/Berlin", "contact": "x"},
            "groups": GROUPS,
            "grants": [{"id": f"r{index}", **rule} for index, rule in enumerate(rules)],
        },
        strict=False,
    )


def compiled(rules: Policy) -> Compiled:
    """Return the compiled policy."""
    return compile_policy(PolicySet.of(rules, {}), DirectorySnapshot(PEOPLE, START), bots=BOTS)


def means(name: str, user: str) -> bool:
    """Say whether a name means a person."""
    return name == user or user in MEMBERS.get(name, ())


def applies(rule: Grant, user: str, kind: str, now: float) -> bool:  # noqa: PLR0911 - one line of the specification each
    """Say whether a rule applies, as the specification has it."""
    if not any(means(name, user) for name in rule.to) or any(means(name, user) for name in rule.except_):
        return False
    if rule.in_ is not None and kind not in rule.in_:
        return False
    local = dt.datetime.fromtimestamp(now, BERLIN)
    if isinstance(rule.until, dt.datetime):
        if now >= rule.until.timestamp():
            return False
    elif rule.until is not None and local.date() > rule.until:
        return False
    if rule.during is None:
        return True
    minute, window = local.hour * 60 + local.minute, rule.during.hours
    if window.start < window.end:
        return window.start <= minute < window.end and local.weekday() in rule.during.days
    if minute >= window.start:
        return local.weekday() in rule.during.days
    return minute < window.end and (local.weekday() - 1) % 7 in rule.during.days


def naive(
    rules: Policy, user: str, feature: str, kind: str, now: float
) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Decide slowly: (allowed, rules, would_have)."""
    found: dict[tuple[str, str], set[str]] = {(s, e): set() for s in ("enforce", "shadow") for e in ("allow", "deny")}
    for rule in rules.grants:
        if not applies(rule, user, kind, now):
            continue
        if any(feature in expand(pattern) for pattern in rule.deny):
            found[rule.stage, "deny"].add(rule.id)
        elif any(feature in expand(pattern) for pattern in rule.allow):
            found[rule.stage, "allow"].add(rule.id)
    denies, allows = found["enforce", "deny"], found["enforce", "allow"]
    now_allowed = bool(allows) and not denies
    would_deny = denies | found["shadow", "deny"]
    would_allowed = bool(allows | found["shadow", "allow"]) and not would_deny
    differ = found["shadow", "allow" if would_allowed else "deny"] if would_allowed != now_allowed else set()
    return now_allowed, tuple(sorted(denies or allows)), tuple(sorted(differ))


def seen(verdict: Verdict) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Return what a verdict says."""
    return verdict.allowed, verdict.rules, verdict.would_have


rule_lists = st.lists(grants(), max_size=6)
moments = st.integers(0, WEEK * 60).map(lambda step: START + step / 60)
questions = st.tuples(st.sampled_from(USERS), st.sampled_from(FEATURES), st.sampled_from(KINDS))


@settings(max_examples=400, deadline=None)
@given(rule_lists, st.lists(st.tuples(questions, moments), min_size=1, max_size=12))
def test_the_compiled_judge_agrees_with_the_specification(rules: list[dict[str, Any]], asked: list[Any]) -> None:
    """At any time, the clock going back and forth, cached or not, and all through each verdict's interval."""
    written = policy(rules)
    engine = compiled(written)
    for (user, feature, kind), now in asked:
        expected = naive(written, user, feature, kind, now)
        verdict = engine.decide(user, feature, kind, now)
        assert expected == seen(verdict)
        assert expected == seen(engine.decide_uncached(user, feature, kind, now))
        assert verdict.since <= now
        assert verdict.expires is None or now < verdict.expires <= (verdict.until or 1e18)
        for (other_user, other_feature, other_kind), later in asked:
            if (other_user, other_feature, other_kind) == (user, feature, kind) and verdict.since <= later < (
                verdict.expires or 1e18
            ):
                assert expected == naive(written, user, feature, kind, later)
        assert verdict.allowed or verdict.reason


@settings(max_examples=100, deadline=None)
@given(rule_lists, questions, moments)
def test_an_interval_is_sound(rules: list[dict[str, Any]], question: tuple[str, str, str], now: float) -> None:
    """A verdict holds at the edges of its interval and at steps in between."""
    written = policy(rules)
    verdict = compiled(written).decide(*question, now)
    low, high = max(verdict.since, START - WEEK), min(verdict.expires or START + 2 * WEEK, START + 2 * WEEK)
    for step in range(9):
        moment = low + (high - low - 0.001) * step / 8
        assert seen(verdict) == naive(written, *question, moment)


needs = st.lists(st.sampled_from(FEATURES), min_size=1, max_size=3, unique=True).map(tuple)


@settings(max_examples=200, deadline=None)
@given(rule_lists, st.sampled_from(USERS), needs, st.sampled_from(KINDS), moments)
def test_a_decision_lasts_until_it_may_change(
    rules: list[dict[str, Any]], user: str, features: tuple[str, ...], kind: str, now: float
) -> None:
    """Of one feature or several: no other decision before `until`, which is not earlier than it must be."""

    def allowed(at: float) -> bool:
        return all(naive(written, user, feature, kind, at)[0] for feature in features)

    written = policy(rules)
    verdict = compiled(written).decide_all(user, features, kind, now)
    assert verdict.allowed == allowed(now)
    end = min(verdict.until or START + 3 * WEEK, START + 3 * WEEK)
    for step in range(25):
        assert verdict.allowed == allowed(now + (end - now - 0.001) * step / 24)
    if verdict.until is not None:
        before, after = (
            [naive(written, user, feature, kind, at)[:2] for feature in features]
            for at in (verdict.until - 0.5, verdict.until)
        )
        assert before != after


@settings(max_examples=100, deadline=None)
@given(rule_lists, grants(), questions, moments)
def test_another_denial_never_allows_more(
    rules: list[dict[str, Any]], extra: dict[str, Any], question: tuple[str, str, str], now: float
) -> None:
    """Adding a rule that only denies keeps every refusal."""
    before = compiled(policy(rules)).decide(*question, now)
    after = compiled(policy([*rules, {**extra, "allow": []}])).decide(*question, now)
    assert before.allowed or not after.allowed


@settings(max_examples=100, deadline=None)
@given(rule_lists, grants(), questions, moments)
def test_another_allowance_never_denies_more(
    rules: list[dict[str, Any]], extra: dict[str, Any], question: tuple[str, str, str], now: float
) -> None:
    """Adding a rule that only allows keeps every allowance."""
    before = compiled(policy(rules)).decide(*question, now)
    after = compiled(policy([*rules, {**extra, "deny": []}])).decide(*question, now)
    assert after.allowed or not before.allowed


@settings(max_examples=100, deadline=None)
@given(
    rule_lists.flatmap(lambda rules: st.tuples(st.just(rules), st.permutations(range(len(rules))))), questions, moments
)
def test_the_order_of_rules_is_irrelevant(shuffled: Any, question: tuple[str, str, str], now: float) -> None:
    """Rules are a set: files and lines may be moved."""
    rules, order = shuffled
    written = policy(rules)
    moved = written.model_copy(update={"grants": tuple(written.grants[index] for index in order)})
    assert seen(compiled(written).decide(*question, now)) == seen(compiled(moved).decide(*question, now))
