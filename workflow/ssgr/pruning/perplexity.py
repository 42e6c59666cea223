"""How well a model predicts held-back text, from hidden states that have left its last block."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssgr.errors import PruningError
from ssgr.pruning.model.decoder import Decoder

# Tokens whose logits [tokens, vocabulary] are held at a time.
CHUNK = 256


def surprise(decoder: Decoder, hidden: Tensor, token_ids: Sequence[int]) -> tuple[float, int]:
    """Return the negative log likelihood of a sequence (nats), and how many tokens it is of.

    ``hidden`` [1, tokens, width] is what leaves the last block. The first token is given.
    """
    targets = torch.tensor(list(token_ids[1:]), dtype=torch.long, device=hidden.device)
    total = 0.0
    for start in range(0, len(targets), CHUNK):
        stop = min(start + CHUNK, len(targets))
        logits = decoder.logits(hidden[:, start:stop])[0].float()  # [chunk, vocabulary]
        loss = torch.nn.functional.cross_entropy(logits, targets[start:stop], reduction="sum")
        total += float(loss)
    return total, len(targets)


def perplexity(surprises: Sequence[tuple[float, int]]) -> float:
    """Return exp of the mean negative log likelihood of all predicted tokens.

    Raises:
        PruningError: there is no token to predict.
    """
    tokens = sum(count for _, count in surprises)
    if tokens == 0:
        raise PruningError("held-back text has no token to predict: give sequences of 2 or more")
    return math.exp(min(sum(loss for loss, _ in surprises) / tokens, 700.0))
