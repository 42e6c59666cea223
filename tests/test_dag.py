"""The real DAG, tiny: it runs, runs once, and a change reruns only what lies downstream."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import yaml

from ssgr import tables

POOL: dict[str, object] = {"path": "../pool", "problems": 10, "shard_size": 5}
TINY = {
    "pool": POOL,
    "run": {"models": ["abacus"], "pruners": ["wanda"], "sparsities": ["2:4"]},
    "sources": {
        "stories": {"data": {"loader": "abacus", "kind": "hard", "count": 20, "seed": 3}},
        "prose": {"data": {"loader": "abacus", "kind": "prose", "count": 60, "seed": 3}},
    },
    "benchmarks": {
        name: {"data": {"loader": "abacus", "kind": name, "count": 3, "seed": 4}}
        for name in ("easy", "medium", "hard", "choice")
    },
    "sampling": {"n": 4, "max_tokens": 512, "seed": 0},
    "evaluation": {"n": 2, "max_tokens": 64, "seed": 1},
    "budget": {"sequences": 3, "tokens": 600},
}
TAU_ADDED = {"calibrations": {"SSGR-0.50": {"source": "stories", "tau": 0.50, "length": "median"}}}
MODEL_RULES = {"sample", "sample_benchmark", "prune"}


@dataclass
class Experiment:
    """A working directory beside the pool, and a copy of the workflow that a test may edit."""

    workflow: Path
    directory: Path

    def configure(self, *parts: dict[str, object]) -> None:
        """Write the working directory's configuration file: the tiny run and what differs."""
        self.directory.mkdir(exist_ok=True)
        merged: dict[str, object] = {}
        for part in (TINY, *parts):
            merged |= part
        (self.directory / "tiny.yaml").write_text(yaml.safe_dump(merged))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake here, as a user would."""
        command = [
            *(sys.executable, "-m", "snakemake", *arguments),
            *("--snakefile", str(self.workflow / "Snakefile"), "--cores", "2"),
            *("--directory", str(self.directory)),
            *("--configfile", str(self.directory / "tiny.yaml")),
        ]
        environment = os.environ | {
            "PYTHONPATH": str(self.workflow / "workflow"),
            "XDG_CACHE_HOME": str(self.workflow / "cache"),
        }
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str) -> tuple[int, str]:
        """Run Snakemake to its end; its exit code and what it said."""
        process = self.start(*arguments)
        said, _ = process.communicate()
        return process.returncode, said

    def plan(self, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run would start."""
        code, said = self.snakemake("--dry-run", *arguments)
        assert code == 0, said
        table = said.partition("Job stats:")[2].partition("total")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}


def copy_of_the_workflow(root: Path, to: Path) -> Path:
    for name in ("workflow", "config", "envs", "resources"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "Snakefile", to)
    return to


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A finished tiny run."""
    base = tmp_path_factory.mktemp("a folder") / "with spaces"
    base.mkdir()
    (base / "project").mkdir()
    experiment = Experiment(copy_of_the_workflow(root, base / "project"), base / "first")
    experiment.configure()
    code, said = experiment.snakemake()
    assert code == 0, said + logs(experiment)
    return experiment


@pytest.fixture
def edited(done: Experiment) -> Iterator[Path]:
    """The package's folder; whatever a test edits in it is undone."""
    package = done.workflow / "workflow" / "ssgr"
    kept = shutil.copytree(package, done.workflow / "kept")
    yield package
    shutil.rmtree(package)
    kept.rename(package)


def logs(experiment: Experiment) -> str:
    return "\n".join(p.read_text() for p in sorted(experiment.directory.rglob("*.log")))


