"""What every part of the configuration has in common: strictness, names and folders."""

import os.path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

RESERVED = ("none", "Dense")  # what a point without a key, and the unpruned model, are called


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"the name {name!r} is taken")
    return name


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), AfterValidator(_not_reserved)]


def _folder(path: str) -> str:
    if not path.strip():
        raise ValueError("is empty: name a folder")
    return os.path.normpath(os.path.expanduser(path))


Folder = Annotated[str, AfterValidator(_folder)]


_NUMBERS = (int, float, int | None, float | None)


class Strict(BaseModel):
    """Frozen, and an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, data: Any) -> Any:
        """YAML's yes, on and true would be taken for 1."""
        for name, value in data.items() if isinstance(data, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field and field.annotation in _NUMBERS:
                raise ValueError(f"{name}: expected a number, not {str(value).lower()}")
        return data
