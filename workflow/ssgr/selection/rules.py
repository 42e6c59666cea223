"""Selection: which problems are kept and which response of each calibrates the pruner (section 4).

A problem with n responses, k of them correct, is kept if c = k/n <= tau. Incorrect responses are
dropped, then low-quality ones, and a length rule takes one of the rest. All is decided on the
grades; the responses' tokens are read for the chosen rows alone.
"""

from dataclasses import dataclass
from hashlib import blake2b
from random import Random

import polars as pl

from ssgr.config import Budget, Filters
from ssgr.errors import SelectionError
from ssgr.selection.filters import quality
from ssgr.selection.length_rules import AMONG, LENGTH_RULES, LengthRule

MARGIN = 1e-9
"""For comparing a ratio with a threshold of two decimals."""
MORE_PROBLEMS = (
    "Sample more problems (raise pool.problems, or name a larger source anew), relax tau or the "
    "filters"
)


@dataclass(frozen=True)
class Tally:
    """What a part of a pool offers to a selection.

    ``candidates``: one response of each problem that is left, with the columns of the graded rows,
    correctness_ratio and ``order`` (the place in the draw, by which they are sorted); at most
    budget.drawn. ``counts``: the Funnel columns, of all problems seen.
    """

    candidates: pl.DataFrame
    counts: pl.DataFrame


def tally(
    graded: pl.DataFrame,
    length: str,
    tau: str,
    filters: Filters,
    budget: Budget,
    n: int | None = None,
) -> Tally:
    """Apply the steps of a selection to a part of a pool.

    Args:
        graded: Grades columns: of each problem all responses that were drawn, or a prefix that
            settles it (see `ssgr.selection.early_stop`).
        length: name of a length rule.
        tau: ``0.75``, or a band ``0.50..0.99`` of the correctness ratio, ends included.
        filters: quality thresholds.
        budget: sequences wanted, tokens l of each, and the seed of the draw.
        n: responses of a full pool to each problem; a problem with fewer has no correctness_ratio.
    """
    low, high = band(tau)
    pool = graded.with_columns(
        correctness_ratio=(pl.col("verdict") == "correct").mean().over("problem_id"),
        drawn=pl.len().over("problem_id"),
        passes=quality(filters),
    )
    hard = pool.filter(pl.col("correctness_ratio").is_between(low - MARGIN, high + MARGIN))
    judged = hard.filter(pl.col("verdict") == AMONG[length])
    passing = judged.filter("passes")
    candidates = _apply(LENGTH_RULES[length], passing, budget)
    steps = {
        "pool": pool,
        f"c within {tau}" if ".." in tau else f"c <= {tau}": hard,
        AMONG[length]: judged,
        "good quality": passing,
        f"length rule: {length}": candidates,
    }
    counts = funnel({k: (table["problem_id"].n_unique(), len(table)) for k, table in steps.items()})
    if n is not None:
        known = pl.when(pl.col("drawn") >= n).then("correctness_ratio")
        candidates = candidates.with_columns(known.alias("correctness_ratio"))
    return Tally(draw(candidates.drop("drawn", "passes"), budget), counts)


def merge(first: Tally, second: Tally, budget: Budget) -> Tally:
    """Join the tallies of two parts of a pool, which share no problem.

    What the draw takes of a union is among what it takes of the parts, so memory stays flat.
    """
    columns = first.candidates.columns
    both = pl.concat([first.candidates, second.candidates.select(columns)]).drop("order")
    steps = pl.concat([first.counts, second.counts]).group_by("step", maintain_order=True)
    counts = steps.agg(pl.col("problems", "responses").sum())
    return Tally(draw(both, budget).select(columns), counts)


def choose(found: Tally, budget: Budget) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the candidates drawn, last those held back, and the whole funnel of a tally.

    Raises:
        SelectionError: fewer candidates than the budget asks for; shows the funnel.
    """
    counts = pl.concat([found.counts, last_steps(found.candidates, budget)])
    require(found.candidates, budget, counts, MORE_PROBLEMS)
    return found.candidates, counts


def band(tau: str) -> tuple[float, float]:
    """Return the lowest and highest correctness ratio that ``tau`` keeps."""
    low, _, high = tau.rpartition("..")
    return float(low or 0), float(high)


def draw(candidates: pl.DataFrame, budget: Budget) -> pl.DataFrame:
    """Draw ``budget.drawn`` rows at random: those whose id hashes lowest with the seed.

    A larger budget's draw begins with a smaller one's. Adds the column ``order``.
    """
    column = candidates.columns[0]
    order = [_hash(budget.seed, key) for key in candidates[column]]
    ranked = candidates.with_columns(pl.Series("order", order, dtype=pl.UInt64))
    return ranked.sort("order", column).head(budget.drawn)


def funnel(steps: dict[str, tuple[int, int]]) -> pl.DataFrame:
    """Return a Funnel table from ``{step: (problems, responses)}``."""
    rows = [(step, problems, responses) for step, (problems, responses) in steps.items()]
    schema = {"step": pl.String, "problems": pl.Int64, "responses": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def last_steps(drawn: pl.DataFrame, budget: Budget) -> pl.DataFrame:
    """Return the last steps of a funnel: what calibrates of what was drawn, and what does not."""
    used = min(len(drawn), budget.sequences)
    rest = len(drawn) - used
    return funnel({"drawn": (used, used), **({"held back": (rest, rest)} if rest else {})})


def require(chosen: pl.DataFrame, budget: Budget, counts: pl.DataFrame, remedy: str) -> None:
    """Raise SelectionError, with the funnel, if the budget is not met and may not be missed."""
    if len(chosen) >= budget.sequences or (budget.allow_fewer and len(chosen) > 0):
        return
    shown = "\n".join(
        f"  {step:<22} {problems:>8} problems {responses:>9} responses"
        for step, problems, responses in counts.iter_rows()
    )
    raise SelectionError(
        f"{budget.sequences} calibration sequences are wanted, {len(chosen)} are left:\n{shown}\n"
        f"{remedy}, ask for a smaller budget.sequences, or set budget.allow_fewer: true."
    )


def _hash(seed: int, key: str) -> int:
    return int.from_bytes(blake2b(f"{seed}/{key}".encode(), digest_size=8).digest(), "big")


def _apply(rule: LengthRule, passing: pl.DataFrame, budget: Budget) -> pl.DataFrame:
    """Take one response of each problem, by ``rule``; ties in length keep the draw order."""
    taken = [passing.clear()]
    ordered = passing.sort("problem_id", "tokens", "sample")
    for rows in ordered.partition_by("problem_id", maintain_order=True):
        limit = budget.tokens - rows["prompt_tokens"][0]
        rng = Random(_hash(budget.seed, f"length rule/{rows['problem_id'][0]}"))
        index = rule(rows["tokens"].to_list(), limit, rows["sample"].to_list(), rng)
        taken.append(rows[index])
    return pl.concat(taken)
