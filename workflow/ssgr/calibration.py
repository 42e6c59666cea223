"""Calibration sets: what was selected, as token sequences that a pruner reads.

Every table here holds the sequences that calibrate, and after them those that are held back.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from ssgr.config import Budget
from ssgr.errors import SelectionError, TableError
from ssgr.selection import draw, funnel, last_steps, require

Encode = Callable[[str], list[int]]
Decode = Callable[[list[int]], str]
Convert = Callable[[Mapping[str, Any]], Mapping[str, object]]
KEYS = ["problem_id", "sample"]
CONVERTED: dict[str, pl.DataType | type[pl.DataType]] = {
    "text": pl.String,
    "prompt_token_ids": pl.List(pl.Int32),
    "token_ids": pl.List(pl.Int32),
}
MORE = "Give the source more of them"


def of_responses(
    chosen: pl.DataFrame,
    shards: Iterable[pl.DataFrame],
    problems: pl.DataFrame,
    budget: Budget,
    convert: Convert | None = None,
) -> pl.DataFrame:
    """Return the Calibration table of chosen (problem_id, sample) pairs, cut to l tokens each.

    Args:
        chosen: problem_id, sample and correctness_ratio, in the order of the draw.
        shards: Responses tables that hold them.
        problems: Problems table, for the questions.
        budget: tokens l of each sequence.
        convert: brings a Responses row with its question into another form, see
            `ssgr.conversion.Conversion`; None takes the token ids as they were sampled.

    The length rule has counted the tokens that were sampled. What ``convert`` makes of a response
    may be longer or shorter; l_q and l_i, and the cut to l, are of that.

    Raises:
        TableError: a chosen response is in none of the ``shards``.
        SelectionError: nothing is left of a response that is converted.
    """
    found = pl.concat(shard.join(chosen, on=KEYS, how="semi") for shard in shards)
    if len(found) != len(chosen):
        lost = chosen.join(found, on=KEYS, how="anti")
        raise TableError(
            f"{len(lost)} selected responses are not in the pool's shards, first: "
            f"{lost.row(0)}. The grades belong to other responses: delete them and rerun."
        )
    rows = chosen.with_row_index("sequence").join(found, on=KEYS, maintain_order="left")
    questions = problems.select("problem_id", "question")
    rows = rows.join(questions, on="problem_id", how="left", maintain_order="left")
    if convert is not None:
        anew = [convert(row) for row in rows.iter_rows(named=True)]
        rows = rows.with_columns(pl.DataFrame(anew, schema=CONVERTED))
    return rows.select(
        "sequence",
        *KEYS,
        "question",
        pl.col("text").alias("response"),
        pl.col("prompt_token_ids")
        .list.concat(pl.col("token_ids"))
        .list.head(budget.tokens)
        .alias("token_ids"),
        pl.col("prompt_token_ids").list.len().alias("prompt_tokens"),
        pl.col("token_ids").list.len().alias("response_tokens"),
        "correctness_ratio",
    )


def of_solutions(
    problems: pl.DataFrame, encode: Encode, end: int, template: str, budget: Budget
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calibrate on reference solutions (the paper's MathR): the table and its funnel.

    ``template`` holds {question} and {solution}; ``end`` is the end-of-text token appended.

    Raises:
        SelectionError: too few problems have a solution.
    """
    solved = problems.filter(pl.col("solution").is_not_null())
    chosen = draw(solved, budget)
    counts = _counts({"source": len(problems), "with a solution": len(solved)}, chosen, budget)
    require(chosen, budget, counts, MORE)
    rows = []
    for row in chosen.iter_rows(named=True):
        before, after = _around_solution(template, row["question"])
        prompt = encode(before)
        whole = [*encode(before + row["solution"] + after), end]
        rows.append(
            {
                "problem_id": row["problem_id"],
                "question": row["question"],
                "response": row["solution"],
                "token_ids": whole[: budget.tokens],
                "prompt_tokens": len(prompt),
                "response_tokens": len(whole) - len(prompt),
            }
        )
    return _table(rows), counts


def of_documents(
    documents: pl.DataFrame, encode: Encode, decode: Decode, end: int, budget: Budget
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calibrate on plain text (the paper's C4): documents in a seeded order, packed to l tokens.

    ``end`` separates documents, as in pre-training. Returns the table and its funnel.

    Raises:
        SelectionError: the documents hold fewer tokens than the budget.
    """
    order = draw(documents, budget.model_copy(update={"sequences": len(documents)}))
    rows: list[dict[str, object]] = []
    pending: list[int] = []
    start, used = "", 0
    for document_id, text in order.select("document_id", "text").iter_rows():
        if len(rows) >= budget.drawn:
            break
        start = start if pending else document_id
        pending += [*encode(text), end]
        used += 1
        while len(pending) >= budget.tokens and len(rows) < budget.drawn:
            rows.append(_text_row(start, pending[: budget.tokens], decode))
            pending, start = pending[budget.tokens :], document_id
    table = _table(rows)
    counts = _counts({"source": len(documents), "packed": used}, table, budget)
    require(table, budget, counts, MORE)
    return table, counts


def _counts(steps: dict[str, int], drawn: pl.DataFrame, budget: Budget) -> pl.DataFrame:
    counts = funnel({step: (count, count) for step, count in steps.items()})
    return pl.concat([counts, last_steps(drawn, budget)])


def _around_solution(template: str, question: str) -> tuple[str, str]:
    before, found, after = template.partition("{solution}")
    if not found:
        raise SelectionError(f"solution_template {template!r} does not hold {{solution}}")
    return before.replace("{question}", question), after.replace("{question}", question)


def _text_row(document_id: str, token_ids: list[int], decode: Decode) -> dict[str, object]:
    return {
        "problem_id": document_id,
        "question": None,
        "response": decode(token_ids),
        "token_ids": token_ids,
        "prompt_tokens": 0,
        "response_tokens": len(token_ids),
    }


def _table(rows: list[dict[str, object]]) -> pl.DataFrame:
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "problem_id": pl.String,
        "question": pl.String,
        "response": pl.String,
        "token_ids": pl.List(pl.Int32),
        "prompt_tokens": pl.Int32,
        "response_tokens": pl.Int32,
    }
    table = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("sequence")
    return table.with_columns(
        sample=pl.lit(None, dtype=pl.Int32), correctness_ratio=pl.lit(None, dtype=pl.Float64)
    )
