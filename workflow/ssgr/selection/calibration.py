"""Calibration sets: the selected token sequences, and after them those that are held back."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from ssgr.config import Budget
from ssgr.errors import PruningError, SelectionError, TableError
from ssgr.sampling.prompts import PlainText, with_begin
from ssgr.selection.rules import draw, funnel, last_steps, require
from ssgr.storage.tables import read_spec

Convert = Callable[[Mapping[str, Any]], Mapping[str, object]]
KEYS = ["problem_id", "sample"]
CONVERTED: dict[str, pl.DataType | type[pl.DataType]] = {
    "text": pl.String,
    "prompt_token_ids": pl.List(pl.Int32),
    "token_ids": pl.List(pl.Int32),
}
MORE = "Give the source more of them"
ENCODING = "encoding"
"""Of a table's spec: the digest of the tokenizer that made its tokens, where that is known."""


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
            `ssgr.sampling.rendering.Conversion`; None takes the token ids as they were sampled.

    The length rule has counted the sampled tokens; l_q, l_i and the cut to l are of what
    ``convert`` makes of them.

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
    prompt, response = pl.col("prompt_token_ids"), pl.col("token_ids")
    return rows.select(
        "sequence",
        *KEYS,
        "question",
        response="text",
        token_ids=prompt.list.concat(response).list.head(budget.tokens),
        prompt_tokens=prompt.list.len(),
        response_tokens=response.list.len(),
        correctness_ratio="correctness_ratio",
    )


def of_solutions(
    problems: pl.DataFrame, plain: PlainText, template: str, budget: Budget
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calibrate on reference solutions (the paper's MathR): the table and its funnel.

    ``template`` holds {question} and {solution}. What the tokenizer adds in front of a text (begin
    of text) stands once before each, as before the model's own responses; an end token follows.

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
        prompt = with_begin(plain.begin, plain.encode(before))
        text = plain.encode(before + row["solution"] + after)
        whole = [*with_begin(plain.begin, text), plain.end]
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
    documents: pl.DataFrame, plain: PlainText, budget: Budget
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Calibrate on plain text (the paper's C4): documents in a seeded order, packed to l tokens.

    The end token separates documents, as in pre-training. Each sequence begins with what the
    tokenizer adds in front of a text, which counts among its l tokens. Returns the table and its
    funnel.

    Raises:
        SelectionError: the documents hold fewer tokens than the budget.
    """
    order = draw(documents, budget.model_copy(update={"sequences": len(documents)}))
    rows: list[dict[str, object]] = []
    pending: list[int] = []
    start, used = "", 0
    length = max(budget.tokens - len(plain.begin), 1)
    for document_id, text in order.select("document_id", "text").iter_rows():
        if len(rows) >= budget.drawn:
            break
        start = start if pending else document_id
        pending += [*plain.encode(text), plain.end]
        used += 1
        while len(pending) >= length and len(rows) < budget.drawn:
            ids = with_begin(plain.begin, pending[:length])
            rows.append(
                {
                    "problem_id": start,
                    "response": plain.decode(pending[:length]),
                    "token_ids": ids,
                    "prompt_tokens": 0,
                    "response_tokens": len(ids),
                }
            )
            pending, start = pending[length:], document_id
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


def _table(rows: list[dict[str, object]]) -> pl.DataFrame:
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "problem_id": pl.String,
        "question": pl.String,
        "response": pl.String,
        "token_ids": pl.List(pl.Int32),
        "prompt_tokens": pl.Int32,
        "response_tokens": pl.Int32,
    }
    table = pl.DataFrame(rows, schema=schema).with_row_index("sequence")
    return table.with_columns(
        sample=pl.lit(None, dtype=pl.Int32), correctness_ratio=pl.lit(None, dtype=pl.Float64)
    )


def check_encoding(path: Path, encoding: str, model: str) -> None:
    """Refuse a calibration set whose tokens another tokenizer made than that of ``model``.

    ``encoding`` is the digest of how that one encodes. A file that does not say (a user's own, or
    an early one) passes.

    Raises:
        PruningError: it was made with a tokenizer that encodes otherwise.
        TableError: the file is not Parquet.
    """
    try:
        made = json.loads(read_spec(path) or "{}").get(ENCODING)
    except ValueError:  # a user's own table, with metadata of its own
        return
    if made not in (None, encoding):
        raise PruningError(
            f"{path} was made with another tokenizer (digest {made}) than that of {model} "
            f"({encoding}): its token ids are other text to this model. Select it for this model "
            "(`ssgr select --model`), or prune the model that it was selected for."
        )
