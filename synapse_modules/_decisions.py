"""From a judgement to what happens: counted, put on record, shadowed, exempted or refused.

A refusal is answered only after its record is committed; if it cannot be recorded the act does not happen either.
What is allowed touches neither the database nor a lock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from charter.judge import FREE, closed_directory, judge
from charter.verdict import Decision, Verdict
from synapse_modules import _answers
from synapse_modules._metrics import JUDGE_SECONDS, decided
from synapse_modules._outbox import new_record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Literal

    from synapse.storage.database import LoggingTransaction

    from charter.facts import ActFacts, CreateRoomFacts, EventFacts
    from charter.judge import Compiled
    from synapse_modules._answers import Refusal
    from synapse_modules._runtime import Runtime

    Facts = EventFacts | ActFacts | CreateRoomFacts

FOLD_S: Final = 600.0
"""Refusals of one user, feature and room within this time count as one in what people are told."""

FLOOD_PER_MINUTE: Final = 120
"""Refusals of one user in a minute above which nothing is recorded and the client is told to wait."""

REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do, as the record keeps it.

    Attributes:
        path: the way in: ``event``, ``create``, ``invite``, ``join``, ``upload``, ``alias``, ``publish``, ``3pid``.
        room: room id, or None.
        event_type: event type, or None.
        subject: the other person, state key or thing acted upon, or None.
        content: what was asked for.
        replaceable: a notice may stand in its place.
        final: refused in the shadow stage and for the exempt too: what it needs is not there.
        withhold: the refusal is answered by withholding; writes what the record's transaction commits as well.
    """

    path: str
    room: str | None = None
    event_type: str | None = None
    subject: str | None = None
    content: Mapping[str, Any] | None = None
    replaceable: bool = False
    final: bool = False
    withhold: Callable[[LoggingTransaction, str], None] | None = None


def denial(feature: str, reason: str, rules: tuple[str, ...] = (), places: tuple[str, ...] = ()) -> Verdict:
    """Return the verdict of what the adapter itself refuses: the journal's protection, used-up volume, no policy."""
    return Verdict(Decision.DENY, feature, rules, reason, places=places)


