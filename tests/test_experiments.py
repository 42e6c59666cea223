"""Experiments: their numbers are those of the files, compared and laid out as they say."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ssgr.config import Config
from ssgr.errors import ReportError, SsgrError, TableError
from ssgr.evaluation import significance
from ssgr.jobs.grid import CHECKPOINT_KEYS
from ssgr.report.tables.build import build
from ssgr.report.tables.check import check_experiments
from ssgr.report.tables.figure import Exhibit
from ssgr.report.tables.order import order
from ssgr.report.tables.table import Entry
from ssgr.storage import tables
from synthetic_experiments import (
    BASE,
    ENTRIES,
    EXPERIMENTS,
    FIVE,
    paper_config,
    point,
    put_grades,
    write_evidence,
)
from synthetic_results import folder

PROBLEMS = 30
AVG = "AVG"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``results`` and ``pool``, where every experiment was measured."""
    place = tmp_path_factory.mktemp("experiments")
    config = paper_config(place / "results")
    names = list(config.experiments)
    write_evidence(place / "results", place / "pool", config, *names, problems=PROBLEMS)
    return place


@pytest.fixture
def own_place(place: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(place / "results", tmp_path / "results")
    shutil.copytree(place / "pool", tmp_path / "pool")
    return tmp_path


def config_of(place: Path, **changes: Any) -> Config:
    """The base config with experiments["mine"] and other changes."""
    mine = {"mine": {"title": "Mine"} | changes.pop("mine", {})}
    return paper_config(place / "results", experiments=EXPERIMENTS | mine, **changes)


def exhibit(place: Path, name: str, **changes: Any) -> Exhibit:
    return build(config_of(place, **changes), name, place / "results", place / "pool")


def grades(place: Path, config: Config, name: str, benchmark: str, **keys: str) -> pl.DataFrame:
    at = folder(place / "results" / "scores", point(config, name, **keys), CHECKPOINT_KEYS)
    return tables.read(at / f"benchmark={benchmark}" / "grades.parquet", tables.Grades)


def mean(table: pl.DataFrame, column: str) -> float:
    """The mean over problems of the mean over a problem's responses."""
    per_problem = table.group_by("problem_id").agg(pl.col(column).cast(pl.Float64).mean())
    return float(per_problem[column].to_numpy().mean())


def one(cells: pl.DataFrame, **keys: str) -> dict[str, Any]:
    (row,) = cells.filter(**keys).iter_rows(named=True)
    return row


def texts(entries: Iterable[Entry | None]) -> list[str]:
    return [entry.text if entry else "" for entry in entries]


def test_each_number_is_that_of_its_grades(place: Path) -> None:
    config, cells = config_of(place), exhibit(place, "table2").cells
    keys = {"model": "llama-8b", "pruner": "wanda"}
    scores = []
    for name in FIVE:
        table = grades(place, config, "table2", name.lower(), label="SGR", **keys)
        scores.append(100 * mean(table, "correct"))
        cell = one(cells, label="SGR", benchmark=name.lower(), **keys)
        assert cell["value"] == pytest.approx(scores[-1])
        assert cell["low"] < cell["value"] < cell["high"]
        assert cell["problems"] == PROBLEMS
    average = one(cells, label="SGR", benchmark=AVG, **keys)
    assert average["value"] == pytest.approx(sum(scores) / 5)
    assert average["problems"] == 5 * PROBLEMS
    assert len(cells) == 18 * 6  # as Table 2 of the paper


def test_lengths_are_those_of_the_responses(place: Path) -> None:
    config, cells = config_of(place), exhibit(place, "figure5").cells
    for label, key in (("C4", "C4"), ("Dense", "Dense")):
        table = grades(place, config, "figure5", "aime", label=key)
        cell = one(cells, label=label, benchmark="aime")
        assert cell["value"] == pytest.approx(mean(table, "tokens"))
        assert (cell["measure"], cell["best"]) == ("response_tokens", False)
    pruned = cells.filter(pl.col("label") != "Dense")
    assert set(pruned["against"]) == {"Dense"}  # where no calibration is named


def test_differences_are_to_what_the_experiment_names(place: Path) -> None:
    cells = exhibit(place, "table2").cells
    settings = ["model", "pruner", "sparsity", "benchmark"]
    others = cells.filter(~pl.col("label").is_in(["SSGR", "Dense"]))
    assert set(others["against"]) == {"SSGR"}
    both = others.join(cells.filter(label="SSGR"), on=settings, suffix="_ssgr")
    assert len(both) == len(others) == 12 * 6
    assert ((both["value"] - both["value_ssgr"]) - both["difference"]).abs().max() < 1e-9  # type: ignore[operator]
    inside = (others["difference_low"] <= others["difference"]) & (
        others["difference"] <= others["difference_high"]
    )
    assert inside.all()
    rest = cells.filter(pl.col("label").is_in(["SSGR", "Dense"]))
    assert rest["difference"].is_null().all()


def test_without_a_name_differences_are_to_the_best_of_each_benchmark(place: Path) -> None:
    cells = exhibit(place, "table3").cells.filter(pl.col("label") != "Dense")
    for group in cells.partition_by("benchmark"):
        best = group.filter(value=float(group["value"].max()))["label"][0]  # type: ignore[arg-type]
        assert set(group["against"].drop_nulls()) == {best}
        assert group["against"].null_count() == 1
        shown = group["value"].round(1)
        assert group["best"].to_list() == (shown == shown.max()).to_list()


def test_marks_bear_in_mind_how_many_comparisons_there_are(place: Path) -> None:
    cells = exhibit(place, "table2").cells.drop_nulls("p_value")
    adjusted = significance.adjust(cells["p_value"].to_list())
    assert cells["p_adjusted"].to_list() == pytest.approx(adjusted)
    assert cells["mark"].to_list() == ["*" if value < 0.05 else "" for value in adjusted]
    assert 0 < (cells["mark"] == "*").sum() < len(cells)


def test_the_same_answers_make_no_difference_and_opposite_ones_do(own_place: Path) -> None:
    config = config_of(own_place, mine={"calibrations": ["C4", "SGR", "SSGR"]})
    table = grades(own_place, config, "mine", "aime", label="SSGR")
    for label, correct in (("SSGR", table["correct"]), ("SGR", table["correct"]), ("C4", False)):
        changed = table.with_columns(correct=pl.lit(correct), verdict=pl.lit("wrong"))
        at = folder(own_place / "results/scores", point(config, "mine", label=label),
                    CHECKPOINT_KEYS)  # fmt: skip
        put_grades(changed, at / "benchmark=aime")
    mine = {"calibrations": ["C4", "SGR", "SSGR"], "against": "SSGR", "benchmarks": ["aime"]}
    cells = exhibit(own_place, "mine", mine=mine).cells
    assert set(cells["benchmark"]) == {"aime"}  # an average of one benchmark is no news
    same, none = one(cells, label="SGR"), one(cells, label="C4")
    assert (same["difference"], same["p_value"], same["mark"]) == (0.0, 1.0, "")
    assert none["difference"] == pytest.approx(-one(cells, label="SSGR")["value"])
    assert (none["mark"], none["difference_high"] < 0) == ("*", True)
    assert [one(cells, label=label)["best"] for label in ("C4", "SGR", "SSGR")] == [0, 1, 1]


def test_pruners_compete_where_there_is_one_kind_of_calibration(place: Path) -> None:
    mine = {"pruners": ["sparsegpt", "wanda"], "calibrations": ["SSGR"], "columns": "pruner",
            "average": "only"}  # fmt: skip
    built = exhibit(place, "mine", mine=mine)
    pruned = built.cells.filter(pl.col("label") != "Dense")
    assert pruned["against"].null_count() == 1 == pruned["best"].sum()
    (dense, ours) = built.table.rows
    assert [column.heading for column in built.table.columns] == ["SparseGPT", "Wanda"]
    assert len(set(texts(dense.entries))) == 1  # the same model in both columns
    assert texts(ours.entries) == [f"{value:.1f}" for value in pruned["value"]]


def test_the_best_of_several_takes_the_best_on_each_benchmark(place: Path) -> None:
    cells = exhibit(place, "figure2").cells
    members = exhibit(place, "table3").cells.filter(pl.col("label").is_in(["C4", "Wikipedia",
                                                                            "DCLM"]))  # fmt: skip
    best = []
    for name in FIVE:
        rivals = members.filter(benchmark=name.lower()).sort("value", descending=True)
        cell = one(cells, label="Pre-training", benchmark=name.lower())
        assert (cell["value"], cell["taken_from"]) == (rivals["value"][0], rivals["label"][0])
        best.append(cell["value"])
    average = one(cells, label="Pre-training", benchmark=AVG)
    assert (average["value"], average["taken_from"]) == (pytest.approx(sum(best) / 5), None)
    labels = cells["label"].unique(maintain_order=True).to_list()
    assert labels == ["Dense", "Pre-training", "MathR", "SGR"]  # the members are in it


def test_the_best_of_what_is_not_there_is_refused(place: Path) -> None:
    mine = {"calibrations": ["C4", "SGR"], "best_of": {"Text": ["C4", "DCLM"]}}
    with pytest.raises(ReportError, match=r"mine\.best_of\.Text: DCLM is not among"):
        exhibit(place, "mine", mine=mine)


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ({"calibrations": ["C4", "SGR"], "against": "SSGR"}, r"mine\.against: 'SSGR' is no row"),
        ({"calibrations": ["C4", "MathR"], "best_of": {"Best": ["C4"]}, "against": "C4"},
         r"'C4' is no row of the experiment, .* its rows are Best, MathR"),
        ({"calibrations": ["C4", "SGR"], "best_of": {"Text": ["DCLM"]}}, "DCLM is not among"),
        ({"published": "table99"}, "no exhibit 'table99'"),
    ],
)  # fmt: skip
def test_what_could_not_be_shown_is_refused_before_anything_runs(
    place: Path, mine: dict[str, Any], said: str
) -> None:
    with pytest.raises(SsgrError, match=said):
        check_experiments(config_of(place, mine=mine))


