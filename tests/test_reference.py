from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from ssgr import config
from ssgr.config.reference import SECTIONS, reference


def test_the_reference_page_is_what_the_schema_says(root: Path) -> None:
    written = (root / "config" / "README.md").read_text()
    assert written == reference(), "run: python -m ssgr.config.reference > config/README.md"


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
