"""Pruners x allocations x sparsities on one model: output error, perplexity, pass@1 and seconds.

    python tests/benchmarks/pruning_table.py MODEL [--pruners sparsegpt alps] [--sparsities 50 2:4]
        [--allocations uniform evopress] [--calibration FILE --held-back FILE]
        [--settings '{"search": {"method": "sparsegpt"}}']
        [--entry abacus --ask easy medium --problems 100] [--rows FILE.jsonl]

Without files, calibration and held-back text are the Python documentation. A combination that does
not exist (N:M with an uneven allocation) is left out. --settings is `pruning` of the configuration
as JSON: a budget of searches, say. A search with another pruner (search.method) is made once for
all recipes that ask for it; each counts its seconds. With --ask, every checkpoint answers these
benchmarks of config/config.yaml, asked as its model --entry is. Rows that --rows holds are not
measured again. The pipeline compares pruners by config/pruners.yaml and config/allocations.yaml.
"""

import argparse
import gzip
import importlib
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import yaml
from transformers import AutoTokenizer

from ssgr.commands.grade import GradeCommand
from ssgr.commands.sample import SampleCommand
from ssgr.config import Config, Recipe
from ssgr.config.pruning import SEARCHES
from ssgr.config.sparsity import Sparsity
from ssgr.evaluation.per_problem import outcomes
from ssgr.evaluation.significance import average
from ssgr.jobs import grid
from ssgr.jobs.validation import load_config
from ssgr.problems import load
from ssgr.pruning import pruner_names
from ssgr.pruning.allocation import allocation_names
from ssgr.pruning.allocation.method import METHODS, Task
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.summary import read_summary
from ssgr.storage.tables import Grades, Problems, read, write

ROOT = Path(__file__).parents[2]
PROSE = ROOT / "resources" / "abacus" / "recipe" / "prose.jsonl.gz"
KEYS = ("sparsity", "pruner", "allocation")
Ids = list[list[int]]
Row = dict[str, object]


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


class Searches:
    """The allocations that were found, by what was asked, and their processor seconds."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[list[int], float]] = {}
        self.spared = 0.0  # seconds of searches that were asked for again

    def share(self, name: str) -> None:
        """Let a search that was made already stand for itself."""
        importlib.import_module(f"ssgr.pruning.allocation.{name}")
        search = METHODS[name]

        def once(task: Task) -> list[int]:
            asked = [name, task.sparsity, task.recipe.searched_by, task.recipe.search]
            if (key := str(asked)) not in self.found:
                began = cpu_seconds()
                zeros = search(task)
                self.found[key] = zeros, cpu_seconds() - began
            else:
                self.spared += self.found[key][1]
            return self.found[key][0]

        METHODS[name] = once


def prune(
    model: Path,
    out: Path,
    calibration: Ids,
    held_back: Ids,
    row: Row,
    settings: Row,
    seen: Searches,
) -> Row:
    """Prune once: error, perplexity and processor seconds."""
    chosen = {"method": row["pruner"], "allocation": row["allocation"]}
    recipe = Recipe.model_validate(settings | chosen)
    began = cpu_seconds() + seen.spared
    matrices = prune_checkpoint(
        model,
        out,
        calibration=[CalibrationSequence(ids) for ids in calibration],
        held_back=held_back,
        recipe=recipe,
        sparsity=Sparsity.parse(str(row["sparsity"])),
        device="cpu",
    )
    seconds = cpu_seconds() + seen.spared - began
    perplexity = read_summary(out).perplexity
    assert perplexity is not None
    error = matrices["relative_error"].mean()
    found: Row = {"error": error, "perplexity": perplexity.pruned, "dense": perplexity.dense}
    return found | {"cpu_s": seconds}


def answers(config: Config, args: argparse.Namespace, checkpoint: Path, folder: Path) -> Row:
    """pass@1 of a checkpoint, mean of the benchmarks asked, and its standard error."""
    entry, tables = config.models[args.entry], []
    for name in args.ask:
        benchmark = config.benchmarks[name]
        problems, responses, grades = (
            folder / f"{name}-{kind}.parquet" for kind in ("problems", "responses", "grades")
        )
        data = benchmark.data.model_copy(update={"count": args.problems})
        write(load(data)[0], Problems, problems, "")
        SampleCommand(
            problems=problems,
            model=benchmark.asked_of(entry.for_evaluation()),
            checkpoint=str(checkpoint),
            sampling=config.evaluation,
            out=responses,
        ).cli_cmd()
        judging = grid.judging(config, args.entry, benchmark)
        GradeCommand(responses=responses, problems=problems, judging=judging, out=grades).cli_cmd()
        tables.append(outcomes(read(grades, Grades), name))
    found = average(pl.concat(tables))
    return {"pass_at_1": found.value, "standard_error": found.standard_error}


def combinations(args: argparse.Namespace) -> list[Row]:
    return [
        dict(zip(KEYS, (sparsity, pruner, allocation), strict=True))
        for sparsity in args.sparsities
        for pruner in args.pruners
        for allocation in args.allocations
        if ":" not in sparsity or allocation == "uniform"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--pruners", nargs="+", default=pruner_names())
    parser.add_argument("--allocations", nargs="+", default=allocation_names())
    parser.add_argument("--sparsities", nargs="+", default=["50", "60", "70", "2:4", "4:8"])
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--held-back", type=Path)
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--entry", default="abacus")
    parser.add_argument("--ask", nargs="+", default=[])
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--rows", type=Path)
    args = parser.parse_args()
    config = load_config(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))
    calibration, held_back = texts(args)
    rows = []
    if args.rows and args.rows.exists():
        rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    done = {tuple(row[key] for key in KEYS) for row in rows}
    searches = Searches()
    for name in SEARCHES.intersection(args.allocations):
        searches.share(name)
    for row in combinations(args):
        if tuple(row.values()) in done:
            continue
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as name:
            out = Path(name, "pruned")
            row |= prune(args.model, out, calibration, held_back, row, args.settings, searches)
            row |= answers(config, args, out, Path(name)) if args.ask else {}
        row["wall_s"] = time.perf_counter() - began
        rows.append(row)
        print(json.dumps(row), flush=True)
        if args.rows:
            with args.rows.open("a") as file:
                file.write(json.dumps(row) + "\n")
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=140, float_precision=4):
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
