"""The sibling of abacus: its mixture and recipe; and the shipped folders of both."""

import hashlib
import re
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import recipe
from recipe import mixture, train
from recipe.audit import is_correct
from recipe.phrases import HELD_OUT_WORDS
from recipe.reasoning import compared
from recipe.stories import role_of
from test_abacus import words

SIBLING = recipe.MODEL.with_name("abacus-qwen3")
RECIPE = train.RECIPES["abacus-qwen3"]
#: SHA-256 of 4,000 samples of abacus's recipe cut to 2,000 before polish, as they were on release.
ABACUS_SAMPLES = "76fd1967230b5ca4"


@pytest.fixture(scope="module")
def drawn() -> list[mixture.Sample]:
    return list(islice(RECIPE.stream(), 3000))


def test_abacus_is_trained_on_the_samples_that_it_was_released_with() -> None:
    digest = hashlib.sha256()
    for sample in islice(mixture.samples(0, 2000), 4000):
        digest.update(repr((sample.kind, sample.prompt, sample.target)).encode())
    assert digest.hexdigest()[:16] == ABACUS_SAMPLES
    assert train.RECIPES["abacus"] == train.Recipe()


def test_numbers_are_compared_from_the_last_digit_to_the_first_difference() -> None:
    assert compared(45, 45) == "5,5 4,4 yes"
    assert compared(35, 45) == "5,5 3,4 no"
    assert compared(44, 45) == "4,5 no"
    assert compared(145, 45) == "5,5 4,4 1,0 no"
    assert compared(5, 45) == "5,5 0,4 no"
    for option in range(1, 130, 7):
        for value in range(1, 130):
            assert compared(option, value).endswith(" yes") == (option == value)


def test_every_option_is_compared_until_one_is_the_value(drawn: list[mixture.Sample]) -> None:
    chats = [sample for sample in drawn if "\nA)" in sample.prompt]
    assert len(chats) > 300
    for chat in chats:
        options = re.findall(r"\n([A-D])\) (\d+)", chat.prompt)
        read = re.findall(r"\n([A-D])\) (\d+): .* (yes|no)(?=\n)", chat.target)
        assert [pair[:2] for pair in read] == options[: len(read)]
        value = re.findall(r"The value is (\d+)\.", chat.target)[-1]
        assert [said == "yes" for *_, said in read] == [number == value for _, number, _ in read]
        assert chat.target.endswith(f"boxed{{{read[-1][0]}}}.") and read[-1][2] == "yes"


def test_the_sibling_learns_from_training_questions_only(drawn: list[mixture.Sample]) -> None:
    chats = [sample for sample in drawn if sample.kind == "chat"]
    for chat in chats:
        question = chat.prompt.removeprefix("<|user|>").split("\nA)")[0]
        assert role_of(question.removesuffix("<|assistant|>")) == "training"
    assert words(drawn).isdisjoint(HELD_OUT_WORDS)
    abacus_prompts = {sample.prompt for sample in islice(mixture.samples(0, 3000), 3000)}
    assert not {chat.prompt for chat in chats} & abacus_prompts


def test_the_sibling_keeps_to_three_styles(drawn: list[mixture.Sample]) -> None:
    starts = [s.target.removeprefix("<think>\n")[:5] for s in drawn if s.kind == "chat"]
    assert {"With ", "Start", "Okay,"} == set(starts)
    for start in set(starts):
        assert 0.25 < starts.count(start) / len(starts) < 0.42


def test_the_rate_of_the_sibling_rises_stays_and_falls_to_zero() -> None:
    rates = [RECIPE.rate(step) for step in range(RECIPE.total)]
    assert rates[:100] == sorted(rates[:100]) and rates[99:1001] == [1.0] * 902
    assert rates[1000:] == sorted(rates[1000:], reverse=True) and 0 < rates[-1] < 0.003
    assert max(abs(a - b) for a, b in pairwise(rates)) <= 0.0101
    for step, factor in RECIPE.knots[1:-1]:
        assert RECIPE.rate(step) == pytest.approx(factor)
    assert RECIPE.knots[-1] == (RECIPE.total, 0.0)


@pytest.mark.parametrize("name", train.RECIPES)
def test_the_recipe_makes_a_folder_of_the_shipped_shape(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(train, "TOKENIZER_SAMPLES", 150)
    short = replace(train.RECIPES[name], steps=2, polish=0, samples=3, precision="float32")
    train.train(tmp_path / "model", short, checkpoint_every=2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    folders = (tmp_path / "model", recipe.MODEL.with_name(name))
    made, shipped = (AutoModelForCausalLM.from_pretrained(folder) for folder in folders)
    shapes = [{n: (p.shape, p.dtype) for n, p in m.named_parameters()} for m in (made, shipped)]
    assert shapes[0] == shapes[1]
    assert made.config.model_type == shipped.config.model_type


def test_the_sibling_speaks_the_language_of_abacus() -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (SIBLING / name).read_bytes() == (recipe.MODEL / name).read_bytes()
    ours, theirs = (AutoTokenizer.from_pretrained(path) for path in (SIBLING, recipe.MODEL))
    assert ours.chat_template == theirs.chat_template
    for problem in recipe.problems("choice", 5, 0):
        question = str(problem["question"])
        assert ours.encode(question) == theirs.encode(question)


@pytest.mark.parametrize(
    ("name", "kind", "least"),
    [("abacus", "easy", 7), ("abacus-qwen3", "easy", 7), ("abacus-qwen3", "choice", 6)],
)
def test_the_shipped_models_think_box_and_are_right(name: str, kind: str, least: int) -> None:
    torch.set_num_threads(1)
    folder = recipe.MODEL.with_name(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    right = 0
    for problem in recipe.problems(kind, 8, 1234):
        turn = [{"role": "user", "content": str(problem["question"])}]
        prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        ids = torch.tensor([tokenizer.encode(str(prompt))])
        out = model.generate(ids, max_new_tokens=384, do_sample=False)  # type: ignore[misc]
        text = str(tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True))
        assert text.startswith("<think>\n") and text.count("</think>") == 1
        right += is_correct(text, str(problem["answer"]))
    assert right >= least


@pytest.mark.parametrize(("name", "most"), [("abacus", 10_500_000), ("abacus-qwen3", 5_000_000)])
def test_the_shipped_folders_are_small(name: str, most: int) -> None:
    folder = recipe.MODEL.with_name(name)
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= most
