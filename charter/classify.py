"""Which features an event or a new room needs: a table, with a function for each exception.

Total over hostile input: content is any JSON (Synapse's frozen mappings too) and never raises. What
nothing recognises needs ``unknown``. Ends are free: hanging up, declining a call and leaving a room
without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from charter.catalogue import UNKNOWN
from charter.classify_member import member_features
from charter.sdp import offered_media
from charter.wire import (
    AUDIO_CONTAINERS,
    BRIEF,
    CALL_MEMBERSHIPS,
    CREATION_KEYS,
    ENDING_KEYS,
    ENDINGS,
    MARK,
    MEDIA_KEYS,
    MEDIA_MESSAGES,
    MESSAGES,
    NAME_LENGTH,
    NO_WORDS,
    OPENING,
    REACTION_KEYS,
    REDACTION_KEYS,
    RELATION_KEYS,
    RELATIONS,
    SESSION_DESCRIPTIONS,
    STATE,
    STREAM_METADATA,
    TEXT,
    TEXT_MESSAGES,
    VOICE_MARKS,
    WATCHED,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from charter.facts import CreateRoomFacts, EventFacts

_TEXT_ONLY: Final = (TEXT,)
_UNKNOWN_ONLY: Final = (UNKNOWN,)
_NOTHING: Final[Mapping[str, Any]] = {}
_NOT_INITIAL: Final = frozenset({"m.room.member", "m.room.create"})
_KEY_ONLY: Final = frozenset({"m.relates_to", "sticky_key", "msc4354_sticky_key"})


def classify_event(facts: EventFacts, sender: str | None = None) -> tuple[str, ...]:
    """Return the features that an event needs, all of them.

    Args:
        facts: the event.
        sender: MXID of whoever sends it; tells leaving a room from removing somebody. Without it a
            membership event counts as being about its own sender.

    Returns:
        Feature ids, sorted and without duplicates; empty only for an end (hanging up, declining,
        leaving), for a membership event that changes nothing, and for a call membership that is empty.
    """
    content: Any = facts.content
    kind: Any = facts.type
    if not _mapping(content):
        return _UNKNOWN_ONLY
    if type(kind) is not str:
        return _UNKNOWN_ONLY
    if facts.state_key is not None:
        return _sorted(_state(kind, content, facts, sender))
    if kind == "m.room.message" and not facts.sniffed:
        msgtype = content.get("msgtype")
        if type(msgtype) is str and msgtype in TEXT_MESSAGES and WATCHED.isdisjoint(content):
            return _TEXT_ONLY
    return _sorted(_message(kind, content, facts.sniffed))


def classify_create(facts: CreateRoomFacts) -> tuple[str, ...]:
    """Return the features that a request to create a room needs.

    A direct chat (``is_direct``) needs ``room.direct`` instead of ``room.create``, and its one invitee is
    part of it; a space needs ``room.space`` instead. Name, topic and initial state of one's own new room
    are part of creating it, unless they need more than ``room.settings``.

    Args:
        facts: the body of the request.

    Returns:
        Feature ids, sorted and without duplicates; never empty.
    """
    config: Any = facts.config
    if not _mapping(config):
        return _UNKNOWN_ONLY
    needed = _kind_of_room(config)
    direct = "room.direct" in needed
    invited = max(len(facts.invitees), _length(config.get("invite"))) + _length(config.get("invite_3pid"))
    if invited > (1 if direct else 0):
        needed.add("room.invite")
    if not (_texts(config.get("invite")) and isinstance(config.get("invite_3pid"), list | tuple | None)):
        needed.add(UNKNOWN)
    if config.get("visibility") == "public":
        needed |= {"room.public", "room.publish"}
    preset = config.get("preset")
    if preset == "public_chat":
        needed.add("room.public")
    elif preset not in (None, "private_chat", "trusted_private_chat"):
        needed.add(UNKNOWN)
    if config.get("room_alias_name") is not None:
        needed.add("room.alias")
    needed |= _initial_state(config.get("initial_state"))
    return _sorted(needed)


def media_feature(content_type: object, *, voice: bool = False) -> str:
    """Return the feature of a content type; of anything that is no content type, ``file.other``.

    Args:
        content_type: such as ``image/png``; parameters are ignored.
        voice: the media belongs to a voice message.
    """
    if type(content_type) is not str:
        return "file.other"
    plain = content_type.split(";", 1)[0].strip().lower()
    family = plain.split("/", 1)[0]
    if family == "audio" or plain in AUDIO_CONTAINERS:
        return "file.voice" if voice else "file.audio"
    return {"image": "file.image", "video": "file.video"}.get(family, "file.other")


def _mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a JSON object; a plain dict is told in a third of the time."""
    return type(value) is dict or isinstance(value, Mapping)


def _sorted(needed: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(needed))


