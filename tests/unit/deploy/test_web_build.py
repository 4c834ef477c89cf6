"""What the browser client's build needs of the machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from deploy import web_build
from deploy.errors import MissingProgramError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory in which programs are looked for."""
    monkeypatch.setattr(web_build, "search_path", lambda: str(tmp_path))
    return tmp_path


def install(folder: Path, version: str) -> None:
    """Put a `node` of a version there, and `npm`."""
    for name in ("node", "npm"):
        (folder / name).write_text(f"#!/bin/sh\necho {version}\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("version", ["v18.20.4", "v20.20.2", "v22.1.0"])
def test_debians_own_node_is_enough(folder: Path, version: str) -> None:
    """Node 18 and whatever is newer."""
    install(folder, version)
    assert web_build.require_node() == (str(folder / "node"), str(folder / "npm"))


@pytest.mark.parametrize("version", ["v16.20.2", "v9.0.0", "nonsense"])
def test_an_older_node_is_one_clear_error(folder: Path, version: str) -> None:
    """The error says which version is needed."""
    install(folder, version)
    with pytest.raises(MissingProgramError, match="Node 18 is needed"):
        web_build.require_node()


def test_without_node_the_error_says_how_to_get_it(folder: Path) -> None:
    """No program at all."""
    assert list(folder.iterdir()) == []
    with pytest.raises(MissingProgramError) as caught:
        web_build.require_node()
    assert "Install Node 18 or later" in (caught.value.advice or "")


def test_the_package_asks_for_the_node_that_the_build_asks_for() -> None:
    """`engines` and the check agree."""
    package = json.loads((web_build.SOURCE / "package.json").read_text())
    assert package["engines"]["node"].startswith(f">={web_build.NODE_VERSION}.")
