"""Problem sets and documents: the embedded model's, local files, files of the hub, or several."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ssgr.config.base import Name, Strict

_SHORT_HASH = re.compile(r"[0-9a-f]{7,39}")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

AnswerFrom = Literal["whole", "after-hashes", "last-box"]
Value = str | bool | int | float


class AbacusSet(Strict):
    """Problems or text of the embedded model, shipped with it."""

    loader: Literal["abacus"] = Field("abacus", description="the embedded model's own")
    kind: Literal[
        "stories", "easy", "medium", "hard", "choice", "prose", "prose-library", "prose-language"
    ] = Field(
        description="stories is the source, prose is plain text held out from training, "
        "prose-library and prose-language are not; the others are benchmarks"
    )
    count: int = Field(ge=1, description="problems (or documents), at most as many as are shipped")
    seed: int = Field(0, ge=0, description="0 to 4: another seed, other problems")

    @property
    def is_text(self) -> bool:
        """Whether this set holds plain documents instead of problems."""
        return self.kind.startswith("prose")

    @property
    def has_answers(self) -> bool:
        """Whether its problems can be graded."""
        return not self.is_text

    @property
    def has_options(self) -> bool:
        """Whether its problems are multiple choice by the loader's own making."""
        return False  # the questions of `choice` hold their options

    @property
    def is_confidential(self) -> bool:
        """Whether its text must not leave the user's cache."""
        return False


class Columns(Strict):
    """Which columns of a file hold what, and which of its rows are taken."""

    question: str | None = Field(None, description="column of the question")
    context: str | None = Field(
        None, description="column of a text that goes before the question, where there is one"
    )
    answer: str | None = Field(
        None, description="column of the reference answer: a text, or a list of all answers"
    )
    answer_from: AnswerFrom = Field(
        "whole", description="how the answer is found in its column: GSM8K's ####, MATH's \\boxed"
    )
    unit: str | None = Field(
        None, description="column of the answer's unit, where that stands apart (OlympiadBench)"
    )
    error: str | None = Field(
        None, description="column of the absolute tolerance of a problem's answer (OlympiadBench)"
    )
    options: list[str] | None = Field(
        None,
        min_length=2,
        max_length=len(LETTERS),
        description="columns of a multiple-choice problem's options, the right one first, in place "
        "of `answer`; they are shown as A), B) … in an order drawn for each problem (GPQA)",
    )
    options_seed: int = Field(0, ge=0, description="another seed, another order of the options")
    solution: str | None = Field(None, description="column of the worked solution")
    text: str | None = Field(None, description="column of a document's text, instead of a question")
    id: str | None = Field(None, description="column of a unique id; default is the row number")
    subject: str | None = Field(None, description="column of the subject")
    level: str | None = Field(None, description="column of the difficulty level")
    where: dict[str, Value | list[Value]] = Field(
        {}, description="only rows whose column holds this value, or one of these: {language: en}"
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="take so many rows, drawn by the seeded order; memory is theirs, whatever the "
        "size of the files. Default: all",
    )
    confidential: bool = Field(
        False,
        description="the text must not appear outside your cache (GPQA asks for that): tables with "
        "it are kept there, `results` holds links to them",
    )

    @property
    def is_text(self) -> bool:
        """Whether this set holds plain documents instead of problems."""
        return self.text is not None

    @property
    def has_answers(self) -> bool:
        """Whether its problems can be graded."""
        return self.answer is not None or self.has_options

    @property
    def has_options(self) -> bool:
        """Whether its problems are multiple choice by the loader's own making."""
        return self.options is not None

    @property
    def is_confidential(self) -> bool:
        """Whether its text must not leave the user's cache."""
        return self.confidential

    @model_validator(mode="after")
    def _question_or_text(self) -> "Columns":
        if (self.question is None) == (self.text is None):
            raise ValueError("name either a `question` column or a `text` column")
        return self

    @model_validator(mode="after")
    def _unit_of_an_answer(self) -> "Columns":
        if self.answer is None and (self.unit or self.error):
            raise ValueError("`unit` and `error` belong to an answer: name its column in `answer`")
        return self

    @model_validator(mode="after")
    def _options_or_answer(self) -> "Columns":
        if self.options is None:
            return self
        if self.answer is not None or self.text is not None:
            raise ValueError("`options` stand in place of `answer`, and belong to a `question`")
        if len(set(self.options)) < len(self.options):
            raise ValueError("`options` names a column twice")
        return self


class FileSet(Columns):
    """Problems or documents from local files: Parquet, JSON lines (.gz, .zst too) or CSV."""

    loader: Literal["file"] = Field("file", description="local files")
    path: str | list[str] = Field(description="file, glob or list of them")


def _no_glob(file: str) -> str:
    if set(file) & set("*?["):
        raise ValueError("is a glob: name each file by its path in the data set")
    return file


def whole_revision(revision: str) -> str:
    """A revision of the hub: a shortened commit is none."""
    if _SHORT_HASH.fullmatch(revision):
        raise ValueError("is a shortened commit: write all 40 digits, or a branch or tag")
    return revision


class HubSet(Columns):
    """The same from named files of a data set of the Hugging Face hub, kept in the hub's cache."""

    loader: Literal["hub"] = Field("hub", description="files of the Hugging Face hub")
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="the data set, e.g. openai/gsm8k")
    revision: Annotated[str, AfterValidator(whole_revision)] = Field(
        min_length=1,
        description="commit, all 40 digits; `main` or another name is what it is that day, and the "
        "log says which commit that was",
    )
    files: list[Annotated[str, AfterValidator(_no_glob)]] = Field(
        min_length=1, description="paths of files in the data set, no globs"
    )


Part = AbacusSet | FileSet | HubSet
PartSet = Annotated[Part, Field(discriminator="loader")]


class PartsSet(Strict):
    """Several sets as one, each with its own columns; an id names its part: gsm8k/0000012."""

    loader: Literal["parts"] = Field("parts", description="several sets together")
    parts: dict[Name, PartSet] = Field(
        min_length=1, description="the sets by name, each with a loader of its own"
    )

    @property
    def is_text(self) -> bool:
        """Whether this set holds plain documents instead of problems."""
        return all(part.is_text for part in self.parts.values())

    @property
    def has_answers(self) -> bool:
        """Whether its problems can be graded."""
        return all(part.has_answers for part in self.parts.values())

    @property
    def has_options(self) -> bool:
        """Whether some of its problems are multiple choice by the loader's own making."""
        return any(part.has_options for part in self.parts.values())

    @property
    def is_confidential(self) -> bool:
        """Whether the text of one of its parts must not leave the user's cache."""
        return any(part.is_confidential for part in self.parts.values())

    @model_validator(mode="after")
    def _of_one_kind(self) -> "PartsSet":
        if len({part.is_text for part in self.parts.values()}) > 1:
            raise ValueError("some parts hold plain text and others problems: make two sets")
        return self


ProblemSet = Annotated[Part | PartsSet, Field(discriminator="loader")]
