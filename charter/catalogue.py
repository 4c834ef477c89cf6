"""The table of features: what a policy can name, and what each is on the wire.

A feature's ``wire`` names are documentation and test material for :mod:`charter.classify`; they hold
event types, message types, relation types and endpoints, stable and unstable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a person may or may not do.

    Attributes:
        id: the language's word for it.
        summary: one line for people, fit for "You may …".
        wire: what it is on the wire: event types, ``m.room.message/<msgtype>``, endpoints.
    """

    id: str
    summary: str
    wire: tuple[str, ...]


UNKNOWN: Final = "unknown"
"""The feature of everything that no row recognises; wildcards never include it."""

FEATURES: Final[tuple[Feature, ...]] = (
    Feature(
        "chat.text",
        "send text messages",
        (
            "m.room.message/m.text",
            "m.room.message/m.notice",
            "m.room.message/m.emote",
            "m.message",
            "org.matrix.msc1767.message",
            "m.emote",
            "m.notice",
        ),
    ),
    Feature("chat.reaction", "react to messages", ("m.reaction",)),
    Feature("chat.edit", "edit messages", ("m.replace",)),
    Feature("chat.delete", "delete messages", ("m.room.redaction", "/rooms/{room}/redact")),
    Feature("chat.thread", "reply in threads", ("m.thread", "io.element.thread")),
    Feature("chat.sticker", "send stickers", ("m.sticker",)),
    Feature(
        "chat.poll",
        "start, answer and end polls",
        (
            "m.poll.start",
            "m.poll.response",
            "m.poll.end",
            "org.matrix.msc3381.poll.start",
            "org.matrix.msc3381.poll.response",
            "org.matrix.msc3381.poll.end",
            "org.matrix.msc3381.v2.poll.start",
            "org.matrix.msc3381.v2.poll.response",
            "org.matrix.msc3381.v2.poll.end",
        ),
    ),
    Feature(
        "chat.location",
        "share a location",
        (
            "m.room.message/m.location",
            "m.location",
            "org.matrix.msc3488.location",
            "m.beacon_info",
            "m.beacon",
            "org.matrix.msc3672.beacon_info",
            "org.matrix.msc3672.beacon",
        ),
    ),
    Feature("file.image", "send images", ("m.room.message/m.image", "m.image", "image/*")),
    Feature("file.video", "send videos", ("m.room.message/m.video", "m.video", "video/*")),
    Feature("file.audio", "send audio files", ("m.room.message/m.audio", "m.audio", "audio/*")),
    Feature(
        "file.voice",
        "send voice messages",
        ("m.voice", "org.matrix.msc3245.voice", "org.matrix.msc3245.voice.v2", "org.matrix.msc2516.voice"),
    ),
    Feature("file.other", "send documents and other files", ("m.room.message/m.file", "m.file")),
    Feature(
        "file.download",
        "download media",
        (
            "/_matrix/client/v1/media/download",
            "/_matrix/client/v1/media/thumbnail",
            "/_matrix/media/v3/download",
            "/_matrix/media/v3/thumbnail",
        ),
    ),
    Feature(
        "call.voice",
        "make voice calls",
        (
            "m.call.invite",
            "m.call.answer",
            "m.call.negotiate",
            "m.call.candidates",
            "m.call.select_answer",
            "m.call.replaces",
            "m.call.asserted_identity",
            "m.call.sdp_stream_metadata_changed",
            "/voip/turnServer",
        ),
    ),
    Feature(
        "call.video",
        "make video calls",
        ("m.call.invite with m=video", "m.call.answer with m=video", "m.call.negotiate with m=video"),
    ),
    Feature(
        "call.screen", "share the screen in a call", ("sdp_stream_metadata purpose m.screenshare", "m.call.replaces")
    ),
    Feature(
        "call.group",
        "take part in group calls",
        (
            "m.call",
            "m.call.member",
            "org.matrix.msc3401.call",
            "org.matrix.msc3401.call.member",
            "m.rtc.member",
            "org.matrix.msc4143.rtc.member",
            "m.rtc.slot",
            "org.matrix.msc4143.rtc.slot",
            "m.rtc.notification",
            "org.matrix.msc4075.rtc.notification",
            "m.call.notify",
            "org.matrix.msc4075.call.notify",
            "m.rtc.decline",
            "org.matrix.msc4310.rtc.decline",
            "m.call.encryption_keys",
            "io.element.call.encryption_keys",
            "io.element.call.reaction",
            "/openid/request_token",
            "/org.matrix.msc4143/rtc/transports",
        ),
    ),
    Feature("room.create", "create group rooms", ("m.room.create", "/createRoom")),
    Feature(
        "room.public",
        "create public rooms and open rooms to everybody",
        (
            "/createRoom preset public_chat",
            "m.room.join_rules public",
            "m.room.history_visibility world_readable",
        ),
    ),
    Feature("room.direct", "start direct chats", ("/createRoom is_direct",)),
    Feature(
        "room.invite", "invite others", ("m.room.member invite", "/rooms/{room}/invite", "m.room.third_party_invite")
    ),
    Feature("room.join", "join rooms", ("m.room.member join", "/join/{room}", "/rooms/{room}/join")),
    Feature("room.knock", "ask to be let into a room", ("m.room.member knock", "/knock/{room}")),
    Feature(
        "room.alias",
        "give rooms an address",
        ("m.room.canonical_alias", "m.room.aliases", "/directory/room/{alias}", "/createRoom room_alias_name"),
    ),
    Feature(
        "room.publish",
        "list rooms in the public directory",
        ("/directory/list/room/{room}", "/createRoom visibility public"),
    ),
    Feature("room.encrypt", "encrypt rooms and send encrypted messages", ("m.room.encryption", "m.room.encrypted")),
    Feature(
        "room.settings",
        "change a room's name, topic, picture and settings",
        (
            "m.room.name",
            "m.room.topic",
            "m.room.avatar",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "m.room.retention",
            "io.element.functional_members",
            "org.matrix.room.preview_urls",
            "m.room.bot.options",
            "im.vector.room.access_rules",
            "m.room.related_groups",
        ),
    ),
    Feature(
        "room.moderate",
        "remove people and set power levels",
        (
            "m.room.power_levels",
            "m.room.server_acl",
            "m.room.member ban",
            "m.room.member leave of another",
            "m.policy.rule.user",
            "m.policy.rule.room",
            "m.policy.rule.server",
            "m.room.policy",
            "org.matrix.msc4284.policy",
        ),
    ),
    Feature(
        "room.widget",
        "add widgets",
        ("m.widget", "im.vector.modular.widgets", "io.element.widgets.layout", "m.widgets"),
    ),
    Feature("room.upgrade", "upgrade rooms to a new version", ("m.room.tombstone", "/rooms/{room}/upgrade")),
    Feature("room.pin", "pin messages", ("m.room.pinned_events",)),
    Feature(
        "room.space", "create and arrange spaces", ("m.space.child", "m.space.parent", "m.room.create type m.space")
    ),
    Feature("profile.name", "change one's display name", ("/profile/{user}/displayname", "m.room.member displayname")),
    Feature("profile.avatar", "change one's picture", ("/profile/{user}/avatar_url", "m.room.member avatar_url")),
    Feature("profile.other", "change other profile fields", ("/profile/{user}/{field}",)),
    Feature("presence", "show presence and status", ("m.presence", "/presence/{user}/status")),
    Feature("directory.search", "search for people", ("/user_directory/search",)),
    Feature("device.push", "receive notifications through a push service", ("/pushers/set",)),
    Feature("device.message", "send messages between devices", ("/sendToDevice",)),
    Feature(
        "external.invite",
        "invite people of other servers",
        ("m.room.member invite of a remote person", "/rooms/{room}/invite third party"),
    ),
    Feature("external.join", "join rooms that live on other servers", ("/join/{room} of another server",)),
    Feature("external.be-invited", "be invited by people of other servers", ("/_matrix/federation/v2/invite",)),
    Feature(UNKNOWN, "do what no other feature describes", ()),
)
"""Every feature, in the order of the manual. Networks of a policy add ``gateway.<id>``."""

