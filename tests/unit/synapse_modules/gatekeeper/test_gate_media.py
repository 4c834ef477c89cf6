"""Sniffed types and the media that a message refers to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from synapse_modules import _gate_media
from synapse_modules._gate_media import Media, MediaTypes, media_uris, sniffed_type


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", "application/octet-stream"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/jpeg"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"plain words\n", "text/plain"),
        (b"\x01\x02\x03\x04", "application/octet-stream"),
        (b"OggS" + b"\0" * 30, "audio/ogg"),
        (b"\x1aE\xdf\xa3" + b"\0" * 30, "video/webm"),
    ],
)
def test_types_come_from_bytes(head: bytes, expected: str) -> None:
    """Well-known heads are recognised; the rest is text or a stream of bytes."""
    assert expected == sniffed_type(head)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"url": "mxc://a/1"}, ["mxc://a/1"]),
        (
            {
                "file": {"url": "mxc://a/1"},
                "info": {"thumbnail_url": "mxc://a/2", "thumbnail_file": {"url": "mxc://a/3"}},
            },
            ["mxc://a/1", "mxc://a/2", "mxc://a/3"],
        ),
        ({"m.new_content": {"url": "mxc://a/1", "file": {"url": "mxc://a/2"}}}, ["mxc://a/1", "mxc://a/2"]),
        ({"url": 1, "file": [], "info": "x", "body": "mxc://a/1"}, []),
        ({"m.new_content": {"m.new_content": {"m.new_content": {"m.new_content": {"url": "mxc://a/1"}}}}}, []),
    ],
)
def test_every_uri_that_clients_follow_is_found(content: dict[str, Any], expected: list[str]) -> None:
    """Media, thumbnails and those of edits; depth is bounded and hostile JSON harmless."""
    assert expected == list(media_uris(content))


class _Withheld:
    async def find(self, media_id: str) -> tuple[str, str] | None:
        return ("@tom:acme.example", "application/pdf") if media_id == "bad-withheld" else None


_NOTHING: Any = _Withheld()


class _Repository:
    def __init__(self) -> None:
        self.asked = 0

    async def get_local_media(self, media_id: str) -> Any:
        self.asked += 1
        if media_id == "gone":
            return None
        quarantined = "@admin:acme.example" if media_id == "bad" else None
        length = None if media_id == "coming" else 9
        return SimpleNamespace(
            user_id="@alice:acme.example", media_type="image/png", quarantined_by=quarantined, media_length=length
        )


@pytest.mark.parametrize(
    "uri",
    [
        "mxc://other.example/x",
        "https://acme.example/x",
        "mxc://acme.example/gone",
        "mxc://acme.example/",
        "mxc://acme.example/bad",
        "mxc://acme.example/coming",
    ],
)
async def test_only_local_media_is_found(uri: str) -> None:
    """Other servers', unknown and quarantined media are none, nor is an upload that is still to come."""
    repository = _Repository()
    api: Any = SimpleNamespace(_store=repository, server_name="acme.example")
    assert await MediaTypes(api, _NOTHING).find(uri) is None


async def test_a_lookup_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known needs no database; memory is bounded."""
    monkeypatch.setattr(_gate_media, "REMEMBERED", 2)
    repository = _Repository()
    api: Any = SimpleNamespace(_store=repository, server_name="acme.example")
    media = MediaTypes(api, _NOTHING)
    for _ in range(2):
        assert await media.find("mxc://acme.example/one") == Media("@alice:acme.example", "image/png")
    assert repository.asked == 1
    for name in ("two", "three"):
        media.remember(name, Media("@bob:acme.example", "text/plain"))
    await media.find("mxc://acme.example/one")
    assert repository.asked == 2


async def test_withheld_media_is_known_for_what_it_is() -> None:
    """Every process learns owner and true type of a withheld upload, quarantined or not."""
    api: Any = SimpleNamespace(_store=_Repository(), server_name="acme.example")
    found = await MediaTypes(api, _NOTHING).find("mxc://acme.example/bad-withheld")
    assert found == Media("@tom:acme.example", "application/pdf", withheld=True)
