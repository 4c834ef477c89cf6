"""Which features a membership event needs: joining, leaving, knocking, inviting, removing, and one's name in a room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from charter.catalogue import UNKNOWN
from charter.wire import MEMBER_KEYS, NAME_LENGTH, TEXT

if TYPE_CHECKING:
    from charter.facts import EventFacts


def member_features(content: Mapping[str, Any], facts: EventFacts, sender: str | None) -> set[str]:
    """Return the features that a membership event needs.

    Args:
        content: its content, a JSON object.
        facts: the event.
        sender: whoever sends it; None: whom it is about.
    """
    own = sender is None or sender == facts.state_key
    membership = content.get("membership")
    needed = set() if _plain_member(content, membership) else {UNKNOWN}
    if content.get("reason"):
        needed.add(TEXT)
    if membership == "leave" and own:
        return needed | _renamed(content, facts.previous)
    if not own:
        act = {"invite": "room.invite", "leave": "room.moderate", "ban": "room.moderate"}
        needed.add(act.get(membership, UNKNOWN) if type(membership) is str else UNKNOWN)
        return needed
    if membership == "join":
        return needed | _joined(content, facts.previous)
    needed.add(
        {"knock": "room.knock", "invite": "room.invite"}.get(membership, UNKNOWN)
        if type(membership) is str
        else UNKNOWN
    )
    return needed


def _plain_member(content: Mapping[str, Any], membership: object) -> bool:
    """Whether a membership event carries what Matrix puts there, each in its form."""
    authorised = content.get("join_authorised_via_users_server", "")
    return (
        MEMBER_KEYS.issuperset(content)
        and type(content.get("is_direct", False)) is bool
        and (membership == "invite" or "third_party_invite" not in content)
        and type(authorised) is str
        and len(authorised) <= NAME_LENGTH
    )


def _renamed(content: Mapping[str, Any], previous: object) -> set[str]:
    """Return what a name or picture given on leaving needs; none is needed for the one that was there."""
    before = previous if isinstance(previous, Mapping) else {}
    return {
        feature
        for key, feature in (("displayname", "profile.name"), ("avatar_url", "profile.avatar"))
        if content.get(key) not in (None, before.get(key))
    }


def _joined(content: Mapping[str, Any], previous: object) -> set[str]:
    if not isinstance(previous, Mapping) or previous.get("membership") != "join":
        return {"room.join"}
    changed = set()
    if content.get("displayname") != previous.get("displayname"):
        changed.add("profile.name")
    if content.get("avatar_url") != previous.get("avatar_url"):
        changed.add("profile.avatar")
    return changed
