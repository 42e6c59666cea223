"""The engine for any Hugging Face causal LM, on CPU and GPU: its own continuous batching.

`generate` pads, computes a prompt once per sample and keeps finished sequences in the batch until
the last one ends. With n samples of very different lengths per problem that is most of the work.
"""

import inspect
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ssgr.config import Sampling
from ssgr.errors import ModelError
from ssgr.sampling import attention
from ssgr.sampling.draws import UniformStream, draw
from ssgr.sampling.engine import EngineSettings, FinishReason, Prompt, Response, check_lengths
from ssgr.sampling.loading import check_rope, end_token_ids, load_model
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.slots import KeysAndValues, SlotCache, keys_and_values


def load(model_folder: str, settings: EngineSettings) -> "TransformersEngine":
    """Load a model folder or hub name; raises what `load_model` raises."""
    return TransformersEngine(
        load_model(model_folder, settings), settings.batch_size, settings.max_length
    )


@dataclass
class _Sequence:
    """A response in the making."""

    problem_id: str
    sample: int
    stream: UniformStream
    token_ids: list[int] = field(default_factory=list)
    logprob: float = 0.0


@dataclass
class _Computed:
    """A prompt after its one forward pass, and its samples that have not started yet."""

    problem_id: str
    cache: KeysAndValues
    logits: Tensor  # [1, vocabulary]
    samples: deque[int]


class TransformersEngine:
    """Decodes up to ``slots`` sequences at a time.

    In fp32 a response was the same in every batch that we tried. In half precision, matrix
    products of other shapes round differently, and a draw may land on the other side of a
    boundary; the random numbers still belong to the response alone.
    """

    def __init__(
        self, model: PreTrainedModel, slots: int = 128, max_length: int | None = None
    ) -> None:
        """Take a loaded model.

        Raises:
            ModelError: the model cannot be decoded in rows of different lengths.
        """
        self.model = model.train(False)
        self.model.set_attn_implementation(attention.NAME)
        self.slots = slots
        self.end_ids = end_token_ids(model)
        positions = getattr(model.config, "max_position_embeddings", None)
        limits = [limit for limit in (positions, max_length) if limit is not None]
        self.max_length: int | None = min(limits, default=None)
        check_rope(model)
        accepts = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepts else {}

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Response]:
        """Yield each response as it finishes.

        Raises:
            ModelError: a prompt leaves no room for ``max_tokens``, or the model's logits are not
                finite.
        """
        check_lengths(prompts, sampling, self.max_length)
        batch = _Batch(self, sampling)
        for prompt in prompts:
            waiting = self._compute(prompt, sampling.n)
            while waiting.samples:
                yield from batch.admit(waiting)
                if waiting.samples or batch.full:
                    yield from batch.step()
        while batch.live:
            yield from batch.step()

    @torch.inference_mode()
    def _compute(self, prompt: Prompt, n: int) -> _Computed:
        """Run the prompt alone: no padding, and once for all its samples."""
        ids = torch.tensor([prompt.token_ids], device=self.model.device)
        output = self.model(input_ids=ids, use_cache=True, **self._last_only)
        cache = keys_and_values(output.past_key_values)
        return _Computed(prompt.problem_id, cache, output.logits[:, -1], deque(range(n)))


