"""Registry entries: models, and where problems and documents come from. Each is data, no code."""

import os.path
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ssgr.config.base import ROOT, Name, Strict
from ssgr.grading.conventions import DEFAULT, NamedConventions
from ssgr.grading.methods import MethodName


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


class Model(Strict):
    """A dense reasoning model: where it comes from and how it is asked."""

    path: str = Field(description="Hugging Face folder, or hub id")
    revision: str | None = Field(None, description="commit or tag of a hub id")
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
    think_open: str = Field("<think>", description="tag that opens the thinking")
    think_close: str = Field("</think>", description="tag that closes the thinking")
    gpu: int = Field(
        1, ge=0, description="GPUs a job asks for; vLLM's tensor parallel size (execution only)"
    )
    memory_share: float | None = Field(
        None, gt=0, le=1, description="share of GPU memory that vLLM takes (execution only)"
    )
    mem_mb: int = Field(16000, ge=100, description="memory a job asks for, in MB")
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

    @property
    def location(self) -> str:
        """The folder or hub id; a relative folder is looked up here, then beside the Snakefile."""
        path = os.path.expanduser(self.path)
        beside = ROOT / path
        return str(beside) if not Path(path).exists() and beside.is_dir() else path

    @model_validator(mode="after")
    def _prompt_has_question(self) -> "Model":
        if "{question}" not in self.prompt:
            raise ValueError("prompt must contain {question}")
        return self

    @model_validator(mode="after")
    def _served_somewhere(self) -> "Model":
        if (self.engine == "server") != (self.server is not None):
            raise ValueError("engine `server` and the key `server` (its urls) go together")
        return self

    @model_validator(mode="after")
    def _folder_exists(self) -> "Model":
        if self.path.startswith(("/", ".", "~")) and not Path(self.location).is_dir():
            raise ValueError(f"path {self.path!r}: there is no such folder")
        return self


class AbacusSet(Strict):
    """Problems or text generated by the embedded model's own generator."""

    loader: Literal["abacus"] = Field("abacus", description="the embedded generator")
    kind: Literal["stories", "easy", "medium", "hard", "choice", "prose"] = Field(
        description="stories is the source, prose is plain text, the others are benchmarks"
    )
    count: int = Field(ge=1, description="problems (or documents)")
    seed: int = Field(0, ge=0, description="another seed, other problems")

    @property
    def is_text(self) -> bool:
        """Whether this set holds plain documents instead of problems."""
        return self.kind == "prose"

    @property
    def has_answers(self) -> bool:
        """Whether its problems can be graded."""
        return not self.is_text


class FileSet(Strict):
    """Problems or documents from local files: Parquet, JSON lines (.gz, .zst too) or CSV."""

    loader: Literal["file"] = Field("file", description="local files")
    path: str | list[str] = Field(description="file, glob or list of them")
    question: str | None = Field(None, description="column of the question")
    answer: str | None = Field(
        None, description="column of the reference answer: a text, or a list of all answers"
    )
    answer_from: Literal["whole", "after-hashes", "last-box"] = Field(
        "whole", description="how the answer is found in its column: GSM8K's ####, MATH's \\boxed"
    )
    unit: str | None = Field(
        None, description="column of the answer's unit, where that stands apart (OlympiadBench)"
    )
    error: str | None = Field(
        None, description="column of the absolute tolerance of a problem's answer (OlympiadBench)"
    )
    solution: str | None = Field(None, description="column of the worked solution")
    text: str | None = Field(None, description="column of a document's text, instead of a question")
    id: str | None = Field(None, description="column of a unique id; default is the row number")
    subject: str | None = Field(None, description="column of the subject")
    level: str | None = Field(None, description="column of the difficulty level")

    @property
    def is_text(self) -> bool:
        """Whether this set holds plain documents instead of problems."""
        return self.text is not None

    @property
    def has_answers(self) -> bool:
        """Whether its problems can be graded."""
        return self.answer is not None

    @model_validator(mode="after")
    def _question_or_text(self) -> "FileSet":
        if (self.question is None) == (self.text is None):
            raise ValueError("name either a `question` column or a `text` column")
        return self

    @model_validator(mode="after")
    def _unit_of_an_answer(self) -> "FileSet":
        if self.answer is None and (self.unit or self.error):
            raise ValueError("`unit` and `error` belong to an answer: name its column in `answer`")
        return self


ProblemSet = Annotated[AbacusSet | FileSet, Field(discriminator="loader")]


class Source(Strict):
    """Where calibration data comes from."""

    data: ProblemSet = Field(description="where the problems or documents come from")
    solution_template: str = Field(
        "{question}\n{solution}", description="a reference solution as calibration text"
    )
    method: MethodName = Field("math", description="how responses are graded")
    conventions: NamedConventions = Field(
        DEFAULT, description="what counts as the same answer: a preset's name, or settings"
    )

    @model_validator(mode="after")
    def _template_is_whole(self) -> "Source":
        for part in ("{question}", "{solution}"):
            if part not in self.solution_template:
                raise ValueError(f"solution_template must contain {part}")
        return self


class Benchmark(Strict):
    """A problem set to score on."""

    data: ProblemSet = Field(description="where the problems come from")
    method: MethodName = Field("math", description="how responses are graded")
    conventions: NamedConventions = Field(
        DEFAULT, description="what counts as the same answer: a preset's name, or settings"
    )
    label: str | None = Field(None, description="name in the report; default is the key")
    role: str | None = Field(None, description="the paper's benchmark that it stands for")
