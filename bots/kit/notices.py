"""What a bot says: one plain and one HTML template per notice, foreign text made harmless on the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jinja2

from bots.kit.neutral import neutral_values

if TYPE_CHECKING:
    from pathlib import Path

BODY_LIMIT = 14_000
"""Characters of body and of formatted body; both together stay below Matrix's 65,536 bytes per event."""
_BYTES_LIMIT = 25_000


def matrix_link(*identifiers: str) -> str:
    """Return the matrix.to link of a room, an event in a room, or a person."""
    return "https://matrix.to/#/" + "/".join(quote(each.encode("utf-8", "replace"), safe="") for each in identifiers)


class Notices:
    """The notices of one bot.

    Args:
        folder: holds ``<name>.txt.j2`` and ``<name>.html.j2``.
    """

    def __init__(self, folder: Path) -> None:
        loader = jinja2.FileSystemLoader(folder)
        options: dict[str, Any] = {
            "loader": loader,
            "undefined": jinja2.StrictUndefined,
            "trim_blocks": True,
            "lstrip_blocks": True,
        }
        self._plain = jinja2.Environment(autoescape=False, **options)  # noqa: S701 - plain text is not markup
        self._html = jinja2.Environment(autoescape=True, **options)
        self._html.filters["matrix_link"] = matrix_link

    def notice(self, name: str, *, most: int = 500, multiline: bool = False, **values: Any) -> dict[str, Any]:
        """Render a notice as the content of an ``m.room.message``.

        Args:
            name: of the two templates.
            most: characters kept of each string among the values.
            multiline: keep line breaks within values.
            values: for the templates; any JSON, trusted for nothing.
        """
        safe = neutral_values(values, most, lines=multiline)
        plain = _fit(self._plain.get_template(f"{name}.txt.j2").render(safe).strip())
        html = self._html.get_template(f"{name}.html.j2").render(safe).strip()
        content: dict[str, Any] = {"msgtype": "m.notice", "body": plain, "m.mentions": {}}
        if len(html) <= BODY_LIMIT and len(html.encode()) <= _BYTES_LIMIT:
            content |= {"format": "org.matrix.custom.html", "formatted_body": html}
        return content


def _fit(text: str) -> str:
    if len(text) > BODY_LIMIT or len(text.encode()) > _BYTES_LIMIT:
        return text.encode()[:_BYTES_LIMIT].decode("utf-8", "ignore")[:BODY_LIMIT] + " …"
    return text
