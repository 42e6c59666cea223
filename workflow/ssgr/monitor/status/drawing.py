"""What is drawn, pool by pool and model by model: responses, tokens, and how fast."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ssgr.monitor.status import traces
from ssgr.monitor.status.speed import Drawn, Journals, of_answers, of_shards
from ssgr.monitor.status.states import Place, Seen

Costs = Mapping[str, tuple[float, float] | None]
"""When a job ended and its wall seconds, by its output; None: not measured."""


@dataclass(frozen=True)
class Drawing:
    """A pool, or a model's answers to the benchmarks.

    ``done`` counts shards that the pool holds, or checkpoints and benchmarks; ``tokens_per_second``
    is the mean of a job, ``now`` the sum of the jobs that draw at the moment. ``drawing`` is how
    many of those there are, and ``in_journals`` what they have drawn so far.
    """

    of: str
    unit: str
    done: int
    wanted: int
    responses: int
    tokens: int
    tokens_per_second: float | None
    drawing: int
    in_journals: int
    now: float | None


def drawings(seen: Iterable[Seen], place: Place, costs: Costs, journals: Journals) -> list[Drawing]:
    """Return what is drawn for pools and for benchmarks, one row each."""
    groups: dict[tuple[str, str], list[Seen]] = {}
    for one in seen:
        if place.drawn_at(one.job):
            source = one.job.keys["source"] if one.job.rule == "sample" else ""
            groups.setdefault((one.job.keys["model"], source), []).append(one)
    return [
        _drawing(f"{model} · {source}" if source else f"{model} · benchmarks", unit, mine, drawn,
                 place, journals)
        for (model, source), mine in sorted(groups.items(), key=lambda group: not group[0][1])
        for unit, drawn in [("shards", _pool(mine, place)) if source
                            else ("answers", _answers(mine, place, costs))]
    ]  # fmt: skip


def _pool(mine: Sequence[Seen], place: Place) -> Drawn:
    return of_shards(place.shard(one.job) for one in mine)


def _answers(mine: Sequence[Seen], place: Place, costs: Costs) -> Drawn:
    taken = {
        place.output(one.job).with_name("scores.parquet"): cost[1] if cost else None
        for one in mine
        if one.state == "done"
        for cost in [costs.get(one.job.output)]
    }
    return of_answers(taken)


def _drawing(
    name: str, unit: str, mine: Sequence[Seen], drawn: Drawn, place: Place, journals: Journals
) -> Drawing:
    active = [one for one in mine if one.state == "running"]
    rates, held = [], 0
    for one in active:
        at = place.drawn_at(one.job)
        grown = journals.look(at[1]) if at else None
        held += grown.responses if grown else 0
        told = traces.progress(place.log(one.job))[1]
        rates.append((journals.rate(at[1]) if at else None) or told)
    known = [rate for rate in rates if rate is not None]
    return Drawing(
        of=name,
        unit=unit,
        done=drawn.units if unit == "shards" else sum(one.state == "done" for one in mine),
        wanted=len(mine),
        responses=drawn.responses,
        tokens=drawn.tokens,
        tokens_per_second=drawn.speed,
        drawing=len(active),
        in_journals=held,
        now=sum(known) if known else None,
    )
