"""The paper page: tables beside the published numbers, findings in words, links that lead there."""

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from markupsafe import escape

from ssgr.__main__ import main
from ssgr.config import Config
from ssgr.errors import ReportError
from ssgr.evaluation.scores import score
from ssgr.report.exhibits import EXPORTS, called, render
from ssgr.report.findings import Finding, Verdict, findings, summary
from ssgr.report.paper import closer_look, write_paper
from ssgr.report.tables.build import build
from ssgr.report.tables.figure import Exhibit
from ssgr.report.tables.table import Column, Entry, Row, Table
from ssgr.storage import tables
from synthetic_answers import write_answers, write_benchmark
from synthetic_experiments import EXPERIMENTS, paper_config, write_evidence
from test_report import parse, plain, without_scripts

NAMES = ("table2", "table7", "figure2", "figure5")
MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
FEW = {name: EXPERIMENTS[name] for name in NAMES}
HOLD = 24


def written(root: Path, **changes: Any) -> Config:
    """Everything that the pages of a configuration read, in its results folder."""
    config = paper_config(root / "results", **{"experiments": FEW} | changes)
    config = config.model_copy(update={"pool": config.pool.model_copy(update={"path": "pool"})})
    results = root / "results"
    write_evidence(results, root / "pool", config, *config.experiments, problems=HOLD)
    for benchmark in config.benchmarks:
        write_benchmark(results, benchmark, HOLD)
    for path in (results / "scores").rglob("grades.parquet"):
        grades = tables.read(path, tables.Grades)
        tables.write(score(grades), tables.Scores, path.with_name("scores.parquet"))
        write_answers(path.parent, grades)
    return config


@pytest.fixture(scope="module")
def config(root_of_paper: Path) -> Config:
    return written(root_of_paper)


@pytest.fixture(scope="module")
def root_of_paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def exhibits(root_of_paper: Path, config: Config) -> list[Exhibit]:
    results, pool = root_of_paper / "results", root_of_paper / "pool"
    return [build(config, name, results, pool) for name in NAMES]


@pytest.fixture(scope="module")
def page(root_of_paper: Path, config: Config, exhibits: list[Exhibit]) -> str:
    closer = closer_look(root_of_paper / "results", config)
    return render(exhibits, config, closer, made=MADE, versions={"ssgr": "0.1.0"})


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}"')
    return page[start : page.index("</section>", start)] + "</section>"


def published(exhibit: str, root: Path) -> dict[tuple[str, ...], float]:
    """The averages of an exhibit as printed, read straight from the file."""
    table = pl.read_csv(root / "resources/published.csv", comment_prefix="#", infer_schema=False)
    rows = table.filter(exhibit=exhibit, benchmark="AVG").iter_rows(named=True)
    keys = ("model", "pruner", "sparsity", "calibration")
    return {tuple(row[key] for key in keys): float(row["value"]) for row in rows}


def test_every_experiment_has_its_place_in_order(page: str) -> None:
    parser = parse(page)
    assert [one for one in parser.ids if one in NAMES] == list(NAMES)
    links = re.findall(r'<li><a href="#(\w+)"><b>([^<]*)</b> ([^<]*)</a>', page)
    assert [name for name, _, _ in links] == list(NAMES)
    assert links[1][1:] == ("Table 7", "Threshold, 100% of it: a_b &amp; c")
    assert len(parser.ids) == len(set(parser.ids))
    for href in re.findall(r'href="#([^"]*)"', without_scripts(page)):
        assert href in parser.ids
    assert [called(name) for name in ("table12", "figure3", "tables", "mine")] == [
        "Table 12", "Figure 3", "tables", "mine"]  # fmt: skip


def test_a_table_holds_its_numbers_and_the_published_ones(
    page: str, exhibits: list[Exhibit]
) -> None:
    table = exhibits[0].table
    assert table.has_published
    header, *rows = parse(section(page, "table2")).tables[0]
    assert [text for text, _ in header][1:] == [column.heading for column in table.columns]
    shown = [row for row in rows if len(row) > 1]
    assert len(shown) == len(table.rows)
    headings = [row[0][0] for row in rows if len(row) == 1]
    assert headings == ["qwen-7b", "qwen-7b, SparseGPT", "qwen-7b, Wanda",
                        "llama-8b", "llama-8b, SparseGPT", "llama-8b, Wanda"]  # fmt: skip
    for row, cells in zip(table.rows, shown, strict=True):
        assert cells[0][0] == row.headings[-1] or row.is_dense
        for entry, (text, tags) in zip(row.entries, cells[1:], strict=True):
            assert entry is not None
            assert text.strip() == f"{entry.text}{entry.mark}±{entry.error}{entry.published_text}"
            assert ("b " in tags) == entry.best
    for note in table.notes:
        assert str(escape(note)) in plain(section(page, "table2"))
    reading = exhibits[1].table.notes[-1]
    assert reading == "The paper does not name the pruner; we read SparseGPT."
    assert reading in plain(section(page, "table7"))


