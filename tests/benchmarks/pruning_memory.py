"""Peak memory of pruning against depth and against the length of a sequence.

    OMP_NUM_THREADS=1 python tests/benchmarks/pruning_memory.py [--width 512]

Random Llama models of one width with 4, 8, 16 and 32 blocks are pruned by SparseGPT on 8 sequences
of 1k tokens, and one of 4 blocks on a sequence of 1k, 2k, ... 16k, with no hidden state kept in
memory. Every row is a process of its own: what it had resident before it opened the model is taken
off the largest peak of its blocks. Depth should not matter, and length add a straight line.

glibc keeps freed pieces of up to 32 MB for later, which hides that line in models this small;
the processes are told to give back what is larger than 1 MB.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

VOCABULARY = 1024
RESET = Path("/proc/self/clear_refs")  # lets the process's peak begin anew (Linux)
DEPTHS = (4, 8, 16, 32)
LENGTHS = (1024, 2048, 4096, 8192, 16384)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--width", type=int, default=512)
    asked.add_argument("--one", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.one:
        print(json.dumps(measure(**json.loads(given.one))))
        return
    print("| blocks | sequences x tokens | weights MB | one block MB | peak over before, MB |")
    print("|---|---|---|---|---|")
    runs = [(depth, 8, 1024) for depth in DEPTHS] + [(4, 1, length) for length in LENGTHS]
    for depth, sequences, tokens in runs:
        what = {"width": given.width, "depth": depth, "sequences": sequences, "tokens": tokens}
        command = [sys.executable, __file__, "--one", json.dumps(what)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)},
        )
        model, block, peak = json.loads(done.stdout.splitlines()[-1])
        print(f"| {depth} | {sequences} x {tokens} | {model:.0f} | {block:.1f} | {peak:.0f} |")


def measure(width: int, depth: int, sequences: int, tokens: int) -> tuple[float, float, float]:
    """MB of the model, of one block, and of the peak beyond what is there before."""
    import polars as pl
    import torch

    from ssgr.config import Recipe
    from ssgr.config.sparsity import Sparsity
    from ssgr.pruning.checkpoint import prune_checkpoint
    from ssgr.pruning.objective import CalibrationSequence
    from ssgr.pruning.output.summary import BLOCKS
    from ssgr.pruning.peak import MB, peak_mb

    ids = torch.randint(3, VOCABULARY, (sequences, tokens)).tolist()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "dense"
        made = [sys.executable, "-c", MAKE, str(folder), str(width), str(depth), str(VOCABULARY)]
        subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
        prune_small(folder.parent)
        cpu = torch.device("cpu")
        RESET.write_text("5")
        before = peak_mb(cpu)
        prune_checkpoint(
            folder,
            Path(place) / "pruned",
            calibration=[CalibrationSequence(one) for one in ids],
            recipe=Recipe(method="sparsegpt"),
            sparsity=Sparsity.parse("50"),
            device="cpu",
            cap_mb=0,
        )
        blocks = pl.read_parquet(Path(place) / "pruned" / BLOCKS)
        size = (folder / "model.safetensors").stat().st_size / MB
        first = (Path(place) / "pruned").glob("model-00001-of-*")
        return size, next(first).stat().st_size / MB, max(blocks["peak_mb"].to_list()) - before


def prune_small(place: Path) -> None:
    """Prune a tiny model first: libraries take their memory on first use."""
    import torch

    from ssgr.config import Recipe
    from ssgr.config.sparsity import Sparsity
    from ssgr.pruning.checkpoint import prune_checkpoint
    from ssgr.pruning.objective import CalibrationSequence

    made = [sys.executable, "-c", MAKE, str(place / "small"), "128", "1", str(VOCABULARY)]
    subprocess.run(made, check=True, stderr=subprocess.DEVNULL)
    ids = torch.randint(3, VOCABULARY, (100,)).tolist()
    prune_checkpoint(
        place / "small",
        place / "small-pruned",
        calibration=[CalibrationSequence(ids)],
        recipe=Recipe(method="sparsegpt"),
        sparsity=Sparsity.parse("50"),
        device="cpu",
    )


MAKE = """
import sys
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
folder, width, depth, vocabulary = sys.argv[1], *map(int, sys.argv[2:])
config = LlamaConfig(
    vocab_size=vocabulary, hidden_size=width, intermediate_size=3 * width,
    num_hidden_layers=depth, num_attention_heads=width // 64, max_position_embeddings=32768,
)
LlamaForCausalLM(config).save_pretrained(folder)
(Path(folder) / "tokenizer.json").write_text("{}")
"""


if __name__ == "__main__":
    main()
