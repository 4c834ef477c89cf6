"""Why somebody may or may not: the decision, the rules behind it, the rules that almost applied, the next change."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from charter.catalogue import UNKNOWN, names, summary
from charter.compiled import SERVICE
from charter.crossing import carried_as
from charter.errors import CharterError
from charter.facts import ActFacts, GatewayFacts, RoomFacts
from charter.judge import judge
from charter.ldif import localpart
from charter.people import localpart_server
from charter.policy.translate import did_you_mean
from charter.windows import NEVER, zone

if TYPE_CHECKING:
    from charter.compiled import Compiled
    from charter.facts import Facts
    from charter.policy.model import RoomKind
    from charter.table import Entry, Table
    from charter.verdict import Verdict

_STEPS: Final = 1500
"""How many boundaries of rules are tried in search of the next change: years of daily windows."""

_OUTWEIGHED: Final = "another rule outweighs it"


class QuestionError(CharterError):
    """The question names a person, feature or network that there is not."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        user: user name of the directory, or MXID.
        feature: catalogue id.
        room: kind of room; None: external with a server, else private.
        server: another server in the room.
        other: the other person: user name or MXID.
        network: gateway network that a message crosses.
        destination: outside address; None: any that the policy names.
    """

    user: str
    feature: str
    room: RoomKind | None = None
    server: str | None = None
    other: str | None = None
    network: str | None = None
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """One rule, and what about it.

    Attributes:
        rule: id.
        place: ``file:line``, or "".
        text: ``allows``, ``denies``, or why it did not apply.
    """

    rule: str
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer.

    Attributes:
        user: MXID.
        verdict: the judgement.
        reason: one sentence, also for an allowance.
        deciding: the rules that decided.
        almost: the rules that name the person, or give the feature to a group of others, and did not apply.
        changes_at: POSIX seconds at which the decision changes next, or None.
        digest: the policy's.
        timezone: the organisation's.
        groups: the person's groups.
    """

    user: str
    verdict: Verdict
    reason: str
    deciding: tuple[Note, ...]
    almost: tuple[Note, ...]
    changes_at: float | None
    digest: str
    timezone: str
    groups: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the contract of ``charter why --json``."""
        return {
            "decision": "allow" if self.verdict.allowed else "deny",
            "rules": list(self.verdict.rules),
            "would_have": list(self.verdict.would_have),
            "reason": self.reason,
            "changes_at": self.changes_iso(),
            "policy": self.digest,
        }

    def changes_iso(self) -> str | None:
        """Return the next change as an ISO time in the organisation's time zone."""
        if self.changes_at is None:
            return None
        return dt.datetime.fromtimestamp(self.changes_at, zone(self.timezone)).isoformat()


def explain(compiled: Compiled, question: Question, now: float) -> Explanation:
    """Answer a question.

    Args:
        compiled: the policy.
        question: what is asked.
        now: POSIX seconds.

    Raises:
        QuestionError: there is no such feature, network or person.
    """
    user = person(compiled, question.user)
    facts = facts_of(compiled, question)
    verdict = judge(compiled, user, facts, now)
    return Explanation(
        user=user,
        verdict=verdict,
        reason=verdict.reason or _allowed_by(verdict),
        deciding=tuple(
            Note(rule, place, "allows" if verdict.allowed else "denies")
            for rule, place in zip(verdict.rules, verdict.places, strict=False)
        ),
        almost=tuple(_almost(compiled, user, facts, now, feature=question.feature, verdict=verdict)),
        changes_at=next_change(compiled, user, facts, now),
        digest=compiled.digest,
        timezone=compiled.timezone,
        groups=tuple(name for name in compiled.membership.bits if compiled.member(user, name)),
    )


def next_change(compiled: Compiled, user: str, facts: Facts, now: float) -> float | None:
    """Return the next moment at which the decision is another one, or None if none is in sight."""
    verdict = judge(compiled, user, facts, now)
    decision = verdict.decision
    for _ in range(_STEPS):
        if verdict.until is None:
            return None
        moment = verdict.until
        verdict = judge(compiled, user, facts, moment)
        if verdict.decision is not decision:
            return moment
    return None


def person(compiled: Compiled, name: str) -> str:
    """Return the MXID that a user name of the directory, or an MXID, means.

    Raises:
        QuestionError: the directory has people, but nobody of this name.
    """
    if name.startswith("@"):
        if not localpart_server(name):
            msg = f"{name} is no MXID"
            raise QuestionError(msg, f"write @name:{compiled.membership.server_name}")
        return name
    user = f"@{localpart(name)}:{compiled.membership.server_name}"
    people = compiled.snapshot.people
    if people and user not in people:
        known = [user_id[1:].partition(":")[0] for user_id in people]
        msg = f"nobody in the directory is named {name}"
        raise QuestionError(
            msg, did_you_mean(name, known, "write a whole MXID for somebody who is not in the directory")
        )
    return user


