"""Calibration sets: what the Parquet file holds for responses, solutions and text."""

import polars as pl
import pytest

from ssgr.config import Budget
from ssgr.errors import SelectionError, TableError
from ssgr.sampling.prompts import PlainText
from ssgr.selection.calibration import of_documents, of_responses, of_solutions
from ssgr.storage import tables

END = 0


def encode(text: str) -> list[int]:
    """One token a character."""
    return [ord(letter) for letter in text]


def decode(token_ids: list[int]) -> str:
    return "".join(" " if token == END else chr(token) for token in token_ids)


PLAIN = PlainText(encode, decode, [], END)
WITH_BEGIN = PlainText(encode, decode, [1], END)
PROBLEMS = pl.DataFrame(
    {
        "problem_id": ["a", "b", "c"],
        "question": ["1+1?", "{solution}?", "x"],
        "solution": ["two", "brace", None],
        "answer": ["2", "3", "4"],
        "subject": [None] * 3,
        "level": [None] * 3,
    }
)
RESPONSES = pl.DataFrame(
    {
        "problem_id": ["a", "b"],
        "sample": [3, 1],
        "prompt_token_ids": [[1, 2], [1, 2, 3]],
        "token_ids": [[4, 5, 6], [7, 8]],
        "text": ["r", "s"],
    }
)
SHARDS = [RESPONSES[:1], RESPONSES[1:]]
CHOSEN = pl.DataFrame(
    {"problem_id": ["b", "a"], "sample": [1, 3], "correctness_ratio": [0.5, 0.25]}
)


def test_responses_keep_ids_lengths_and_ratio_in_drawn_order() -> None:
    table = of_responses(CHOSEN, SHARDS, PROBLEMS, Budget(sequences=2, tokens=4))
    valid = tables.Calibration.validate(table, cast=True)
    assert valid.select("sequence", "problem_id", "sample").rows() == [(0, "b", 1), (1, "a", 3)]
    assert valid["token_ids"].to_list() == [[1, 2, 3, 7], [1, 2, 4, 5]]  # cut to l = 4
    assert valid["prompt_tokens"].to_list() == [3, 2]
    assert valid["response_tokens"].to_list() == [2, 3]
    assert valid["correctness_ratio"].to_list() == [0.5, 0.25]
    assert valid["question"].to_list() == ["{solution}?", "1+1?"]


def test_what_is_held_back_comes_after_what_calibrates() -> None:
    documents = pl.DataFrame({"document_id": ["a", "b"], "text": ["x" * 20, "y" * 20]})
    budget = Budget(sequences=3, tokens=8, held_back=1)
    table, counts = of_documents(documents, PLAIN, budget)
    fewer = of_documents(documents, PLAIN, Budget(sequences=3, tokens=8, held_back=0))
    assert table["token_ids"].to_list()[:3] == fewer[0]["token_ids"].to_list()
    assert len(table) == 4
    assert dict(counts.select("step", "problems").iter_rows()) == {
        "source": 2, "packed": 2, "drawn": 3, "held back": 1
    }  # fmt: skip
    solved, counts = of_solutions(
        PROBLEMS, PLAIN, "{question}{solution}", Budget(sequences=2, tokens=9)
    )
    assert len(solved) == 2  # two have a solution: nothing is left to hold back
    assert "held back" not in counts["step"]


def test_grades_of_other_responses_are_an_error() -> None:
    with pytest.raises(TableError, match="2 selected responses are not in the pool"):
        of_responses(CHOSEN, [RESPONSES.clear()], PROBLEMS, Budget(sequences=2, tokens=4))


def test_solutions_follow_the_template_and_end() -> None:
    budget = Budget(sequences=2, tokens=100)
    template = "Q: {question} A: {solution}."
    table, funnel = of_solutions(PROBLEMS, PLAIN, template, budget)
    rows = {row["problem_id"]: row for row in table.iter_rows(named=True)}
    assert rows["a"]["token_ids"] == [*encode("Q: 1+1? A: two."), END]
    assert rows["a"]["prompt_tokens"] == len("Q: 1+1? A: ")
    assert rows["b"]["token_ids"] == [*encode("Q: {solution}? A: brace."), END]
    assert funnel["problems"].to_list() == [3, 2, 2]
    with pytest.raises(SelectionError, match="with a solution"):
        of_solutions(PROBLEMS, PLAIN, template, Budget(sequences=3, tokens=100))


def test_documents_are_packed_to_full_sequences_with_ends_between() -> None:
    documents = pl.DataFrame({"document_id": list("uvwx"), "text": ["abc", "defgh", "ij", "k"]})
    table, _ = of_documents(documents, PLAIN, Budget(sequences=2, tokens=6))
    assert [len(ids) for ids in table["token_ids"]] == [6, 6]
    stream = [token for ids in table["token_ids"] for token in ids]
    words = decode(stream).split()
    assert "".join(table["response"]) == decode(stream)
    whole = {"abc", "defgh", "ij", "k"}
    assert set(words[:-1]) <= whole
    assert any(text.startswith(words[-1]) for text in whole)
    assert set(table["problem_id"]) <= set("uvwx")
    with pytest.raises(SelectionError, match="packed"):
        of_documents(documents, PLAIN, Budget(sequences=3, tokens=6))


def test_references_begin_as_the_models_own_responses_do() -> None:
    """Once, whatever the text begins with; the budget counts it."""
    template = "{question}{solution}"
    solved, _ = of_solutions(PROBLEMS, WITH_BEGIN, template, Budget(sequences=2, tokens=6))
    rows = {row["problem_id"]: row for row in solved.iter_rows(named=True)}
    assert rows["a"]["token_ids"] == [1, *encode("1+1?tw"[:5])]
    assert (rows["a"]["prompt_tokens"], rows["a"]["response_tokens"]) == (5, 4)
    written, _ = of_solutions(
        PROBLEMS, WITH_BEGIN, "\x01" + template, Budget(sequences=2, tokens=6)
    )
    assert written["token_ids"].to_list() == solved["token_ids"].to_list()

    documents = pl.DataFrame({"document_id": ["u", "v"], "text": ["abcdefgh", "ij"]})
    packed, _ = of_documents(documents, WITH_BEGIN, Budget(sequences=3, tokens=4))
    bare, _ = of_documents(documents, PLAIN, Budget(sequences=3, tokens=3))
    assert packed["token_ids"].to_list() == [[1, *ids] for ids in bare["token_ids"].to_list()]
    assert packed["response"].to_list() == bare["response"].to_list()
    assert packed["response_tokens"].to_list() == [4] * len(bare)
