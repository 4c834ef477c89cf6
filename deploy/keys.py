"""The administrator's signing key: Ed25519, PKCS #8 PEM, readable by its owner alone."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from deploy.errors import DeployError
from deploy.secret_files import private_directory, write_private

if TYPE_CHECKING:
    from pathlib import Path

KEY_ID = "admin"
"""Id of the key that `charter up` makes; ``policy_keys`` of the modules' configuration names its public half so."""


def generate_admin_key(path: Path) -> str:
    """Make a key unless there is one, and return its public half for ``policy_keys``: base64 of 32 bytes.

    Raises:
        DeployError: there is a file that holds no such key.
    """
    if not path.exists():
        private_directory(path.parent)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, pem.decode("ascii"))
    return public_text(load_admin_key(path))


def load_admin_key(path: Path) -> Ed25519PrivateKey:
    """Read a key.

    Raises:
        DeployError: it cannot be read, or it is no unencrypted Ed25519 key.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        message = f"The signing key {path} cannot be read: {error.strerror}."
        raise DeployError(
            message, advice="Name the key with --key FILE, or its state directory with --state DIR."
        ) from error
    except (ValueError, TypeError) as error:
        message = f"{path} is not an unencrypted private key in PEM."
        raise DeployError(message) from error
    if not isinstance(key, Ed25519PrivateKey):
        message = f"{path} is a private key, but not an Ed25519 one."
        raise DeployError(message)
    return key


def public_text(key: Ed25519PrivateKey) -> str:
    """Return the public half as ``policy_keys`` holds it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")
