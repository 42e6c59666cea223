"""The spec of every job: what decides what it makes, as JSON.

A rule has one param, its job's spec, and hands it to its command as ``--spec``; what only executes
the job is a resource. It is a function of the wildcards alone: Snakemake (9.27) does not compare
params that are functions of a job's input or output. A spec holds the command's own flags by name,
and under ``made_with`` digests of what the job rests on besides: the code, a model's weights, the
files of a problem set.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

from pydantic import BaseModel

from ssgr import problems
from ssgr.config import RUN, Config, Model, narrowed
from ssgr.config.conventions import MethodName
from ssgr.grading.spec import Judging
from ssgr.jobs import grid, paths
from ssgr.jobs.grid import NONE
from ssgr.jobs.listing import audited, graded, results, tally_before, visited_of_pool
from ssgr.pool.store import SOURCE_OF_MODEL, turns_set
from ssgr.pruning import modules_of, name_of
from ssgr.selection.early_stop import Needs
from ssgr.selection.length_rules import LENGTH_RULES, module_of
from ssgr.storage.provenance import SAMPLING_VERSION, code_digest

Keys = Mapping[str, str]
"""A job's wildcards."""
Spec = dict[str, Any]
REPORT = ("ssgr.report", "ssgr.report.write")
"""Its code, and as a package its templates and styles."""
SAMPLED_BY = SOURCE_OF_MODEL | {"engine", "prompt"}


def source_of_model(model: Model) -> Spec:
    """Return where a model comes from: what pruning and tokenizing depend on."""
    return model.model_dump(mode="json", include=SOURCE_OF_MODEL)


def model_asked(model: Model) -> Spec:
    """Return where a model comes from and how it is asked: what a pool depends on."""
    return model.model_dump(mode="json", include=SAMPLED_BY | turns_set(model))


def model_rendered(model: Model) -> Spec:
    """Return where a model comes from and how its prompts and its thinking read.

    What a calibration set depends on whose responses are rendered again: without their thinking,
    or for another model than generated them.
    """
    told = {"prompt", "think_open", "think_close"} | turns_set(model)
    told |= {"no_thinking_kwargs"} if model.no_thinking_kwargs is not None else set()
    return model.model_dump(mode="json", include=SOURCE_OF_MODEL | told)


def model_pruned(model: Model) -> Spec:
    """Return where a model comes from, and the tag that an objective may look for."""
    return model.model_dump(mode="json", include=SOURCE_OF_MODEL | {"think_close"})