def test_the_papers_experiments_can_be_shown(place: Path) -> None:
    no_calibration = {"pruners": ["magnitude"], "calibrations": ["C4"], "against": "SSGR"}
    check_experiments(config_of(place, mine=no_calibration))  # it has no rows to compare


def test_draws_of_one_kind_are_one_row(own_place: Path) -> None:
    entries = ENTRIES | {"SSGR-1": ENTRIES["SSGR"] | {"seed": 1, "label": "SSGR"}}
    mine = {"calibrations": ["SGR", "SSGR", "SSGR-1"], "against": "SSGR-1"}
    config = config_of(own_place, mine=mine, calibrations=entries)
    results = own_place / "results"
    write_evidence(results, own_place / "other", config, "mine", problems=PROBLEMS, seed=7)
    built = build(config, "mine", results, own_place / "pool")
    assert [row.label for row in built.table.rows] == ["Dense", "SGR", "SSGR"]
    both = [mean(grades(own_place, config, "mine", "gpqa", label=name), "correct")
            for name in ("SSGR", "SSGR-1")]  # fmt: skip
    cell = one(built.cells, label="SSGR", benchmark="gpqa")
    assert cell["value"] == pytest.approx(100 * sum(both) / 2)
    assert both[0] != both[1]
    assert one(built.cells, label="SGR", benchmark="gpqa")["against"] == "SSGR"
    assert any("SSGR is the mean over 2 draws of calibration data (seeds 0, 1)" in note
               for note in built.table.notes)  # fmt: skip


