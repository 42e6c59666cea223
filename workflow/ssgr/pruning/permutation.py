"""Which channels stand in one group of M: a permutation that lets N:M keep more, as RIA's does.

The order of a gated MLP's inner channels is free: permute the rows of gate and up and the columns
of down alike, and the block computes the same. N:M looks at neighbours along a row, so only down is
pruned otherwise for it. Attention's little freedom (v and o, within a head) is not used.

The walk gathers the dense statistics of a block, and then, for each of `exchangeable`'s, finds
`best_order` of the consumer's scores, applies it by `permute_channels`, and goes on with the
consumer's statistics `permuted`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ssgr.pruning.masks import require_groups

# Rounds over the M places of a group, at most; a round that gains less than this share is the last.
ROUNDS, GAIN = 3, 1e-3
# Numbers held at once while all channels are tried in all groups.
HELD = 2**24
# A gated MLP by the names of its matrices: (those whose rows, the one whose columns) are permuted.
GATED = (("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2"))


@dataclass(frozen=True)
class Exchange:
    """Matrices that may be permuted together: the rows of producers, the consumer's columns."""

    producers: tuple[str, ...]
    consumer: str


def exchangeable(linears: Iterable[str], parameters: Iterable[str] = ()) -> list[Exchange]:
    """Return what may be permuted among the linears of a block: its MLP, or each of its experts.

    An MLP that stores gate and up as one matrix, has no gate, or has other parameters (BitNet: a
    norm before its last matrix) is left out.

    Args:
        linears: their names within the block, such as ``mlp.experts.3.up_proj``.
        parameters: the names of all parameters of the block.
    """
    known = set(linears)
    others = [name for name in parameters if name.rpartition(".")[0] not in known]
    found = []
    for *above, below in GATED:
        for name in sorted(known):
            folder, dot, last = name.rpartition(".")
            producers = tuple(f"{folder}{dot}{producer}" for producer in above)
            alone = not any(other.startswith(f"{folder}{dot}") for other in others)
            if last == below and known.issuperset(producers) and alone:
                found.append(Exchange(producers, name))
    return found


def permute_channels(
    producers: Sequence[Tensor], consumer: Tensor, order: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Return producers [channels, ...] and consumer [rows, channels] with channels in ``order``.

    A producer may be a weight or a bias.
    """
    return [producer[order] for producer in producers], consumer[:, order].contiguous()


def retained(scores: Tensor, zeros: int, group: int) -> float:
    """Return the sum of scores [rows, columns] that N:M keeps: the M - N highest of each group.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    require_groups(scores.shape[1], group)
    kept = scores.reshape(len(scores), -1, group).topk(group - zeros, dim=2).values
    return float(kept.sum(dtype=torch.float64))


def best_order(scores: Tensor, zeros: int, group: int) -> Tensor:
    """Return an order of columns [columns] whose scores [rows, columns] N:M retains best.

    The better of the order as it is and of dealing columns out by their sums is improved place by
    place: one channel of every group is taken out, and all are put back where together they
    retain most (a linear sum assignment). So it is never worse than no permutation.

    Raises:
        PruningError: the columns do not divide into groups of M.
    """
    columns = scores.shape[1]
    require_groups(columns, group)
    scores = scores.float()
    as_is = torch.arange(columns, device=scores.device)
    orders = [as_is, _dealt(scores, group)]
    best = max(orders, key=lambda order: retained(scores[:, order], zeros, group))
    if columns == group or group == 1:
        return as_is
    reached = retained(scores[:, best], zeros, group)
    for _ in range(ROUNDS):
        for place in range(group):
            best = _reassigned(scores, best, place, zeros, group)
        before, reached = reached, retained(scores[:, best], zeros, group)
        if reached - before < GAIN * abs(before):
            break
    return best


def _dealt(scores: Tensor, group: int) -> Tensor:
    """Deal columns out to groups by falling sums, there and back again, as cards are dealt."""
    ranked = scores.sum(dim=0).argsort(descending=True, stable=True)
    dealt = ranked.view(group, -1)  # [place, group of M]
    dealt[1::2] = dealt[1::2].flip(1)
    return dealt.T.reshape(-1)


def _reassigned(scores: Tensor, order: Tensor, place: int, zeros: int, group: int) -> Tensor:
    """Take the channel at one place out of every group and put all back in the best way.

    With t the (M - N)th highest score of those that stay in a row of a group, a channel of score s
    adds max(s - t, 0) to what is retained there.
    """
    groups = order.view(-1, group)  # [groups, M]
    moving = groups[:, place]
    staying = torch.cat([groups[:, :place], groups[:, place + 1 :]], dim=1)
    rows = scores[:, staying.flatten()].view(len(scores), *staying.shape)
    threshold = rows.topk(group - zeros, dim=2).values[..., -1]  # [rows, groups]
    gains = _gains(scores[:, moving].T.contiguous(), threshold.T.contiguous())
    _, chosen = linear_sum_assignment(gains.cpu().numpy(), maximize=True)
    result = groups.clone()
    result[:, place] = moving[torch.from_numpy(chosen).to(moving.device)]
    return result.flatten()


def _gains(channels: Tensor, thresholds: Tensor) -> Tensor:
    """Return the sum over rows of max(channel - threshold, 0), [groups, channels].

    ``channels`` and ``thresholds`` are [groups, rows].
    """
    held = max(HELD // channels.numel(), 1)
    return torch.cat(
        [
            (channels[None] - thresholds[start : start + held, None]).relu_().sum(dim=2)
            for start in range(0, len(thresholds), held)
        ]
    )
