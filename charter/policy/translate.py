"""Pydantic's errors as findings about YAML: the place of the exact node, words of the language, a suggestion."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from charter.policy.shape import NOUNS, keys_of, model_at
from charter.policy.source import Mapping, Scalar, Sequence
from charter.policy.values import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from charter.policy.diagnostics import Diagnostic
    from charter.policy.merge import Merged
    from charter.policy.shape import Path


def translate(merged: Merged, error: ValidationError) -> list[Diagnostic]:
    """Return one finding for each error; a list is not called too short for its items that have errors."""
    details = error.errors(include_url=False)
    above = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    return [
        _translate(merged, detail) for detail in details if detail["type"] != "too_short" or detail["loc"] not in above
    ]


def closest(word: str, words: Iterable[str]) -> str | None:
    """Return the known word that is most like this one, if one is."""
    near = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(word: str, words: Iterable[str], otherwise: str = "") -> str:
    """Return a suggestion as help, or the other help."""
    near = closest(word, words)
    return f"did you mean `{near}`?" if near else otherwise


def _translate(merged: Merged, detail: ErrorDetails) -> Diagnostic:
    path = _real_path(merged, detail["loc"])
    context: dict[str, Any] = detail.get("ctx", {})
    if "message" in context and "help" in context:
        return merged.diagnostic(detail["type"], merged.span(path), context["message"], context["help"])
    return _TRANSLATORS.get(detail["type"], _out_of_bounds)(merged, path, detail)


def _real_path(merged: Merged, loc: tuple[str | int, ...]) -> Path:
    """Return the location without what pydantic inserts (`[key]`, names of union members)."""
    path: list[str | int] = []
    for index, step in enumerate(loc):
        parent = merged.node(tuple(path))
        last = index == len(loc) - 1
        if (isinstance(parent, Mapping) and (str(step) in parent.values or last) and step != "[key]") or (
            isinstance(parent, Sequence) and isinstance(step, int)
        ):
            path.append(step)
    return tuple(path)


def _noun(path: Path) -> str:
    model = model_at(path)
    return NOUNS[model] if model else "this"


def _missing(merged: Merged, path: Path, _: ErrorDetails) -> Diagnostic:
    noun, key = _noun(path[:-1]), path[-1]
    model = model_at(path[:-1])
    info = keys_of(model).get(str(key)) if model else None
    help_ = f"`{key}`: {info.description}" if info and info.description else ""
    return merged.diagnostic("missing-key", merged.span(path[:-1]), f"{noun} needs `{key}`", help_)


def _unknown(merged: Merged, path: Path, _: ErrorDetails) -> Diagnostic:
    key = str(path[-1])
    model = model_at(path[:-1])
    keys = list(keys_of(model)) if model else []
    help_ = did_you_mean(key, keys, "its keys are " + ", ".join(keys))
    return merged.diagnostic(
        "unknown-key", merged.key_span(path), f"{show(key)} is not a key of {_noun(path[:-1])}", help_
    )


def _not_one_of(merged: Merged, path: Path, detail: ErrorDetails) -> Diagnostic:
    expected = str(detail["ctx"]["expected"]).replace("'", "`")
    value = detail["input"]
    words = [word.strip("`") for word in expected.replace(" or ", ", ").split(", ")]
    help_ = did_you_mean(value, words, f"write {expected}") if isinstance(value, str) else f"write {expected}"
    return merged.diagnostic("bad-value", merged.span(path), f"{show(value)} is not {expected}", help_)


def _pattern(merged: Merged, path: Path, detail: ErrorDetails) -> Diagnostic:
    value = str(detail["input"])
    pattern = str(detail["ctx"]["pattern"])
    in_groups = path[:1] == ("groups",) and len(path) == 2  # noqa: PLR2004 - groups, name
    span = merged.key_span(path) if in_groups else merged.span(path)
    if "\\*" in pattern and "a-z" in pattern:
        message = f"{show(value)} is not a feature"
        help_ = (
            "`*` stands alone or at the end, after a dot: `chat.*`" if "*" in value else "`charter features` lists them"
        )
        return merged.diagnostic("bad-feature", span, message, help_)
    if pattern.startswith("^[a-z0-9]"):
        help_ = "lower case letters, digits, `.`, `_` and `-`; at most 64, beginning with a letter or digit"
        return merged.diagnostic("bad-id", span, f"{show(value)} is not an id", help_)
    info = _field(path)
    return merged.diagnostic("bad-value", span, f"{show(value)} does not fit `{_key(path)}`", info)


def _key(path: Path) -> str:
    return str(next((step for step in reversed(path) if isinstance(step, str)), "this"))


def _field(path: Path) -> str:
    while path and isinstance(path[-1], int):
        path = path[:-1]
    model = model_at(path[:-1]) if path else None
    info = keys_of(model).get(str(path[-1])) if model else None
    return str(info.description) if info and info.description else ""


def _wrong_type(merged: Merged, path: Path, detail: ErrorDetails) -> Diagnostic:
    kind = detail["type"]
    node = merged.node(path)
    if isinstance(node, Scalar):
        there = f"{show(node.text)} is a single value"
    else:
        there = "this is a list" if isinstance(node, Sequence) else "this is a mapping"
    wanted = {"string_type": "a single value", "tuple_type": "a list"}.get(kind, "a mapping of keys")
    help_ = _field(path)
    if kind == "tuple_type" and isinstance(node, Scalar):
        help_ = f"write `[{node.text}]`" if "\n" not in node.text else help_
    span = merged.span(path)
    return merged.diagnostic(
        "wrong-type", span, f"{there}, but `{_key(path)}` is {wanted}" if path else f"{there}", help_
    )


def _out_of_bounds(merged: Merged, path: Path, detail: ErrorDetails) -> Diagnostic:
    context: dict[str, Any] = detail.get("ctx", {})
    kind = detail["type"]
    key = _key(path)
    words = {
        "too_short": f"`{key}` needs at least {context.get('min_length')} "
        + ("item" if context.get("min_length") == 1 else "items"),
        "too_long": f"`{key}` has at most {context.get('max_length')} items",
        "string_too_short": f"`{key}` must not be empty",
        "string_too_long": f"`{key}` has at most {context.get('max_length')} characters",
        "greater_than_equal": f"`{key}` is at least {context.get('ge')}",
        "less_than_equal": f"`{key}` is at most {context.get('le')}",
    }
    return merged.diagnostic("bad-value", merged.span(path), words.get(kind, f"`{key}`: {detail['msg']}"), _field(path))


_TRANSLATORS: Final[dict[str, Callable[[Merged, Path, ErrorDetails], Diagnostic]]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _not_one_of,
    "string_pattern_mismatch": _pattern,
    "string_type": _wrong_type,
    "tuple_type": _wrong_type,
    "dict_type": _wrong_type,
    "model_type": _wrong_type,
}
