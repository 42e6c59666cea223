"""Think tags that a tokenizer holds as special tokens stay; where all is lost, it is said."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from byte_level import END, save, sentencepiece_like
from ssgr.__main__ import main
from ssgr.config import Config, Model, Sampling
from ssgr.grading import alarms, grade
from ssgr.grading.spec import Judging
from ssgr.report.responses import responses as responses_section
from ssgr.sampling import Response, Work, sample
from ssgr.sampling.rendering import Conversion
from ssgr.sampling.tokenizer import load_tokenizer, text_decoder
from ssgr.storage import tables

CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>")
HARMONY = (
    "<|channel|>analysis<|message|>",
    "<|end|><|start|>assistant<|channel|>final<|message|>",
)
KINDS = {
    "special": (("<think>", "</think>"), ("<think>", "</think>")),
    "brackets": (("[THINK]", "[/THINK]"), ("[THINK]", "[/THINK]")),
    "channels": (HARMONY, CHANNELS),
}
ANSWERED = "{open}9 to 14 are\n 5 hours.{close}\n\nIt takes \\boxed{{5}} hours."


def tokenizer(folder: Path, special: tuple[str, ...], **how: Any) -> Any:
    return load_tokenizer(str(save(folder, special=special, plain=(), **how)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [None, sentencepiece_like])
def test_the_configured_tags_stay_and_no_other_special_token(
    kind: str, make: Any, tmp_path: Path
) -> None:
    tags, special = KINDS[kind]
    own = tokenizer(tmp_path / "model", special, tokenizer=make and make())
    text = ANSWERED.format(open=tags[0], close=tags[1])
    ids = [*own.encode(text, add_special_tokens=False), own.eos_token_id]
    assert text_decoder(own, tags)(ids).replace("> ", ">").replace("] ", "]") == text
    assert tags[1] not in text_decoder(own, ("<reason>", "</reason>"))(ids)
    assert text_decoder(own, tags)([own.bos_token_id, *ids, own.eos_token_id]).endswith("hours.")


def test_a_piece_of_a_tag_alone_is_dropped_like_any_special_token(tmp_path: Path) -> None:
    own = tokenizer(tmp_path / "model", CHANNELS)
    text = "<|channel|>commentary<|message|>x<|end|>" + HARMONY[1] + "5<|end|>"
    decoded = text_decoder(own, HARMONY)(own.encode(text, add_special_tokens=False))
    assert decoded == "commentaryx" + HARMONY[1] + "5"


def test_ordinary_tags_are_decoded_as_ever(tmp_path: Path) -> None:
    own = load_tokenizer(str(save(tmp_path / "model", special=("<|user|>",))))
    ids = own.encode(f"<think>\n a</think> 5<|user|>{END}", add_special_tokens=False)
    decode = text_decoder(own, ("<think>", "</think>", ""))
    assert decode(ids) == "<think>\n a</think> 5" == own.decode(ids, skip_special_tokens=True)


PROBLEMS = pl.DataFrame(
    {"problem_id": ["p", "q"], "question": ["How long?", "When?"], "answer": ["5", "6"]}
)


class Recited:
    """An engine whose every response is one text."""

    max_length = None

    def __init__(self, ids: list[int]) -> None:
        self.ids = tuple(ids)

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        while request := work.take(wait=True):
            prompt = request.prompt.problem_id
            yield Response(prompt, request.sample, self.ids, "stop", None)

    def close(self) -> None:
        """Nothing to end."""


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_after_such_tags_is_found(kind: str, tmp_path: Path) -> None:
    tags, special = KINDS[kind]
    own = tokenizer(tmp_path / "model", special)
    text = ANSWERED.format(open=tags[0], close=tags[1])
    ids = [*own.encode(text, add_special_tokens=False), own.eos_token_id]
    drawn = sample(
        PROBLEMS, name="m", template="{question}", sampling=Sampling(n=2, max_tokens=400),
        engine=lambda length: Recited(ids), tokenizer=own, tags=tags,
    ).responses  # fmt: skip
    assert drawn["text"].to_list() == [text] * 4
    judging = Judging(think_open=tags[0], think_close=tags[1])
    grades = grade(drawn, PROBLEMS, **judging.model_dump())
    assert grades["extracted"].to_list() == ["5"] * 4
    assert grades["correct"].to_list() == [True, True, False, False]
    assert grades["has_thinking"].all()
    assert alarms.unclosed(drawn, tags[1]) == alarms.unanswered(grades, judging) == []
    model = Model(path="m", think_open=tags[0], think_close=tags[1])
    generator = Model(path="g", think_open="<t>", think_close="</t>")
    row = {
        "problem_id": "p", "sample": 0, "question": "How long?", "finish_reason": "stop",
        "text": ANSWERED.format(open="<t>", close="</t>"), "token_ids": [1, 2],
    }  # fmt: skip
    assert Conversion(model, own, generator=generator)(row)["token_ids"] == ids


def drawn_table(texts: list[str], finish_reason: str = "stop") -> pl.DataFrame:
    count = len(texts)
    return tables.Responses.cast(
        pl.DataFrame(
            {
                "problem_id": ["p"] * count, "sample": range(count), "text": texts,
                "prompt_token_ids": [[1]] * count, "token_ids": [[2, 3]] * count,
                "finish_reason": [finish_reason] * count, "tokens": [2] * count,
                "mean_logprob": pl.Series([None] * count, dtype=pl.Float64),
            }
        )
    )  # fmt: skip


def test_a_shard_without_any_closed_thinking_or_answer_is_said_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = tmp_path / "problems.parquet"
    empty: dict[str, list[None]] = {key: [None] * 2 for key in ("solution", "subject", "level")}
    whole = PROBLEMS.hstack(pl.DataFrame(empty))
    tables.write(whole, tables.Problems, problems)

    def graded(table: pl.DataFrame, **judging: str) -> str:
        tables.write(table, tables.Responses, tmp_path / "responses.parquet")
        flags = [word for key, value in judging.items() for word in
                 (f"--judging.{key.replace('_', '-')}", value)]  # fmt: skip
        files = ["--responses", str(tmp_path / "responses.parquet"), "--problems", str(problems)]
        assert main(["grade", *files, "--out", str(tmp_path / "g.parquet"), *flags]) == 0
        return capsys.readouterr().err

    lost = drawn_table(["add\n\\boxed{5}", "\\boxed{5}", "\\boxed{4}"])
    said = graded(lost)
    assert "WARNING: none of 3 responses closes its thinking: none holds '</think>'." in said
    assert "think_open and think_close in the model's entry" in said
    assert "cut off" not in said
    assert "3 of them were cut off at max_tokens" in graded(drawn_table(["add"] * 3, "length"))
    assert graded(lost, think_close="", think_open="") == ""
    assert graded(drawn_table(["add", "add</think> \\boxed{4}"])) == ""
    said = graded(drawn_table(["add</think>five", "add</think>"]))
    assert "WARNING: none of 2 responses has an answer that the method 'math' finds" in said
    assert "'</think>'" in said
    assert alarms.unclosed(lost, "[/THINK]")[0].startswith("none of 3 responses closes")
    assert alarms.unclosed(lost.clear(), "</think>") == []


def test_the_report_names_a_dense_model_that_never_closes_its_thinking(root: Path) -> None:
    written = yaml.safe_load((root / "config" / "config.yaml").read_text())
    written["models"]["abacus"]["think_close"] = "[/T]"
    config = Config.model_validate(written)
    benchmark = next(iter(config.benchmarks))
    row = {
        "model": "abacus", "label": "Dense", "benchmark": benchmark,
        "pruner": "none", "sparsity": "none",
        "problems": 3, "responses": 12, "pass_at_1": 0.0, "standard_error": 0.1,
        "mean_tokens": 9.0, "truncated": 0.0, "with_thinking": 0.0, "timed_out": 0,
    }  # fmt: skip

    def warned(*rows: dict[str, Any]) -> list[str]:
        found = responses_section(pl.DataFrame(rows), config)
        assert found is not None
        warnings: list[str] = found["unclosed"]
        return warnings

    (said,) = warned(row, row | {"pruner": "wanda", "sparsity": "50", "label": "C4"})
    assert f"12 responses of the dense abacus to {benchmark}" in said
    assert "[/T]" in said and "models.abacus" in said
    assert warned(row | {"with_thinking": 0.1}) == []
