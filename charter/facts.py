"""Plain facts that adapters gather and `charter.judge` judges; no Matrix or Synapse object among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charter.policy.model import RoomKind


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What is known of a room when something happens in it.

    Attributes:
        room_id: the room, or "" for one that is only being created.
        kind: the first that fits of external, public, direct, private.
        servers: other servers with joined or invited members.
        members: local MXIDs joined or invited, where a barrier needs them; else None.
    """

    room_id: str
    kind: RoomKind = "private"
    servers: frozenset[str] = frozenset()
    members: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class EventFacts:
    """An event that somebody asks to send (room creation's initial state included).

    Attributes:
        type: event type as sent.
        content: event content as sent; any JSON, trusted for nothing.
        state_key: state key, or None for a message-like event.
        room: the room.
        sniffed: content types found by sniffing the media that the content refers to, where known.
        previous: content of the state event that this one replaces, where there is one. Tells a
            change of one's profile in a room from joining it.
    """

    type: str
    content: Mapping[str, Any]
    state_key: str | None = None
    room: RoomFacts = field(default_factory=lambda: RoomFacts(""))
    sniffed: tuple[str, ...] = ()
    previous: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ActFacts:
    """An act that is known by its feature alone: joining, inviting, publishing, uploading and so on.

    Attributes:
        feature: catalogue id, e.g. ``room.join``.
        room: the room.
        other: MXID of the other person (invitee, owner of a profile), where there is one.
        content_type: sniffed type of an upload.
        size: bytes of an upload.
    """

    feature: str
    room: RoomFacts = field(default_factory=lambda: RoomFacts(""))
    other: str | None = None
    content_type: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class CreateRoomFacts:
    """A request to create a room, judged before anything persists.

    Attributes:
        config: the body of /createRoom as sent.
        invitees: MXIDs named in ``invite``.
    """

    config: Mapping[str, Any]
    invitees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """Somebody logs on with correct credentials.

    Attributes:
        address: client's IP address, or None.
        snapshot_age: seconds since the directory snapshot was taken, or None without one.
    """

    address: str | None = None
    snapshot_age: float | None = None


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """A message or call that is about to cross to, or from, an outside network.

    Attributes:
        network: network id of the policy.
        address: the outside address: destination if outbound, sender if inbound; None asks about any
            address that the policy names.
        feature: feature of the message itself, e.g. ``chat.text``.
        direction: ``out`` or ``in``.
        room: the portal room.
    """

    network: str
    address: str | None
    feature: str = "chat.text"
    direction: Literal["in", "out"] = "out"
    room: RoomFacts = field(default_factory=lambda: RoomFacts(""))


Facts = EventFacts | ActFacts | CreateRoomFacts | LoginFacts | GatewayFacts
"""Everything that :func:`charter.judge.judge` judges."""
