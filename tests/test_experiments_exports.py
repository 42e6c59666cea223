"""What becomes of an experiment: CSV, LaTeX, SVG and PDF that say what its table says."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ssgr.__main__ import main
from ssgr.report.drawing import DESKTOP, PHONE
from ssgr.report.tables.build import build
from ssgr.report.tables.cells import Cells
from ssgr.report.tables.exports import to_csv, write
from ssgr.report.tables.figure import Exhibit
from ssgr.report.tables.latex import escaped, to_latex
from ssgr.report.tables.pictures import PRINT
from ssgr.report.tables.table import Column, Entry, Row, Table
from ssgr.storage import tables
from synthetic_experiments import FIVE, paper_config, write_evidence

SHOWN = ("table2", "table4", "table7", "figure2", "figure4", "figure5")
PLAIN = Table(
    "my_own",
    "100% of it: a_b & c",
    ("Model", "Calibration"),
    (Column("gsm8k", "GSM8K", "%"), Column("tokens", "Token length", "tokens")),
    (
        Row(("a_1", "Dense"), (Entry(90.0, "%", 1), None), "Dense", True),
        Row(("a_1", "C4 #1"), (
            Entry(50.04, "%", 1, low=45.0, high=56.0, published=51.0, mark="*", best=True),
            Entry(-7375.0, "tokens", 0),
        ), "C4 #1", False),
    ),
    ("Shares in %, p < 0.05 \u00b1 1\u00a0%.",),
)  # fmt: skip


@pytest.fixture(scope="module")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exhibit]:
    place = tmp_path_factory.mktemp("exports")
    results, pool = place / "results", place / "pool"
    config = paper_config(results)
    write_evidence(results, pool, config, *SHOWN, problems=20)
    return {name: build(config, name, results, pool) for name in SHOWN}


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_csv_has_every_number_unrounded(exhibits: dict[str, Exhibit]) -> None:
    table = exhibits["table2"].table
    head, *rows = rows_of(to_csv(table))
    assert head[:8] == ["Model", "Method", "Calibration", "GSM8K", "GSM8K, low", "GSM8K, high",
                        "GSM8K, published", "GSM8K, ours minus published"]  # fmt: skip
    assert len(rows) == len(table.rows) == 18
    for row, shown in zip(rows, table.rows, strict=True):
        told = dict(zip(head, row, strict=True))
        assert tuple(row[:3]) == shown.headings
        entry = shown.entries[-1]
        assert entry is not None and entry.published is not None
        assert float(told["AVG"]) == pytest.approx(entry.value, abs=1e-6)
        assert float(told["AVG, published"]) == entry.published
        gap = float(told["AVG"]) - float(told["AVG, published"])
        assert float(told["AVG, ours minus published"]) == pytest.approx(gap, abs=2e-6)
        assert told["AVG, mark"] == entry.mark


def test_csv_leaves_out_what_a_column_has_nowhere() -> None:
    head, dense, ours = rows_of(to_csv(PLAIN))
    assert head == ["Model", "Calibration", "GSM8K", "GSM8K, low", "GSM8K, high",
                    "GSM8K, published", "GSM8K, ours minus published", "GSM8K, mark",
                    "Token length"]  # fmt: skip
    assert dense == ["a_1", "Dense", "90.0", "", "", "", "", "", ""]
    assert ours == ["a_1", "C4 #1", "50.04", "45.0", "56.0", "51.0", "-0.96", "*", "-7375.0"]


def test_latex_of_a_small_table() -> None:
    body = to_latex(PLAIN).partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    assert [line.rstrip("\\ ") for line in body.strip().splitlines()] == [
        r"a\_1 & Dense & 90.0 & --",
        r"\midrule",
        r" & C4 \#1 & \textbf{50.0}\textsuperscript{*} {\scriptsize \ensuremath{\pm}5.5}"
        r" & \ensuremath{-}7,375",
        r" & \textcolor{gray}{\quad published} & \textcolor{gray}{51.0} &",
    ]
    assert r"\caption{100\% of it: a\_b \& c}" in to_latex(PLAIN)
    assert r"\label{tab:my-own}" in to_latex(PLAIN)
    assert r"p \ensuremath{<} 0.05 \ensuremath{\pm} 1~\%." in to_latex(PLAIN)


@pytest.mark.parametrize("name", SHOWN)
def test_latex_is_balanced_and_rectangular(exhibits: dict[str, Exhibit], name: str) -> None:
    table = exhibits[name].table
    text = to_latex(table)
    assert_well_formed(text)
    width = len(table.levels) + len(table.columns)
    assert re.search(r"\\begin\{tabular\}\{(l+r+)\}", text)[1].count("") - 1 == width  # type: ignore[index]
    inside = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
    rows = [line for line in inside.splitlines() if line.endswith(r"\\")]
    assert len(rows) >= len(table.rows) + 1
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {width - 1}
    text.encode("ascii")  # so that every LaTeX takes it


def assert_well_formed(text: str) -> None:
    """Braces and environments close, in order; a bare % only begins a comment of ours."""
    depth, environments = 0, []
    head, _, body = text.partition(r"\makeatother")
    assert body and all(line.startswith("%") for line in head.splitlines() if "%" in line)
    for token in re.findall(r"\\begin\{[a-z]+\}|\\end\{[a-z]+\}|\\.|[{}%#]", body, flags=re.S):
        if token.startswith(r"\begin"):
            environments.append(token[7:-1])
        elif token.startswith(r"\end{") and token != r"\end{document}":
            assert environments.pop() == token[5:-1]
        depth += (token == "{") - (token == "}")
        assert depth >= 0 and token not in ("%", "#")
    assert depth == 0 and environments == []
    assert re.search(r"(?<!\\)[_^~$](?!\\)", re.sub(r"\d~|\\label\{.*?\}", "", body)) is None


def test_latex_finds_no_commands_in_text() -> None:
    assert escaped(r"\input{x} 5% & a_b #1 $x$ ~^") == (
        r"\textbackslash{}input\{x\} 5\% \& a\_b \#1 \$x\$ \textasciitilde{}\textasciicircum{}"
    )


def data_of(exhibit: Exhibit) -> list[dict[str, Any]]:
    spec = exhibit.draw(PRINT).to_dict()
    assert "url" not in json.dumps(spec["datasets"])  # nothing to load
    return [row for rows in spec["datasets"].values() for row in rows]


def marks_of(spec: Any) -> set[str]:
    if isinstance(spec, list):
        return set().union(*map(marks_of, spec)) if spec else set()
    if not isinstance(spec, dict):
        return set()
    mark = spec.get("mark")
    own = {mark["type"] if isinstance(mark, dict) else mark} if mark else set()
    return own.union(*(marks_of(part) for key, part in spec.items() if key != "datasets"))


@pytest.mark.parametrize("name", SHOWN)
def test_a_chart_shows_every_number_and_no_other(exhibits: dict[str, Exhibit], name: str) -> None:
    measured = exhibits[name].cells.filter(
        pl.col("measure").cast(pl.String).is_in(["pass@1", "response_tokens"])
    )
    drawn = {round(row["value"], 9) for row in data_of(exhibits[name])}
    assert drawn == {round(value, 9) for value in measured["value"]}
    published = {row["published"] for row in data_of(exhibits[name])} - {None}
    assert published == set(measured["published"].drop_nulls())


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("table2", {"bar", "rule", "point"}), ("table4", {"bar", "rule", "point"}),
     ("figure4", {"bar", "rule"}), ("table7", {"area", "line", "rule", "point", "text"})],
)  # fmt: skip
def test_bars_for_kinds_and_lines_for_what_is_in_order(
    exhibits: dict[str, Exhibit], name: str, kinds: set[str]
) -> None:
    assert marks_of(exhibits[name].draw(PRINT).to_dict()) == kinds


def test_a_panel_for_each_setting_and_less_room_on_a_phone(exhibits: dict[str, Exhibit]) -> None:
    wide, narrow = (exhibits["table2"].draw(layout).to_dict() for layout in (DESKTOP, PHONE))
    assert [panel["title"] for panel in wide["concat"]] == [
        "qwen-7b, SparseGPT", "qwen-7b, Wanda", "llama-8b, SparseGPT", "llama-8b, Wanda",
    ]  # fmt: skip
    assert (wide["columns"], narrow["columns"]) == (2, 1)
    assert all(panel["width"] < PHONE.width for panel in narrow["concat"])
    assert "title" not in exhibits["table4"].draw(DESKTOP).to_dict()["concat"][0]


def test_every_file_is_written_and_holds_the_table(
    exhibits: dict[str, Exhibit], tmp_path: Path
) -> None:
    exhibit = exhibits["table2"]
    write(exhibit, tmp_path / "out", "made by hand")
    names = {"cells.parquet", "table.csv", "table.tex", "figure.svg", "figure.pdf"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    cells = tables.read(tmp_path / "out/cells.parquet", Cells)
    assert cells.equals(exhibit.cells)
    assert tables.read_spec(tmp_path / "out/cells.parquet") == "made by hand"
    drawn = ET.parse(tmp_path / "out/figure.svg").getroot()
    said = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {*FIVE, "AVG", "C4", "SSGR", "Dense", "published", "llama-8b, Wanda"} <= said


def test_a_pdf_brings_its_fonts(exhibits: dict[str, Exhibit], tmp_path: Path) -> None:
    write(exhibits["table4"], tmp_path)
    data = (tmp_path / "figure.pdf").read_bytes()
    streams = [inflated(part) for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.S)]
    whole = data + b"".join(streams)
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", whole)) == 1
    fonts = len(re.findall(rb"/Type\s*/FontDescriptor\b", whole))
    assert fonts == len(re.findall(rb"/FontFile[23]?\b", whole)) > 0


def inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:  # a stream that is not compressed
        return stream


def test_the_command_makes_the_whole_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, pool = tmp_path / "results", tmp_path / "pool"
    config = paper_config(results, pool={"problems": 96, "shard_size": 48, "path": str(pool)})
    write_evidence(results, pool, config, "table4", problems=12)
    out = tmp_path / "experiments" / "table4"
    words = ["experiment", "--config", config.model_dump_json(), "--out", str(out), "--name"]
    assert main([*words, "table4"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "cells.parquet", "table.csv", "table.tex", "figure.svg", "figure.pdf", "index.html",
    }  # fmt: skip
    assert "Token length" in (out / "index.html").read_text()
    assert main([*words[:-2], str(tmp_path / "other"), "--name", "table3"]) == 1
    assert "holds no grades of model=qwen-7b" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
