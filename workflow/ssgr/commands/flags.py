"""What commands have in common: a job's spec, and flags that several share."""

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from ssgr.config import Model, Strict


class Command(Strict):
    """A stage's command: given by flags, or as the workflow does by its job's spec."""

    spec: str | None = Field(
        None, exclude=True, description="flags as one JSON object; those given besides go before it"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_spec(cls, flags: Any) -> Any:
        """Read the spec; ``made_with`` in it is for the workflow, which reruns what it changes."""
        if not isinstance(flags, dict) or not flags.get("spec"):
            return flags
        try:
            given = json.loads(flags["spec"])
        except json.JSONDecodeError as error:
            raise ValueError(f"--spec is no JSON: {error}") from None
        if not isinstance(given, dict):
            raise ValueError("--spec is no JSON object")
        given.pop("made_with", None)
        return _merged(given, {name: value for name, value in flags.items() if name != "spec"})


def _merged(spec: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The spec with what flags say besides, such as ``--judging.workers 2``."""
    both = {
        name: _merged(spec[name], value)
        for name, value in flags.items()
        if isinstance(value, dict) and isinstance(spec.get(name), dict)
    }
    return spec | flags | both


def _folder(value: object) -> object:
    """A bare path stands for a registry entry with that path."""
    if isinstance(value, str):
        return json.loads(value) if value.startswith("{") else {"path": value}
    return value


ModelFlag = Annotated[Model, NoDecode, BeforeValidator(_folder)]
A_MODEL = "Hugging Face folder or hub id, or a registry entry as JSON"
GPUS = "GPUs of the job to take, pinned by a lease; 0 hides them all; left out, nothing is changed"
