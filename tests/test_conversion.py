"""Responses without their thinking (Table 3), and of another model (Table 8), as sequences."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from transformers import PreTrainedTokenizerFast

from chat_families import FAMILIES
from small_pool import SmallPool
from ssgr.__main__ import main
from ssgr.config import Budget, Model
from ssgr.errors import ModelError, SelectionError, TableError
from ssgr.pool import store
from ssgr.sampling import PromptFormat, load_tokenizer, render_prompt
from ssgr.sampling.rendering import Conversion, Parts, split
from ssgr.selection.calibration import of_responses
from ssgr.storage import tables

ASK = "{question} Box it."
MODELS = {
    "r1-distill": Model(path="org/r1", prompt=ASK),
    "r1-distill-early": Model(path="org/r1-early", prompt=ASK),
    "qwen3": Model(path="org/qwen3", prompt=ASK, chat_template_kwargs={"enable_thinking": True}),
    "llama3": Model(path="org/llama3", prompt=ASK, think_open="", think_close=""),
    "base": Model(path="org/base", prompt="Q: {question} A:", chat=False),
    "reason": Model(path="org/r", prompt=ASK, think_open="<reason>", think_close="</reason>"),
}
R1 = "Add.\n</think>\n\nTwo."
QWEN = "<think>\nAdd.\n</think>\n\nTwo."
RESPONSES = {"r1-distill": R1, "r1-distill-early": QWEN, "qwen3": QWEN}
QUESTION = "1+1?"
R1_USER = "<|begin_of_sentence|><|User|>1+1? Box it.<|Assistant|>"
QWEN_USER = "<|im_start|>user\n1+1? Box it.<|im_end|>\n<|im_start|>assistant\n"
LLAMA_USER = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n1+1? Box it.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)


def family(name: str) -> PreTrainedTokenizerFast:
    return FAMILIES["r1-distill-early" if name == "reason" else name].tokenizer()


def row(
    text: str, finish_reason: str = "stop", token_ids: tuple[int, ...] = (9, 8)
) -> dict[str, Any]:
    return {
        "problem_id": "a", "sample": 3, "question": QUESTION, "text": text,
        "finish_reason": finish_reason, "token_ids": list(token_ids),
    }  # fmt: skip


def sequence(name: str, text: str, *, end: str = "stop", **how: Any) -> tuple[str, str]:
    """Prompt and response of a converted response, decoded with all markers."""
    own = family(name)
    ended = (7, own.eos_token_id)
    anew = Conversion(MODELS[name], own, **how)(row(text, end, ended))
    return str(own.decode(anew["prompt_token_ids"])), str(own.decode(anew["token_ids"]))


@pytest.mark.parametrize(
    ("name", "text", "finished", "parts"),
    [
        ("r1-distill", R1, True, Parts("Add.\n", "\n\nTwo.", "\n")),
        ("qwen3", QWEN, True, Parts("Add.\n", "\n\nTwo.", "\n")),
        ("qwen3", "<think> Add.</think>Two.", True, Parts("Add.", "Two.", " ")),
        ("qwen3", "<think>\n\n</think>\n\nTwo.", True, Parts("", "\n\nTwo.", "\n\n")),
        ("r1-distill", "a</think>b</think>c", True, Parts("a</think>b", "c", "\n")),
        ("r1-distill", "Add, and", False, Parts("Add, and", None, "\n")),
        ("r1-distill", "Two.", True, Parts(None, "Two.")),
        ("qwen3", "<think>\nAdd", False, Parts("Add", None, "\n")),
        ("qwen3", "<think>\nAdd", True, Parts("Add", None, "\n")),
        ("llama3", "Add. Two.", True, Parts(None, "Add. Two.")),
    ],
)
def test_a_response_is_split_at_its_last_closing_tag(
    name: str, text: str, finished: bool, parts: Parts
) -> None:
    assert split(text, MODELS[name], finished=finished) == parts


@pytest.mark.parametrize(
    ("name", "prompt", "end"),
    [
        ("r1-distill", R1_USER, "<|end_of_sentence|>"),
        ("r1-distill-early", R1_USER, "<|end_of_sentence|>"),
        ("qwen3", QWEN_USER + "<think>\n\n</think>\n\n", "<|im_end|>"),
    ],
)
def test_without_its_thinking_a_response_reads_as_an_answer_given_at_once(
    name: str, prompt: str, end: str
) -> None:
    assert sequence(name, RESPONSES[name], thinking=False) == (prompt, "Two." + end)
    kept, _ = sequence(name, RESPONSES[name], thinking=True, generator=MODELS[name])
    assert (kept == prompt) == (name == "r1-distill-early")  # the others' prompts say which it is


def test_a_model_that_does_not_think_has_nothing_to_drop() -> None:
    assert sequence("llama3", "Add. Two.", thinking=False) == (LLAMA_USER, "Add. Two.<|eot_id|>")


def test_the_end_is_the_one_that_was_sampled() -> None:
    own = family("r1-distill")
    drop = Conversion(MODELS["r1-distill"], own, thinking=False)
    anew = drop(row(R1, token_ids=(7, 5)))
    assert anew["token_ids"] == [*own.encode("Two.", add_special_tokens=False), 5]
    cut = drop(row(R1, "length", token_ids=(7, 5)))
    assert cut["token_ids"] == own.encode("Two.", add_special_tokens=False)


@pytest.mark.parametrize(
    ("text", "finish_reason", "said"),
    [
        ("Add, and add", "length", "which never ended"),
        ("Add.</think>\n\n", "stop", "which no answer follows"),
    ],
)
def test_nothing_left_is_an_error(text: str, finish_reason: str, said: str) -> None:
    drop = Conversion(MODELS["r1-distill"], family("r1-distill"), thinking=False)
    with pytest.raises(SelectionError, match=rf"response 3 to problem 'a' .*{said}.*require_close"):
        drop(row(text, finish_reason))


R1_WHOLE = (R1_USER + "<think>\n", R1 + "<|end_of_sentence|>")


@pytest.mark.parametrize(
    ("name", "generator", "text", "whole"),
    [
        ("r1-distill", "qwen3", QWEN, R1_WHOLE),
        ("r1-distill", "r1-distill-early", QWEN, R1_WHOLE),
        ("r1-distill", "reason", "<reason>\nAdd.\n</reason>\n\nTwo.", R1_WHOLE),
        ("qwen3", "r1-distill", R1, (QWEN_USER, QWEN + "<|im_end|>")),
        ("reason", "qwen3", QWEN,
         (R1_USER, "<reason>\nAdd.\n</reason>\n\nTwo.<|end_of_sentence|>")),
        ("r1-distill-early", "qwen3", "<think> A</think>B",
         (R1_USER, "<think> A</think>B<|end_of_sentence|>")),
        ("llama3", "r1-distill", R1, (LLAMA_USER, "Add.\n\n\nTwo.<|eot_id|>")),
        ("r1-distill", "llama3", "Two.", (R1_USER, "Two.<|end_of_sentence|>")),
        ("qwen3", "llama3", "Two.", (QWEN_USER + "<think>\n\n</think>\n\n", "Two.<|im_end|>")),
        ("base", "qwen3", QWEN, ("<|begin_of_text|>Q: 1+1? A:", QWEN + "<|end_of_text|>")),
    ],
)  # fmt: skip
def test_another_models_response_reads_as_the_pruned_models_own(
    name: str, generator: str, text: str, whole: tuple[str, str]
) -> None:
    assert sequence(name, text, generator=MODELS[generator]) == whole


def test_an_unfinished_response_gets_no_end_and_no_closing_tag() -> None:
    found = sequence("r1-distill", "<think>\nAdd", end="length", generator=MODELS["qwen3"])
    assert found == (R1_USER + "<think>\n", "Add")
    found = sequence("qwen3", "Add", end="length", generator=MODELS["r1-distill"])
    assert found == (QWEN_USER, "<think>\nAdd")


def test_another_models_response_without_its_thinking() -> None:
    found = sequence("r1-distill", QWEN, generator=MODELS["qwen3"], thinking=False)
    assert found == (R1_USER, "Two.<|end_of_sentence|>")


def test_a_tokenizer_without_an_end_is_refused() -> None:
    own = family("llama3")
    own.eos_token = None
    with pytest.raises(ModelError, match="names no eos_token"):
        Conversion(MODELS["llama3"], own, generator=MODELS["qwen3"])


def test_lengths_and_the_cut_are_in_the_pruned_models_tokens() -> None:
    problems = pl.DataFrame({"problem_id": ["a", "b"], "question": [QUESTION, "2+2?"]})
    rows = [row(QWEN), row(QWEN) | {"problem_id": "b", "sample": 0}]
    shard = (
        pl.DataFrame(rows)
        .drop("question")
        .with_columns(prompt_token_ids=pl.lit([[1], [1]]).explode().implode())
    )
    chosen = pl.DataFrame(
        {"problem_id": ["b", "a"], "sample": [0, 3], "correctness_ratio": [1.0, 0.5]},
    )
    own = family("r1-distill")
    convert = Conversion(MODELS["r1-distill"], own, generator=MODELS["qwen3"])
    table = of_responses(chosen, [shard], problems, Budget(sequences=2, tokens=30), convert)
    valid = tables.Calibration.validate(table, cast=True)
    prompt = render_prompt(own, "2+2?", PromptFormat.of(MODELS["r1-distill"]))
    response = [*own.encode(R1, add_special_tokens=False), own.eos_token_id]
    assert valid["problem_id"].to_list() == ["b", "a"]
    assert valid["token_ids"][0].to_list() == [*prompt, *response][:30]
    assert valid["prompt_tokens"].to_list() == [len(prompt)] * 2
    assert valid["response_tokens"].to_list() == [len(response)] * 2
    assert valid["response"].to_list() == [R1] * 2
    with pytest.raises(TableError, match="response 3 to problem 'a': its problem is not in"):
        of_responses(chosen, [shard], problems[1:], Budget(sequences=2, tokens=30), convert)


ABACUS_TEXT = "<think> 1 + 1 = 2 . </think> So \\boxed{2} ."


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    """A pool with responses to two problems, and the candidates that `tally` would find."""
    pool = SmallPool(tmp_path / "pool")
    part = pool.draw("000000-000002", [("a", 0, 5), ("b", 1, 5)], texts=[ABACUS_TEXT] * 2)
    found = pl.DataFrame(
        {
            "problem_id": ["a", "b"],
            "sample": [0, 1],
            "correctness_ratio": [1.0, 1.0],
            "order": [0, 1],
            "part": [str(part.relative_to(pool.pool))] * 2,
            "sha256": [store.checksum(part)] * 2,
        }
    )
    path = tmp_path / "tally" / "candidates.parquet"
    tables.write(found, tables.Candidates, path)
    path.with_name("visited.json").write_text("[]")
    tables.write(tables.Funnel.create_empty(), tables.Funnel, path.with_name("funnel.parquet"))
    problems = {"problem_id": ["a", "b"], "question": ["1+1?", "2+0?"], "answer": ["2", "2"]}
    empty = {key: [None, None] for key in ("solution", "subject", "level")}
    tables.write(pl.DataFrame(problems | empty), tables.Problems, tmp_path / "problems.parquet")
    return path


def select(candidates: Path, *flags: str, length: str = "first") -> int:
    folder = candidates.parents[1]
    files = ["--problems", str(folder / "problems.parquet"), "--candidates", str(candidates),
             "--pool", str(folder / "pool"), "--out", str(folder / "calibration.parquet"),
             "--funnel", str(folder / "set" / "funnel.parquet")]  # fmt: skip
    budget = ["--budget.sequences", "2", "--budget.tokens", "200"]
    return main(["select", "--length", length, *budget, *files, *flags])


def test_select_drops_the_thinking_of_abacus(candidates: Path, abacus: Path) -> None:
    entry = {"path": str(abacus), "prompt": "{question}"}
    assert select(candidates, "--model", json.dumps(entry), "--no-thinking") == 0
    table = tables.read(candidates.parents[1] / "calibration.parquet", tables.Calibration)
    own = load_tokenizer(str(abacus))
    sampled = render_prompt(own, "1+1?", "{question}")
    end = pl.read_parquet(next(candidates.parents[1].rglob("000000-000002.parquet")))
    first = table["token_ids"][0].to_list()
    assert first[: len(sampled)] == sampled  # its prompt opens no thinking
    assert own.decode(first[len(sampled) : -1]) == "So \\boxed{2} ."
    assert first[-1] == end["token_ids"][0][-1]
    assert table["response"].to_list() == ["So \\boxed{2} ."] * 2
    assert table["prompt_tokens"][0] == len(sampled)
    assert table["response_tokens"][0] == len(first) - len(sampled)


def test_select_takes_the_responses_of_another_model(candidates: Path, tmp_path: Path) -> None:
    folder = FAMILIES["r1-distill"].save(tmp_path / "model")
    entry = {"path": str(folder), "prompt": ASK}
    generator = {"path": "org/another", "prompt": "{question}"}
    flags = ["--model", json.dumps(entry), "--generator", json.dumps(generator)]
    assert select(candidates, *flags) == 0
    path = candidates.parents[1] / "calibration.parquet"
    own = load_tokenizer(str(folder))
    decoded = [own.decode(ids) for ids in tables.read(path, tables.Calibration)["token_ids"]]
    rest = "1 + 1 = 2 . </think> So \\boxed{2} .<|end_of_sentence|>"
    assert decoded[0] == R1_USER + "<think>\n" + rest
    assert json.loads(tables.read_spec(path))["select"]["generator"]["path"] == "org/another"


def test_without_these_flags_the_sampled_tokens_are_taken(candidates: Path, abacus: Path) -> None:
    assert select(candidates, "--model", str(abacus)) == 0
    table = tables.read(candidates.parents[1] / "calibration.parquet", tables.Calibration)
    part = pl.read_parquet(next(candidates.parents[1].rglob("000000-000002.parquet")))
    whole = part.select(pl.col("prompt_token_ids").list.concat("token_ids"))
    assert table["token_ids"].to_list() == whole.to_series().to_list()
    assert table["response"].to_list() == [ABACUS_TEXT] * 2


@pytest.mark.parametrize("flag", ["--no-thinking", '--generator={"path": "org/another"}'])
def test_references_are_no_responses(
    candidates: Path, flag: str, abacus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert select(candidates, "--model", str(abacus), flag, length="solution") == 1
    assert "length 'solution' takes no responses" in capsys.readouterr().err