def _texts(value: object) -> bool:
    """Whether a value is a list of texts, or missing; Synapse iterates over whatever it gets."""
    return value is None or (isinstance(value, list | tuple) and all(type(each) is str for each in value))


def _length(value: object) -> int:
    return len(value) if isinstance(value, list | tuple) else 0


# -- room creation -----------------------------------------------------------------------------------------


def _kind_of_room(config: Mapping[str, Any]) -> set[str]:
    creation = config.get("creation_content") or _NOTHING
    if not _mapping(creation):
        return {"room.create", UNKNOWN}
    kind = creation.get("type")
    odd = set() if CREATION_KEYS.issuperset(creation) and kind in (None, "m.space") else {UNKNOWN}
    if kind == "m.space":
        return {"room.space"} | odd
    return ({"room.direct"} if config.get("is_direct") is True and kind is None else {"room.create"}) | odd


def _initial_state(events: object) -> set[str]:
    if events is None:
        return set()
    if not isinstance(events, list | tuple):
        return {UNKNOWN}
    needed: set[str] = set()
    for event in events:
        content = event.get("content", _NOTHING) if _mapping(event) else None
        kind = event.get("type") if _mapping(event) else None
        if type(kind) is not str or not _mapping(content) or kind in _NOT_INITIAL:
            needed.add(UNKNOWN)
        else:
            needed |= _plain_state(kind, content)
    needed.discard("room.settings")
    return needed


# -- state -------------------------------------------------------------------------------------------------


def _state(kind: str, content: Mapping[str, Any], facts: EventFacts, sender: str | None) -> set[str]:
    if kind == "m.room.member":
        return member_features(content, facts, sender)
    if kind in CALL_MEMBERSHIPS and (not content or _only_empty(content)):
        return set()
    return _plain_state(kind, content)


def _plain_state(kind: str, content: Mapping[str, Any]) -> set[str]:
    feature = STATE.get(kind)
    if kind == "m.room.third_party_invite":
        return {"room.invite", "external.invite"}
    if feature is not None:
        return {feature, UNKNOWN} if MARK in content else {feature}
    opening = OPENING.get(kind)
    if opening is not None:
        key, public, others = opening
        value = content.get(key)
        odd = {UNKNOWN} if MARK in content else set()
        if value == public:
            return {"room.public"} | odd
        return {"room.settings"} | (odd if type(value) is str and value in others else {UNKNOWN})
    if kind == "m.room.create":
        return _kind_of_room({"creation_content": content})
    return {UNKNOWN}


def _only_empty(content: Mapping[str, Any]) -> bool:
    """Whether a call membership of the older form lists no call."""
    return set(content) == {"memberships"} and content["memberships"] in ([], ())


# -- messages ----------------------------------------------------------------------------------------------


def _message(kind: str, content: Mapping[str, Any], sniffed: tuple[str, ...]) -> set[str]:
    if kind in ENDINGS:
        return _ending(content)
    relation = _relation(content)
    replacing = "chat.edit" in relation
    needed = _content(kind, content, sniffed, edit=replacing) | relation
    if "m.new_content" in content:
        needed.add("chat.edit")
        new = content["m.new_content"]
        if not _mapping(new) or "m.new_content" in new or MARK in new:
            needed.add(UNKNOWN)
        else:
            needed |= _content(kind, new, sniffed, edit=False) | _relation(new)
    if MARK in content:
        needed.add(UNKNOWN)
    return needed


def _ending(content: Mapping[str, Any]) -> set[str]:
    return set() if ENDING_KEYS.issuperset(content) and _brief(content) else {UNKNOWN}


def _brief(content: Mapping[str, Any]) -> bool:
    """Whether content, at any depth, is too little for a letter."""
    return _weight(content, 4) <= BRIEF


def _weight(value: object, depth: int) -> int:
    if type(value) is str:
        return len(value)
    if _mapping(value):
        return BRIEF + 1 if depth == 0 else sum(len(str(key)) + _weight(each, depth - 1) for key, each in value.items())
    if isinstance(value, list | tuple):
        return BRIEF + 1 if depth == 0 else sum(1 + _weight(each, depth - 1) for each in value)
    return 8


def _relation(content: Mapping[str, Any]) -> set[str]:
    relates = content.get("m.relates_to")
    if relates is None:
        return set()
    if not _mapping(relates):
        return {UNKNOWN}
    kind = relates.get("rel_type")
    if kind is None:
        return set()
    known = RELATIONS.get(kind) if type(kind) is str else None
    return {UNKNOWN} if known is None else set(known)


