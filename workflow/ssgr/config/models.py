"""Registry entries of models: where each comes from, and how it is asked. Data, no code."""

import os.path
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ssgr.config.base import Name, Strict
from ssgr.config.folders import nearest_model
from ssgr.config.parallelism import Distributed, Layout, layout
from ssgr.config.problem_sets import whole_revision
from ssgr.root import ROOT


def _url(url: str) -> str:
    """A server's base url, without anything secret: it is written to logs and manifests."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is no url such as http://node1:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError(
            f"the url of {parts.hostname} holds credentials or a query, and it would be written to "
            "logs: put the key into the environment (api_key_env)"
        )
    return url


class Server(Strict):
    """Where a model is served: OpenAI-compatible endpoints (vLLM, SGLang, a balancer)."""

    model_config = ConfigDict(hide_input_in_errors=True)

    urls: list[Annotated[str, AfterValidator(_url)]] = Field(
        min_length=1, description="base urls, e.g. http://node1:8000/v1; several share the work"
    )
    name: str | None = Field(None, description="the model's name there; default: the entry's path")
    api_key_env: str = Field(
        "SSGR_API_KEY", description="environment variable that holds the key; it is never written"
    )
    timeout: float = Field(1800, gt=0, description="seconds for one response")
    retries: int = Field(5, ge=0, description="further attempts at a response that failed")


RENDERING = {
    "add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents",
    "max_length", "messages", "padding", "return_assistant_tokens_mask", "return_dict",
    "return_tensors", "tokenize", "tokenizer_kwargs", "tools", "truncation",
}  # fmt: skip
"""What rendering a chat template takes besides the template's own switches."""


MODEL_FILES = (".json", ".safetensors", ".gguf", ".bin", ".pt", ".pth")


