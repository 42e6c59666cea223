"""What the report shows to be read and checked: responses, breakdowns, provenance, citation."""

import re
from hashlib import blake2b
from pathlib import Path

import polars as pl
import pytest

from ssgr.config import Config, Model
from ssgr.errors import ReportError
from ssgr.jobs.grid import CHECKPOINT_KEYS, points
from ssgr.report.citation import entries
from ssgr.report.provenance import digest
from ssgr.report.samples import LONGEST, cut, parted, samples
from ssgr.report.write import gather, render
from ssgr.storage import tables
from synthetic_answers import SUBJECTS, write_answers
from synthetic_results import BASE, folder, graded_shards, make_config, write_results
from test_report import MADE, VERSIONS, parse, plain

RUN = {"models": ["abacus"], "pruners": ["wanda", "magnitude"], "sparsities": [50],
       "calibrations": ["C4", "SSGR"], "benchmarks": ["easy", "hard"]}  # fmt: skip
MODEL = Model(path="m", think_open="<think>", think_close="</think>")
SILENT = Model(path="m", think_open="", think_close="")


@pytest.fixture(scope="module")
def config() -> Config:
    labelled = {**BASE["calibrations"], "SSGR": BASE["calibrations"]["SSGR"] | {"label": "ours"}}
    return make_config(run=RUN, calibrations=labelled)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    root = tmp_path_factory.mktemp("samples")
    write_results(root / "results", root / "pool", config)
    return root


@pytest.fixture(scope="module")
def page(tree: Path, config: Config) -> str:
    results = tree / "results"
    found = gather(results, tree / "pool", config, graded_shards(results))
    return render(found, config, made=MADE, versions=VERSIONS)


def section(page: str, name: str) -> str:
    start = page.index(f'<section id="{name}"')
    return page[start : page.index("</section>", start)] + "</section>"


def grades_of(tree: Path, config: Config, label: str, benchmark: str) -> pl.DataFrame:
    row = points(config).filter(label=label).row(0, named=True)
    place = folder(tree / "results/scores", row, CHECKPOINT_KEYS) / f"benchmark={benchmark}"
    return pl.read_parquet(place / "grades.parquet")


def test_a_sample_is_a_problem_that_the_dense_model_solves_chosen_by_hash(
    tree: Path, config: Config
) -> None:
    asked = points(config)
    found = samples(tree / "results", config, asked, ["easy", "hard"], seed=3)
    assert [one.benchmark for one in found] == ["easy", "hard"]
    for one, benchmark in zip(found, ["easy", "hard"], strict=True):
        dense = grades_of(tree, config, "Dense", benchmark)
        solved = dense.filter((pl.col("sample") == 0) & pl.col("correct"))["problem_id"].to_list()
        first = min(solved, key=lambda name: blake2b(f"3 {name}".encode()).hexdigest())
        assert one.problem_id == first
        number = int(first.removeprefix("p"))
        assert (one.question, one.gold) == (
            f"What is {number} times 6? ({benchmark})", str(6 * number))  # fmt: skip
        assert one.solved and one.setting == "Wanda, 50\u00a0%"
        assert [answer.label for answer in one.answers] == ["Dense", "C4", "SSGR"]
        for answer in one.answers:
            grades = grades_of(tree, config, answer.label, benchmark)
            row = grades.filter(problem_id=first, sample=0).row(0, named=True)
            assert (answer.verdict, answer.tokens) == (row["verdict"], row["tokens"])
            assert answer.thinking == f"thoughts of {first}/0"
            assert answer.answer.startswith("So it is" if row["finished"] else "")
    assert found == samples(tree / "results", config, asked, ["easy", "hard"], seed=3)
    others = [samples(tree / "results", config, asked, ["easy"], seed=seed) for seed in range(9)]
    assert len({one[0].problem_id for one in others}) > 1


