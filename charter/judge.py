"""The one decision: plain facts and a compiled policy in, a verdict out. Pure; the clock is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from charter.classify import classify_create, classify_event, media_feature
from charter.compiled import Compiled
from charter.crossing import carried_as
from charter.facts import ActFacts, CreateRoomFacts, EventFacts, GatewayFacts, LoginFacts, RoomFacts
from charter.people import localpart_server
from charter.verdict import FREE, Decision, Verdict, combine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from charter.directory import DirectorySnapshot
    from charter.facts import Facts
    from charter.policy.model import RoomKind
    from charter.policy.policy_set import PolicySet

__all__ = ["FREE", "LOGON", "Compiled", "closed_directory", "combine", "compile_policy", "judge"]

LOGON: Final = "logon"
"""What verdicts on log-ons carry as their feature; it is no word of the language."""

_INSTEAD: Final = {"room.invite": "external.invite", "room.join": "external.join"}
"""What the servers of a room must list in place of the feature that the grant must give."""


def compile_policy(
    policy_set: PolicySet,
    snapshot: DirectorySnapshot,
    *,
    bots: frozenset[str] = frozenset(),
    is_service: Callable[[str], bool] = lambda _: False,
) -> Compiled:
    """Make a checked policy ready to judge the people of one directory snapshot.

    Takes a while for a large directory (about 1 s for 100,000 people): do it off the event loop and swap.

    Args:
        policy_set: the policy.
        snapshot: the directory.
        bots: MXIDs of Charter's own bots; rules match them only by name.
        is_service: tells the users of other application services, who are nobody's ``everyone`` either.
    """
    return Compiled(policy_set, snapshot, bots, is_service)


def judge(compiled: Compiled, subject: str, facts: Facts, now: float) -> Verdict:
    """Return the verdict on what somebody asks to do.

    An act needs every feature it consists of; in a room with other servers each of them must list the
    features for that person; no barrier may part the people concerned; and limits on size and type hold.
    Rates and quotas are the adapter's.

    Args:
        compiled: the policy.
        subject: MXID of whoever acts.
        facts: what is asked.
        now: POSIX seconds.
    """
    if type(facts) is EventFacts:
        return _judge_event(compiled, subject, facts, now)
    if type(facts) is ActFacts:
        return _judge_act(compiled, subject, facts, now)
    if type(facts) is CreateRoomFacts:
        return _judge_create(compiled, subject, facts, now)
    if type(facts) is LoginFacts:
        return _judge_login(compiled, subject, facts, now)
    if type(facts) is GatewayFacts:
        return _judge_crossing(compiled, subject, facts, now)
    msg = f"not facts: {type(facts).__name__}"
    raise TypeError(msg)


def is_stale(compiled: Compiled, snapshot_age: float | None) -> bool:
    """Return whether a directory snapshot is older than ``directory.max_age``; none at all is."""
    return snapshot_age is None or snapshot_age > compiled.policy.directory.max_age


def closed_directory(compiled: Compiled, subject: str, feature: str, snapshot_age: float | None) -> Verdict | None:
    """Return the denial of every act while the snapshot is stale and the policy says ``then: close``, else None.

    The age is the adapter's to know: the snapshot that a policy was compiled with may have been confirmed since.

    Args:
        compiled: the policy.
        subject: MXID; exempt admins are let through.
        feature: what the verdict names.
        snapshot_age: seconds since the directory was last read, or None if it never was.
    """
    closes = compiled.policy.directory.then == "close" and is_stale(compiled, snapshot_age)
    if not closes or compiled.is_exempt(subject):
        return None
    return _limited(
        compiled, feature, (), "The directory has not been read for too long; everything is closed until it is.", None
    )


def _judge_event(compiled: Compiled, subject: str, facts: EventFacts, now: float) -> Verdict:
    features = classify_event(facts, subject)
    room = facts.room
    if not features:
        return FREE
    plain = not room.servers and not facts.sniffed and (room.members is None or not compiled.walls)
    if plain and facts.type != "m.room.member":
        if len(features) == 1:
            return compiled.decide(subject, features[0], room.kind, now)
        return compiled.decide_all(subject, features, room.kind, now)
    other = facts.state_key if facts.type == "m.room.member" and facts.state_key != subject else None
    verdicts = _needed(compiled, subject, features, room, now, other=other)
    verdicts += [_of_type(compiled, subject, features[0], found, now) for found in facts.sniffed]
    movers = _movers(subject, other)
    return combine(verdicts + _walled(compiled, features[0], movers, movers | (room.members or frozenset()), now))


def _judge_act(compiled: Compiled, subject: str, facts: ActFacts, now: float) -> Verdict:
    features = [facts.feature]
    if facts.content_type is not None and facts.feature.startswith("file.") and facts.feature != "file.download":
        found = media_feature(facts.content_type, voice=facts.feature == "file.voice")
        if found != facts.feature:
            features.append(found)
    verdicts = _needed(compiled, subject, features, facts.room, now, other=facts.other)
    if facts.content_type is not None:
        verdicts.append(_of_type(compiled, subject, facts.feature, facts.content_type, now))
    if facts.size is not None:
        verdicts.append(_of_size(compiled, subject, facts.feature, facts.size, now))
    movers = _movers(subject, facts.other)
    return combine(
        verdicts + _walled(compiled, facts.feature, movers, movers | (facts.room.members or frozenset()), now)
    )


def _judge_create(compiled: Compiled, subject: str, facts: CreateRoomFacts, now: float) -> Verdict:
    features = classify_create(facts)
    kind = _kind_of(features)
    verdicts = [compiled.decide(subject, feature, kind, now) for feature in features]
    config: object = facts.config
    invited = config.get("invite") if isinstance(config, Mapping) else None
    named = invited if isinstance(invited, list | tuple) else ()
    invitees = {*facts.invitees, *(user for user in named if isinstance(user, str))}
    servers = {localpart_server(user) for user in invitees} - {compiled.membership.server_name}
    verdicts += [compiled.decide_server(subject, "external.invite", server, now) for server in sorted(servers)]
    people = frozenset((subject, *invitees))
    return combine(verdicts + _walled(compiled, features[0], people, people, now))


def _kind_of(features: Sequence[str]) -> RoomKind:
    if "room.public" in features:
        return "public"
    return "direct" if "room.direct" in features else "private"


def _needed(  # noqa: PLR0913 - the facts of an act
    compiled: Compiled, subject: str, features: Sequence[str], room: RoomFacts, now: float, *, other: str | None
) -> list[Verdict]:
    """Return the verdicts of the grants and of every server concerned.

    ``external.*`` features are given where the server is named: a grant may add to that, and deny it (the
    server's table knows the denials), but is not needed.
    """
    theirs = localpart_server(other) if other else ""
    remote = frozenset({theirs}) if theirs and theirs != compiled.membership.server_name else frozenset[str]()
    verdicts: list[Verdict] = []
    for feature in features:
        abroad = feature.startswith("external.")
        servers = room.servers | remote if abroad or feature in _INSTEAD else room.servers
        listed = feature
        if feature == "room.join" or (feature == "room.invite" and remote):
            listed = _INSTEAD[feature]
        granted = compiled.decide(subject, feature, room.kind, now)
        if granted.allowed or not (abroad and servers):
            verdicts.append(granted)
        verdicts += [compiled.decide_server(subject, listed, server, now) for server in sorted(servers)]
    return verdicts


def _walled(
    compiled: Compiled, feature: str, movers: frozenset[str], people: frozenset[str], now: float
) -> list[Verdict]:
    if not compiled.walls or len(people) < 2 or any(map(compiled.is_exempt, movers)):  # noqa: PLR2004 - nobody to meet
        return []
    found = (wall.judge(feature, movers, people, now) for wall in compiled.walls)
    return [verdict for verdict in found if verdict is not None]


def _movers(subject: str, other: str | None) -> frozenset[str]:
    return frozenset((subject,) if other is None else (subject, other))


def _of_type(compiled: Compiled, subject: str, feature: str, content_type: str, now: float) -> Verdict:
    limits = compiled.limits(subject, now)
    if compiled.is_exempt(subject) or limits.allows_type(content_type):
        return _within(limits.until)
    allowed = ", ".join(limits.types or ()) or "none"
    reason = f"Files of the type {content_type} are not allowed for you; allowed: {allowed}."
    return _limited(compiled, feature, limits.sources.get("types", ()), reason, limits.until)


def _of_size(compiled: Compiled, subject: str, feature: str, size: int, now: float) -> Verdict:
    limits = compiled.limits(subject, now)
    if compiled.is_exempt(subject) or limits.max_file is None or size <= limits.max_file:
        return _within(limits.until)
    reason = f"The file has {size} bytes; the largest that you may send has {limits.max_file}."
    return _limited(compiled, feature, limits.sources.get("max_file", ()), reason, limits.until)


def _within(until: float | None) -> Verdict:
    if until is None:
        return FREE
    return Verdict(Decision.ALLOW, "", (), "", since=float("-inf"), until=until, expires=until)


def _limited(compiled: Compiled, feature: str, rules: tuple[str, ...], reason: str, until: float | None) -> Verdict:
    places = tuple(map(compiled.place, rules))
    return Verdict(
        Decision.DENY, feature, rules, reason, since=float("-inf"), until=until, places=places, expires=until
    )


def _judge_crossing(compiled: Compiled, subject: str, facts: GatewayFacts, now: float) -> Verdict:
    crossing = compiled.crossings.get(facts.network)
    if crossing is None:
        reason = f"The policy has no network {facts.network}."
        return Verdict(Decision.DENY, f"gateway.{facts.network}", (), reason, since=float("-inf"))
    own = facts.feature.startswith("gateway.")
    verdicts = [] if own else _needed(compiled, subject, (facts.feature,), facts.room, now, other=None)
    if compiled.is_exempt(subject) or compiled.is_disabled(subject):
        return combine(verdicts or [compiled.decide(subject, facts.feature, facts.room.kind, now)])
    carried = () if own else (carried_as(facts.feature),)
    return combine([crossing.judge(subject, facts.address, facts.direction, carried, now), *verdicts])


def _judge_login(compiled: Compiled, subject: str, facts: LoginFacts, now: float) -> Verdict:
    if compiled.is_exempt(subject):
        return Verdict(Decision.ALLOW, LOGON, (), "", since=float("-inf"), exempt=True)
    if compiled.is_disabled(subject):
        return _limited(compiled, LOGON, (), "Your account is disabled in the directory.", None)
    if is_stale(compiled, facts.snapshot_age) and compiled.policy.directory.then != "alert":
        return _limited(
            compiled, LOGON, (), "The directory has not been read for too long; log-on is closed until it is.", None
        )
    terms = compiled.session(subject, now)
    ends = [end for end in (terms.until, terms.hours_end(now)) if end is not None]
    until = min(ends) if ends else None
    if not terms.open_at(now):
        hours = " and ".join(map(str, terms.hours))
        reason = f"You may log on only between {hours} ({terms.timezone})."
        return _limited(compiled, LOGON, terms.sources.get("hours", ()), reason, until)
    if not terms.from_network(facts.address):
        reason = "You may not log on from this network."
        denied = _limited(compiled, LOGON, terms.sources.get("networks", ()), reason, terms.until)
        return replace(denied, expires=until)
    return Verdict(Decision.ALLOW, LOGON, (), "", since=float("-inf"), until=until, expires=until)
