"""What Snakemake itself takes for the paper's whole matrix: to run it, and to find nothing to do.

    python tests/benchmarks/no_op.py [--config config/paper.yaml] [--cores 2] [--keep FOLDER]

SIMULATION: a copy of the workflow in which every stage only writes the files it promises: problem
sets of 12,000 rows, a pool whose shards hold one response a problem with true receipts, tallies
that find 48 candidates a wave. Planning is the pipeline's own and sees what it sees of a real run.
Prints processor seconds, wall seconds and peak memory of Snakemake's own process: for the whole
matrix, for the same again (nothing to do), and for its plan.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROWS = 12000
STAND_IN = """
import os, shutil, sys
from pathlib import Path

TEMPLATES = Path(os.environ["SSGR_TEMPLATES"])
argv = [one for one in sys.argv[1:]]
flags = {a: b for a, b in zip(argv, [*argv[1:], ""]) if a.startswith("--")}


def give(path, name="empty"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TEMPLATES / name, path)


def sampled():
    import polars as pl
    from ssgr.commands.sample import SampleShardCommand
    from ssgr.stages import main
    from ssgr.storage.tables import Responses

    def draw(self, shard, problems, asked):
        rows = [
            {"problem_id": one, "sample": 0, "prompt_token_ids": [1], "token_ids": [1], "text": "",
             "finish_reason": "stop", "tokens": 1, "mean_logprob": None}
            for one in problems["problem_id"]
        ]
        table = Responses.cast(pl.DataFrame(rows))
        shard.grow(table, seconds=1.0, resumed=0, gpus=1, versions={})

    SampleShardCommand._draw = draw
    sys.exit(main(argv))


stage, out = argv[0], flags.get("--out", "")
if stage == "sample-shard":
    sampled()
elif stage == "problems":
    give(out, "problems.parquet")
    if "--dropped" in flags:
        give(flags["--dropped"])
elif stage == "tally":
    wave = int(Path(out).parent.name.partition("=")[2])
    give(out, f"candidates-{wave}.parquet")
    for name in ("funnel.parquet", "visited.json"):
        give(Path(out).with_name(name))
elif stage == "select":
    for name in ("calibration.parquet", "held_back.parquet", "funnel.parquet", "visited.json"):
        give(Path(out).with_name(name))
elif stage in ("prune", "experiment"):
    Path(out).mkdir(parents=True)
    give(Path(out, "file"))
else:
    give(out)
"""


def templates(folder: Path, sequences: int) -> None:
    """Write the files that the stages hand out."""
    import polars as pl

    from ssgr.storage.tables import Candidates, Problems, write

    folder.mkdir()
    (folder / "empty").touch()
    ids = [f"p{number:06d}" for number in range(ROWS)]
    columns: dict[str, list[Any]] = {name: [None] * ROWS for name in Problems.column_names()}
    columns |= {"problem_id": ids, "question": ids, "answer": ["1"] * ROWS}
    write(Problems.cast(pl.DataFrame(columns)), Problems, folder / "problems.parquet", "{}")
    for wave in range(40):
        count = min(48 * (wave + 1), sequences)
        rows = {
            "problem_id": ids[:count], "sample": [0] * count, "correctness_ratio": [0.5] * count,
            "order": list(range(count)), "part": ["none"] * count, "sha256": ["0"] * count,
        }  # fmt: skip
        table = Candidates.cast(pl.DataFrame(rows))
        write(table, Candidates, folder / f"candidates-{wave}.parquet", "{}")


def copy_of_the_workflow(to: Path) -> None:
    """Copy what a run reads; `python -m ssgr` is the stand-in, with the true one beside it."""
    for name in ("workflow", "config", "envs", "resources"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "pyproject.toml"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, to)
    main = to / "workflow" / "ssgr" / "__main__.py"
    main.rename(main.with_name("stages.py"))
    main.write_text(STAND_IN)


def run(folder: Path, what: str, *arguments: str) -> None:
    """Run Snakemake and print what its own process took; jobs are counted apart."""
    command = [sys.executable, "-c", CLOCKED, *arguments]
    began = time.perf_counter()
    log = folder / "log.txt"
    with log.open("w") as file:
        done = subprocess.run(command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
    wall = time.perf_counter() - began
    text = log.read_text()
    if done.returncode:
        sys.exit(f"{what}: {text[-3000:]}")
    own = [line for line in text.splitlines() if line.startswith("OWN ")]
    cpu, memory = own[-1].split()[1:]
    print(f"{what}: {text.count('Finished jobid')} jobs, wall {wall:.1f} s, Snakemake's own "
          f"processor {float(cpu):.1f} s, peak {float(memory):.0f} MB", flush=True)  # fmt: skip


CLOCKED = """
import atexit, resource, sys

def tell():
    own = resource.getrusage(resource.RUSAGE_SELF)
    print("OWN", own.ru_utime + own.ru_stime, own.ru_maxrss / 1024, flush=True)

atexit.register(tell)
from snakemake.cli import main
main(sys.argv[1:])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "paper.yaml")
    parser.add_argument("--cores", default="2")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="no-op-"))
    folder.mkdir(exist_ok=True)
    sys.path.insert(0, str(ROOT / "workflow"))
    if not (folder / "workflow").exists():
        copy_of_the_workflow(folder)
        templates(folder / "templates", sequences=128)
    os.environ |= {"SSGR_TEMPLATES": str(folder / "templates"), "OMP_NUM_THREADS": "1"}
    common = ["--cores", args.cores, "--resources", "gpu=8", "--configfile", str(args.config)]
    run(folder, "the whole matrix", *common)
    run(folder, "again", *common)
    run(folder, "again, as a plan", "-n", *common)
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
