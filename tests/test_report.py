"""The report: what stands in its tables is what lies in the files, and nothing else."""

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ssgr import tables
from ssgr.config import Config
from ssgr.errors import SsgrError, TableError
from ssgr.report import ReportError, gather, render, write_report
from ssgr.report.appearance import HUES, colours
from ssgr.report.comparison import compare, findings, headline, with_average
from synthetic_results import make_config, write_results

MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
VERSIONS = {"ssgr": "0.1.0", "torch": "2.9.1"}
TEXT_RUN = {"models": ["abacus"], "pruners": ["wanda"], "sparsities": [60],
            "calibrations": ["C4"], "benchmarks": ["hard"]}  # fmt: skip
SCORE_KEYS = ("model", "source", "tau", "length", "budget", "pruner", "sparsity", "benchmark")


class Tables(HTMLParser):
    """Rows of each table, a cell as (its text, its markup's tags), and what tags stay open."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, str]]]] = []
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.loads.append(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", ""))
        elif "td" in self.open or "th" in self.open:
            text, tags = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text, f"{tags}{tag} ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta", "link"):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open, self.getpos())
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and ("td" in self.open or "th" in self.open):
            text, tags = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + data, tags)


def parse(page: str) -> Tables:
    parser = Tables()
    parser.feed(page)
    assert parser.open == []
    return parser


@pytest.fixture(scope="module")
def config() -> Config:
    return make_config()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    root = tmp_path_factory.mktemp("run")
    write_results(root / "results", root / "pool", config)
    return root


@pytest.fixture(scope="module")
def page(tree: Path, config: Config) -> str:
    found = gather(tree / "results", tree / "pool", config)
    return render(found, config, made=MADE, versions=VERSIONS)


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "run"))


def files(root: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """The scores files by their keys, read straight from the disk."""
    found = {}
    for path in (root / "results/scores").rglob("scores.parquet"):
        keys = dict(part.split("=") for part in path.parts if "=" in part)
        row = pl.read_parquet(path).row(0, named=True)
        found[tuple(keys[key] for key in SCORE_KEYS)] = row
    return found


def expected_rows(root: Path, config: Config) -> list[tuple[str, list[tuple[float, float]]]]:
    """Label and (pass@1, error) in percent per column, dense first, then pruner by pruner."""
    scores = files(root)
    rows = []
    points = [("Dense", ("none", "none", "none", "none", "none", "0"))]
    for pruner in config.run.pruners:
        for label, entry in config.calibrations.items():
            tau = entry.tau or "none"
            key = (entry.source, tau, entry.length, "48x512-s0", pruner, "50")
            points.append((label, key))
    for label, key in points:
        cells = [scores[("abacus", *key, name)] for name in config.benchmarks]
        values = [(100 * cell["pass_at_1"], 100 * cell["standard_error"]) for cell in cells]
        mean = sum(value for value, _ in values) / len(values)
        error = sum(error**2 for _, error in values) ** 0.5 / len(values)
        rows.append((label, [*values, (mean, error)]))
    return rows


def main_rows(page: str) -> list[list[tuple[str, str]]]:
    return [row for row in parse(page).tables[0] if len(row) > 1]


def test_page_loads_nothing(page: str) -> None:
    parser = parse(page)
    assert all(load.startswith(("data:", "#")) for load in parser.loads), parser.loads
    assert "<script" not in page
    assert "@import" not in page
    outside = set(re.findall(r"https?://[^\s\"'<)]*", page))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"url\(\s*['\"]?(?!#)", page)


def test_page_is_small_and_fits_a_phone(page: str) -> None:
    assert len(page.encode()) < 3_000_000
    assert 'name="viewport"' in page
    assert page.count('<div class="wide">') == page.count('<div class="narrow">') == 6


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    ids = parse(page).ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= set(ids)


def test_charts_are_well_formed_and_say_what_they_show(page: str, tree: Path) -> None:
    charts = re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)
    assert len(charts) == 12
    texts = [[node.text for node in ET.fromstring(chart).iter() if node.text] for chart in charts]
    value, error = expected_rows(tree, make_config())[1][1][0]
    assert f"C4, easy: {value:.1f} ± {1.96 * error:.1f} %" in texts[0]


def test_main_table_holds_the_files_scores(page: str, tree: Path, config: Config) -> None:
    header, *rows = main_rows(page)
    names = [text for text, _ in header]
    assert names == ["Calibration", "easyas GSM8K", "mediumas MATH500", "hardas AIME",
                     "choiceas GPQA", "AVG"]  # fmt: skip
    expected = expected_rows(tree, config)
    assert [row[0][0] for row in rows] == [label for label, _ in expected]
    for row, (_, cells) in zip(rows, expected, strict=True):
        shown = [text.rstrip("†") for text, _ in row[1:]]
        assert shown == [f"{value:.1f}±{error:.1f}" for value, error in cells]


def test_bold_is_the_best_and_the_mark_is_within_the_error(
    page: str, tree: Path, config: Config
) -> None:
    rows = main_rows(page)[1:]
    expected = expected_rows(tree, config)
    assert not any("b " in tags or "†" in text for text, tags in rows[0][1:])
    marks = 0
    for start in (1, 5):  # four calibrations of each pruner
        for column in range(5):
            cells = [expected[start + row][1][column] for row in range(4)]
            top, top_error = max(cells)
            for row, (value, error) in enumerate(cells):
                text, tags = rows[start + row][column + 1]
                is_best = round(value, 1) == round(top, 1)
                is_close = top - value <= 1.96 * (error**2 + top_error**2) ** 0.5
                assert ("b " in tags) == is_best, (row, column)
                assert ("†" in text) == (is_close and not is_best), (row, column)
                marks += "†" in text
    assert 0 < marks < 30


def test_other_sections_hold_the_files_numbers(page: str) -> None:
    parsed = parse(page).tables
    funnel = next(t for t in parsed if any(row[0][0].strip() == "c ≤ 0.75" for row in t))
    counts = [[text.strip() for text, _ in row] for row in funnel[1:]]
    assert counts[1] == ["c ≤ 0.75", "71", "1,136"]
    assert counts[-1] == ["drawn", "48", "48"]
    sets = next(table for table in parsed if "sequences" in [text for text, _ in table[0]])
    ssgr = [text for text, _ in sets[-1]]
    # 48 sequences of 100, 101 ... 147 tokens
    assert ssgr == ["SSGR", "stories", "0.75", "median", "48", "5,928", "124", "0.50"]
    assert "1,536 responses to 96 problems" in page
    assert "2026-01-02 03:04 UTC" in page
    assert "torch 2.9.1" in page
    assert "max_loop_share: 0.2" in page


def test_stale_files_do_not_show(tree: Path, copy: Path, config: Config) -> None:
    """Another tau, sparsity and benchmark, and a broken file of an old point, are not read."""
    stale = make_config(
        calibrations={"OLD": {"source": "stories", "tau": 0.5, "length": "shortest"}},
        run={"models": ["abacus"], "pruners": ["sparsegpt"], "sparsities": [70]},
        pool={"problems": 400, "shard_size": 200},
    )
    write_results(copy / "results", copy / "pool", stale, seed=9)
    scores = next((copy / "results/scores").rglob("sparsity=70"))
    (scores / "benchmark=easy/scores.parquet").write_bytes(b"PAR1 cut")
    # the dense model is a point of both configurations: put its scores back
    write_results(copy / "results", copy / "pool", config)
    before = gather(tree / "results", tree / "pool", config)
    after = gather(copy / "results", copy / "pool", config)
    for name, table in vars(before).items():
        assert_frame_equal(getattr(after, name), table)


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("results/scores/**/source=stories/tau=0.75/**/benchmark=hard/scores.parquet",
         ["scores.parquet", "source=stories", "tau=0.75", "benchmark=hard", "1 more"]),
        ("results/calibration/**/source=prose/**/calibration.parquet",
         ["calibration.parquet", "source=prose", "length=text"]),
        ("results/calibration/**/tau=1.00/**/funnel.parquet", ["funnel.parquet", "tau=1.00"]),
        ("results/checkpoints/**/length=solution/**/pruner=wanda/**/pruning.parquet",
         ["pruning.parquet", "length=solution", "pruner=wanda", "sparsity=50"]),
        ("pool/grades/**/000048-000096.parquet",
         ["000048-000096.parquet", "model=abacus", "source=stories", "sampling=n16"]),
    ],
)  # fmt: skip
def test_a_missing_file_is_named(copy: Path, config: Config, place: str, keys: list[str]) -> None:
    lost = list(copy.glob(place))
    assert lost
    for path in lost:
        path.unlink()
    with pytest.raises(ReportError) as caught:
        gather(copy / "results", copy / "pool", config)
    assert isinstance(caught.value, SsgrError)
    for key in keys:
        assert key in str(caught.value)


def test_a_truncated_file_is_named(copy: Path, config: Config) -> None:
    path = next((copy / "results/checkpoints").rglob("pruning.parquet"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TableError, match=re.escape(str(path))):
        gather(copy / "results", copy / "pool", config)


def test_the_pool_is_the_configs_shards_only(copy: Path, config: Config) -> None:
    shard = next((copy / "pool").rglob("000000-000048.parquet"))
    shutil.copy(shard, shard.with_name("000096-000144.parquet"))
    pool = gather(copy / "results", copy / "pool", config).pool
    assert pool["problem_id"].n_unique() == config.pool.problems
    assert len(pool) == config.pool.problems * config.sampling.n


def test_text_alone_needs_no_pool_and_one_benchmark_no_average(tmp_path: Path) -> None:
    config = make_config(run=TEXT_RUN, title="<script>alert(1)</script>")
    write_results(tmp_path / "results", tmp_path / "pool", config)
    assert not (tmp_path / "pool").exists()
    out = tmp_path / "report/index.html"
    write_report(tmp_path / "results", tmp_path / "pool", config, out)
    text = out.read_text()
    assert "no pool was sampled" in text
    assert "<script" not in text
    assert [cell for cell, _ in main_rows(text)[0]] == ["Calibration", "hardas AIME"]
    assert [path.name for path in out.parent.iterdir()] == ["index.html"]


def test_models_sparsities_and_pruners_without_calibration(tmp_path: Path) -> None:
    config = make_config(
        models={"abacus": {"path": "a"}, "other-2b": {"path": "b"}},
        run={"models": ["abacus", "other-2b"], "pruners": ["wanda", "magnitude"],
             "sparsities": [50, "2:4"], "calibrations": ["C4", "SSGR"],
             "benchmarks": ["easy", "hard"]},
    )  # fmt: skip
    write_results(tmp_path / "results", tmp_path / "pool", config)
    found = gather(tmp_path / "results", tmp_path / "pool", config)
    text = render(found, config, made=MADE, versions=VERSIONS)
    table = [[cell.strip() for cell, _ in row] for row in parse(text).tables[0]]
    block = [["Wanda, 50\u00a0%"], ["C4"], ["SSGR"], ["Wanda, 2:4"], ["C4"], ["SSGR"],
             ["Magnitude, 50\u00a0%"], ["no calibration"], ["Magnitude, 2:4"],
             ["no calibration"]]  # fmt: skip
    assert [row[:1] for row in table[1:]] == [
        *[["abacus"], ["Dense"], *block],
        *[["other-2b"], ["Dense"], *block],
    ]
    assert text.count('class="result"') == 4
    assert len(parse(text).ids) == len(set(parse(text).ids))


def test_magnitude_alone_has_no_funnel_and_no_error_curves(tmp_path: Path) -> None:
    config = make_config(run=TEXT_RUN | {"pruners": ["magnitude"]})
    write_results(tmp_path / "results", tmp_path / "pool", config)
    found = gather(tmp_path / "results", tmp_path / "pool", config)
    assert found.calibrations.is_empty()
    assert found.funnel.is_empty()
    text = render(found, config, made=MADE, versions=VERSIONS)
    assert "No pruner of this run needs calibration data" in text
    assert "No output errors were measured" in text


def rows_of(scores: dict[str, tuple[float, float]]) -> pl.DataFrame:
    """Averaged scores of one pruner: label -> (pass@1, error); C4 is the text calibration."""
    keys: dict[str, Any] = {
        "model": "abacus",
        "source": "s",
        "tau": "none",
        "budget": "b",
        "benchmark": "AVG",
    }
    rows = [
        keys | {"label": label, "length": "text" if label == "C4" else "median",
                "pruner": "none" if label == "Dense" else "wanda",
                "sparsity": "0" if label == "Dense" else "50",
                "pass_at_1": value, "standard_error": error}
        for label, (value, error) in scores.items()
    ]  # fmt: skip
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"C4": (0.40, 0.01), "SGR": (0.52, 0.01), "SSGR": (0.55, 0.02)},
         "SSGR is best for Wanda with 55.0 %, 15.0 points above C4, more than the error of ±4.4"),
        ({"C4": (0.54, 0.02), "SSGR": (0.55, 0.02)},
         "SSGR is best for Wanda with 55.0 %, 1.0 points above C4, within the error of ±5.5"),
        ({"C4": (0.56, 0.02), "SGR": (0.3, 0.02), "SSGR": (0.55, 0.02)},
         "C4 is best for Wanda with 56.0 %, 1.0 points above SSGR, within the error of ±5.5"),
        ({"SGR": (0.5, 0.0), "SSGR": (0.55, 0.0)},
         "SSGR is best for Wanda with 55.0 %, 5.0 points above SGR, more than the error of ±0.0"),
        ({"SSGR": (0.55, 0.02)}, "Wanda with SSGR averages 55.0 %"),
    ],
)  # fmt: skip
def test_headline_says_what_came_out(
    config: Config, scores: dict[str, tuple[float, float]], said: str
) -> None:
    averaged = rows_of({"Dense": (0.7, 0.02)} | scores)
    (sentence,) = headline(averaged, config)
    opening = "At 50 % sparsity, where the dense model averages 70.0 %: "
    assert sentence.replace("\u00a0", " ") == f"{opening}{said}."


def test_rounded_ties_are_all_best() -> None:
    marked = compare(rows_of({"C4": (0.55004, 0.0), "SGR": (0.5501, 0.0), "SSGR": (0.549, 0.0)}))
    assert marked["best"].to_list() == [True, True, False]
    assert marked["close"].to_list() == [False, False, False]


def test_the_average_weighs_benchmarks_alike(tree: Path, config: Config) -> None:
    scores = gather(tree / "results", tree / "pool", config).scores
    averaged = with_average(scores)
    assert len(averaged) == len(scores) + len(scores) // 4
    found = {finding.pruner: finding for finding in findings(averaged)}
    value, error = expected_rows(tree, config)[4][1][-1]
    average = averaged.filter(
        (pl.col("label") == "SSGR") & (pl.col("pruner") == "sparsegpt")
        & (pl.col("benchmark") == "AVG")
    ).row(0, named=True)  # fmt: skip
    assert 100 * average["pass_at_1"] == pytest.approx(value)
    assert 100 * average["standard_error"] == pytest.approx(error)
    assert set(found) == {"sparsegpt", "wanda"}
    assert found["sparsegpt"].rival == "C4"


def test_a_calibration_keeps_its_colour_whatever_is_run(config: Config) -> None:
    fewer = make_config(run=TEXT_RUN | {"calibrations": ["SSGR"]})
    assert colours(fewer) == colours(config)
    assert len(set(colours(config).values())) == len(config.calibrations) + 2
    assert len(set(HUES)) == len(HUES)


def test_a_report_that_fails_leaves_nothing_behind(copy: Path, config: Config) -> None:
    shutil.rmtree(copy / "results/scores")
    with pytest.raises(ReportError, match="35 more"):
        write_report(copy / "results", copy / "pool", config, copy / "report/index.html")
    assert not (copy / "report").exists()


def test_tables_are_written_by_the_schemas(tree: Path) -> None:
    """The synthetic tree is made of valid tables: the other tests stand on it."""
    schemas: dict[str, Callable[[Path], pl.DataFrame]] = {
        "scores.parquet": lambda path: tables.read(path, tables.Scores),
        "pruning.parquet": lambda path: tables.read(path, tables.PruningReport),
        "funnel.parquet": lambda path: tables.read(path, tables.Funnel),
    }
    for name, read in schemas.items():
        paths = list((tree / "results").rglob(name))
        assert paths
        assert all(len(read(path)) for path in paths)
