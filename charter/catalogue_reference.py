"""Writes docs/reference/features.md from the catalogue: ``python -m charter.catalogue_reference [FILE]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from charter.catalogue import FEATURES, UNKNOWN

TARGET: Final = Path("docs/reference/features.md")

_HEAD: Final = """\
# Features

What a policy can allow and deny. `x.*` names every feature that begins with `x.`, a bare `*` every feature;
neither includes `unknown`. Each gateway network of a policy adds `gateway.<network id>`. Generated from
`charter/catalogue.py`; `charter features` prints the same list.

An act needs **every** feature that it consists of:

- An edit needs `chat.edit` and the feature of its new content; a reply in a thread also `chat.thread`.
- Media needs the feature of its message type and those of its content types, claimed and found by sniffing;
  with words beside the file's name also `chat.text`.
- A call needs `call.voice`; with a live video section in its session description also `call.video` (so does one
  that cannot be read); with a shared screen also `call.screen`; with any other section (a data channel) `unknown`.
- Hanging up, declining a call and leaving a room are never refused.
- A direct chat needs `room.direct` and a space `room.space`, each instead of `room.create`. Name, topic and other
  settings of one's own new room are part of creating it; a direct chat's one invitee is part of it.
- Inviting somebody of another server needs `room.invite` and, for that server, `external.invite`; joining a room
  with other servers `room.join` and `external.join`. The `external.*` features are listed with the servers under
  `federation`; a grant may deny them.
- Keys that do not belong into a membership or the end of a call, a data channel, an unreadable relation and every
  event type without a row below need `unknown`.

| Feature | You may … | On the wire |
|---|---|---|
"""


def reference() -> str:
    """Return the manual page."""
    rows = []
    for feature in FEATURES:
        wire = ", ".join(f"`{name}`" for name in feature.wire) or ("everything else" if feature.id == UNKNOWN else "")
        rows.append(f"| `{feature.id}` | {feature.summary} | {wire} |\n")
    return _HEAD + "".join(rows)


def main(arguments: list[str]) -> None:
    """Write the page to the file given, by default its place in the manual."""
    target = Path(arguments[0]) if arguments else TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