def test_where_the_dense_model_solves_nothing_the_page_says_so(
    tmp_path: Path, config: Config
) -> None:
    write_results(tmp_path / "results", tmp_path / "pool", config)
    row = points(config).filter(label="Dense").row(0, named=True)
    place = folder(tmp_path / "results/scores", row, CHECKPOINT_KEYS) / "benchmark=hard"
    grades = tables.read(place / "grades.parquet", tables.Grades)
    wrong = grades.with_columns(correct=False, verdict=pl.lit("wrong").cast(pl.String))
    write_answers(place, wrong)
    results = tmp_path / "results"
    found = gather(results, tmp_path / "pool", config, graded_shards(results))
    assert [one.solved for one in found.samples] == [True, False]
    assert "(hard: it solves none, so of all)" in plain(render(found, config))


def test_the_page_shows_the_responses_under_the_labels_of_the_tables(page: str) -> None:
    shown = section(page, "samples")
    assert re.findall(r"</i>(\w+)\n<span class=\"verdict", shown) == ["Dense", "C4", "ours"] * 2
    assert "ours" in page and "SSGR</th>" not in page
    assert shown.count("<summary>thinking</summary>") == 6
    assert "Gold: <b>" in shown


def test_a_response_is_text_and_no_markup(tmp_path: Path, config: Config) -> None:
    write_results(tmp_path / "results", tmp_path / "pool", config)
    for path in (tmp_path / "results/scores").rglob("responses.parquet"):
        evil = pl.lit("<think>\u202e<b>bold</b></think><script>alert(1)</script>\x07")
        table = pl.read_parquet(path).with_columns(text=evil)
        tables.write(table, tables.Responses, path)
    results = tmp_path / "results"
    found = gather(results, tmp_path / "pool", config, graded_shards(results))
    shown = section(render(found, config), "samples")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; </pre>" in shown
    assert "&lt;b&gt;bold" in shown and "<script" not in shown
    assert "\u202e" not in shown and "\x07" not in shown


def test_a_confidential_problem_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text('{"q": "?", "a": "A"}\n')
    secret = {"loader": "file", "path": str(tmp_path / "secret.jsonl"), "question": "q",
              "answer": "a", "confidential": True}  # fmt: skip
    benchmarks = {**BASE["benchmarks"], "choice": {"data": secret, "label": "Secret"}}
    run = RUN | {"benchmarks": ["easy", "choice"]}
    config = make_config(benchmarks=benchmarks, run=run)
    write_results(tmp_path / "results", tmp_path / "pool", config)
    results = tmp_path / "results"
    found = gather(results, tmp_path / "pool", config, graded_shards(results))
    text = render(found, config)
    assert [one.benchmark for one in found.samples] == ["easy"]
    assert "Secret: confidential problems, which are not shown." in plain(text)
    assert "(choice)" not in text  # what every made-up question of it says
    assert "(easy)" in text


@pytest.mark.parametrize(
    ("text", "model", "finished", "parts"),
    [
        ("<think>\na\n</think>\n\nb", MODEL, True, ("a", "b")),
        ("a</think>b", MODEL, True, ("a", "b")),  # the prompt has opened the thinking
        ("<think>a</think>b</think>c", MODEL, True, ("a</think>b", "c")),
        ("<think></think>b", MODEL, True, (None, "b")),
        ("b", MODEL, True, (None, "b")),
        ("<think>a and", MODEL, False, ("a and", "")),
        ("a</think>b and", MODEL, False, ("a", "b and")),
        ("b and", SILENT, False, (None, "b and")),
    ],
)
def test_thinking_and_answer_are_told_apart(
    text: str, model: Model, finished: bool, parts: tuple[str | None, str]
) -> None:
    assert parted(text, model, finished=finished) == parts


def test_a_long_text_keeps_its_two_ends() -> None:
    text = "".join(chr(97 + index % 26) for index in range(2 * LONGEST + 1500))
    shown = cut(text)
    assert shown.startswith(text[:LONGEST]) and shown.endswith(text[-LONGEST:])
    assert "\n[… 1,500 characters …]\n" in shown
    assert cut(text[: 2 * LONGEST]) == text[: 2 * LONGEST]


