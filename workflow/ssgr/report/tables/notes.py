"""What must stand under a table for its numbers to be read rightly, in plain sentences."""

from collections.abc import Iterator

import polars as pl

from ssgr.config import Config, Experiment
from ssgr.config.labels import setting_name, sparsity_name
from ssgr.jobs.grid import DENSE, NONE
from ssgr.report.tables.conditions import Condition, conditions
from ssgr.report.tables.numbers import ACCURACY
from ssgr.report.tables.published import AVERAGE, Matcher, spelled


def notes(cells: pl.DataFrame, config: Config, name: str) -> list[str]:
    """Return the sentences under the table of an experiment.

    Args:
        cells: its Cells.
        config: the whole configuration.
        name: of the experiment.
    """
    found = conditions(config, name)
    sentences = [
        *_measured(cells, config, name),
        *_settings(found),
        *_drawn(found),
        *_marks(cells, config.experiments[name]),
    ]
    sentences += [*_best(config, name), *_beside(cells), *_published(cells, config, name, found)]
    reading = config.experiments[name].reading
    return sentences + ([reading] if reading else [])


def _measured(cells: pl.DataFrame, config: Config, name: str) -> Iterator[str]:
    n, is_accuracy = config.evaluation.n, config.experiments[name].measure == ACCURACY
    what = "pass@1 in %" if is_accuracy else "Mean length of the responses in tokens"
    single = cells.filter(pl.col("benchmark") != AVERAGE)["problems"].drop_nulls()
    counts = sorted(set(single if len(single) else cells["problems"].drop_nulls()))
    counted = f"{counts[0]:,} to {counts[-1]:,}" if len(counts) > 1 else f"{counts[0]:,}"
    where = "problems a benchmark" if len(single) else "problems of all benchmarks together"
    several = "responses" if n > 1 else "response"
    yield (
        f"{what}, {n} {several} to a problem, {counted} {where}; \u00b1 is half the width of the "
        "95 % interval."
    )


def _settings(found: list[Condition]) -> Iterator[str]:
    """How the models were pruned, and on how much calibration data."""
    every = [
        condition
        for one in found
        for condition in (one.members or (one,))
        if not condition.is_dense
    ]
    settings = dict.fromkeys(
        setting_name(condition.pruner, condition.sparsity) for condition in every
    )
    if settings:
        yield f"Pruned by {'; '.join(settings)}.".replace("\u00a0", " ")
    drawn = (draw.checkpoint["budget"] for condition in every for draw in condition.draws)
    sizes = dict.fromkeys(key.rpartition("-s")[0] for key in drawn if key != NONE)
    if sizes:
        each = (key.split("x") for key in sizes)
        listed = "; ".join(
            f"{int(count):,} of at most {int(size):,} tokens" for count, size in each
        )
        yield f"Calibration sequences: {listed}."


def _drawn(found: list[Condition]) -> Iterator[str]:
    seeds = {
        condition.label: [draw.seed for draw in condition.draws]
        for condition in found
        if len(condition.draws) > 1
    }
    for label, drawn in seeds.items():
        listed = ", ".join(map(str, sorted(drawn)))
        yield (
            f"{label} is the mean over {len(drawn)} draws of calibration data (seeds {listed}), "
            "and its interval is over problems and draws."
        )


def _marks(cells: pl.DataFrame, experiment: Experiment) -> Iterator[str]:
    compared = cells.drop_nulls("p_adjusted")
    if compared.is_empty():
        return
    references = compared["against"].unique(maintain_order=True).to_list()
    if references == [DENSE]:
        whom = "the dense model"
    elif experiment.against:
        whom = references[0]
    else:
        whom = "the best (bold)" if len(references) > 1 else f"the best, {references[0]},"
    comparisons = f"{len(compared)} comparisons" if len(compared) > 1 else "1 comparison"
    test = f"problem by problem, p < 0.05 after adjustment for {comparisons} (Benjamini-Hochberg)"
    if "*" in set(compared["mark"]):
        yield f"* differs from {whom} by more than chance explains ({test})."
    else:
        yield f"No difference from {whom} is larger than chance explains ({test})."
    if references != [DENSE] and not experiment.against:
        yield "Which is best was read off the same answers, and the test does not count that."