def sampling(folder: Path) -> bool:
    """Whether a sampling job has loaded its model and shows its progress bar."""
    return any("response/s" in path.read_text() for path in folder.rglob("*.log"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_stage_left_its_table(done: Experiment) -> None:
    results, pool = done.directory / "results", done.directory.parent / "pool"
    page = (results / "report" / "index.html").read_text()
    for label in ("Dense", "C4", "MathR", "SGR", "SSGR"):
        assert label in page
    scores = pl.scan_parquet(results / "scores" / "**/scores.parquet", hive_partitioning=True)
    keys = {"model", "source", "tau", "length", "budget", "pruner", "sparsity", "benchmark"}
    table = scores.collect()
    assert keys <= set(table.columns)
    assert len(table) == (1 + 4) * 4
    assert table["responses"].to_list() == [6] * 20
    shards = sorted((pool / "responses").rglob("*.parquet"))
    assert [shard.stem for shard in shards] == ["000000-000005", "000005-000010"]
    assert len(pl.concat(tables.read(shard, tables.Responses) for shard in shards)) == 40
    assert len(list(results.rglob("benchmarks/sample/**/*.tsv"))) == 2


def test_a_second_run_has_nothing_to_do(done: Experiment) -> None:
    assert "Nothing to be done" in done.snakemake()[1]


def test_a_docstring_or_a_comment_reruns_nothing(done: Experiment, edited: Path) -> None:
    replace(edited / "selection.py", '"""Table 1, Short."""', '"""The shortest."""  # Table 1')
    assert done.plan() == {}


def test_selection_code_reruns_selection_and_what_follows(done: Experiment, edited: Path) -> None:
    replace(
        edited / "selection.py", "middle = len(lengths) // 2", "middle = (len(lengths) - 1) // 2"
    )
    plan = done.plan()
    assert plan["select"] == 4
    assert plan["prune"] == 4
    assert plan["sample_benchmark"] == 16  # the dense model's four are not among them
    assert not {"sample", "grade", "source_problems", "benchmark_problems"} & set(plan)


def test_grading_code_regrades_and_samples_no_pool(done: Experiment, edited: Path) -> None:
    replace(edited / "quality.py", "PERIODS = 3", "PERIODS = 4")
    plan = done.plan()
    assert plan["grade"] == 2
    assert "sample" not in plan


@pytest.mark.parametrize("file", ["tables.py", "config.py", "problems.py", "commands.py"])
def test_no_edit_of_shared_code_throws_the_pool_away(
    done: Experiment, edited: Path, file: str
) -> None:
    with (edited / file).open("a") as source:
        source.write("\nUNUSED = 1\n")
    plan = done.plan()
    assert "sample" not in plan
    assert ("grade" in plan) == (file != "commands.py")


def test_a_copied_pool_is_not_sampled_again(done: Experiment) -> None:
    """Its problems may then be newer than its responses."""
    base = done.directory.parent
    pool = shutil.copytree(base / "pool", base / "copy of the pool")
    for path in (pool / "problems").rglob("*.parquet"):
        path.touch()
    second = Experiment(done.workflow, base / "copied")
    second.configure({"pool": {**POOL, "path": str(pool)}})
    assert "sample" not in second.plan()


def test_a_broken_shard_of_the_pool_is_named(done: Experiment) -> None:
    base = done.directory.parent
    pool = shutil.copytree(base / "pool", base / "broken pool")
    shard = next((pool / "responses").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-40])
    second = Experiment(done.workflow, base / "broken")
    second.configure({"pool": {**POOL, "path": str(pool)}})
    code, said = second.snakemake("--dry-run")
    assert code != 0
    assert f"{shard.name} is not a whole Parquet file" in said
    assert "Traceback" not in said


def test_one_pruners_code_reruns_that_pruner(done: Experiment, edited: Path) -> None:
    folder = edited / "pruning" / "pruners"
    replace(folder / "sparsegpt.py", "STEP = ", "UNUSED = 1\nSTEP = ")
    assert done.plan() == {}
    replace(folder / "wanda.py", "@register", "UNUSED = 1\n\n\n@register")
    plan = done.plan()
    assert plan["prune"] == 4
    assert "select" not in plan


def test_report_style_redraws_the_report_only(done: Experiment, edited: Path) -> None:
    with (edited / "report" / "style.css").open("a") as file:
        file.write("\nbody { margin: 0 }\n")
    assert done.plan() == {"all": 1, "report": 1}


def test_another_tau_samples_nothing(done: Experiment) -> None:
    done.configure(TAU_ADDED)
    plan = done.plan()
    done.configure()
    assert plan == {
        **{"all": 1, "report": 1, "select": 1, "prune": 1},
        **dict.fromkeys(("sample_benchmark", "grade_benchmark", "score"), 4),
    }


def test_another_working_directory_shares_the_pool(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "second")
    second.configure(TAU_ADDED)
    plan = second.plan()
    assert plan["select"] == 5
    assert not {"sample", "grade", "source_problems"} & set(plan)


def test_a_pool_of_another_source_is_refused(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "third")
    other = {"data": {"loader": "abacus", "kind": "hard", "count": 20, "seed": 99}}
    second.configure({"sources": {**TINY["sources"], "stories": other}})  # type: ignore[dict-item]
    code, said = second.snakemake("--dry-run")
    assert code != 0
    assert "A pool never mixes two" in said


def test_mistakes_stop_before_any_job(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "fourth")
    second.configure({"run": {"models": ["abacsu"], "pruners": ["wnada"], "sparsities": [150]}})
    code, said = second.snakemake()
    assert code != 0
    for mistake in ("did you mean 'abacus'?", "did you mean 'wanda'?", "sparsity '150'"):
        assert mistake in said
    assert not (second.directory / "results").exists()


def test_too_few_candidates_show_the_funnel_and_lose_nothing(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "fifth")
    calibration = {"H": {"source": "stories", "tau": 0.00, "length": "median"}}
    run = {**TINY["run"], "calibrations": ["H"]}  # type: ignore[dict-item]
    second.configure({"calibrations": calibration, "run": run})
    code, _ = second.snakemake()
    assert code != 0
    assert re.search(r"good quality +0 problems", logs(second))
    assert len(list((done.directory.parent / "pool" / "grades").rglob("*.parquet"))) == 2


def test_killed_in_the_middle_and_run_again(done: Experiment) -> None:
    """Nothing half-written counts as done, and the result is that of an undisturbed run."""
    killed = Experiment(done.workflow, done.directory.parent / "killed")
    killed.configure({"pool": {**POOL, "path": "pool"}})
    folder = "grades/model=abacus/source=stories/sampling=n4-t0.60-p0.95-l512-s0"
    shards = [f"{folder}/{rows}.parquet" for rows in ("000000-000005", "000005-000010")]
    targets = [f"pool/{shard}" for shard in shards]
    process = killed.start(*targets)
    begun = killed.directory / "results" / "logs" / "sample"
    deadline = time.monotonic() + 300
    while not sampling(begun) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sampling(begun)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert killed.snakemake("--unlock")[0] == 0
    code, said = killed.snakemake(*targets, "--rerun-incomplete")
    assert code == 0, said + logs(killed)
    for shard in shards:
        mine, undisturbed = (
            killed.directory / "pool" / shard,
            done.directory.parent / "pool" / shard,
        )
        timeless = [tables.read(path, tables.Grades).drop("milliseconds")
                    for path in (mine, undisturbed)]  # fmt: skip
        assert timeless[0].equals(timeless[1])
