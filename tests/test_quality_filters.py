"""The default thresholds on real text: it passes, and loops planted in it do not."""

import gzip
import json
import os
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from ssgr.config import Filters
from ssgr.grading.quality import loop_share, repetition
from ssgr.selection.filters import checks

Ids = NDArray[np.int32]
TRIALS = 400
SHARED = os.environ.get("SSGR_SHARED_DATA")


@lru_cache
def real_texts(abacus: Path) -> list[Ids]:
    """Real prose, in words and marks: of this repository, and the shared documents if they are set.

    The repository's are a paragraph each and are joined, eight a text.
    """
    with gzip.open(abacus / "recipe" / "prose.jsonl.gz", "rt", encoding="utf-8") as lines:
        short = [json.loads(line)["text"] for line in lines]
    texts = ["\n".join(short[start : start + 8]) for start in range(0, len(short), 8)]
    if SHARED:
        texts += pl.read_parquet(f"{SHARED}/text/pretraining_docs.parquet")["text"].to_list()
    return in_words(texts)


def in_words(texts: Iterable[str]) -> list[Ids]:
    """Numbers for the words and marks of texts."""
    vocabulary: dict[str, int] = {}
    return [
        np.array([vocabulary.setdefault(word, len(vocabulary)) for word in words], dtype=np.int32)
        for words in (re.findall(r"\w+|[^\w\s]", text) for text in texts)
    ]


def repetitive(tokens: Ids) -> bool:
    """Whether the default filters drop a response for its repetition."""
    measured = pl.DataFrame({"rep_20": repetition(tokens), "loop_share": loop_share(tokens)})
    passes = checks(Filters())
    return measured.filter(passes["max_rep_20"] & passes["max_loop_share"]).is_empty()


def looped(part: Ids, tokens: int, rng: np.random.Generator) -> tuple[Ids, int]:
    """A loop of a part of a text, 1 to 300 tokens long, cut anywhere, and its period."""
    period = int(np.exp(rng.uniform(0, np.log(min(300, len(part) // 2)))))
    start = int(rng.integers(0, len(part) - period))
    length = max(tokens, 3 * period + int(rng.integers(0, period + 1)))
    return np.resize(part[start : start + period], length), period


def at_the_end(text: Ids, rng: np.random.Generator) -> Ids:
    """The text, then a loop to the token limit, of 30 to 95 % of the response."""
    share = rng.uniform(0.3, 0.95)
    return np.concatenate([text, looped(text, int(len(text) * share / (1 - share)), rng)[0]])


def in_the_middle(text: Ids, rng: np.random.Generator) -> Ids:
    """A loop that the response gets out of; it covers at least 40 %."""
    share, half = rng.uniform(0.4, 0.9), int(rng.uniform(0.1, 0.9) * len(text))
    loop, _ = looped(text, int(len(text) * share / (1 - share)), rng)
    return np.concatenate([text[:half], loop, text[half:]])


def nearly(text: Ids, rng: np.random.Generator) -> Ids:
    """A loop of at least 50 % of which a token changes every round, or every 40 tokens."""
    share = rng.uniform(0.5, 0.95)
    loop, period = looped(text, int(len(text) * share / (1 - share)), rng)
    changed = np.arange(int(rng.integers(0, 20)), len(loop), max(period, 40))
    loop[changed] = rng.integers(0, 1 << 20, len(changed))
    return np.concatenate([text, loop])


@pytest.mark.parametrize("plant", [at_the_end, in_the_middle, nearly])
def test_planted_loops_are_caught(
    abacus: Path, plant: Callable[[Ids, np.random.Generator], Ids]
) -> None:
    rng = np.random.default_rng(0)
    texts = real_texts(abacus)
    missed = sum(not repetitive(plant(texts[i % len(texts)], rng)) for i in range(TRIALS))
    assert missed <= TRIALS // 100


def test_real_text_passes(abacus: Path) -> None:
    texts = real_texts(abacus)
    assert len(texts) >= 70
    assert sum(map(repetitive, texts)) <= len(texts) // 100


@pytest.mark.skipif(not SHARED, reason="SSGR_SHARED_DATA is not set")
def test_worked_solutions_pass() -> None:
    solutions = [
        solution
        for name in ("math_train", "gsm8k_train")
        for solution in pl.read_parquet(f"{SHARED}/problems/{name}.parquet")["solution"]
    ]
    assert sum(map(repetitive, in_words(solutions))) <= len(solutions) // 100


def test_a_variation_within_every_20_tokens_is_beyond_the_measure() -> None:
    """Counting on in one phrase is no loop to it: every 20-gram is new."""
    phrase = np.resize(np.arange(18, dtype=np.int32), 18 * 100)
    phrase[::18] = np.arange(1000, 1100)
    assert not repetitive(phrase)
