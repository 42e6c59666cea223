"""Made-up benchmarks with the responses and grades of checkpoints, for tests of the report."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from ssgr.storage import tables

SUBJECTS = ("algebra", "geometry", "number theory")


def write_benchmark(results: Path, benchmark: str, count: int) -> None:
    """Write a benchmark's problems ``p00000`` …; every third of a subject, two levels."""
    table = pl.DataFrame(
        {
            "problem_id": [f"p{index:05d}" for index in range(count)],
            "question": [f"What is {index} times 6? ({benchmark})" for index in range(count)],
            "solution": [None] * count,
            "answer": [str(6 * index) for index in range(count)],
            "subject": [SUBJECTS[index % 3] for index in range(count)],
            "level": [str(1 + index % 2) for index in range(count)],
        },
        schema_overrides={"solution": pl.String},
    )
    place = results / "problems" / f"benchmark={benchmark}"
    tables.write(table, tables.Problems, place / "problems.parquet")


def write_answers(place: Path, grades: pl.DataFrame) -> None:
    """Write a checkpoint's grades of a benchmark, and responses that fit them."""
    rows = [_response(row) for row in grades.iter_rows(named=True)]
    tables.write(grades.with_columns(prompt_tokens=9), tables.Grades, place / "grades.parquet")
    tables.write(pl.DataFrame(rows), tables.Responses, place / "responses.parquet")


def _response(row: Mapping[str, object]) -> dict[str, object]:
    told = f"thoughts of {row['problem_id']}/{row['sample']}"
    end = f"</think>So it is \\boxed{{{row['extracted']}}}." if row["finished"] else ""
    return {
        "problem_id": row["problem_id"],
        "sample": row["sample"],
        "prompt_token_ids": [1, 2],
        "token_ids": [3],
        "text": f"<think>\n{told}\n{end}",
        "finish_reason": "stop" if row["finished"] else "length",
        "tokens": row["tokens"],
        "mean_logprob": None,
    }


def write_source(results: Path, source: str, count: int) -> None:
    """Write a source's problems, unless they are there."""
    path = results / "problems" / f"source={source}" / "problems.parquet"
    if not path.exists():
        names = [f"p{index:05d}" for index in range(count)]
        tables.write(problems_table(dict.fromkeys(names)), tables.Problems, path)


def problems_table(answers: Mapping[str, str | None]) -> pl.DataFrame:
    """Return problems with these answers, of no subject or level."""
    names = tables.Problems.column_names()
    rows = [{"problem_id": name, "question": "?", "answer": answers[name]} for name in answers]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String))


def responses_table(rows: Iterable[tuple[str, int, str, str]]) -> pl.DataFrame:
    """Return responses of (problem_id, sample, text, finish_reason), a token a character."""
    return pl.DataFrame(
        [
            {
                "problem_id": problem_id,
                "sample": sample,
                "prompt_token_ids": [1],
                "token_ids": list(range(len(text))),
                "text": text,
                "finish_reason": reason,
                "tokens": len(text),
                "mean_logprob": None,
            }
            for problem_id, sample, text, reason in rows
        ]
    )