BY_ID: Final[dict[str, Feature]] = {feature.id: feature for feature in FEATURES}
_KNOWN: Final = tuple(feature.id for feature in FEATURES if feature.id != UNKNOWN)


def gateway_feature(network: str) -> str:
    """Return the feature that stands for crossing to ``network``."""
    return f"gateway.{network}"


def names(networks: Iterable[str] = ()) -> tuple[str, ...]:
    """Return every feature id in the catalogue's order, then those of the networks, then ``unknown``."""
    return (*_KNOWN, *map(gateway_feature, networks), UNKNOWN)


def expand(pattern: str, networks: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the features that a pattern of the language names.

    Args:
        pattern: a feature id, ``prefix.*`` or a bare ``*``.
        networks: network ids of the policy.

    Returns:
        Feature ids in the catalogue's order; empty if the pattern names nothing. ``*`` and
        ``prefix.*`` never include ``unknown``, which must be named.
    """
    known = (*_KNOWN, *map(gateway_feature, networks))
    if pattern == "*":
        return known
    if pattern.endswith(".*"):
        prefix = pattern[:-1]
        return tuple(name for name in known if name.startswith(prefix))
    return (pattern,) if pattern == UNKNOWN or pattern in known else ()


def expand_all(patterns: Iterable[str], networks: Iterable[str] = ()) -> frozenset[str]:
    """Return the features that any of the patterns names."""
    known = tuple(networks)
    return frozenset(name for pattern in patterns for name in expand(pattern, known))


def summary(feature: str) -> str:
    """Return the one line for people; total, also for networks and words that are no feature."""
    row = BY_ID.get(feature)
    if row is not None:
        return row.summary
    if feature.startswith("gateway."):
        return f"exchange messages with the network {feature[8:]}"
    return feature
