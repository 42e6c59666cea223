"""Problem sets from local files in the true upstream shapes, and from the embedded generator."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ssgr.config import AbacusSet, FileSet
from ssgr.errors import TableError
from ssgr.problems import load
from ssgr.tables import Documents, Problems

GSM8K = [
    {"question": "How many?", "answer": "It is <<600*2=1200>>1200.\n#### 1,200"},
    {"question": "How much?", "answer": "It is 7.\n#### 7"},
]
MATH = [
    {"problem": "What is $x$?", "level": "Level 5", "type": "Algebra",
     "solution": r"First $\boxed{3}$, no: $\boxed{\frac{1}{2}}$."},
]  # fmt: skip


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_gsm8k_shape(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "train.jsonl", GSM8K)
    table, schema = load(
        FileSet(path=str(path), question="question", answer="answer", solution="answer",
                answer_from="after-hashes")
    )  # fmt: skip
    assert schema is Problems
    found = {row["question"]: row for row in Problems.validate(table).iter_rows(named=True)}
    assert found["How many?"]["answer"] == "1200"
    assert found["How many?"]["solution"].endswith("#### 1,200")
    assert table["problem_id"].n_unique() == 2


def test_math_shape_takes_the_last_box(tmp_path: Path) -> None:
    path = tmp_path / "math.parquet"
    pl.DataFrame(MATH).write_parquet(path)
    spec = FileSet(path=str(path), question="problem", answer="solution", solution="solution",
                   answer_from="last-box", subject="type", level="level")  # fmt: skip
    table, _ = load(spec)
    assert table.select("answer", "subject", "level").row(0) == (
        r"\frac{1}{2}",
        "Algebra",
        "Level 5",
    )


def test_compressed_text_over_several_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with gzip.open(tmp_path / f"c4-{name}.json.gz", "wt") as file:
            file.writelines(json.dumps({"text": f"Page {name}{i}.", "url": f"{name}{i}"}) + "\n"
                            for i in range(2))  # fmt: skip
    table, schema = load(FileSet(path=str(tmp_path / "*.json.gz"), text="text", id="url"))
    assert schema is Documents
    assert sorted(table["text"]) == ["Page a0.", "Page a1.", "Page b0.", "Page b1."]


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", GSM8K)
    with pytest.raises(TableError, match="no column 'problem'"):
        load(FileSet(path=str(path), question="problem"))
    with pytest.raises(TableError, match="occurs more than once"):
        load(FileSet(path=[str(path), str(path)], question="question", id="question"))
    with pytest.raises(TableError, match="no file matches"):
        load(FileSet(path=str(tmp_path / "*.csv"), question="question"))
    (tmp_path / "bad.parquet").write_bytes(path.read_bytes()[:20])
    with pytest.raises(TableError, match=r"bad\.parquet cannot be read"):
        load(FileSet(path=str(tmp_path / "bad.parquet"), question="question"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(TableError, match="expected one of"):
        load(FileSet(path=str(tmp_path / "notes.txt"), question="question"))


def test_problems_without_an_answer_are_told_before_anything_is_sampled(tmp_path: Path) -> None:
    rows = [{"q": "One?", "a": "1"}, {"q": "Two?", "a": None}, {"q": "Three?", "a": "#### 3"}]
    path = str(jsonl(tmp_path / "x.jsonl", rows))
    with pytest.raises(TableError, match="1 of 3 problems have no answer in column 'a'"):
        load(FileSet(path=path, question="q", answer="a"))
    with pytest.raises(TableError, match="2 of 3 problems have no answer"):
        load(FileSet(path=path, question="q", answer="a", answer_from="after-hashes"))


def test_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("q,a\nOne?,007\nTwo?,0.50\n")
    table, _ = load(FileSet(path=str(tmp_path / "x.csv"), question="q", answer="a"))
    assert sorted(table["answer"]) == ["0.50", "007"]
    rows: list[dict[str, Any]] = [{"q": f"{i}?", "a": i} for i in range(150)]
    path = jsonl(tmp_path / "x.jsonl", [*rows, {"q": "half?", "a": 0.5}, {"q": "pi?", "a": "\\pi"}])
    table, _ = load(FileSet(path=str(path), question="q", answer="a"))
    assert set(table["answer"]) == {*map(str, range(150)), "0.5", "\\pi"}
    listed = jsonl(tmp_path / "y.jsonl", [{"q": "?", "a": ["1"]}])
    with pytest.raises(TableError, match="column 'a' holds lists"):
        load(FileSet(path=str(listed), question="q", answer="a"))


def test_the_order_is_seeded_and_a_larger_set_keeps_it(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "q": f"Question {i}"} for i in range(50)]
    small = load(FileSet(path=str(jsonl(tmp_path / "s.jsonl", rows[:30])), question="q", id="id"))
    large = load(FileSet(path=str(jsonl(tmp_path / "l.jsonl", rows)), question="q", id="id"))
    kept = large[0].join(small[0], on="problem_id", how="semi", maintain_order="left")
    assert kept["problem_id"].equals(small[0]["problem_id"])
    assert large[0]["problem_id"].to_list() != [row["id"] for row in rows]


def test_the_embedded_generator_fills_the_same_tables() -> None:
    table, schema = load(AbacusSet(kind="stories", count=12, seed=5))
    assert len(schema.validate(table)) == 12
    assert table["answer"].null_count() == 0
    documents, schema = load(AbacusSet(kind="prose", count=5, seed=5))
    assert len(schema.validate(documents)) == 5


@pytest.mark.parametrize(
    ("file", "spec", "rows"),
    [
        ("gsm8k/train.jsonl", {"question": "question", "answer": "answer",
                               "answer_from": "after-hashes"}, 1),
        ("math500/test.jsonl", {"question": "problem", "answer": "answer", "id": "unique_id"}, 1),
        ("MATH/train/*/*.json", {"question": "problem", "answer": "solution",
                                 "answer_from": "last-box"}, 10),
        ("c4/en/*.json.gz", {"text": "text"}, 1),
        ("dclm-baseline-1.0/*.jsonl.zst", {"text": "text"}, 1),
        ("wikipedia/20231101.en/*.parquet", {"text": "text", "id": "id"}, 1),
    ],
)  # fmt: skip
def test_true_upstream_files(file: str, spec: dict[str, str], rows: int) -> None:
    """Read real rows where the folder SSGR_SHARED_DATA names is present; else there are none."""
    folder = os.environ.get("SSGR_SHARED_DATA")
    if folder:
        table, schema = load(FileSet.model_validate({"path": f"{folder}/raw/{file}", **spec}))
        assert len(schema.validate(table)) >= rows
        if "answer" in spec:
            assert table["answer"].null_count() == 0
