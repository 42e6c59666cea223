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

from ssgr.config import Config
from ssgr.errors import PoolError, ReportError, SsgrError, TableError
from ssgr.report import pool_charts, pool_statistics
from ssgr.report.appearance import HUES, colours
from ssgr.report.comparison import compare, findings, headline, with_average
from ssgr.report.write import ReportTables, gather, render, write_report
from ssgr.storage import tables
from synthetic_results import BASE, graded_shards, make_config, write_results, write_shard

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


def gathered(root: Path, config: Config) -> ReportTables:
    return gather(root / "results", root / "pool", config, graded_shards(root / "results"))


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
    return render(gathered(tree, config), config, made=MADE, versions=VERSIONS)


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


def without_scripts(page: str) -> str:
    """The page as it is read without script; no script is loaded from anywhere."""
    kinds = set(re.findall(r"<script([^>]*)>", page))
    assert kinds <= {"", ' type="application/json"'}
    return re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)


def test_page_loads_nothing(page: str) -> None:
    parser = parse(page)
    assert all(load.startswith(("data:", "#")) for load in parser.loads), parser.loads
    still = without_scripts(page)
    assert "@import" not in still
    outside = set(re.findall(r"https?://[^\s\"'<)}]*", still))
    paper = "https://arxiv.org/abs/2511.18864"
    assert outside == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink", paper}
    assert not re.search(r"url\(\s*['\"]?(?!#)", still)


def test_page_is_small_and_fits_a_phone(page: str) -> None:
    assert len(without_scripts(page).encode()) < 1_000_000
    assert len(page.encode()) < 3_000_000
    assert page.count("window.vegaEmbed") == 1
    assert 'name="viewport"' in page
    assert page.count('<div class="chart wide"') == page.count('<div class="chart narrow"') == 6


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    ids = parse(page).ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]*)\)", without_scripts(page))) <= set(ids)


def test_charts_are_well_formed_and_say_what_they_show(page: str, tree: Path) -> None:
    charts = re.findall(r"<svg .*?</svg>", without_scripts(page), flags=re.DOTALL)
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
        assert shown == [f"{value:.1f}±{1.96 * error:.1f}" for value, error in cells]


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
    assert counts[0] == ["visited", "96", "1,536"]
    assert counts[1] == ["c ≤ 0.75", "71", "1,136"]
    assert counts[-1] == ["drawn", "48", "48"]
    sets = next(table for table in parsed if "sequences" in [text for text, _ in table[0]])
    ssgr = [text for text, _ in sets[-1]]
    # 48 sequences of 100, 101 ... 147 tokens
    assert ssgr == ["SSGR", "stories", "0.75", "median", "48", "5,928", "124", "0.50"]
    # the synthetic SGR knows c of every other sequence only
    assert [text for text, _ in sets[-2]][-1] == "\u2013*"
    assert "SGR: c is not known of 24 of its 48 problems" in plain(page)
    assert "2026-01-02 03:04 UTC" in page
    assert "torch 2.9.1" in page
    assert "max_loop_share: 0.2" in page


def test_stale_files_do_not_show(tree: Path, copy: Path, config: Config) -> None:
    """Another tau, sparsity and benchmark, and a broken file of an old point, are not read."""
    stale = make_config(
        calibrations={"OLD": {"source": "stories", "tau": 0.5, "length": "shortest"}},
        run={"models": ["abacus"], "pruners": ["sparsegpt"], "sparsities": [70]},
        sampling=BASE["sampling"] | {"n": 4},
    )
    write_results(copy / "results", copy / "pool", stale, seed=9)
    scores = next((copy / "results/scores").rglob("sparsity=70"))
    (scores / "benchmark=easy/scores.parquet").write_bytes(b"PAR1 cut")
    # the dense model is a point of both configurations: put its files back
    for path in (tree / "results/scores").rglob("sparsity=0/*/*.parquet"):
        shutil.copy(path, copy / path.relative_to(tree))
    before = gathered(tree, config)
    after = gathered(copy, config)
    assert (after.samples, after.findings) == (before.samples, before.findings)
    for name, table in vars(before).items():
        if isinstance(table, pl.DataFrame):
            assert_frame_equal(getattr(after, name), table)


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("results/scores/**/source=stories/**/tau=0.75/**/benchmark=hard/scores.parquet",
         ["scores.parquet", "source=stories", "tau=0.75", "benchmark=hard", "1 more"]),
        ("results/calibration/**/source=prose/**/calibration.parquet",
         ["calibration.parquet", "source=prose", "length=text"]),
        ("results/calibration/**/tau=1.00/**/funnel.parquet", ["funnel.parquet", "tau=1.00"]),
        ("results/checkpoints/**/length=solution/**/pruner=wanda/**/pruning.parquet",
         ["pruning.parquet", "length=solution", "pruner=wanda", "sparsity=50"]),
        ("results/receipts/grades/**/*.json",
         ["no graded shard", "model=abacus", "source=stories", "sampling=n16"]),
    ],
)  # fmt: skip
def test_a_missing_file_is_named(copy: Path, config: Config, place: str, keys: list[str]) -> None:
    lost = list(copy.glob(place))
    assert lost
    for path in lost:
        path.unlink()
    with pytest.raises(ReportError) as caught:
        gathered(copy, config)
    assert isinstance(caught.value, SsgrError)
    for key in keys:
        assert key in str(caught.value)


