"""The manual and the editor schemas follow from the models, and the demo policy shows all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest

from charter import scenario
from charter.policy import model as m
from charter.policy import reference, shape
from charter.policy.merge import Merged, merge
from charter.policy.source import Mapping, Node, Sequence, read_source
from charter.policy.values import Plain

ROOT = Path(__file__).parents[4]
ACME = ROOT / "policies" / "acme"
POLICY_FILES = sorted(path for path in ACME.glob("*.yaml") if ".test." not in path.name)


def _loaded(path: Path) -> Any:
    root = read_source(path.name, path.read_bytes()).root
    assert root is not None
    return _as_editors_read(root.data)


def _as_editors_read(data: Any) -> Any:
    """Return a tree as YAML 1.2 has it: `on` is a word, an unquoted number a number."""
    if isinstance(data, dict):
        return {key: _as_editors_read(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return [_as_editors_read(item) for item in data]
    return int(data) if isinstance(data, Plain) and data.isdecimal() else str(data)


def _acme() -> Merged:
    return merge(read_source(path.name, path.read_bytes()) for path in POLICY_FILES)


@pytest.mark.parametrize("name", sorted(reference.generated()))
def test_generated_files_are_up_to_date(name: str) -> None:
    """A changed model, code or feature is written out: run `python -m charter.policy.reference`."""
    assert reference.generated()[name] == (ROOT / name).read_text(encoding="utf-8")


def test_writing_creates_folders(tmp_path: Path) -> None:
    """The generator writes every file below the root it is given."""
    reference.main(tmp_path)
    assert all((tmp_path / name).is_file() for name in reference.generated())


@pytest.mark.parametrize("path", POLICY_FILES, ids=lambda path: path.name)
def test_the_schema_accepts_the_demo_policy(path: Path) -> None:
    """An editor shows no error in any file of the demo policy."""
    jsonschema.Draft7Validator(reference.policy_schema()).validate(_loaded(path))


def test_the_schema_accepts_the_demo_scenarios() -> None:
    """Nor in its scenarios."""
    jsonschema.Draft7Validator(reference.test_schema()).validate(_loaded(ACME / "acme.test.yaml"))


@pytest.mark.parametrize(
    "broken",
    [
        {"grants": [{"id": "x", "to": ["y"], "effct": "deny"}]},
        {"grants": [{"id": "X", "to": ["y"], "allow": ["chat.*"]}]},
        {"limits": [{"id": "x", "to": ["y"], "max_file": 50}]},
        {"sessions": [{"id": "x", "to": ["y"], "lifetime": "10"}]},
        {"version": 2},
        {"journal": {"layout": "roms"}},
    ],
)
def test_the_schema_refuses_what_check_refuses(broken: dict[str, Any]) -> None:
    """An editor underlines the mistakes that the schema can see."""
    assert list(jsonschema.Draft7Validator(reference.policy_schema()).iter_errors(broken))


def test_the_scenario_schema_has_the_keys_of_the_reader() -> None:
    """The hand-written part of the scenario schema cannot drift from what `charter test` reads."""
    case = reference.test_schema()["properties"]["cases"]["items"]
    assert {*scenario._TEXTS, *scenario._LISTS} == set(case["properties"])
    assert list(scenario._REQUIRED) == case["required"]


def test_every_model_has_a_noun_and_a_section() -> None:
    """No model is missing in messages or in the manual."""
    models = {value for value in vars(m).values() if isinstance(value, type) and issubclass(value, m.Model)}
    assert models - {m.Model, m.Rule} == set(shape.NOUNS)
    assert set(shape.NOUNS) == {model for _, model in reference._sections()}


def _shown(node: Node, path: shape.Path, found: set[tuple[str, str]]) -> None:
    """Collect (model, key) of everything that a document shows."""
    if isinstance(node, Mapping):
        model = shape.model_at(path)
        for key, value in node.values.items():
            if model is not None:
                found.add((model.__name__, key))
            _shown(value, (*path, key), found)
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            _shown(item, (*path, index), found)


def test_the_demo_policy_shows_every_key() -> None:
    """A newcomer finds every key of the language in policies/acme; what rules share may be shown in any rule."""
    root = _acme().root
    assert root is not None
    found: set[tuple[str, str]] = set()
    _shown(root, (), found)
    shared = {info.alias or name for name, info in m.Rule.model_fields.items()}
    keys_anywhere = {key for _, key in found}
    missing = {
        (model.__name__, key)
        for model in shape.NOUNS
        for key in shape.keys_of(model)
        if (model.__name__, key) not in found and not (key in shared and key in keys_anywhere)
    }
    assert missing == set()


@pytest.mark.parametrize("path", [*POLICY_FILES, ACME / "acme.test.yaml"], ids=lambda path: path.name)
def test_demo_files_name_their_schema(path: Path) -> None:
    """Editors find the schema by the first line, and the file that it names exists."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    assert (path.parent / first.partition("=")[2]).resolve().is_file()


def test_paths_without_a_model_have_none() -> None:
    """Asking for what is not there is answered, not raised."""
    assert shape.model_at(("nowhere",)) is None
    assert shape.model_at(("version", "x")) is None
    assert shape.model_at(("grants",)) is None
    assert m.During is shape.model_at(("grants", 0, "during"))
