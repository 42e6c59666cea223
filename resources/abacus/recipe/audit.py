"""`python -m recipe.audit --model FOLDER`: how hard the problems are for a model.

Prints the figures that the model card promises: accuracy by kind and by level, the spread of the
correctness ratio c over the source, and how much the lengths of correct responses differ.
"""

import re
import sys
from pathlib import Path

import polars as pl
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, CliApp, SettingsConfigDict, SettingsError

import recipe
from ssgr.errors import SsgrError

#: Of the audit's own problems; the workflow's benchmarks and source use other seeds.
SEED = 77


def is_correct(text: str, answer: str) -> bool:
    """Compare the last box after `</think>`; abacus's answers are whole numbers and letters."""
    _, closed, tail = text.rpartition("</think>")
    boxes = re.findall(r"\\boxed\{([^{}]*)\}", tail)
    return bool(closed) and bool(boxes) and boxes[-1].strip() == answer


def judged(responses: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """Return one row a response: problem_id, level, tokens, correct, stopped, style."""
    joined = responses.join(problems.select("problem_id", "answer", "level"), on="problem_id")
    rows = joined.select("text", "answer").iter_rows()
    verdicts = pl.Series("correct", [is_correct(text, answer) for text, answer in rows])
    words = pl.col("text")
    style = (
        pl.when(words.str.starts_with("<think>\nStart"))
        .then(pl.lit("worked"))
        .when(words.str.starts_with("<think>\nOkay"))
        .then(pl.lit("checked"))
        .when(words.str.starts_with("<think>\nLet me"))
        .then(pl.lit("twice"))
        .when(words.str.starts_with("<think>\nFrom"))
        .then(pl.lit("bare"))
        .when(words.str.starts_with("<think>\nWith"))
        .then(pl.lit("brief"))
        .otherwise(pl.lit("terse"))
    )
    return joined.select(
        "problem_id",
        "level",
        "tokens",
        verdicts,
        (pl.col("finish_reason") == "stop").alias("stopped"),
        style.alias("style"),
    )


def spread(rows: pl.DataFrame) -> dict[str, float]:
    """Return the shares of problems by correctness ratio c, and of those whose lengths differ."""
    ratio = pl.col("tokens").filter("correct").max() / pl.col("tokens").filter("correct").min()
    c = pl.col("c")
    by_problem = rows.group_by("problem_id").agg(pl.col("correct").mean().alias("c"), ratio=ratio)
    shares = by_problem.select(
        (c == 1).mean().alias("c = 1"),
        ((c > 0.75) & (c < 1)).mean().alias("0.75 < c < 1"),
        ((c > 0) & (c <= 0.75)).mean().alias("0 < c <= 0.75"),
        (c == 0).mean().alias("c = 0"),
        (pl.col("ratio").fill_null(0) >= 1.5).mean().alias("longest/shortest correct >= 1.5"),
    )
    return dict(shares.row(0, named=True))


def _by(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    return (
        rows.group_by(column)
        .agg(
            pl.len().alias("responses"),
            pl.col("correct").mean().alias("share correct"),
            pl.col("tokens").mean().alias("mean tokens"),
            pl.col("stopped").mean().alias("share stopped"),
        )
        .sort(column)
    )


def measure(model: Path, kind: str, count: int, n: int) -> pl.DataFrame:
    """Sample n responses to fresh problems of a kind (T 0.6, top-p 0.95, 512 tokens), and judge."""
    from ssgr.config import Sampling
    from ssgr.sampling import load_engine, load_tokenizer, sample

    problems = pl.DataFrame(recipe.problems(kind, count, SEED))
    sampling = Sampling(n=n, temperature=0.6, top_p=0.95, max_tokens=512, seed=SEED)
    sampled = sample(
        problems,
        name="abacus",
        template="{question}",
        sampling=sampling,
        engine=lambda _: load_engine("transformers", str(model)),
        tokenizer=load_tokenizer(str(model)),
    )
    return judged(sampled.responses, problems)


def _mean(rows: pl.DataFrame, column: str) -> float:
    return float(rows.select(pl.col(column).mean()).item())


class Audit(BaseSettings):
    """Print what the model card promises, measured."""

    model_config = SettingsConfigDict(
        cli_prog_name="python -m recipe.audit", env_prefix="SSGR_AUDIT_"
    )

    model: Path = Field(recipe.MODEL, description="model folder")
    source: int = Field(300, ge=1, description="problems of the source, 16 responses each")
    benchmark: int = Field(100, ge=0, description="problems of each benchmark, 4 responses each")
    threads: int = Field(1, ge=1, description="CPU threads")

    def cli_cmd(self) -> None:
        """Measure the source, then the benchmarks."""
        import torch

        torch.set_num_threads(self.threads)
        rows = measure(self.model, "stories", self.source, 16)
        for column in ("level", "style", "stopped"):
            print(_by(rows, column))
        for name, share in spread(rows).items():
            print(f"{name}: {share:.3f}")
        print(f"stories: correct {_mean(rows, 'correct'):.3f}, tokens {_mean(rows, 'tokens'):.1f}")
        for kind in ("easy", "medium", "hard", "choice") if self.benchmark else ():
            scored = measure(self.model, kind, self.benchmark, 4)
            print(f"{kind}: correct {_mean(scored, 'correct'):.3f}", _by(scored, "level"), sep="\n")


if __name__ == "__main__":
    pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True)
    try:
        CliApp.run(Audit)
    except (SsgrError, SettingsError, ValidationError) as error:
        sys.exit(f"error: {error}")