def test_a_truncated_file_is_named(copy: Path, config: Config) -> None:
    path = next((copy / "results/checkpoints").rglob("pruning.parquet"))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TableError, match=re.escape(str(path))):
        gathered(copy, config)


SIX = {  # n = 4: (tokens, correct) of what was drawn
    "p0": [(10, False), (10, False), (10, False), (10, False)],
    "p1": [(20, True), (10, False), (10, False), (10, False)],
    "p2": [(30, True), (30, True), (30, True)],
    "p3": [(20, True), (20, False), (40, True), (40, False)],
    "p4": [(10, True), (10, True), (10, False), (10, True)],
    "p5": [(40, True)],
}
TEN_PROBLEMS = {
    "sampling": BASE["sampling"] | {"n": 4},
    "sources": {"stories": {"data": {"loader": "abacus", "kind": "stories", "count": 10}}},
    "calibrations": {
        "SGR": {"source": "stories", "tau": 1.0, "length": "first"},
        "SSGR": {"source": "stories", "tau": 0.5, "length": "median"},
    },
    "run": TEXT_RUN | {"calibrations": ["SGR", "SSGR"]},
}


def drawn(problems: dict[str, list[tuple[int, bool]]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"problem_id": problem, "sample": sample, "tokens": tokens, "correct": correct}
            for problem, responses in problems.items()
            for sample, (tokens, correct) in enumerate(responses)
        ]
    )


def plain(page: str) -> str:
    """The page's text, without tags and line breaks."""
    text = re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL)
    return " ".join(text.replace("&nbsp;", " ").split())


def test_of_a_stopped_problem_only_bounds_are_known() -> None:
    problems = pool_statistics.by_problem(drawn(SIX), 4, [(0.0, 0.5), (0.0, 1.0)])
    assert problems["low"].to_list() == [0, 0.25, 0.75, 0.5, 0.75, 0.25]
    assert problems["high"].to_list() == [0, 0.25, 1, 0.5, 0.75, 1]
    assert problems["whole"].to_list() == [True, True, False, True, True, False]
    assert problems["known"].to_list() == [None, None, "> 0.50", None, None, "unknown"]
    found = pool_statistics.correctness(problems)
    assert found.drawn == pytest.approx((0 + 0.25 + 1 + 0.5 + 0.75 + 1) / 6)
    assert (found.mean.low, found.mean.high) == pytest.approx((2.5 / 6, 3.5 / 6))
    assert (found.always.low, found.always.high) == pytest.approx((0, 2 / 6))
    assert (found.never.low, found.never.high) == pytest.approx((1 / 6, 1 / 6))


@pytest.mark.parametrize(
    ("correct", "wrong", "bands", "known"),
    [
        (13, 0, [(0.0, 0.75)], "> 0.75"),
        (13, 0, [(0.0, 0.5), (0.0, 0.75)], "> 0.75"),
        (12, 1, [(0.0, 0.75)], "unknown"),  # could still be 12 / 16
        (0, 9, [(0.5, 0.99)], "< 0.50"),
        (0, 8, [(0.5, 1.0)], "unknown"),  # 8 / 16 is in the band
        (1, 4, [(0.0, 0.75)], "≤ 0.75"),
        (5, 8, [(0.25, 0.5)], "≥ 0.25, ≤ 0.50"),
        (1, 0, [(0.0, 1.0)], "unknown"),
    ],
)
def test_what_is_certain_of_a_stopped_problem(
    correct: int, wrong: int, bands: list[tuple[float, float]], known: str
) -> None:
    responses = [(10, True)] * correct + [(10, False)] * wrong
    problems = pool_statistics.by_problem(drawn({"p": responses}), 16, bands)
    assert problems["known"].to_list() == [known]