@pytest.mark.parametrize("other", [{"tau": 0.5}, {"tau": 0.5, "seed": 1}, {}])
def test_two_kinds_under_one_label_are_refused(place: Path, other: dict[str, Any]) -> None:
    entries = ENTRIES | {"Other": ENTRIES["SSGR"] | {"label": "SSGR"} | other}
    with pytest.raises(ReportError, match="SSGR and Other are both shown as 'SSGR'"):
        exhibit(place, "mine", mine={"calibrations": ["SSGR", "Other"]}, calibrations=entries)


def test_calibration_tokens_stand_beside(place: Path) -> None:
    built = exhibit(place, "table4")
    tokens = built.cells.filter(measure="calibration_tokens")
    assert tokens["value"].to_list() == [511.5] * 3  # half the sequences have 512, half 511
    assert tokens["published"].to_list() == [2005, 3972, 7375]
    last = built.table.columns[-1]
    assert (last.key, last.heading, last.unit) == ("calibration_tokens", "Token length", "tokens")
    entry = built.table.rows[0].entries[-1]
    assert entry is not None
    assert (entry.text, entry.error, entry.published_text) == ("512", "", "2,005")


def test_cost_stands_beside_and_what_it_bought(place: Path) -> None:
    built = exhibit(place, "cost")

    def of(label: str, measure: str) -> float:
        return float(one(built.cells, label=label, measure=measure)["value"])

    assert of("SSGR", "tokens_drawn") == of("SGR", "tokens_drawn") == 1200
    assert of("SSGR", "gpu_hours") == pytest.approx(36 * 2 / 3600)
    assert of("C4", "tokens_drawn") == of("C4", "gpu_hours") == of("SSGR", "cpu_hours") == 0
    averages = {row["label"]: row["value"]
                for row in built.cells.filter(benchmark=AVG).iter_rows(named=True)}  # fmt: skip
    gained = one(built.cells, label="SSGR", measure="points_gained")
    assert gained["value"] == pytest.approx(averages["SSGR"] - averages["C4"])
    assert gained["low"] < gained["value"] < gained["high"]
    headings = [column.heading for column in built.table.columns]
    assert headings[-3:] == ["Tokens drawn", "GPU-hours", "Points gained"]  # no job without a GPU
    assert built.table.rows[0].entries[-3:] == (None, None, None)  # the dense model costs nothing


