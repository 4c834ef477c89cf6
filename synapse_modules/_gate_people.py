"""Invitations, joins, room addresses and the public list: hooks outside the event path, and the federation's door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charter.facts import ActFacts, RoomFacts
from synapse_modules import _answers
from synapse_modules._answers import NOT_SPAM
from synapse_modules._decisions import Act
from synapse_modules._gate_create import current
from synapse_modules._gate_invariants import is_firm
from synapse_modules._gate_rooms import MEMBER, RoomShape, server_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from synapse.events import EventBase
    from synapse.module_api import ModuleApi
    from synapse.types import RoomAlias

    from synapse_modules._decisions import Decisions
    from synapse_modules._facts import StateBefore
    from synapse_modules._gate_invariants import Invariants
    from synapse_modules._gate_rooms import RoomShapes
    from synapse_modules._guard import Guard
    from synapse_modules._runtime import Runtime

    NotSpam = Literal["NOT_SPAM"]

WORDLESS: Final = frozenset({"membership", "is_direct", "displayname", "avatar_url"})
"""Keys of a membership event that says nothing of its own."""

ENTERING: Final = frozenset({"join", "knock"})


class PeopleGate:
    """Who may bring whom into which room."""

    def __init__(
        self,
        runtime: Runtime,
        decisions: Decisions,
        rooms: RoomShapes,
        invariants: Invariants,
        trusted: Callable[[str], bool],
    ) -> None:
        self._runtime = runtime
        self._store = runtime.api._store  # noqa: SLF001 - invitations and memberships by key have no public reader
        self._server_name = runtime.api.server_name
        self._decisions = decisions
        self._rooms = rooms
        self._invariants = invariants
        self._trusted = trusted

    def register(self, api: ModuleApi, guard: Guard) -> None:
        """Register the hooks."""
        closed = _answers.fail_closed
        api.register_spam_checker_callbacks(
            user_may_invite=guard.wrap("user_may_invite", self.user_may_invite, on_failure=closed),
            user_may_join_room=guard.wrap("user_may_join_room", self.user_may_join_room, on_failure=closed),
            user_may_create_room_alias=guard.wrap("user_may_create_room_alias", self.may_alias, on_failure=closed),
            user_may_publish_room=guard.wrap("user_may_publish_room", self.may_publish, on_failure=closed),
            user_may_send_3pid_invite=guard.wrap("user_may_send_3pid_invite", self.may_invite_3pid, on_failure=closed),
            federated_user_may_invite=guard.wrap(
                "federated_user_may_invite", self.federated_user_may_invite, on_failure=_answers.stop_at_the_door
            ),
        )

    async def user_may_invite(self, inviter: str, invitee: str, room_id: str) -> NotSpam:
        """Judge an invitation; the event hook judges it again for those whom Synapse does not ask about here."""
        creation = current()
        if self._trusted(inviter) or self._runtime.is_bot(invitee):
            return NOT_SPAM
        if creation is not None and creation.room == room_id and invitee in creation.invitees:
            return NOT_SPAM
        compiled = self._runtime.compiled()
        local = server_of(invitee) == self._server_name
        shape = await self._rooms.current(room_id) or RoomShape(room_id)
        facts = self._rooms.facts_of(shape.with_person(invitee, local=local), compiled, inviter, invitee)
        verdict = self._decisions.ask(compiled, inviter, ActFacts("room.invite", facts, other=invitee))
        await self._decisions.require(compiled, inviter, verdict, Act("invite", room_id, MEMBER, invitee))
        return NOT_SPAM

    async def user_may_join_room(self, user: str, room_id: str, is_invited: bool) -> NotSpam:  # noqa: ARG002, FBT001 - Synapse's signature
        """Judge a join; of rooms on other servers this is the only place that sees it."""
        if self._trusted(user):
            return NOT_SPAM
        compiled = self._runtime.compiled()
        act = Act("join", room_id, MEMBER, user)
        verdict = self._invariants.may_enter(user, room_id, compiled)
        firm = is_firm(verdict)
        if verdict is None:
            membership, _ = await self._store.get_local_current_membership_for_user_in_room(user, room_id)
            if membership == "join" or await self._by_charter(user, room_id):
                return NOT_SPAM  # a change of profile is judged as an event
            shape = await self._rooms.current(room_id)
            if shape is None:
                facts = ActFacts("external.join", await self._elsewhere(user, room_id))
            else:
                facts = ActFacts("room.join", self._rooms.facts_of(shape, compiled, user))
            verdict = self._decisions.ask(compiled, user, facts)
        await self._decisions.require(compiled, user, verdict, act, firm=firm)
        return NOT_SPAM

    async def may_alias(self, user: str, alias: RoomAlias) -> NotSpam:
        """Judge giving a room an address; that of a room under creation was judged with it."""
        creation = current()
        if self._trusted(user) or (creation is not None and creation.creator == user):
            return NOT_SPAM
        return await self._simple(user, "room.alias", Act("alias", subject=str(alias)))

    async def may_publish(self, user: str, room_id: str) -> NotSpam:
        """Judge listing a room in the public directory."""
        if self._trusted(user):
            return NOT_SPAM
        return await self._simple(user, "room.publish", Act("publish", room_id))

    async def may_invite_3pid(self, inviter: str, medium: str, address: str, room_id: str) -> NotSpam:
        """Judge an invitation by e-mail address or telephone number: whoever answers is not of this company."""
        if self._trusted(inviter):
            return NOT_SPAM
        return await self._simple(inviter, "external.invite", Act("3pid", room_id, subject=f"{medium}:{address}"))

    async def federated_user_may_invite(self, event: EventBase) -> NotSpam:
        """Judge whether a local person may be invited by somebody of another server."""
        compiled = self._runtime.compiled()
        target = event.state_key
        if self._runtime.is_bot(target):
            return NOT_SPAM
        room = RoomFacts(event.room_id, "external", frozenset({server_of(event.sender)}))
        verdict = self._decisions.ask(compiled, target, ActFacts("external.be-invited", room, other=event.sender))
        act = Act("invited", event.room_id, MEMBER, event.sender, event.content)
        if await self._decisions.settle(compiled, target, verdict, act) is not None:
            raise _answers.at_the_door()
        return NOT_SPAM

    async def at_the_door(self, event: EventBase, state: StateBefore) -> None:
        """Judge somebody of another server who asks to join or knock: every local member must be open to that server.

        Raises:
            SynapseError: at least one member is not.
        """
        if event.type != MEMBER or event.content.get("membership") not in ENTERING:
            return
        compiled = self._runtime.compiled()
        after = (await state.shape()).with_person(event.sender, local=False)
        for member in sorted(after.local):
            verdict = self._decisions.ask(
                compiled, member, ActFacts("external.be-invited", after.facts(), other=event.sender)
            )
            if not verdict.allowed:
                act = Act("door", event.room_id, MEMBER, event.sender, event.content)
                if await self._decisions.settle(compiled, member, verdict, act) is not None:
                    raise _answers.at_the_door()

    async def invited_by_charter(self, event: EventBase, state: StateBefore) -> bool:
        """Whether the event accepts an invitation of one of Charter's bots or of the server notices."""
        if event.type != MEMBER or event.content.get("membership") != "join" or event.state_key != event.sender:
            return False
        if not WORDLESS.issuperset(event.content):
            return False
        earlier = await state.event(MEMBER, event.sender)
        return (
            earlier is not None
            and earlier.content.get("membership") == "invite"
            and (self._runtime.is_bot(earlier.sender) or await self._store.is_server_notice_room(event.room_id))
        )

    async def _by_charter(self, user: str, room_id: str) -> bool:
        invitation = await self._store.get_invite_for_local_user_in_room(user, room_id)
        if invitation is None:
            return False
        return self._runtime.is_bot(invitation.sender) or await self._store.is_server_notice_room(room_id)

    async def _elsewhere(self, user: str, room_id: str) -> RoomFacts:
        """Return what is known of a room that this server is not in: who invited, and the server in the room's id."""
        servers = {server_of(room_id)}
        invitation = await self._store.get_invite_for_local_user_in_room(user, room_id)
        if invitation is not None:
            servers.add(server_of(invitation.sender))
        return RoomFacts(room_id, "external", frozenset(servers - {"", self._server_name}))

    async def _simple(self, user: str, feature: str, act: Act) -> NotSpam:
        compiled = self._runtime.compiled()
        shape = None if act.room is None else await self._rooms.current(act.room)
        room = RoomFacts(act.room or "") if shape is None else self._rooms.facts_of(shape, compiled, user)
        verdict = self._decisions.ask(compiled, user, ActFacts(feature, room))
        await self._decisions.require(compiled, user, verdict, act)
        return NOT_SPAM