def test_differences_stand_beside_those_of_the_paper(
    page: str, exhibits: list[Exhibit], root: Path
) -> None:
    averages = published("table2", root)
    cells = exhibits[0].cells.filter(benchmark="AVG").drop_nulls("difference")
    shown = parse(section(page, "table2")).tables[1]
    rows = [row for row in shown[1:] if len(row) > 1]
    assert len(rows) == len(cells) == 12  # two models, two pruners, all but SSGR itself
    models = {"qwen-7b": "DeepSeek-R1-Distill-Qwen-7B", "llama-8b": "DeepSeek-R1-Distill-Llama-8B"}
    for row, cell in zip(rows, cells.iter_rows(named=True), strict=True):
        assert row[0][0] == cell["label"]
        place = (models[cell["model"]], cell["pruner"], cell["sparsity"])
        gap = averages[(*place, cell["label"])] - averages[(*place, "SSGR")]
        numbers = (cell["difference"], cell["difference_low"], cell["difference_high"], gap)
        here, low, high, paper = (_signed(number) for number in numbers)
        assert row[-1][0] == f"{here}{cell['mark']}{low} to {high}{paper}"


def _signed(number: float) -> str:
    text = f"{abs(number):.1f}"
    return text if text == "0.0" else f"{'+' if number > 0 else chr(0x2212)}{text}"


def test_findings_are_the_papers_differences_with_ours(exhibits: list[Exhibit], root: Path) -> None:
    averages = published("table2", root)
    found = findings(exhibits[:1])
    models = {"qwen-7b": "DeepSeek-R1-Distill-Qwen-7B", "llama-8b": "DeepSeek-R1-Distill-Llama-8B"}
    pruners = {"SparseGPT": "sparsegpt", "Wanda": "wanda"}
    seen = set()
    for one in found:
        pruner = pruners[one.setting.split(",")[0]]
        place = (models[one.model], pruner, "50")
        assert one.published == pytest.approx(
            averages[(*place, one.higher)] - averages[(*place, one.lower)]
        )
        assert one.published >= 1 and "SSGR" in (one.higher, one.lower)
        assert one.low < one.here < one.high
        own = exhibits[0].cells.filter(benchmark="AVG", model=one.model, pruner=pruner)
        values = dict(own.select("label", "value").iter_rows())
        assert one.here == pytest.approx(values[one.higher] - values[one.lower])
        seen.add(one.pair)
    claims = {place for place, value in averages.items() if place[-1] in ("C4", "MathR", "SGR")
              and abs(value - averages[(*place[:-1], "SSGR")]) >= 1}  # fmt: skip
    assert len(seen) == len(found) == len(claims)


def made_up(
    name: str, differences: Sequence[tuple[str, float, float, float, str, float]]
) -> Exhibit:
    """An exhibit of averages against SSGR: label, difference, its ends, mark, published."""
    rows: list[dict[str, Any]] = [
        {"model": "m", "pruner": "wanda", "sparsity": "50", "label": label, "benchmark": "AVG",
         "measure": "pass@1", "published": value, "against": "SSGR", "difference": here,
         "difference_low": low, "difference_high": high, "mark": mark}
        for label, here, low, high, mark, value in differences
    ]  # fmt: skip
    itself = dict.fromkeys(("against", "difference", "difference_low", "difference_high"))
    rows.append(rows[0] | itself | {"label": "SSGR", "published": 60.0, "mark": ""})
    table = Table(name, name, ("Calibration",), (Column("AVG", "AVG", "%"),), ())
    return Exhibit(pl.DataFrame(rows, infer_schema_length=None), table, lambda _: None)  # type: ignore[arg-type, return-value]


def test_what_shows_what_does_not_and_what_is_reversed() -> None:
    first = made_up("table2", [
        ("shows", -5.0, -8.0, -2.0, "*", 50.0),
        ("weak", -1.0, -4.0, 2.0, "", 50.0),
        ("other", 1.0, -2.0, 4.0, "", 50.0),
        ("reversed", 6.0, 3.0, 9.0, "*", 50.0),
        ("better", 4.0, 1.0, 7.0, "*", 63.0),
        ("as good", 9.0, 8.0, 10.0, "*", 59.5),
    ])  # fmt: skip
    again = made_up("figure1", [("shows", -5.0, -8.0, -2.0, "*", 50.0)])
    found = {(one.higher, one.lower): one for one in findings([first, again])}
    verdicts = {pair: one.verdict for pair, one in found.items()}
    assert verdicts == {
        ("SSGR", "shows"): Verdict.SHOWS,
        ("SSGR", "weak"): Verdict.SAME_WAY,
        ("SSGR", "other"): Verdict.OTHER_WAY,
        ("SSGR", "reversed"): Verdict.REVERSED,
        ("better", "SSGR"): Verdict.SHOWS,
    }
    one = found["SSGR", "shows"]
    assert (one.published, one.here, one.low, one.high) == (10.0, 5.0, 2.0, 8.0)
    assert one.experiments == ("table2", "figure1")
    assert one.setting == "Wanda, 50\u00a0%"
    said = summary(list(found.values()), "SSGR")
    assert said == [
        "Of the 5 differences of a point or more that the paper reports between the averages "
        "compared here, 2 show: the same way, and more than chance explains.",
        "2 do not show: 1 goes the same way and 1 the other way, within chance.",
        "1 is reversed, more than chance explains.",
        "Beyond chance, SSGR is above shows in 1 of 1 setting, above weak in 0 of 1 setting, "
        "above other in 0 of 1 setting, above reversed in 0 of 1 setting.",
    ]  # fmt: skip
    assert summary([]) == []
    alone: list[Finding] = [found["SSGR", "weak"]]
    assert summary(alone) == [
        "The one difference of a point or more that the paper reports between the averages "
        "compared here does not show: the same way, but within chance."
    ]