def test_the_extent_weighs_problems_alike() -> None:
    problems = pool_statistics.by_problem(drawn(SIX), 4, [])
    found = pool_statistics.extent(problems, 380, 10, 4)
    # mean lengths: 10, 12.5, 30, 30, 10, 40
    assert vars(found.drawn) == {"problems": 6, "responses": 20, "tokens": 380, "estimated": False}
    assert vars(found.visited) == {
        "problems": 6, "responses": 24, "tokens": 530, "estimated": True}  # fmt: skip
    assert vars(found.source) == {
        "problems": 10, "responses": 40, "tokens": 883, "estimated": True}  # fmt: skip


def test_what_is_whole_is_not_estimated() -> None:
    whole = drawn({name: SIX[name] for name in ("p0", "p1", "p3")})  # 40 + 50 + 120 tokens
    problems = pool_statistics.by_problem(whole, 4, [])
    some = pool_statistics.extent(problems, 210, 6, 4)
    assert some.drawn == some.visited
    assert (some.source.tokens, some.source.estimated) == (420, True)
    every = pool_statistics.extent(problems, 210, 3, 4)
    assert every.drawn == every.visited == every.source


def test_length_shares_weigh_problems_alike() -> None:
    shares = pool_charts.length_shares(drawn(SIX), 40)
    correct = shares.filter((pl.col("verdict") == "correct") & (pl.col("share") > 0))
    # 32 bins of 1.25 tokens; p4 gives 3/4 of its weight, p1 a quarter, p3 two, p2 and p5 all of it
    assert correct["bin"].to_list() == [8, 16, 24, 31]
    expected = [100 * weight / 3.5 for weight in (0.75, 0.5, 1.0, 1.25)]
    assert correct["share"].to_list() == pytest.approx(expected)


def test_a_stopped_pool_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    config = make_config(**TEN_PROBLEMS)
    results, pool = tmp_path / "results", tmp_path / "pool"
    write_results(results, tmp_path / "other", config)
    place = ("abacus", "stories", "000000-000006")
    shard = write_shard(results, pool, config, place, drawn(SIX), seconds=38)
    text = render(gather(results, pool, config, [shard]), config, made=MADE, versions=VERSIONS)
    said = plain(text)
    assert "20 responses to 6 problems. 2 of the problems were stopped early" in said
    assert "58.3 % of what was drawn is correct; of all 4 responses to each" in said
    assert "it would be between 41.7 and 58.3 %." in said
    assert "Always answered correctly: at most 33.3 % of the problems; never: 16.7 %." in said
    assert "380 tokens: 43.0 % of the estimated 883 of the full pool" in said
    assert "4 responses to each of the source's 10 problems" in said
    assert "Stopping early alone saved an estimated 28.3 % of the tokens" in said
    assert "0.0106 CPU-hours (hours of jobs without a GPU), at 10 tokens/s a job." in said
    costs = next(t for t in parse(text).tables if t[1][0][0].strip() == "drawn")
    assert [[cell.strip() for cell, _ in row] for row in costs[1:]] == [
        ["drawn", "6", "20", "380"],
        ["all 4 responses to the visited problems", "6", "24", "≈ 530"],
        ["all 4 responses to every problem", "10", "40", "≈ 883"],
    ]
    bars = re.findall(r"<title>([^<]* \d+ problem)</title>", text.replace("&gt;", ">"))
    assert sorted(set(bars)) == [
        *(f"c = {k} / 4: 1 problem" for k in range(4)),
        "stopped early, c > 0.50: 1 problem",
        "stopped early, c unknown: 1 problem",
    ]


def test_costs_are_those_of_the_receipts(tmp_path: Path) -> None:
    config = make_config(**TEN_PROBLEMS)
    results, pool = tmp_path / "results", tmp_path / "pool"
    write_results(results, tmp_path / "other", config)
    first, second = (("abacus", "stories", f"{a:06d}-{a + 5:06d}") for a in (0, 5))
    two = drawn({name: SIX[name] for name in ("p0", "p1")})
    three = drawn({name: SIX[name] for name in ("p2", "p3", "p5")})
    shards = [
        write_shard(results, pool, config, first, two, seconds=1800, gpus=2),
        write_shard(results, pool, config, second, three, seconds=900, resumed=2),
    ]
    found = gather(results, pool, config, shards)
    assert found.costs.to_dicts() == [
        {"model": "abacus", "source": "stories", "verifier": "math", "source_problems": 10,
         "tokens": 340, "timed_tokens": 90 + 188, "resumed": 2, "seconds": 2700.0,
         "gpu_seconds": 3600.0, "cpu_seconds": 900.0}
    ]  # fmt: skip
    said = plain(render(found, config, made=MADE, versions=VERSIONS))
    assert "The engines took 1 GPU-hours and 0.25 CPU-hours (hours of jobs without a GPU)" in said
    assert "not counting 2 responses of runs that were cut off" in said


