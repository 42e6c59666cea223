"""Experiments as data: which points of the key space a table or figure shows, and how."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from ssgr.config.base import Name, Strict
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ConfigError

RUN = "run"
"""The name of the run itself among the selections."""


def _sparsity_key(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"sparsity {value!r}: expected a percentage, or N:M as in '2:4'")
    try:
        return Sparsity.parse(value).key
    except ConfigError as error:
        raise ValueError(str(error)) from error


SparsityKey = Annotated[str, BeforeValidator(_sparsity_key, json_schema_input_type=float | str)]


class Experiment(Strict):
    """A table or figure, and a target: `snakemake NAME`. What is left out is the run's."""

    title: str = Field(description="caption")
    kind: Literal["table", "figure"] = Field("table", description="what the paper shows it as")
    models: list[Name] | None = Field(None, min_length=1, description="names of `models`")
    calibrations: list[Name] | None = Field(
        None, min_length=1, description="names of `calibrations`"
    )
    benchmarks: list[Name] | None = Field(None, min_length=1, description="names of `benchmarks`")
    pruners: list[Name] | None = Field(
        None, min_length=1, description="names of `pruners`, or methods"
    )
    sparsities: list[SparsityKey] | None = Field(None, min_length=1, description="as in `run`")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [], description="draws of each calibration set, averaged; default: budget.seed alone"
    )
    columns: Literal["benchmark", "calibration", "model", "pruner", "sparsity"] = Field(
        "benchmark", description="the axis that runs across; all others that vary make rows"
    )
    average: Literal[True, False, "only"] = Field(
        True, description="AVG beside the columns; only: AVG and no single benchmark"
    )
    measure: Literal["pass@1", "response_tokens"] = Field(
        "pass@1", description="what is shown: accuracy, or the mean length of responses in tokens"
    )
    beside: list[Literal["calibration_tokens", "cost"]] = Field(
        [],
        description="further columns: mean tokens of a calibration sequence; what the calibration "
        "cost to sample",
    )
    best_of: dict[str, list[Name]] = Field(
        {}, description="rows that take the best of several calibrations on each benchmark"
    )
    dense: bool = Field(True, description="show the dense model")
    against: Name | None = Field(
        None, description="calibration that differences are taken against; default: the best"
    )
    published: str | None = Field(
        None, description="published numbers beside ours: a name in resources/published.csv, or "
        "FILE.csv#NAME"
    )  # fmt: skip
    reading: str | None = Field(
        None, description="how the source is read where it is silent; shown below"
    )

    @model_validator(mode="after")
    def _average_alone_needs_another_axis(self) -> "Experiment":
        if self.average == "only" and self.columns == "benchmark":
            raise ValueError("average: only leaves no benchmark to be `columns`: name another axis")
        if self.columns != "benchmark" and self.average != "only":
            raise ValueError(f"columns: {self.columns} shows one number a cell: average: only")
        return self
