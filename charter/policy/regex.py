r"""Which regular expressions may stand in a policy: those that compile and cannot take exponential time.

The check looks at the expression alone. Refused, inside a repetition: another one of no fixed length, unless
what follows it can be told from what it repeats (`(\d+,)*`), and alternatives that begin alike. Possessive
and atomic parts pass. A few open repetitions side by side (`.*x.*y`) pass, though they take polynomial time:
who matches bounds the length of the text.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as op  # type: ignore[attr-defined]  # private, but the only parser of this very dialect
from re import _parser as parser  # type: ignore[attr-defined]  # the same
from typing import Any, Final

_FEW: Final = 4
"""Outer repetitions up to this bound are few: the matching ways are polynomial."""

MAX_OPEN: Final = 3
"""Open repetitions in one expression; each multiplies the time by the length of the text."""

_OPEN: Final = 1000
"""A repetition up to this many times or more counts as open."""


def dangerous(text: str) -> tuple[str, str]:
    """Return why an expression is refused and what to do instead; two empty texts when it is fine."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
            tree = list(parser.parse(text))
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return f"the regular expression does not compile: {error}", "test it with Python's `re` syntax"
    if _exponential(tree, repeated=False):
        help_ = "do not nest repetitions; make the inner one possessive (`a++`) or end it with a separator"
        return "the regular expression can take exponential time", help_
    if _open_repetitions(tree) > MAX_OPEN:
        return f"the regular expression has more than {MAX_OPEN} open repetitions", "bound some of them: `.{0,80}`"
    return "", ""


def _open_repetitions(tree: list[Any]) -> int:
    count = 0
    for code, argument in tree:
        if code in (op.MAX_REPEAT, op.MIN_REPEAT):
            low, high, body = argument
            count += (high >= _OPEN and low != high) + _open_repetitions(list(body))
        else:
            count += sum(_open_repetitions(part) for part in _parts(code, argument))
    return count


def _exponential(tree: list[Any], *, repeated: bool) -> bool:
    following = [*tree[1:], tree[0]] if tree else []
    return any(_item_exponential(item, after, repeated=repeated) for item, after in zip(tree, following, strict=True))


def _item_exponential(item: Any, after: Any, *, repeated: bool) -> bool:
    code, argument = item
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, body = argument
        if repeated and low != high and high > 1 and not _separated(list(body), after):
            return True
        return _exponential(list(body), repeated=repeated or high > _FEW)
    if code is op.BRANCH and repeated and not _begin_differently(argument[1]):
        return True
    inside = repeated and code not in (op.POSSESSIVE_REPEAT, op.ATOMIC_GROUP)
    return any(_exponential(part, repeated=inside) for part in _parts(code, argument))


def _parts(code: Any, argument: Any) -> list[list[Any]]:
    """Return the sequences inside an item."""
    if code is op.BRANCH:
        return [list(branch) for branch in argument[1]]
    if code is op.POSSESSIVE_REPEAT:
        return [list(argument[2])]
    if code is op.SUBPATTERN:
        return [list(argument[3])]
    if code in (op.ASSERT, op.ASSERT_NOT):
        return [list(argument[1])]
    if code is op.GROUPREF_EXISTS:
        return [list(part) for part in argument[1:] if part]
    return [list(argument)] if code is op.ATOMIC_GROUP else []


def _separated(body: list[Any], after: Any) -> bool:
    """Return whether a repetition ends where a literal begins that it cannot itself contain."""
    if len(body) != 1 or after[0] is not op.LITERAL:
        return False
    code, argument = body[0]
    if code is op.LITERAL:
        return bool(argument != after[1])
    if code is op.NOT_LITERAL:
        return bool(argument == after[1])
    return code is op.IN and not _contains(argument, after[1])


def _contains(members: list[Any], char: int) -> bool:
    """Return whether a character class may contain a character; in doubt, yes."""
    if members and members[0][0] is op.NEGATE:
        return not any(code is op.LITERAL and value == char for code, value in members[1:])
    for code, value in members:
        if (code is op.LITERAL and value == char) or (code is op.RANGE and value[0] <= char <= value[1]):
            return True
        if code is op.CATEGORY and _in_category(value, chr(char)):
            return True
    return False


def _in_category(category: Any, char: str) -> bool:
    if category is op.CATEGORY_DIGIT:
        return char.isdigit()
    if category is op.CATEGORY_WORD:
        return char.isalnum() or char == "_"
    return category is not op.CATEGORY_SPACE or char.isspace()


def _begin_differently(branches: list[Any]) -> bool:
    firsts = [branch[0] if len(branch) else None for branch in branches]
    literals = [first[1] for first in firsts if first is not None and first[0] is op.LITERAL]
    return len(literals) == len(branches) == len(set(literals))
