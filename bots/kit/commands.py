"""Commands as data: parsing, permission, help and the reference page all come from one table."""

from __future__ import annotations

import difflib
import enum
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PREFIX = "!"
LONGEST = 2000
_CONTEXT = TypeVar("_CONTEXT")


@dataclass(frozen=True)
class Reply:
    """What a command answers.

    Attributes:
        template: name of the notice.
        values: for the notice.
    """

    template: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Argument:
    """One argument of a command; arguments are words, quotation marks keep several together."""

    name: str
    summary: str
    required: bool = True


class Permission(enum.Enum):
    """Who may use a command; the value is how help says it."""

    LOCAL_PEOPLE = "everyone in the company"


@dataclass(frozen=True)
class Command(Generic[_CONTEXT]):
    """One command.

    Attributes:
        name: the word after the exclamation mark.
        arguments: in order; optional ones last.
        summary: one sentence for people.
        permission: who may use it.
        handler: does it; gets the context and the arguments by name.
    """

    name: str
    arguments: tuple[Argument, ...]
    summary: str
    permission: Permission
    handler: Callable[[_CONTEXT, Mapping[str, str]], Awaitable[Reply]]

    @property
    def usage(self) -> str:
        """The command as one types it."""
        words = [a.name.upper() if a.required else f"[{a.name.upper()}]" for a in self.arguments]
        return " ".join([PREFIX + self.name, *words])


@dataclass(frozen=True)
class Parsed(Generic[_CONTEXT]):
    """A command with its arguments."""

    command: Command[_CONTEXT]
    arguments: Mapping[str, str]


@dataclass(frozen=True)
class NotParsed:
    """Why a text is no command; this is the reply.

    Attributes:
        problem: one sentence for the person.
        usage: usage of the command that was meant, or "".
    """

    problem: str
    usage: str = ""


def parse(table: tuple[Command[_CONTEXT], ...], text: str) -> Parsed[_CONTEXT] | NotParsed:
    """Read a command; total, whatever the text."""
    try:
        words = shlex.split(text[:LONGEST].strip())
    except ValueError:
        words = text[:LONGEST].split()
    if not words or not words[0].startswith(PREFIX) or words[0] == PREFIX:
        return NotParsed("I am a program and understand only commands.")
    name = words[0][len(PREFIX) :].lower()
    command = next((c for c in table if c.name == name), None)
    if command is None:
        near = difflib.get_close_matches(name, [c.name for c in table], 1)
        hint = f" Did you mean {PREFIX}{near[0]}?" if near else ""
        return NotParsed(f"I do not know the command {PREFIX}{name[:40]}.{hint}")
    given = words[1:]
    missing = [a.name for a in command.arguments[len(given) :] if a.required]
    if missing:
        return NotParsed(f"{PREFIX}{name} needs {' and '.join(m.upper() for m in missing)}.", command.usage)
    if len(given) > len(command.arguments):
        count = len(command.arguments)
        return NotParsed(f"{PREFIX}{name} takes {count or 'no'} argument{'' if count == 1 else 's'}.", command.usage)
    return Parsed(command, {a.name: word for a, word in zip(command.arguments, given, strict=False)})


def help_values(table: tuple[Command[_CONTEXT], ...]) -> dict[str, Any]:
    """Return the values of the help notice."""
    return {
        "commands": [
            {
                "usage": c.usage,
                "summary": c.summary,
                "arguments": [{"name": a.name.upper(), "summary": a.summary} for a in c.arguments],
            }
            for c in table
        ]
    }


def reference(table: tuple[Command[_CONTEXT], ...], title: str, introduction: str) -> str:
    """Return the reference page of a table as Markdown."""
    parts = [f"# {title}", introduction]
    for command in table:
        rows = [f"- `{a.name.upper()}`{'' if a.required else ' (optional)'}: {a.summary}" for a in command.arguments]
        parts += [
            f"## `{command.usage}`",
            command.summary,
            *(["\n".join(rows)] if rows else []),
            f"Who may use it: {command.permission.value}.",
        ]
    return "\n\n".join(parts) + "\n"
