"""What each quality filter removed of the pool, with responses that one can read.

A threshold is a guess until one has seen what it drops. Shards are read one after another, and of
the responses' texts only the few that are shown.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ssgr.config import Filters
from ssgr.pool import receipts
from ssgr.selection.filters import checks, measure_of
from ssgr.storage.tables import Grades, Responses

ANY = "any filter"
EXAMPLES = 3
"""Shown of each filter."""
EXCERPT = 160
"""Characters shown of each end of a response."""
PASSAGE = 40
"""Characters of a passage that are counted as one repetition."""
EXAMPLE = pl.Struct(
    {"problem_id": pl.String, "sample": pl.Int32, "measured": pl.String, "text": pl.String}
)
COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "filter": pl.String,
    "threshold": pl.String,
    "problems": pl.Int64,
    "responses": pl.Int64,
    "share": pl.Float64,
    "correct": pl.Int64,
    "examples": pl.List(EXAMPLE),
}
REMOVED = pl.Schema(COLUMNS)
_PART = "__part"
Row = dict[str, Any]


def removed(pool: Path, shards: Iterable[receipts.GradedShard], filters: Filters) -> pl.DataFrame:
    """Return what each filter drops of all responses that were drawn and graded.

    Args:
        pool: folder of the sampled responses.
        shards: what was visited, each with all parts of its problems.
        filters: the thresholds.

    Returns:
        A filter that is on a row, and last all together, ``any filter``: filter, threshold,
        problems (with such a response), responses, share (of all responses, in [0, 1]), correct
        (how many are correct, which is what a selection loses), and up to three examples:
        problem_id, sample, what was measured, and an excerpt of the text in one line.

    Raises:
        PoolError: a part of the pool is gone or has changed; names the file.
    """
    thresholds = {name: str(getattr(filters, name)).lower() for name in checks(filters)}
    counts = dict.fromkeys(("problems", "responses", "correct"), 0)
    totals: dict[str, Row] = {
        name: {"threshold": threshold, "examples": [], **counts}
        for name, threshold in [*thresholds.items(), (ANY, None)]
    }
    drawn = 0
    for shard in shards:
        flagged = _flagged(pool, shard, filters)
        drawn += len(flagged)
        wanted: dict[str, pl.DataFrame] = {}
        for name, total in totals.items():
            dropped = flagged.filter(name)
            total["problems"] += dropped["problem_id"].n_unique()
            total["responses"] += len(dropped)
            total["correct"] += int(dropped["correct"].sum())
            if name != ANY:
                wanted[name] = _chosen(dropped, EXAMPLES - len(total["examples"]))
        for name, example in _examples(pool, shard, wanted):
            totals[name]["examples"].append(example)
    rows = [
        {"filter": name, "share": total["responses"] / max(drawn, 1), **total}
        for name, total in totals.items()
    ]
    return pl.DataFrame(rows, schema=REMOVED)


def _flagged(pool: Path, shard: receipts.GradedShard, filters: Filters) -> pl.DataFrame:
    """The grades of a shard, with a column per filter that says whether it drops the response."""
    parts = [
        receipts.open_part(pool, part.grades, Grades).with_columns(pl.lit(number).alias(_PART))
        for number, part in enumerate(shard.parts)
    ]
    empty = Grades.create_empty().with_columns(pl.lit(0).alias(_PART))
    drops = {name: ~passes for name, passes in checks(filters).items()}
    return pl.concat([empty, *parts]).with_columns(
        **drops, **{ANY: pl.any_horizontal(pl.lit(False), *drops.values())}
    )


def _chosen(dropped: pl.DataFrame, room: int) -> pl.DataFrame:
    """At most ``room`` responses of different problems, correct ones first."""
    ordered = dropped.sort("correct", "problem_id", "sample", descending=[True, False, False])
    return ordered.unique("problem_id", keep="first", maintain_order=True).head(room)


def _examples(
    pool: Path, shard: receipts.GradedShard, wanted: dict[str, pl.DataFrame]
) -> Iterator[tuple[str, Row]]:
    """The examples of each filter; a part is read only if it holds one."""
    for number, part in enumerate(shard.parts):
        here = {name: rows.filter(pl.col(_PART) == number) for name, rows in wanted.items()}
        if not any(len(rows) for rows in here.values()):
            continue
        table = receipts.open_part(pool, part.responses, Responses)
        for name, rows in here.items():
            texts = rows.join(
                table.select("problem_id", "sample", "text"),
                on=["problem_id", "sample"],
                maintain_order="left",
            )
            for row in texts.iter_rows(named=True):
                yield name, _example(name, row)


def _example(name: str, row: Row) -> Row:
    value = row[measure_of(name)]
    shown = f"{value:.2f}" if isinstance(value, float) else f"{value}".lower()
    return {
        "problem_id": row["problem_id"],
        "sample": row["sample"],
        "measured": f"{measure_of(name)} = {shown}, {row['tokens']:,} tokens, {row['verdict']}",
        "text": excerpt(row["text"], repeated=name == "max_rep_20"),
    }


def excerpt(text: str, *, repeated: bool = False) -> str:
    """Return both ends of a text in one line, without characters that do not print.

    With ``repeated`` the start of its most frequent passage too, if that is in neither.
    """
    starts = [0, max(len(text) - EXCERPT, 0)]
    if repeated and len(text) > PASSAGE:
        passages = Counter(text[start : start + PASSAGE] for start in range(len(text) - PASSAGE))
        starts.insert(1, text.find(passages.most_common(1)[0][0]))
    shown, end = "", 0
    for start in starts:
        if start + EXCERPT <= end:
            continue
        if start > end:
            shown += f" [… {start - end:,} characters …] "
        shown += text[max(start, end) : start + EXCERPT]
        end = start + EXCERPT
    return _line(shown)


def _line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
