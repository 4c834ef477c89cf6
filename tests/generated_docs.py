"""Every file that a program writes from the code: references, schemas. ``python -m tests.generated_docs [--write]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bots.steward import reference as steward
from charter import catalogue_reference
from charter.policy import reference as policy
from deploy import cli_reference
from synapse_modules import reference as modules

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[str, str]:
    """Return path in the repository -> the text that belongs there, of every generated file."""
    return {
        **policy.generated(),
        "docs/reference/features.md": catalogue_reference.reference(),
        "docs/reference/settings.md": modules.settings(),
        "docs/reference/api.md": modules.api(),
        "docs/reference/commands.md": steward.page(),
        "docs/reference/cli.md": cli_reference.page(),
    }


def outdated(root: Path = ROOT) -> list[str]:
    """Return the generated files that are missing or differ from what the code says, in order."""
    differing = []
    for name, text in sorted(generated().items()):
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            differing.append(name)
    return differing


def write(root: Path = ROOT) -> list[str]:
    """Write every file that is outdated, and return their names."""
    texts = generated()
    names = outdated(root)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8")
    return names


def main() -> int:
    """Say which files are outdated; with ``--write`` write them. Exits with 1 if some are and were not written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files instead of only naming them")
    chosen = parser.parse_args()
    names = write() if chosen.write else outdated()
    for name in names:
        sys.stdout.write(f"{'written' if chosen.write else 'outdated'}: {name}\n")
    return 1 if names and not chosen.write else 0


if __name__ == "__main__":
    sys.exit(main())
