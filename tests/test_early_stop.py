"""Early stop changes what is drawn, never what is selected: simulated, and on abacus."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recipe
from benchmarks.early_stop import POINTS, both, same_selection
from conftest import graded_pool
from ssgr.config import Budget, Filters, Pool, Sampling
from ssgr.errors import SelectionError
from ssgr.grading.online import Judged, OnlineGrader
from ssgr.sampling import Prompt, Response
from ssgr.sampling.scheduler import Scheduler
from ssgr.selection.early_stop import Demand, Needs, Outcome, joined, needs, outcomes, settled
from ssgr.selection.length_rules import LENGTH_RULES
from ssgr.selection.rules import Tally, choose, merge, tally
from ssgr.storage.tables import VERDICTS, Problems

Key = tuple[str, int]
Point = tuple[str, str]
FILTERS = Filters()
TAUS = ["0.00", "0.25", "0.50", "0.75", "0.80", "1.00", "0.30..0.70", "0.50..0.99", "0.75..1.00"]
POINT = st.tuples(st.sampled_from(TAUS), st.sampled_from(sorted(LENGTH_RULES)))


class SlowGrader(OnlineGrader):
    """SIMULATED: knows every outcome, and tells them late, some at a time."""

    def __init__(self, known: dict[str, list[Outcome | None]], rng: Random) -> None:
        self._known, self._rng = known, rng
        self._waiting: list[pl.DataFrame] = []

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def submit(self, responses: pl.DataFrame) -> None:
        self._waiting.append(responses)

    def judged(self, wait: bool) -> list[Judged]:
        told = self._rng.randint(int(wait and self.busy), len(self._waiting))
        batches, self._waiting = self._waiting[:told], self._waiting[told:]
        return [
            (problem_id, sample, outcome)
            for batch in batches
            for problem_id, sample in batch.iter_rows()
            if (outcome := self._known[problem_id][sample]) is not None
        ]


def draw(
    graded: pl.DataFrame, n: int, asked: Needs, rng: Random, known: Iterable[Key] = ()
) -> set[Key]:
    """What a scheduler lets a SIMULATED engine draw, which finishes requests in any order."""
    problem_ids = graded["problem_id"].unique(maintain_order=True).to_list()
    there = sorted(known)
    grader = SlowGrader(outcomes(graded, asked.filters, n), rng)
    if there:
        grader.submit(_keys(there))
    scheduler = Scheduler(
        [Prompt(problem_id, (1,)) for problem_id in problem_ids],
        n,
        known=there,
        needs=asked,
        grader=grader,
        table=lambda responses: _keys([(r.problem_id, r.sample) for r in responses]),
    )
    drawn: list[Key] = []
    flying: list[Key] = []
    batch = rng.randint(1, 2 * n)
    while True:
        while len(flying) < batch and (request := scheduler.take(wait=not flying)):
            flying.append((request.prompt.problem_id, request.sample))
        if not flying:
            break
        problem_id, sample = flying.pop(rng.randrange(len(flying)))
        drawn.append((problem_id, sample))
        scheduler.add(Response(problem_id, sample, (1,), "stop", None))
    assert len(set(drawn)) == len(drawn), "drawn twice"
    assert not set(drawn) & set(there), "drawn though it was there"
    assert scheduler.finished == scheduler.problems == len(problem_ids)
    return set(drawn)


def _keys(keys: Sequence[Key]) -> pl.DataFrame:
    return pl.DataFrame(keys, schema={"problem_id": pl.String, "sample": pl.Int32}, orient="row")


@dataclass(frozen=True)
class Case:
    """A full pool, and points that two experiments ask of it."""

    graded: pl.DataFrame
    n: int
    first: list[Point]
    second: list[Point]
    rng: Random

    def part(self, keys: set[Key]) -> pl.DataFrame:
        """The rows that were drawn."""
        return self.graded.join(_keys(sorted(keys)), on=["problem_id", "sample"], how="semi")

    def needed(self, asked: Needs) -> set[Key]:
        """What a problem's shortest settling prefixes hold, all outcomes known."""
        known = outcomes(self.graded, asked.filters, self.n)
        return {(key, s) for key, row in known.items() for s in range(asked.prefix(row))}


@st.composite
def cases(draw: Callable[..., object]) -> Case:
    rng = draw(st.randoms(use_true_random=False))
    assert isinstance(rng, Random)
    n, count = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    assert isinstance(n, int) and isinstance(count, int)
    lucks = [rng.choice([0.0, 0.3, 0.6, 0.9, 1.0]) for _ in range(count)]
    verdicts = [
        "correct" if rng.random() < luck else rng.choice(VERDICTS)
        for luck in lucks
        for _ in range(n)
    ]
    pool = graded_pool({f"p{p}": [(rng.randint(1, 40), False)] * n for p in range(count)})
    graded = pool.with_columns(
        tokens=pl.Series([rng.randint(1, 40) for _ in verdicts]),
        verdict=pl.Series(verdicts),
        finished=pl.Series([rng.random() < 0.8 for _ in verdicts]),
        part=pl.lit("a part"),
    )
    points = [draw(st.lists(POINT, min_size=1, max_size=4)) for _ in range(2)]
    assert all(isinstance(asked, list) for asked in points)
    return Case(graded, n, points[0], points[1], rng)  # type: ignore[arg-type]


