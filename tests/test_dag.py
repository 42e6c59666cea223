"""The real DAG, tiny: it runs, runs once, and a change reruns only what lies downstream."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from experiment import (
    POOL,
    TAU_ADDED,
    TINY,
    Experiment,
    copy_of_the_workflow,
    logs,
    point,
    replace,
    sampling,
)
from ssgr.jobs.grid import CHECKPOINT_KEYS, KEYS
from ssgr.storage import tables

MODEL_RULES = {"sample", "sample_benchmark", "prune"}


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


def tallied(experiment: Experiment) -> list[str]:
    """The targets that need the pool and no more: the first tally of each point of the pool."""
    points = [("1.00", "first"), ("0.75", "median")]
    return [
        f"results/tally/{point(tau, length, '3x600-s0')}/wave=0000/candidates.parquet"
        for tau, length in points
    ]


def test_every_stage_left_its_table(done: Experiment) -> None:
    results, pool = done.directory / "results", done.directory.parent / "pool"
    page = (results / "report" / "index.html").read_text()
    for label in ("Dense", "C4", "MathR", "SGR", "SSGR"):
        assert label in page
    scores = pl.scan_parquet(
        results / "scores" / "**/scores.parquet", hive_partitioning=True, hive_schema=KEYS
    )
    keys = {*CHECKPOINT_KEYS, "benchmark"}
    table = scores.collect()
    assert keys <= set(table.columns)
    assert {table.schema[key] for key in keys} == {pl.String}
    pruned = pl.scan_parquet(
        results / "checkpoints" / "**/pruning.parquet", hive_partitioning=True, hive_schema=KEYS
    ).collect()
    assert set(pruned["sparsity"]) == {"2-4"}
    assert pruned["achieved_sparsity"].is_between(0.4, 0.6).all()
    assert len(table) == (1 + 4) * 4
    assert table["responses"].to_list() == [6] * 20
    shards = sorted((pool / "responses").rglob("*.parquet"))
    assert [shard.stem for shard in shards] == ["000000-000005", "000005-000010"]
    drawn = pl.concat(tables.read(shard, tables.Responses) for shard in shards)
    assert drawn["problem_id"].n_unique() == 10
    assert len(drawn) <= 40  # 4 each, but for problems that are certain to be discarded
    assert len(list(results.rglob("benchmarks/sample/**/*.tsv"))) == 2


def test_a_second_run_has_nothing_to_do(done: Experiment) -> None:
    assert "Nothing to be done" in done.snakemake()[1]


def test_a_docstring_or_a_comment_reruns_nothing(done: Experiment, edited: Path) -> None:
    said = '"""Table 1, Short."""'
    rule = edited / "selection" / "length_rules" / "shortest.py"
    replace(rule, said, '"""The shortest."""  # Table 1')
    assert done.plan() == {}


def test_selection_code_reruns_selection_and_what_follows(done: Experiment, edited: Path) -> None:
    replace(edited / "selection" / "rules.py", "MARGIN = 1e-9", "MARGIN = 2e-9")
    plan = done.plan()
    assert plan["tally"] == 2
    assert plan["select"] == 4
    assert plan["prune"] == 4
    assert plan["sample_benchmark"] == 16  # the dense model's four are not among them
    assert not {"sample", "grade", "source_problems", "benchmark_problems"} & set(plan)


def test_one_length_rules_code_reruns_what_it_selects(done: Experiment, edited: Path) -> None:
    """One more rule reruns nothing."""
    rules = edited / "selection" / "length_rules"
    rule = (rules / "shortest.py").read_text()
    (rules / "second.py").write_text(rule.replace('"shortest"', '"second"'))
    assert done.plan() == {}
    replace(rules / "median.py", "middle = len(lengths) // 2", "middle = (len(lengths) - 1) // 2")
    plan = done.plan()
    assert (plan["tally"], plan["select"], plan["prune"]) == (1, 1, 1)
    assert plan["sample_benchmark"] == 4


def test_grading_code_regrades_and_samples_no_pool(done: Experiment, edited: Path) -> None:
    replace(edited / "grading" / "quality.py", "PERIODS = 3", "PERIODS = 4")
    plan = done.plan()
    assert plan["grade"] == 2
    assert "sample" not in plan


@pytest.mark.parametrize(
    "file", ["storage/tables.py", "config/run.py", "problems/__init__.py", "commands/sample.py"]
)
def test_no_edit_of_shared_code_throws_the_pool_away(
    done: Experiment, edited: Path, file: str
) -> None:
    with (edited / file).open("a") as source:
        source.write("\nUNUSED = 1\n")
    plan = done.plan()
    assert "sample" not in plan
    assert ("grade" in plan) == (file != "commands/sample.py")


def test_a_broken_shard_of_the_pool_is_named(done: Experiment) -> None:
    base = done.directory.parent
    pool = shutil.copytree(base / "pool", base / "broken pool")
    shard = next((pool / "grades").rglob("*.parquet"))
    shard.chmod(0o644)
    shard.write_bytes(shard.read_bytes()[:-40])
    second = Experiment(done.workflow, base / "broken")
    second.configure({"pool": {**POOL, "path": str(pool)}})
    code, _ = second.snakemake(*tallied(second))
    assert code != 0
    said = logs(second)
    assert f"{shard.name} is not what its receipt says" in said
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
        **{"all": 1, "report": 1, "tally": 1, "select": 1, "prune": 1},
        **dict.fromkeys(("sample_benchmark", "grade_benchmark", "score"), 4),
    }


def test_another_working_directory_draws_nothing_again(done: Experiment) -> None:
    """Its jobs see that the pool has it all: no GPU, no model, no new file; copied or not."""
    base = done.directory.parent
    for name, pool in (("second", base / "pool"), ("third", base / "a copy of the pool")):
        if not pool.exists():
            shutil.copytree(base / "pool", pool)
        before = {path: path.stat().st_mtime_ns for path in pool.rglob("*.parquet")}
        second = Experiment(done.workflow, base / name)
        second.configure(TAU_ADDED, {"pool": {**POOL, "path": str(pool)}})
        code, said = second.snakemake(*tallied(second))
        assert code == 0, said + logs(second)
        assert said.count("Take from the pool: abacus on stories") == 2
        assert "Sample abacus" not in said
        assert not sampling(second.directory / "results" / "logs")
        after = {path: path.stat().st_mtime_ns for path in pool.rglob("*.parquet")}
        assert before == after


def test_a_larger_budget_extends_the_same_pool(done: Experiment) -> None:
    base = done.directory.parent
    pool = shutil.copytree(base / "pool", base / "growing pool")
    before = {path.name for path in (pool / "responses").rglob("*.parquet")}
    second = Experiment(done.workflow, base / "grown")
    budget = {"sequences": 7, "tokens": 600}
    second.configure({"pool": {**POOL, "path": str(pool)}, "budget": budget})
    folders = point("0.75", "median", "7x600-s0")
    target = f"results/calibration/{folders}/calibration.parquet"
    code, said = second.snakemake(target)
    assert code == 0, said + logs(second)
    assert len(tables.read(second.directory / target, tables.Calibration)) == 7
    after = {path.name for path in (pool / "responses").rglob("*.parquet")}
    assert after - before == {"000010-000015.parquet", "000015-000020.parquet"}


def test_a_pool_of_other_problems_is_refused(done: Experiment) -> None:
    other = {"data": {"loader": "abacus", "kind": "hard", "count": 20, "seed": 2}}
    second = Experiment(done.workflow, done.directory.parent / "other problems")
    second.configure({"sources": {**TINY["sources"], "stories": other}})  # type: ignore[dict-item]
    code, _ = second.snakemake(*tallied(second))
    assert code != 0
    assert "holds responses to other questions" in logs(second)


def test_a_changed_source_in_the_same_directory_is_refused(done: Experiment) -> None:
    """Neither the old responses with the new problems, nor the new ones mixed in."""
    base = done.directory.parent
    second = Experiment(done.workflow, base / "changed source")
    own = {"pool": {**POOL, "path": str(base / "pool")}}
    second.configure(own)
    assert second.snakemake(*tallied(second))[0] == 0
    other = {"data": {"loader": "abacus", "kind": "hard", "count": 20, "seed": 2}}
    second.configure(own, {"sources": {**TINY["sources"], "stories": other}})  # type: ignore[dict-item]
    code, _ = second.snakemake(*tallied(second))
    assert code != 0
    assert "holds responses to other questions" in logs(second)


def test_another_shard_size_is_refused_before_any_job(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "other size")
    second.configure({"pool": {**POOL, "shard_size": 4}})
    code, said = second.snakemake("--dry-run")
    assert code != 0
    assert "pool.shard_size says 4" in said


def test_a_model_on_a_server_needs_no_gpu_here_and_its_jobs_take_its_entry(
    done: Experiment,
) -> None:
    """The endpoint is not there: the job gets as far as asking it."""
    second = Experiment(done.workflow, done.directory.parent / "served")
    server = {"urls": ["http://127.0.0.1:9/v1"], "retries": 0, "timeout": 1}
    entry = {"engine": "server", "evaluation_engine": "transformers", "server": server, "gpu": 3}
    second.configure({"pool": {**POOL, "path": "pool"}, "models": {"abacus": entry}})
    code, said = second.snakemake(*tallied(second), "--resources", "gpu=3")
    assert code != 0
    assert "127.0.0.1:9" in logs(second), said
    assert re.findall(r"^devices: (.*)$", logs(second), re.M)[0] == "none"


def test_a_pool_of_another_model_is_refused_before_any_job(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "other model")
    second.configure({"models": {"abacus": {"prompt": "Please: {question}"}}})
    code, said = second.snakemake("--dry-run")
    assert code != 0
    assert "A pool never mixes two" in said
    assert "Traceback" not in said


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
    run = {**TINY["run"], "calibrations": ["H"]}
    own: dict[str, object] = {"pool": {**POOL, "path": "pool"}}
    second.configure({"calibrations": calibration, "run": run}, own)
    folders = point("0.00", "median", "3x600-s0")
    code, _ = second.snakemake(f"results/calibration/{folders}/calibration.parquet")
    assert code != 0
    assert re.search(r"good quality +0 problems", logs(second))  # after all 20 of the source
    assert re.search(r"pool +20 problems", logs(second))
    assert len(list((second.directory / "pool" / "grades").rglob("*.parquet"))) == 4


def test_a_calibration_that_nothing_fits_is_given_up(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "given up")
    calibration = {"H": {"source": "stories", "tau": 0.00, "length": "median"}}
    run = {**TINY["run"], "calibrations": ["H"]}
    pool = {**POOL, "path": str(done.directory.parent / "pool"), "give_up": 1}
    second.configure({"calibrations": calibration, "run": run, "pool": pool})
    folders = point("0.00", "median", "3x600-s0")
    code, _ = second.snakemake(f"results/calibration/{folders}/calibration.parquet")
    assert code != 0
    assert re.search(r"pool +10 problems", logs(second))  # of 20: the first wave had none


def test_more_gpus_than_there_are_is_an_error_before_any_job(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "too many GPUs")
    own = {"pool": {**POOL, "path": "pool"}, "models": {"abacus": {"gpu": 2}}}
    second.configure(own)
    code, said = second.snakemake("--dry-run", "--resources", "gpu=1")
    assert code != 0
    assert "models.abacus.execution.gpu asks for 2 GPUs per job, --resources gpu=1" in said
    code, _ = second.snakemake(*tallied(second), CUDA_VISIBLE_DEVICES="3")
    assert code != 0
    assert "2 devices are wanted" in logs(second)
    assert "CUDA_VISIBLE_DEVICES='3' leaves 1" in logs(second)
    assert not list(second.directory.rglob("pool/**/*.parquet"))


def test_jobs_side_by_side_have_devices_of_their_own(done: Experiment) -> None:
    second = Experiment(done.workflow, done.directory.parent / "GPUs")
    own = {"pool": {**POOL, "path": "pool"}, "models": {"abacus": {"gpu": 1}}}
    second.configure(own, {"sampling": {"n": 12, "max_tokens": 512, "seed": 0}})
    devices = str(second.directory / "devices")
    code, said = second.snakemake(
        *tallied(second), "--resources", "gpu=2", CUDA_VISIBLE_DEVICES="3,5", SSGR_DEVICES=devices
    )
    assert code == 0, said + logs(second)
    leased = re.findall(r"^devices: (.*)$", logs(second), re.M)
    assert sorted(leased) == ["3", "5"]
