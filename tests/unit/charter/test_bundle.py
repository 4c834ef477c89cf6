from __future__ import annotations

import base64
import dataclasses
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from charter.bundle import (
    BadSignatureError,
    Bundle,
    BundleError,
    MalformedBundleError,
    OldBundleError,
    UnknownKeyError,
    follows,
    sign,
    verify,
)
from charter.policy.model import Policy
from charter.policy.policy_set import PolicySet, SourcePlace

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORGANISATION = {"name": "Acme", "server_name": "acme.example", "timezone": "Europe/Berlin", "contact": "help"}
GRANTS = ({"id": "chat", "to": ("everyone",), "allow": ("chat.*",), "until": "2031-01-31"},)
POLICY_SET = PolicySet.of(
    Policy.model_validate({"version": 1, "organisation": ORGANISATION, "grants": GRANTS}),
    {"chat": SourcePlace("a.yaml", 3)},
)


def made(sequence: int = 1, previous: str = "") -> Bundle:
    """Return a good bundle."""
    return sign(
        POLICY_SET, KEY, "admin", sequence=sequence, previous=previous, stage="enforce", created_at=1_795_420_800
    )


def test_a_bundle_survives_the_journey() -> None:
    """JSON and back, verified with base64, bytes or the key itself."""
    bundle = Bundle.from_json(made().to_json())
    assert made() == bundle
    for key in (PUBLIC, base64.b64encode(PUBLIC).decode(), KEY.public_key()):
        assert POLICY_SET.digest == verify(bundle, {"admin": key}).digest == bundle.digest


def test_the_header_is_canonical() -> None:
    """What is signed is exactly specified."""
    expected = (
        b'{"created_at":1795420800,"digest":"%s","key_id":"admin","previous":"","sequence":1,"stage":"enforce"}'
        % POLICY_SET.digest.encode()
    )
    assert expected == made().header()


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 2},
        {"previous": "00"},
        {"stage": "shadow"},
        {"created_at": 1},
        {"digest": "00" * 32},
        {"signature": bytes(64)},
        {"signature": b""},
        {"payload": b"{}"},
    ],
)
def test_a_changed_bundle_is_refused(change: dict[str, Any]) -> None:
    """Header, signature and payload hang together."""
    with pytest.raises(BadSignatureError):
        verify(dataclasses.replace(made(), **change), {"admin": PUBLIC})


def test_unknown_and_unreadable_keys_are_refused() -> None:
    """Each with its own error."""
    with pytest.raises(UnknownKeyError) as unknown:
        verify(made(), {"other": PUBLIC})
    assert unknown.value.key_id == "admin"
    for key in ("x", base64.b64encode(b"short").decode(), b"short"):
        with pytest.raises(BundleError, match="32 bytes"):
            verify(made(), {"admin": key})


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"policy":{},"places":{}}', POLICY_SET.canonical() + b" ", b'{"policy":1,"places":{"a":1}}'],
)
def test_a_signed_payload_must_be_a_canonical_policy(payload: bytes) -> None:
    """A key's owner can sign nonsense; it is refused all the same."""

    class Nonsense:
        def canonical(self) -> bytes:
            return payload

    bundle = sign(Nonsense(), KEY, "admin", sequence=1, previous="", stage="enforce", created_at=1)  # type: ignore[arg-type] # on purpose
    with pytest.raises(MalformedBundleError):
        verify(bundle, {"admin": PUBLIC})


def _without(raw: dict[str, Any]) -> object:
    del raw["stage"]
    return raw


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: [raw],
        _without,
        lambda raw: raw | {"extra": 1},
        lambda raw: raw | {"sequence": "1"},
        lambda raw: raw | {"sequence": True},
        lambda raw: raw | {"sequence": 0},
        lambda raw: raw | {"stage": "maybe"},
        lambda raw: raw | {"payload": "§"},
        lambda raw: raw | {"signature": "a"},
    ],
)
def test_malformed_bundles_are_refused(change: Callable[[dict[str, Any]], object]) -> None:
    """Every field, and nothing else, with its type."""
    with pytest.raises(MalformedBundleError):
        Bundle.from_json(orjson.dumps(change(orjson.loads(made().to_json()))))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """Only one kind of error comes out."""
    with pytest.raises(MalformedBundleError):
        Bundle.from_json(data)


def test_a_bundle_follows_the_active_one() -> None:
    """An old one cannot be replayed, nor one that was made for another policy."""
    first = made()
    follows(first, None)
    follows(made(2, first.digest), first)
    with pytest.raises(OldBundleError, match="not newer") as old:
        follows(made(1, first.digest), first)
    assert (old.value.sequence, old.value.active) == (1, 1)
    with pytest.raises(OldBundleError, match="another policy"):
        follows(made(2, "00"), first)


def test_a_huge_bundle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is parsed."""
    monkeypatch.setattr("charter.bundle.MAX_BYTES", 10)
    with pytest.raises(MalformedBundleError, match="more than"):
        Bundle.from_json(b"x" * 11)
