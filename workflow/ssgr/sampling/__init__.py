"""Sampling responses to problems: the same code serves the pool and the evaluation."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import polars as pl
from tqdm import tqdm

from ssgr.config import Sampling
from ssgr.errors import TableError
from ssgr.sampling.engine import ENGINES, Engine, Prompt, Response, load_engine
from ssgr.sampling.prompts import load_tokenizer, render_prompt
from ssgr.sampling.seeds import response_seed
from ssgr.tables import Responses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "ENGINES",
    "Engine",
    "Prompt",
    "Response",
    "load_engine",
    "load_tokenizer",
    "render_prompt",
    "response_seed",
    "sample",
]


def sample(
    problems: pl.DataFrame,
    model: str,
    *,
    template: str,
    sampling: Sampling,
    engine: Engine,
    tokenizer: "PreTrainedTokenizerBase",
    progress_interval: float = 5.0,
) -> pl.DataFrame:
    """Draw ``sampling.n`` responses to every problem.

    Args:
        problems: table of the Problems schema.
        model: name shown in the progress bar.
        template: user turn with ``{question}`` in it.
        sampling: how responses are drawn.
        engine: the loaded model.
        tokenizer: the model's own.
        progress_interval: least seconds between two lines of the progress bar (stderr).

    Returns:
        Table of the Responses schema, sorted by problem and sample. ``text`` leaves out special
        tokens; ``<think>`` tags stay when the tokenizer declares them as ordinary added tokens.

    Raises:
        TableError: no problems, or an id twice.
        ConfigError, ModelError: see `render_prompt` and the engine.
    """
    prompts = _prompts(problems, tokenizer, template)
    finished = engine.generate(prompts, sampling)
    total = len(prompts) * sampling.n
    responses = list(_with_progress(finished, total, model, progress_interval))
    return _table(responses, prompts, tokenizer)


def _prompts(
    problems: pl.DataFrame, tokenizer: "PreTrainedTokenizerBase", template: str
) -> list[Prompt]:
    if problems.is_empty():
        raise TableError("There are no problems to sample responses to: the table is empty.")
    twice = problems.filter(pl.col("problem_id").is_duplicated())["problem_id"].unique().sort()
    if len(twice):
        raise TableError(f"problem_id must be unique; these stand twice: {twice.to_list()[:5]}")
    return [
        Prompt(problem_id, tuple(render_prompt(tokenizer, question, template)))
        for problem_id, question in problems.select("problem_id", "question").iter_rows()
    ]


def _with_progress(
    responses: Iterable[Response], total: int, model: str, interval: float
) -> Iterable[Response]:
    tokens = 0
    with tqdm(
        total=total, desc=model, unit="response", file=sys.stderr, mininterval=interval, ncols=100
    ) as bar:
        for response in responses:
            tokens += len(response.token_ids)
            bar.update()
            elapsed = bar.format_dict["elapsed"] or 1e-9
            bar.set_postfix_str(f"{tokens / elapsed:,.0f} tokens/s", refresh=False)
            yield response


def _table(
    responses: Sequence[Response], prompts: Sequence[Prompt], tokenizer: "PreTrainedTokenizerBase"
) -> pl.DataFrame:
    prompt_ids = {prompt.problem_id: list(prompt.token_ids) for prompt in prompts}
    ordered = sorted(responses, key=lambda response: (response.problem_id, response.sample))
    columns = {
        "problem_id": [r.problem_id for r in ordered],
        "sample": [r.sample for r in ordered],
        "prompt_token_ids": [prompt_ids[r.problem_id] for r in ordered],
        "token_ids": [list(r.token_ids) for r in ordered],
        "text": [
            tokenizer.decode(
                list(r.token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            for r in ordered
        ],
        "finish_reason": [r.finish_reason for r in ordered],
        "tokens": [len(r.token_ids) for r in ordered],
        "mean_logprob": [r.mean_logprob for r in ordered],
    }
    return Responses.validate(pl.DataFrame(columns), cast=True)
