r"""The ledger's tables, and how a string is written into a column.

Neither database takes every string of JSON: PostgreSQL refuses U+0000, and lone surrogates have no UTF-8. A text
column therefore holds `\` as `\\`, U+0000 as `\0` and a lone surrogate as `\udxxx`; everything else as it is.
"""

from __future__ import annotations

import re
from typing import Final, overload

import sqlalchemy as sa

SCHEMA_REVISION: Final = "0001"
"""The head of `ledger/migrations`; a test holds the two together."""
VERSION_TABLE: Final = "ledger_version"

METADATA: Final = sa.MetaData()
_POSITION: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

LOGS: Final = sa.Table(
    "ledger_logs",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary, nullable=False),
    sa.Column("frontier", sa.LargeBinary, nullable=False),
)

RECORDS: Final = sa.Table(
    "ledger_records",
    METADATA,
    sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("index", sa.BigInteger, nullable=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("room", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("subject", sa.Text),
    sa.Column("body", sa.Text),
    sa.Column("salt", sa.LargeBinary),
    sa.Column("commitment", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)

TILES: Final = sa.Table(
    "ledger_tiles",
    METADATA,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("level", sa.Integer, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("hashes", sa.LargeBinary, nullable=False),
)

STATE: Final = sa.Table(
    "ledger_state",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

_SPECIAL: Final = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED: Final = re.compile(r"\\(?:(\\)|(0)|u(d[0-9a-f]{3}))")


@overload
def to_column(text: str) -> str: ...
@overload
def to_column(text: str | None) -> str | None: ...
def to_column(text: str | None) -> str | None:
    """Returns a string as its column holds it."""
    return text if text is None or not _SPECIAL.search(text) else _SPECIAL.sub(_escape, text)


@overload
def from_column(text: str) -> str: ...
@overload
def from_column(text: str | None) -> str | None: ...
def from_column(text: str | None) -> str | None:
    """Returns the string that `to_column` wrote; what it would never have written stays as it is."""
    return text if text is None or "\\" not in text else _ESCAPED.sub(_unescape, text)


def _escape(found: re.Match[str]) -> str:
    return {"\\": "\\\\", "\0": "\\0"}.get(found[0]) or f"\\u{ord(found[0]):04x}"


def _unescape(found: re.Match[str]) -> str:
    if found[1]:
        return "\\"
    return "\0" if found[2] else chr(int(found[3], 16))
