"""Uploads: size and volume before they are stored, the real type before they become media."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from synapse.logging.context import current_context
from synapse.module_api import MediaUploadLimit

from charter.classify import media_feature
from charter.facts import ActFacts, RoomFacts
from charter.judge import closed_directory
from synapse_modules import _answers
from synapse_modules._answers import NOT_SPAM
from synapse_modules._decisions import Act, denial
from synapse_modules._gate_media import Media
from synapse_modules._gate_withheld import Withheld

if TYPE_CHECKING:
    from typing import Literal

    from synapse.media._base import FileInfo
    from synapse.media.media_storage import ReadableFileWrapper
    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

    from charter.judge import Compiled
    from charter.policy.model import RoomKind
    from charter.verdict import Verdict
    from synapse_modules._decisions import Decisions
    from synapse_modules._gate_media import MediaTypes
    from synapse_modules._guard import Guard
    from synapse_modules._runtime import Runtime

DAY_MS: Final = 24 * 60 * 60 * 1000
KINDS: Final[tuple[RoomKind, ...]] = ("private", "direct", "public", "external")
UPLOAD_SIZE: Final = "m.upload.size"
ALSO: Final = {"file.audio": ("file.voice",), "file.image": ("file.video",)}
"""Uploads that another feature needs as well: a voice message is audio, a video has a picture as its thumbnail.
The event that refers to the upload is judged by what it really is."""


class UploadGate:
    """The media hooks."""

    def __init__(self, runtime: Runtime, decisions: Decisions, media: MediaTypes, withheld: Withheld) -> None:
        self._runtime = runtime
        self._decisions = decisions
        self._media = media
        self._withheld = withheld
        self._store = runtime.api._store  # noqa: SLF001 - no public reader of what somebody uploaded
        self._usual: list[MediaUploadLimit] = runtime.api._hs.config.media.media_upload_limits  # noqa: SLF001 - as above
        self._server_max: int = runtime.api._hs.config.media.max_upload_size  # noqa: SLF001 - no public reader

    def register(self, api: ModuleApi, guard: Guard) -> None:
        """Register the hooks."""
        closed = _answers.fail_closed
        api.register_media_repository_callbacks(
            get_media_config_for_user=guard.wrap(
                "get_media_config_for_user", self.get_media_config_for_user, on_failure=closed
            ),
            is_user_allowed_to_upload_media_of_size=guard.wrap(
                "is_user_allowed_to_upload_media_of_size", self.may_upload_size, on_failure=closed
            ),
            on_media_upload_limit_exceeded=guard.wrap(
                "on_media_upload_limit_exceeded", self.on_media_upload_limit_exceeded, on_failure=lambda: None
            ),
            get_media_upload_limits_for_user=guard.wrap(
                "get_media_upload_limits_for_user", self.get_media_upload_limits_for_user, on_failure=closed
            ),
        )
        api.register_spam_checker_callbacks(
            check_media_file_for_spam=guard.wrap(
                "check_media_file_for_spam", self.check_media_file_for_spam, on_failure=closed
            )
        )

    async def get_media_config_for_user(self, user: str) -> dict[str, Any] | None:
        """Tell clients the strictest size, so that they warn before they send."""
        compiled = self._runtime.compiled()
        if compiled is None or self._free(compiled, user):
            return None
        largest = compiled.limits(user, self._runtime.now()).max_file
        return None if largest is None else {UPLOAD_SIZE: min(largest, self._server_max)}

    async def get_media_upload_limits_for_user(self, user: str) -> list[MediaUploadLimit] | None:
        """Return the strictest volume in 24 hours; None is the server's default, never unlimited."""
        compiled = self._runtime.compiled()
        if compiled is None or self._free(compiled, user):
            return None
        volume = compiled.limits(user, self._runtime.now()).upload_per_day
        return None if volume is None else [MediaUploadLimit(max_bytes=volume, time_period_ms=DAY_MS)]

    async def on_media_upload_limit_exceeded(
        self, user: str, limit: MediaUploadLimit, sent: int, attempted: int
    ) -> None:
        """Put on record that the day's volume is used up; Synapse answers with its own error code for it."""
        compiled = self._runtime.compiled()
        if compiled is None:
            return
        rules = compiled.limits(user, self._runtime.now()).sources.get("upload_per_day", ())
        reason = f"You have uploaded {sent} of {limit.max_bytes} bytes in 24 hours; {attempted} more are too many."
        verdict = denial("file.other", reason, rules, tuple(map(compiled.place, rules)))
        await self._decisions.settle(compiled, user, verdict, Act("upload", content={"size": attempted}))

    def _free(self, compiled: Compiled, user: str) -> bool:
        return self._runtime.is_bot(user) or compiled.is_exempt(user) or self._runtime.stage == "shadow"

    async def may_upload_size(self, user: str, size: int) -> bool:
        """Judge an upload by its size alone, before a byte is stored: somebody must be able to send it as something."""
        if self._runtime.is_bot(user):
            return True
        compiled = self._runtime.compiled()
        verdict = self._any(
            compiled, user, ("file.other", "file.image", "file.video", "file.audio", "file.voice"), size
        )
        if not verdict.allowed and self._is_kept(compiled, user, (), size):
            return True
        await self._decisions.require(compiled, user, verdict, Act("upload", content={"size": size}))
        return True

    async def check_media_file_for_spam(self, file: ReadableFileWrapper, info: FileInfo) -> Literal["NOT_SPAM"]:
        """Judge an upload by the type that its bytes show. Thumbnails, previews and remote media are not uploads."""
        if info.server_name is not None or info.url_cache or info.thumbnail is not None:
            return NOT_SPAM
        user: str | None = getattr(current_context().request, "requester", None)
        if user is None or self._runtime.is_bot(user):
            return NOT_SPAM
        if await self._withheld.find(info.file_id) is not None:
            raise _answers.used_up()
        found, size = await self._media.sniff(file)
        compiled = self._runtime.compiled()
        feature = media_feature(found)
        features = (feature, *ALSO.get(feature, ()))
        verdict = self._any(compiled, user, features, size, found)
        act = Act(
            "upload",
            subject=f"mxc://{self._runtime.api.server_name}/{info.file_id}",
            content={"content_type": found, "size": size},
        )
        if compiled is not None and not verdict.allowed and self._is_kept(compiled, user, features, size, found):  # noqa: SIM102 - asks the database
            if await self._has_room(user, size):
                await self._withhold(compiled, verdict, act, user, file.path)
                return NOT_SPAM
        await self._decisions.require(compiled, user, verdict, act)
        self._media.remember(info.file_id, Media(user, found))
        return NOT_SPAM

    def _is_kept(
        self,
        compiled: Compiled | None,
        user: str,
        features: tuple[str, ...],
        size: int,
        content_type: str | None = None,
    ) -> bool:
        """Whether a refused upload is withheld: the policy replaces messages, and no grant gives this kind of file.

        Limits, a stale directory and the lack of a policy are answered at the upload.
        """
        if compiled is None or compiled.policy.refusals.message != "replace" or self._free(compiled, user):
            return False
        if compiled.policy.directory.then == "close" and closed_directory(
            compiled, user, "file.other", self._runtime.directory_age()
        ):
            return False
        limits = compiled.limits(user, self._runtime.now())
        if limits.max_file is not None and size > limits.max_file:
            return False
        if content_type is None or limits.allows_type(content_type):
            return True
        return not self._any(compiled, user, features, 0).allowed

    async def _has_room(self, user: str, size: int) -> bool:
        """Whether the volume that Synapse checks next has room; what exceeds it is not kept."""
        limits = await self.get_media_upload_limits_for_user(user)
        for limit in self._usual if limits is None else limits:
            sent = await self._store.get_media_uploaded_size_for_user(user, limit.time_period_ms)
            if sent + size > limit.max_bytes:
                return False
        return True

    async def _withhold(self, compiled: Compiled, verdict: Verdict, act: Act, user: str, path: str) -> None:
        """Put the bytes away; the event that refers to them is refused, and replaced, in its turn."""
        content = dict(act.content or {})
        media_id, found = (act.subject or "").rpartition("/")[2], str(content["content_type"])
        copy = await self._withheld.copy(media_id, path)

        def enter(txn: LoggingTransaction, record: str) -> None:
            Withheld.enter(txn, copy, record, user, found)

        content |= {"sha256": copy.sha256, "media_id": media_id, "name": _claimed_name()}
        try:
            refusal = await self._decisions.settle(
                compiled, user, verdict, replace(act, content=content, withhold=enter)
            )
        except BaseException:
            await self._withheld.discard(copy)
            raise
        assert refusal is not None, "neither shadowed nor exempt"
        await self._withheld.put_away(copy, refusal.record)
        self._media.remember(media_id, Media(user, found, withheld=True))

    def _any(
        self,
        compiled: Compiled | None,
        user: str,
        features: tuple[str, ...],
        size: int,
        content_type: str | None = None,
    ) -> Verdict:
        """Return the first verdict that allows, in whatever kind of room, else that of the first feature.

        An upload has no room yet; the event that refers to it is judged in its own.
        """
        first = None
        for kind in KINDS:
            for feature in features:
                facts = ActFacts(feature, RoomFacts("", kind), content_type=content_type, size=size)
                verdict = self._decisions.ask(compiled, user, facts)
                if verdict.allowed:
                    return verdict
                first = first or verdict
        assert first is not None
        return first


def _claimed_name() -> str | None:
    """Return the name that the client gave with the upload; total."""
    request = current_context().request
    try:
        names = parse_qs(urlsplit(request.url).query).get("filename") if request is not None else None
    except ValueError:
        return None
    return names[0][:255] if names else None
