"""What every part of the configuration has in common: strictness, names and folders."""

import os.path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

RESERVED = ("none", "Dense")  # what a point without a key, and the unpruned model, are called


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is taken")
    return name


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), AfterValidator(_not_reserved)]
Folder = Annotated[str, AfterValidator(lambda path: os.path.normpath(os.path.expanduser(path)))]


class Strict(BaseModel):
    """Frozen, and an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)