class Model(Strict):
    """A dense reasoning model: where it comes from and how it is asked."""

    path: str = Field(description="Hugging Face folder, or hub id")
    revision: Annotated[str, AfterValidator(whole_revision)] | None = Field(
        None, description="commit or tag of a hub id"
    )
    engine: Name = Field("transformers", description="sampling engine: transformers, vllm, server")
    python: str | None = Field(
        None,
        description="interpreter of the environment that holds the engine; default: the one that "
        "runs Snakemake (execution only)",
    )
    server: Server | None = Field(None, description="endpoints of the engine `server`")
    evaluation_python: str | None = Field(
        None, description="interpreter for `evaluation_engine`; default: `python` (execution only)"
    )
    evaluation_engine: Name | None = Field(
        None,
        description="engine that answers the benchmarks, dense and pruned; default: `engine`. A "
        "server knows the dense model only, so it needs one",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="number format to compute in; auto is the checkpoint's"
    )
    prompt: str = Field(
        "{question} Let's think step by step and output the final answer within \\boxed{}.",
        description="user turn; {question} is replaced",
    )
    system: str | None = Field(
        None, description="system turn before it; default: none is given (a template may have one)"
    )
    chat: bool = Field(
        True, description="asked by the model's chat template; false: plain text, for a base model"
    )
    chat_template_kwargs: dict[str, bool | int | float | str] = Field(
        {}, description="switches of the chat template, e.g. {enable_thinking: true} (Qwen3)"
    )
    no_thinking_kwargs: dict[str, bool | int | float | str] | None = Field(
        None,
        description="switches by which the template asks for an answer without thinking, for "
        "calibrations with `thinking: false`; default: enable_thinking: false, if it knows that",
    )
    think_open: str = Field(
        "<think>",
        description="tag that opens the thinking; the template may write it. Empty, as is the "
        "next, for a model that does not think, and by default with enable_thinking: false",
    )
    think_close: str = Field("</think>", description="tag that closes the thinking")
    role: str | list[str] | None = Field(
        None, description="the paper's model or models that it stands for, whose numbers are shown"
    )
    gpu: int = Field(
        1,
        ge=0,
        description="GPUs a job asks for, on each of its nodes; vLLM shares the model among them. "
        "Pruning takes one at most, however large the model: it holds one block's weights and "
        "statistics at a time (execution only)",
    )
    tensor_parallel: int | None = Field(
        None,
        ge=1,
        description="GPUs that share every matrix, for engine `vllm`; default: the GPUs of a node "
        "(execution only)",
    )
    pipeline_parallel: int | None = Field(
        None,
        ge=1,
        description="groups of them with blocks of their own; times tensor_parallel it is gpu "
        "times nodes. Default: what the other leaves, the number of nodes (execution only)",
    )
    nodes: int = Field(
        1,
        ge=1,
        description="machines that hold one model together, for engine `vllm` in a SLURM job; for "
        "a model larger than one machine, else more jobs are faster (execution only)",
    )
    distributed: Distributed | None = Field(
        None,
        description="how vLLM starts its processes: mp, its own, or ray, a cluster that lives as "
        "long as the job; default: mp (execution only)",
    )
    memory_share: float | None = Field(
        None, gt=0, le=1, description="share of GPU memory that vLLM takes (execution only)"
    )
    gpu_model: str | None = Field(
        None,
        pattern=r"^[\w.-]+$",
        description="kind of GPU a job asks for, as the cluster calls it (execution only)",
    )
    mem_mb: int | None = Field(
        None,
        ge=100,
        description="memory a job asks for, in MB; default: what the model's size implies for "
        "each stage, or 16,000 where its config.json is not at hand (execution only)",
    )
    runtime: int | None = Field(
        None,
        ge=1,
        description="minutes a job may take on a cluster; default: what size and `gpu_model` "
        "imply, a day at most, or 720 (execution only)",
    )
    disk_mb: int | None = Field(
        None,
        ge=0,
        description="scratch disk a job asks for, in MB; default: what the size implies, or "
        "10,000 (execution only)",
    )
    threads: int = Field(1, ge=1, description="processor threads a job uses (execution only)")
    batch_size: int = Field(
        256, ge=1, description="responses decoded side by side (execution only)"
    )
    trust_remote_code: bool = Field(False, description="run Python code that the model brings")

    def for_evaluation(self) -> "Model":
        """Return the entry as it answers benchmarks: with the engine that knows checkpoints."""
        engine = self.evaluation_engine or self.engine
        python = self.evaluation_python or (None if self.engine == "server" else self.python)
        return self.model_copy(update={"engine": engine, "python": python, "server": None})

    def layout(self, gpus: int | None = None) -> Layout:
        """Return how the GPUs of a job share this model.

        Args:
            gpus: of all nodes together; default: as the entry has them.

        Raises:
            ValueError: the sizes do not multiply to them.
        """
        each, left = divmod(self.gpu * self.nodes if gpus is None else gpus, self.nodes)
        if left:
            raise ValueError(f"{gpus} GPUs are not as many on each of {self.nodes} nodes")
        sizes = self.tensor_parallel, self.pipeline_parallel
        return layout(each, self.nodes, *sizes, self.distributed)

    @property
    def location(self) -> str:
        """The folder or hub id; a relative folder is looked up here, then in the checkout."""
        path = os.path.expanduser(self.path)
        beside = ROOT / path
        return str(beside) if not Path(path).exists() and beside.is_dir() else path

    @model_validator(mode="after")
    def _prompt_has_question(self) -> "Model":
        if "{question}" not in self.prompt:
            raise ValueError("prompt must contain {question}")
        return self

    @model_validator(mode="before")
    @classmethod
    def _no_tags_without_thinking(cls, data: Any) -> Any:
        """Qwen3's template then closes an empty block itself: no response holds a tag."""
        switches = data.get("chat_template_kwargs") if isinstance(data, dict) else None
        if isinstance(switches, dict) and switches.get("enable_thinking") is False:
            return {"think_open": "", "think_close": "", **data}
        return data

    @model_validator(mode="after")
    def _turns_need_a_template(self) -> "Model":
        if not self.chat and (self.system is not None or self.chat_template_kwargs):
            raise ValueError("`system` and `chat_template_kwargs` belong to `chat: true`")
        for switches in (self.chat_template_kwargs, self.no_thinking_kwargs or {}):
            if taken := sorted(RENDERING & switches.keys()):
                raise ValueError(f"{', '.join(taken)}: this the pipeline sets by itself")
        return self

    @model_validator(mode="after")
    def _served_somewhere(self) -> "Model":
        if (self.engine == "server") != (self.server is not None):
            raise ValueError("engine `server` and the key `server` (its urls) go together")
        return self

    @model_validator(mode="after")
    def _shared_by_vllm(self) -> "Model":
        spread = ("tensor_parallel", "pipeline_parallel", "nodes", "distributed")
        given = [key for key in spread if getattr(self, key) != Model.model_fields[key].default]
        if given and "vllm" not in (self.engine, self.evaluation_engine):
            raise ValueError(f"{', '.join(given)}: only the engine `vllm` takes them")
        if given:
            self.layout()
        return self

    @model_validator(mode="after")
    def _folder_exists(self) -> "Model":
        folder = os.path.dirname(self.path)
        if Path(self.location).is_file() or self.path.endswith(MODEL_FILES):
            raise ValueError(f"path {self.path!r} is a file: name its folder, {folder or '.'!r}")
        if self.path.startswith(("/", ".", "~")) and not Path(self.location).is_dir():
            near = nearest_model(self.path)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise ValueError(f"path {self.path!r}: there is no such folder{hint}")
        return self
