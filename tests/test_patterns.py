"""Whether a checkpoint has the zeros that it claims; and torch's 2:4 kernels, if there are any."""

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pruned_checkpoint import prune
from ssgr.__main__ import main
from ssgr.config import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ModelError, PruningError, TableError
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.output import patterns
from ssgr.pruning.output.patterns import check, semi_structured, to_semi_structured, wrong_groups
from ssgr.pruning.output.summary import MATRICES
from ssgr.storage import tables
from tiny_decoders import save, tiny

DOWN = "model.layers.2.mlp.down_proj"


@pytest.fixture(scope="module")
def checkpoints(abacus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pruned")
    made = [("50", torch.float32), ("62.5", torch.float16), ("2-4", torch.bfloat16)]
    return {key: prune(abacus, root / key, key, dtype) for key, dtype in made}


def change(folder: Path, name: str, **places: float) -> None:
    """Set single weights of a checkpoint: ``r0_c1=2.0``."""
    tensors = load_file(folder / "model.safetensors")
    for place, value in places.items():
        row, column = (int(digits) for digits in re.findall(r"\d+", place))
        tensors[f"{name}.weight"][row, column] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def counted(weight: torch.Tensor, zeros: int, group: int) -> int:
    """Wrong groups, one by one."""
    wrong = 0
    for row in weight.tolist():
        for start in range(0, len(row), group):
            wrong += sum(value == 0 for value in row[start : start + group]) < zeros
    return wrong


@pytest.mark.parametrize("key", ["2:4", "4:8", "1:4", "3:4", "1:2"])
def test_wrong_groups_are_those_counted_one_by_one(key: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 32) * (torch.rand(6, 32) < 0.5)
    weight[0, 0] = -0.0
    pattern = Sparsity.parse(key)
    assert pattern.zeros is not None and pattern.group is not None
    assert wrong_groups(weight, pattern) == counted(weight, pattern.zeros, pattern.group) > 0


@pytest.mark.parametrize("key", ["50", "62.5", "2-4"])
def test_a_checkpoint_is_what_it_claims(checkpoints: dict[str, Path], key: str) -> None:
    found = check(checkpoints[key], Sparsity.parse(key))
    report = pl.read_parquet(checkpoints[key] / MATRICES)
    assert (
        found.select("block", "matrix")
        .sort("matrix")
        .equals(report.select("block", "matrix").sort("matrix"))
    )
    assert found["wrong"].sum() == 0
    tensors = load_file(checkpoints[key] / "model.safetensors")
    for name, share in found.select("matrix", "found").iter_rows():
        weight = tensors[f"{name}.weight"]
        assert share == pytest.approx(float((weight == 0).double().mean()), abs=1e-12)


def test_one_weight_in_the_wrong_place_is_found(abacus: Path, tmp_path: Path) -> None:
    folder = prune(abacus, tmp_path / "pruned", "2-4")
    weight = load_file(folder / "model.safetensors")[f"{DOWN}.weight"]
    column = int((weight[7] == 0).nonzero()[0])
    change(folder, DOWN, **{f"r7_c{column}": 1e-20})
    found = check(folder, Sparsity.parse("2:4")).filter(pl.col("wrong") > 0)
    assert found.select("block", "matrix", "wrong").rows() == [(2, DOWN, 1)]
    lost = check(folder, Sparsity.parse("50")).filter(pl.col("wrong") > 0)
    assert lost.select("matrix", "wrong").rows() == [(DOWN, 1)]


def test_more_zeros_than_claimed_are_no_mistake(abacus: Path, tmp_path: Path) -> None:
    folder = prune(abacus, tmp_path / "pruned", "2-4")
    change(folder, DOWN, r0_c0=0.0, r0_c1=0.0, r0_c2=0.0, r0_c3=-0.0)
    for key in ("2:4", "50"):
        assert check(folder, Sparsity.parse(key))["wrong"].sum() == 0


def test_a_matrix_or_block_that_is_not_there_is_named(abacus: Path, tmp_path: Path) -> None:
    folder = prune(abacus, tmp_path / "pruned")
    report = tables.read(folder / MATRICES, tables.PruningReport)
    for column, value, said in [
        ("matrix", "model.layers.0.mlp.gone_proj", "gone_proj"),
        ("block", 9, "names block 9"),
    ]:
        changed = report.head(1).with_columns(pl.lit(value).alias(column))
        tables.write(changed, tables.PruningReport, folder / MATRICES)
        with pytest.raises(ModelError, match=said):
            check(folder, Sparsity.parse("50"))
    (folder / MATRICES).unlink()
    with pytest.raises(TableError, match=MATRICES):
        check(folder, Sparsity.parse("50"))


def test_the_command_names_what_is_wrong(
    abacus: Path, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(checkpoints["2-4"])]) == 0
    assert "all 28 matrices have 2:4" in capsys.readouterr().out
    assert main(["check", str(checkpoints["50"])]) == 0
    assert "all 28 matrices have the zeros of its report" in capsys.readouterr().out
    assert main(["check", str(checkpoints["50"]), "--pattern", "2:4"]) == 1
    told = capsys.readouterr().err
    assert "28 of 28 matrices" in told
    assert "… and 8 more" in told
    folder = prune(abacus, tmp_path / "pruned", "4-8")
    weight = load_file(folder / "model.safetensors")[f"{DOWN}.weight"]
    places = {f"r3_c{int(c)}": 1.0 for c in (weight[3] == 0).nonzero()[:9]}
    change(folder, DOWN, **places)
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr().err
    assert "1 of 28 matrices" in told
    assert re.search(rf"{DOWN} +49\.99\d\d% +[23]\n", told)
    assert main(["check", str(tmp_path)]) == 1
    assert "pruning.json" in capsys.readouterr().err
    assert main(["check", str(folder), "--pattern", "4:2"]) == 1
    assert "N:M needs 0 < N < M" in capsys.readouterr().err


