"""Tables behind :mod:`charter.classify`: which feature an event type or message type needs.

An event type that is in no table needs ``unknown``. Types are exact; nothing here is a prefix.
"""

from __future__ import annotations

from typing import Final

TEXT: Final = "chat.text"

TEXT_MESSAGES: Final[frozenset[str]] = frozenset(
    {
        "m.text",
        "m.notice",
        "m.emote",
        "m.server_notice",
        "nic.custom.confetti",
        "nic.custom.fireworks",
        "io.element.effect.hearts",
        "io.element.effect.rainfall",
        "io.element.effect.snowfall",
        "io.element.effects.hearts",
        "io.element.effects.rainfall",
        "io.element.effects.snowfall",
        "io.element.effects.space_invaders",
    }
)
"""Message types that are text, Element's text effects among them."""

MEDIA_MESSAGES: Final[dict[str, str]] = {
    "m.image": "file.image",
    "m.video": "file.video",
    "m.audio": "file.audio",
    "m.file": "file.other",
}
"""Message types, and extensible event types, that carry media."""

VOICE_MARKS: Final = (
    "org.matrix.msc3245.voice",
    "m.voice",
    "org.matrix.msc3245.voice.v2",
    "org.matrix.msc2516.voice",
)
"""Keys that make an ``m.audio`` a voice message."""

MESSAGES: Final[dict[str, str]] = {
    "m.message": TEXT,
    "m.emote": TEXT,
    "m.notice": TEXT,
    "org.matrix.msc1767.message": TEXT,
    "org.matrix.msc1767.emote": TEXT,
    "org.matrix.msc1767.notice": TEXT,
    "m.sticker": "chat.sticker",
    "m.location": "chat.location",
    "org.matrix.msc3488.location": "chat.location",
    "m.beacon": "chat.location",
    "org.matrix.msc3672.beacon": "chat.location",
    "m.poll.start": "chat.poll",
    "m.poll.response": "chat.poll",
    "m.poll.end": "chat.poll",
    "org.matrix.msc3381.poll.start": "chat.poll",
    "org.matrix.msc3381.poll.response": "chat.poll",
    "org.matrix.msc3381.poll.end": "chat.poll",
    "org.matrix.msc3381.v2.poll.start": "chat.poll",
    "org.matrix.msc3381.v2.poll.response": "chat.poll",
    "org.matrix.msc3381.v2.poll.end": "chat.poll",
    "m.room.encrypted": "room.encrypt",
    "m.key.verification.request": "room.encrypt",
    "m.key.verification.ready": "room.encrypt",
    "m.key.verification.start": "room.encrypt",
    "m.key.verification.accept": "room.encrypt",
    "m.key.verification.key": "room.encrypt",
    "m.key.verification.mac": "room.encrypt",
    "m.key.verification.done": "room.encrypt",
    "m.key.verification.cancel": "room.encrypt",
    "m.call.candidates": "call.voice",
    "m.call.select_answer": "call.voice",
    "m.call.replaces": "call.voice",
    "m.call.asserted_identity": "call.voice",
    "org.matrix.call.asserted_identity": "call.voice",
    "m.call.sdp_stream_metadata_changed": "call.voice",
    "org.matrix.call.sdp_stream_metadata_changed": "call.voice",
    "m.rtc.member": "call.group",
    "org.matrix.msc4143.rtc.member": "call.group",
    "m.rtc.notification": "call.group",
    "org.matrix.msc4075.rtc.notification": "call.group",
    "m.call.notify": "call.group",
    "org.matrix.msc4075.call.notify": "call.group",
    "m.call.encryption_keys": "call.group",
    "io.element.call.encryption_keys": "call.group",
    "io.element.call.reaction": "call.group",
}
"""Message-like event types that one feature covers."""

SESSION_DESCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "m.call.invite": ("offer",),
    "m.call.answer": ("answer",),
    "m.call.negotiate": ("description",),
}
"""Call events and the key whose ``sdp`` tells voice from video."""

STREAM_METADATA: Final = ("sdp_stream_metadata", "org.matrix.msc3077.sdp_stream_metadata")
"""Keys that tell a shared screen from a camera."""

ENDINGS: Final[frozenset[str]] = frozenset(
    {"m.call.hangup", "m.call.reject", "m.rtc.decline", "org.matrix.msc4310.rtc.decline"}
)
"""Ending or declining a call is never refused."""

ENDING_KEYS: Final[frozenset[str]] = frozenset(
    {
        "call_id",
        "party_id",
        "version",
        "reason",
        "lifetime",
        "conf_id",
        "device_id",
        "seq",
        "sender_session_id",
        "dest_session_id",
        "capabilities",
        "m.relates_to",
    }
)
"""What the end of a call may carry; anything else is ``unknown``, so that it is no letterbox."""

