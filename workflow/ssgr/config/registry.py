"""Registry entries: what is done with a problem set, as a source or a benchmark. Data, no code."""

from pydantic import Field, model_validator

from ssgr.config.base import Name, Strict
from ssgr.config.conventions import DEFAULT, MethodName, NamedConventions
from ssgr.config.models import Model
from ssgr.config.problem_sets import ProblemSet


class Graded(Strict):
    """A problem set, and how responses to it are graded."""

    data: ProblemSet = Field(description="where the problems or documents come from")
    method: MethodName = Field("math", description="how responses are graded")
    conventions: NamedConventions = Field(
        DEFAULT, description="what counts as the same answer: a preset's name, or settings"
    )

    @model_validator(mode="after")
    def _letters_are_chosen(self) -> "Graded":
        if self.data.has_options and self.method != "choice":
            raise ValueError("`options` have letters for answers: they need `method: choice`")
        return self


class Source(Graded):
    """Where calibration data comes from. A problem that occurs twice is taken once."""

    solution_template: str = Field(
        "{question}\n{solution}",
        description="a reference solution as calibration text; what the tokenizer puts before a "
        "text (a begin token) comes first, an end token last",
    )
    apart_from: list[Name] = Field(
        [],
        description="benchmarks whose problems must not be in this source: what holds one of them "
        "is dropped, and listed in dropped.parquet beside the source's problems. Settle it before "
        "the pool is sampled: other problems are another pool",
    )
    overlap: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="for that: a problem or document holds a benchmark's problem if more than this "
        "share of its words stand there in runs of 8",
    )

    @model_validator(mode="after")
    def _template_is_whole(self) -> "Source":
        for part in ("{question}", "{solution}"):
            if part not in self.solution_template:
                raise ValueError(f"solution_template must contain {part}")
        return self

    @model_validator(mode="after")
    def _may_be_shown(self) -> "Source":
        if self.data.is_confidential:
            raise ValueError(
                "a confidential set cannot be a source: calibration texts go into the pool, into "
                "calibration sets and onto hand-check pages. Use it as a benchmark"
            )
        return self


class Benchmark(Graded):
    """A problem set to score on."""

    label: str | None = Field(None, description="name in the report; default is the key")
    role: str | None = Field(None, description="the paper's benchmark that it stands for")
    prompt: str | None = Field(
        None, description="user turn for this benchmark; {question} is replaced; default: model's"
    )

    def asked_of(self, model: Model) -> Model:
        """Return the model's entry with this benchmark's prompt, where it has one of its own."""
        return model.model_copy(update={"prompt": self.prompt}) if self.prompt else model

    @property
    def is_confidential(self) -> bool:
        """Whether its questions, and responses to them, must not leave the user's cache."""
        return self.data.is_confidential

    @model_validator(mode="after")
    def _prompt_has_question(self) -> "Benchmark":
        if self.prompt is not None and "{question}" not in self.prompt:
            raise ValueError("prompt must contain {question}")
        return self
