"""`run`, and the whole configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ssgr.config.base import Folder, Name, Strict
from ssgr.config.budget import Budget
from ssgr.config.calibrations import Calibration
from ssgr.config.expand import expand
from ssgr.config.experiments import RUN, Experiment, SparsityKey
from ssgr.config.filters import Filters
from ssgr.config.models import Model
from ssgr.config.pool import Pool
from ssgr.config.pruning import Constants, Recipe
from ssgr.config.registry import Benchmark, Source
from ssgr.config.sampling import PoolSampling, Sampling


class Grading(Strict):
    """How answers are judged."""

    time_limit: float = Field(
        5.0,
        gt=0,
        description="seconds of processor time for one verdict; then it counts as timed out",
    )


class Run(Strict):
    """What is run: every combination of these, beside the dense models."""

    models: list[Name] = Field(min_length=1, description="models to prune")
    calibrations: list[Name] | None = Field(None, min_length=1, description="default: every entry")
    benchmarks: list[Name] | None = Field(None, min_length=1, description="default: every entry")
    pruners: list[Name] = Field(
        min_length=1, description="names of `pruners`, or methods: sparsegpt, wanda, ria …"
    )
    sparsities: list[SparsityKey] = Field(
        min_length=1, description="percent, or N:M as '2:4' (N zeros in every M)"
    )


def _without_null(entries: object) -> object:
    """Drop entries that a configuration file took out of another's."""
    if not isinstance(entries, dict):
        return {} if entries is None else entries
    return {name: entry for name, entry in entries.items() if entry is not None}


@dataclass(frozen=True)
class Selection:
    """A part of the key space: every combination of these, beside the dense models."""

    models: list[str]
    calibrations: dict[str, Calibration]
    benchmarks: dict[str, Benchmark]
    pruners: list[str]
    sparsities: list[str]
    seeds: list[int]


class Config(Strict):
    """A whole run."""

    title: str = Field("ssgr", description="headline of the report")
    target: Literal["report", "paper"] = Field(
        "report",
        description="what `snakemake` makes if no target is named: the run's report, or all "
        "experiments on one page",
    )
    results: Folder = Field("results", description="folder of this experiment's files")
    pool: Pool = Field(description="what is sampled of each source, and where it is kept")
    run: Run = Field(description="what is run")
    models: dict[Name, Model] = Field(description="registry of models, by name")
    sources: dict[Name, Source] = Field(description="registry of sources, by name")
    benchmarks: dict[Name, Benchmark] = Field(description="registry of benchmarks, by name")
    calibrations: dict[Name, Calibration] = Field(description="kinds of calibration, by label")
    sampling: PoolSampling = Field(description="how the pool is drawn")
    evaluation: Sampling = Field(description="how checkpoints answer the benchmarks")
    filters: Filters = Field(Filters(), description="which responses are fit to calibrate on")
    budget: Budget = Field(description="how much calibration data a pruner sees")
    grading: Grading = Field(Grading(), description="how answers are judged")
    pruning: Constants = Field(Constants(), description="constants of the pruners")
    pruners: dict[Name, Recipe] = Field(
        {}, description="recipes by name: a `method`, and what differs from `pruning`"
    )
    experiments: Annotated[dict[Name, Experiment], BeforeValidator(_without_null)] = Field(
        {}, description="tables and figures by name, each a target; null takes one out"
    )

    keep_experiments: list[Name] | None = Field(
        None, description="experiments to keep: your own, without those inherited; default: all"
    )

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, data: Any) -> Any:
        return expand(data) if isinstance(data, Mapping) else data

    @model_validator(mode="after")
    def _the_run_is_no_experiment(self) -> "Config":
        if RUN in self.experiments:
            raise ValueError(
                f"experiments.{RUN}: the name is the run's own: call it something else"
            )
        return self

    @model_validator(mode="after")
    def _medians_need_every_response(self) -> "Config":
        if self.filters.min_thinking_share and self.sampling.early_stop:
            raise ValueError(
                "filters.min_thinking_share compares with the median of all responses to a "
                "problem, but sampling.early_stop leaves some undrawn: set sampling.early_stop: "
                "false, or filters.min_thinking_share: 0"
            )
        return self

    @model_validator(mode="after")
    def _checkpoints_can_be_answered_for(self) -> "Config":
        tested = {name for each in self.experiments.values() for name in each.models or ()}
        for name in [*self.run.models, *sorted(tested)]:
            entry = self.models.get(name)
            if entry and (entry.evaluation_engine or entry.engine) == "server":
                raise ValueError(
                    f"models.{name}: a server knows the dense model only: name an "
                    "`evaluation_engine` (transformers or vllm) for the pruned checkpoints"
                )
        return self

    def selection(self, name: str = RUN) -> Selection:
        """Return what an experiment takes of the key space, or the run itself."""
        own, run = self.experiments.get(name), self.run
        calibrations = (own and own.calibrations) or run.calibrations or list(self.calibrations)
        benchmarks = (own and own.benchmarks) or run.benchmarks or list(self.benchmarks)
        return Selection(
            models=(own and own.models) or run.models,
            calibrations={label: self.calibrations[label] for label in calibrations},
            benchmarks={benchmark: self.benchmarks[benchmark] for benchmark in benchmarks},
            pruners=(own and own.pruners) or run.pruners,
            sparsities=(own and own.sparsities) or run.sparsities,
            seeds=(own and own.seeds) or [],
        )

    @property
    def targeted(self) -> tuple[str, ...]:
        """The selections that are made if no target is named: the run, or every experiment."""
        return (RUN,) if self.target == "report" else tuple(self.experiments)

    @property
    def selections(self) -> dict[str, Selection]:
        """The run and every experiment, by name."""
        return {name: self.selection(name) for name in (RUN, *self.experiments)}

    @property
    def run_calibrations(self) -> dict[str, Calibration]:
        """The calibrations of this run, by label, in order."""
        return self.selection().calibrations

    @property
    def run_benchmarks(self) -> dict[str, Benchmark]:
        """The benchmarks of this run, by name, in order."""
        return self.selection().benchmarks

    def recipe(self, name: str) -> Recipe:
        """The recipe that ``run.pruners`` means: an entry of `pruners`, or a bare method."""
        entry = self.pruners.get(name) or Recipe(method=name)
        constants, own = self.pruning.model_dump(), entry.model_dump(exclude_unset=True)
        for part in ("objective", "search"):
            own[part] = constants[part] | own.get(part, {})
        return Recipe.model_validate(constants | own)