def facts_of(compiled: Compiled, question: Question) -> Facts:
    """Return the facts that a question describes.

    Raises:
        QuestionError: there is no such feature or network.
    """
    known = names(compiled.networks)
    if question.feature not in known:
        msg = f"{question.feature} is not a feature"
        raise QuestionError(msg, did_you_mean(question.feature, known, "`charter features` lists them"))
    other = person(compiled, question.other) if question.other else None
    servers = {question.server} if question.server else set()
    if other and localpart_server(other) != compiled.membership.server_name:
        servers.add(localpart_server(other))
    kind: RoomKind = question.room or ("external" if servers else "private")
    room = RoomFacts("", kind, frozenset(servers), frozenset({other}) if other else None)
    if question.network is None:
        if question.destination is not None:
            msg = "a destination needs a network"
            raise QuestionError(msg, "name it with --network")
        return ActFacts(question.feature, room, other)
    if question.network not in compiled.crossings:
        msg = f"{question.network} is not a network of the policy"
        raise QuestionError(msg, did_you_mean(question.network, compiled.networks))
    return GatewayFacts(question.network, question.destination, question.feature, room=room)


def _allowed_by(verdict: Verdict) -> str:
    if verdict.exempt:
        return "No rule judges this person: compliance.exempt_admins names them."
    return f"Allowed by {', '.join(verdict.rules)}." if verdict.rules else "Nothing in the policy stands against it."


def _almost(  # noqa: PLR0913 - the question and its answer
    compiled: Compiled, user: str, facts: Facts, now: float, *, feature: str, verdict: Verdict
) -> list[Note]:
    tables: list[Table | None] = [compiled.table(feature)]
    room: RoomFacts = getattr(facts, "room", RoomFacts(""))
    tables += [compiled.server_table(server, feature) for server in sorted(room.servers)]
    if isinstance(facts, GatewayFacts):
        tables.append(compiled.crossings[facts.network].table)
    notes: dict[str, Note] = {}
    for table in tables:
        for entry in table.entries if table else ():
            if entry.id in verdict.rules or entry.id in notes:
                continue
            if _is_nothing_to(compiled, user, entry, now):
                continue
            why = _why_not(compiled, user, entry, room.kind, now)
            if why == _OUTWEIGHED and isinstance(facts, GatewayFacts):
                why = _why_not_across(compiled, entry.id, facts) or why
            if not (verdict.allowed and (why == _OUTWEIGHED or why.startswith("only for"))):
                notes[entry.id] = Note(entry.id, entry.place, f"would {'allow' if entry.allow else 'deny'}, but {why}")
    return list(notes.values())


def _is_nothing_to(compiled: Compiled, user: str, entry: Entry, now: float) -> bool:
    """Return whether a rule for others is of no interest to a person.

    Of interest is what others have and the person could be given by joining a group. A denial for others, a rule
    that has expired, and one for named people or another application service's users are not.
    """
    if any(name_means(compiled, user, name) for name in entry.to):
        return False
    joinable = any(not name.startswith(("@", SERVICE)) for name in entry.to)
    return not (entry.allow and joinable) or now >= entry.validity.end


def _why_not(compiled: Compiled, user: str, entry: Entry, kind: str, now: float) -> str:  # noqa: PLR0911 - one answer each
    """Return why a rule does not apply, or that another outweighs it."""
    excepted = next((name for name in entry.except_ if compiled.member(user, name)), None)
    if not any(name_means(compiled, user, name) for name in entry.to):
        return "only for " + ", ".join(entry.to)
    if excepted is not None:
        return "you are excepted" if excepted == user else f"you are excepted (as one of {excepted})"
    if now >= entry.validity.end:
        ended = dt.datetime.fromtimestamp(entry.validity.end, zone(compiled.timezone))
        return f"expired on {(ended - dt.timedelta(seconds=1)).date().isoformat()}"
    if entry.kinds is not None and kind not in entry.kinds:
        return f"only in {' and '.join(entry.kinds)} rooms"
    active, _, until = entry.validity.span(now)
    window = entry.validity.window
    if not active and window is not None:
        opens = "" if until == NEVER else dt.datetime.fromtimestamp(until, window.tz).strftime("; next from %a %H:%M")
        return f"hours: {window.hours}{opens}"
    if entry.shadow:
        return "stage shadow: recorded, not enforced"
    return _OUTWEIGHED


def name_means(compiled: Compiled, user: str, name: str) -> bool:
    """Return whether a name in `to`, services' users included, means a person."""
    if name.startswith("@"):
        return name == user
    return bool(compiled.groups_of(user) & compiled.bits.get(name, 0))


def _why_not_across(compiled: Compiled, rule: str, facts: GatewayFacts) -> str | None:
    grant = next((grant for grant in compiled.policy.gateway.grants if grant.id == rule), None)
    if grant is None:
        return None
    if carried_as(facts.feature) not in grant.carry:
        return f"it carries only {', '.join(grant.carry)}"
    return f"only to {', '.join(grant.destinations)}"


def describe(feature: str) -> str:
    """Return what people call a feature, with its id."""
    return "do what the catalogue does not know (unknown)" if feature == UNKNOWN else f"{summary(feature)} ({feature})"
