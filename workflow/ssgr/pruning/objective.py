"""What the statistics of a pruner's inputs count: every token the same, or reasoning more.

The weight of a token multiplies its share in X^T X, so that the output error which is minimised
counts it as often. Weights are made here, once, from token ids; nothing else knows what they mean.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ssgr.config.pruning import Objective
from ssgr.errors import PruningError


@dataclass(frozen=True)
class CalibrationSequence:
    """Token ids, and how much each token counts [tokens]; None is 1 for each."""

    token_ids: list[int]
    weights: Tensor | None = None


def calibration_sequences(
    token_ids: Sequence[Sequence[int]],
    objective: Objective,
    *,
    prompt_tokens: Sequence[int] | None = None,
    think_close: Sequence[int] = (),
) -> list[CalibrationSequence]:
    """Weigh the tokens of a calibration set as an objective asks.

    Args:
        token_ids: the sequences, each a prompt and a response, cut to the budget.
        objective: what counts more, and how much.
        prompt_tokens: length of each prompt; needed for thinking, answer and decode.
        think_close: token ids of the tag that closes the thinking; needed for thinking and answer.

    Raises:
        PruningError: what the objective needs is not known, or no token of the set is meant by it.
    """
    sequences = [list(ids) for ids in token_ids]
    kind = objective.tokens
    if kind == "all" or not sequences:
        return [CalibrationSequence(ids) for ids in sequences]
    if kind == "inverse-frequency":
        return _inverse_frequency(sequences)
    if prompt_tokens is None or (kind != "decode" and not think_close):
        lacking = "where the prompts end" if prompt_tokens is None else "the closing think tag"
        raise PruningError(
            f"the objective weighs {kind} tokens, but {lacking} is not known for this calibration "
            "set; use tokens: all, or a set of responses of a model that thinks"
        )
    meant = [
        meant_tokens(ids, start, think_close, kind)
        for ids, start in zip(sequences, prompt_tokens, strict=True)
    ]
    if not any(bool(mask.any()) for mask in meant):
        raise PruningError(
            f"the objective weighs {kind} tokens, and no calibration sequence has one (cut to the "
            "budget before they begin?); use tokens: all, or a longer budget"
        )
    return [
        CalibrationSequence(ids, 1 + (objective.token_weight - 1) * mask.float())
        for ids, mask in zip(sequences, meant, strict=True)
    ]


def meant_tokens(
    token_ids: Sequence[int], prompt_tokens: int, think_close: Sequence[int], kind: str
) -> Tensor:
    """Return which tokens of a sequence are meant [tokens], as booleans.

    decode: those after the prompt. thinking: of these, up to and with the last closing tag, and
    all of them if it never closes (a response that was cut is still thinking). answer: those after
    that tag.
    """
    ids = list(token_ids)
    start = min(prompt_tokens, len(ids))
    close = len(ids) if kind == "decode" else _end_of_last(ids, list(think_close), start)
    begin, end = (close, len(ids)) if kind == "answer" else (start, close)
    mask = torch.zeros(len(ids), dtype=torch.bool)
    mask[begin:end] = True
    return mask


def _end_of_last(ids: list[int], tag: list[int], start: int) -> int:
    """Return where the last ``tag`` after ``start`` ends, or the sequence if there is none."""
    for at in range(len(ids) - len(tag), start - 1, -1):
        if ids[at : at + len(tag)] == tag:
            return at + len(tag)
    return len(ids)


def _inverse_frequency(sequences: list[list[int]]) -> list[CalibrationSequence]:
    """Weigh each token by 1 / (how often its id occurs in the set), with mean 1 over the set."""
    counts = Counter(token for ids in sequences for token in ids)
    scale = sum(counts.values()) / max(len(counts), 1)
    return [
        CalibrationSequence(ids, torch.tensor([scale / counts[token] for token in ids]))
        for ids in sequences
    ]
