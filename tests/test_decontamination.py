"""What a source loses: problems that occur twice, and those that a benchmark asks."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment import Experiment, copy_of_the_workflow, logs
from ssgr.__main__ import main
from ssgr.errors import ConfigError
from ssgr.jobs.validation import load_config
from ssgr.problems.apart import RUN, Index, apart_from, same, without_duplicates, words
from ssgr.storage.tables import Documents, Dropped, Problems, read

FARMER = (
    "A farmer has 27 red hens and 14 white hens, and every hen lays 5 eggs each week. "
    "How many eggs do all of the hens lay in 12 weeks?"
)
AIME = (
    "Let ABC be a triangle with AB = 13 and BC = 14. The radius of its incircle is m/n, where "
    "$m$ and $n$ are relatively prime positive integers. Find $m+n$."
)
OTHER_AIME = (
    "Two dice are thrown until their sum is seven twice in a row. The expected number of throws "
    "can be written as p/q over all outcomes of that kind that may occur in the long run, where "
    "$m$ and $n$ are relatively prime positive integers. Find $m+n$."
)


def problems(questions: dict[str, str]) -> pl.DataFrame:
    rows = [
        {"problem_id": key, "question": text, "solution": None, "answer": "1", "subject": None,
         "level": None}
        for key, text in questions.items()
    ]  # fmt: skip
    schema = dict.fromkeys(Problems.column_names(), pl.String)
    return Problems.validate(pl.DataFrame(rows, schema=schema))


def kept_and_dropped(
    questions: dict[str, str], **benchmarks: dict[str, str]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    tables = {name: problems(rows) for name, rows in benchmarks.items()}
    kept, dropped = apart_from(problems(questions), tables)
    return kept["problem_id"].to_list(), Dropped.validate(dropped, cast=True).rows()


def test_a_problem_that_differs_in_layout_only_is_taken_once() -> None:
    table = problems({
        "a": r"What is $\frac{1}{2} + 1,200$?", "b": r"what is \dfrac{1}{2}+1200 ?",
        "c": r"What is $\frac{1}{2} - 1,200$?", "d": r"What is  $\left. \frac{1}{2} + 1{,}200$?",
    })  # fmt: skip
    kept, dropped = without_duplicates(table)
    assert kept["problem_id"].to_list() == ["a", "c", "d"]
    assert Dropped.validate(dropped, cast=True).rows() == [("b", "duplicate", None, "a", 1.0)]
    again, nothing = without_duplicates(kept)
    assert again.equals(kept)
    assert nothing.is_empty()


def test_documents_that_occur_twice() -> None:
    table = pl.DataFrame({"document_id": ["1", "2", "3"], "text": ["One.", "Two.", "One. "]})
    kept, dropped = without_duplicates(table)
    assert Documents.validate(kept)["document_id"].to_list() == ["1", "2"]
    assert dropped["match"].to_list() == ["1"]


def test_the_same_question_is_dropped_however_short() -> None:
    kept, dropped = kept_and_dropped(
        {"a": "What is $2+3$?", "b": "What is $2-3$?", "c": "What is 1,000 + 1?"},
        math500={"m": "What is $2 + 3$?", "n": "what is 1000+1?"},
    )
    assert kept == ["b"]
    assert dropped == [
        ("a", "same question", "math500", "m", 1.0), ("c", "same question", "math500", "n", 1.0),
    ]  # fmt: skip


def test_most_of_a_question_in_other_words_around_it_is_dropped() -> None:
    inside = f"On a hill, in a far land: {FARMER.lower()} Think before you answer!"
    changed = FARMER.replace("12 weeks", "30 days")
    unlike = " ".join(f"{word} so" if k % 5 == 4 else word
                      for k, word in enumerate(FARMER.split()))  # fmt: skip
    kept, dropped = kept_and_dropped(
        {"inside": inside, "changed": changed, "unlike": unlike}, gsm8k={"7": FARMER}
    )
    assert kept == ["unlike"]
    length = len(words(FARMER))
    assert dropped == [
        ("inside", "overlap", "gsm8k", "7", 1.0),
        ("changed", "overlap", "gsm8k", "7", pytest.approx((length - 2) / length)),
    ]


def test_the_stock_phrases_of_competitions_are_no_overlap() -> None:
    """Eleven common words of AIME's last sentence are a run of 8, but not half of a problem."""
    kept, dropped = kept_and_dropped({"train": OTHER_AIME}, aime={"1": AIME})
    assert (kept, dropped) == (["train"], [])
    match = Index({"aime": problems({"1": AIME})}).nearest(OTHER_AIME)
    assert match is not None
    assert 0.2 < match.overlap < 0.5