def test_all_checkpoints_of_a_run_are_checked_and_a_broken_one_says_what_to_do(
    checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [tmp_path / "results/checkpoints/pruner=x" / f"sparsity={key}" for key in checkpoints]
    for place, made in zip(places, checkpoints.values(), strict=True):
        shutil.copytree(made, place)
    assert main(["check", str(tmp_path / "results")]) == 0
    assert capsys.readouterr().out.count("all 28 matrices have") == 3
    for path in places[0].glob("*.safetensors"):
        path.unlink()
    (places[2] / MATRICES).unlink()
    assert main(["check", str(tmp_path / "results")]) == 1
    said = capsys.readouterr()
    assert said.out.count("all 28 matrices have") == 1
    assert f"{places[0]} has lost its weights: delete the folder" in said.err
    assert f"{places[2] / MATRICES} does not exist" in said.err


def model_24(dtype: torch.dtype) -> nn.Module:
    model = nn.ModuleDict({"a": nn.Linear(64, 32), "b": nn.Linear(64, 32)}).to(dtype)
    with torch.no_grad():
        for at in (0, 3):
            model["a"].weight.view(32, 16, 4)[..., at] = 0  # type: ignore[operator]
    return model


def test_without_a_gpu_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PruningError, match="NVIDIA GPU"):
        to_semi_structured(model_24(torch.float16))


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
    reason="no GPU with semi-structured kernels",
)
def test_a_24_model_answers_the_same_through_the_kernels() -> None:
    model = model_24(torch.float16).cuda()
    inputs = torch.randn(64, 64, dtype=torch.float16, device="cuda")
    before = model["a"](inputs)  # type: ignore[index]
    assert to_semi_structured(model) == ["a"]
    torch.testing.assert_close(model["a"](inputs), before, rtol=1e-2, atol=1e-2)  # type: ignore[index]


def pretend(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")


def test_an_old_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (7, 5))
    with pytest.raises(PruningError, match=r"Old GPU .*\(7, 5\).*8\.0"):
        to_semi_structured(model_24(torch.float16))


def test_a_shape_that_torch_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it refuses the CPU: the error is torch's own, with the matrix's name."""
    pretend(monkeypatch, (8, 0))
    with pytest.raises(PruningError, match=r"no 2:4 kernel for a: .*"):
        to_semi_structured(model_24(torch.float16))


def test_only_24_linears_get_another_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, (9, 0))
    seen: list[Any] = []

    def packed(weight: torch.Tensor) -> torch.Tensor:
        seen.append(weight)
        return weight.clone()

    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", packed)
    model = model_24(torch.bfloat16)
    assert to_semi_structured(model) == ["a"]
    assert len(seen) == 1
    assert not model["a"].weight.requires_grad  # type: ignore[index]


def test_what_is_not_24_or_not_in_half_precision_is_refused() -> None:
    with pytest.raises(PruningError, match="no linear of this model is 2:4"):
        semi_structured(nn.Linear(64, 32))
    with pytest.raises(PruningError, match="float32"):
        semi_structured(model_24(torch.float32))
    assert semi_structured(model_24(torch.bfloat16)) == ["a"]
    assert patterns.KERNEL.key == "2-4"


@pytest.mark.parametrize("architecture", ["mixtral", "qwen3_moe", "gemma3"])
def test_experts_are_found_under_the_names_of_the_report(architecture: str, tmp_path: Path) -> None:
    """By the pruning engine itself, whatever the files call them."""
    dense = save(tiny(architecture).to(torch.bfloat16), tmp_path / "dense")
    prune_checkpoint(
        dense,
        tmp_path / "pruned",
        calibration=[],
        recipe=Recipe(method="magnitude"),
        sparsity=Sparsity.parse("2:4"),
    )
    found = check(tmp_path / "pruned", Sparsity.parse("2:4"))
    assert found["wrong"].sum() == 0
    assert found["found"].min() >= 0.5  # type: ignore[operator]
    of_experts = [name for name in found["matrix"] if ".experts." in name]
    assert bool(of_experts) == (architecture != "gemma3")
