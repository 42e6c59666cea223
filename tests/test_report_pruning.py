"""The report's section on pruning: what stands there is what the checkpoints' files say."""

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ssgr.config import Config
from ssgr.errors import ReportError, TableError
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES, read_summary
from ssgr.report.write import ReportTables, gather, render
from ssgr.storage import tables
from synthetic_results import graded_shards, make_config, write_results
from test_report import MADE, VERSIONS, parse, plain

RUN = {"models": ["abacus"], "pruners": ["wanda", "magnitude"], "sparsities": ["2:4", 50],
       "calibrations": ["C4", "MathR"], "benchmarks": ["easy"]}  # fmt: skip
DASH = "\N{EN DASH}"
SETTINGS = ["Wanda, 2:4", "Wanda, 50\u00a0%", "Magnitude, 2:4", "Magnitude, 50\u00a0%"]


def gathered(root: Path, config: Config) -> ReportTables:
    return gather(root / "results", root / "pool", config, graded_shards(root / "results"))


@pytest.fixture(scope="module")
def config() -> Config:
    return make_config(run=RUN)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    root = tmp_path_factory.mktemp("pruned")
    write_results(root / "results", root / "pool", config)
    return root


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "run"))


@pytest.fixture(scope="module")
def page(tree: Path, config: Config) -> str:
    return render(gathered(tree, config), config, made=MADE, versions=VERSIONS)


def folder_of(root: Path, **keys: str) -> Path:
    """The only checkpoint whose path has all these keys."""
    found = [
        path.parent
        for path in (root / "results/checkpoints").rglob(SUMMARY)
        if all(f"{key}={value}" in path.parts for key, value in keys.items())
    ]
    assert len(found) == 1, keys
    return found[0]


def section(page: str) -> str:
    start = page.index('<section id="pruning">')
    end = page.index("</section>", start)
    return page[start:end] + "</section>"


def rows(page: str) -> list[list[str]]:
    """The table's rows as text."""
    (table,) = parse(section(page)).tables
    return [[cell.replace("\u00a0", " ").strip() for cell, _ in row] for row in table]


def expected(folder: Path, label: str) -> list[str]:
    """A row as the files say, computed without the report's code."""
    matrices = pl.read_parquet(folder / MATRICES)
    blocks = pl.read_parquet(folder / BLOCKS).sort("block")
    held = read_summary(folder).perplexity
    numel = [rows * columns for rows, columns in matrices.select("rows", "columns").iter_rows()]
    zeros = sum(
        share * count for share, count in zip(matrices["achieved_sparsity"], numel, strict=True)
    )
    flagged = [text for text in matrices["warnings"] if text]
    errors = [e for e in matrices["relative_error"] if e is not None]
    return [
        f"{label} ⚠ {len(flagged)}" if flagged else label,
        f"{100 * zeros / sum(numel):.2f}",
        f"{100 * sum(errors) / len(errors):.2f}" if errors else DASH,
        f"{100 * blocks['relative_error'][-1]:.2f}" if held else DASH,
        *(
            [f"{held.dense:.2f}", f"{held.pruned:.2f}", f"{held.pruned / held.dense:.2f}"]
            if held
            else [DASH] * 3
        ),
        f"{blocks['seconds'].sum():.1f}",
        f"{max(blocks['peak_mb'].to_list()):.0f}",
    ]


def test_every_checkpoint_has_its_row_in_the_order_of_the_run(tree: Path, page: str) -> None:
    wanted = []
    for setting, (pruner, sparsity) in zip(
        SETTINGS,
        [("wanda", "2-4"), ("wanda", "50"), ("magnitude", "2-4"), ("magnitude", "50")],
        strict=True,
    ):
        wanted.append([setting.replace("\u00a0", " ")])
        labels = {"C4": "text", "MathR": "solution"}
        if pruner == "magnitude":
            labels = {"no calibration": "none"}
        wanted += [
            expected(folder_of(tree, pruner=pruner, sparsity=sparsity, length=length), label)
            for label, length in labels.items()
        ]
    assert rows(page)[1:] == wanted