def test_early_stop_hides_nothing_that_it_claims_to_know(tmp_path: Path) -> None:
    """On the same draws: bounds hold the full pool's ratios, and what is exact is the same."""
    run = TEXT_RUN | {"calibrations": ["SGR", "SSGR"]}
    found = {}
    for early in (True, False):
        config = make_config(run=run, sampling=BASE["sampling"] | {"early_stop": early})
        root = tmp_path / str(early)
        write_results(root / "results", root / "pool", config)
        tables_of = gathered(root, config)
        bands = pool_statistics.bands(config, "stories")
        found[early] = pool_statistics.by_problem(tables_of.pool, 16, bands)
        said = plain(render(tables_of, config, made=MADE, versions=VERSIONS))
        assert ("stopped early" in said) == early
        assert ("1,536 responses to 96 problems, " in said) != early
    both = found[True].join(found[False], on="problem_id", suffix="_full", validate="1:1")
    assert len(both) == 96
    assert both["whole_full"].all()
    assert both.select((pl.col("low_full").is_between("low", "high")).all()).item()
    stopped = both.filter(~pl.col("whole"))
    assert len(stopped) > 10
    assert set(stopped["known"]) == {"> 0.75"}
    assert stopped["low_full"].min() > 0.75  # type: ignore[operator]
    some, every = (pool_statistics.correctness(found[early]) for early in (True, False))
    assert some.mean.low < every.mean.low == every.mean.high < some.mean.high
    assert some.never == every.never
    assert some.always.low <= every.always.low <= some.always.high


def test_a_whole_full_pool_is_called_so(tmp_path: Path) -> None:
    config = make_config(
        **TEN_PROBLEMS
        | {"sources": {"stories": {"data": {"loader": "abacus", "kind": "stories", "count": 3}}}}
    )
    results, pool = tmp_path / "results", tmp_path / "pool"
    write_results(results, tmp_path / "other", config)
    whole = drawn({name: SIX[name] for name in ("p0", "p1", "p3")})
    shard = write_shard(results, pool, config, ("abacus", "stories", "000000-000006"), whole)
    said = plain(render(gather(results, pool, config, [shard]), config, versions=VERSIONS))
    assert "12 responses to 3 problems, 25.0 % of them correct." in said
    assert "Always answered correctly: 0.0 % of the problems; never: 33.3 %." in said
    assert "210 tokens: the full pool, 4 responses to each of the source's 3 problems." in said
    assert "estimated" not in said


def test_a_part_of_the_pool_that_changed_is_named(copy: Path, config: Config) -> None:
    part = next((copy / "pool/grades").rglob("000048-000096.parquet"))
    content = part.read_bytes()
    part.unlink()
    with pytest.raises(PoolError, match=re.escape(str(part))):
        gathered(copy, config)
    part.write_bytes(content[:-1] + b"?")
    with pytest.raises(PoolError, match=re.escape(str(part))):
        gathered(copy, config)


def test_the_pool_is_the_visited_shards_only(copy: Path, config: Config) -> None:
    first, second = graded_shards(copy / "results")
    pool = gather(copy / "results", copy / "pool", config, [second]).pool
    assert pool["problem_id"].n_unique() == 48
    assert pool["problem_id"].str.starts_with("000048-000096/").all()
    assert "000000-000048" in first.name


def test_text_alone_needs_no_pool_and_one_benchmark_no_average(tmp_path: Path) -> None:
    config = make_config(run=TEXT_RUN, title="<script>alert(1)</script>")
    write_results(tmp_path / "results", tmp_path / "pool", config)
    assert not (tmp_path / "pool").exists()
    out = tmp_path / "report/index.html"
    write_report(tmp_path / "results", tmp_path / "pool", config, out)
    text = out.read_text()
    assert "no pool was sampled" in text
    assert "<script" not in without_scripts(text)
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>" in text
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
    found = gathered(tmp_path, config)
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
    found = gathered(tmp_path, config)
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


