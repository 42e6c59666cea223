"""Verdicts, samples of them and labels, as the tests of the hand check say."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from conftest import graded_pool
from small_pool import responses
from ssgr.storage import tables
from ssgr.verification.hand_check.population import Graded, of_evaluation
from ssgr.verification.hand_check.sample import Sample, draw

HOSTILE = (
    "</think></script><script>document.title = 'owned'</script><!--<script>"
    "<img src=x onerror=\"document.title = 'owned'\">\u2028\u202e\\boxed{<b>7</b>}"
)


def problems_of(ids: Sequence[str]) -> pl.DataFrame:
    return tables.Problems.cast(
        pl.DataFrame(
            {
                "problem_id": list(ids),
                "question": [f"What is {name}?" for name in ids],
                "solution": None,
                "answer": [f"gold of {name}" for name in ids],
                "subject": None,
                "level": None,
            },
            schema_overrides=dict.fromkeys(("solution", "subject", "level"), pl.String),
        )
    )


def graded(accepted: int, rejected: int) -> Graded:
    """``accepted`` + ``rejected`` problems of one response each, the accepted ones first."""
    ids = [f"p{index:03d}" for index in range(accepted + rejected)]
    grades = graded_pool({name: [(5, i < accepted)] for i, name in enumerate(ids)})
    grades = grades.with_columns(pl.col("sample").cast(pl.Int32))
    texts = responses([(name, 0, 5) for name in ids]).with_columns(
        pl.col("sample").cast(pl.Int32), text="so \\boxed{1} of " + pl.col("problem_id")
    )
    return of_evaluation(grades, texts)


def drawn(accepted: int, rejected: int, size: int, seed: int = 0, **options: bool) -> Sample:
    known = graded(accepted, rejected)
    problems = problems_of(known.verdicts["problem_id"].to_list())
    return draw(known, problems, title="t", size=size, seed=seed, **options)  # type: ignore[arg-type]


def hostile_sample(size: int = 3) -> Sample:
    """Verdicts whose every text tries to leave its place."""
    names = [f"{HOSTILE} {index}" for index in range(size)]
    grades = graded_pool({name: [(5, index % 2 == 0)] for index, name in enumerate(names)})
    grades = grades.with_columns(pl.col("sample").cast(pl.Int32), extracted=pl.lit("<b>7</b>"))
    texts = responses([(name, 0, 5) for name in names])
    texts = texts.with_columns(pl.col("sample").cast(pl.Int32), text=pl.lit(HOSTILE))
    problems = problems_of(names).with_columns(question=pl.lit(HOSTILE), answer=pl.lit(HOSTILE))
    return draw(of_evaluation(grades, texts), problems, title=HOSTILE, size=size)


def labels_file(path: Path, sample: Sample, given: Sequence[str | None], **changes: object) -> Path:
    """Labels as the page's button downloads them, with what differs."""
    labels = [
        {"number": i + 1, "problem_id": item.problem_id, "sample": item.sample, "label": label}
        for i, (item, label) in enumerate(zip(sample.items, given, strict=False))
        if label
    ]
    path.write_text(json.dumps({"sample_digest": sample.digest, "labels": labels} | changes))
    return path