def _best(config: Config, name: str) -> Iterator[str]:
    for label, members in config.experiments[name].best_of.items():
        shown = [config.calibrations[member].label or member for member in members]
        yield (
            f"{label} takes the best of {', '.join(shown)} on each benchmark; that it was chosen "
            "after the fact is not in its interval."
        )


def _beside(cells: pl.DataFrame) -> Iterator[str]:
    measures = set(cells["measure"].cast(pl.String))
    if "calibration_tokens" in measures:
        yield "Token length: the mean calibration sequence, prompt and response, as pruned with."
    if "tokens_drawn" in measures:
        yield (
            "Tokens drawn and hours are those of all that a kind of calibration looked at in the "
            "pool. What several kinds looked at was drawn once and counts for each of them."
        )
    if "points_gained" in measures:
        yield "Points gained: AVG above that of the first kind of calibration."


def _published(
    cells: pl.DataFrame, config: Config, name: str, found: list[Condition]
) -> Iterator[str]:
    """Whose the published numbers are, and what of ours plays which part."""
    if cells["published"].is_null().all():
        if config.experiments[name].published:
            yield "No number of this table is published."
        return
    matcher = Matcher(config, name)
    whose, settings = _sources(cells, found, matcher)
    stand_ins = {ours: of for ours, of in whose.items() if not _is_itself(ours, of, config)}
    if stand_ins:
        yield _played(stand_ins, config, name)
    else:
        yield f"Published numbers are the paper's, of {', '.join(sorted(set(whose.values())))}."
    for ours, theirs in settings:
        printed = sparsity_name(theirs)
        yield f"Ours is at {sparsity_name(ours)} sparsity, the published at {printed}."
    if AVERAGE in set(cells["benchmark"]):
        yield from _averages(found, matcher, bool(stand_ins))


def _played(stand_ins: dict[str, str], config: Config, name: str) -> str:
    """Who plays which part, when published numbers are of another model than ours."""
    parts = "; ".join(f"{ours} plays {theirs}" for ours, theirs in _parts(config, name))
    return (
        "Published numbers are not of this model: "
        + "; ".join(f"{ours} plays {theirs}" for ours, theirs in stand_ins.items())
        + (f" ({parts})" if parts else "")
        + ". They show the paper's pattern; ours minus published compares two models and "
        "reproduces nothing."
    )


def _averages(found: list[Condition], matcher: Matcher, played: bool) -> Iterator[str]:
    """What the published averages are of."""
    shown = [condition for condition in found if matcher.find(condition, AVERAGE, ACCURACY)]
    computed = [
        condition for condition in shown if not matcher.averages_printed(condition, ACCURACY)
    ]
    if computed:
        rows = ", ".join(dict.fromkeys(condition.label for condition in computed))
        yield f"The published AVG of {rows} is the mean of the published numbers that are shown."
    elif shown and played and not matcher.prints_benchmarks(shown[0], ACCURACY):
        yield "The published AVG is over the paper's benchmarks, ours over its own."


def _sources(
    cells: pl.DataFrame, found: list[Condition], matcher: Matcher
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The published model of each of ours, and sparsities (ours, published) that differ."""
    whose: dict[str, str] = {}
    settings: dict[tuple[str, str], None] = {}
    places = cells.select("benchmark", "measure").unique(maintain_order=True).rows()
    for condition in found:
        for benchmark, measure in places:
            if match := matcher.find(condition, benchmark, measure):
                whose[condition.model] = match.model
                if condition.sparsity != match.sparsity:
                    settings[condition.sparsity, match.sparsity] = None
    return whose, list(settings)


def _is_itself(model: str, published: str, config: Config) -> bool:
    path = config.models[model].path.rstrip("/").rpartition("/")[2]
    return spelled(published) in (spelled(model), spelled(path))


def _parts(config: Config, name: str) -> Iterator[tuple[str, str]]:
    """The benchmarks and calibrations of an experiment that have a part, and which."""
    selection = config.selection(name)
    named = [(key, entry.label, entry.role) for key, entry in selection.benchmarks.items()]
    named += [(key, entry.label, entry.role) for key, entry in selection.calibrations.items()]
    for key, label, role in named:
        if role and spelled(role) != spelled(label or key):
            yield label or key, role
