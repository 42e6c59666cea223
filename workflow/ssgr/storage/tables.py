"""The schema of every Parquet file, and the only two functions that read and write one.

A table that leaves a stage has passed its schema, appears whole or not at all, and carries the
spec that made it in its file metadata.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import dataframely as dy
import polars as pl

from ssgr.errors import TableError

SPEC_KEY = "ssgr.spec"
VERDICTS = ("correct", "wrong", "no-answer", "timed-out", "unparsable-gold")


class Problems(dy.Schema):
    """One problem a row: of a source (calibration) or of a benchmark (evaluation)."""

    problem_id = dy.String(primary_key=True)
    question = dy.String(min_length=1)
    solution = dy.String(nullable=True)
    answer = dy.String(nullable=True)
    subject = dy.String(nullable=True)
    level = dy.String(nullable=True)


class Documents(dy.Schema):
    """One plain-text document a row (a source in the C4 role)."""

    document_id = dy.String(primary_key=True)
    text = dy.String(min_length=1)


class Dropped(dy.Schema):
    """One problem or document a row that a source lost, and why: what it repeats or holds.

    ``match`` is a problem of ``benchmark``, or another of the source where that is null;
    ``overlap`` the share of the match's words that stand in the source's text too, in runs of 8.
    """

    id = dy.String(primary_key=True)
    reason = dy.Enum(["duplicate", "same question", "overlap"])
    benchmark = dy.String(nullable=True)
    match = dy.String()
    overlap = dy.Float64(min=0, max=1)


class Responses(dy.Schema):
    """One sampled response a row. ``token_ids`` excludes the prompt and includes the end token."""

    problem_id = dy.String(primary_key=True)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0)
    prompt_token_ids = dy.List(dy.Int32())
    token_ids = dy.List(dy.Int32())
    text = dy.String()
    finish_reason = dy.Enum(["stop", "length"])
    tokens = dy.Int32(min=0)
    mean_logprob = dy.Float64(nullable=True)


class Grades(dy.Schema):
    """One verdict a row, with the columns of `ssgr.grading.quality.Quality`."""

    problem_id = dy.String(primary_key=True)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0)
    prompt_tokens = dy.Int32(min=0)
    tokens = dy.Int32(min=0)
    extracted = dy.String(nullable=True)
    verdict = dy.Enum(VERDICTS)
    correct = dy.Bool()
    method = dy.String()
    milliseconds = dy.Float64(min=0)
    finished = dy.Bool()
    closed = dy.Bool()
    has_thinking = dy.Bool()
    has_answer = dy.Bool()
    thinking_tokens = dy.Int32(min=0)
    different_boxes = dy.Int32(min=0)
    tokens_after_box = dy.Int32(nullable=True, min=0)
    tokens_after_end = dy.Int32(min=0)
    rep_20 = dy.Float64(min=0, max=1)
    loop_share = dy.Float64(min=0, max=1)


class Verdicts(dy.Schema):
    """What one grading method says of one response; a response has a row per method.

    ``extracted`` is the answer that the method found, ``step`` what decided. ``milliseconds`` is
    the time for the pair of gold and answer, judged once for all rows that have it;
    ``extraction_milliseconds`` the time for this response.
    """

    problem_id = dy.String(primary_key=True)
    sample_ = dy.Int32(alias="sample", primary_key=True, min=0)
    method = dy.String(primary_key=True)
    extracted = dy.String(nullable=True)
    verdict = dy.Enum(VERDICTS)
    step = dy.String()
    milliseconds = dy.Float64(min=0)
    extraction_milliseconds = dy.Float64(min=0)


class Candidates(dy.Schema):
    """The responses that a selection has found so far, as drawn: the lowest ``order`` first.

    ``part`` is the pool's file with the response, relative to the pool, ``sha256`` its checksum.
    """

    problem_id = dy.String(primary_key=True)
    sample_ = dy.Int32(alias="sample", min=0)
    correctness_ratio = dy.Float64(nullable=True, min=0, max=1)
    order = dy.UInt64()
    part = dy.String()
    sha256 = dy.String()


class Calibration(dy.Schema):
    """One calibration sequence a row; ``token_ids`` is prompt then response, cut to the budget.

    ``prompt_tokens`` is l_q and ``response_tokens`` is l_i of Equation 1, before any cut.
    """

    sequence = dy.Int32(primary_key=True, min=0)
    problem_id = dy.String()
    sample_ = dy.Int32(alias="sample", nullable=True)
    question = dy.String(nullable=True)
    response = dy.String()
    token_ids = dy.List(dy.Int32(), min_length=1)
    prompt_tokens = dy.Int32(min=0)
    response_tokens = dy.Int32(min=0)
    correctness_ratio = dy.Float64(nullable=True, min=0, max=1)


class TokenSequences(dy.Schema):
    """What a pruner needs of a calibration file, whoever made it."""

    token_ids = dy.List(dy.Int32(min=0), min_length=1)


class Prompts(dy.Schema):
    """Where the prompts of a calibration file end, for objectives that weigh tokens."""

    prompt_tokens = dy.Int32(min=0)


class Funnel(dy.Schema):
    """How many problems and responses each selection step left, in order."""

    step = dy.String(primary_key=True)
    problems = dy.Int64(min=0)
    responses = dy.Int64(min=0)


class PruningReport(dy.Schema):
    """One pruned matrix a row. ``relative_error`` is |(W - W')X|^2 / |WX|^2.

    ``achieved_sparsity`` is the share of its weights that are zero (the path has a key `sparsity`).
    ``condition`` is that of the damped Hessian, ``damping`` the share of its mean diagonal that was
    added; null for a pruner without one, whose ``relative_error`` is that of a sample of 512 tokens
    (`ssgr.pruning.sample`). ``dead_inputs`` are columns whose inputs are all zero,
    ``tokens`` how many the statistics saw, ``warnings`` what a person should know, in words.
    """

    block = dy.Int32(primary_key=True, min=0)
    matrix = dy.String(primary_key=True)
    rows = dy.Int32(min=1)
    columns_ = dy.Int32(alias="columns", min=1)
    achieved_sparsity = dy.Float64(min=0, max=1)
    relative_error = dy.Float64(nullable=True, min=0)
    seconds = dy.Float64(min=0)
    condition = dy.Float64(nullable=True, min=1)
    damping = dy.Float64(nullable=True, min=0)
    dead_inputs = dy.Int32(min=0)
    tokens = dy.Int64(min=0)
    warnings = dy.String()


class BlockReport(dy.Schema):
    """One pruned block a row; ``relative_error`` is |H - H'|^2 / |H|^2 on held-back text.

    H are the hidden states that leave the dense block, H' those that leave the pruned one.
    ``peak_mb`` is the peak of memory so far, of the GPU if one is used, else of the process.
    """

    block = dy.Int32(primary_key=True, min=0)
    relative_error = dy.Float64(nullable=True, min=0)
    seconds = dy.Float64(min=0)
    peak_mb = dy.Float64(min=0)


class Scores(dy.Schema):
    """One benchmark of one checkpoint: pass@1 and its error in [0, 1], lengths in tokens."""

    problems = dy.Int64(min=1)
    responses = dy.Int64(min=1)
    pass_at_1 = dy.Float64(min=0, max=1)
    standard_error = dy.Float64(min=0)
    mean_tokens = dy.Float64(min=0)
    truncated = dy.Float64(min=0, max=1)
    with_thinking = dy.Float64(min=0, max=1)
    timed_out = dy.Int64(min=0)


def write(
    table: pl.DataFrame,
    schema: type[dy.Schema],
    path: Path,
    spec: str = "",
    before_it_appears: Callable[[Path], None] | None = None,
) -> None:
    """Validate ``table`` and write it whole (aside, then rename); ``spec`` goes into its metadata.

    ``before_it_appears`` is called with the finished file, before it gets its name.

    Raises:
        TableError: the table breaks the schema, or the file cannot be written (read-only, disk
            full); names the file and what is wrong.
    """
    try:
        valid = schema.validate(table.select(schema.column_names()), cast=True)
    except (dy.exc.ValidationError, dy.exc.SchemaError, pl.exceptions.PolarsError) as error:
        raise TableError(
            f"{path} was not written: not a {schema.__name__} table.\n{_reason(error)}"
        ) from error
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        valid.write_parquet(aside, metadata={SPEC_KEY: spec})
        if before_it_appears:
            before_it_appears(aside)
        os.replace(aside, path)
    except (OSError, pl.exceptions.PolarsError) as error:  # polars has its own for a full disk
        reason = getattr(error, "strerror", None) or _reason(error)
        raise TableError(
            f"{path} cannot be written: {reason}. Make room, or give the folder write permission, "
            "and run again."
        ) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def count_rows(path: Path) -> int:
    """Return how many rows a table has, from its footer.

    Raises:
        TableError: the file is truncated or not Parquet.
    """
    try:
        return int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _not_whole(path, error) from error


REMEDY = "If this pipeline made it, delete it and rerun, and it is made again."


def read(path: Path, schema: type[dy.Schema], *, cast: bool = False) -> pl.DataFrame:
    """Read and validate a table; ``cast`` takes other integer widths than the schema's.

    Raises:
        TableError: the file is missing, truncated, not Parquet, or of another schema.
    """
    try:
        return parse(path.read_bytes(), schema, path, cast=cast)
    except FileNotFoundError as error:
        raise TableError(
            f"{path} does not exist; a {schema.__name__} table belongs there."
        ) from error
    except OSError as error:
        raise _not_whole(path, error) from error


def parse(data: bytes, schema: type[dy.Schema], path: Path, *, cast: bool = False) -> pl.DataFrame:
    """Validate a table that has been read from ``path``; raises what :func:`read` raises."""
    kind = schema.__name__
    try:
        table = pl.read_parquet(BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _not_whole(path, error) from error
    missing = [name for name in schema.column_names() if name not in table.columns]
    if missing:
        raise TableError(
            f"{path} is not a {kind} table: it lacks the columns {missing} "
            f"(it has {table.columns}). {REMEDY}"
        )
    for name, column in schema.columns().items():
        found, wanted = (_inner(kind) for kind in (table.schema[name], column.dtype))
        if cast and wanted.is_integer() and not found.is_integer():
            raise TableError(
                f"{path}: the column {name!r} holds {table.schema[name]}, expected integers"
            )
    try:
        return schema.validate(table.select(schema.column_names()), cast=cast)
    except (dy.exc.ValidationError, dy.exc.SchemaError, pl.exceptions.PolarsError) as error:
        raise TableError(f"{path} breaks the {kind} schema: {_reason(error)}. {REMEDY}") from error


def _inner(kind: pl.DataType) -> pl.DataType:
    """The type of the values of a column, however deep its lists are."""
    while isinstance(kind, pl.List | pl.Array):
        kind = kind.inner  # type: ignore[assignment]
    return kind


def read_spec(path: Path) -> str:
    """Return the spec in the metadata of a table written by :func:`write`; empty if none.

    Raises:
        TableError: the file is truncated or not Parquet.
    """
    try:
        return pl.read_parquet_metadata(path).get(SPEC_KEY, "")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _not_whole(path, error) from error


def _not_whole(path: Path, error: Exception) -> TableError:
    return TableError(
        f"{path} is not a whole Parquet file (truncated, or not Parquet): {_reason(error)}. "
        + REMEDY
    )


def _reason(error: Exception) -> str:
    """The error without the query plan that polars adds."""
    return str(error).split("\n\nResolved plan")[0]