def test_the_page_says_at_its_top_what_shows(page: str, exhibits: list[Exhibit]) -> None:
    found = findings(exhibits)
    for sentence in summary(found, "SSGR"):
        assert sentence in plain(page)
    (table,) = parse(section(page, "findings")).tables
    rows = [[text for text, _ in row] for row in table if len(row) == 6][1:]
    assert len(rows) == len(found)
    for one in found:
        row = next(row for row in rows if row[0].startswith(f"{one.higher} above {one.lower}")
                   and row[1] == f"{one.model}, {one.setting}")  # fmt: skip
        assert row[3:] == [_signed(one.published), _signed(one.here),
                           f"{_signed(one.low)} to {_signed(one.high)}"]  # fmt: skip
        for name in one.experiments:
            assert called(name) in row[2]


def test_a_calibration_across_is_compared_in_its_row() -> None:
    entry = Entry(60.0, "%", 1, 58.0, 62.0, published=61.0, difference=-2.0, against="b",
                  difference_low=-3.0, difference_high=-1.0)  # fmt: skip
    best = Entry(62.0, "%", 1, 60.0, 64.0, published=64.0, best=True)
    columns = (Column("a", "a", "%"), Column("b", "b", "%"))
    table = Table("t", "t", ("Measure",), columns, (Row(("AVG",), (entry, best), "", False),))
    from ssgr.report.exhibits import _differences

    (row,) = _differences(table)
    assert row["cells"][1] is None
    assert row["cells"][0]["published"] == f"{chr(0x2212)}3.0"
    assert row["cells"][0]["interval"] == [f"{chr(0x2212)}3.0", f"{chr(0x2212)}1.0"]


def test_the_commands_write_pages_whose_links_lead_to_files(
    root_of_paper: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root_of_paper / "pool", "pool")
    shutil.copytree(root_of_paper / "results", "results")
    two = {name: config.experiments[name] for name in ("table7", "figure5")}
    own = config.model_copy(update={"results": "results", "experiments": two})
    said = own.model_dump_json()
    for name in two:
        folder = f"results/experiments/{name}"
        assert main(["experiment", "--config", said, "--name", name, "--out", folder]) == 0
    assert main(["paper", "--config", said, "--out", "results/paper/index.html"]) == 0
    for path, count in (("paper", 2), ("experiments/table7", 1)):
        text = (tmp_path / "results" / path / "index.html").read_text()
        links = [href for href in re.findall(r'href="([^"#:]+)"', without_scripts(text)) if href]
        assert len(links) == count * len(EXPORTS)
        for href in links:
            assert (tmp_path / "results" / path / href).stat().st_size > 0, href
    own_page = (tmp_path / "results/experiments/table7/index.html").read_text()
    assert "<h1>Table 7: Threshold, 100% of it: a_b &amp; c</h1>" in own_page
    assert '<nav id="contents"' not in own_page


def test_without_experiments_there_is_no_page(tmp_path: Path) -> None:
    config = paper_config(tmp_path / "results", experiments={})
    with pytest.raises(ReportError, match="no `experiments`"):
        write_paper(tmp_path / "results", tmp_path / "pool", config, tmp_path / "out.html")
    assert list(tmp_path.iterdir()) == []


def test_several_draws_are_looked_at_once(tmp_path: Path) -> None:
    two = {"title": "Draws", "calibrations": ["C4", "SSGR"], "against": "C4", "seeds": [0, 1]}
    config = written(tmp_path, experiments={"draws": two})
    closer = closer_look_scores(tmp_path, config)
    assert closer == ["Dense", "C4", "SSGR"]


def closer_look_scores(root: Path, config: Config) -> list[str]:
    """The labels that are looked at, one benchmark's."""
    found = closer_look(root / "results", config)
    own = found.scores.filter(benchmark=next(iter(config.benchmarks)))
    assert [answer.label for answer in found.samples[0].answers] == own["label"].to_list()
    return own["label"].to_list()
