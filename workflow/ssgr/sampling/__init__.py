"""Sampling responses to problems: the same code serves the pool and the evaluation."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
from tqdm import tqdm

from ssgr.config import Sampling
from ssgr.errors import TableError
from ssgr.grading.online import OnlineGrader
from ssgr.grading.spec import Judging
from ssgr.sampling.engines import ENGINES, load_engine
from ssgr.sampling.journal import Journal
from ssgr.sampling.prompts import PromptFormat, render_prompt
from ssgr.sampling.protocol import (
    Engine,
    Everything,
    Prompt,
    Request,
    Response,
    Work,
    check_lengths,
)
from ssgr.sampling.scheduler import Scheduler
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.tokenizer import load_tokenizer, text_decoder, tokenizer_of
from ssgr.selection.early_stop import Needs
from ssgr.storage.tables import Responses

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "ENGINES",
    "EarlyStop",
    "Engine",
    "Everything",
    "Journal",
    "Prompt",
    "PromptFormat",
    "Request",
    "Response",
    "Sampled",
    "Work",
    "load_engine",
    "load_tokenizer",
    "prompts_of",
    "render_prompt",
    "response_seed",
    "responses_table",
    "sample",
    "tokenizer_of",
]

EngineLoader = Callable[[int], Engine]
"""Loads an engine that holds so many positions (longest prompt and response together)."""


@dataclass(frozen=True)
class EarlyStop:
    """Draw only what ``needs`` may look at, judging by ``judging`` as responses finish."""

    needs: Needs
    judging: Judging


@dataclass(frozen=True)
class Sampled:
    """``responses``: a Responses table; ``seconds``: from the loaded engine to the last of them."""

    responses: pl.DataFrame
    seconds: float


def sample(
    problems: pl.DataFrame,
    *,
    name: str,
    template: str | PromptFormat,
    sampling: Sampling,
    engine: EngineLoader,
    tokenizer: "PreTrainedTokenizerBase",
    tags: Sequence[str] = ("<think>", "</think>"),
    journal: Journal | None = None,
    earlier: pl.DataFrame | None = None,
    early_stop: EarlyStop | None = None,
    begin: Callable[[], object] | None = None,
    progress_interval: float = 5.0,
) -> Sampled:
    """Draw the responses to every problem that are missing.

    Args:
        problems: table of the Problems schema.
        name: shown in the progress bar.
        template: how a question is put; a text is the user turn with ``{question}`` in it.
        sampling: how responses are drawn.
        engine: loads the model; not called if nothing is missing.
        tokenizer: the model's own.
        tags: the model's think tags, which stay in the text even as special tokens.
        journal: where responses are kept as they finish; what it holds is not drawn again.
        earlier: Responses that exist already and are not drawn again.
        early_stop: what is needed; None draws all n responses of every problem.
        begin: called once before the first response is kept: the engine is loaded, and draws.
        progress_interval: least seconds between two lines of the progress bar (stderr).

    Returns:
        What was drawn or found in the journal, sorted by problem and sample. ``text`` leaves out
        special tokens other than ``tags``.

    Raises:
        TableError: an id twice, or ``earlier`` responses to other prompts.
        ConfigError, ModelError: see `render_prompt` and the engine.
    """
    prompts = prompts_of(problems, tokenizer, template)
    decode = text_decoder(tokenizer, tags)
    kept = list(journal.known) if journal else []
    known = [(response.problem_id, response.sample) for response in kept]
    if earlier is not None:
        _check_prompts(prompts, earlier)
        known += earlier.select("problem_id", "sample").rows()

    def table(responses: Sequence[Response]) -> pl.DataFrame:
        return responses_table(responses, prompts, decode)

    seconds = 0.0
    with ExitStack() as stack:
        grader = None
        if early_stop:
            grader = stack.enter_context(
                OnlineGrader(problems, early_stop.judging, early_stop.needs.filters)
            )
            for there in (earlier, table(kept)):
                if there is not None and len(there):
                    grader.submit(there)
        needs = early_stop.needs if early_stop else None
        scheduler = Scheduler(
            prompts, sampling.n, known=known, needs=needs, grader=grader, table=table
        )
        if scheduler.anything:
            longest = max(len(prompt.token_ids) for prompt in prompts)
            loaded = engine(longest + sampling.max_tokens)
            stack.callback(loaded.close)
            check_lengths(prompts, sampling, loaded.max_length)
            start = time.monotonic()
            for response in _with_progress(loaded, scheduler, sampling, name, progress_interval):
                if begin:
                    begin()
                    begin = None
                if journal:
                    journal.append(response)
                kept.append(response)
            seconds = time.monotonic() - start
    return Sampled(table(kept), seconds)


def prompts_of(
    problems: pl.DataFrame, tokenizer: "PreTrainedTokenizerBase", template: str | PromptFormat
) -> list[Prompt]:
    """Render the prompt of every problem.

    Raises:
        TableError: an id stands twice.
        ConfigError, ModelError: see `render_prompt`.
    """
    twice = problems.filter(pl.col("problem_id").is_duplicated())["problem_id"].unique().sort()
    if len(twice):
        raise TableError(f"problem_id must be unique; these stand twice: {twice.to_list()[:5]}")
    return [
        Prompt(problem_id, tuple(render_prompt(tokenizer, question, template)))
        for problem_id, question in problems.select("problem_id", "question").iter_rows()
    ]


def _check_prompts(prompts: Sequence[Prompt], earlier: pl.DataFrame) -> None:
    """Refuse to add to responses whose prompts were made of other tokens."""
    now = {prompt.problem_id: list(prompt.token_ids) for prompt in prompts}
    for problem_id, then in earlier.select("problem_id", "prompt_token_ids").iter_rows():
        if now.get(problem_id, then) != then:
            raise TableError(
                f"Earlier responses to problem {problem_id!r} were drawn to a prompt of "
                f"{len(then)} tokens, which is now made of {len(now[problem_id])} others: the "
                "model's chat template or tokenizer, or the way it is read, has changed. Draw "
                "into another pool.path, or purge those responses (ssgr pool purge)."
            )


def responses_table(
    responses: Sequence[Response],
    prompts: Sequence[Prompt],
    decode: Callable[[Sequence[int]], str],
) -> pl.DataFrame:
    """Return responses to ``prompts`` as a Responses table, sorted by problem and sample."""
    prompt_ids = {prompt.problem_id: list(prompt.token_ids) for prompt in prompts}
    ordered = sorted(responses, key=lambda response: (response.problem_id, response.sample))
    columns = {
        "problem_id": [r.problem_id for r in ordered],
        "sample": [r.sample for r in ordered],
        "prompt_token_ids": [prompt_ids[r.problem_id] for r in ordered],
        "token_ids": [list(r.token_ids) for r in ordered],
        "text": [decode(r.token_ids) for r in ordered],
        "finish_reason": [r.finish_reason for r in ordered],
        "tokens": [len(r.token_ids) for r in ordered],
        "mean_logprob": [r.mean_logprob for r in ordered],
    }
    return Responses.cast(pl.DataFrame(columns, schema_overrides=_TYPES))


_TYPES: dict[str, type[pl.DataType] | pl.DataType] = {
    "problem_id": pl.String,
    "prompt_token_ids": pl.List(pl.Int32),
    "token_ids": pl.List(pl.Int32),
    "text": pl.String,
    "finish_reason": pl.String,
}


def _with_progress(
    engine: Engine, scheduler: Scheduler, sampling: Sampling, name: str, interval: float
) -> Iterator[Response]:
    """Yield what the engine finishes; the bar shows problems done, tokens/s and the end."""
    drawn = tokens = 0
    with tqdm(
        total=scheduler.problems,
        initial=scheduler.finished,
        desc=name,
        unit="problem",
        file=sys.stderr,
        mininterval=interval,
        miniters=0,
        ncols=110,
    ) as bar:
        for response in engine.generate(scheduler, sampling):
            scheduler.add(response)
            drawn, tokens = drawn + 1, tokens + len(response.token_ids)
            elapsed = bar.format_dict["elapsed"] or 1e-9
            bar.set_postfix_str(
                f"{drawn} responses, {tokens / elapsed:,.0f} tokens/s", refresh=False
            )
            bar.update(scheduler.finished - bar.n)
            yield response
