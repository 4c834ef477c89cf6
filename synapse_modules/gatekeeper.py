"""The gatekeeper: every local act is judged before it happens, as one Synapse module.

Hooks only translate: facts from :mod:`_facts`, the judgement and its record from :mod:`_decisions`, the answer from
:mod:`_answers`. docs/enforcement.md says what is enforced where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from synapse.logging.context import current_context

from charter.classify import media_feature
from synapse_modules import _answers
from synapse_modules._attendance import Attendance
from synapse_modules._config import CharterConfig, parse_config
from synapse_modules._decisions import Act, Decisions, denial
from synapse_modules._facts import ContextState, LoadedState, event_facts
from synapse_modules._gate_create import Creations
from synapse_modules._gate_invariants import ComplianceRooms, Invariants, is_firm
from synapse_modules._gate_media import MediaTypes
from synapse_modules._gate_people import WORDLESS, PeopleGate
from synapse_modules._gate_rates import Rates
from synapse_modules._gate_rooms import MEMBER, RoomShapes, server_of
from synapse_modules._gate_uploads import UploadGate
from synapse_modules._gate_withheld import Withheld
from synapse_modules._guard import Guard
from synapse_modules._interposed import interpose_check_event_allowed
from synapse_modules._runtime import Runtime

if TYPE_CHECKING:
    from synapse.events import EventBase
    from synapse.events.snapshot import UnpersistedEventContextBase
    from synapse.module_api import ModuleApi
    from synapse.types import StateMap

    from charter.judge import Compiled
    from charter.verdict import Verdict
    from synapse_modules._facts import StateBefore
    from synapse_modules._gate_media import Media

    Answer = tuple[bool, dict[str, Any] | None]

ALLOWED: Answer = (True, None)
TOMBSTONE: Final = "m.room.tombstone"
"""The first event of an upgrade, judged before the new room exists."""

REDACTION: Final = "m.room.redaction"
NOT_KEPT: Final = "This file was refused when it was uploaded and was not kept; send it again."
UNCOUNTED: Final = frozenset({"m.reaction", REDACTION})
UNCOUNTED_FAMILIES: Final = ("m.call.", "m.key.", "m.poll.response", "org.matrix.msc3381.poll.response")
"""Message-like events that are no messages to somebody's ``messages`` limit."""