class Specs:
    """The specs of a configuration's jobs: a method for each rule, of its wildcards."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.pool = config.pool.folder

    def made(self, pattern: str, wildcards: Keys) -> str:
        """Return a path of the run."""
        return f"{self.config.results}/{pattern.format(**wildcards)}"

    def all_made(self, found: Iterable[str]) -> list[str]:
        """Return paths of the run."""
        return [f"{self.config.results}/{path}" for path in found]

    def visited(self, wildcards: Keys) -> list[str]:
        """Return what the run's calibrations visited of a model's responses to a source."""
        pool = wildcards["model"], wildcards["source"]
        return self.all_made(visited_of_pool(self.config, *pool))

    # problems

    def source_problems(self, wildcards: Keys) -> str:
        """Where a source's problems come from, and what they are kept apart from."""
        entry = self.config.sources[wildcards["source"]]
        return spec(
            data=entry.data,
            dropped=self.made(paths.DROPPED, wildcards),
            apart_from={
                name: self.made(paths.BENCHMARK, {"benchmark": name}) for name in entry.apart_from
            },
            overlap=entry.overlap,
            rests_on={"contents": problems.contents(entry.data)},
            code=("ssgr.problems", "ssgr.problems.apart"),
        )

    def benchmark_problems(self, wildcards: Keys) -> str:
        """Where a benchmark's problems come from."""
        data = self.config.benchmarks[wildcards["benchmark"]].data
        contents = problems.contents(data)
        return spec(data=data, rests_on={"contents": contents}, code=("ssgr.problems",))

    # the pool

    def sample(self, wildcards: Keys) -> str:
        """A shard of the pool: the model, how it is sampled, and which responses are required."""
        entry = self.config.models[wildcards["model"]]
        source = self.config.sources[wildcards["source"]]
        return spec(
            pool=self.pool,
            shard=self.shard(wildcards),
            **rows(wildcards),
            model=model_asked(entry),
            sampling=self.config.sampling.drawn,
            needs=self.needs(wildcards["source"]),
            judging=self.judging(wildcards["model"], wildcards["source"]),
            rests_on=sampled(entry)
            | source.model_dump(mode="json", include={"data", "apart_from", "overlap"}),
        )

    def grade(self, wildcards: Keys) -> str:
        """How a shard's responses are judged; the grader is part of the folder's name."""
        judging = self.judging(
            wildcards["model"], wildcards["source"], cast(MethodName, wildcards["verifier"])
        )
        grades = paths.POOL_GRADES.format(**wildcards, grader=judging.digest)
        return spec(
            pool=self.pool, grades=f"{self.pool}/{grades}", judging=judging, **rows(wildcards)
        )

    def shard(self, wildcards: Keys) -> str:
        """Return a shard's file in the pool."""
        return f"{self.pool}/{paths.POOL_RESPONSES.format(**wildcards)}"

    def judging(self, model: str, source: str, method: MethodName | None = None) -> Judging:
        """Return how a model's responses to a source are judged: by its method, or another."""
        return grid.judging(self.config, model, self.config.sources[source], method)

    def needs(self, source: str) -> Needs:
        """Return what the run and all experiments require of a source's pool."""
        return grid.needs_of(self.config, source)

    # calibration

    def tally(self, wildcards: Keys) -> str:
        """What a calibration point looks for, and the graded shards of a wave."""
        sampling, before = self.config.sampling, tally_before(wildcards)
        return spec(
            **self.rule_of(wildcards),
            tau=wildcards["tau"],
            filters=self.config.filters,
            samples=sampling.n,
            early_stop=sampling.early_stop,
            pool=self.pool,
            graded=self.all_made(graded(self.config, wildcards)),
            before=before and f"{self.config.results}/{before}",
            code=(
                "ssgr.selection.rules",
                "ssgr.selection.early_stop",
                *length_rule(wildcards["length"]),
            ),
        )

    def select(self, wildcards: Keys) -> str:
        """What is selected from; the conversion counts only where there is one."""
        generator = wildcards["generator"]
        another = generator not in (NONE, wildcards["model"])
        thinking = wildcards["thinking"] != "dropped"
        as_drawn = thinking and not another
        entry = self.config.models[wildcards["model"]]
        own: Spec = {}
        if wildcards["length"] == "solution":
            source = self.config.sources[wildcards["source"]]
            own["solution_template"] = source.solution_template
        if another:
            own["generator"] = model_rendered(self.config.models[generator])
        return spec(
            **self.rule_of(wildcards),
            **own,
            thinking=thinking,
            model=source_of_model(entry) if as_drawn else model_rendered(entry),
            pool=self.pool,
            rests_on={"weights": grid.weights(entry)},
            code=(
                "ssgr.selection.rules",
                "ssgr.selection.calibration",
                "ssgr.sampling.prompts",
                *([] if as_drawn else ["ssgr.sampling.rendering"]),
                *length_rule(wildcards["length"]),
            ),
        )

    def rule_of(self, wildcards: Keys) -> Spec:
        """Return a calibration point's length rule and budget."""
        budget = self.config.budget.of_key(wildcards["budget"])
        return {"length": wildcards["length"], "budget": budget}

    # pruning

    def prune(self, wildcards: Keys) -> str:
        """The recipe and its calibration set; of a pruner of the user's own the name only."""
        recipe = self.config.recipe(wildcards["pruner"])
        entry = self.config.models[wildcards["model"]]
        sets: Spec = {}
        if wildcards["source"] != NONE:
            folder = self.made(paths.CALIBRATION, wildcards)
            sets["calibration"] = f"{folder}/{paths.CALIBRATED}"
            sets["held_back"] = f"{folder}/{paths.HELD_BACK}"
        return spec(
            **sets,
            model=model_pruned(entry),
            pruner=name_of(recipe.method),
            sparsity=wildcards["sparsity"],
            settings=recipe.model_dump(mode="json", exclude={"method"}),
            rests_on={"weights": grid.weights(entry)},
            code=modules_of(recipe),
        )

    # evaluation

    def sample_benchmark(self, wildcards: Keys) -> str:
        """Who answers a benchmark, and how it is asked."""
        entry = self.config.models[wildcards["model"]]
        benchmark = self.config.benchmarks[wildcards["benchmark"]]
        dense = wildcards["pruner"] == NONE
        return spec(
            model=model_asked(benchmark.asked_of(entry.for_evaluation())),
            sampling=self.config.evaluation,
            checkpoint=None if dense else self.made(paths.CHECKPOINT, wildcards),
            rests_on=sampled(entry),
        )

    def grade_benchmark(self, wildcards: Keys) -> str:
        """How answers to a benchmark are judged."""
        benchmark = self.config.benchmarks[wildcards["benchmark"]]
        judging = grid.judging(self.config, wildcards["model"], benchmark)
        return spec(judging=judging, code=("ssgr.grading", "ssgr.grading.quality"))

    def score(self, wildcards: Keys) -> str:
        """How grades become scores: by this code."""
        return spec(code=("ssgr.evaluation.scores",))

    # pages

    def report(self, wildcards: Keys) -> str:
        """What the run rests on, and the graded shards that it visited."""
        config = narrowed(self.config, RUN)
        visited = self.all_made(results(self.config, RUN)["visited"])
        return spec(config=config, visited=visited, code=REPORT)

    def experiment(self, wildcards: Keys) -> str:
        """What a table or figure rests on."""
        return spec(
            config=narrowed(self.config, wildcards["experiment"]),
            name=wildcards["experiment"],
            code=("ssgr.commands.experiment", *REPORT),
        )

    def paper_page(self, wildcards: Keys) -> str:
        """What all experiments rest on."""
        return spec(
            config=narrowed(self.config, *self.config.experiments),
            code=("ssgr.commands.experiment", *REPORT, "ssgr.report.paper"),
        )

    def plan(self, wildcards: Keys) -> str:
        """The whole configuration."""
        return spec(config=self.config)

    # verification

    def verdicts(self, wildcards: Keys) -> str:
        """The responses that calibrations visited, and how the run judges them."""
        return spec(
            pool=self.pool,
            visited=self.visited(wildcards),
            judging=self.judging(wildcards["model"], wildcards["source"]),
            rests_on={"needs": self.needs(wildcards["source"]).model_dump(mode="json")},
            code=("ssgr.verification.agreement.verdicts",),
        )

    def verification(self, wildcards: Keys) -> str:
        """The verdicts of all pools of the run, and what its calibrations visited."""
        agreement = "ssgr.verification.agreement"
        files: Spec = {kind: self.all_made(found) for kind, found in audited(self.config).items()}
        return spec(
            config=narrowed(self.config, RUN),
            **files,
            code=(agreement, f"{agreement}.page", f"{agreement}.gather", *REPORT),
        )

    def hand_check_page(self, wildcards: Keys) -> str:
        """The responses that calibrations visited, and what the page is called."""
        page = "ssgr.verification.hand_check"
        return spec(
            pool=self.pool,
            visited=self.visited(wildcards),
            title=f"{wildcards['model']} on {wildcards['source']}",
            code=(page, f"{page}.page"),
        )


def spec(code: Iterable[str] = (), rests_on: Spec | None = None, **flags: Any) -> str:
    """Return a job's spec.

    Args:
        code: modules whose code decides what the job makes.
        rests_on: what else does, and is no flag of the command.
        flags: of the job's command; one that is None is left to its default.
    """
    made_with = {**(rests_on or {}), **({"code": code_of(*code)} if code else {})}
    return json.dumps(
        {name: _plain(value) for name, value in flags.items() if value is not None}
        | ({"made_with": made_with} if made_with else {})
    )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


@cache
def code_of(*modules: str) -> str:
    """Return the digest of modules' code: taken once, not once a job."""
    return code_digest(*modules)


def sampled(entry: Model) -> Spec:
    """Return what responses rest on besides how a model is asked."""
    return {"weights": grid.weights(entry), "version": f"sampling version {SAMPLING_VERSION}"}


def rows(wildcards: Keys) -> Spec:
    """Return the rows of the source's problems that a shard holds."""
    first, last = wildcards["shard"].split("-")
    return {"first": int(first), "last": int(last)}


def length_rule(name: str) -> list[str]:
    """Return the module of a length rule; references and text have none."""
    return [module_of(name)] if name in LENGTH_RULES else []
