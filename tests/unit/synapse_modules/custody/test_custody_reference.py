"""The generated references are up to date and say something about everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_modules import reference
from synapse_modules._config import CharterConfig
from synapse_modules._login_config import LoginConfig
from synapse_modules.custody import routes

FOLDER = Path(__file__).parents[4] / "docs" / "reference"


@pytest.mark.parametrize(("name", "made"), [("settings.md", reference.settings), ("api.md", reference.api)])
def test_reference_is_up_to_date(name: str, made: object) -> None:
    """`python -m synapse_modules.reference` changes nothing."""
    assert callable(made)
    assert (FOLDER / name).read_text(encoding="utf-8") == made()


def test_every_setting_has_words() -> None:
    """No setting without a description."""
    for model in (CharterConfig, LoginConfig):
        for name, field in model.model_fields.items():
            assert field.description, name


def test_every_call_has_words_and_callers() -> None:
    """No call without a sentence, none that nobody may use, none twice."""
    found = routes(None)  # type: ignore[arg-type]  # no call is made
    assert all(route.handler.__doc__ and route.who for route in found)
    assert len({(route.method, route.path) for route in found}) == len(found)
