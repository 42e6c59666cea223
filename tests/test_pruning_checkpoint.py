"""From folder to folder: what is written reloads, is as sparse as said, and is whole or absent."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ssgr.config import Objective, Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ModelError, PruningError, SsgrError, TableError
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.summary import read_summary
from ssgr.storage import tables
from tiny_decoders import MAKERS, POSITIONS, VOCABULARY, save, tiny, token_sequences


def prune(
    model: Path,
    out: Path,
    method: str = "sparsegpt",
    sparsity: str = "50",
    sequences: list[list[int]] | None = None,
    **more: Any,
) -> pl.DataFrame:
    ids = token_sequences() if sequences is None else sequences
    return prune_checkpoint(
        model,
        out,
        calibration=[CalibrationSequence(one) for one in ids],
        sparsity=Sparsity.parse(sparsity),
        **{"device": "cpu", "recipe": Recipe(method=method), **more},
    )


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return save(tiny("qwen2"), tmp_path / "dense")


@pytest.mark.parametrize("architecture", sorted(MAKERS))
@pytest.mark.parametrize(
    ("method", "sparsity"), [("sparsegpt", "60"), ("wanda", "2:4"), ("magnitude", "62.5")]
)
def test_the_folder_reloads_with_the_stated_sparsity(
    tmp_path: Path, architecture: str, method: str, sparsity: str
) -> None:
    model = tiny(architecture)
    folder, out = save(model, tmp_path / "dense"), tmp_path / "pruned"
    report = prune(folder, out, method, sparsity)
    reloaded = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    fraction = Sparsity.parse(sparsity).fraction
    weights = dict(reloaded.named_parameters())
    for matrix, said in report.select("matrix", "achieved_sparsity").iter_rows():
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
    prune(folder, tmp_path / "out", dtype=compute)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert {parameter.dtype for parameter in reloaded.parameters()} == {dtype}
    zeros = reloaded.model.layers[2].mlp.down_proj.weight == 0
    assert float(zeros.float().mean()) == pytest.approx(0.5, abs=1e-3)


def test_companion_files_are_kept_byte_by_byte(dense: Path, tmp_path: Path) -> None:
    prune(dense, tmp_path / "out")
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (dense / name).read_bytes()
    modes = {path.stat().st_mode for path in (tmp_path / "out").iterdir()}
    assert len(modes) == 1  # whoever may read the config may read the weights
    assert not (tmp_path / "out" / "README.md").exists()
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {
        path.name for path in (tmp_path / "out").glob("*.safetensors")
    }
    assert index["metadata"]["total_size"] == sum(
        tensor.nbytes for tensor in load_file(dense / "model.safetensors").values()
    )


def test_pruning_twice_gives_the_same_bytes(dense: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prune(dense, tmp_path / name)
    for path in (tmp_path / "one").glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_an_older_checkpoint_is_replaced_whole(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prune(dense, out, "magnitude", "50")
    (out / "left-over.txt").write_text("old")
    with pytest.raises(PruningError, match=r"out holds another pruned checkpoint.*--overwrite"):
        prune(dense, out, "magnitude", "70")
    assert (out / "left-over.txt").exists()
    report = prune(dense, out, "magnitude", "70", overwrite=True)
    assert report["achieved_sparsity"].mean() == pytest.approx(0.7, abs=1e-3)
    assert not (out / "left-over.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dense", "out"]


def test_a_failure_leaves_the_older_checkpoint(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    before = prune(dense, out)

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(tables, "write", full_disk)
        with pytest.raises(OSError, match="no space left"):
            prune(dense, out, sparsity="70", overwrite=True)
    assert tables.read(out / "pruning.parquet", tables.PruningReport).equals(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.partial", "dense", "out"]
    again = prune(dense, out, sparsity="70", overwrite=True)
    assert again["achieved_sparsity"].mean() == pytest.approx(0.7, abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dense", "out"]


def test_a_finished_checkpoint_is_not_pruned_again(dense: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prune(dense, out, "magnitude")
    made = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(prune(dense, out, "magnitude")) == 3 * 7
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == made
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dense", "out"]


def test_what_stays_dense_is_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prune(save(tiny("mixtral"), tmp_path / "dense"), out, "magnitude")
    assert read_summary(out).dense == ["the routers of its experts (mlp.gate)"]


def test_float_token_ids_are_refused(dense: Path, tmp_path: Path) -> None:
    file = tmp_path / "set.parquet"
    pl.DataFrame({"token_ids": [[5.0, 6.0], [7.0]]}).write_parquet(file)
    with pytest.raises(
        TableError, match=r"set\.parquet: the column 'token_ids' holds List\(Float64"
    ):
        tables.read(file, tables.TokenSequences, cast=True)
    with pytest.raises(
        PruningError, match=r"calibration sequence 0 holds 5\.0, which is no token id"
    ):
        prune(dense, tmp_path / "out", sequences=[[5.0, 6.0]])  # type: ignore[list-item]


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
        prune(dense, tmp_path / "out", "wanda", sequences=sequences)
    assert [path.name for path in tmp_path.iterdir()] == ["dense"]


def test_held_back_text_of_another_model_is_refused(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match="held-back sequence 0 holds the token id 96"):
        prune(dense, tmp_path / "out", held_back=[[1, VOCABULARY]])


def test_a_disk_that_is_too_small_is_told_before_anything_is_computed(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(PruningError, match=r"no room for the pruned model: .* MB are needed, 0 MB"):
        prune(dense, tmp_path / "out")
    weights = (dense / "model.safetensors").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=weights + 1000))
    with pytest.raises(PruningError, match="no room for the pruned model"):
        prune(dense, tmp_path / "out", cap_mb=0)  # nor for the hidden states beside it
    with pytest.raises(PruningError, match=r"nowhere, for the hidden states, is no folder"):
        prune(dense, tmp_path / "out", spill=tmp_path / "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["dense"]


def test_a_matrix_that_fails_late_leaves_the_blocks_before_it(tmp_path: Path) -> None:
    model = tiny("qwen2")
    with torch.no_grad():
        model.model.layers[2].post_attention_layernorm.weight[3] = float("nan")
    folder = save(model, tmp_path / "dense")
    with pytest.raises(PruningError, match=r"layers\.2\.mlp\.gate_proj holds NaN or Inf"):
        prune(folder, tmp_path / "out")
    kept = {path.name for path in (tmp_path / ".out.partial").glob("block-*")}
    assert kept == {"block-00000.json", "block-00001.json"}


def test_the_summary_tells_how_it_was_made_and_what_came_out(dense: Path, tmp_path: Path) -> None:
    held_back = token_sequences((30, 17), seed=5)
    seen: list[set[str]] = []
    prune(
        dense,
        tmp_path / "out",
        held_back=held_back,
        spec='{"asked": "for"}',
        before_it_appears=lambda folder: seen.append({path.name for path in folder.iterdir()}),
    )
    summary = read_summary(tmp_path / "out")
    assert summary.spec == {"asked": "for"}
    assert summary.recipe["method"] == "sparsegpt"
    assert (summary.sparsity, summary.device) == ("50", "cpu")
    assert summary.perplexity is not None
    assert summary.perplexity.tokens == 45
    with torch.no_grad():
        reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
        ids = [torch.tensor([one]) for one in held_back]
        losses = [reloaded(input_ids=one, labels=one).loss * (one.numel() - 1) for one in ids]
    expected = float(torch.stack(losses).sum().div(45).exp())
    assert summary.perplexity.pruned == pytest.approx(expected, rel=1e-4)
    blocks = tables.read(tmp_path / "out" / "blocks.parquet", tables.BlockReport)
    assert blocks["block"].to_list() == [0, 1, 2]
    assert blocks["relative_error"].is_between(1e-4, 1).all()
    assert (blocks["peak_mb"] > 1).all()
    assert {"pruning.json", "blocks.parquet", "tokenizer.json"} <= seen[0]  # before it has a name


def test_unusable_model_folders_are_named(dense: Path, tmp_path: Path) -> None:
    (dense / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match="dense has no tokenizer"):
        prune(dense, tmp_path / "out")
    (tmp_path / "tokenizer.json").rename(dense / "tokenizer.json")
    (dense / "model.safetensors").write_bytes(b"truncated")
    with pytest.raises(ModelError, match=r"dense/model\.safetensors is not a whole"):
        prune(dense, tmp_path / "out")
    (dense / "config.json").unlink()
    with pytest.raises(ModelError, match=r"dense has no config\.json"):
        prune(dense, tmp_path / "out")


def test_unknown_names_are_told(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match=r"'sparsgpt'.*magnitude.*sparsegpt.*wanda"):
        prune(dense, tmp_path / "out", "sparsgpt")
    with pytest.raises(ModelError, match="dtype 'int8'"):
        prune(dense, tmp_path / "out", "magnitude", sequences=[], dtype="int8")
    with pytest.raises(ModelError, match="device 'gpu'"):
        prune(dense, tmp_path / "out", "magnitude", sequences=[], device="gpu")
    with pytest.raises(ModelError, match="device 'meta' cannot be computed on"):
        prune(dense, tmp_path / "out", "magnitude", sequences=[], device="meta")


def test_a_pattern_that_does_not_fit_names_the_matrix(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(PruningError, match=r"model\.layers\.0\.self_attn\.q_proj: 32 columns"):
        prune(dense, tmp_path / "out", sparsity="2:5")


@pytest.mark.parametrize(
    ("mistaken", "message"),
    [
        ({"sparsity": "2:5"}, "32 columns do not divide"),
        ({"recipe": Recipe(method="wanda", allocation="owlz")}, "unknown allocation 'owlz'"),
        ({"recipe": Recipe(method="wanda", allocation="owl"), "sparsity": "2:4"}, "pattern 2-4"),
        ({"recipe": Recipe(method="magnitude", allocation="owl"), "sequences": []}, "got none"),
        (
            {
                "recipe": Recipe(method="magnitude", objective=Objective(target="dense-output")),
                "sequences": [],
            },
            "dense-output needs calibration",
        ),
    ],
)
def test_a_recipe_that_cannot_be_leaves_earlier_work(
    mistaken: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = tiny("qwen2")
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight[3, 4] = float("nan")
    folder = save(model, tmp_path / "dense")
    with pytest.raises(PruningError, match=r"weight of model\.layers\.2\.mlp\.up_proj holds NaN"):
        prune(folder, tmp_path / "out")
    before = sorted((tmp_path / ".out.partial").rglob("*"))
    with pytest.raises(SsgrError, match=message):
        prune(folder, tmp_path / "out", **mistaken)
    assert sorted((tmp_path / ".out.partial").rglob("*")) == before
