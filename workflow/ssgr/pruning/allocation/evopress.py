"""EvoPress: evolutionary search for the allocation nearest the dense model's predictions.

Sieberling et al. 2024, arXiv 2410.14649: from uniform, each generation mutates its
parent by exchanging steps of sparsity between matrices, keeps the offspring of least KL divergence
in stages of ever more text, and lets the parent stand against the last of them. Beyond the paper,
for small budgets: whole blocks and all matrices of one kind are exchanged too, and the first parent
is the best of uniform and some straight lines over the depth.
"""

import json
import logging
import math
import random
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from ssgr.config.pruning import Search
from ssgr.errors import PruningError
from ssgr.pruning.allocation.database import Database
from ssgr.pruning.allocation.divergence import Divergence
from ssgr.pruning.allocation.ladder import Ladder, Levels, ladder, lines, mutate
from ssgr.pruning.allocation.method import Task, register
from ssgr.pruning.allocation.stream import embedded
from ssgr.pruning.progress import write_whole

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
    with closing(embedded(task, 2)) as hidden:  # its candidates take the other half
        database.build(hidden)
        divergence = Divergence(task, database, hidden)
        memory = Memory(task.scratch / "search.json", draw)
        best = evolve(steps, divergence, chosen, task.recipe.search, draw, starts, memory)
    shutil.rmtree(database.folder)
    memory.file.unlink()
    return steps.all_zeros(best)


@dataclass
class State:
    """Where a search is: the best levels so far, and their divergence and that of uniform."""

    generation: int
    parent: Levels
    least: float
    uniform: float


@dataclass(frozen=True)
class Memory:
    """A file that keeps the state of a search, with that of its randomness, until it ends."""

    file: Path
    draw: random.Random

    def recall(self) -> State | None:
        """Return what an interrupted search left, and draw on from there; None if nothing."""
        if not self.file.exists():
            return None
        kept = json.loads(self.file.read_text(encoding="utf-8"))
        version, numbers, rest = kept.pop("draw")
        self.draw.setstate((version, tuple(numbers), rest))
        return State(**kept | {"parent": tuple(kept["parent"])})

    def remember(self, state: State) -> None:
        """Write the state, whole or not at all."""
        text = json.dumps(asdict(state) | {"draw": self.draw.getstate()})
        write_whole(self.file, lambda aside: aside.write_text(text, encoding="utf-8"))


def evolve(
    steps: Ladder,
    fitness: Fitness,
    chosen: Sequence[int],
    search: Search,
    draw: random.Random,
    starts: Sequence[Levels] = (),
    memory: Memory | None = None,
) -> Levels:
    """Return the levels of least divergence after all generations; never worse than uniform.

    Interrupted, it goes on after the last generation that ``memory`` holds.

    Args:
        steps: what can be exchanged.
        fitness: divergence of candidates on some sequences.
        chosen: positions of the sequences to use.
        search: the budget.
        draw: all randomness.
        starts: what may be the first parent instead of uniform.
        memory: keeps ``draw`` and what was found.
    """
    state = (memory and memory.recall()) or _first(steps, fitness, chosen, starts)
    generations = range(state.generation, search.generations)
    progress = tqdm(
        generations,
        "evopress",
        initial=state.generation,
        total=search.generations,
        unit="generation",
        mininterval=1.0,
    )
    for generation in progress:
        offspring = _offspring(state.parent, steps, search.offspring, draw)
        if not offspring:
            break
        for share, kept in STAGES[:-1]:
            some = sorted(draw.sample(list(chosen), max(1, int(share * len(chosen)))))
            survivors = max(1, int(kept * search.offspring))
            if len(offspring) > survivors:
                offspring = _fittest(offspring, fitness(offspring, some))[:survivors]
        results = fitness(offspring, chosen)
        best = _better(state.parent, state.least, offspring, results)
        state = State(generation + 1, *best, state.uniform)
        if memory:
            memory.remember(state)
        said = f"KL {state.uniform:.4f} -> {state.least:.4f}"
        progress.set_postfix_str(said, refresh=False)
    LOG.info("evopress: KL to the dense model %.4f uniform, %.4f found", state.uniform, state.least)
    return state.parent


def _first(
    steps: Ladder, fitness: Fitness, chosen: Sequence[int], starts: Sequence[Levels]
) -> State:
    """Return the best of uniform and the other starts."""
    parent: Levels = (0,) * len(steps.base)
    uniform, *others = fitness([parent, *starts], chosen)
    if not math.isfinite(uniform):
        raise PruningError(
            "the logits of the uniformly pruned model hold NaN or Inf, so a search has nothing to "
            "compare; try dtype float32, or the allocation 'uniform'"
        )
    return State(0, *_better(parent, uniform, starts, others), uniform)


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
