"""The embedded model's problems, text, recipe and shipped folder."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from itertools import islice, pairwise, product
from operator import itemgetter
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from transformers import AutoTokenizer

import recipe
import ssgr
from recipe import mixture, prose, ship, train
from recipe.arithmetic import worked
from recipe.audit import is_correct, judged, spread
from recipe.benchmarks import LEVELS
from recipe.dice import Dice
from recipe.muon import orthogonalise
from recipe.phrases import HELD_OUT, HELD_OUT_WORDS, TRAINED
from recipe.reasoning import PHASES, Style, respond
from recipe.stories import Story, draw_story, role_of
from ssgr.config import AbacusSet, FileSet
from ssgr.errors import SsgrError, TableError
from ssgr.problems import load

PATHS = os.pathsep.join(str(path) for path in (recipe.MODEL, Path(ssgr.__file__).parents[1]))
EQUATION = re.compile(r"(\d+)([-+*/])(\d+)(?:([-+])(\d+))?=(\d+)(?:r(\d+))?")
GOLDEN_DICE = [85, 63, 19, 82, 55, 24]
KINDS = tuple(LEVELS)
#: SHA-256 of all shipped problems, written when every one of them was what the recipe draws.
SHIPPED = "d2968847c2a0bc8b"
STYLES = tuple(sorted({style for _, shares in PHASES for style, _ in shares}))


def equations(text: str) -> list[tuple[int, int, bool]]:
    """Return (first operand, result, whether it is true) of every equation in a text."""
    found = []
    for first, sign, second, sign2, third, result, rest in EQUATION.findall(text):
        a, b = int(first), int(second)
        plain = {"+": a + b, "-": a - b, "*": a * b}
        value, left = divmod(a, b) if sign == "/" else (plain[sign], 0)
        if third:
            value += int(third) if sign2 == "+" else -int(third)
        found.append((a, int(result), value == int(result) and left == int(rest or 0)))
    return found


def words(samples: Iterable[mixture.Sample]) -> set[str]:
    """Words of chats and solutions."""
    texts = (sample.prompt + sample.target for sample in samples if sample.kind != "prose")
    return {word for text in texts for word in re.findall("[a-z]+", text.lower())}


def stories(count: int) -> list[Story]:
    return [draw_story(f"test/{number}", 1 + number % 7) for number in range(count)]


def test_dice_draws_are_fixed_for_ever() -> None:
    dice = Dice("abacus")
    assert [dice.integer(0, 99) for _ in range(6)] == GOLDEN_DICE
    assert sorted(dice.shuffled(range(9))) == list(range(9))


def test_the_shipped_problems_are_those_of_the_recipe() -> None:
    """By digest all of them; the first hundred of every kind and seed drawn anew."""
    shipped = pl.read_parquet(recipe.MODEL / "problems.parquet")
    assert hashlib.sha256(shipped.write_csv().encode()).hexdigest()[:16] == SHIPPED
    for kind, seed in product(KINDS, ship.SEEDS):
        rows = shipped.filter(kind=kind, seed=seed).drop("kind", "seed")
        assert len(rows) == ship.MORE.get((kind, seed), ship.USUAL)
        assert rows["problem_id"].n_unique() == rows["question"].n_unique() == len(rows)
        assert rows.head(100).to_dicts() == recipe.problems(kind, 100, seed)


def test_the_shipped_documents_are_those_of_the_recipe() -> None:
    shipped = pl.read_parquet(recipe.MODEL / "documents.parquet")
    assert ship.shipped_documents().equals(shipped)


@pytest.mark.parametrize(("kind", "key"), [("choice", "problem_id"), ("prose", "document_id")])
def test_what_is_not_shipped_is_drawn_to_a_file(kind: str, key: str, tmp_path: Path) -> None:
    """By the command and the entry that the refusal names."""
    asked = AbacusSet(kind=kind, count=9, seed=77)  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r"but there are .* with seed 4") as refused:
        load(asked)
    command, entry = re.findall("`(.*?)`", str(refused.value))
    words = command.split()
    done = subprocess.run(
        [sys.executable, *words[2:]], cwd=tmp_path, env={**os.environ, "PYTHONPATH": PATHS}
    )
    assert done.returncode == 0
    data = FileSet.model_validate(yaml.safe_load(entry)["data"])
    table, _ = load(data.model_copy(update={"path": str(tmp_path / "mine.parquet")}))
    drawn = recipe.documents(9, 77) if kind == "prose" else recipe.problems(kind, 9, 77)
    assert table.sort(key).to_dicts() == sorted(drawn, key=itemgetter(key))


@pytest.mark.parametrize("kind", KINDS)
def test_solutions_reach_the_answer_by_true_arithmetic(kind: str) -> None:
    for problem in recipe.problems(kind, 60, 0):
        solution, question = str(problem["solution"]), str(problem["question"])
        opening, *lines = solution.split("\n")
        value = int(re.findall(r"\d+", opening)[0])
        assert str(value) in re.findall(r"\d+", question)
        for line in lines[:-2]:
            steps = equations(line)
            assert steps and all(true for _, _, true in steps), line
            after = int(re.findall(r"\d+", line)[-1])
            assert str(value) in re.findall(r"\d+", line)
            assert after in {result for _, result, _ in steps}
            value = after
        assert lines[-1] == f"#### {value}"
        if kind != "choice":
            assert problem["answer"] == str(value)
        assert problem["level"] in {str(level) for level, _ in LEVELS[kind].weights}


@pytest.mark.parametrize("style", STYLES)
def test_responses_chain_from_the_start_to_the_answer(style: Style) -> None:
    for number, story in enumerate(stories(70)):
        response = respond(story, Dice(f"r{number}"), style)
        assert is_correct(response, str(story.answer))
        slips = response.count("That was wrong")
        false = [step for step in equations(response) if not step[2]]
        assert len(false) == slips
        results = {result for _, result, _ in equations(response)}
        stated = {int(number) for number in re.findall(r", (\d+)\.", response)}
        for step in story.steps:
            assert step.after in (stated if style in ("bare", "brief") else results)


def test_styles_differ_in_length() -> None:
    order: tuple[Style, ...] = ("terse", "brief", "worked", "twice")
    for number, story in enumerate(stories(21)):
        lengths = [len(respond(story, Dice(f"{number}"), style)) for style in order]
        assert lengths == sorted(lengths)
        assert lengths[-1] > 1.5 * lengths[0]


def test_the_rate_rises_stays_and_falls_to_zero_without_a_jump() -> None:
    whole = train.Recipe(steps=2500, polish=250)
    polish = [whole.rate(step) for step in range(2500, 2750)]
    assert max(polish) <= 0.3 and polish[0] == 0.03 and polish[-1] < 0.002
    rates = [whole.rate(step) for step in range(2500)]
    assert rates[99:1351] == [1.0] * 1252
    assert rates[:100] == sorted(rates[:100]) and rates[1350:] == sorted(rates[1350:], reverse=True)
    assert max(abs(a - b) for a, b in pairwise(rates)) <= 0.0101
    assert rates[-1] < 0.001


@pytest.mark.parametrize("kind", ["add", "take", "times", "share"])
def test_digit_by_digit_work_is_true_and_spells_the_result(kind: str) -> None:
    dice = Dice(kind)
    for _ in range(300):
        b = dice.integer(2, 9) if kind in ("times", "share") else dice.integer(1, 400)
        a = dice.integer(1, 99) * b if kind == "share" else dice.integer(b, 999)
        steps = equations(worked(kind, a, b))  # type: ignore[arg-type]
        assert all(true for _, _, true in steps)
        exact = {"add": a + b, "take": a - b, "times": a * b, "share": a // b}[kind]
        digits = [result % 10 for _, result, _ in steps]
        if kind == "add":
            spelled = "".join(map(str, reversed([*digits[:-1], steps[-1][1]])))
        elif kind == "take":
            spelled = "".join(map(str, reversed(digits)))
        elif kind == "share":
            spelled = "".join(map(str, digits))
        else:
            spelled = str(exact)  # its carries interleave; truth of each line is checked above
            assert steps[-1][1] == exact // 10 ** (len(str(a)) - 1)
        assert int(spelled) == exact


def test_roles_never_share_a_question() -> None:
    trained = {
        sample.prompt.removeprefix("<|user|>").split("\nA)")[0].removesuffix("<|assistant|>")
        for sample in islice(mixture.samples(0, 1500), 1500)
        if sample.kind == "chat"
    }
    assert {role_of(question) for question in trained} == {"training"}
    for kind in KINDS:
        for problem in recipe.problems(kind, 80, 0):
            question = str(problem["question"]).split("\nA)")[0]
            assert role_of(question) == LEVELS[kind].role
            assert question not in trained


def test_human_solutions_in_training_are_of_training_questions() -> None:
    texts = [s.target for s in islice(mixture.samples(1, 800), 800) if s.kind == "solution"]
    assert len(texts) > 40
    for text in texts:
        question = text.removeprefix("Problem: ").split("\nSolution: ")[0]
        assert role_of(question) == "training"
        assert re.search(r"\n#### \d+$", text)


def test_choice_letter_names_the_value_of_the_solution() -> None:
    letters = set()
    for problem in recipe.problems("choice", 80, 0):
        options = dict(re.findall(r"\n([A-D])\) (\d+)", str(problem["question"])))
        assert len(set(options.values())) == 4
        assert options[str(problem["answer"])] == str(problem["solution"]).split("#### ")[1]
        letters.add(problem["answer"])
    assert letters == set("ABCD")


def test_trained_choices_are_walked_to_the_right_letter() -> None:
    chats = [s for s in islice(mixture.samples(2, 0), 300) if "\nA)" in s.prompt]
    assert len(chats) > 30
    for chat in chats:
        options = re.findall(r"\n([A-D])\) (\d+)", chat.prompt)
        value = re.findall(r"The value is (\d+)\.", chat.target)[0]
        walked = re.findall(r" ([A-D]) is (\d+)\.", chat.target)
        assert walked == options[: len(walked)]
        assert [number for _, number in walked].index(value) == len(walked) - 1
        assert f"boxed{{{walked[-1][0]}}}" in chat.target


def test_choice_is_told_in_words_that_training_never_saw() -> None:
    polish = islice(mixture.samples(0, 0), 2000)
    trained = words([*islice(mixture.samples(0, 3000), 3000), *polish])
    assert trained.isdisjoint(HELD_OUT_WORDS)
    assert {domain.name for domain in HELD_OUT}.isdisjoint(domain.name for domain in TRAINED)
    for problem in recipe.problems("choice", 80, 0):
        assert set(re.findall("[a-z]+", str(problem["question"]).lower())) & set(HELD_OUT_WORDS)


def test_documents_are_held_out_from_training() -> None:
    drawn = recipe.documents(100, 0)
    assert drawn == recipe.documents(100, 0) != recipe.documents(100, 1)
    trained = {document["text"] for document in prose.load("training")}
    assert trained.isdisjoint(document["text"] for document in drawn)
    sampled = {s.target for s in islice(mixture.samples(0, 1000), 1000) if s.kind == "prose"}
    assert sampled and sampled <= trained


def test_bad_input_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SsgrError, match="at most 137"):
        recipe.documents(100_000, 0)
    with pytest.raises(SsgrError, match="stories, easy"):
        recipe.problems("storys", 1, 0)
    foreign = tmp_path / "prose.jsonl.gz"
    foreign.write_bytes(b"not gzip")
    with pytest.raises(SsgrError, match=re.escape(str(foreign))):
        recipe.documents(1, 0, foreign)


def test_audit_counts_by_hand() -> None:
    problems = pl.DataFrame({"problem_id": ["a", "b"], "answer": ["7", "B"], "level": ["1", "2"]})
    right, wrong = "<think>\n3+4=7.\n</think>\nThe answer is \\boxed{7}.", "\\boxed{7}"
    rows = [("a", right, 10), ("a", right, 20), ("b", right, 10), ("b", wrong, 10)]
    responses = pl.DataFrame(
        [{"problem_id": i, "text": t, "tokens": n, "finish_reason": "stop"} for i, t, n in rows]
    )
    shares = spread(judged(responses, problems))
    assert shares["c = 1"] == shares["c = 0"] == 0.5
    assert shares["longest/shortest correct >= 1.5"] == 0.5


@pytest.mark.parametrize("shape", [(3, 24, 8), (2, 8, 24)])
def test_orthogonalise_pulls_singular_values_to_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5 and values.max() < 1.4


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> train.Recipe:
    monkeypatch.setattr(train, "TOKENIZER_SAMPLES", 150)
    torch.set_num_threads(1)
    return train.Recipe(steps=4, polish=2, samples=3, precision="float32")


def test_a_resumed_run_ends_in_the_same_weights(short: train.Recipe, tmp_path: Path) -> None:
    whole = train.Trainer(short)
    losses = [whole.advance() for _ in range(6)]
    half = train.Trainer(short)
    assert [half.advance() for _ in range(2)] == losses[:2]
    half.save(tmp_path / "state.pt")
    resumed = train.Trainer(short)
    resumed.resume(tmp_path / "state.pt")
    assert [resumed.advance() for _ in range(4)] == losses[2:]
    for ours, theirs in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_no_loss_on_questions_and_padding(short: train.Recipe) -> None:
    trainer = train.Trainer(short)
    for tokens, labels in trainer.batches.draw(40):
        learnt = labels != mixture.IGNORED
        assert torch.equal(tokens[learnt], labels[learnt])
        assert tokens.shape[0] * tokens.shape[1] <= max(mixture.GROUP_TOKENS, mixture.LONGEST)
        assistant = trainer.tokenizer.convert_tokens_to_ids("<|assistant|>")
        for row, marks in zip(tokens.tolist(), learnt.tolist(), strict=True):
            if assistant in row:
                assert not any(marks[: row.index(assistant) + 1])
                assert marks[row.index(assistant) + 1]


def test_the_tokenizer_keeps_text_tags_and_digits() -> None:
    tokenizer = AutoTokenizer.from_pretrained(recipe.MODEL)
    texts = [sample.target for sample in islice(mixture.samples(5, 60), 60)]
    for text in [*texts, "Größe 3,5 — naïve\n\n  x"]:
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert len(tokenizer.encode("1234567")) == 7
    assert [len(tokenizer.encode(tag)) for tag in ("<think>", "</think>", "<|end|>")] == [1, 1, 1]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False
    )
    assert prompt == "<|user|>Hi<|assistant|>"
