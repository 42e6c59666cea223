"""Drawing the next token: temperature, nucleus and each response's own random numbers.

One uniform number a token and the inverse of the nucleus's distribution function make the draw a
plain function of (logits, uniform): the other rows of a batch cannot enter it.
"""

import numpy as np
import torch
from torch import Tensor

BLOCK = 256  # uniforms drawn at once; part of what a seed means, so never change it
HEAD = 32  # most likely tokens tried first; a nucleus seldom holds more


class UniformStream:
    """The uniform numbers in [0, 1) of one response, in the order of its tokens.

    Philox is keyed by the whole seed: torch's CPU generator would use its low 32 bits only, and
    two problems of a large pool would then share their numbers.
    """

    def __init__(self, seed: int) -> None:
        """Start the stream of ``seed``."""
        self._generator = np.random.Generator(np.random.Philox(key=seed))
        self._block: list[float] = []

    def next(self) -> float:
        """Return the next number."""
        if not self._block:
            self._block = self._generator.random(BLOCK, dtype=np.float32)[::-1].tolist()
        return self._block.pop()


def draw(
    logits: Tensor, uniforms: Tensor | None, temperature: float, top_p: float
) -> tuple[Tensor, Tensor]:
    """Choose one token a row.

    Args:
        logits: [rows, vocabulary], any floating dtype; the maths is done in fp32.
        uniforms: [rows] in [0, 1); may be None at temperature 0, which takes the likeliest token.
        temperature: divides the logits before the nucleus is cut.
        top_p: the nucleus is the smallest set of likeliest tokens with at least this probability
            (Holtzman et al. 2020, section 3.1).

    Returns:
        Token ids [rows], and their log-probabilities [rows] under the full softmax at
        temperature 1. The latter are NaN where the logits are not finite.
    """
    logits = logits.float()
    if temperature == 0:
        tokens = logits.argmax(dim=-1)
    else:
        if uniforms is None:
            raise ValueError("draw() needs uniforms at a temperature above 0")
        tokens = _draw_nucleus(logits / temperature, uniforms, top_p)
    chosen = logits.gather(-1, tokens[:, None])[:, 0]
    return tokens, chosen - logits.logsumexp(dim=-1)


def _draw_nucleus(scaled: Tensor, uniforms: Tensor, top_p: float) -> Tensor:
    """Try the HEAD likeliest tokens; sort a whole row only where the nucleus is wider."""
    normaliser = scaled.logsumexp(dim=-1, keepdim=True)  # [rows, 1]
    head, ids = scaled.topk(min(HEAD, scaled.shape[-1]), dim=-1)
    probabilities = (head - normaliser).exp()
    tokens = _invert(probabilities, ids, uniforms, top_p)
    wide = (probabilities.sum(dim=-1) < top_p).nonzero()[:, 0]
    if wide.numel():
        full, full_ids = scaled[wide].sort(dim=-1, descending=True, stable=True)
        probabilities = (full - normaliser[wide]).exp()
        tokens[wide] = _invert(probabilities, full_ids, uniforms[wide], top_p)
    return tokens


def _invert(probabilities: Tensor, ids: Tensor, uniforms: Tensor, top_p: float) -> Tensor:
    """Invert the distribution function of the nucleus; ``probabilities`` [rows, k] descend."""
    cumulative = probabilities.cumsum(dim=-1)
    inside = (cumulative - probabilities) < top_p  # mass before the token
    inside[:, 0] = True
    size = inside.sum(dim=-1, keepdim=True)  # [rows, 1]
    mass = cumulative.gather(-1, size - 1)
    rank = (cumulative <= uniforms[:, None] * mass).sum(dim=-1, keepdim=True)
    return ids.gather(-1, torch.minimum(rank, size - 1))[:, 0]
