"""Archives: what is unpacked is, bit by bit, what was packed; and it is smaller."""

import filecmp
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from pruned_checkpoint import prune
from ssgr.__main__ import main
from ssgr.errors import ModelError, SsgrError
from ssgr.pruning.output.tensor_file import Kind, TensorFile, bits
from ssgr.publish.archive import PACKED_CONFIG, Sizes, compress, decompress, pack, unpack
from tiny_decoders import save, tiny

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn]


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return Kind.of(one) == Kind.of(other) and torch.equal(bits(one), bits(other))


def odd_values(rows: int, columns: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Any bits at all (NaN payloads, infinities, subnormals, -0.0) between many zeros."""
    generator = np.random.default_rng(seed)
    raw = generator.integers(0, 256, rows * columns * dtype.itemsize, dtype=np.uint8)
    weight = torch.from_numpy(raw).view(dtype).reshape(rows, columns).clone()
    integers = bits(weight)
    integers[torch.from_numpy(generator.random(rows * columns) < 0.6)] = 0
    integers[:: max(1, len(integers) // 5)] = bits(torch.tensor([-0.0]).to(dtype))
    return weight


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (8, 8), (5, 64), (16, 129)], ids=str)
def test_any_bits_come_back(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    weight = odd_values(*shape, dtype)
    parts = compress(weight)
    assert same_bits(decompress(parts), weight)
    count = int(bits(weight).count_nonzero())
    assert parts[".compressed"].shape == (count,)
    assert parts[".bitmask"].shape == (shape[0], math.ceil(shape[1] / 8))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_parts_are_those_of_the_format(rows: int, columns: int, seed: int) -> None:
    """As compressed-tensors describes them, spelled out weight by weight."""
    weight = odd_values(rows, columns, torch.float32, seed)
    parts = compress(weight)
    values, offset = [], 0
    for row in range(rows):
        assert int(parts[".row_offsets"][row]) == offset
        for column in range(columns):
            stored = int(bits(weight[row, column].reshape(1))[0])
            flag = int(parts[".bitmask"][row, column // 8]) >> (column % 8) & 1
            assert flag == (stored != 0)
            if stored:
                values.append(stored)
                offset += 1
    assert bits(parts[".compressed"]).tolist() == values
    assert parts[".shape"].tolist() == [rows, columns]
    assert parts[".row_offsets"].dtype == parts[".shape"].dtype == torch.int64
    assert parts[".bitmask"].dtype == torch.uint8


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def checkpoint(
    abacus: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    return prune(abacus, tmp_path_factory.mktemp("dense") / "pruned", dtype=request.param)


@pytest.fixture(scope="module")
def packed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sizes]:
    archive = tmp_path_factory.mktemp("packed") / "archive"
    return archive, pack(checkpoint, archive)


@pytest.fixture
def archive(packed: tuple[Path, Sizes], tmp_path: Path) -> Path:
    """One that a test may damage."""
    return Path(shutil.copytree(packed[0], tmp_path / "archive"))


def test_a_whole_folder_comes_back_byte_by_byte(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, back = tmp_path / "archive", tmp_path / "deep" / "back"
    assert main(["archive", "pack", str(checkpoint), str(archive)]) == 0
    assert "28 matrices packed" in capsys.readouterr().out
    assert main(["archive", "unpack", str(archive), str(back)]) == 0
    assert files(back) == files(checkpoint)
    assert filecmp.cmpfiles(checkpoint, back, files(back), shallow=False)[1:] == ([], [])
    assert files(archive) == files(checkpoint) - {"config.json"} | {PACKED_CONFIG}
    assert files(tmp_path) == {"archive", "deep"}
    assert main(["archive", "unpack", str(back), str(tmp_path / "x")]) == 1
    assert "no archive" in capsys.readouterr().err


def test_half_of_the_weights_takes_little_more_than_half(
    checkpoint: Path, packed: tuple[Path, Sizes]
) -> None:
    """A value and a bit a weight: 1/2 + 1/32 of the pruned matrices in fp32, 1/2 + 1/16 in bf16."""
    archive, sizes = packed
    tensors = load_file(checkpoint / "model.safetensors")
    pruned = [tensor for name, tensor in tensors.items() if ".layers." in name and tensor.ndim == 2]
    numel = sum(tensor.numel() for tensor in pruned)
    rows = sum(len(tensor) for tensor in pruned)
    saved = numel * pruned[0].element_size() / 2 - numel / 8 - 8 * rows - 16 * len(pruned)
    assert sizes.dense == sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    assert (sizes.dense - sizes.packed, sizes.matrices) == (saved, 28)
    stored = (archive / "model.safetensors").stat().st_size
    assert sizes.packed < stored < sizes.packed + 20_000  # and a header


@pytest.mark.parametrize("architecture", ["llama", "qwen3_moe", "mixtral"])
def test_shards_and_experts_come_back(architecture: str, tmp_path: Path) -> None:
    model = tiny(architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[torch.rand_like(parameter) < 0.7] = 0
    dense = save(model.to(torch.bfloat16), tmp_path / "dense", max_shard_size="40KB")
    assert len(list(dense.glob("*.safetensors"))) >= 2
    pack(dense, tmp_path / "archive")
    index = json.loads((tmp_path / "archive/model.safetensors.index.json").read_text())
    for name, file in index["weight_map"].items():
        with safe_open(tmp_path / "archive" / file, framework="pt") as shard:
            assert name in shard.keys()  # noqa: SIM118
    unpack(tmp_path / "archive", tmp_path / "back")
    assert files(tmp_path / "back") == files(dense)
    place = "model.safetensors.index.json"
    indices = [json.loads((folder / place).read_text()) for folder in (dense, tmp_path / "back")]
    assert indices[0]["weight_map"] == indices[1]["weight_map"]
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "back", dtype="auto")
    reference = AutoModelForCausalLM.from_pretrained(dense, dtype="auto").state_dict()
    assert all(same_bits(tensor, reference[name]) for name, tensor in again.state_dict().items())


def test_what_would_not_get_smaller_stays_as_it_is(tmp_path: Path) -> None:
    dense = save(tiny("qwen2"), tmp_path / "dense")
    sizes = pack(dense, tmp_path / "archive")
    assert (sizes.matrices, sizes.packed) == (0, sizes.dense)
    unpack(tmp_path / "archive", tmp_path / "back")
    name = "model.safetensors"
    assert filecmp.cmp(dense / name, tmp_path / "back" / name, shallow=False)


def test_no_loader_takes_an_archive_for_a_model(archive: Path) -> None:
    """It would fill the matrices that it does not find with random numbers."""
    with pytest.raises((OSError, ValueError)):
        AutoModelForCausalLM.from_pretrained(archive)


def test_what_compressed_tensors_wrote_is_read_too(
    checkpoint: Path, archive: Path, tmp_path: Path
) -> None:
    """Its folders differ in that the config has its usual name."""
    (archive / PACKED_CONFIG).rename(archive / "config.json")
    unpack(archive, tmp_path / "back")
    for name in ("config.json", "model.safetensors"):
        assert filecmp.cmp(checkpoint / name, tmp_path / "back" / name, shallow=False)


def test_the_config_is_as_compressed_tensors_writes_it(archive: Path) -> None:
    said = json.loads((archive / PACKED_CONFIG).read_text())["quantization_config"]
    assert said["quant_method"] == "compressed-tensors"
    assert said["sparsity_config"]["format"] == "sparse-bitmask"
    assert said["sparsity_config"]["global_sparsity"] == pytest.approx(0.5)
    assert {"lm_head", "model.embed_tokens"} <= {*said["sparsity_config"]["ignore"]}
    assert not [name for name in said["sparsity_config"]["ignore"] if "_proj" in name]


@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("compressed", torch.ones(3)),
        ("bitmask", torch.full((192, 64), 255, dtype=torch.uint8)),
        ("shape", torch.tensor([192, 511])),
        ("bitmask", None),
        ("shape", None),
    ],
)
def test_a_damaged_archive_is_named(
    archive: Path, tmp_path: Path, part: str, tensor: torch.Tensor | None
) -> None:
    tensors = load_file(archive / "model.safetensors")
    name = f"model.layers.2.mlp.down_proj.{part}"
    del tensors[name]
    if tensor is not None:
        tensors[name] = tensor
    save_file(tensors, archive / "model.safetensors")
    with pytest.raises(ModelError, match=r"model\.layers\.2\.mlp\.down_proj"):
        unpack(archive, tmp_path / "back")
    assert files(tmp_path) == {"archive"}


def test_a_truncated_file_is_named(archive: Path, tmp_path: Path) -> None:
    weights = archive / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        unpack(archive, tmp_path / "back")
    assert files(tmp_path) == {"archive"}


def test_what_is_no_archive_or_one_already_is_refused(
    checkpoint: Path, archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="archive already"):
        pack(archive, tmp_path / "twice")
    with pytest.raises(ModelError, match="no archive"):
        unpack(checkpoint, tmp_path / "back")
    with pytest.raises(SsgrError, match="exists"):
        pack(checkpoint, archive)
    quantised = Path(shutil.copytree(checkpoint, tmp_path / "quantised"))
    config = json.loads((quantised / "config.json").read_text())
    (quantised / "config.json").write_text(json.dumps(config | {"quantization_config": {}}))
    with pytest.raises(ModelError, match="quantised"):
        pack(quantised, tmp_path / "other")
    assert files(tmp_path) == {"archive", "quantised"}


def test_a_tensor_file_is_what_the_library_writes(tmp_path: Path) -> None:
    tensors = {
        "b": torch.arange(5, dtype=torch.uint8), "a": torch.randn(3, 3), "c": torch.tensor(7),
        "e": torch.randn(0, 4), "d": torch.randn(2, 5).to(torch.bfloat16),
    }  # fmt: skip
    save_file(tensors, tmp_path / "library", metadata={"format": "pt"})
    kinds = {name: Kind.of(tensor) for name, tensor in tensors.items()}
    with TensorFile(tmp_path / "ours", kinds, {"format": "pt"}) as file:
        for name in reversed(tensors):
            file.write(name, tensors[name])
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "library").read_bytes()


def test_a_tensor_file_takes_what_was_announced_and_all_of_it(tmp_path: Path) -> None:
    kinds = {"a": Kind(torch.float32, (2,)), "b": Kind(torch.float32, (1,))}
    for size, message in ((3, "a is"), (2, "lacks")):
        with (
            pytest.raises(ValueError, match=message),
            TensorFile(tmp_path / "file", kinds, {}) as file,
        ):
            file.write("a", torch.zeros(size))