def _content(kind: str, content: Mapping[str, Any], sniffed: tuple[str, ...], *, edit: bool) -> set[str]:
    if kind == "m.room.message":
        return _room_message(content, sniffed, edit=edit)
    if kind in MEDIA_MESSAGES:
        return _media(kind, content, sniffed, edit=edit)
    if kind in SESSION_DESCRIPTIONS:
        return _call(kind, content)
    if kind in CALL_MEMBERSHIPS and _KEY_ONLY.issuperset(content) and _brief(content):
        return set()
    needed = {MESSAGES.get(kind, UNKNOWN)}
    if kind == "m.reaction":
        needed = _reaction(content)
    elif kind == "m.room.redaction":
        needed = {"chat.delete", TEXT} if content.get("reason") else {"chat.delete"}
        needed |= set() if REDACTION_KEYS.issuperset(content) else {UNKNOWN}
    elif kind == "m.sticker":
        needed |= _types(content, sniffed, voice=False) - {"file.image"}
    elif "call.voice" in needed:
        needed |= _screen(content)
    return needed


def _room_message(content: Mapping[str, Any], sniffed: tuple[str, ...], *, edit: bool) -> set[str]:
    msgtype = content.get("msgtype")
    if type(msgtype) is not str:
        return {UNKNOWN}
    if msgtype in TEXT_MESSAGES:
        return _text(content, sniffed)
    if msgtype in MEDIA_MESSAGES:
        return _media(msgtype, content, sniffed, edit=edit)
    if msgtype == "m.location":
        return {"chat.location"}
    if msgtype == "m.key.verification.request":
        return {"room.encrypt"}
    return {UNKNOWN}


def _text(content: Mapping[str, Any], sniffed: tuple[str, ...]) -> set[str]:
    needed = {TEXT}
    if sniffed or not MEDIA_KEYS.isdisjoint(content):
        needed |= _types(content, sniffed, voice=False) or {"file.other"}
    formatted = content.get("formatted_body")
    if type(formatted) is str and "<" in formatted and "<img" in formatted.lower():
        needed.add("file.image")
    return needed


def _media(msgtype: str, content: Mapping[str, Any], sniffed: tuple[str, ...], *, edit: bool) -> set[str]:
    voice = msgtype == "m.audio" and any(mark in content for mark in VOICE_MARKS)
    needed = {"file.voice" if voice else MEDIA_MESSAGES[msgtype]}
    needed |= _types(content, sniffed, voice=voice)
    if _captioned(content, edit=edit):
        needed.add(TEXT)
    return needed


def _types(content: Mapping[str, Any], sniffed: tuple[str, ...], *, voice: bool) -> set[str]:
    """Return the features of every content type that is claimed or was found."""
    needed = {media_feature(found, voice=voice) for found in sniffed}
    info = content.get("info")
    holders = (info, content.get("file"), content.get("m.file"), content.get("org.matrix.msc1767.file"))
    for holder in holders:
        if _mapping(holder) and holder.get("mimetype") is not None:
            needed.add(media_feature(holder["mimetype"], voice=voice))
    thumbnail = info.get("thumbnail_info") if _mapping(info) else None
    if _mapping(thumbnail) and thumbnail.get("mimetype") is not None:
        needed |= {media_feature(thumbnail["mimetype"])} - {"file.image"}
    return needed


def _captioned(content: Mapping[str, Any], *, edit: bool) -> bool:
    """Whether media carries words: a body that is not the file's name, or a name that is no name."""
    body, name = content.get("body"), content.get("filename")
    if type(body) is str and edit:
        body = body.removeprefix("* ").removeprefix(" * ")
    if type(name) is str and type(body) is str and body != name:
        return True
    if name is None and content.get("formatted_body"):
        return True
    shown = name if type(name) is str else body
    return type(shown) is str and (len(shown) > NAME_LENGTH or "\n" in shown)


def _reaction(content: Mapping[str, Any]) -> set[str]:
    needed = {"chat.reaction"} if REACTION_KEYS.issuperset(content) else {"chat.reaction", TEXT}
    relates = content.get("m.relates_to")
    key = relates.get("key") if _mapping(relates) else None
    if _mapping(relates) and not RELATION_KEYS.issuperset(relates):
        needed.add(TEXT)
    if type(key) is str:
        if key.startswith("mxc://"):
            needed.add("file.image")
        elif len(key) > NO_WORDS:
            needed.add(TEXT)
    return needed


# -- calls -------------------------------------------------------------------------------------------------


def _call(kind: str, content: Mapping[str, Any]) -> set[str]:
    needed = {"call.voice"} | _screen(content)
    for key in SESSION_DESCRIPTIONS[kind]:
        description = content.get(key)
        media = offered_media(description.get("sdp")) if _mapping(description) else None
        if media is None or "video" in media:
            needed.add("call.video")
        if media is not None and media - {"audio", "video"}:
            needed.add(UNKNOWN)
    return needed


def _screen(content: Mapping[str, Any]) -> set[str]:
    for key in STREAM_METADATA:
        streams = content.get(key)
        if _mapping(streams):
            for stream in streams.values():
                if _mapping(stream) and stream.get("purpose") == "m.screenshare":
                    return {"call.screen"}
    return set()
