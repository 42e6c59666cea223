"""The engine for any Hugging Face causal LM, on CPU and GPU: its own continuous batching.

`generate` pads, computes a prompt once per sample and keeps finished sequences in the batch until
the last one ends. With n samples of very different lengths per problem that is most of the work.
"""

import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ssgr.config import Sampling
from ssgr.errors import ModelError
from ssgr.sampling.protocol import EngineSettings, FinishReason, Prompt, Request, Response, Work
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.transformers import attention
from ssgr.sampling.transformers.kv_cache import KeysAndValues, SlotCache, keys_and_values
from ssgr.sampling.transformers.loading import check_rope, end_token_ids, load_model
from ssgr.sampling.transformers.token_sampling import UniformStream, draw


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
    """A prompt after its one forward pass."""

    prompt: Prompt
    cache: KeysAndValues
    logits: Tensor  # [1, vocabulary]


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

    def close(self) -> None:
        """Do nothing: all of it is in this process."""

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        """Yield each response as it finishes.

        Requests of one prompt that follow each other share one forward pass of the prompt, also
        when they start at different steps.

        Raises:
            ModelError: the model's logits are not finite.
        """
        batch = _Batch(self, sampling)
        computed: _Computed | None = None
        while (requests := batch.take(work)) or batch.live:
            for prompt, group in groupby(requests, attrgetter("prompt")):
                if computed is None or computed.prompt != prompt:
                    computed = self._compute(prompt)
                yield from batch.admit(computed, [request.sample for request in group])
            yield from batch.step()

    @torch.inference_mode()
    def _compute(self, prompt: Prompt) -> _Computed:
        """Run the prompt alone: no padding, and once for all its samples."""
        ids = torch.tensor([prompt.token_ids], device=self.model.device)
        output = self.model(input_ids=ids, use_cache=True, **self._last_only)
        return _Computed(prompt, keys_and_values(output.past_key_values), output.logits[:, -1])


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

    def take(self, work: Work) -> list[Request]:
        """Take requests for the free rows; none says that nothing is to be done or to be had."""
        requests: list[Request] = []
        live = self.live
        while live + len(requests) < self.engine.slots:
            request = work.take(wait=not live and not requests)
            if request is None:
                break
            requests.append(request)
        return requests

    @torch.inference_mode()
    def admit(self, computed: _Computed, samples: Sequence[int]) -> list[Response]:
        """Start samples of one prompt, for which there are rows; return those that end at once."""
        if self.cache is None:
            self.cache = SlotCache(self.engine.slots, computed.cache)
        started = [self._start(computed.prompt.problem_id, sample) for sample in samples]
        finished = self._draw(computed.logits.expand(len(started), -1), started)
        going = [s for s, response in zip(started, finished, strict=True) if response is None]
        rows = self._take_rows(going)
        if rows:
            self.cache.place(computed.cache, rows)
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

    def _start(self, problem_id: str, sample: int) -> _Sequence:
        seed = response_seed(self.sampling.seed, problem_id, sample)
        return _Sequence(problem_id, sample, UniformStream(seed))

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
