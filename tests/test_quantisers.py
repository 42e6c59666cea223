"""Calibration sets as dataset folders: what `datasets` and quantisers read is what was selected."""

import re
from fnmatch import fnmatch
from pathlib import Path

import polars as pl
import pytest
import torch
from transformers import AutoTokenizer, default_data_collator

from experiment import point
from pruned_checkpoint import FUNNEL, calibration_set, front_matter
from ssgr.__main__ import main
from ssgr.config import Model
from ssgr.errors import SsgrError, TableError
from ssgr.publish.quantisers import DATA, dataset, dataset_card, export
from ssgr.storage import tables
from ssgr.storage.provenance import describe

POINT = point("0.75", "median", "48x512-s0")


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibration_set(tmp_path_factory.mktemp("results") / "calibration" / POINT)


@pytest.fixture(scope="module")
def exported(calibration: Path, abacus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "abacus-ssgr"
    export(calibration, out, model=Model(path=str(abacus)))
    return out


def test_the_columns_are_what_was_selected(exported: Path, calibration: Path, abacus: Path) -> None:
    data = pl.read_parquet(exported / DATA)
    table = pl.read_parquet(calibration)
    assert data.columns == ["text", "messages", "input_ids", "attention_mask", "problem_id",
                            "sample", "prompt_tokens", "response_tokens",
                            "correctness_ratio"]  # fmt: skip
    assert data["input_ids"].to_list() == table["token_ids"].to_list()
    for column in ("problem_id", "sample", "prompt_tokens", "correctness_ratio"):
        assert data[column].to_list() == table[column].to_list()
    tokenizer = AutoTokenizer.from_pretrained(abacus)
    for row, before in zip(data.to_dicts(), table.to_dicts(), strict=True):
        assert row["attention_mask"] == [1] * len(row["input_ids"])
        assert row["text"] == tokenizer.decode(row["input_ids"])
        assert row["messages"] == [
            {"role": "user", "content": before["question"]},
            {"role": "assistant", "content": before["response"]},
        ]


def test_special_tokens_are_part_of_the_text(abacus: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(abacus)
    ids = tokenizer("<|user|>2 + 2?<|assistant|><think> 4. </think><|end|>")["input_ids"]
    pl.DataFrame({"token_ids": [ids]}).write_parquet(tmp_path / "own.parquet")
    export(tmp_path / "own.parquet", tmp_path / "out", model=Model(path=str(abacus)))
    (text,) = pl.read_parquet(tmp_path / "out" / DATA)["text"]
    assert tokenizer(text)["input_ids"] == ids
    assert "<|end|>" in text


def test_datasets_finds_the_data_by_the_card(exported: Path) -> None:
    said = front_matter((exported / "README.md").read_text())
    (config,) = said["configs"]
    assert config["config_name"] == "default"
    (split,) = config["data_files"]
    assert split["split"] == "train"
    files = [
        path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()
    ]
    assert sorted(files) == ["README.md", DATA]
    assert fnmatch(DATA, split["path"])
    assert said["size_categories"] == "n<1K"
    assert "calibration" in said["tags"]
    assert "license" not in said


def test_quantisers_take_the_tokens(exported: Path) -> None:
    """llm-compressor batches by transformers' collator, one sequence at a time."""
    rows = pl.read_parquet(exported / DATA, columns=["input_ids", "attention_mask"]).to_dicts()
    for row in rows:
        batch = default_data_collator([row])
        assert batch["input_ids"].tolist() == [row["input_ids"]]
        assert batch["attention_mask"].dtype == torch.int64
        assert int(batch["attention_mask"].sum()) == len(row["input_ids"])


def test_the_card_says_where_it_comes_from(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    assert "48 sequences, 2,232 tokens (at most 70 each)" in text
    for key, value in (part.split("=") for part in POINT.split("/")):
        assert f"| {key} | {value} |" in text
    for step, problems, responses in FUNNEL:
        assert f"| {step} | {problems:,} | {responses:,} |" in text
    licence = text[text.index("## Licence") :]
    assert "Not stated" in licence
    assert "`stories` and responses of `abacus`, so the licences of both apply" in licence
    assert str(exported.parent) not in text


def test_the_examples_are_python_and_take_tokens_alone(exported: Path) -> None:
    text = (exported / "README.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        compile(example, "card", "exec")
        assert 'select_columns(["input_ids", "attention_mask"])' in example
    assert "shuffle_calibration_samples=False" in examples[0]
    assert "batch_size=1" in examples[0]
    assert "model.quantize(examples" in examples[1]


def test_a_license_is_named_where_it_is_known(
    calibration: Path, abacus: Path, tmp_path: Path
) -> None:
    flags = ["--calibration", str(calibration), "--out", str(tmp_path / "out")]
    assert main(["export", *flags, "--model", str(abacus), "--license", "cc-by-4.0"]) == 0
    card = (tmp_path / "out/README.md").read_text()
    assert front_matter(card)["license"] == "cc-by-4.0" and "Not stated" not in card


def test_the_file_says_whose_tokens_it_holds(
    abacus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = calibration_set(tmp_path / "set")
    flags = ["export", "--calibration", str(path), "--out"]
    assert main([*flags, str(tmp_path / "a")]) == 1
    assert "--model" in capsys.readouterr().err
    table = tables.read(path, tables.Calibration)
    asked = {"model": Model(path=str(abacus)).model_dump(), "problems": "/home/me/p.parquet"}
    tables.write(table, tables.Calibration, path, describe(select=asked))
    assert main([*flags, str(tmp_path / "b")]) == 0
    text = (tmp_path / "b/README.md").read_text()
    assert "pruners and quantisers of\n`abacus`" in text
    assert "/home/me" not in text


def test_somebody_elses_tokens_have_no_messages(abacus: Path, tmp_path: Path) -> None:
    own = pl.DataFrame({"token_ids": [[5, 6, 7], [8, 9]], "note": ["x", "y"]})
    own.write_parquet(tmp_path / "own.parquet")
    export(tmp_path / "own.parquet", tmp_path / "out", model=Model(path=str(abacus)))
    data = pl.read_parquet(tmp_path / "out" / DATA)
    assert data.columns == ["text", "input_ids", "attention_mask"]
    text = (tmp_path / "out/README.md").read_text()
    assert "`messages` |" not in text
    assert "Somebody's own token sequences" in text


def test_text_without_questions_has_no_messages() -> None:
    table = pl.DataFrame(
        {"token_ids": [[1, 2]], "question": [None], "response": ["a text"], "problem_id": ["d1"],
         "correctness_ratio": [None]}
    )  # fmt: skip
    data = dataset(table, lambda ids: f"{len(ids)} tokens")
    assert data.columns == ["text", "input_ids", "attention_mask", "problem_id"]
    assert data["text"].to_list() == ["2 tokens"]


@pytest.mark.parametrize(
    ("sequences", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**6, "100K<n<1M")]
)
def test_the_size_category(sequences: int, size: str) -> None:
    table = pl.select(input_ids=pl.repeat([5], sequences))
    said = {"name": "x", "model": "m", "licence": None, "keys": {}, "funnel": []}
    card = dataset_card(table, said)
    assert front_matter(card)["size_categories"] == size


def test_bad_input_is_named_and_leaves_nothing(
    abacus: Path, exported: Path, calibration: Path, tmp_path: Path
) -> None:
    model = Model(path=str(abacus))
    with pytest.raises(TableError, match="does not exist"):
        export(tmp_path / "gone.parquet", tmp_path / "out", model=model)
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(TableError, match=r"text\.parquet"):
        export(tmp_path / "text.parquet", tmp_path / "out", model=model)
    empty = pl.DataFrame({"token_ids": []}, schema={"token_ids": pl.List(pl.Int32)})
    empty.write_parquet(tmp_path / "empty.parquet")
    with pytest.raises(TableError, match="no sequence"):
        export(tmp_path / "empty.parquet", tmp_path / "out", model=model)
    with pytest.raises(SsgrError, match="exists"):
        export(calibration, exported, model=model)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["empty.parquet", "text.parquet"]
