"""Canonical bytes: exact, total, lossless and the same on the fast and the slow path."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical as form
from ledger.errors import RecordError

CASES: list[tuple[Any, str]] = [
    (None, "null"),
    ({"b": 1, "a": [True, False, None]}, '{"a":[true,false,null],"b":1}'),
    ({"é": 1, "z": 2, "\U0001f600": 3, "\uffff": 4}, '{"z":2,"é":1,"\uffff":4,"\U0001f600":3}'),
    ('\x00\x08\t\n\x0c\r\x1f\x7f\u2028"\\/', '"\\u0000\\b\\t\\n\\f\\r\\u001f\x7f\u2028\\"\\\\/"'),
    ("a\ud800b\udfff", '"a\\ud800b\\udfff"'),
    ("\ud83d\ude00", '"\U0001f600"'),
    (2**63, "9223372036854775808"),
    (-(2**64), "-18446744073709551616"),
    (1.0, "1.0"),
    (-0.0, "-0.0"),
    (1e16, "1e+16"),
    (1e-7, "1e-07"),
    (123456789.125, "123456789.125"),
    (math.inf, '{"$number":"Infinity"}'),
    ([-math.inf], '[{"$number":"-Infinity"}]'),
    ({"$number": "NaN"}, '{"$$number":"NaN"}'),
    ({"$$number": {}}, '{"$$$number":{}}'),
    ({"$number": 1, "a": 2}, '{"$number":1,"a":2}'),
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["$number", "$$number"]), inner),
    max_leaves=20,
)


def _joined(value: Any) -> Any:
    """A surrogate pair in two halves is the character that both encode: the same JSON string."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if isinstance(value, list):
        return [_joined(item) for item in value]
    return {_joined(key): _joined(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_the_form_is_exact(value: Any, expected: str) -> None:
    """Each case is written as docs/ledger.md says."""
    assert expected.encode() == form.write(value)


@given(JSON)
def test_what_is_written_reads_back(value: Any) -> None:
    """No JSON value is lost or changed."""
    assert _joined(value) == form.read(form.write(value).decode())


@given(JSON)
def test_fast_and_slow_agree(value: Any) -> None:
    """Which path writes or reads is not to be seen."""
    written = form.write(value)
    assert form._write_slowly(value) == written
    assert repr(form._Reader(written.decode()).value()) == repr(form.read(written.decode()))


@given(JSON)
def test_canonical_is_json(value: Any) -> None:
    """Any parser takes it, and writing again what was read changes nothing."""
    text = form.write(value).decode()
    json.loads(text)
    assert text.encode() == form.write(form.read(text))


def test_nan_is_kept() -> None:
    """NaN, which equals nothing, comes back."""
    assert math.isnan(form.read(form.write({"a": [math.nan]}).decode())["a"][0])


def test_numbers_of_any_length() -> None:
    """Python's limit of 4300 digits is not ours."""
    number = 7 * 10**20_000 + 1
    assert number == form.read(form.write([number]).decode())[0]


def test_nesting_of_any_depth() -> None:
    """A hundred thousand lists inside each other are written and read."""
    value: Any = "core"
    for _ in range(100_000):
        value = [value]
    text = form.write({"a": value}).decode()
    assert text[5:-100_001] == "[" * 100_000 + '"core"'
    assert text.encode() == form.write(form.read(text))


@pytest.mark.parametrize("value", [{1: 2}, b"x", {"a": {1, 2}}, {"\ud83d\ude00": 1, "\U0001f600": 2}])
def test_what_is_not_json_is_refused(value: Any) -> None:
    """Only what no parser returns is an error."""
    with pytest.raises(RecordError):
        form.write(value)


@pytest.mark.parametrize(
    "text", ["", "[", "]", "{]", '{"a"}', '{"a":}', '"a', "[1]]", "nul", '{"$number":"NaN"', "1 2"]
)
def test_what_is_no_text_is_refused(text: str) -> None:
    """Damaged text is an error, not a value."""
    with pytest.raises(RecordError):
        form.read(text)