RELATIONS: Final[dict[str, tuple[str, ...]]] = {
    "m.replace": ("chat.edit",),
    "m.thread": ("chat.thread",),
    "io.element.thread": ("chat.thread",),
    "m.annotation": ("chat.reaction",),
    "m.reference": (),
}
"""Relation types."""

STATE: Final[dict[str, str]] = {
    "m.room.name": "room.settings",
    "m.room.topic": "room.settings",
    "m.room.avatar": "room.settings",
    "m.room.guest_access": "room.settings",
    "m.room.retention": "room.settings",
    "m.room.bot.options": "room.settings",
    "m.room.related_groups": "room.settings",
    "im.vector.room.access_rules": "room.settings",
    "io.element.functional_members": "room.settings",
    "org.matrix.room.preview_urls": "room.settings",
    "m.room.power_levels": "room.moderate",
    "m.room.server_acl": "room.moderate",
    "m.room.policy": "room.moderate",
    "org.matrix.msc4284.policy": "room.moderate",
    "m.policy.rule.user": "room.moderate",
    "m.policy.rule.room": "room.moderate",
    "m.policy.rule.server": "room.moderate",
    "m.room.pinned_events": "room.pin",
    "m.widget": "room.widget",
    "im.vector.modular.widgets": "room.widget",
    "io.element.widgets.layout": "room.widget",
    "m.room.tombstone": "room.upgrade",
    "m.room.encryption": "room.encrypt",
    "m.room.canonical_alias": "room.alias",
    "m.room.aliases": "room.alias",
    "m.space.child": "room.space",
    "m.space.parent": "room.space",
    "m.room.third_party_invite": "room.invite",
    "m.beacon_info": "chat.location",
    "org.matrix.msc3672.beacon_info": "chat.location",
    "m.call": "call.group",
    "org.matrix.msc3401.call": "call.group",
    "m.call.member": "call.group",
    "org.matrix.msc3401.call.member": "call.group",
    "m.rtc.member": "call.group",
    "org.matrix.msc4143.rtc.member": "call.group",
    "m.rtc.slot": "call.group",
    "org.matrix.msc4143.rtc.slot": "call.group",
}
"""State event types that one feature covers."""

OPENING: Final[dict[str, tuple[str, str, frozenset[str]]]] = {
    "m.room.join_rules": (
        "join_rule",
        "public",
        frozenset({"invite", "knock", "restricted", "knock_restricted", "private"}),
    ),
    "m.room.history_visibility": ("history_visibility", "world_readable", frozenset({"joined", "invited", "shared"})),
}
"""State that opens a room: key, the value that is ``room.public``, the values that are ``room.settings``."""

CALL_MEMBERSHIPS: Final[frozenset[str]] = frozenset(
    {"m.call.member", "org.matrix.msc3401.call.member", "m.rtc.member", "org.matrix.msc4143.rtc.member"}
)
"""Memberships of a group call; an empty one is leaving it, which is never refused."""

MEMBER_KEYS: Final[frozenset[str]] = frozenset(
    {
        "membership",
        "displayname",
        "avatar_url",
        "is_direct",
        "reason",
        "third_party_invite",
        "join_authorised_via_users_server",
    }
)
"""What a membership event may carry; anything else is ``unknown``."""

CREATION_KEYS: Final[frozenset[str]] = frozenset(
    {"type", "m.federate", "predecessor", "creator", "room_version", "additional_creators"}
)
"""What ``creation_content`` may carry; anything else is ``unknown``: Charter's bots recognise their own rooms by a key."""

REACTION_KEYS: Final[frozenset[str]] = frozenset({"m.relates_to", "shortcode", "com.beeper.reaction.shortcode"})
"""What a reaction may carry; with more it is a text."""

RELATION_KEYS: Final[frozenset[str]] = frozenset({"rel_type", "event_id", "key"})
"""What the relation of a reaction may carry; with more it is a text."""

REDACTION_KEYS: Final[frozenset[str]] = frozenset(
    {"redacts", "reason", "with_rel_types", "org.matrix.msc3912.with_relations"}
)
"""What a redaction may carry; anything else is ``unknown``."""

MARK: Final = "org.charter.refusal"
"""The marker of a replaced message; nobody else may write it."""

MEDIA_KEYS: Final[frozenset[str]] = frozenset({"url", "file", "m.file", "org.matrix.msc1767.file"})
"""Keys with which even a text message carries media."""

WATCHED: Final[frozenset[str]] = MEDIA_KEYS | {"m.relates_to", "m.new_content", "formatted_body", MARK}
"""Keys that make a text message more than its message type."""

AUDIO_CONTAINERS: Final[frozenset[str]] = frozenset({"application/ogg"})
"""Types that sniffing gives to plain audio files."""

BRIEF: Final = 640
"""Characters, at any depth and with the keys, that what needs no feature may carry."""

NO_WORDS: Final = 64
"""Characters of a reaction's key above which it is a text."""

NAME_LENGTH: Final = 255
"""Characters of a file name above which it is a text."""
