"""Flags that several commands share."""

import json
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from ssgr.config import Model


def _folder(value: object) -> object:
    """A bare path stands for a registry entry with that path."""
    if isinstance(value, str):
        return json.loads(value) if value.startswith("{") else {"path": value}
    return value


ModelFlag = Annotated[Model, NoDecode, BeforeValidator(_folder)]
A_MODEL = "Hugging Face folder or hub id, or a registry entry as JSON"
GPUS = "GPUs of the job to take, pinned by a lease; 0 hides them all; left out, nothing is changed"
