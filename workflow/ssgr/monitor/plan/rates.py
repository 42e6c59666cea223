"""What earlier work has measured: rates out of a pool's receipts and an experiment's job times.

Every rate comes with its basis in words, and a rate that nothing has measured is None: what a plan
puts in its place, if anything, is marked as estimated.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ssgr.config import Budget, Filters, Sampling
from ssgr.jobs import paths
from ssgr.selection.early_stop import Demand, settled
from ssgr.selection.rules import tally
from ssgr.storage.tables import Grades, Scores, read

GRADED_PARTS = 64
"""Parts whose grades are read for the share of problems retained: thousands of problems."""

COSTS: dict[str, type[pl.DataType]] = {
    "stage": pl.String,
    **dict.fromkeys(("model", "source", "pruner", "benchmark"), pl.String),
    "seconds": pl.Float64,
}
"""Columns of :func:`costs`."""


@dataclass(frozen=True)
class Rate:
    """A number, or an upper bound of it, and where it comes from; None: not known yet.

    ``estimated`` is what no work has measured: arithmetic over a model's size and a kind of GPU.
    """

    value: float | None
    basis: str
    at_most: bool = False
    estimated: bool = False

    def times(self, factor: float | None) -> "Rate":
        """Multiply by a number that needs no basis; None is not known yet."""
        return self.by(Rate(factor, ""))

    def by(self, other: "Rate") -> "Rate":
        """Multiply: 0 of something costs nothing, whatever the price."""
        if 0 in (self.value, other.value):
            return Rate(0, "")
        basis = "; ".join(filter(None, (self.basis, other.basis)))
        unknown = self.value is None or other.value is None
        value = None if unknown else (self.value or 0) * (other.value or 0)
        bounds = self.at_most or other.at_most, self.estimated or other.estimated
        return Rate(value, basis, *bounds)

    def over(self, other: "Rate") -> "Rate":
        """Divide by a positive rate."""
        inverse = 1 / other.value if other.value else None
        return self.by(Rate(inverse, other.basis, estimated=other.estimated))


def of_length(parts: pl.DataFrame, max_tokens: int) -> pl.DataFrame:
    """Return the parts drawn with this longest response."""
    return parts.filter(pl.col("sampling").str.contains(f"-l{max_tokens}-", literal=True))


def tokens_per_response(
    parts: pl.DataFrame, model: str, source: str | None, sampling: Sampling
) -> Rate:
    """Return the mean length of a response of a model; at most what the sampling allows.

    Args:
        parts: as `ssgr.pool.inventory.parts` returns them.
        model: whose responses.
        source: to whose problems; None for a benchmark's, which no pool holds.
        sampling: how they will be drawn.
    """
    of_model = parts.filter(model=model)
    near = of_model.filter(source=source, sampling=sampling.key) if source else of_model.clear()
    for found, name in (
        (near, "this pool"),
        (of_length(of_model, sampling.max_tokens), "the model's other pools"),
        (of_model, "the model's pools of other lengths"),
    ):
        if rows := _sum(found["rows"]):
            mean = _sum(found["tokens"]) / rows
            if mean < sampling.max_tokens:
                return Rate(mean, f"{mean:,.0f} tokens/response in {name}")
    return Rate(sampling.max_tokens, f"at most {sampling.max_tokens:,} tokens/response", True)


def responses_per_problem(
    parts: pl.DataFrame, model: str, source: str, sampling: Sampling, early_stop: bool
) -> Rate:
    """Return how many responses of a problem are drawn: n, or fewer with early stop."""
    if not early_stop:
        return Rate(sampling.n, f"{sampling.n} responses/problem")
    of_n = parts.filter(pl.col("sampling").str.starts_with(f"n{sampling.n}-"), model=model)
    for found, name in (
        (of_n.filter(source=source, sampling=sampling.key), "this pool"),
        (of_n, "the model's other pools"),
    ):
        shards = found.group_by("source", "sampling", "shard").agg(pl.max("problems"))
        if problems := _sum(shards["problems"]):
            mean = _sum(found["rows"]) / problems
            return Rate(mean, f"{mean:.3g} responses/problem in {name}")
    return Rate(sampling.n, f"at most {sampling.n} responses/problem", True)


def throughput(parts: pl.DataFrame, model: str, max_tokens: int, gpus: int) -> Rate:
    """Return tokens a second of one GPU, or of a job without one if ``gpus`` is 0.

    Of a part that went on from a journal, the tokens of the responses drawn since.
    """
    on_gpu = pl.col("gpus") > 0
    since = pl.col("tokens") * (1 - pl.col("resumed") / pl.col("rows"))
    of_model = parts.filter(on_gpu if gpus else ~on_gpu, model=model).with_columns(tokens=since)
    for found, name in (
        (of_length(of_model, max_tokens), ""),
        (of_model, " at other lengths"),
    ):
        seconds = _sum(found["seconds"] * found["gpus"].clip(1))
        if seconds and (tokens := _sum(found["tokens"])):
            speed, device = tokens / seconds, "GPU" if gpus else "job"
            shown = f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"
            return Rate(speed, f"{shown} tokens/s a {device}{name}")
    return Rate(None, "throughput not known yet")


def retention(
    graded: Sequence[Path], demand: Demand, filters: Filters, budget: Budget, n: int
) -> Rate:
    """Return the share of problems that a calibration retains, of graded parts.

    Args:
        graded: Grades tables, a shard's parts side by side; the first GRADED_PARTS are read.
        demand: the calibration's threshold and length rule.
        filters: quality thresholds.
        budget: sequences and tokens wanted.
        n: responses that a full pool has of each problem.

    Raises:
        TableError: a table cannot be read.
    """
    unknown = Rate(None, "share retained not known yet")
    if not graded:
        return unknown
    rows = pl.concat([read(path, Grades) for path in graded[:GRADED_PARTS]])
    known = settled(rows, demand, filters, n)
    counts = tally(known, demand.length, demand.tau, filters, budget, n).counts["problems"]
    if not counts[0]:  # all of them were stopped early for another calibration
        return unknown
    if not counts[-1]:
        return Rate(None, f"none of {counts[0]:,} problems is retained so far")
    share = counts[-1] / counts[0]
    return Rate(share, f"{share:.1%} of {counts[0]:,} problems retained")


def costs(results: Path) -> pl.DataFrame:
    """Return the wall seconds of an experiment's finished jobs: the COSTS columns.

    They are Snakemake's benchmark files, ``{results}/benchmarks/{stage}/key=value/….tsv``.
    """
    rows = list(_costs(results / "benchmarks"))
    return pl.DataFrame(rows, schema=COSTS, orient="row")


def _costs(top: Path) -> Iterator[tuple[object, ...]]:
    for path in sorted(top.glob("*/**/*.tsv")):
        inside = path.relative_to(top).with_suffix("")
        keys = dict(re.findall(r"(?:^|/)([a-z]+)=([^/]+)", inside.as_posix()))
        names, *values = (line.split("\t") for line in path.read_text().splitlines()[:2])
        measured = dict(zip(names, values[0], strict=False)) if values else {}
        try:
            seconds = float(measured["s"])
        except (KeyError, ValueError):  # a job that Snakemake could not measure
            continue
        yield (inside.parts[0], *(keys.get(name) for name in list(COSTS)[1:-1]), seconds)


def seconds_per_job(costs: pl.DataFrame, stage: str, levels: Sequence[Mapping[str, str]]) -> Rate:
    """Return the mean wall seconds of a stage's jobs, at the first level that has some."""
    for level in levels:
        found = costs.filter(pl.col("stage") == stage, **level)["seconds"]
        if len(found):
            mean = _sum(found) / len(found)
            return Rate(mean, f"{mean:,.1f} s/job, {len(found)} of {_spoken(level)}")
    return Rate(None, "seconds/job not known yet")


def _spoken(level: Mapping[str, str]) -> str:
    return " ".join(level.values()) or "all"


def answer_length(
    results: Path, parts: pl.DataFrame, model: str, benchmark: str, sampling: Sampling
) -> Rate:
    """Return the mean length of a model's answers to a benchmark, of checkpoints scored so far.

    Raises:
        TableError: a Scores table cannot be read.
    """
    pattern = paths.any_of(paths.OUTPUTS["score"], model=model, benchmark=benchmark)
    found = [read(path, Scores) for path in sorted(results.glob(pattern))]
    if not found:
        return tokens_per_response(parts, model, None, sampling)
    scores = pl.concat(found)
    mean = _sum(scores["mean_tokens"] * scores["responses"]) / _sum(scores["responses"])
    return Rate(mean, f"{mean:,.0f} tokens/response of {len(found)} checkpoints scored")


def _sum(numbers: pl.Series) -> float:
    return float(numbers.sum())
