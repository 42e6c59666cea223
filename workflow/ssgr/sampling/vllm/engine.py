"""The vLLM engine: the same promises as the transformers engine, kept by vLLM's own scheduler.

Each response is a request of its own with its own seed. vLLM computes a shared prompt once by its
prefix cache, and the engine is stepped here so that each response is handed on as it finishes.
``mean_logprob`` is left out: nothing here reads it, and asking vLLM for it costs a tenth of the
throughput of a small model, in Python code per token.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psutil

from ssgr.config import Sampling
from ssgr.errors import ConfigError, ModelError, SsgrError
from ssgr.sampling.protocol import EngineSettings, FinishReason, Request, Response, Work
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.vllm.several_nodes import gathered

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from vllm import LLMEngine, RequestOutput

REASONS: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}
ENVIRONMENT = {  # read when vLLM is imported; what the user has set stays
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # binding leaves a core out and ignores other jobs
    "OMP_WAIT_POLICY": "passive",  # spinning threads are several times slower on a busy machine
}
CPU_BLOCK = 32  # tokens of a prompt that are shared as one; the CPU's default is 128
CPU_STEP = 4096  # tokens; a CPU's step holds so many, or the longest prompt
CPU_CACHE_SHARE = 4  # at most a quarter of the free memory; vLLM's default is nearly all of it


def load(model_folder: str, settings: EngineSettings) -> "VllmEngine":
    """Load a model into vLLM: in this process on one GPU or CPU, in workers on several.

    Workers on other nodes are started first, and end with the engine (`gathered`).

    Raises:
        ConfigError: vLLM is not installed, or further nodes are wanted where there are none.
        ModelError: vLLM refuses the model, or not all nodes came.
    """
    if settings.layout.processes <= 1:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import EngineArgs, LLMEngine
    except ImportError as error:
        raise ConfigError(
            f"The sampling engine 'vllm' is not usable here ({error}). vLLM has an environment of "
            "its own: make it from envs/vllm.yaml (GPU) or envs/vllm-cpu.txt and name its "
            "interpreter in the model's registry entry (`python`); or choose another engine."
        ) from error
    with ExitStack() as stack:
        try:
            arguments = _arguments(model_folder, settings)
            arguments = stack.enter_context(gathered(arguments, settings.layout, settings.gpus))
            engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
        except SsgrError:
            raise
        except Exception as error:  # vLLM raises what its many parts raise
            raise ModelError(f"vLLM cannot load {model_folder}: {_reason(error)}") from error
        stack.callback(engine.engine_core.shutdown)
        loaded = VllmEngine(engine, settings.batch_size)
        loaded.started = stack.pop_all()
    return loaded


def _arguments(model_folder: str, settings: EngineSettings) -> dict[str, Any]:
    from transformers import AutoConfig
    from vllm.platforms import current_platform

    config = AutoConfig.from_pretrained(
        model_folder,
        revision=settings.revision or "main",
        trust_remote_code=settings.trust_remote_code,
    ).get_text_config()
    positions: int | None = getattr(config, "max_position_embeddings", None)
    asked = settings.max_length
    # more than the model has is refused by `check_lengths`, problem by problem
    length = None if asked and positions and asked > positions else asked
    arguments: dict[str, Any] = {
        "model": model_folder,
        "revision": settings.revision,
        "dtype": settings.dtype,
        "trust_remote_code": settings.trust_remote_code,
        "skip_tokenizer_init": True,  # token ids come and go: vLLM reads and writes no text
        "max_num_seqs": settings.batch_size,
        "max_model_len": length,
        "disable_log_stats": True,
    }
    if current_platform.is_cpu():
        return arguments | _cpu_arguments(config, settings, length or positions or CPU_STEP)
    if settings.memory_share is not None:
        arguments["gpu_memory_utilization"] = settings.memory_share
    return arguments


def _cpu_arguments(
    config: "PretrainedConfig", settings: EngineSettings, length: int
) -> dict[str, Any]:
    """Return what only a CPU needs.

    A seeded request must not be split over steps: the CPU's generator has no offset.

    Raises:
        ConfigError: the layout has a pipeline, at which vLLM 0.32 fails on a CPU.
    """
    if settings.layout.pipeline > 1:
        raise ConfigError(
            f"pipeline_parallel is {settings.layout.pipeline}, and vLLM runs no pipelines on a "
            "CPU: set it to 1, and tensor_parallel to the number of processes."
        )
    arguments: dict[str, Any] = {
        "enforce_eager": True,
        "block_size": CPU_BLOCK,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(CPU_STEP, length),
    }
    if "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        token = 2 * config.num_hidden_layers * kv_heads * size * 4  # bytes, keys and values, fp32
        limit = psutil.virtual_memory().available // CPU_CACHE_SHARE
        rows = settings.batch_size * (length + 2 * CPU_BLOCK)  # a sequence fills whole blocks
        arguments["kv_cache_memory_bytes"] = min(token * rows, limit)
    return arguments


class VllmEngine:
    """Steps vLLM's engine, with at most two batches of requests handed over at a time.

    Attributes:
        max_length: positions that prompt and response may take together.
        started: what ends with the engine.
    """

    def __init__(self, engine: "LLMEngine", batch_size: int) -> None:
        """Take a loaded engine.

        Raises:
            ModelError: the model names no end token.
        """
        self.engine = engine
        self.batch_size = batch_size
        self.started = ExitStack()
        self.end_ids = _end_token_ids(engine)
        self.max_length: int | None = engine.model_config.max_model_len

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        """Yield each response as it finishes.

        Raises:
            ModelError: vLLM refused a request, gave one up, or broke.
        """
        running: dict[str, Request] = {}
        try:
            while self._hand_over(work, sampling, running) or running:
                for output in self._step(running):
                    if output.finished:
                        yield _response(output, running.pop(output.request_id))
        finally:
            if running:  # the consumer left early, or a request was refused
                self.engine.abort_request(list(running))

    def close(self) -> None:
        """End vLLM's workers, on this node and then on the others."""
        self.started.close()

    def _step(self, running: dict[str, Request]) -> "list[RequestOutput]":
        try:
            outputs: list[RequestOutput] = self.engine.step()
        except SsgrError:  # a node is lost
            running.clear()
            raise
        except Exception as error:  # torch's, vLLM's or a worker's
            lost = len(running)
            running.clear()  # the engine is lost, and all of them with it
            raise ModelError(
                f"vLLM broke down with {lost} responses in flight: {_reason(error)}. If memory "
                "ran out, lower the model's batch_size or memory_share; vLLM's own messages stand "
                "above."
            ) from error
        return outputs

    def _hand_over(self, work: Work, sampling: Sampling, running: dict[str, Request]) -> bool:
        """Give vLLM requests until it has two batches; return whether there was any."""
        before = len(running)
        while len(running) < 2 * self.batch_size:
            request = work.take(wait=not running)
            if request is None:
                break
            running[self._add(request, sampling)] = request
        return len(running) > before

    def _add(self, request: Request, sampling: Sampling) -> str:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        prompt = request.prompt
        parameters = SamplingParams(
            n=1,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=response_seed(sampling.seed, prompt.problem_id, request.sample),
            ignore_eos=True,  # the tokenizer's, which the other engines do not know
            stop_token_ids=self.end_ids,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        request_id = f"{prompt.problem_id}/{request.sample}"
        tokens = TokensPrompt(prompt_token_ids=list(prompt.token_ids))
        try:
            self.engine.add_request(request_id, tokens, parameters)
        except Exception as error:  # of several unrelated types
            raise ModelError(
                f"vLLM refuses the prompt of problem {prompt.problem_id!r} "
                f"({len(prompt.token_ids)} tokens): {error}"
            ) from error
        return request_id


def _end_token_ids(engine: "LLMEngine") -> list[int]:
    """Return the same end tokens as `ssgr.sampling.transformers.loading.end_token_ids`."""
    model = engine.model_config
    ids = model.try_get_generation_config().get("eos_token_id")
    if ids is None:
        ids = getattr(model.hf_config, "eos_token_id", None)
    if ids is None:
        raise ModelError(
            f"The model {model.model!r} names no end token: set eos_token_id in its "
            "generation_config.json."
        )
    return [ids] if isinstance(ids, int) else list(ids)


def _response(output: "RequestOutput", request: Request) -> Response:
    problem_id, sample = request.prompt.problem_id, request.sample
    completion = output.outputs[0]
    if completion.finish_reason not in REASONS:
        raise ModelError(
            f"vLLM ended response {sample} to problem {problem_id!r} with "
            f"{completion.finish_reason!r}; it should stop or reach max_tokens."
        )
    tokens = tuple(int(token) for token in completion.token_ids)
    return Response(problem_id, sample, tokens, REASONS[completion.finish_reason], None)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
