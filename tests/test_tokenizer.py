"""Whoever loads a tokenizer reads what its file says, and what was encoded otherwise is refused."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerFast

from byte_level import BEGIN, END, byte_level, save, save_model, sentencepiece_like
from ssgr.__main__ import main
from ssgr.config import Model, Sampling
from ssgr.errors import ModelError, PoolError, TableError
from ssgr.pool import store
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import check_encoding, read_summary
from ssgr.sampling import sample
from ssgr.sampling.tokenizer import begin_ids, encoding_digest, load_tokenizer
from ssgr.storage import tables
from tiny_language import character_tokenizer, save_folder
from vllm_environment import vllm_python

SAMPLE = "A train leaves at 9:15 \n\tand  arrives late.<think>\nHm </think>\n\n 40"


def by_file(folder: Path, text: str) -> list[int]:
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return list(raw.encode(text, add_special_tokens=False).ids)


def read_as_llama(folder: str, **_: Any) -> Any:
    """As transformers 5 up to 5.21.1 reads such a folder."""
    return LlamaTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("make", [byte_level, sentencepiece_like])
def test_a_wrong_reading_gives_way_to_the_file(
    make: Callable[[], Tokenizer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = save(tmp_path / "model", make())
    wrong = read_as_llama(str(folder))
    assert wrong.encode(SAMPLE, add_special_tokens=False) != by_file(folder, SAMPLE)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", read_as_llama)
    cured = load_tokenizer(str(folder))
    assert cured.encode(SAMPLE, add_special_tokens=False) == by_file(folder, SAMPLE)
    assert (cured.bos_token, cured.eos_token) == (BEGIN, END)
    assert cured.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    said = capsys.readouterr().err
    assert "transformers 5" in said and "tokenizers 0" in said and str(folder) in said
    monkeypatch.undo()
    assert encoding_digest(cured) == encoding_digest(load_tokenizer(str(folder)))


def test_what_cannot_be_cured_is_refused_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "model")
    wrong = read_as_llama(str(folder))
    for reader in (AutoTokenizer, PreTrainedTokenizerFast):
        monkeypatch.setattr(reader, "from_pretrained", lambda folder, **_: wrong)
    with pytest.raises(ModelError, match=r"transformers 5.* tokenizers 0.*model .*otherwise than"):
        load_tokenizer(str(folder))


def test_a_folders_own_code_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "model")
    wrong = read_as_llama(str(folder))
    wrong.__class__ = type("Own", (type(wrong),), {"__module__": "transformers_modules.model"})
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda folder, **_: wrong)
    with pytest.raises(ModelError, match=r"\(Own\) otherwise than its own tokenizer.json"):
        load_tokenizer(str(folder))


def test_think_tags_are_part_of_what_must_be_read_rightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "model", special=("[REASON]",))

    def read(folder: str, **_: Any) -> Any:
        raw = Tokenizer.from_file(f"{folder}/tokenizer.json").to_str()
        other = Tokenizer.from_str(raw.replace("[REASON]", "[REASONED]"))
        return PreTrainedTokenizerFast(tokenizer_object=other, eos_token=END)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", read)
    monkeypatch.setattr(PreTrainedTokenizerFast, "from_pretrained", read)
    assert load_tokenizer(str(folder)).eos_token == END
    with pytest.raises(ModelError, match=r"\[REASON\]"):
        load_tokenizer(str(folder), tags=("[REASON]", ""))


def test_a_folder_without_the_file_has_nothing_to_compare(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    letters = {letter: at for at, letter in enumerate("<|endoftext|> 1+=abc")}
    (folder / "vocab.json").write_text(json.dumps(letters | {"<|endoftext|>": len(letters)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    assert load_tokenizer(str(folder)).encode("1+1=") == [letters[letter] for letter in "1+1="]


def test_the_digest_is_of_the_encoding(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    digest = encoding_digest(load_tokenizer(str(folder)))
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text('{"model_type": "qwen3"}')
    assert encoding_digest(load_tokenizer(str(tmp_path / "copy"))) == digest
    others = {
        "vocabulary": save(tmp_path / "a", byte_level(280)),
        "begin": save(tmp_path / "b", begins=False),
        "end": save(tmp_path / "c", eos_token=BEGIN),
        "added token": save(tmp_path / "d", plain=()),
    }
    digests = {name: encoding_digest(load_tokenizer(str(path))) for name, path in others.items()}
    assert len({digest, *digests.values()}) == 5
    assert begin_ids(load_tokenizer(str(others["begin"]))) == []
    assert begin_ids(load_tokenizer(str(folder))) == by_file(folder, BEGIN)


CHECKED = """
import json, sys
from ssgr.sampling.prompts import render_prompt
from ssgr.sampling.tokenizer import encoding_digest, load_tokenizer
found = {}
for name in sys.argv[1:]:
    own = load_tokenizer(name)
    found[name] = [encoding_digest(own), render_prompt(own, "a 9\\n b", "{question}")]
