"""Which regular expressions may stand in a policy: those that compile and cannot take exponential time.

The check is conservative and looks at the expression alone: a repetition without bound inside another, or
alternatives that begin alike inside one, can be matched in exponentially many ways and are refused unless
made possessive. Polynomial expressions (`.*x.*y`) pass: the length of what is matched is bounded elsewhere.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as op  # type: ignore[attr-defined]  # private, but the only parser of this very dialect
from re import _parser as parser  # type: ignore[attr-defined]  # the same
from typing import Any

_MANY = 16
"""Repetitions up to this bound are treated as finite: 2**16 ways are slow, not endless."""


def dangerous(text: str) -> tuple[str, str]:
    """Return why an expression is refused and what to do instead; two empty texts when it is fine."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
            tree = parser.parse(text)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        return f"the regular expression does not compile: {error}", "test it with Python's `re` syntax"
    if _exponential(tree, repeated=False):
        help_ = "do not nest repetitions; make the inner one possessive (`a++`) or name a separator"
        return "the regular expression can take exponential time", help_
    return "", ""


def _exponential(tree: Any, *, repeated: bool) -> bool:
    return any(_item_exponential(code, argument, repeated=repeated) for code, argument in tree)


def _item_exponential(code: Any, argument: Any, *, repeated: bool) -> bool:
    if code in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, body = argument
        loops = high == op.MAXREPEAT or high > _MANY
        if loops and low != high and repeated:
            return True
        return _exponential(body, repeated=repeated or loops)
    if code is op.POSSESSIVE_REPEAT:
        return _exponential(argument[2], repeated=False)
    if code is op.ATOMIC_GROUP:
        return _exponential(argument, repeated=False)
    if code is op.BRANCH:
        branches = argument[1]
        if repeated and not _begin_differently(branches):
            return True
        return any(_exponential(branch, repeated=repeated) for branch in branches)
    if code is op.SUBPATTERN:
        return _exponential(argument[3], repeated=repeated)
    if code in (op.ASSERT, op.ASSERT_NOT):
        return _exponential(argument[1], repeated=repeated)
    if code is op.GROUPREF_EXISTS:
        return any(_exponential(part, repeated=repeated) for part in argument[1:] if part)
    return False


def _begin_differently(branches: list[Any]) -> bool:
    firsts = [branch[0] if len(branch) else None for branch in branches]
    literals = [first[1] for first in firsts if first is not None and first[0] is op.LITERAL]
    return len(literals) == len(branches) == len(set(literals))