class Gatekeeper:
    """Registers the hooks of feature grants."""

    def __init__(self, config: CharterConfig, api: ModuleApi) -> None:
        runtime = Runtime.of(config, api)
        guard = Guard(runtime)
        self._runtime = runtime
        self._api = api
        self._server_name = api.server_name
        self._notices = api._hs.config.servernotices.server_notices_mxid  # noqa: SLF001 - no public reader
        self._rooms = RoomShapes(api, lambda user: user == config.bots.get("scribe"))
        withheld = Withheld(api)
        self._media = MediaTypes(api, withheld)
        self._decisions = Decisions(runtime)
        self._invariants = Invariants(runtime, ComplianceRooms(api))
        attendance = Attendance(runtime)
        self._rates = Rates()
        self._creations = Creations(runtime, self._decisions, self._invariants, self._rates, attendance, self._trusted)
        self._people = PeopleGate(runtime, self._decisions, self._rooms, self._invariants, self._trusted)
        uploads = UploadGate(runtime, self._decisions, self._media, withheld)
        interpose_check_event_allowed(
            api,
            guard.wrap("check_event_allowed", self.check_event_allowed, on_failure=_answers.fail_closed),
            guard.wrap("check_event_allowed", self.check_event_allowed_public, on_failure=_answers.fail_closed),
        )
        api.register_third_party_rules_callbacks(
            on_create_room=guard.wrap(
                "on_create_room", self._creations.on_create_room, on_failure=_answers.fail_closed
            ),
            check_can_shutdown_room=guard.wrap(
                "check_can_shutdown_room", self.check_can_shutdown_room, on_failure=lambda: False
            ),
            check_can_deactivate_user=guard.wrap(
                "check_can_deactivate_user", self.check_can_deactivate_user, on_failure=lambda: False
            ),
        )
        api.register_account_validity_callbacks(
            is_user_expired=guard.wrap("is_user_expired", self.is_user_expired, on_failure=_answers.fail_closed)
        )
        self._people.register(api, guard)
        uploads.register(api, guard)
        attendance.start()

    @staticmethod
    def parse_config(config: dict[str, Any]) -> CharterConfig:
        """Parse the configuration block; see :func:`synapse_modules._config.parse_config`."""
        return parse_config(config)

    async def check_event_allowed(self, event: EventBase, context: UnpersistedEventContextBase) -> Answer:
        """Judge an event before the room's state is loaded."""
        return await self._judge(event, ContextState(self._rooms, event, context))

    async def check_event_allowed_public(self, event: EventBase, state: StateMap[EventBase]) -> Answer:
        """Judge an event with the state that the public hook loaded."""
        return await self._judge(event, LoadedState(self._rooms, event, state))

    async def check_can_shutdown_room(self, _admin: str | None, room_id: str) -> bool:
        """Keep administrators from deleting a compliance room."""
        return not self._invariants.is_compliance_room(room_id)

    async def check_can_deactivate_user(self, user: str, by_admin: bool) -> bool:  # noqa: ARG002, FBT001 - Synapse's signature
        """Keep Charter's bots."""
        return not self._runtime.is_bot(user)

    async def is_user_expired(self, user: str) -> bool | None:
        """Let nobody act as a bot but the bot itself: a token that is not its application service's is no good.

        Synapse asks this of every request that carries a person's token, of log-ins as somebody else too, and never of
        application services; without a request (pushers) there is nothing to refuse.
        """
        if self._trusted(user) and current_context().request is not None:
            raise _answers.not_the_bot()
        return None

    async def _judge(self, event: EventBase, state: StateBefore) -> Answer:
        sender = event.sender
        if self._trusted(sender):
            return ALLOWED
        if server_of(sender) != self._server_name:
            await self._people.at_the_door(event, state)
            return ALLOWED
        if await self._creations.covers(event):
            return ALLOWED
        compiled = self._runtime.compiled()
        verdict = await self._invariable(event, state, compiled)
        firm, gone = is_firm(verdict), False
        if verdict is None:
            if self._welcome(event) or await self._people.invited_by_charter(event, state):
                return ALLOWED
            facts, media = await event_facts(event, state, self._rooms, self._media, compiled)
            verdict = self._decisions.ask(compiled, sender, facts)
            if verdict.allowed and compiled is not None:
                verdict = _foreign_media(event, media) or self._too_often(compiled, event) or verdict
            gone = any(each is not None and each.withheld for each in media)
        refusal = await self._decisions.settle(compiled, sender, verdict, _act(event, final=gone), firm=firm)
        if refusal is None:
            return ALLOWED
        if refusal.answer == "replace":
            return True, _answers.replaced(event, refusal)
        raise _answers.forbidden(refusal)

    async def _invariable(self, event: EventBase, state: StateBefore, compiled: Compiled | None) -> Verdict | None:
        """Return the denial of what no grant can give away, else None."""
        verdict = self._invariants.check(event, compiled)
        if verdict is None and event.type == REDACTION:
            target: object = event.redacts
            found = await self._rooms.event(target) if isinstance(target, str) else None
            verdict = self._invariants.check_redaction(event, found)
        if verdict is None and event.type == TOMBSTONE and event.is_state():
            encrypted = await state.event("m.room.encryption", "") is not None
            verdict = self._invariants.check_upgrade(encrypted, compiled)
        return verdict

    def _trusted(self, user: str) -> bool:
        """Whether it is one of Charter's bots or the account of the server notices."""
        return self._runtime.is_bot(user) or user == self._notices

    def _too_often(self, compiled: Compiled, event: EventBase) -> Verdict | None:
        now = self._runtime.now()
        if not event.is_state():
            if event.type in UNCOUNTED or event.type.startswith(UNCOUNTED_FAMILIES):
                return None
            return self._rates.take(compiled, event.sender, "messages", "chat.text", now)
        if event.type == MEMBER and event.content.get("membership") == "invite":
            return self._rates.take(compiled, event.sender, "invites", "room.invite", now)
        return None

    def _welcome(self, event: EventBase) -> bool:
        """Whether the event invites one of Charter's bots without a word: that takes nothing from anybody."""
        return (
            event.type == MEMBER
            and event.content.get("membership") == "invite"
            and self._runtime.is_bot(event.state_key)
            and WORDLESS.issuperset(event.content)
        )


def _foreign_media(event: EventBase, media: list[Media | None]) -> Verdict | None:
    for each in media:
        if each is None:
            return denial("file.other", "Files must be uploaded to this server.")
        if each.owner != event.sender and event.type != "m.sticker":
            return denial(
                "file.other", "Files can only be sent by the person who uploaded them; upload the file again."
            )
        if each.withheld:
            return denial(media_feature(each.content_type), NOT_KEPT)
    return None


def _act(event: EventBase, *, final: bool) -> Act:
    return Act(
        path="event",
        room=event.room_id,
        event_type=event.type,
        subject=event.get_state_key(),
        content=event.content,
        replaceable=event.type == "m.room.message" and not event.is_state(),
        final=final,
    )
