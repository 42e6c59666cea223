"""How far candidates of a search are from the dense model, all of them in one sweep over blocks.

Candidates that agree on the first blocks share what leaves them: an offspring costs no more than
the blocks from its first change on. What the dense model predicts is made once for all of them.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ssgr.pruning.activations import Activations
from ssgr.pruning.allocation.database import Database
from ssgr.pruning.allocation.ladder import Levels
from ssgr.pruning.allocation.method import Task
from ssgr.pruning.model.loading import swapped

# Tokens whose logits [tokens, vocabulary] of both models are held at a time.
CHUNK = 256


class Divergence:
    """KL(dense || pruned) of the next token, averaged over the (weighted) tokens of sequences.

    ``dense`` holds what leaves the dense model's last block, for every sequence of the task.
    """

    def __init__(self, task: Task, database: Database, dense: Activations) -> None:
        self.task = task
        self.database = database
        self.dense = dense

    def __call__(self, candidates: Sequence[Levels], chosen: Sequence[int]) -> list[float]:
        """Return the divergence of each candidate on some sequences, by their positions."""
        decoder = self.task.decoder
        embedded = self.task.activations(4)
        for at in chosen:
            embedded.append(decoder.embed(self.task.sequences[at].token_ids))
        states: dict[Levels, Activations] = {(): embedded}
        for index in range(decoder.depth):
            states = self._next(index, candidates, states)
        with decoder.head():
            found = self._means(states, chosen)
        for one in states.values():
            one.close()
        return [found[levels] for levels in candidates]

    def _next(
        self, index: int, candidates: Sequence[Levels], states: dict[Levels, Activations]
    ) -> dict[Levels, Activations]:
        """Run one block for all different beginnings of the candidates."""
        own = [i for i, shape in enumerate(self.task.shapes) if shape.block == index]
        begin, end = own[0], own[-1] + 1
        beginnings = sorted({levels[:end] for levels in candidates})
        after = {}
        with self.task.decoder.block(index) as linears:
            for levels in beginnings:
                named = {self.task.shapes[i].name: levels[i] for i in own}
                after[levels] = self.task.activations(4 * len(beginnings))
                with swapped(linears, self.database.read(index, named)):
                    before = states[levels[:begin]]
                    for at in range(len(before)):
                        after[levels].append(self.task.decoder.run(index, before[at]))
        for one in states.values():
            one.close()
        return after

    def _means(
        self, candidates: Mapping[Levels, Activations], chosen: Sequence[int]
    ) -> dict[Levels, float]:
        totals, weight = dict.fromkeys(candidates, 0.0), 0.0
        for place, at in enumerate(chosen):
            counts, length = self.task.sequences[at].weights, self.dense.shape(at)[1]
            weight += float(length if counts is None else counts.sum())
            for start in range(0, length, CHUNK):
                stop = start + CHUNK
                teacher = self._log_probabilities(self.dense, at, start, stop)
                for levels, pruned in candidates.items():
                    student = self._log_probabilities(pruned, place, start, stop)
                    each = divergence(teacher, student)  # [tokens]
                    own = 1 if counts is None else counts[start:stop].to(each)
                    totals[levels] += float((each * own).sum())
        return {levels: total / weight if weight > 0 else 0.0 for levels, total in totals.items()}

    def _log_probabilities(self, states: Activations, at: int, start: int, stop: int) -> Tensor:
        """Return the ln p of every next token [tokens, vocabulary], in fp32."""
        return self.task.decoder.logits(states.tokens(at, start, stop))[0].float().log_softmax(-1)


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(p || q) = sum_v p_v (ln p_v - ln q_v) at every token [tokens], in nats.

    ``teacher`` and ``student`` [tokens, vocabulary] are ln p and ln q.
    """
    return (teacher.exp() * (teacher - student)).sum(-1)
