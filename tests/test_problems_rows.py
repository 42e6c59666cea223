"""What stands against the rows of a file: every kind at once, with file, row and column."""

import math
from pathlib import Path
from typing import Any

import pytest

from local_hub import written
from ssgr.config import FileSet
from ssgr.errors import TableError
from ssgr.problems import load

FIGURES = ("12 + 7", "5!", "4 5 6 10", "1,2,3,4", "3/4", "...", "-x", "2e")
KINDS = ("parquet", "csv", "jsonl", "json")


def refused(*paths: Path, **columns: Any) -> str:
    with pytest.raises(TableError) as error:
        load(FileSet(path=list(map(str, paths)), **columns))
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", [math.nan, "nan", "NaN", "<NA>", " NaN "])
def test_a_missing_cell_is_no_answer_no_question_and_no_id(
    tmp_path: Path, kind: str, cell: object
) -> None:
    numbers = isinstance(cell, float)
    rows = [
        {"i": 1.0 if numbers else "a", "q": "1 + 1?", "a": 2.0 if numbers else "2"},
        {"i": cell, "q": "1 + 2?", "a": cell},
        {"i": 3.0 if numbers else "c", "q": "NaN", "a": 4.0 if numbers else "4"},
    ]
    path = written(tmp_path / f"x.{kind}", rows)
    said = refused(path, question="q", answer="a", id="i")
    assert "1 of 3 problems have no answer in column 'a'" in said
    assert "1 of 3 rows have no id in column 'i': row 2" in said
    assert "1 of 3 rows have no question in column 'q': row 3" in said
    assert said.startswith(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_solution_is_none_and_never_a_text(tmp_path: Path, kind: str) -> None:
    rows = [
        {"q": "1 + 1?", "s": "It is 2.", "l": "easy"},
        {"q": "1 + 2?", "s": "nan", "l": "NaN"},
        {"q": "1 + 3?", "s": " ", "l": "easy"},
    ]
    path = written(tmp_path / f"x.{kind}", rows)
    table, _ = load(FileSet(path=str(path), question="q", solution="s", level="l"))
    assert table.sort("problem_id")["solution"].to_list() == ["It is 2.", None, None]
    assert table.sort("problem_id")["level"].to_list() == ["easy", None, "easy"]


def test_a_missing_cell_among_several_answers_or_options_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", [{"q": "Which?", "a": ["1", math.nan], "b": "x"}])
    assert "an empty one among several" in refused(path, question="q", answer="a")
    path = written(tmp_path / "y.jsonl", [{"q": "Which?", "a": "1", "b": "NaN"}])
    said = refused(path, question="q", options=["a", "b"])
    assert "column 'b' of `options` is empty or NaN: row 1" in said


def test_words_that_hold_such_letters_stay(tmp_path: Path) -> None:
    rows = [{"q": "Which bread?", "a": "naan"}, {"q": "Who?", "a": "Nan Goldin"}]
    table, _ = load(FileSet(path=str(written(tmp_path / "x.csv", rows)), question="q", answer="a"))
    assert sorted(table["answer"]) == ["Nan Goldin", "naan"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bare", [[12, 7], ["3.5", "-1e6"], [True, False], ["1,234", ".5"]])
def test_bare_numbers_are_no_questions(tmp_path: Path, kind: str, bare: list[Any]) -> None:
    path = written(tmp_path / f"x.{kind}", [{"n": one, "a": "1"} for one in bare])
    said = refused(path, question="n", answer="a")
    assert "2 of 2 rows have a bare number for a question in column 'n'" in said
    assert "rows 1, 2" in said


def test_a_question_of_figures_is_one(tmp_path: Path) -> None:
    path = written(tmp_path / "x.csv", [{"q": each, "a": "1"} for each in FIGURES])
    assert len(load(FileSet(path=str(path), question="q", answer="a"))[0]) == len(FIGURES)


def test_an_id_that_stands_twice_names_files_and_rows(tmp_path: Path) -> None:
    first = written(tmp_path / "a.jsonl", [{"k": "u", "q": "1?"}, {"k": "v", "q": "2?"}])
    second = written(tmp_path / "b.csv", [{"k": "w", "q": "3?"}, {"k": "v", "q": "4?"}])
    said = refused(first, second, question="q", id="k")
    assert f"id 'v' (column 'k') occurs more than once: {first} row 2 ('v'), {second} row 2" in said
    assert "'u'" not in said


def test_many_rows_are_counted_and_the_first_named(tmp_path: Path) -> None:
    rows = [{"q": f"{k} + {k}?", "a": None if k % 2 else "1"} for k in range(30)]
    said = refused(written(tmp_path / "x.jsonl", rows), question="q", answer="a")
    assert "15 of 30 problems" in said and "rows 2, 4, 6, 8, 10 and 10 more" in said


@pytest.mark.parametrize("kind", KINDS)
def test_all_missing_columns_are_named_with_key_and_nearest_name(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / f"x.{kind}", [{"Question": "1?", "solutions": "1", "lang": "en"}])
    said = refused(path, question="question", solution="solution", answer="gold",
                   where={"language": "en"})  # fmt: skip
    assert "no column 'question' (key `question`, did you mean 'Question'?)" in said
    assert "no column 'solution' (key `solution`, did you mean 'solutions'?)" in said
    assert "no column 'gold' (key `answer`)" in said
    assert "no column 'language' (key `where.language`, did you mean 'lang'?)" in said
    assert "['Question', 'solutions', 'lang']" in said


def test_another_separator_is_seen(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("q;a\n1 + 1?;2\n")
    assert "separated by ';': use commas" in refused(tmp_path / "x.csv", question="q", answer="a")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("q,a\n1 + 1?,2\n", encoding="utf-8-sig")
    (tmp_path / "y.jsonl").write_text('{"q": "1 + 2?", "a": 3}\n', encoding="utf-8-sig")
    paths = [str(tmp_path / "x.csv"), str(tmp_path / "y.jsonl")]
    assert len(load(FileSet(path=paths, question="q", answer="a"))[0]) == 2


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "x.parquet"])
def test_an_empty_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    said = refused(tmp_path / name, question="q", answer="a")
    assert f"{name} is empty: it holds no rows" in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.parquet", b"version https://git-lfs.example/spec/v1\noid sha256:0\n", "Git LFS"),
        ("x.csv", b"version https://git-lfs.example/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("x.csv", "q,a\nWie groß?,2\n".encode("latin-1"), "not written in UTF-8"),
        ("x.jsonl", '{"q": "groß?", "a": "2"}\n'.encode("latin-1"), "not written in UTF-8"),
        ("x.csv", b"q,q,a\n1 + 1?,2 + 2?,2\n", "the column 'q' stands twice"),
        ("x.csv", b"q,a\nOne, or two?,2\n", "cannot be read as .csv: found more fields"),
        ("x.jsonl", b'{"q": "1 + 1?", "a": "2"}\n{"q": "1 +', "row 2"),
        ("x.jsonl.gz", b'{"q": "1 + 1?", "a": "2"}\n', "cannot be read as .jsonl"),
        ("x.json", b'{"q": {"0": "1 + 1?"}, "a": {"0": "2"}}', "orient='records'"),
        ("x.tsv", b"q\ta\n1 + 1?\t2\n", "expected one of ['.csv', '.json'"),
    ],
)
def test_a_file_that_is_something_else_is_told_in_a_line(
    tmp_path: Path, name: str, text: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(text)
    message = refused(tmp_path / name, question="q", answer="a")
    assert said in message and "\n" not in message


def test_a_header_alone_holds_no_rows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("q,a\n")
    assert "it holds no rows" in refused(tmp_path / "x.csv", question="q", answer="a")