print("\\n" + json.dumps(found))
"""


def test_vllms_environment_reads_a_model_alike_by_id_and_by_folder(
    tmp_path: Path, root: Path
) -> None:
    """Where transformers has the fault: nothing is simulated."""
    model = save_model(tmp_path / "hub" / "models--org--distilled" / "snapshots" / "f00d")
    refs = tmp_path / "hub" / "models--org--distilled" / "refs"
    refs.mkdir()
    (refs / "main").write_text("f00d")
    pruned = tmp_path / "pruned"
    flags = ["--pruner", "magnitude", "--out", str(pruned)]
    assert main(["prune", "--model", str(model), *flags]) == 0
    names = ["org/distilled", str(model), str(pruned)]
    done = subprocess.run(
        [vllm_python(), "-c", CHECKED, *names],
        env={**os.environ, "PYTHONPATH": str(root / "workflow"), "HF_HUB_OFFLINE": "1",
             "HF_HUB_CACHE": str(tmp_path / "hub")},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    prompt = by_file(model, f"{BEGIN}<user>a 9\n b<assistant>")
    digest = encoding_digest(load_tokenizer(str(model)))
    assert found == {name: [digest, prompt] for name in names}
    assert read_summary(pruned).encoding == digest


class TestPool:
    def test_of_two_tokenizers_is_refused(self, tmp_path: Path) -> None:
        wanted = store.manifest(Model(path="org/m"), Sampling(n=2))
        first = {**wanted, store.ENCODING: "11aa"}
        digest = store.claim(tmp_path, first)
        assert store.check_manifest(tmp_path, first) == digest
        assert store.check_manifest(tmp_path, wanted) == digest  # a plan loads no tokenizer
        assert store.encoding_of([tmp_path / "a.parquet", tmp_path / "b.parquet"]) == "11aa"
        (tmp_path / "a.parquet").touch()  # without a response a claim gives way
        with pytest.raises(PoolError, match=r"encodes otherwise \(digest 11aa\).*now \(22bb\)"):
            store.claim(tmp_path, {**wanted, store.ENCODING: "22bb"})

    def test_of_before_is_still_read(self, tmp_path: Path) -> None:
        wanted = store.manifest(Model(path="org/m"), Sampling(n=2))
        digest = store.claim(tmp_path / "old", wanted)
        with_encoding = {**wanted, store.ENCODING: "11aa"}
        assert store.claim(tmp_path / "old", with_encoding) == digest
        old = tmp_path / "old" / "a.parquet"
        assert store.encoding_of([old]) is None
        store.claim(tmp_path / "x", with_encoding)
        store.claim(tmp_path / "y", {**wanted, store.ENCODING: "22bb"})
        with pytest.raises(PoolError, match="encode differently"):
            store.encoding_of([old, tmp_path / "x" / "a", tmp_path / "y" / "a"])

    def test_responses_to_another_prompt_are_not_added_to(self) -> None:
        problems = pl.DataFrame({"problem_id": ["p"], "question": ["1+1?"], "answer": ["2"]})
        earlier = pl.DataFrame(
            {"problem_id": ["p"], "sample": [0], "prompt_token_ids": [[3, 4, 5]]}
        )

        def no_engine(length: int) -> Any:
            raise AssertionError(f"an engine of {length} positions is loaded")

        with pytest.raises(TableError, match=r"'p' were drawn to a prompt of 3 tokens.*purge"):
            sample(
                problems, name="m", template="{question}", sampling=Sampling(n=2),
                engine=no_engine, tokenizer=character_tokenizer(), earlier=earlier,
            )  # fmt: skip


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    path = tmp_path / "documents.parquet"
    table = pl.DataFrame({"document_id": ["u", "v"], "text": [TEXT, TEXT[::-1]]})
    tables.write(table, tables.Documents, path)
    return path


TEXT = "The quick brown fox jumps over the lazy dog 12 times.\n" * 4


def select(model: Path, documents: Path, out: Path) -> None:
    budget = '{"sequences": 2, "tokens": 24, "held_back": 1}'
    flags = ["--length", "text", "--budget", budget, "--problems", str(documents)]
    files = ["--out", str(out / "calibration.parquet"), "--funnel", str(out / "funnel.parquet")]
    assert main(["select", *flags, *files, "--model", str(model)]) == 0


def test_a_calibration_set_of_another_tokenizer_is_refused(
    documents: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its ids fit: the vocabularies are of one size."""
    first = save_model(tmp_path / "first", tokenizer=byte_level(300))
    second = save_model(tmp_path / "second", tokenizer=byte_level(300), eos_token=BEGIN)
    select(first, documents, tmp_path / "set")
    calibration = tmp_path / "set" / "calibration.parquet"
    begin = by_file(first, BEGIN)
    ids = tables.read(calibration, tables.Calibration)["token_ids"].to_list()
    assert [one[:1] for one in ids] == [begin] * 2
    assert not any(begin[0] in one[1:] for one in ids)

    def prune(model: Path, out: str, **sets: Path) -> int:
        named = {f"--{name}".replace("_", "-"): str(path) for name, path in sets.items()}
        given = [word for pair in named.items() for word in pair]
        flags = ["--pruner", "wanda", "--out", str(tmp_path / out)]
        return main(["prune", "--model", str(model), *given, *flags])

    held_back = calibration.with_name("held_back.parquet")
    assert prune(second, "a", calibration=calibration) == 1
    assert "made with another tokenizer" in capsys.readouterr().err
    own = tmp_path / "own.parquet"
    pl.DataFrame({"token_ids": ids}).write_parquet(own)  # anyone's, which does not say
    assert prune(second, "a", calibration=own, held_back=held_back) == 1
    assert f"{held_back} was made with another tokenizer" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert prune(second, "a", calibration=own) == 0
    assert prune(first, "b", calibration=calibration, held_back=held_back) == 0
    assert (
        json.loads(tables.read_spec(calibration))["encoding"]
        == read_summary(tmp_path / "b").encoding
    )


