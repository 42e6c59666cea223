"""Responses that one can read: of one problem, the dense model's and the pruned models'.

The problem is not picked by hand. Of those that the dense model solves with its first response, it
is the one whose id comes first under a seeded hash; every model shows its first response.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import polars as pl

from ssgr.config import Config, Model
from ssgr.config.labels import setting_name
from ssgr.jobs import paths
from ssgr.jobs.grid import CHECKPOINT_KEYS, NONE
from ssgr.report.files import locate
from ssgr.storage import tables

LONGEST = 6000
"""Characters shown of each end of a thinking, or of an answer."""


@dataclass(frozen=True)
class Answer:
    """A response. ``thinking`` is None if there is none; ``answer`` is empty if it never came."""

    label: str
    thinking: str | None
    answer: str
    verdict: str
    extracted: str | None
    tokens: int
    finished: bool


@dataclass(frozen=True)
class Sample:
    """One problem of a benchmark with the responses of several checkpoints, the dense one first.

    ``solved`` says whether the dense model solves any problem with its first response.
    """

    model: str
    setting: str
    benchmark: str
    problem_id: str
    question: str
    gold: str | None
    solved: bool
    answers: tuple[Answer, ...]

    def called(self, names: Mapping[str, str]) -> "Sample":
        """Return the same with other labels."""
        answers = (replace(one, label=names.get(one.label, one.label)) for one in self.answers)
        return replace(self, answers=tuple(answers))


def samples(
    results: Path, config: Config, points: pl.DataFrame, benchmarks: Sequence[str], seed: int = 0
) -> list[Sample]:
    """Return one problem per benchmark, answered by the dense model and by the pruned ones.

    Args:
        results: folder of the experiment, with ``scores`` and ``problems``.
        config: what was run.
        points: as of ``ssgr.jobs.grid.points``. Of the pruned ones those of the first model, pruner
            and sparsity are shown.
        benchmarks: names; one that is confidential is left out.
        seed: another seed, other problems.

    Raises:
        ReportError: a wanted table does not exist; names its keys.
        TableError: a wanted table is truncated or of another schema.
    """
    shown = _one_setting(points)
    open_ones = [name for name in benchmarks if not config.benchmarks[name].is_confidential]
    if shown.is_empty():
        return []
    return [_sample(results, config, shown, name, seed) for name in open_ones]


def confidential(config: Config, benchmarks: Iterable[str]) -> list[str]:
    """Return the displayed names of the benchmarks of which nothing may be shown."""
    entries = {name: config.benchmarks[name] for name in benchmarks}
    return [entry.label or name for name, entry in entries.items() if entry.is_confidential]


def _one_setting(points: pl.DataFrame) -> pl.DataFrame:
    """The dense model and what is pruned from it in the first of the settings."""
    keys = ("model", "pruner", "sparsity")
    first = points.filter(pl.col("pruner") != NONE).select(keys).head(1)
    dense = points.filter(pl.col("pruner") == NONE).join(first, on="model", how="semi")
    return pl.concat([dense, points.join(first, on=keys, how="semi", maintain_order="left")])


def _sample(
    results: Path, config: Config, shown: pl.DataFrame, benchmark: str, seed: int
) -> Sample:
    wanted = shown.select(*CHECKPOINT_KEYS, benchmark=pl.lit(benchmark))
    grades = [
        tables.read(path, tables.Grades).filter(sample=0)
        for path in locate(results / "scores", "grades.parquet", wanted)
    ]
    solved = grades[0].filter("correct")
    names = (solved if len(solved) else grades[0])["problem_id"]
    problem_id = min(names, key=lambda name: blake2b(f"{seed} {name}".encode()).digest())
    problems = results / paths.BENCHMARK.format(benchmark=benchmark)
    problem = tables.read(problems, tables.Problems).row(
        by_predicate=pl.col("problem_id") == problem_id, named=True
    )
    model = config.models[shown["model"][0]]
    responses = locate(results / "scores", "responses.parquet", wanted)
    return Sample(
        model=shown["model"][0],
        setting=setting_name(shown["pruner"][-1], shown["sparsity"][-1]),
        benchmark=config.benchmarks[benchmark].label or benchmark,
        problem_id=problem_id,
        question=problem["question"],
        gold=problem["answer"],
        solved=len(solved) > 0,
        answers=tuple(
            _answer(label, path, table, problem_id, model)
            for label, path, table in zip(shown["label"], responses, grades, strict=True)
        ),
    )


def _answer(
    label: str, responses: Path, grades: pl.DataFrame, problem_id: str, model: Model
) -> Answer:
    own = (pl.col("problem_id") == problem_id) & (pl.col("sample") == 0)
    response = tables.read(responses, tables.Responses).row(by_predicate=own, named=True)
    grade = grades.row(by_predicate=own, named=True)
    thinking, answer = parted(response["text"], model, finished=grade["finished"])
    return Answer(
        label=label,
        thinking=None if thinking is None else cut(thinking),
        answer=cut(answer),
        verdict=str(grade["verdict"]),
        extracted=grade["extracted"],
        tokens=grade["tokens"],
        finished=grade["finished"],
    )


def parted(text: str, model: Model, *, finished: bool) -> tuple[str | None, str]:
    """Return the thinking of a response, None if there is none, and the answer after it.

    A response that was cut off before its thinking ended is all thinking.
    """
    thinking, tag, answer = text.rpartition(model.think_close) if model.think_close else ("",) * 3
    if not tag and (finished or not model.think_close):
        return None, text.strip()
    thought = (thinking if tag else text).strip().removeprefix(model.think_open or "")
    return thought.strip() or None, answer.strip() if tag else ""


def cut(text: str) -> str:
    """Return a text as it can be shown: its two ends if it is long, no control characters."""
    left_out = len(text) - 2 * LONGEST
    if left_out > 0:
        text = f"{text[:LONGEST]}\n[… {left_out:,} characters …]\n{text[-LONGEST:]}"
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)
