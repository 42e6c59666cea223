"""RIA's scores, and the permutation of channels with it, against loops and brute force."""

from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from layer_inputs import correlated, gathered, random_weight
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.importance import relative_importance
from ssgr.pruning.permutation import Exchange, best_order, exchangeable, permute_channels, retained
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from ssgr.pruning.statistics import InputStatistics


def test_the_scores_are_the_paper_s() -> None:
    weight, statistics = random_weight(4, 6), gathered(correlated(6, 50))
    scores = relative_importance(weight, statistics)
    size = weight.abs().tolist()
    for i in range(4):
        for j in range(6):
            row, column = sum(size[i]), sum(size[k][j] for k in range(4))
            norm = float(statistics.squared_norm[j]) ** 0.5
            expected = (size[i][j] / column + size[i][j] / row) * norm**0.5
            assert float(scores[i, j]) == pytest.approx(expected, rel=1e-5)


def test_ria_compares_across_the_matrix_and_changes_nothing_else() -> None:
    weight, statistics = random_weight(6, 40), gathered(correlated(40, 100))
    pruned = PRUNERS["ria"](weight, statistics, Sparsity.parse("30"), PrunerSettings())
    scores = relative_importance(weight, statistics)
    gone = pruned == 0
    assert float(scores[gone].max()) <= float(scores[~gone].min())
    assert torch.equal(pruned[~gone], weight[~gone])


def test_rows_and_columns_of_zeros_have_no_share() -> None:
    weight = random_weight(5, 8)
    weight[2], weight[:, 3] = 0, 0
    scores = relative_importance(weight, gathered(correlated(8, 50)))
    assert bool(torch.isfinite(scores).all())
    assert float(scores[2].sum() + scores[:, 3].sum()) == 0


def brute_force(scores: Tensor, zeros: int) -> float:
    """The most that two groups can retain, over all ways to choose the first."""
    columns = set(range(scores.shape[1]))
    group = len(columns) // 2
    return max(
        retained(scores[:, [*first, *sorted(columns - set(first))]], zeros, group)
        for first in combinations(sorted(columns), group)
    )


@pytest.mark.parametrize(("columns", "zeros"), [(4, 1), (6, 1), (6, 2), (8, 2)])
def test_two_groups_come_near_the_best_of_all_orders(columns: int, zeros: int) -> None:
    generator = torch.Generator().manual_seed(columns + zeros)
    shares = []
    for _ in range(20):
        scores = torch.rand(3, columns, generator=generator).pow(4)
        order = best_order(scores, zeros, columns // 2)
        reached = retained(scores[:, order], zeros, columns // 2)
        shares.append(reached / brute_force(scores, zeros))
    assert max(shares) == pytest.approx(1)
    assert sum(shares) / len(shares) > 0.97


@pytest.mark.parametrize(("zeros", "group"), [(2, 4), (4, 8), (1, 4), (3, 4), (1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_an_order_retains_more_and_holds_each_column_once(
    zeros: int, group: int, seed: int
) -> None:
    """Neighbours alike, as after training with some structure: the given order is a bad one."""
    scores = relative_importance(random_weight(24, 64, seed), gathered(correlated(64, 200, seed)))
    scores = scores[:, scores.sum(dim=0).argsort()]
    order = best_order(scores, zeros, group)
    assert sorted(order.tolist()) == list(range(64))
    before, after = (retained(s, zeros, group) for s in (scores, scores[:, order]))
    assert after > 1.01 * before
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for at in range(0, 64, group):
        top = scores[:, order[at : at + group]].argsort(dim=1, descending=True)[:, : group - zeros]
        kept.scatter_(1, order[at : at + group][top], True)
    assert after == pytest.approx(float(scores[kept].sum()), rel=1e-5)


def test_a_best_order_is_not_left() -> None:
    """Groups that already retain all that any could: big and small channels in turn."""
    scores = torch.tensor([[9.0, 8.0, 0.1, 0.2] * 4] * 3)
    order = best_order(scores, 2, 4)
    assert retained(scores[:, order], 2, 4) == retained(scores, 2, 4) == 3 * 4 * 17
    assert best_order(scores[:, :4], 2, 4).tolist() == [0, 1, 2, 3]


def test_columns_that_do_not_divide_are_refused() -> None:
    with pytest.raises(PruningError, match="6 columns do not divide into groups of 4"):
        best_order(torch.ones(2, 6), 2, 4)


def test_a_permuted_block_computes_the_same_and_its_2_of_4_keeps_more() -> None:
    gate, up, down, bias = (
        random_weight(*shape, seed)
        for seed, shape in enumerate([(48, 16), (48, 16), (16, 48), (48, 1)])
    )
    inputs = correlated(16, 300)

    def middle(gate: Tensor, up: Tensor, bias: Tensor) -> Tensor:
        return nn.functional.silu(inputs @ gate.T) * (inputs @ up.T + bias[:, 0])

    statistics = gathered(middle(gate, up, bias))
    scores = relative_importance(down, statistics)
    order = best_order(scores, 2, 4)
    assert order.tolist() != list(range(48))
    (gate2, up2, bias2), down2 = permute_channels([gate, up, bias], down, order)
    assert down2.is_contiguous()
    torch.testing.assert_close(
        middle(gate2, up2, bias2) @ down2.T, middle(gate, up, bias) @ down.T, rtol=1e-4, atol=1e-3
    )
    permuted = statistics.permuted(order)
    again = gathered(middle(gate2, up2, bias2))
    torch.testing.assert_close(permuted.gram, again.gram, rtol=1e-3, atol=1e-3)
    kept = [score_kept(down, statistics), score_kept(down2, permuted)]
    assert kept[1] > kept[0]


def score_kept(down: Tensor, statistics: InputStatistics) -> float:
    pruned = PRUNERS["ria"](down, statistics, Sparsity.parse("2:4"), PrunerSettings())
    return float(relative_importance(down, statistics)[pruned != 0].sum())


def test_gated_mlps_and_experts_are_exchangeable_and_nothing_else() -> None:
    attention = ["self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj"]
    dense = ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    assert exchangeable([*attention, *dense]) == [Exchange(tuple(dense[:2]), dense[2])]
    experts = [
        f"mlp.experts.{e}.{part}"
        for e in (0, 11)
        for part in ("w1", "w2", "w3", "gate_proj", "up_proj", "down_proj")
    ]
    found = exchangeable(experts)
    assert Exchange(("mlp.experts.11.w1", "mlp.experts.11.w3"), "mlp.experts.11.w2") in found
    assert len(found) == 4
    assert exchangeable(["mlp.gate_up_proj", "mlp.down_proj", "mlp.fc1", "mlp.fc2"]) == []
    assert exchangeable(["gate_proj", "up_proj", "down_proj"]) == [
        Exchange(("gate_proj", "up_proj"), "down_proj")
    ]
