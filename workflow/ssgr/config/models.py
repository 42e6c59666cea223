"""Registry entries of models: where each comes from, and how it is asked. Data, no code."""

import os.path
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ssgr.config.base import Name, Strict
from ssgr.config.execution import Execution
from ssgr.config.folders import nearest_model
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
    server: Server | None = Field(None, description="endpoints of the engine `server`")
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
    execution: Execution = Field(
        Execution(), description="how its jobs run; nothing here changes a result"
    )
    trust_remote_code: bool = Field(False, description="run Python code that the model brings")

    def for_evaluation(self) -> "Model":
        """Return this entry with the evaluation engine selected."""
        engine, execution = self.evaluation_engine or self.engine, self.execution
        python = None if self.engine == "server" else execution.python
        execution = execution.model_copy(update={"python": execution.evaluation_python or python})
        return self.model_copy(update={"engine": engine, "execution": execution, "server": None})

    @property
    def location(self) -> str:
        """The folder or hub id; a relative folder is looked up here, then in the checkout."""
        path = os.path.expanduser(self.path)
        beside = ROOT / path
        return str(beside) if not Path(path).exists() and beside.is_dir() else path

    @model_validator(mode="before")
    @classmethod
    def _flat_keys(cls, data: Any) -> Any:
        """Keys of `execution` may stand beside it, as they did up to 0.1; these go before."""
        if not isinstance(data, dict):
            return data
        flat = {name: data[name] for name in Execution.model_fields if name in data}
        if not flat:
            return data
        rest = {name: value for name, value in data.items() if name not in flat}
        execution = data.get("execution") or {}
        nested = execution.model_dump() if isinstance(execution, Execution) else execution
        return rest | {"execution": {**nested, **flat}}

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
        given = self.execution.spread
        if given and "vllm" not in (self.engine, self.evaluation_engine):
            raise ValueError(f"{', '.join(given)}: only the engine `vllm` takes them")
        if given:
            self.execution.layout()
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
