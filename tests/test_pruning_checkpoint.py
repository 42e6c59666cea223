"""From folder to folder: what is written reloads, is as sparse as said, and is whole or absent."""

from pathlib import Path

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from ssgr import tables
from ssgr.errors import ModelError, PruningError
from ssgr.pruning import checkpoint
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.pruner import PrunerSettings
from ssgr.sparsity import Sparsity
from tiny_decoders import MAKERS, POSITIONS, VOCABULARY, save, tiny, token_sequences


def prune(model: Path, out: Path, pruner: str = "sparsegpt", sparsity: str = "50") -> pl.DataFrame:
    return prune_checkpoint(
        model,
        out,
        sequences=token_sequences(),
        pruner=pruner,
        sparsity=Sparsity.parse(sparsity),
        settings=PrunerSettings(),
        device="cpu",
    )


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return save(tiny("qwen2"), tmp_path / "dense")


@pytest.mark.parametrize("architecture", sorted(MAKERS))
@pytest.mark.parametrize(
    ("pruner", "sparsity"), [("sparsegpt", "60"), ("wanda", "2:4"), ("magnitude", "62.5")]
)
def test_the_folder_reloads_with_the_stated_sparsity(
    tmp_path: Path, architecture: str, pruner: str, sparsity: str
) -> None:
    model = tiny(architecture)
    folder, out = save(model, tmp_path / "dense"), tmp_path / "pruned"
    report = prune(folder, out, pruner, sparsity)
    reloaded = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    fraction = Sparsity.parse(sparsity).fraction
    weights = dict(reloaded.named_parameters())
    for matrix, said in report.select("matrix", "sparsity").iter_rows():
        measured = float((weights[f"{matrix}.weight"] == 0).float().mean())
        assert measured == pytest.approx(fraction, abs=1e-3)
        assert said == pytest.approx(measured, abs=1e-6)
    before = dict(model.named_parameters())
    untouched = set(weights) - {f"{matrix}.weight" for matrix in report["matrix"]}
    assert {"model.embed_tokens.weight", "model.norm.weight"} <= untouched
    for name in untouched:
        assert torch.equal(weights[name], before[name])
    assert not any("layers" in name and weights[name].dim() > 1 for name in untouched)


def test_the_report_is_in_the_folder_and_complete(dense: Path, tmp_path: Path) -> None:
    report = prune(dense, tmp_path / "out")
    assert tables.read(tmp_path / "out" / "pruning.parquet", tables.PruningReport).equals(report)
    assert report.height == 3 * 7
    assert report["relative_error"].is_between(1e-4, 0.5).all()
    assert (report["seconds"] > 0).all()


