"""A run: how responses are drawn and selected, what is pruned, and all of it together."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ssgr.config.base import Folder, Name, Strict
from ssgr.config.conventions import MethodName
from ssgr.config.expand import expand
from ssgr.config.experiments import RUN, Experiment, SparsityKey
from ssgr.config.models import Model
from ssgr.config.pruning import Constants, Recipe
from ssgr.config.registry import Benchmark, Source

REFERENCE_LENGTHS = ("solution", "text")


class Sampling(Strict):
    """How responses are drawn; spelled out in the path, so that a pool never mixes two."""

    n: int = Field(16, ge=1, description="responses per problem")
    temperature: float = Field(0.6, ge=0, description="softmax temperature; 0 is greedy")
    top_p: float = Field(0.95, gt=0, le=1, description="nucleus probability mass")
    max_tokens: int = Field(32768, ge=1, description="longest response, in tokens")
    seed: int = Field(0, ge=0, description="seed of all draws")

    @property
    def key(self) -> str:
        """The sampling as a path component, e.g. ``n16-t0.60-p0.95-l32768-s0``."""
        return (
            f"n{self.n}-t{self.temperature:.2f}-p{self.top_p:.2f}-l{self.max_tokens}-s{self.seed}"
        )

    @model_validator(mode="after")
    def _two_decimals(self) -> "Sampling":
        """The path spells two decimals: a third would let two samplings share a folder."""
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if round(value, 2) != value:
                raise ValueError(f"{name} {value} has more than two decimals")
        return self


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


class PoolSampling(Sampling):
    """How the pool is drawn: a sampling, and whether it may stop early."""

    early_stop: bool = Field(
        True,
        description="draw no response that cannot change a selection (section 4: c > tau is "
        "certain); the selected sets are the same. false draws all n, for statistics of c",
    )

    @property
    def drawn(self) -> Sampling:
        """The sampling parameters without `early_stop`."""
        return Sampling(**self.model_dump(exclude={"early_stop"}))


class Filters(Strict):
    """Which responses are fit to calibrate on (section 4: repetitive, no reasoning, wrong format).

    The measures are columns of the grades; changing a threshold grades nothing again.
    """

    max_rep_20: float = Field(0.2, ge=0, le=1, description="highest share of repeated 20-grams")
    max_loop_share: float = Field(0.2, ge=0, le=1, description="highest share of a looping suffix")
    require_finished: bool = Field(True, description="drop truncated responses")
    require_closed: bool = Field(
        True, description="drop responses without the closing think tag, if the model has one"
    )
    require_thinking: bool = Field(
        True,
        description="drop responses whose thinking is missing or empty, also if there is an answer",
    )
    min_thinking_share: float = Field(
        0,
        ge=0,
        le=1,
        description="shortest thinking, as a share of the median of its problem's responses; "
        "above 0 it needs all n of them: sampling.early_stop: false",
    )
    require_answer: bool = Field(
        True, description="drop responses without a well-formed answer (a box, a choice letter)"
    )
    max_different_boxes: int | None = Field(
        1,
        ge=1,
        description="most boxes with different contents after the thinking; null: any number",
    )
    max_tokens_after_end: int | None = Field(
        0, ge=0, description="most tokens after the first end token; null: any number"
    )
    max_tokens_after_box: int | None = Field(
        None,
        ge=0,
        description="most tokens after the last box (estimated by characters); null: any number",
    )


class Budget(Strict):
    """How much calibration data a pruner sees."""

    sequences: int = Field(128, ge=1, description="calibration sequences")
    tokens: int = Field(16384, ge=2, description="l of Equation 1: longest sequence, in tokens")
    seed: int = Field(0, ge=0, description="seed of the draw among the candidates")
    allow_fewer: bool = Field(False, description="go on when fewer candidates are left")
    held_back: int = Field(
        4,
        ge=0,
        description="further sequences, if there are any, that calibrate nothing: the report's "
        "perplexity before and after pruning is theirs",
    )

    @property
    def drawn(self) -> int:
        """Sequences drawn in all: first those that calibrate, then those held back."""
        return self.sequences + self.held_back

    @property
    def key(self) -> str:
        """The budget as a path component, e.g. ``128x16384-s0``."""
        return f"{self.sequences}x{self.tokens}-s{self.seed}"

    def of_key(self, key: str) -> "Budget":
        """Return this budget with what a path component says."""
        sequences, tokens, seed = map(int, re.split("x|-s", key))
        return self.model_copy(update={"sequences": sequences, "tokens": tokens, "seed": seed})

    def of_calibration(self, entry: Calibration) -> "Budget":
        """Return this budget with what a kind of calibration has of its own."""
        own = {"tokens": entry.tokens, "seed": entry.seed}
        return self.model_copy(update={k: v for k, v in own.items() if v is not None})


class Pool(Strict):
    """How far a source is sampled, and in what shards.

    Problems are visited in their seeded order, a wave of shards at a time, until every
    calibration has its budget, and no further.
    """

    path: Folder = Field("pool", description="folder shared between experiments and users")
    extend: Folder | None = Field(
        None,
        description="a folder of one's own, where `path` may not be written, or shall not be: it "
        "takes over by links what `path` holds, and what is sampled and graded beyond goes there",
    )
    problems: int | None = Field(
        None, ge=1, description="visit at most so many problems of a source; default: all of them"
    )
    shard_size: int = Field(
        64, ge=1, description="problems in one shard (one job); names the shards, so keep it"
    )
    wave: int = Field(4, ge=1, description="shards sampled before looking whether more are needed")
    give_up: int = Field(
        8,
        ge=1,
        description="waves without a single candidate after which a calibration is given up: a "
        "verifier or a band that fits nothing would visit the whole source",
    )

    @property
    def folder(self) -> str:
        """The pool that is used and grows: `extend` if it is set, else `path`."""
        return self.extend or self.path

    @property
    def base(self) -> str | None:
        """The pool that is only read, if another extends it."""
        return self.path if self.extend else None

    @model_validator(mode="after")
    def _apart(self) -> "Pool":
        if self.extend and os.path.abspath(self.extend) == os.path.abspath(self.path):
            raise ValueError(
                f"extend {self.extend} is the pool itself: name another folder, or leave it out"
            )
        return self


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
