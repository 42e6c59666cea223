"""Pruners x allocations x sparsities on one model: output error, perplexity and seconds.

    python tests/benchmarks/pruning_table.py MODEL [--pruners sparsegpt alps] [--sparsities 50 2:4]
        [--allocations uniform evopress] [--calibration FILE --held-back FILE]

Without files, calibration and held-back text are the Python documentation. A combination that does
not exist (N:M with an uneven allocation) is left out. pass@1 is measured by the pipeline itself:
config/pruners.yaml and config/allocations.yaml.
"""

import argparse
import gzip
import json
import os
import resource
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
from transformers import AutoTokenizer

from ssgr.config import Recipe
from ssgr.pruning import pruner_names
from ssgr.pruning.allocation import allocation_names
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.summary import read_summary
from ssgr.sparsity import Sparsity

PROSE = Path(__file__).parents[2] / "resources" / "abacus" / "prose.jsonl.gz"
Ids = list[list[int]]


def texts(args: argparse.Namespace) -> tuple[Ids, Ids]:
    """Calibration and held-back sequences."""
    if args.calibration:
        files = (args.calibration, args.held_back)
        calibration, held_back = (pl.read_parquet(file)["token_ids"].to_list() for file in files)
        return calibration, held_back
    with gzip.open(PROSE, "rt") as file:
        whole = "\n\n".join(json.loads(line)["text"] for line in file)
    ids = AutoTokenizer.from_pretrained(args.model)(whole)["input_ids"]
    rows = [ids[at : at + args.tokens] for at in range(0, len(ids) - args.tokens, args.tokens)]
    return rows[0 : 2 * args.sequences : 2], rows[1:16:2]


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(
    model: Path, calibration: Ids, held_back: Ids, recipe: Recipe, sparsity: str
) -> dict[str, object]:
    """Prune once; a row of the table."""
    began = cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "pruned")
        matrices = prune_checkpoint(
            model,
            out,
            calibration=[CalibrationSequence(ids) for ids in calibration],
            held_back=held_back,
            recipe=recipe,
            sparsity=Sparsity.parse(sparsity),
            device="cpu",
        )
        perplexity = read_summary(out).perplexity
    assert perplexity is not None
    return {
        "sparsity": sparsity,
        "pruner": recipe.method,
        "allocation": recipe.allocation,
        "error": matrices["relative_error"].mean(),
        "perplexity": perplexity.pruned,
        "dense": perplexity.dense,
        "cpu_s": cpu_seconds() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pruners", nargs="+", default=pruner_names())
    parser.add_argument("--allocations", nargs="+", default=allocation_names())
    parser.add_argument("--sparsities", nargs="+", default=["50", "60", "70", "2:4", "4:8"])
    parser.add_argument("--iterations", type=int, default=Recipe.model_fields["iterations"].default)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--held-back", type=Path)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512)
    args = parser.parse_args()
    calibration, held_back = texts(args)
    rows = []
    for sparsity in args.sparsities:
        for pruner in args.pruners:
            for allocation in args.allocations:
                if ":" in sparsity and allocation != "uniform":
                    continue
                recipe = Recipe(method=pruner, allocation=allocation, iterations=args.iterations)
                rows.append(measure(args.model, calibration, held_back, recipe, sparsity))
                print(json.dumps(rows[-1]), flush=True)
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=140, float_precision=4):
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
