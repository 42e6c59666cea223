"""EvoPress: evolutionary search for the allocation nearest the dense model's predictions.

Sieberling et al. 2024, arXiv 2410.14649: from uniform, each generation mutates its
parent by exchanging steps of sparsity between matrices, keeps the offspring of least KL divergence
in stages of ever more text, and lets the parent stand against the last of them. Beyond the paper,
for small budgets: whole blocks and all matrices of one kind are exchanged too, and the first parent
is the best of uniform and some straight lines over the depth.
"""

import logging
import math
import random
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing

from tqdm import tqdm

from ssgr.config.pruning import Search
from ssgr.errors import PruningError
from ssgr.pruning.allocation.database import Database
from ssgr.pruning.allocation.divergence import Divergence
from ssgr.pruning.allocation.ladder import Ladder, Levels, ladder, lines, mutate
from ssgr.pruning.allocation.method import Task, register
from ssgr.pruning.allocation.stream import embedded

LOG = logging.getLogger(__name__)
# Shares of the sequences in the stages, and of the offspring that outlive them (the last: one).
STAGES = ((1 / 8, 1 / 4), (1 / 2, 1 / 8), (1.0, 0.0))

Fitness = Callable[[Sequence[Levels], Sequence[int]], list[float]]


@register("evopress", needs="sequences")
def evopress(task: Task) -> list[int]:
    """Return the zeros of each matrix: the best allocation found within the recipe's budget.

    Raises:
        PruningError: a matrix cannot be pruned, the disk is full, or the pruned model's logits
            are not finite.
    """
    blocks = [shape.block for shape in task.shapes]
    kinds = [re.sub(r"\d+", "*", shape.name) for shape in task.shapes]  # all down_proj, say
    steps = ladder(task.sizes, task.sparsity, blocks, kinds)
    draw = random.Random(task.recipe.search.seed)
    count = min(task.recipe.search.sequences, len(task.sequences))
    chosen = sorted(draw.sample(range(len(task.sequences)), count))
    database = Database(task, steps)
    starts = lines(steps, blocks)
    with closing(embedded(task)) as hidden:
        database.build(hidden)
        divergence = Divergence(task, database, hidden)
        best = evolve(steps, divergence, chosen, task.recipe.search, draw, starts)
    shutil.rmtree(database.folder)
    return steps.all_zeros(best)


def evolve(
    steps: Ladder,
    fitness: Fitness,
    chosen: Sequence[int],
    search: Search,
    draw: random.Random,
    starts: Sequence[Levels] = (),
) -> Levels:
    """Return the levels of least divergence after all generations; never worse than uniform.

    Args:
        steps: what can be exchanged.
        fitness: divergence of candidates on some sequences.
        chosen: positions of the sequences to use.
        search: the budget.
        draw: all randomness.
        starts: what may be the first parent instead of uniform.
    """
    parent: Levels = (0,) * len(steps.base)
    uniform, *others = fitness([parent, *starts], chosen)
    parent, least = _better(parent, uniform, starts, others)
    if not math.isfinite(uniform):
        raise PruningError(
            "the logits of the uniformly pruned model hold NaN or Inf, so a search has nothing to "
            "compare; try dtype float32, or the allocation 'uniform'"
        )
    progress = tqdm(range(search.generations), "evopress", unit="generation", mininterval=1.0)
    for _ in progress:
        offspring = _offspring(parent, steps, search.offspring, draw)
        if not offspring:
            break
        for share, kept in STAGES[:-1]:
            some = sorted(draw.sample(list(chosen), max(1, int(share * len(chosen)))))
            survivors = max(1, int(kept * search.offspring))
            if len(offspring) > survivors:
                offspring = _fittest(offspring, fitness(offspring, some))[:survivors]
        parent, least = _better(parent, least, offspring, fitness(offspring, chosen))
        progress.set_postfix_str(f"KL {uniform:.4f} -> {least:.4f}", refresh=False)
    LOG.info("evopress: KL to the dense model %.4f uniform, %.4f found", uniform, least)
    return parent


def _offspring(parent: Levels, steps: Ladder, count: int, draw: random.Random) -> list[Levels]:
    """Return different mutations of the parent; fewer where there are no more."""
    found: dict[Levels, None] = {}
    for _ in range(4 * count):
        child = mutate(parent, steps, draw)
        if child is None or len(found) == count:
            break
        found[child] = None
    return list(found)


def _better(
    parent: Levels, least: float, candidates: Sequence[Levels], results: Sequence[float]
) -> tuple[Levels, float]:
    """Return the best of a parent and candidates, with its result; the parent if none is better."""
    for levels, result in zip(candidates, results, strict=True):
        if result < least:
            parent, least = levels, result
    return parent, least


def _fittest(candidates: list[Levels], results: list[float]) -> list[Levels]:
    ranked = sorted(zip(results, candidates, strict=True), key=lambda one: _order(one[0]))
    return [levels for _, levels in ranked]


def _order(result: float) -> float:
    """Return what to sort by: NaN is the worst."""
    return result if math.isfinite(result) else math.inf
