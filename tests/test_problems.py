"""Problem sets from local files in the true upstream shapes, and of the embedded model."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from local_hub import written
from ssgr.config import AbacusSet, FileSet, PartsSet
from ssgr.errors import ConfigError, TableError
from ssgr.grading import PRESETS, judge
from ssgr.jobs.validation import load_config
from ssgr.problems import files, load
from ssgr.storage.tables import Documents, Problems

GSM8K = [
    {"question": "How many?", "answer": "It is <<600*2=1200>>1200.\n#### 1,200"},
    {"question": "How much?", "answer": "It is 7.\n#### 7"},
]
MATH = [
    {"problem": "What is $x$?", "level": "Level 5", "type": "Algebra",
     "solution": r"First $\boxed{3}$, no: $\boxed{\frac{1}{2}}$."},
]  # fmt: skip


def test_compressed_text_over_several_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [{"text": f"Page {name}{i}.", "url": f"{name}{i}"} for i in range(2)]
        written(tmp_path / f"c4-{name}.json.gz", rows)
    table, schema = load(FileSet(path=str(tmp_path / "*.json.gz"), text="text", id="url"))
    assert schema is Documents
    assert sorted(table["text"]) == ["Page a0.", "Page a1.", "Page b0.", "Page b1."]


def test_a_file_that_is_not_there_or_broken_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no file matches"):
        load(FileSet(path=str(tmp_path / "*.csv"), question="question"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(TableError, match=r"bad\.parquet cannot be read"):
        load(FileSet(path=str(tmp_path / "bad.parquet"), question="question"))


def test_problems_without_an_answer_are_told_before_anything_is_sampled(tmp_path: Path) -> None:
    answers = [("One?", "1"), ("Two?", None), ("Three?", "#### 3")]
    path = written(tmp_path / "x.jsonl", [{"q": question, "a": a} for question, a in answers])
    with pytest.raises(TableError, match="2 of 3 problems have no answer in column 'a'"):
        load(FileSet(path=str(path), question="q", answer="a", answer_from="after-hashes"))


def test_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("q,a\nOne?,007\nTwo?,0.50\n")
    table, _ = load(FileSet(path=str(tmp_path / "x.csv"), question="q", answer="a"))
    assert sorted(table["answer"]) == ["0.50", "007"]
    rows: list[dict[str, Any]] = [{"q": f"{i}?", "a": i} for i in range(150)]
    path = written(
        tmp_path / "x.jsonl", [*rows, {"q": "half?", "a": 0.5}, {"q": "pi?", "a": "\\pi"}]
    )
    table, _ = load(FileSet(path=str(path), question="q", answer="a"))
    assert set(table["answer"]) == {*map(str, range(150)), "0.5", "\\pi"}
    listed = written(tmp_path / "y.jsonl", [{"q": ["?"], "a": "1", "d": {"e": 1}, "n": [["1"]]}])
    for question, answer, solution in ("qaa", "ada", "naa", "ana", "aaq"):
        columns = {"question": question, "answer": answer, "solution": solution}
        with pytest.raises(TableError, match=r"column '[dnq]' holds lists"):
            load(FileSet(path=str(listed), **columns))


OLYMPIAD: list[tuple[Any, str | None, str | None, str]] = [
    # final_answer, unit, error, gold; the shape of OlympiadBench's rows
    (["$1003$"], None, None, "$1003$"),
    (["7,4"], "", " ", "7,4"),
    (["$2^{-2 / 3}$", "$8$"], None, None, '{"final_answer": ["$2^{-2 / 3}$", "$8$"]}'),
    (["2.5"], "$\\mathrm{~cm}$", None, '{"final_answer": ["2.5"], "unit": "$\\\\mathrm{~cm}$"}'),
    (["10"], None, "1e-1", '{"final_answer": ["10"], "error": "1e-1"}'),
    (["1", "2"], "m", "1e-1,1e-2",
     '{"final_answer": ["1", "2"], "unit": "m", "error": "1e-1,1e-2"}'),
]  # fmt: skip


def olympiad(path: Path, rows: list[dict[str, Any]]) -> FileSet:
    """Rows in a file of the kind of ``path``."""
    columns = {"question": "question", "answer": "final_answer", "unit": "unit", "error": "error"}
    return FileSet(path=str(written(path, rows)), id="id", **columns)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_lists_of_answers_units_and_tolerances(tmp_path: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"id": k, "question": "?", "final_answer": answers, "unit": unit, "error": error}
        for k, (answers, unit, error, _) in enumerate(OLYMPIAD)
    ]
    table, _ = load(olympiad(tmp_path / f"rows.{kind}", rows))
    golds = dict(Problems.validate(table).select("problem_id", "answer").iter_rows())
    assert golds == {str(k): gold for k, (*_, gold) in enumerate(OLYMPIAD)}
    conventions = PRESETS["olympiadbench"]
    for answers, unit, _, gold in OLYMPIAD:
        answer = ", ".join(reversed(answers)) + (f"\\text{{ {unit}}}" if unit == "m" else "")
        assert judge(gold, answer, conventions).verdict == "correct"
        assert judge(gold, answers[0] + "5", conventions).verdict == "wrong"
    assert judge(golds["4"], "10.09", conventions).verdict == "correct"
    assert judge(golds["3"], "2.5 m", conventions).verdict == "wrong"


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
@pytest.mark.parametrize("answers", [None, [], [None], [""], ["7", None], ["7", " "]])
def test_rows_whose_list_of_answers_is_not_whole(tmp_path: Path, kind: str, answers: Any) -> None:
    rest = {"question": "?", "unit": None, "error": None}
    rows = [
        {"id": "a", "final_answer": ["1"], **rest},
        {"id": "b", "final_answer": answers, **rest},
    ]
    with pytest.raises(TableError, match=r"1 of 2 problems have no answer.*: row 2 \('b'\)"):
        load(olympiad(tmp_path / f"rows.{kind}", rows))


def test_answers_that_are_texts_in_some_rows_and_lists_in_others(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"q": "a", "a": "1"},
        {"q": "b", "a": [2, "3"]},
        {"q": "c", "a": 4.5},
    ]
    spec = FileSet(path=str(written(tmp_path / "x.jsonl", rows)), question="q", answer="a")
    golds = load(spec)[0].select("question", "answer").iter_rows()
    assert dict(golds) == {"a": "1", "b": '{"final_answer": ["2", "3"]}', "c": "4.5"}
    (tmp_path / "y.csv").write_text("q,a\nd,5\n")
    both = spec.model_copy(update={"path": [str(tmp_path / "x.jsonl"), str(tmp_path / "y.csv")]})
    assert sorted(load(both)[0]["question"]) == ["a", "b", "c", "d"]
    written(tmp_path / "z.parquet", [{"q": "e", "a": [1, 2]}, {"q": "f", "a": [3]}])
    table, _ = load(spec.model_copy(update={"path": str(tmp_path / "z.parquet")}))
    assert set(table["answer"]) == {'{"final_answer": ["1", "2"]}', "3"}


@pytest.mark.parametrize("error", ["about 1", "-1", "nan", "0.1;0.2"])
def test_a_tolerance_that_is_none_is_told(tmp_path: Path, error: str) -> None:
    rows = [{"id": "a", "question": "?", "final_answer": ["1"], "unit": None, "error": error}]
    with pytest.raises(TableError, match=rf"'error' holds \['{error}'\].*row 1 \('a'\)"):
        load(olympiad(tmp_path / "rows.jsonl", rows))
    with pytest.raises(ValidationError, match="belong to an answer"):
        FileSet(path="x", question="q", error="error")


def test_the_order_is_seeded_and_a_larger_set_keeps_it(tmp_path: Path) -> None:
    rows = [{"id": f"q{i}", "q": f"Question {i}"} for i in range(50)]
    small = load(FileSet(path=str(written(tmp_path / "s.jsonl", rows[:30])), question="q", id="id"))
    large = load(FileSet(path=str(written(tmp_path / "l.jsonl", rows)), question="q", id="id"))
    kept = large[0].join(small[0], on="problem_id", how="semi", maintain_order="left")
    assert kept["problem_id"].equals(small[0]["problem_id"])
    assert large[0]["problem_id"].to_list() != [row["id"] for row in rows]


def test_only_rows_that_are_asked_for(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"q": f"{language} {level} {done}?", "language": language, "level": level, "done": done}
        for language in ("en", "zh", None) for level in (1, 2, 3) for done in (True, False)
    ]  # fmt: skip
    for path in (written(tmp_path / "x.jsonl", rows), written(tmp_path / "x.parquet", rows)):
        spec = {"path": str(path), "question": "q",
                "where": {"language": "en", "level": [2, "3"], "done": True}}  # fmt: skip
        table, _ = load(FileSet.model_validate(spec))
        assert sorted(table["question"]) == ["en 2 True?", "en 3 True?"]
        # a row keeps its number, whatever else is taken
        assert sorted(table["problem_id"]) == ["0000002", "0000004"]
        with pytest.raises(TableError, match=r"no row with \{'language': 'fr'\} among 18"):
            load(FileSet.model_validate({**spec, "where": {"language": "fr"}}))
        with pytest.raises(TableError, match="no column 'lang'"):
            load(FileSet.model_validate({**spec, "where": {"lang": "en"}}))


def test_a_context_goes_before_its_question(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"q": "One?", "c": None},
        {"q": "Two?", "c": "Let $x=2$."},
        {"q": "Three?", "c": " "},
    ]
    path = str(written(tmp_path / "x.jsonl", rows))
    table, _ = load(FileSet(path=path, question="q", context="c"))
    assert set(table["question"]) == {"One?", "Let $x=2$.\n\nTwo?", "Three?"}


def test_several_sets_as_one(tmp_path: Path) -> None:
    gsm8k = FileSet(path=str(written(tmp_path / "g.jsonl", GSM8K)), question="question",
                    answer="answer", answer_from="after-hashes")  # fmt: skip
    math = FileSet(path=str(written(tmp_path / "m.jsonl", MATH)), question="problem",
                   answer="solution", answer_from="last-box", level="level")  # fmt: skip
    both = PartsSet(parts={"gsm8k": gsm8k, "math": math, "more": AbacusSet(kind="easy", count=3)})
    table, schema = load(both)
    assert schema is Problems
    answers = dict(Problems.validate(table).select("problem_id", "answer").iter_rows())
    assert answers["gsm8k/0000000"] == "1200"
    assert answers["math/0000000"] == r"\frac{1}{2}"
    assert len(answers) == 6
    assert load(both)[0].equals(table)
    assert files(both) == [tmp_path / "g.jsonl", tmp_path / "m.jsonl"]
    assert both.has_answers
    with pytest.raises(ValidationError, match="some parts hold plain text"):
        PartsSet(parts={"a": gsm8k, "b": AbacusSet(kind="prose", count=3)})


def test_a_row_that_cannot_be_read_is_numbered(tmp_path: Path) -> None:
    good = json.dumps({"q": "One?"})
    for bad in ('{"q": "Two?"', "[1]", '"Two?"'):
        (tmp_path / "x.jsonl").write_text(f"{good}\n\n{bad}\n{good}\n")
        with pytest.raises(TableError, match="row 2"):
            load(FileSet(path=str(tmp_path / "x.jsonl"), question="q"))
    for text in ("", "[]", "\n\n"):
        (tmp_path / "x.jsonl").write_text(text)
        with pytest.raises(TableError, match="it holds no rows"):
            load(FileSet(path=str(tmp_path / "x.jsonl"), question="q"))
    for whole in (f"[{good}, {good}]", f"[\n{good}\n]", json.dumps({"q": "One?"}, indent=1)):
        (tmp_path / "x.json").write_text(whole)
        assert set(load(FileSet(path=str(tmp_path / "x.json"), question="q"))[0]["question"]) == {
            "One?"
        }


def test_a_column_that_lines_leave_out_is_empty_there(tmp_path: Path) -> None:
    rows = [{"q": f"{k}?", **({"s": "easy"} if k == 7 else {})} for k in range(20)]
    path = str(written(tmp_path / "x.jsonl", rows))
    table, _ = load(FileSet(path=path, question="q", subject="s"))
    assert table["subject"].null_count() == 19


def test_blank_documents_are_left_out_and_blank_questions_refused(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"t": "One."}, {"t": " \n"}, {"t": None}, {"t": "Four."}]
    path = str(written(tmp_path / "x.jsonl", rows))
    assert sorted(load(FileSet(path=path, text="t"))[0]["document_id"]) == ["0000000", "0000003"]
    with pytest.raises(
        TableError, match=r"2 of 4 rows have no question in column 't'.*: rows 2, 3\."
    ):
        load(FileSet(path=path, question="t"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": ["a", "b"], "answer": "a"}, "in place of `answer`"),
        ({"options": ["a", "a"]}, "names a column twice"),
        ({"options": ["a"]}, "at least 2 items"),
        ({"limit": 0}, "greater than or equal to 1"),
        ({"text": "t"}, "either a `question` column or a `text` column"),
    ],
)
def test_entries_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FileSet.model_validate({"path": "x", "question": "q", **changes})


PROBLEM: dict[str, Any] = {"loader": "hub", "repo": "a/b", "revision": "main", "files": ["x.csv"],
                           "question": "q"}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (PROBLEM, "benchmarks.mine.data: has no `answer` column"),
        ({"loader": "parts", "parts": {"a": PROBLEM}}, "mine.data: has no `answer` column"),
        ({**PROBLEM, "revison": "x"}, r"mine.data.revison: unknown key \(did you mean 'revision'"),
        ({"loader": "parts", "parts": {"a": {**PROBLEM, "repo": "a"}}},
         r"mine.data.parts.a.repo: expected owner/name"),
        ({"loader": "parts", "parts": {"a": {**PROBLEM, "subjet": "x"}}},
         r"mine.data.parts.a.subjet: unknown key \(did you mean 'subject'"),
        ({"loader": "parts", "parts": {"a": {**PROBLEM, "question": None, "text": "t"}}},
         "mine.data: is plain text"),
    ],
)  # fmt: skip
def test_mistakes_in_an_entry_have_a_place(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config({"benchmarks": {"mine": {"data": data}}})


def test_the_embedded_model_has_the_same_tables() -> None:
    table, schema = load(AbacusSet(kind="stories", count=12, seed=3))
    assert len(schema.validate(table)) == 12
    assert table["answer"].null_count() == 0
    documents, schema = load(AbacusSet(kind="prose", count=5, seed=3))
    assert len(schema.validate(documents)) == 5


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (AbacusSet(kind="easy", count=1001, seed=2), "1001 rows .* 1000 with seed 2, 100 with"),
        (AbacusSet(kind="prose", count=1, seed=5), "1 rows .* with seed 5 .* 137 with seed 4"),
    ],
)
def test_more_than_is_shipped_is_refused_before_any_job(part: AbacusSet, message: str) -> None:
    for read in (files, load):
        with pytest.raises(TableError, match=message):
            read(PartsSet(parts={"a": part}))