def test_the_curves_are_the_blocks_errors_on_held_back_text(tree: Path, page: str) -> None:
    said = set(re.findall(r"<title>([^<]*, block \d+: [^<]*)</title>", section(page)))
    wanted = set()
    for label, length in (("C4", "text"), ("MathR", "solution")):
        for sparsity in ("50", "2-4"):
            blocks = pl.read_parquet(
                folder_of(tree, pruner="wanda", sparsity=sparsity, length=length) / BLOCKS
            )
            wanted |= {
                f"{label}, block {block}: {100 * error:.2f} %"
                for block, error in blocks.select("block", "relative_error").iter_rows()
            }
    assert said == wanted
    assert len(said) == 24


def test_warnings_are_told_in_words_with_their_checkpoint(tree: Path, page: str) -> None:
    said = plain(section(page))
    assert "Warnings of 2 of 6 checkpoints of abacus" in said
    for sparsity in ("50", "2-4"):
        summary = read_summary(folder_of(tree, pruner="wanda", sparsity=sparsity, length="text"))
        assert len(summary.warnings) == 3
        assert " ".join(summary.warnings) in said
    assert "Wanda, 2:4, C4 model.layers.0.q_proj: only 100 tokens for 128 inputs" in said
    assert "MathR model.layers" not in said


def test_a_warning_is_text_and_no_markup(copy: Path, config: Config) -> None:
    folder = folder_of(copy, pruner="wanda", sparsity="50", length="text")
    summary = read_summary(folder).model_copy(update={"warnings": ["<b>condition > 1e8</b>"]})
    (folder / SUMMARY).write_text(summary.model_dump_json())
    text = section(render(gathered(copy, config), config, made=MADE, versions=VERSIONS))
    assert "&lt;b&gt;condition &gt; 1e8&lt;/b&gt;" in text
    assert "<b>condition" not in text


def test_without_held_back_text_there_are_no_curves(tmp_path: Path) -> None:
    config = make_config(run=RUN | {"pruners": ["magnitude"]})
    write_results(tmp_path / "results", tmp_path / "pool", config)
    text = section(render(gathered(tmp_path, config), config, made=MADE, versions=VERSIONS))
    assert "<svg" not in text
    assert "no checkpoint of this run had text held back" in text
    assert len(rows(text)) == 1 + 4


@pytest.mark.parametrize(
    ("name", "kind"),
    [(MATRICES, ReportError), (BLOCKS, TableError), (SUMMARY, TableError)],
)
def test_a_missing_report_is_named(
    copy: Path, config: Config, name: str, kind: type[Exception]
) -> None:
    folder = folder_of(copy, pruner="wanda", sparsity="50", length="solution")
    (folder / name).unlink()
    with pytest.raises(kind) as caught:
        gathered(copy, config)
    assert name in str(caught.value)
    assert "length=solution" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", '{"sparsity": "50"}', '{"recipe": {}, "sparsity"'])
def test_a_damaged_summary_is_named(copy: Path, config: Config, content: str) -> None:
    folder = folder_of(copy, pruner="magnitude", sparsity="50")
    (folder / SUMMARY).write_text(content)
    with pytest.raises(TableError, match=re.escape(str(folder / SUMMARY))):
        gathered(copy, config)


def test_the_tables_hold_what_their_docstrings_say(tree: Path, config: Config) -> None:
    found = gathered(tree, config)
    assert len(found.checkpoints) == 6
    assert len(found.blocks) == 6 * 6
    assert {*tables.BlockReport.column_names()} <= {*found.blocks.columns}
    row: dict[str, Any] = found.checkpoints.filter(pruner="wanda", sparsity="50", label="C4").row(
        0, named=True
    )
    assert (row["matrices"], row["flagged"], row["weights"]) == (18, 18, 18 * 128 * 128)
    assert row["zeros"] == pytest.approx(9 * 128 * 128)
    assert row["perplexity_tokens"] == 1536
