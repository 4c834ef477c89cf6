"""The proof that one record is in a log: made from the tiles, checked offline with nothing but the proof itself.

Pure. What a proof shows is that the record is the one at that index of the tree with that size and root; whether the
root is the one that the log really had is for whoever knows the root from elsewhere to compare.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from ledger import canonical as form
from ledger.errors import LedgerError, RecordError
from ledger.record import SALT_BYTES, Record, canonical, commitment
from ledger.tree import Node, inclusion_proof, verify_inclusion

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = "charter-inclusion/1"


class ProofError(LedgerError):
    """A proof that proves nothing; the text says why."""


def build(  # noqa: PLR0913 - the parts of a proof
    *, log: str, index: int, size: int, root: bytes, canonical_bytes: bytes, salt: bytes, node: Node
) -> dict[str, Any]:
    """Returns the proof as a JSON object (docs/ledger.md lists its keys).

    Raises:
        TreeError: the tree has no such leaf.
    """
    return {
        "format": FORMAT,
        "log": log,
        "index": index,
        "size": size,
        "root": base64.b64encode(root).decode(),
        "record": canonical_bytes.decode(),
        "salt": base64.b64encode(salt).decode(),
        "path": [base64.b64encode(step).decode() for step in inclusion_proof(index, size, node)],
    }


def check(proof: Mapping[str, Any]) -> Record:
    """Returns the record that a proof proves.

    Raises:
        ProofError: the proof is malformed, or its hashes do not lead from the record to the root.
    """
    if proof.get("format") != FORMAT:
        msg = f"not a proof of the form {FORMAT}"
        raise ProofError(msg)
    index, size = proof.get("index"), proof.get("size")
    if not (isinstance(index, int) and isinstance(size, int)):
        msg = "index or size is no integer"
        raise ProofError(msg)
    steps = proof.get("path")
    if not isinstance(steps, list):
        msg = "path is no list"
        raise ProofError(msg)
    text = proof.get("record")
    if not isinstance(text, str):
        msg = "record is no text"
        raise ProofError(msg)
    try:
        canonical_bytes = text.encode()
        salt, root = _decode(proof.get("salt")), _decode(proof.get("root"))
        path = [_decode(step) for step in steps]
        found = form.read(text)
        record = Record.from_json(found if isinstance(found, dict) else {})
        same = canonical(record) == canonical_bytes
    except (UnicodeEncodeError, binascii.Error, RecordError, TypeError) as error:
        msg = f"malformed: {error}"
        raise ProofError(msg) from error
    if not same:
        msg = "the record is not in canonical form"
        raise ProofError(msg)
    if len(salt) != SALT_BYTES:
        msg = "the salt is not 32 bytes"
        raise ProofError(msg)
    if not verify_inclusion(commitment(canonical_bytes, salt), index, size, path, root):
        msg = "the record, its salt and the path do not lead to the root"
        raise ProofError(msg)
    return record


def _decode(value: Any) -> bytes:
    if not isinstance(value, str):
        msg = "a hash or salt is no text"
        raise TypeError(msg)
    return base64.b64decode(value, validate=True)
