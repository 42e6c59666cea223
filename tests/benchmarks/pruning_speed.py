"""CPU seconds of pruning a model, beside what its arithmetic alone would take on this machine.

    OMP_NUM_THREADS=1 python tests/benchmarks/pruning_speed.py FOLDER [sparsegpt wanda ...]

Prunes FOLDER (such as models/smollm2, by `snakemake smollm2`) to 50 % on 16 sequences of 512
tokens of Python's documentation, and measures the output errors' mean. The arithmetic is counted
from the shapes, and priced at the rate of a 4096^3 product timed before and after: seconds differ
between machines, the ratio hardly does. With --profile the operators that take most are listed.
"""

import argparse
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from pydoc_data import topics
from statistics import fmean

import polars as pl
import torch
from transformers import AutoTokenizer

from ssgr.config import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.model.decoder import Decoder
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.summary import BLOCKS
from ssgr.pruning.peak import peak_mb

SEQUENCES, TOKENS = 16, 512
RESET = Path("/proc/self/clear_refs")  # lets the process's peak begin anew (Linux)
# linears that stand for their input; the others share it
DISTINCT = ("q_proj", "o_proj", "gate_proj", "down_proj")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("methods", nargs="*", default=["sparsegpt", "wanda"])
    asked.add_argument("--dtype", default="float32")
    asked.add_argument("--profile", action="store_true")
    given = asked.parse_args()
    calibration = sequences(given.folder)
    for method in given.methods:
        before = matrix_rate()
        seconds, error, peak = prune(given.folder, method, calibration, given.dtype, given.profile)
        rate = (before + matrix_rate()) / 2
        work = arithmetic(given.folder, method)
        print(
            f"{method}: {seconds:.1f} CPU s, mean output error {error:.4f}, "
            f"peak {peak:.0f} MB over the start; "
            f"{work / 1e12:.2f} TFLOP at {rate / 1e9:.0f} GFLOP/s would take {work / rate:.1f} s: "
            f"{seconds * rate / work:.2f} x the arithmetic"
        )


def sequences(folder: Path) -> list[CalibrationSequence]:
    """The documentation of Python's language, in order, cut to pieces."""
    text = "\n\n".join(topics.topics.values())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text[: 8 * SEQUENCES * TOKENS], verbose=False)["input_ids"]
    return [CalibrationSequence(ids[at * TOKENS : (at + 1) * TOKENS]) for at in range(SEQUENCES)]


def prune(
    folder: Path, method: str, calibration: list[CalibrationSequence], dtype: str, profile: bool
) -> tuple[float, float, float]:
    """CPU seconds of the whole, mean output error, and peak memory (MB) over what was there."""
    with tempfile.TemporaryDirectory() as place:
        RESET.write_text("5")
        before = peak_mb(torch.device("cpu"))
        began = time.process_time()
        with torch.profiler.profile(record_shapes=True) if profile else nullcontext() as profiler:
            report = prune_checkpoint(
                folder,
                Path(place) / "pruned",
                calibration=calibration,
                recipe=Recipe(method=method),
                sparsity=Sparsity.parse("50"),
                device="cpu",
                dtype=dtype,
            )
        seconds = time.process_time() - began
        if profiler is not None:
            averages = profiler.key_averages(group_by_input_shape=True)
            print(averages.table("self_cpu_time_total", row_limit=40, max_name_column_width=40))
        blocks = pl.read_parquet(Path(place) / "pruned" / BLOCKS)
    return (
        seconds,
        fmean(report["relative_error"].to_list()),
        max(blocks["peak_mb"].to_list()) - before,
    )


def matrix_rate(size: int = 4096) -> float:
    """Floating-point operations a CPU second of one large product."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    began = time.process_time()
    left @ right
    return 2 * size**3 / (time.process_time() - began)


def arithmetic(folder: Path, method: str) -> float:
    """Operations of two forward passes, Gram matrices, their inverses and the columns' updates.

    The first pass stops at the input of the last matrix of a block, the second has no last block.
    """
    decoder = Decoder.open(folder, device=torch.device("cpu"))
    tokens = SEQUENCES * TOKENS
    total = 0.0
    for shape in decoder.shapes():
        size = shape.rows * shape.columns
        passes = (shape.name != "mlp.down_proj") + (shape.block + 1 < decoder.depth)
        total += 2 * tokens * size * passes
        if shape.name == "self_attn.q_proj":
            total += 4 * tokens * TOKENS * shape.rows * (1 + (shape.block + 1 < decoder.depth))
        if method != "wanda":
            total += size * shape.columns
            if shape.name.rpartition(".")[2] in DISTINCT:
                total += tokens * shape.columns**2 + 4 / 3 * shape.columns**3
    return total


if __name__ == "__main__":
    main()