def test_a_table_has_the_headings_of_what_varies(place: Path) -> None:
    table = exhibit(place, "table2").table
    assert table.levels == ("Model", "Method", "Calibration")
    assert [column.heading for column in table.columns] == [*FIVE, AVG]
    assert [row.headings for row in table.rows[:3]] == [
        ("qwen-7b", "Dense", ""), ("qwen-7b", "SparseGPT", "C4"), ("qwen-7b", "SparseGPT", "MathR"),
    ]  # fmt: skip
    assert [table.spans(at) for at in (0, 1, 2, 5)] == [(9, 1, 1), (0, 4, 1), (0, 0, 1), (0, 4, 1)]
    lines = [at for at in range(len(table.rows)) if table.starts_group(at)]
    assert lines == [1, 5, 9, 10, 14]
    assert exhibit(place, "table4").table.levels == ("Calibration",)


def test_calibrations_across_are_columns_the_dense_model_too(place: Path) -> None:
    table = exhibit(place, "table7").table
    headings = [column.heading for column in table.columns]
    assert headings == ["Dense", "0.25", "0.5", "0.75", "1"]
    (row,) = table.rows
    assert (table.levels, row.headings, row.label) == (("Measure",), (AVG,), "")
    assert exhibit(place, "table6").table.columns[0].heading == "0.5k"


def test_sparsities_across(place: Path) -> None:
    table = exhibit(place, "figure4").table
    headings = [column.heading for column in table.columns]
    assert headings == ["60\u00a0%", "4:8", "2:4"]
    assert [row.headings for row in table.rows] == [("Dense",), ("C4",), ("MathR",), ("SGR",),
                                                    ("SSGR",)]  # fmt: skip
    assert len(set(texts(table.rows[0].entries))) == 1


def test_a_pruner_without_calibration_has_one_row(own_place: Path) -> None:
    mine = {"pruners": ["sparsegpt", "magnitude"], "calibrations": ["C4", "SSGR"]}
    config = config_of(own_place, mine=mine)
    write_evidence(own_place / "results", own_place / "other", config, "mine", problems=PROBLEMS)
    built = build(config, "mine", own_place / "results", own_place / "pool")
    last = built.table.rows[-1]
    assert last.headings == ("Magnitude", "no calibration")
    cell = one(built.cells, pruner="magnitude", benchmark=AVG)
    assert (cell["best"], cell["against"]) == (False, None)  # it has no rivals


def test_the_notes_say_what_one_must_know(place: Path) -> None:
    notes = exhibit(place, "table2").table.notes
    assert notes[0].startswith("pass@1 in %, 4 responses to a problem, 30 problems a benchmark")
    assert any(note.startswith("Pruned by SparseGPT, 50 %") for note in notes)
    assert "Calibration sequences: 12 of at most 512 tokens." in notes
    assert any(note.startswith("* differs from SSGR by more than chance") for note in notes)
    assert any("the paper's, of DeepSeek-R1-Distill-Llama-8B, DeepSeek" in note for note in notes)
    assert exhibit(place, "table7").table.notes[-1] == EXPERIMENTS["table7"]["reading"]
    assert not any("ublished" in note for note in exhibit(place, "figure4").table.notes)
    assert any(note.startswith("Pre-training takes the best of C4, Wikipedia, DCLM")
               for note in exhibit(place, "figure2").table.notes)  # fmt: skip


def test_a_stand_in_is_said_to_be_one(own_place: Path) -> None:
    mine = {"models": ["abacus"], "sparsities": [40], "calibrations": ["C4", "SSGR"],
            "published": "table2", "benchmarks": ["easy", "gpqa"]}  # fmt: skip
    easy = {"easy": BASE["benchmarks"]["gsm8k"] | {"label": "Easy", "role": "GSM8K"}}
    config = config_of(own_place, mine=mine, benchmarks=BASE["benchmarks"] | easy)
    write_evidence(own_place / "results", own_place / "other", config, "mine", problems=PROBLEMS)
    built = build(config, "mine", own_place / "results", own_place / "pool")
    said = " ".join(built.table.notes)
    assert "not of this model: abacus plays DeepSeek-R1-Distill-Qwen-7B (Easy plays GSM8K)" in said
    assert "Ours is at 40\u00a0% sparsity, the published at 50\u00a0%." in said
    assert "The published AVG of Dense, C4, SSGR is the mean of the published numbers" in said
    assert one(built.cells, label="SSGR", benchmark="easy")["published"] == 91.1


