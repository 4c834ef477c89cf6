"""Refused uploads that are withheld: the bytes are put away for the security team, none of them can be downloaded.

Crash order: the copy is durable, then record and row are committed, then the copy gets its name, then the file of the
media store is emptied, and only then does Synapse hear that the upload may stand. Killed in between, the upload has
failed and Synapse has no media by that id; what was begun is finished at the next start.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from synapse_modules._schema import at_startup

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi
    from synapse.storage.database import LoggingTransaction

logger = logging.getLogger(__name__)

FOLDER: Final = "charter-withheld"
QUARANTINED_BY: Final = "charter"
SWEEP_MS: Final = 60_000.0
_CHUNK: Final = 1 << 20
_PART: Final = ".part-"
_ABANDONED_S: Final = 3600.0
_WAITS_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""How long the row of an upload is waited for, step by step; after that the sweep finds it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The bytes of an upload beside the media store, not yet on record.

    Attributes:
        media_id: the upload.
        source: the file in the media store.
        part: the copy.
        sha256: digest of the bytes, in hexadecimal.
    """

    media_id: str
    source: Path
    part: Path
    sha256: str


class Withheld:
    """Keeps the bytes of withheld uploads and knows their media ids; one per process."""

    def __init__(self, api: ModuleApi) -> None:
        self._api = api
        self._folder: Path | None = None
        media = api._hs.config.media  # noqa: SLF001 - no public reader of the configuration
        if media.can_load_media_repo:
            self._folder = Path(media.media_store_path) / FOLDER
            at_startup(api, "charter_withheld_finish", self._finish)
        api.looping_background_call(self._sweep, SWEEP_MS, desc="charter_withheld_sweep")

    async def copy(self, media_id: str, source: str) -> Copy:
        """Copy an upload durably, readable by the server's own user alone."""
        assert self._folder is not None, "only the media repository takes uploads in"
        part = _part(self._folder, media_id)
        digest = await self._api.defer_to_thread(_copy, Path(source), part)
        return Copy(media_id, Path(source), part, digest)

    @staticmethod
    def enter(txn: LoggingTransaction, copy: Copy, record: str, owner: str, content_type: str) -> None:
        """Remember a media id as withheld, in the transaction that commits the record of it."""
        txn.execute(
            "INSERT INTO charter_withheld (media_id, record, owner, content_type, source, unfinished)"
            " VALUES (?, ?, ?, ?, ?, 1)",
            (copy.media_id, record, owner, content_type, str(copy.source)),
        )

    async def put_away(self, copy: Copy, record: str) -> None:
        """Give the copy its name, empty the file of the media store, and quarantine the media once Synapse has it."""
        await self._api.defer_to_thread(name_copy, copy.part, record)
        await self._api.defer_to_thread(empty, copy.source)
        self._api.run_as_background_process("charter_withheld_quarantine", self._quarantine_soon, copy.media_id)

    async def discard(self, copy: Copy) -> None:
        """Delete a copy that did not come on record; one that did is kept and finished at the next start."""
        if await self.find(copy.media_id) is None:
            copy.part.unlink(missing_ok=True)

    async def find(self, media_id: str) -> tuple[str, str] | None:
        """Return owner and content type of a withheld upload, else None."""
        return await self._api.run_db_interaction("charter_withheld_find", _find, media_id)

    async def _quarantine_soon(self, media_id: str) -> None:
        for wait in _WAITS_S:
            await self._api.sleep(wait)
            if await self._api.run_db_interaction("charter_withheld_quarantine", _quarantine, media_id):
                return

    async def _sweep(self) -> None:
        await self._api.run_db_interaction("charter_withheld_sweep", _quarantine_all)

    def _finish(self, txn: LoggingTransaction) -> None:
        """Finish what a crash interrupted, before any request is served; harmless while another process does the same."""
        assert self._folder is not None
        txn.execute("SELECT media_id, record, source FROM charter_withheld WHERE unfinished = 1")
        begun = txn.fetchall()
        _forget_parts(self._folder, {media_id for media_id, _, _ in begun})
        for media_id, record, source in begun:
            _quarantine(txn, media_id)
            try:
                name_copy(_part(self._folder, media_id), record)
                empty(Path(source))
            except FileNotFoundError:
                pass  # Synapse removed the file of an upload that failed, or it is another machine's.
            except OSError as error:
                logger.error("withheld upload could not be put away record=%s errno=%s", record, error.errno)  # noqa: TRY400 - no content in logs


def name_copy(part: Path, record: str) -> None:
    """Give a copy the name of its record; it may have it already."""
    final = part.parent / record
    try:
        part.rename(final)
    except FileNotFoundError:
        if not final.exists():
            raise
    _sync_folder(part.parent)


def empty(source: Path) -> None:
    """Take every byte out of a file, durably."""
    with source.open("r+b") as file:
        file.truncate(0)
        os.fsync(file.fileno())


def _forget_parts(folder: Path, begun: set[str]) -> None:
    """Delete copies that never came on record and that no process can still be making."""
    for part in folder.glob(f"{_PART}*"):
        if part.name.removeprefix(_PART) not in begun and part.stat().st_mtime < time.time() - _ABANDONED_S:
            part.unlink(missing_ok=True)


def _part(folder: Path, media_id: str) -> Path:
    return folder / f"{_PART}{media_id}"


def _copy(source: Path, part: Path) -> str:
    part.parent.mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with source.open("rb") as bytes_in, _private(part) as bytes_out:
            while chunk := bytes_in.read(_CHUNK):
                digest.update(chunk)
                bytes_out.write(chunk)
            bytes_out.flush()
            os.fsync(bytes_out.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync_folder(part.parent)
    _sync_folder(part.parent.parent)
    return digest.hexdigest()


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _find(txn: LoggingTransaction, media_id: str) -> tuple[str, str] | None:
    txn.execute("SELECT owner, content_type FROM charter_withheld WHERE media_id = ?", (media_id,))
    row = txn.fetchone()
    return None if row is None else (row[0], row[1])


def _quarantine(txn: LoggingTransaction, media_id: str) -> bool:
    """Quarantine an upload whose row is complete; False while it is not.

    The digest goes: Synapse quarantines every upload with the digest of a quarantined one, whoever sent it.
    """
    txn.execute(
        "UPDATE local_media_repository SET quarantined_by = ?, sha256 = NULL WHERE media_id = ? AND media_length IS NOT NULL",
        (QUARANTINED_BY, media_id),
    )
    if txn.rowcount < 1:
        return False
    txn.execute("UPDATE charter_withheld SET unfinished = 0 WHERE media_id = ?", (media_id,))
    return True


def _quarantine_all(txn: LoggingTransaction) -> None:
    txn.execute("SELECT media_id FROM charter_withheld WHERE unfinished = 1")
    for (media_id,) in txn.fetchall():
        _quarantine(txn, media_id)
