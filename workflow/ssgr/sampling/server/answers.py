"""From a server's answer to a `Response`: nothing that comes over the wire is believed unchecked.

Servers differ in what they tell. vLLM (since 0.10.2) and SGLang (since July 2026) return the drawn
tokens when asked by ``return_token_ids``; for the others the text is encoded again.
"""

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ssgr.config import Sampling
from ssgr.errors import ModelError
from ssgr.sampling.protocol import EngineSettings, FinishReason, Request, Response

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REASONS: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


class BrokenAnswer(Exception):
    """The answer cannot be used.

    Attributes:
        lasting: the same would come again.
        quote: what came instead of an answer; not in the message, for it may hold a key.
    """

    def __init__(self, reason: str, *, lasting: bool = False, quote: bytes = b"") -> None:
        """Say what was wrong and what was expected."""
        super().__init__(reason)
        self.lasting = lasting
        self.quote = quote


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Logprobs(_Strict):
    token_logprobs: list[float | None] | None = None


class _Choice(_Strict):
    text: str
    finish_reason: str | None
    token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None
    stop_reason: int | str | None = None  # vLLM: the token that ended it, unless it is the usual
    matched_stop: int | str | None = None  # the same of SGLang


class _Answer(_Strict):
    choices: list[_Choice] = Field(min_length=1, max_length=1)


class AnswerReader:
    """Reads the answers to requests for one model."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", end_ids: frozenset[int], vocabulary: int
    ) -> None:
        """Take the model's tokenizer, the tokens that may end a response, and the vocabulary size.

        Raises:
            ModelError: no token can end a response.
        """
        if not end_ids:
            raise ModelError(
                f"The model {tokenizer.name_or_path!r} names no end token: set eos_token_id in "
                "its generation_config.json, or eos_token in its tokenizer_config.json."
            )
        self.tokenizer = tokenizer
        self.end_ids = end_ids
        self.vocabulary = vocabulary

    def read(self, content: bytes, request: Request, sampling: Sampling) -> Response:
        """Return the response in the body of a ``/v1/completions`` answer.

        ``mean_logprob`` is the mean of the log-probabilities in it, None when there are none.

        Raises:
            BrokenAnswer: it is not a completion, not a whole one, or not of this model.
        """
        choice = _parse(content)
        if choice.finish_reason not in REASONS:
            raise BrokenAnswer(
                f"it broke the response off (finish_reason {choice.finish_reason!r}, expected "
                "'stop' or 'length')"
            )
        reason = REASONS[choice.finish_reason]
        ids = self._drawn(choice, reason, sampling.max_tokens)
        mean = _mean_logprob(choice, len(ids))
        if reason == "stop" and not (ids and ids[-1] in self.end_ids):
            ids = [*ids, self._end_token(choice)]
        return Response(request.prompt.problem_id, request.sample, tuple(ids), reason, mean)

    def _drawn(self, choice: _Choice, reason: FinishReason, max_tokens: int) -> list[int]:
        if choice.token_ids is None:
            return self._encode_again(choice.text)[: max_tokens if reason == "length" else None]
        foreign = [token for token in choice.token_ids if not 0 <= token < self.vocabulary]
        if foreign:
            raise BrokenAnswer(
                f"it returned token id {foreign[0]}, but the model has the ids 0 to "
                f"{self.vocabulary - 1}"
            )
        if reason == "length" and len(choice.token_ids) != max_tokens:
            raise BrokenAnswer(
                f"it ended the response after {len(choice.token_ids)} tokens for its length, but "
                f"max_tokens is {max_tokens}: the server has a limit of its own (with vLLM see "
                "--max-model-len and --override-generation-config)",
                lasting=True,
            )
        return choice.token_ids

    def _encode_again(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        again = self.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        if again != text:
            raise BrokenAnswer(
                "it returns no token ids, and the text does not survive the model's tokenizer "
                f"({_first_difference(text, str(again))}): serve the model by vLLM >= 0.10.2 or "
                "an SGLang that knows return_token_ids",
                lasting=True,
            )
        return ids

    def _end_token(self, choice: _Choice) -> int:
        """Return the token that ended a response whose server leaves it out."""
        told = choice.matched_stop if choice.stop_reason is None else choice.stop_reason
        if isinstance(told, str):
            raise BrokenAnswer(
                f"it stopped the response at the string {told!r}, which nobody asked for: start "
                "the server without stop strings",
                lasting=True,
            )
        if told in self.end_ids:
            return told
        usual = self.tokenizer.eos_token_id
        return int(usual) if usual in self.end_ids else min(self.end_ids)


def _parse(content: bytes) -> _Choice:
    try:
        return _Answer.model_validate_json(content).choices[0]
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the answer"
    raise BrokenAnswer(
        f"it did not answer with a completion ({place}: {first['msg']})", quote=content
    )


def _mean_logprob(choice: _Choice, count: int) -> float | None:
    logprobs = choice.logprobs.token_logprobs if choice.logprobs else None
    if choice.token_ids is None or not logprobs or len(logprobs) != count:
        return None
    known = [logprob for logprob in logprobs if logprob is not None and math.isfinite(logprob)]
    return math.fsum(known) / count if len(known) == count else None


def _first_difference(text: str, again: str) -> str:
    pairs = enumerate(zip(text, again, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(text), len(again)))
    return f"{text[place : place + 20]!r} becomes {again[place : place + 20]!r}"


def load_reader(model: str, settings: EngineSettings) -> AnswerReader:
    """Load what is needed of a model folder or hub name to read answers: no weights.

    Raises:
        ModelError: it has no tokenizer, configuration or end token.
    """
    from transformers import AutoConfig, GenerationConfig

    from ssgr.sampling.tokenizer import load_tokenizer

    revision = settings.revision or "main"
    trust = settings.trust_remote_code
    tokenizer = load_tokenizer(model, revision=settings.revision, trust_remote_code=trust)
    try:
        config = AutoConfig.from_pretrained(model, revision=revision, trust_remote_code=trust)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{model} has no usable config.json: {error}") from error
    text_config = config.get_text_config()
    try:
        ends = GenerationConfig.from_pretrained(model, revision=revision).eos_token_id
    except OSError:  # there is no generation_config.json
        ends = text_config.eos_token_id
    # servers stop at the tokenizer's end token and at those of the generation config
    every = [*([ends] if isinstance(ends, int) else ends or []), tokenizer.eos_token_id]
    end_ids = frozenset(int(token) for token in every if token is not None)
    return AnswerReader(tokenizer, end_ids, max(len(tokenizer), text_config.vocab_size))