def test_a_web_page_that_holds_a_question_is_dropped() -> None:
    page = "Words of a page. " * 200
    table = pl.DataFrame({"document_id": ["x", "y"], "text": [page + FARMER + page, page]})
    kept, dropped = apart_from(table, {"gsm8k": problems({"7": FARMER, "8": "What is 2+3?"})})
    assert kept["document_id"].to_list() == ["y"]
    assert dropped.rows() == [("x", "overlap", "gsm8k", "7", 1.0)]


def slow_overlap(question: list[str], text: list[str]) -> float:
    """Mark every word of the question that lies in a run of 8 which the text holds too."""
    marked = [False] * len(question)
    for i in range(len(question) - RUN + 1):
        for j in range(len(text) - RUN + 1):
            if question[i : i + RUN] == text[j : j + RUN]:
                marked[i : i + RUN] = [True] * RUN
    return sum(marked) / len(question)


WORDS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS, WORDS)
def test_the_overlap_is_that_of_a_slow_count(
    one: list[str], other: list[str], text: list[str]
) -> None:
    index = Index({"b": problems({"one": " ".join(one), "other": " ".join(other)})})
    match = index.nearest(" ".join(text))
    best = max(slow_overlap(one, text), slow_overlap(other, text))
    assert (match.overlap if match else 0.0) == pytest.approx(best)


@given(st.text(max_size=60))
def test_layout_changes_nothing_of_what_is_the_same(text: str) -> None:
    assert same(f" $ {text}\n") == same(text)


def jsonl(path: Path, questions: list[str]) -> dict[str, Any]:
    rows = [{"q": question, "a": "1", "s": f"So it is 1. {question}"} for question in questions]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"loader": "file", "path": str(path), "question": "q", "answer": "a", "solution": "s"}


def test_the_command_lists_what_it_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = jsonl(tmp_path / "s.jsonl", [FARMER, "What is 2+3?", "What is 2 + 3?", "And 7?"])
    test = jsonl(tmp_path / "b.jsonl", [FARMER])
    out, dropped, easy = (tmp_path / name for name in ("p.parquet", "d.parquet", "easy.parquet"))
    assert main(["problems", "--data", json.dumps(test), "--out", str(easy)]) == 0
    flags = ["--dropped", str(dropped), "--apart-from", json.dumps({"easy": str(easy)})]
    assert main(["problems", "--data", json.dumps(data), "--out", str(out), *flags]) == 0
    assert sorted(read(out, Problems)["question"].str.slice(0, 6)) == ["And 7?", "What i"]
    assert sorted(read(dropped, Dropped)["reason"]) == ["duplicate", "same question"]
    said = capsys.readouterr().out
    assert "4 rows, 1 of them duplicates" in said
    assert "easy: dropped 1 of its questions, 0 that overlap with one" in said
    assert main(["problems", "--data", json.dumps(test), "--out", str(out), *flags]) == 1
    assert "nothing is left of this source" in capsys.readouterr().err


def test_a_source_names_benchmarks_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"sources.s.apart_from: unknown benchmark 'esay' \(did"):
        load_config({"sources": {"s": {"apart_from": ["esay"]}}, "benchmarks": {"easy": {}}})


def test_another_benchmark_reruns_the_source_alone(root: Path, tmp_path: Path) -> None:
    experiment = Experiment(copy_of_the_workflow(root, tmp_path / "project"), tmp_path / "run")
    questions = [f"{FARMER} And in {k} weeks?" for k in range(3)] + ["What is 2+3?", "What is 4?"]
    mine = {"data": jsonl(tmp_path / "s.jsonl", questions), "apart_from": ["short"]}
    others = {"data": jsonl(tmp_path / "o.jsonl", ["Which question does nobody else ask?"])}
    benchmarks: dict[str, object] = {
        "short": {"data": jsonl(tmp_path / "short.jsonl", ["What is 2 + 3?"])},
        "long": {"data": jsonl(tmp_path / "long.jsonl", [FARMER])},
    }
    experiment.configure({"sources": {"mine": mine, "others": others}, "benchmarks": benchmarks})
    folder = "results/problems/source=mine"
    targets = [f"{folder}/problems.parquet", "results/problems/source=others/problems.parquet"]
    code, said = experiment.snakemake(*targets)
    assert code == 0, said + logs(experiment)
    assert len(read(experiment.directory / folder / "problems.parquet", Problems)) == 4
    dropped = read(experiment.directory / folder / "dropped.parquet", Dropped)
    assert dropped["benchmark"].to_list() == ["short"]

    mine["apart_from"] = ["short", "long"]
    experiment.configure({"sources": {"mine": mine, "others": others}, "benchmarks": benchmarks})
    assert experiment.plan(*targets) == {"benchmark_problems": 1, "source_problems": 1}
    code, said = experiment.snakemake(*targets)
    assert code == 0, said + logs(experiment)
    left = read(experiment.directory / folder / "problems.parquet", Problems)
    assert left["question"].to_list() == ["What is 4?"]