def test_a_stand_in_with_an_average_alone_is_said_to_be_of_other_benchmarks(
    own_place: Path,
) -> None:
    entries = ENTRIES | {
        f"short-{tokens}": ENTRIES["SSGR"] | {"tokens": tokens, "label": str(tokens), "role": role}
        for tokens, role in ((16, "0.5k"), (32, "1k"))
    }
    mine = EXPERIMENTS["table6"] | {"models": ["abacus"], "calibrations": ["short-16", "short-32"]}
    config = config_of(own_place, mine=mine, calibrations=entries)
    write_evidence(own_place / "results", own_place / "other", config, "mine", problems=PROBLEMS)
    built = build(config, "mine", own_place / "results", own_place / "pool")
    (row,) = built.table.rows
    assert [entry.published for entry in row.entries if entry] == [60.0, 60.6]
    said = " ".join(built.table.notes)
    assert "(16 plays 0.5k; 32 plays 1k)" in said
    assert "The published AVG is over the paper's benchmarks, ours over its own." in said


def test_what_was_not_measured_is_named(own_place: Path) -> None:
    config = config_of(own_place)
    at = folder(own_place / "results/scores", point(config, "table4", label="Hard"),
                CHECKPOINT_KEYS)  # fmt: skip
    (at / "benchmark=aime/grades.parquet").unlink()
    with pytest.raises(ReportError, match=r"no grades of .*tau=0\.50.*benchmark=aime") as caught:
        exhibit(own_place, "table4")
    assert "Run `snakemake table4`" in str(caught.value)
    exhibit(own_place, "table3")  # which does not ask for it


def test_a_missing_set_or_list_is_named(own_place: Path) -> None:
    for name, experiment, said in (
        ("visited.json", "cost", "no list of visited shards of model=qwen-7b, source=prose"),
        ("calibration.parquet", "table4", "no calibration set of model=qwen-7b"),
    ):
        for path in (own_place / "results/calibration").rglob(name):
            path.unlink()
        with pytest.raises(ReportError, match=said):
            exhibit(own_place, experiment)


def test_damaged_grades_are_named(own_place: Path) -> None:
    path = next((own_place / "results/scores").rglob("grades.parquet"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TableError, match=r"grades\.parquet is not a whole Parquet file"):
        for name in EXPERIMENTS:
            exhibit(own_place, name)


def test_an_unknown_experiment_is_refused(place: Path) -> None:
    with pytest.raises(ReportError, match="no experiment 'table0'; it has table2, table3"):
        exhibit(place, "table0")


@pytest.mark.parametrize(
    ("name", "title", "numbers"),
    [
        ("table7", "difficulty threshold \u03c4", [0.25, 0.5, 0.75, 1.0]),
        ("table6", "sequence length, tokens", [512, 1024, 2048, 4096]),
        ("mine", "sparsity, %", [40, 50, 60]),
    ],
)
def test_ordered_axes_are_seen(place: Path, name: str, title: str, numbers: list[float]) -> None:
    mine = {"sparsities": [40, 50, 60], "columns": "sparsity", "average": "only"}
    found = order(config_of(place, mine=mine), name)
    assert found is not None
    assert (found.title, list(found.numbers.values())) == (title, numbers)


@pytest.mark.parametrize("name", ["table2", "table3", "table4", "table8", "figure2", "figure4"])
def test_kinds_of_data_are_in_no_order(place: Path, name: str) -> None:
    assert order(config_of(place), name) is None


@pytest.mark.parametrize(
    ("value", "decimals", "text", "signed"),
    [(62.04, 1, "62.0", "+62.0"), (-1.26, 1, "\u22121.3", "\u22121.3"), (-0.04, 1, "0.0", "0.0"),
     (7375.2, 0, "7,375", "+7,375"), (0.0, 1, "0.0", "0.0"), (0.0204, 3, "0.020", "+0.020")],
)  # fmt: skip
def test_numbers_as_they_are_shown(value: float, decimals: int, text: str, signed: str) -> None:
    entry = Entry(value, "%", decimals)
    assert (entry.text, entry.signed(value)) == (text, signed)


def test_thresholds_of_different_kinds_are_in_no_order(place: Path) -> None:
    mine = {"calibrations": ["SGR", "SSGR", "tau-0.5"]}  # the first response, the median
    assert order(config_of(place, mine=mine), "mine") is None