def test_a_checkpoint_that_encodes_otherwise_than_its_dense_model_is_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = save_model(tmp_path / "dense")
    pruned = tmp_path / "pruned"
    assert (
        main(["prune", "--model", str(dense), "--pruner", "magnitude", "--out", str(pruned)]) == 0
    )
    problems = tmp_path / "problems.parquet"
    row = {"problem_id": ["p"], "question": ["1 + 1?"], "answer": ["2"]}
    empty: dict[str, list[None]] = {key: [None] for key in ("solution", "subject", "level")}
    tables.write(pl.DataFrame(row | empty), tables.Problems, problems)
    ask = ["sample", "--problems", str(problems), "--model.path", str(dense), "--checkpoint",
           str(pruned), "--sampling", '{"n": 1, "max_tokens": 4}', "--out",
           str(tmp_path / "out.parquet")]  # fmt: skip
    assert main(ask) == 0
    (tmp_path / "out.parquet").unlink()
    save(pruned, byte_level(290))
    assert main(ask) == 1
    assert "encodes otherwise" in capsys.readouterr().err
    said = json.loads((pruned / SUMMARY).read_text()) | {"encoding": ""}  # as of before
    (pruned / SUMMARY).write_text(json.dumps(said))
    check_encoding(pruned, "whatever")
    check_encoding(tmp_path / "elsewhere", "whatever")


def test_reading_by_another_class_is_no_matter_where_the_tokens_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_folder(tmp_path / "model")
    capsys.readouterr()
    load_tokenizer(str(folder))
    assert capsys.readouterr().err == ""