def test_breakdowns_are_the_means_of_their_groups(tree: Path, config: Config, page: str) -> None:
    assert re.findall(r"<summary>(.*?)</summary>", section(page, "breakdowns")) == ["easy", "hard"]
    shown = parse(section(page, "breakdowns")).tables
    assert len(shown) == 2 * 2 * 2  # benchmarks, subject and level, Wanda and magnitude
    header, setting, *rows = [[cell.strip() for cell, _ in row] for row in shown[0]]
    assert setting == ["Wanda, 50\u00a0%"]
    assert header == ["Subject", "problems", "Dense", "C4", "ours"]
    for subject, row in zip(SUBJECTS, rows, strict=True):
        assert row[:2] == [subject, "20"]
        for label, cell in zip(["Dense", "C4", "SSGR"], row[2:], strict=True):
            grades = grades_of(tree, config, label, "easy")
            number = pl.col("problem_id").str.slice(1).cast(pl.Int64)
            own = grades.filter(number % 3 == SUBJECTS.index(subject))
            assert cell.split("±")[0] == f"{100 * own['correct'].to_numpy().mean():.1f}"
    assert [row[0][0] for row in shown[1][2:]] == ["1", "2"]
    assert [cell for cell, _ in shown[2][0]] == ["Subject", "problems", "Dense", "no calibration"]


def test_lengths_truncation_and_thinking_are_the_responses_own(
    tree: Path, config: Config, page: str
) -> None:
    table = next(t for t in parse(section(page, "lengths")).tables if t)
    rows = [[cell.strip() for cell, _ in row] for row in table]
    assert rows[1] == ["tokens", "cut off, %", "thinking, %"] * 2
    found = next(row for row in rows if row[0] == "ours")
    for start, benchmark in ((1, "easy"), (4, "hard")):
        grades = grades_of(tree, config, "SSGR", benchmark)
        expected = [f"{grades['tokens'].to_numpy().mean():,.0f}",
                    f"{100 * (1 - grades['finished'].to_numpy().mean()):.1f}", "100.0"]  # fmt: skip
        assert found[start : start + 3] == expected


def test_provenance_names_what_made_the_numbers(page: str, config: Config) -> None:
    said = plain(section(page, "provenance"))
    for part in ("resources/abacus", "weights ", "temperature 0.6", "sequences 48, tokens 512",
                 "max loop share 0.2", "time limit 5.0", digest(config), "torch 2.9.1",
                 "2026-01-02 03:04 UTC", "loader abacus, kind stories, count 400"):  # fmt: skip
        assert part in said, part
    changed = make_config(sampling=BASE["sampling"] | {"temperature": 0.7})
    assert digest(changed) != digest(config) == digest(Config(**config.model_dump()))


def test_both_the_paper_and_the_software_are_cited(page: str, root: Path) -> None:
    paper, software = entries(root / "CITATION.cff")
    assert paper.startswith(
        "@article{xiang2025think,\n  title = {{Think Before You Prune: Selective "
    )
    assert "author = {Xiang, Yang and Ji, Yixin and Li, Juntao and Zhang, Min}" in paper
    assert "journal = {arXiv preprint arXiv:2511.18864}" in paper
    assert software.startswith("@software{ssgr,") and "version = {0.1.0}" in software
    assert "author = {{The ssgr developers}}" in software
    assert paper in section(page, "cite").replace("&#39;", "'")


def test_a_damaged_citation_file_is_named(tmp_path: Path) -> None:
    assert entries(tmp_path / "none.cff") == []
    for text in ("[", "title: x", "- 1", "title: x\ntype: software\nauthors: [{}]"):
        (tmp_path / "bad.cff").write_text(text)
        with pytest.raises(ReportError, match=re.escape(str(tmp_path / "bad.cff"))):
            entries(tmp_path / "bad.cff")


def test_missing_responses_are_named(tmp_path: Path, config: Config) -> None:
    write_results(tmp_path / "results", tmp_path / "pool", config)
    lost = next((tmp_path / "results/scores").rglob("source=prose/**/responses.parquet"))
    lost.unlink()
    with pytest.raises(ReportError, match=r"no responses\.parquet for .*source=prose"):
        samples(tmp_path / "results", config, points(config), ["easy", "hard"])
