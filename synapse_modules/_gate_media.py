"""Media: what an upload really is, and whose media a message refers to.

The type is found from the bytes, not from what the client claims. What this process sniffed is remembered; for media
that another process took in, one look-up says whose it is and what was claimed (the uploader was judged by the sniffed
type when it came in).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import puremagic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.media.media_storage import ReadableFileWrapper
    from synapse.module_api import ModuleApi

    from synapse_modules._gate_withheld import Withheld

HEAD_BYTES: Final = 65_536
REMEMBERED: Final = 20_000
GENERIC: Final = "application/octet-stream"
SCHEME: Final = "mxc://"
MEDIA_KEYS: Final = frozenset({"url", "file", "info", "m.new_content", "m.file", "org.matrix.msc1767.file"})
_DEPTH: Final = 4
_TEXT: Final = bytes(range(32, 127)) + b"\t\n\r\f\b\x1b"


@dataclass(frozen=True, slots=True)
class Media:
    """One upload.

    Attributes:
        owner: MXID of who uploaded it.
        content_type: sniffed, or claimed where another process sniffed it.
        certain: the type says something: it was sniffed, or a type more telling than a stream of bytes was claimed.
        withheld: it was refused when it was uploaded and can be sent to nobody.
    """

    owner: str
    content_type: str
    certain: bool = True
    withheld: bool = False


class MediaTypes:
    """Bounded memory of uploads in this process, with the database behind it."""

    def __init__(self, api: ModuleApi, withheld: Withheld) -> None:
        self._api = api
        self._withheld = withheld
        self._store = api._store  # noqa: SLF001 - the module API cannot tell who uploaded what
        self._known: OrderedDict[str, Media] = OrderedDict()

    async def sniff(self, file: ReadableFileWrapper) -> tuple[str, int]:
        """Return content type and size of a file; reads in Synapse's own threads and parses in another."""
        head = bytearray()
        size = 0

        def take(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if len(head) < HEAD_BYTES:
                head.extend(chunk[: HEAD_BYTES - len(head)])

        await file.write_chunks_to(take)
        return await self._api.defer_to_thread(sniffed_type, bytes(head)), size

    def remember(self, media_id: str, media: Media) -> None:
        """Keep what an upload is."""
        self._known[media_id] = media
        self._known.move_to_end(media_id)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def find(self, uri: str) -> Media | None:
        """Return the local media behind an mxc URI, or None if there is none (or it is not local)."""
        if not uri.startswith(SCHEME):
            return None
        server, _, media_id = uri[len(SCHEME) :].partition("/")
        if server != self._api.server_name or not media_id:
            return None
        known = self._known.get(media_id)
        if known is not None:
            return known
        media = await self._look_up(media_id)
        if media is not None:
            self.remember(media_id, media)
        return media

    async def _look_up(self, media_id: str) -> Media | None:
        row = await self._store.get_local_media(media_id)
        if row is None or row.user_id is None or row.media_length is None:
            return None  # What an upload that is still to come will be is not known.
        withheld = await self._withheld.find(media_id)
        if withheld is not None:
            return Media(*withheld, withheld=True)
        if row.quarantined_by:
            return None
        claimed = row.media_type or GENERIC
        return Media(row.user_id, claimed, certain=claimed != GENERIC)


def sniffed_type(head: bytes) -> str:
    """Return the content type that the first bytes of a file show; total."""
    if not head:
        return GENERIC
    try:
        found = str(puremagic.from_string(head, mime=True) or "")
    except (puremagic.PureError, ValueError, IndexError, UnicodeDecodeError):
        found = ""
    if "/" in found:
        return found.lower()
    return "text/plain" if not head.translate(None, _TEXT) else GENERIC


def media_uris(content: Mapping[str, Any], depth: int = _DEPTH) -> Iterator[str]:
    """Yield every media URI that clients follow in a message: ``url``, ``file.url``, thumbnails, and in edits."""
    if depth == 0:
        return
    for key, value in content.items():
        if isinstance(value, str):
            if key in {"url", "thumbnail_url"}:
                yield value
        elif isinstance(value, Mapping) and (key in MEDIA_KEYS or key == "thumbnail_file"):
            yield from media_uris(value, depth - 1)
