r"""A signed policy: what `charter apply` sends and every process verifies before it judges by it.

The signature covers the header only, and the header holds the payload's digest::

    {"created_at":1795420800,"digest":"3f…","key_id":"admin","previous":"9a…","sequence":7,"stage":"enforce"}

as UTF-8 JSON with sorted keys and no white space, after the domain separator ``charter-bundle-v1\n``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, get_args

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from charter.errors import CharterError
from charter.policy.model import Stage
from charter.policy.policy_set import PolicySet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_DOMAIN: Final = b"charter-bundle-v1\n"
_HEADER: Final = ("created_at", "digest", "key_id", "previous", "sequence", "stage")
MAX_BYTES: Final = 64 * 1024 * 1024
"""The largest bundle that is read."""


class BundleError(CharterError):
    """A bundle is not to be trusted."""


class MalformedBundleError(BundleError):
    """The bytes are no bundle, or its payload is no policy."""


class UnknownKeyError(BundleError):
    """The bundle is signed with a key that the configuration does not name.

    Attributes:
        key_id: the key's name.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no public key is named {key_id!r}", "add it to policy_keys, or sign with a known key")
        self.key_id = key_id


class BadSignatureError(BundleError):
    """The signature does not fit the header, or the digest does not fit the payload."""


class OldBundleError(BundleError):
    """The bundle does not follow the active one.

    Attributes:
        sequence: the bundle's.
        active: the active one's.
    """

    def __init__(self, message: str, sequence: int, active: int) -> None:
        super().__init__(message, "fetch the active policy and apply again")
        self.sequence = sequence
        self.active = active


@dataclass(frozen=True, slots=True)
class Bundle:
    """A policy with its signature.

    Attributes:
        payload: `PolicySet.canonical()`.
        digest: hex SHA-256 of the payload.
        sequence: counts the policies of one deployment, from 1.
        previous: digest of the policy before, or "" for the first.
        stage: ``enforce``, or ``shadow`` for a whole policy that is only recorded.
        created_at: POSIX seconds.
        key_id: name of the admin's key.
        signature: 64 bytes.
    """

    payload: bytes
    digest: str
    sequence: int
    previous: str
    stage: Stage
    created_at: int
    key_id: str
    signature: bytes

    def header(self) -> bytes:
        """Return the canonical header, which is what is signed."""
        return orjson.dumps({name: getattr(self, name) for name in _HEADER}, option=orjson.OPT_SORT_KEYS)

    def to_json(self) -> bytes:
        """Return the bundle as JSON; payload and signature in base64."""
        document = {name: getattr(self, name) for name in _HEADER}
        document["payload"] = base64.b64encode(self.payload).decode()
        document["signature"] = base64.b64encode(self.signature).decode()
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read a bundle; nothing is verified yet.

        Raises:
            MalformedBundleError: not a bundle.
        """
        if len(data) > MAX_BYTES:
            msg = f"the bundle has {len(data)} bytes, more than {MAX_BYTES}"
            raise MalformedBundleError(msg)
        try:
            raw = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            msg = f"the bundle is not JSON: {error}"
            raise MalformedBundleError(msg) from error
        expected: dict[str, type] = dict.fromkeys((*_HEADER, "payload", "signature"), str)
        expected |= {"sequence": int, "created_at": int}
        if type(raw) is not dict or raw.keys() != expected.keys():
            msg = "the bundle does not have exactly the fields of a bundle"
            raise MalformedBundleError(msg)
        wrong = sorted(name for name, kind in expected.items() if type(raw[name]) is not kind)
        if wrong or raw["stage"] not in get_args(Stage) or raw["sequence"] < 1:
            msg = f"fields of the bundle have wrong values: {', '.join(wrong) or 'stage or sequence'}"
            raise MalformedBundleError(msg)
        raw["payload"], raw["signature"] = _decoded(raw["payload"]), _decoded(raw["signature"])
        return cls(**raw)


def sign(  # noqa: PLR0913 - the fields of the header
    policy_set: PolicySet,
    key: Ed25519PrivateKey,
    key_id: str,
    *,
    sequence: int,
    previous: str,
    stage: Stage,
    created_at: int,
) -> Bundle:
    """Return the signed bundle of a policy.

    Args:
        policy_set: the checked policy.
        key: the admin's private key.
        key_id: the name under which deployments know its public key.
        sequence: one more than the active bundle's.
        previous: the active policy's digest, or "".
        stage: ``enforce`` or ``shadow``.
        created_at: POSIX seconds.
    """
    payload = policy_set.canonical()
    digest = hashlib.sha256(payload).hexdigest()
    unsigned = Bundle(payload, digest, sequence, previous, stage, int(created_at), key_id, b"")
    signature = key.sign(_DOMAIN + unsigned.header())
    return Bundle(payload, digest, sequence, previous, stage, int(created_at), key_id, signature)


def verify(bundle: Bundle, public_keys: Mapping[str, str | bytes | Ed25519PublicKey]) -> PolicySet:
    """Return the policy of a bundle whose signature, digest and payload are good.

    Does not check the sequence: see :func:`follows`.

    Args:
        bundle: the bundle.
        public_keys: key id -> public key: base64 of the 32 bytes, the bytes, or the key.

    Raises:
        UnknownKeyError: signed with a key that is not among `public_keys`.
        BadSignatureError: signature or digest do not fit.
        MalformedBundleError: the payload is not the canonical form of a valid policy.
    """
    given = public_keys.get(bundle.key_id)
    if given is None:
        raise UnknownKeyError(bundle.key_id)
    try:
        public_key(given).verify(bundle.signature, _DOMAIN + bundle.header())
    except InvalidSignature as error:
        msg = f"the signature of bundle {bundle.sequence} does not fit the key {bundle.key_id!r}"
        raise BadSignatureError(msg) from error
    if hashlib.sha256(bundle.payload).hexdigest() != bundle.digest:
        msg = f"the payload of bundle {bundle.sequence} does not fit its digest"
        raise BadSignatureError(msg)
    try:
        return PolicySet.from_canonical(bundle.payload)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"the payload of bundle {bundle.sequence} is not a valid policy: {error}"
        raise MalformedBundleError(msg) from error


def follows(bundle: Bundle, active: Bundle | None) -> None:
    """Check that a bundle may replace the active one.

    Raises:
        OldBundleError: its sequence is not above, or its ``previous`` is not the active digest.
    """
    if active is None:
        return
    if bundle.sequence <= active.sequence:
        msg = f"bundle {bundle.sequence} is not newer than the active bundle {active.sequence}"
        raise OldBundleError(msg, bundle.sequence, active.sequence)
    if bundle.previous != active.digest:
        msg = f"bundle {bundle.sequence} was made for another policy than the active one"
        raise OldBundleError(msg, bundle.sequence, active.sequence)


def public_key(given: str | bytes | Ed25519PublicKey) -> Ed25519PublicKey:
    """Return a public key from base64 text or its 32 bytes.

    Raises:
        BundleError: no Ed25519 public key.
    """
    if isinstance(given, Ed25519PublicKey):
        return given
    try:
        raw = base64.b64decode(given, validate=True) if isinstance(given, str) else given
        return Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, binascii.Error) as error:
        msg = "a public key is not the base64 of 32 bytes"
        raise BundleError(msg) from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        msg = "payload or signature are not base64"
        raise MalformedBundleError(msg) from error
