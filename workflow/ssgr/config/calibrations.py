"""`calibrations`: kinds of calibration data, each a point of (source, tau, length rule)."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from ssgr.config.base import Name, Strict
from ssgr.config.conventions import MethodName

REFERENCE_LENGTHS = ("solution", "text")


def _tau_key(value: object) -> object:
    """Spell a threshold with two decimals: 0.75 -> "0.75", "0.5..0.99" -> "0.50..0.99"."""
    if value is None or isinstance(value, bool):
        return value
    bounds = str(value).split("..")
    if len(bounds) > 2 or not all(re.fullmatch(r"\d+(\.\d{1,2})?", bound) for bound in bounds):
        raise ValueError(
            f"tau {value!r}: expected a number in 0..1 of at most two decimals, or a band such as "
            "0.50..0.99"
        )
    numbers = [float(bound) for bound in bounds]
    if numbers != sorted(numbers) or not 0 <= numbers[0] <= numbers[-1] <= 1:
        percent = len(numbers) == 1 and 1 < numbers[0] <= 100
        meant = f" (did you mean {numbers[0] / 100:g}?)" if percent else ""
        raise ValueError(f"tau {value!r}: expected 0..1 (a band runs from low to high){meant}")
    return "..".join(f"{number:.2f}" for number in numbers)


Tau = Annotated[str | None, BeforeValidator(_tau_key, json_schema_input_type=float | str | None)]


class Calibration(Strict):
    """A kind of calibration data: one point of the key space."""

    source: Name = Field(description="a name of `sources`")
    tau: Tau = Field(None, description="keep problems with correctness ratio c <= tau, or a band")
    length: str = Field(
        description="which response of a problem is taken: a length rule, solution or text"
    )
    label: str | None = Field(None, description="name in tables and charts; default is the key")
    role: str | None = Field(None, description="the paper's kind of data that it stands for")
    generator: Name | None = Field(
        None, description="model whose responses are taken; default: the model that is pruned"
    )
    verifier: MethodName | None = Field(
        None, description="grading method that says what is correct; default: the source's"
    )
    thinking: bool = Field(True, description="false: a response without its thinking")
    tokens: int | None = Field(None, ge=2, description="instead of budget.tokens")
    seed: int | None = Field(None, ge=0, description="instead of budget.seed: another draw")

    @property
    def is_reference(self) -> bool:
        """Whether this is text that no model generated: reference solutions or documents."""
        return self.length in REFERENCE_LENGTHS

    @model_validator(mode="after")
    def _only_what_means_something(self) -> "Calibration":
        if not self.is_reference and self.tau is None:
            raise ValueError(f"length {self.length!r} needs a tau (1.00 keeps every problem)")
        of_responses = {"generator": None, "tau": None, "thinking": True, "verifier": None}
        given = [name for name, default in of_responses.items() if getattr(self, name) != default]
        for name in given if self.is_reference else ():
            raise ValueError(f"{name} has no meaning for length {self.length!r}: leave it out")
        return self