def scored(problems: int, right: dict[str, int]) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Scores of one benchmark by label, and outcomes: so many problems are right, the first."""
    outcomes = {
        label: pl.DataFrame(
            {
                "benchmark": ["easy"] * problems,
                "problem_id": [f"p{at:03}" for at in range(problems)],
                "draw": [0] * problems,
                "score": [float(at < count) for at in range(problems)],
            }
        )
        for label, count in right.items()
    }
    shares = {label: (count / problems, 0.01) for label, count in right.items()}
    rows = rows_of({"Dense": (0.7, 0.02)} | shares).with_columns(
        pl.lit("easy").alias("benchmark"),
        *(pl.lit(0).alias(name) for name in ("problems", "responses", "timed_out")),
        *(pl.lit(0.0).alias(name) for name in ("mean_tokens", "truncated", "with_thinking")),
        *(pl.lit("x").alias(key) for key in ("generator", "verifier", "thinking")),
        source=pl.col("label"),
    )
    return rows, outcomes


@pytest.mark.parametrize(
    ("right", "said"),
    [
        ({"C4": 40, "SGR": 97, "SSGR": 99},
         "SSGR is best for Wanda with 49.5 %, 1.0 points above SGR (95 % interval \u22120.0 to "
         "2.5: within chance), and 29.5 points above C4 (95 % interval 23.4 to 36.1: more than "
         "chance)"),
        ({"C4": 90, "SSGR": 99},
         "SSGR is best for Wanda with 49.5 %, 4.5 points above C4 (95 % interval 2.0 to 7.5: more "
         "than chance)"),
        ({"C4": 99, "SGR": 10, "SSGR": 97},
         "C4 is best for Wanda with 49.5 %, 1.0 points above SSGR (95 % interval \u22120.0 to 2.5: "
         "within chance)"),
        ({"C4": 0, "SSGR": 0}, "C4 and SSGR are level for Wanda with 0.0 %"),
        ({"SSGR": 110}, "Wanda with SSGR averages 55.0 %"),
    ],
)  # fmt: skip
def test_headline_names_the_nearest_rival_first_paired_by_problem(
    config: Config, right: dict[str, int], said: str
) -> None:
    scores, outcomes = scored(200, right)
    found = findings(scores, lambda keys: outcomes[keys["source"]])
    (sentence,) = headline(found, config)
    opening = "At 50 % sparsity, where the dense model averages 70.0 %: "
    assert sentence.replace("\u00a0", " ") == f"{opening}{said}."


def test_rounded_ties_are_all_best() -> None:
    marked = compare(rows_of({"C4": (0.55004, 0.0), "SGR": (0.5501, 0.0), "SSGR": (0.549, 0.0)}))
    assert marked["best"].to_list() == [True, True, False]
    assert marked["close"].to_list() == [False, False, False]


def test_the_average_weighs_benchmarks_alike(tree: Path, config: Config) -> None:
    scores = gathered(tree, config).scores
    averaged = with_average(scores)
    assert len(averaged) == len(scores) + len(scores) // 4
    found = {finding.pruner: finding for finding in gathered(tree, config).findings}
    value, error = expected_rows(tree, config)[4][1][-1]
    average = averaged.filter(
        (pl.col("label") == "SSGR") & (pl.col("pruner") == "sparsegpt")
        & (pl.col("benchmark") == "AVG")
    ).row(0, named=True)  # fmt: skip
    assert 100 * average["pass_at_1"] == pytest.approx(value)
    assert 100 * average["standard_error"] == pytest.approx(error)
    assert set(found) == {"sparsegpt", "wanda"}
    assert [lead.rival for lead in found["sparsegpt"].leads] == ["SGR", "C4"]


def test_a_calibration_keeps_its_colour_whatever_is_run(config: Config) -> None:
    fewer = make_config(run=TEXT_RUN | {"calibrations": ["SSGR"]})
    assert colours(fewer) == colours(config)
    assert len(set(colours(config).values())) == len(config.calibrations) + 2
    assert len(set(HUES)) == len(HUES)


def test_a_report_that_fails_leaves_nothing_behind(copy: Path, config: Config) -> None:
    shutil.rmtree(copy / "results/scores")
    with pytest.raises(ReportError, match="35 more"):
        write_report(
            copy / "results",
            copy / "pool",
            config,
            copy / "report/index.html",
            graded_shards(copy / "results"),
        )
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