@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_stay_tied_and_dense(tmp_path: Path, tied: bool) -> None:
    model = tiny("llama", tie_word_embeddings=tied)
    prune(save(model, tmp_path / "dense"), tmp_path / "out")
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert (reloaded.lm_head.weight is reloaded.model.embed_tokens.weight) == tied
    assert torch.equal(reloaded.lm_head.weight, model.lm_head.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("compute", ["auto", "float32"])
def test_the_folder_keeps_its_dtype(tmp_path: Path, dtype: torch.dtype, compute: str) -> None:
    folder = save(tiny("qwen3").to(dtype), tmp_path / "dense")
    prune_checkpoint(
        folder,
        tmp_path / "out",
        sequences=token_sequences(),
        pruner="sparsegpt",
        sparsity=Sparsity.parse("50"),
        device="cpu",
        dtype=compute,
    )
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert {parameter.dtype for parameter in reloaded.parameters()} == {dtype}
    zeros = reloaded.model.layers[2].mlp.down_proj.weight == 0
    assert float(zeros.float().mean()) == pytest.approx(0.5, abs=1e-3)


def test_casting_leaves_rotary_frequencies_alone() -> None:
    """Cast to bf16 they would turn late positions by the wrong angle, without any error."""
    model = tiny("llama")
    frequencies = model.model.rotary_emb.inv_freq.clone()
    checkpoint._move(model, torch.device("cpu"), torch.bfloat16)
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert torch.equal(model.model.rotary_emb.inv_freq, frequencies)


def test_companion_files_are_kept_byte_by_byte(dense: Path, tmp_path: Path) -> None:
    (dense / "model.safetensors.index.json").write_text("{}")  # of the dense shards
    prune(dense, tmp_path / "out")
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (dense / name).read_bytes()
    modes = {path.stat().st_mode for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 1  # whoever may read the config may read the weights
    assert not (tmp_path / "out" / "README.md").exists()
    assert not (tmp_path / "out" / "model.safetensors.index.json").exists()


def test_pruning_twice_gives_the_same_bytes(dense: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prune(dense, tmp_path / name)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_an_older_checkpoint_is_replaced_whole(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prune(dense, out, "magnitude", "50")
    (out / "left-over.txt").write_text("old")
    report = prune(dense, out, "magnitude", "70")
    assert report["sparsity"].mean() == pytest.approx(0.7, abs=1e-3)
    assert not (out / "left-over.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dense", "out"]


def test_a_failure_leaves_the_older_checkpoint(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    before = prune(dense, out)

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(tables, "write", full_disk)
    with pytest.raises(OSError, match="no space left"):
        prune(dense, out, sparsity="70")
    assert tables.read(out / "pruning.parquet", tables.PruningReport).equals(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dense", "out"]


def test_a_folder_that_is_no_checkpoint_is_not_replaced(dense: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(PruningError, match=r"mine exists and is not a pruned checkpoint"):
        prune(dense, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    for out in (dense, tmp_path):
        with pytest.raises(PruningError, match="would overwrite the dense model"):
            prune(dense, out)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([[1, 2], []], "sequence 1 has no tokens"),
        ([[1, VOCABULARY]], f"sequence 0 holds the token id {VOCABULARY}.*another tokenizer"),
        ([[1, -1]], "sequence 0 holds the token id -1"),
        ([[1], [3] * (POSITIONS + 1)], f"sequence 1 has 65 tokens.*{POSITIONS} positions"),
        ([], "needs calibration sequences"),
    ],
)
def test_a_calibration_of_another_model_is_refused(
    dense: Path, tmp_path: Path, sequences: list[list[int]], message: str
) -> None:
    with pytest.raises(PruningError, match=message):
        prune_checkpoint(
            dense,
            tmp_path / "out",
            sequences=sequences,
            pruner="wanda",
            sparsity=Sparsity.parse("50"),
            device="cpu",
        )
    assert not (tmp_path / "out").exists()


def test_unusable_model_folders_are_named(dense: Path, tmp_path: Path) -> None:
    (dense / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match="dense has no tokenizer"):
        prune(dense, tmp_path / "out")
    (tmp_path / "tokenizer.json").rename(dense / "tokenizer.json")
    (dense / "model.safetensors").write_bytes(b"truncated")
    with pytest.raises(ModelError, match="dense cannot be loaded"):
        prune(dense, tmp_path / "out")
    (dense / "config.json").unlink()
    with pytest.raises(ModelError, match=r"dense has no config\.json"):
        prune(dense, tmp_path / "out")


def test_unknown_names_are_told(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match=r"'sparsgpt'.*magnitude, sparsegpt, wanda"):
        prune(dense, tmp_path / "out", pruner="sparsgpt")
    with pytest.raises(ModelError, match="dtype 'int8'"):
        prune_checkpoint(
            dense,
            tmp_path / "out",
            sequences=[],
            pruner="magnitude",
            sparsity=Sparsity.parse("50"),
            dtype="int8",
        )


def test_a_pattern_that_does_not_fit_names_the_matrix(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match=r"model\.layers\.0\.self_attn\.q_proj: 32 columns"):
        prune(dense, tmp_path / "out", sparsity="2:5")