class _Batch:
    """The live sequences of one call of `generate`; row i of the cache belongs to rows[i]."""

    def __init__(self, engine: TransformersEngine, sampling: Sampling) -> None:
        self.engine = engine
        self.sampling = sampling
        self.rows: list[_Sequence | None] = []  # None: finished, the row is free
        self.cache: SlotCache | None = None

    @property
    def live(self) -> int:
        return sum(sequence is not None for sequence in self.rows)

    @property
    def full(self) -> bool:
        return self.live >= self.engine.slots

    @torch.inference_mode()
    def admit(self, waiting: _Computed) -> list[Response]:
        """Start as many samples as there are free rows; return those that end at once."""
        if self.cache is None:
            self.cache = SlotCache(self.engine.slots, waiting.cache)
        count = min(self.engine.slots - self.live, len(waiting.samples))
        if not count:
            return []
        started = [self._start(waiting) for _ in range(count)]
        finished = self._draw(waiting.logits.expand(count, -1), started)
        going = [s for s, response in zip(started, finished, strict=True) if response is None]
        rows = self._take_rows(going)
        if rows:
            self.cache.place(waiting.cache, rows)
        return [response for response in finished if response is not None]

    @torch.inference_mode()
    def step(self) -> list[Response]:
        """Decode one token of every live sequence; return the responses that end with it."""
        self._compact()
        if not self.rows or self.cache is None:
            return []
        sequences = [sequence for sequence in self.rows if sequence is not None]
        newest = [[sequence.token_ids[-1]] for sequence in sequences]
        positions, mask = self.cache.advance()
        output = self.engine.model(
            input_ids=torch.tensor(newest, device=positions.device),
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
        )
        finished = self._draw(output.logits[:, -1], sequences)
        for row, response in enumerate(finished):
            if response is not None:
                self.rows[row] = None
        return [response for response in finished if response is not None]

    def _start(self, waiting: _Computed) -> _Sequence:
        sample = waiting.samples.popleft()
        seed = response_seed(self.sampling.seed, waiting.problem_id, sample)
        return _Sequence(waiting.problem_id, sample, UniformStream(seed))

    def _draw(self, logits: Tensor, sequences: Sequence[_Sequence]) -> list[Response | None]:
        """Append the next token to each sequence; logits are [sequences, vocabulary]."""
        uniforms = None
        if self.sampling.temperature > 0:
            numbers = [sequence.stream.next() for sequence in sequences]
            uniforms = torch.tensor(numbers, device=logits.device)
        drawn = draw(logits, uniforms, self.sampling.temperature, self.sampling.top_p)
        tokens, logprobs = (values.tolist() for values in drawn)
        return [
            self._append(sequence, token, logprob)
            for sequence, token, logprob in zip(sequences, tokens, logprobs, strict=True)
        ]

    def _append(self, sequence: _Sequence, token: int, logprob: float) -> Response | None:
        if not math.isfinite(logprob):
            raise ModelError(
                f"The model's logits are not finite at token {len(sequence.token_ids)} of "
                f"response {sequence.sample} to problem {sequence.problem_id!r}: the checkpoint "
                "is broken, or its dtype overflows (try bfloat16 or float32)."
            )
        sequence.token_ids.append(token)
        sequence.logprob += logprob
        reason: FinishReason = "stop" if token in self.engine.end_ids else "length"
        count = len(sequence.token_ids)
        if reason == "length" and count < self.sampling.max_tokens:
            return None
        return Response(
            sequence.problem_id,
            sequence.sample,
            tuple(sequence.token_ids),
            reason,
            sequence.logprob / count,
        )

    def _take_rows(self, sequences: Sequence[_Sequence]) -> list[int]:
        """Give every sequence a row: freed rows first, then new ones at the end."""
        freed = [row for row, sequence in enumerate(self.rows) if sequence is None]
        taken = freed[: len(sequences)]
        taken += range(len(self.rows), len(self.rows) + len(sequences) - len(taken))
        self.rows += [None] * (max(taken, default=-1) + 1 - len(self.rows))
        for row, sequence in zip(taken, sequences, strict=True):
            self.rows[row] = sequence
        return taken

    def _compact(self) -> None:
        """Close the gaps that finished sequences left, by rows from the end."""
        row = 0
        while row < len(self.rows):
            if self.rows[row] is not None:
                row += 1
                continue
            assert self.cache is not None
            self.cache.move_last(row)
            last = self.rows.pop()
            if row < len(self.rows):
                self.rows[row] = last
