"""Another workflow uses ours as a module, and adds a model, a source, a pruner and a table."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from experiment import POOL, TINY, Experiment, copy_of_the_workflow, logs, replace
from ssgr.config import AbacusSet
from ssgr.problems import load

OUTER = """
module ssgr:
    snakefile: {snakefile!r}
    config: config["ssgr"]


use rule * from ssgr as ssgr_*


rule winner:
    default_target: True
    input:
        "results/experiments/hers",
    output:
        "winner.txt",
    shell:
        "tail -n 1 {{input}}/table.csv > {{output}}"
"""
DEPLOYED = """
configfile: "config/config.yaml"


module ssgr:
    snakefile: {snakefile!r}
    config: config


use rule * from ssgr
"""
PRUNER = '''"""Hers: what carries the least energy of its row goes."""

from ssgr.pruning.masks import lowest_per_row, removed
from ssgr.pruning.pruner import register


@register("energy", needs="norm")
def least_energy(weight, statistics, sparsity, settings):
    """Remove the weights of lowest W² ‖X‖²."""
    energy = weight.float() ** 2 * statistics.squared_norm
    return removed(weight, lowest_per_row(energy, sparsity.fraction))
'''
HERS: dict[str, Any] = {
    "pool": {**POOL, "shard_size": 10, "wave": 1},
    "models": {"mine": {"path": "model", "prompt": "{question}", "gpu": 0, "mem_mb": 2000}},
    "sources": {
        "tales": {
            "data": {"loader": "file", "path": "tales.jsonl", "question": "question",
                     "answer": "answer", "solution": "solution"},
        },
    },
    "benchmarks": {"easy": TINY["benchmarks"]["easy"]},
    "calibrations": {"Tales": {"source": "tales", "tau": 1.00, "length": "first"}},
    "pruners": {"careful": {"method": "pruners/energy.py"}},
    "run": {
        "models": ["mine"], "calibrations": ["Tales"], "pruners": ["careful"],
        "sparsities": [40], "benchmarks": ["easy"],
    },
    "experiments": {"hers": {"title": "Her pruner on her tales"}},
    **{key: TINY[key] for key in ("sampling", "evaluation", "budget")},
}  # fmt: skip


@dataclass
class Outer(Experiment):
    """A workflow of her own in its own folder, which imports ours."""

    @property
    def snakefile(self) -> Path:
        return self.directory / "Snakefile"

    def configure(self, *parts: dict[str, object]) -> None:
        """Write her configuration; ours is one key of it."""
        merged = dict(HERS)
        for part in parts:
            merged |= part
        (self.directory / "tiny.yaml").write_text(yaml.safe_dump({"ssgr": merged}))

    def said(self, *arguments: str) -> str:
        """What a dry run says that goes well."""
        code, said = self.snakemake("--dry-run", *arguments, PYTHONPATH="")
        assert code == 0, said
        return said


@dataclass
class Deployed(Experiment):
    """A workflow that is ours as a module, fetched from a repository, and a configuration."""

    @property
    def snakefile(self) -> Path:
        return self.directory / "workflow" / "Snakefile"

    def configure(self, *parts: dict[str, object]) -> None:
        """Write what snakedeploy writes."""
        shutil.copytree(self.workflow / "config", self.directory / "config")
        self.snakefile.parent.mkdir()
        source = f"git+file://{self.workflow}/workflow/Snakefile@main"
        self.snakefile.write_text(DEPLOYED.format(snakefile=source))
        (self.directory / "tiny.yaml").write_text(yaml.safe_dump({}))


def outer(directory: Path, workflow: Path, root: Path) -> Outer:
    """Her workflow, which knows where ours is, and what she adds to it."""
    (directory / "pruners").mkdir(parents=True)
    ours = str(workflow / "workflow" / "Snakefile")
    (directory / "Snakefile").write_text(OUTER.format(snakefile=ours))
    (directory / "pruners" / "energy.py").write_text(PRUNER)
    shutil.copytree(root / "resources" / "abacus", directory / "model")
    problems, _ = load(AbacusSet(kind="hard", count=20, seed=3))
    problems.select("question", "answer", "solution").write_ndjson(directory / "tales.jsonl")
    made = Outer(workflow, directory)
    made.configure()
    return made


def fingerprint(folder: Path) -> str:
    """A digest of every file of our checkout, but for what Python and Snakemake keep."""
    digest = sha256()
    for path in sorted(folder.rglob("*")):
        kept = {"__pycache__", "cache"} & set(path.relative_to(folder).parts)
        if path.is_file() and not kept:
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def ours(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our workflow, of which she touches nothing."""
    return copy_of_the_workflow(root, tmp_path_factory.mktemp("module") / "ssgr")


@pytest.fixture(scope="module")
def done(root: Path, ours: Path) -> Outer:
    """Her workflow, finished; our files are as they were."""
    hers = outer(ours.parent / "hers", ours, root)
    before = fingerprint(ours)
    code, said = hers.snakemake(PYTHONPATH="")
    assert code == 0, said + logs(hers)
    assert fingerprint(ours) == before
    return hers


