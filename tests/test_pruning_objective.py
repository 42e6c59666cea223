"""Which tokens an objective means, and how much they then weigh."""

import pytest
import torch

from ssgr.config import Objective
from ssgr.errors import PruningError
from ssgr.pruning.objective import calibration_sequences, meant_tokens

CLOSE = [7, 8]
# prompt of 3, thinking with the tag, answer
IDS = [1, 2, 3, 10, 11, 7, 8, 20, 21]


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("decode", [3, 4, 5, 6, 7, 8]), ("thinking", [3, 4, 5, 6]), ("answer", [7, 8])],
)
def test_which_tokens_are_meant(kind: str, meant: list[int]) -> None:
    mask = meant_tokens(IDS, 3, CLOSE, kind)
    assert mask.nonzero().flatten().tolist() == meant


def test_the_last_tag_counts_and_none_means_still_thinking() -> None:
    twice = [1, 7, 8, 10, 7, 8, 11, 7, 8, 20]
    assert meant_tokens(twice, 3, CLOSE, "answer").nonzero().flatten().tolist() == [9]
    cut = [1, 7, 8, 10, 11, 7]  # a tag in the prompt, and half a tag where the budget ended
    assert meant_tokens(cut, 3, CLOSE, "thinking").tolist() == [False] * 3 + [True] * 3
    assert not meant_tokens(cut, 3, CLOSE, "answer").any()
    assert not meant_tokens([1, 2], 3, CLOSE, "decode").any()  # cut within the prompt


def test_weights_are_one_or_what_is_asked_for() -> None:
    objective = Objective(tokens="answer", token_weight=2.5)
    one, two = calibration_sequences(
        [IDS, [4, 5]], objective, prompt_tokens=[3, 2], think_close=CLOSE
    )
    assert one.token_ids == IDS
    assert one.weights is not None
    assert one.weights.tolist() == [1.0] * 7 + [2.5] * 2
    assert two.weights is not None
    assert two.weights.tolist() == [1.0, 1.0]
    assert calibration_sequences([IDS], Objective())[0].weights is None


def test_inverse_frequency_gives_every_token_id_the_same_total() -> None:
    sequences = [[5, 5, 5, 6], [5, 6, 7]]
    made = calibration_sequences(sequences, Objective(tokens="inverse-frequency"))
    totals: dict[int, float] = {}
    for one in made:
        assert one.weights is not None
        for token, weight in zip(one.token_ids, one.weights.tolist(), strict=True):
            totals[token] = totals.get(token, 0) + weight
    assert totals == pytest.approx({5: 7 / 3, 6: 7 / 3, 7: 7 / 3})
    assert torch.cat([one.weights for one in made if one.weights is not None]).mean() == 1


def test_what_is_not_known_or_not_there_is_told() -> None:
    with pytest.raises(PruningError, match="decode tokens, but where the prompts end"):
        calibration_sequences([IDS], Objective(tokens="decode"))
    with pytest.raises(PruningError, match="thinking tokens, but the closing think tag"):
        calibration_sequences([IDS], Objective(tokens="thinking"), prompt_tokens=[3])
    with pytest.raises(PruningError, match="no calibration sequence has one"):
        calibration_sequences(
            [IDS[:5]], Objective(tokens="answer"), prompt_tokens=[3], think_close=CLOSE
        )