def found(graded: pl.DataFrame, point: Point, n: int, budget: Budget, stopped: bool) -> Tally:
    """What `tally` finds, in two waves: a stopped pool is looked at through `settled`."""
    tau, length = point
    ids = graded["problem_id"].unique().sort()
    waves = [graded.filter(graded["problem_id"].is_in(part.implode())) for part in
             (ids[: len(ids) // 2], ids[len(ids) // 2 :])]  # fmt: skip
    parts = []
    for wave in waves:
        rows = settled(wave, Demand(tau=tau, length=length), FILTERS, n) if stopped else wave
        parts.append(tally(rows, length, tau, FILTERS, budget, n))
    return merge(parts[0], parts[1], budget)


def selected(table: pl.DataFrame) -> list[Key]:
    return table.select("problem_id", "sample").rows()


@settings(deadline=None, max_examples=60)
@given(cases())
def test_nothing_is_wasted_and_the_order_does_not_matter(case: Case) -> None:
    """Exactly the shortest settling prefixes are drawn, in whatever order things come."""
    asked = needs(case.first, FILTERS, early_stop=True)
    for _ in range(2):
        assert draw(case.graded, case.n, asked, case.rng) == case.needed(asked)
    full = needs(case.first, FILTERS, early_stop=False)
    assert len(draw(case.graded, case.n, full, case.rng)) == len(case.graded)


@settings(deadline=None, max_examples=60)
@given(cases(), st.integers(1, 5))
def test_the_stopped_pool_gives_the_selection_of_the_full_one(case: Case, sequences: int) -> None:
    drawn = case.part(draw(case.graded, case.n, needs(case.first, FILTERS, True), case.rng))
    budget = Budget(sequences=sequences, tokens=30, allow_fewer=True)
    for point in case.first:
        full = found(case.graded, point, case.n, budget, stopped=False)
        stopped = found(drawn, point, case.n, budget, stopped=True)
        assert selected(stopped.candidates) == selected(full.candidates)
        # the funnel's responses are those drawn; its problems are the full pool's
        assert stopped.counts["problems"].to_list() == full.counts["problems"].to_list()
        try:
            chosen, _ = choose(full, budget)
        except SelectionError:
            with pytest.raises(SelectionError):
                choose(stopped, budget)
        else:
            assert selected(choose(stopped, budget)[0]) == selected(chosen)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_a_tally_does_not_see_what_others_drew_beyond(case: Case) -> None:
    budget = Budget(sequences=9, tokens=30)
    mine = case.part(draw(case.graded, case.n, needs(case.first, FILTERS, True), case.rng))
    both_ask = needs([*case.first, *case.second], FILTERS, True)
    shared = case.part(draw(case.graded, case.n, both_ask, case.rng))
    for point in case.first:
        alone = found(mine, point, case.n, budget, stopped=True)
        for pool in (shared, case.graded):
            among = found(pool, point, case.n, budget, stopped=True)
            assert among.candidates.equals(alone.candidates)
            assert among.counts.equals(alone.counts)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_a_later_demand_draws_only_what_is_missing(case: Case) -> None:
    first, second = (needs(points, FILTERS, True) for points in (case.first, case.second))
    there = draw(case.graded, case.n, first, case.rng)
    more = draw(case.graded, case.n, second, case.rng, known=there)
    assert more == case.needed(second) - there
    if second.covered_by(joined([first], FILTERS)):
        assert not more
    rest = draw(case.graded, case.n, needs([], FILTERS, False), case.rng, known=there | more)
    assert len(there) + len(more) + len(rest) == len(case.graded)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_a_cut_off_run_goes_on_to_the_same_pool(case: Case) -> None:
    """What a journal kept is any part of what was drawn, and more where another asked for more."""
    asked = needs(case.first, FILTERS, early_stop=True)
    whole = case.needed(asked)
    kept = {key for key in sorted(whole) if case.rng.random() < 0.5}
    assert draw(case.graded, case.n, asked, case.rng, known=kept) | kept == whole
    beyond = {key for key in case.graded.select("problem_id", "sample").rows()
              if case.rng.random() < 0.5}  # fmt: skip
    assert draw(case.graded, case.n, asked, case.rng, known=beyond) == whole - beyond


def test_abacus_selects_the_same_from_a_stopped_pool(tmp_path: Path) -> None:
    """Through the commands: SSGR and SGR, token by token, and fewer tokens drawn."""
    stories = pl.DataFrame(recipe.problems("stories", 200, 5))
    levels = [stories.filter(pl.col("level") == level).head(2) for level in "3689"]
    runs = both(
        tmp_path,
        Problems.validate(pl.concat(levels).sample(fraction=1, shuffle=True, seed=0)),
        Sampling(n=16, max_tokens=512),
        Budget(sequences=3, tokens=512),
        Pool(shard_size=4, wave=1),
    )
    assert same_selection(runs) == dict.fromkeys(POINTS, 3)
    stopped, full = (run.drawn() for run in runs)
    assert stopped["problem_id"].unique().sort().equals(full["problem_id"].unique().sort())
    assert len(full) == 16 * full["problem_id"].n_unique()
    assert stopped["tokens"].sum() < full["tokens"].sum()
    assert stopped.join(full, on=stopped.columns, how="anti").is_empty()
