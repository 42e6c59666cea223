import json
import re
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from ssgr import config
from ssgr.config.reference import SECTIONS, reference, schema

FIRST_LINE = "# yaml-language-server: $schema="


def test_the_page_and_the_schema_are_what_the_configuration_says(root: Path) -> None:
    page, written = ((root / "config" / name).read_text() for name in ("README.md", "schema.json"))
    told = "run: python -m ssgr.config.reference config"
    assert page == reference(), told
    assert json.loads(written) == schema(), told


def mistakes(root: Path, raw: object) -> list[str]:
    """What an editor would mark."""
    checked = jsonschema.Draft202012Validator(
        json.loads((root / "config" / "schema.json").read_text())
    )
    return [error.json_path for error in checked.iter_errors(raw)]


def test_editors_accept_every_file_that_is_shipped_or_shown(root: Path) -> None:
    for file in (root / "config").glob("*.yaml"):
        text = file.read_text()
        first, _, _ = text.partition("\n")
        assert (root / "config" / first.removeprefix(FIRST_LINE)).is_file(), file
        assert mistakes(root, yaml.safe_load(text)) == [], file
    shown = [
        block
        for page in (root / "README.md", *(root / "docs").glob("*.md"))
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
    ]
    for block in shown:
        assert mistakes(root, yaml.safe_load(block)) == [], block
    assert len(shown) > 5


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"runn": {}}, "$"),
        ({"run": {"sparsities": [True]}}, "$.run.sparsities[0]"),
        ({"models": {"mine": {"path": "x", "gpus": 1}}}, "$.models.mine"),
        ({"models": {"mine": {"path": "x", "execution": {"gpu": -1}}}}, "$.models.mine"),
        ({"budget": {"tokens": "many"}}, "$.budget.tokens"),
        ({"calibrations": {"X": {"source": "s", "tau": [0.5, []]}}}, "$.calibrations.X"),
    ],
)
def test_editors_mark_a_mistake(root: Path, raw: dict[str, Any], place: str) -> None:
    assert mistakes(root, raw) == [place]


def models(annotation: object) -> set[type[BaseModel]]:
    """The pydantic models that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in get_args(annotation) for model in models(part)}


def test_every_part_of_the_configuration_has_a_section() -> None:
    waiting: set[type[BaseModel]] = {config.Config}
    found: set[type[BaseModel]] = set()
    while waiting:
        model = waiting.pop()
        found.add(model)
        for field in model.model_fields.values():
            waiting |= models(field.annotation) - found
    assert found == set(SECTIONS.values())