class Decisions:
    """Asks the judge and settles what it says; one per process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def ask(self, compiled: Compiled | None, subject: str, facts: Facts) -> Verdict:
        """Return the judge's verdict, timed; a denial without a policy, and of all but ends where a stale directory closes."""
        if compiled is None:
            return denial("unknown", _answers.NO_POLICY)
        begin = perf_counter()
        verdict = judge(compiled, subject, facts, self._runtime.now())
        JUDGE_SECONDS.observe(perf_counter() - begin)
        if verdict.allowed and verdict is not FREE and compiled.policy.directory.then == "close":
            return closed_directory(compiled, subject, verdict.feature, self._runtime.directory_age()) or verdict
        return verdict

    async def settle(
        self, compiled: Compiled | None, user: str, verdict: Verdict, act: Act, *, firm: bool = False
    ) -> Refusal | None:
        """Return None if the act may happen, else the refusal that is on record.

        Args:
            compiled: the policy.
            user: who acts.
            verdict: what the judge says.
            act: what the record keeps.
            firm: the denial protects the journal and holds under a policy in the shadow stage too.

        Raises:
            SynapseError: the user is refused faster than refusals can be recorded.
        """
        if verdict.would_have:
            self._would_have(compiled, user, verdict, act)
        if verdict.allowed:
            decided(verdict.feature or "free", "exempt" if verdict.exempt else "allow")
            if verdict.exempt:
                self._exempted(user, verdict, act)
            return None
        if act.final:
            return await self._refuse(compiled, user, verdict, act)
        if self._runtime.stage == "shadow" and not firm:
            decided(verdict.feature, "shadow")
            self._would_have(compiled, user, verdict, act)
            return None
        if compiled is not None and compiled.is_exempt(user):
            decided(verdict.feature, "exempt")
            self._exempted(user, verdict, act)
            return None
        return await self._refuse(compiled, user, verdict, act)

    async def require(
        self, compiled: Compiled | None, user: str, verdict: Verdict, act: Act, *, firm: bool = False
    ) -> None:
        """Return if the act may happen; see :meth:`settle`.

        Raises:
            SynapseError: the refusal in words.
        """
        refusal = await self.settle(compiled, user, verdict, act, firm=firm)
        if refusal is not None:
            raise _answers.forbidden(refusal)

    async def _refuse(self, compiled: Compiled | None, user: str, verdict: Verdict, act: Act) -> Refusal:
        now = self._runtime.now()
        minute = self._count(("flood", user), now, 60.0)
        if minute >= FLOOD_PER_MINUTE:
            decided(verdict.feature, "flood")
            raise _answers.flooded(60_000)
        folded = self._count(("fold", user, verdict.feature, act.room or ""), now, FOLD_S)
        answer: Literal["replace", "reject", "withheld"] = "reject" if act.withhold is None else "withheld"
        if act.replaceable and compiled is not None and compiled.policy.refusals.message == "replace":
            answer = "replace"
        contact = "" if compiled is None else compiled.policy.organisation.contact
        policy = "" if compiled is None else compiled.digest
        body = {
            "feature": verdict.feature,
            "decision": "deny",
            "rules": list(verdict.rules),
            "places": list(verdict.places),
            "policy": policy,
            "reason": verdict.reason,
            "path": act.path,
            "answer": answer,
            "event_type": act.event_type,
            "content": plain(act.content),
            "until": _iso(verdict.until),
            "contact": contact,
            "folded": folded,
        }
        record = await self._put(user, act, body)
        decided(verdict.feature, answer)
        return _answers.Refusal(record, verdict, policy, contact, answer)

    async def _put(self, user: str, act: Act, body: dict[str, Any]) -> str:
        outbox, room = self._runtime.outbox, act.room or None
        if act.withhold is None:
            return await outbox.put("refusal", room=room, actor=user, subject=act.subject, body=body)
        record = new_record("refusal", room=room, actor=user, subject=act.subject, body=body)
        return await outbox.put_with(act.withhold, record)

    def _exempted(self, user: str, verdict: Verdict, act: Act) -> None:
        """Raise the alarm that an exempt administrator acted, once for each feature, path and room in a while."""
        if self._count(("exempt", user, verdict.feature, act.path, act.room or ""), self._runtime.now(), FOLD_S):
            return
        body = {
            "code": "exempt-admin",
            "text": f"{user} is exempt from the policy and acted: {verdict.feature or act.path}.",
            "feature": verdict.feature,
            "path": act.path,
            "event_type": act.event_type,
        }
        self._runtime.outbox.put_soon("alarm", room=act.room or None, actor=user, subject=act.subject, body=body)

    def _would_have(self, compiled: Compiled | None, user: str, verdict: Verdict, act: Act) -> None:
        shadow = verdict.would_have or verdict.rules
        if compiled is None or self._count(("would", user, verdict.feature, *shadow), self._runtime.now(), FOLD_S):
            return
        body = {
            "feature": verdict.feature,
            "rules": list(verdict.rules),
            "would_have": list(shadow),
            "policy": compiled.digest,
        }
        self._runtime.outbox.put_soon("would-have", room=act.room or None, actor=user, subject=act.subject, body=body)

    def _count(self, key: tuple[str, ...], now: float, window: float) -> int:
        """Return how often `key` was counted in the running window, and count it."""
        begin, count = self._seen.get(key, (now, 0))
        if not 0 <= now - begin < window:
            begin, count = now, 0
        self._seen[key] = (begin, count + 1)
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return count


def plain(value: Any) -> Any:
    """Return JSON of Synapse's frozen containers as ordinary dicts and lists."""
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