def test_her_rule_takes_the_table_of_her_pruner_on_her_source_and_model(done: Outer) -> None:
    cells = pl.read_parquet(done.directory / "results" / "experiments" / "hers" / "cells.parquet")
    assert set(cells["label"]) == {"Dense", "Tales"}
    assert set(cells["pruner"]) == {"none", "careful"}
    assert "Tales" in (done.directory / "winner.txt").read_text()
    (checkpoint,) = done.directory.glob("results/checkpoints/**/pruning.parquet")
    assert "model=mine/source=tales/" in str(checkpoint)
    assert "pruner=careful" in str(checkpoint)
    sparsity = pl.read_parquet(checkpoint)["achieved_sparsity"]
    assert ((sparsity - 0.4).abs() < 1e-3).all()
    recipe = json.loads((checkpoint.parent / "pruning.json").read_text())["recipe"]
    assert recipe["method"] == "energy"  # and not where her file is
    (pooled,) = (done.directory.parent / "pool" / "responses").iterdir()
    assert pooled.name == "model=mine"


def test_it_is_made_once(done: Outer) -> None:
    assert "Nothing to be done" in done.said()


def test_its_own_snakefile_may_say_more_than_a_prefix_of_names(done: Outer) -> None:
    """A rule of ours with other resources; and what would tear paths apart is refused."""
    own = "use rule prune from ssgr as ssgr_prune with:\n    threads: 2\n"
    text = done.snakefile.read_text()
    done.snakefile.write_text(f"{text}\n\n{own}")
    assert "Nothing to be done" in done.said()
    for moved in ('prefix: "theirs"', 'pathvars:\n        results="theirs"'):
        done.snakefile.write_text(text.replace("    config:", f"    {moved}\n    config:"))
        code, said = done.snakemake("--dry-run")
        done.snakefile.write_text(text)
        assert code == 1, moved
        assert "say in the module's `config` where files go, by `results`" in said


def test_a_change_of_her_pruner_makes_again_what_lies_downstream_and_no_more(done: Outer) -> None:
    pruner = done.directory / "pruners" / "energy.py"
    replace(pruner, "Hers: what", "In her words: what")
    pruner.rename(pruner.with_name("other.py"))
    done.configure({"pruners": {"careful": {"method": str(pruner.with_name("other.py"))}}})
    assert "prune" not in done.plan(), "a comment changed, or where the file is"
    replace(pruner.with_name("other.py"), "statistics.squared_norm", "statistics.squared_norm**2")
    rules = ("prune", "sample_benchmark", "grade_benchmark", "score", "experiment")
    assert done.plan() == {"winner": 1, **{f"ssgr_{rule}": 1 for rule in rules}}


@pytest.fixture(scope="module")
def repository(ours: Path) -> Path:
    """Our workflow in a git repository: Snakemake fetches its rules as it does from GitHub."""
    git = ["git", "-C", str(ours), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    return ours


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed without a checkout."""
    folder = tmp_path_factory.mktemp("site")
    out = shutil.ignore_patterns("__pycache__", ".mypy_cache")
    shutil.copytree(root / "workflow" / "ssgr", folder / "ssgr", ignore=out)
    shutil.copytree(root / "resources", folder / "ssgr" / "resources")
    shutil.copy(root / "CITATION.cff", folder / "ssgr")
    return folder


def test_deployed_from_a_repository_it_runs_the_installed_package(
    repository: Path, site: Path, tmp_path: Path
) -> None:
    """What `snakedeploy deploy-workflow` writes, and the configuration that it copies."""
    hers = Deployed(repository, tmp_path / "hers")
    hers.configure()
    target = "results/problems/benchmark=easy/problems.parquet"
    code, said = hers.snakemake(target, PYTHONPATH=str(site))
    assert code == 0, said + logs(hers)
    linked = hers.directory / ".snakemake" / "ssgr" / "ssgr"
    assert linked.samefile(site / "ssgr")
    code, said = hers.snakemake("--dry-run", "all", "table1", PYTHONPATH=str(site))
    assert code == 0, said  # the shipped models and published numbers are the package's
    assert "Draw the report" in said
    assert "Draw table1" in said


def test_the_catalog_of_workflows_finds_what_it_asks_for(root: Path) -> None:
    """Its conventions for "standardized usage", without which `snakedeploy` finds nothing."""
    usage = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert deployment == {"conda": True, "apptainer": False, "apptainer+conda": False}
    assert not usage["report"]
    for path in ("workflow/Snakefile", "config/README.md", "config/config.yaml", "LICENSE"):
        assert (root / path).is_file(), path
    assert list((root / "workflow" / "rules").glob("*.smk"))
    readme = (root / "README.md").read_text().lower()
    assert all(word in readme for word in ("snakemake", "workflow"))
