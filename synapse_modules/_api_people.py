"""Calls about people: why, me, who reads the compliance rooms, and the directory snapshot."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import orjson
from synapse.api.errors import Codes, SynapseError

from charter.overview import KINDS, overview
from charter.why import Question, QuestionError, explain
from synapse_modules._api_router import PERSONAL, RECORDERS, Call, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.judge import Compiled
    from charter.policy.model import RoomKind
    from charter.terms import Limits, SessionTerms
    from charter.verdict import Verdict
    from synapse_modules._runtime import Runtime


class PeopleCalls:
    """Handlers over the compiled policy and the snapshot."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.routes = (
            Route("GET", "/directory", RECORDERS, self.directory),
            Route("GET", "/readers", RECORDERS, self.readers),
            Route("GET", "/why", PERSONAL, self.why),
            Route("GET", "/me", PERSONAL, self.me),
        )

    async def directory(self, call: Call) -> tuple[int, Any]:
        """The directory snapshot."""
        snapshot = self._runtime.snapshot
        if snapshot is None:
            raise SynapseError(404, "There is no directory snapshot yet", Codes.NOT_FOUND)
        text = await self._runtime.api.defer_to_thread(snapshot.to_json)
        if call.etag(hashlib.sha256(text).hexdigest()):
            return 304, {}
        return 200, orjson.loads(text)

    async def readers(self, _call: Call) -> tuple[int, Any]:
        """Who reads the compliance rooms and who approves, by name."""
        compiled = self._compiled()
        return 200, await self._runtime.api.defer_to_thread(_readers, compiled)

    async def why(self, call: Call) -> tuple[int, Any]:
        """Why somebody may or may not do something; ``room`` names a kind of room."""
        user = self._about(call)
        feature = call.query("feature")
        if feature is None:
            raise SynapseError(400, "`feature` is missing", Codes.MISSING_PARAM)
        compiled = self._compiled()
        kind = call.query("room")
        if kind is not None and kind not in KINDS:
            raise SynapseError(400, f"`room` is one of {', '.join(KINDS)}", Codes.INVALID_PARAM)
        question = Question(
            user,
            feature,
            room=kind,
            server=call.query("server"),
            other=call.query("with"),
            network=call.query("network"),
            destination=call.query("destination"),
        )
        try:
            return 200, await self._runtime.api.defer_to_thread(_explain, compiled, question, self._runtime.now())
        except QuestionError as error:
            raise SynapseError(400, str(error), Codes.INVALID_PARAM) from error

    async def me(self, call: Call) -> tuple[int, Any]:
        """What somebody may do, within which limits, and who reads the compliance rooms."""
        user = self._about(call)
        compiled = self._compiled()
        return 200, await self._runtime.api.defer_to_thread(_me, compiled, user, self._runtime.now())

    def _compiled(self) -> Compiled:
        compiled = self._runtime.compiled()
        if compiled is None:
            raise SynapseError(404, "There is no policy yet; ask your administrator", Codes.NOT_FOUND)
        return compiled

    def _about(self, call: Call) -> str:
        """Return whom a call is about: the steward names anybody, a person only themselves.

        Raises:
            SynapseError: 403 or 400.
        """
        user = call.query("user") or (call.user if call.who == "self" else None)
        if user is None:
            raise SynapseError(400, "`user` is missing", Codes.MISSING_PARAM)
        if call.who == "self" and user != call.user:
            raise SynapseError(403, "You may only ask about yourself", Codes.FORBIDDEN)
        return user


def _readers(compiled: Compiled) -> dict[str, list[str]]:
    compliance = compiled.policy.compliance

    def people(named: Iterable[str]) -> list[str]:
        return sorted({user for name in named for user in compiled.members(name)})

    return {"readers": people(compliance.readers), "approvers": people(compliance.approvers)}


def _me(compiled: Compiled, user: str, now: float) -> dict[str, Any]:
    return {
        "user": user,
        "policy": compiled.digest,
        "features": [_feature(feature, verdicts) for feature, verdicts in overview(compiled, user, now).items()],
        "limits": _terms(compiled.limits(user, now)),
        "session": _terms(compiled.session(user, now)),
        "readers": _readers(compiled)["readers"],
    }


def _feature(feature: str, verdicts: dict[RoomKind, Verdict]) -> dict[str, Any]:
    """Return one feature: allowed if it is in some kind of room, and in which."""
    kinds = [kind for kind, verdict in verdicts.items() if verdict.allowed]
    verdict = verdicts[kinds[0] if kinds else "private"]
    ends = [one.until for one in verdicts.values() if one.until is not None]
    return {
        "id": feature,
        "allowed": bool(kinds),
        "in": kinds,
        "rules": list(verdict.rules),
        "reason": verdict.reason,
        "until": min(ends) if ends else None,
    }


def _terms(terms: Limits | SessionTerms) -> dict[str, Any]:
    """Return the settings that a rule of the policy sets, in the policy's own notation."""
    values = {field.name: getattr(terms, field.name) for field in fields(terms)}
    return {name: _written(values[name]) for name in values if values.get("sources", {}).get(name)} | {
        "sources": {name: list(rules) for name, rules in terms.sources.items()},
        "until": terms.until,
    }


def _written(value: Any) -> Any:
    if isinstance(value, (int, str)) or value is None:
        return value
    if isinstance(value, tuple):
        return [_written(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _written(one) for key, one in value.items()}
    return str(value)


def _explain(compiled: Compiled, question: Question, now: float) -> dict[str, Any]:
    """Return the contract of `charter why --json`, and the rules in words."""
    found = explain(compiled, question, now)
    return found.to_json() | {
        "deciding": [asdict(note) for note in found.deciding],
        "almost": [asdict(note) for note in found.almost],
    }
