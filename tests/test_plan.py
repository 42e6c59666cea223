"""The plan: every number is one that earlier work has measured, a bound, or not there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from huggingface_hub import constants

import ssgr
from experiment import point as calibration_point
from small_pool import HUB_MODEL, SmallPool, rows
from ssgr.__main__ import main
from ssgr.config import Config, Model, Sampling
from ssgr.errors import PoolError
from ssgr.jobs import grid
from ssgr.monitor.plan import plan
from ssgr.storage import tables

N, LONGEST = 4, 100
SIZE = "; config.json of org/small is not in the hub's cache: the entry's own numbers"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def config(tmp_path: Path, **changes: Any) -> Config:
    """A run of a model on a hub: 40 problems in shards of 4, waves of 2 shards, 6 sequences."""
    raw: dict[str, Any] = {
        "results": str(tmp_path / "results"),
        "pool": {"path": str(tmp_path / "pool"), "shard_size": 4, "wave": 2},
        "run": {"models": ["small"], "pruners": ["wanda", "magnitude"], "sparsities": [50]},
        "models": {"small": HUB_MODEL.model_dump() | {"gpu": 2}},
        "sources": {
            "stories": {"data": {"loader": "abacus", "kind": "stories", "count": 40}},
            "prose": {"data": {"loader": "abacus", "kind": "prose", "count": 9}},
        },
        "benchmarks": {"easy": {"data": {"loader": "abacus", "kind": "easy", "count": 10}}},
        "calibrations": {
            "C4": {"source": "prose", "length": "text"},
            "SSGR": {"source": "stories", "tau": 0.75, "length": "median"},
        },
        "sampling": {"n": N, "max_tokens": LONGEST},
        "evaluation": {"n": 3, "max_tokens": LONGEST},
        "budget": {"sequences": 6, "tokens": 100},
    }
    for place, value in changes.items():
        at, *_ = keys = place.split("__")
        if len(keys) == 1:
            raw[at] = value
        else:
            raw[at][keys[1]] = value
    return Config.model_validate(raw)


def planned(config: Config, stage: str, scope: str = "", of: str = "") -> dict[str, Any]:
    table = plan(config, Path(config.results), Path(config.pool.path))
    found = table.filter(pl.col("of") == of if of else True, stage=stage, scope=scope)
    assert len(found) == 1
    return found.row(0, named=True)


def pool_of(config: Config, source: str = "stories", **changes: Any) -> SmallPool:
    entry = config.models["small"]
    return SmallPool(
        Path(config.pool.path), source=source, entry=entry,
        **{"sampling": config.sampling.drawn, **changes},
    )  # fmt: skip


def grader(config: Config) -> str:
    return grid.judging(config, "small", config.sources["stories"]).digest


def settle(config: Config) -> dict[str, Any]:
    """The receipt's facts of a part that needs no more drawing."""
    judge = grid.judging(config, "small", config.sources["stories"]).identity
    return {"needs": grid.needs_of(config, "stories"), "judge": judge}


def job(config: Config, path: str, seconds: str) -> None:
    file = Path(config.results) / "benchmarks" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\th:m:s\tcpu_time\n{seconds}\t0:00:01\t0.5\n")


def test_nothing_measured_is_bounded_or_unknown(tmp_path: Path) -> None:
    made = config(tmp_path)
    first = planned(made, "sample", "first wave")
    assert (first["jobs"], first["done"]) == (2, 0)
    assert (first["responses"], first["tokens"]) == (8 * N, 8 * N * LONGEST)
    assert first["at_most"]
    assert (first["gpu_hours"], first["cpu_hours"]) == (None, 0.0)
    assert first["basis"] == (
        "at most 4 responses/problem; at most 100 tokens/response; throughput not known yet" + SIZE
    )
    assert [first[name] for name in ("gpus", "gpu_mb", "mem_mb", "disk_mb", "estimated")] == [
        *(2, None, 16000, 10000, False)
    ]
    most = planned(made, "sample", "all problems")
    assert (most["jobs"], most["responses"]) == (10, 40 * N)
    expected = planned(made, "sample", "expected")
    assert [expected[name] for name in ("jobs", "responses", "tokens", "gpu_hours")] == [None] * 4
    assert "SSGR: share retained not known yet" in expected["basis"]
    answer = planned(made, "answer")
    assert (answer["jobs"], answer["responses"]) == (4, 4 * 10 * 3)
    assert (answer["tokens"], answer["at_most"]) == (120 * LONGEST, True)
    for stage, of, jobs in (("select", "", 2), ("prune", "wanda", 2), ("prune", "magnitude", 1)):
        row = planned(made, stage, of=of)
        assert (row["jobs"], row["done"]) == (jobs, 0)
        assert None in (row["gpu_hours"], row["cpu_hours"])


def test_without_early_stop_the_responses_are_certain(tmp_path: Path) -> None:
    made = config(tmp_path, sampling__early_stop=False)
    row = planned(made, "sample", "first wave")
    assert row["responses"] == 8 * N
    assert row["basis"].startswith("4 responses/problem; at most 100 tokens/response")


def test_the_cap_is_the_smaller_of_pool_and_source(tmp_path: Path) -> None:
    assert planned(config(tmp_path, pool__problems=10), "sample", "all problems")["jobs"] == 3
    assert planned(config(tmp_path, pool__problems=99), "sample", "all problems")["jobs"] == 10


def test_a_wave_ends_with_the_source(tmp_path: Path) -> None:
    data = {"data": {"loader": "abacus", "kind": "stories", "count": 3}}
    made = config(tmp_path, sources__stories=data)
    row = planned(made, "sample", "first wave")
    assert (row["jobs"], row["responses"]) == (1, 3 * N)


def test_a_source_of_files_is_counted_when_it_has_been_read(tmp_path: Path) -> None:
    data = {"data": {"loader": "file", "path": "x.csv", "question": "q", "answer": "a"}}
    made = config(tmp_path, sources__stories=data)
    most = planned(made, "sample", "all problems")
    assert most["jobs"] is None
    assert most["basis"].startswith("problems of the source not counted yet")
    problems = pl.DataFrame({"problem_id": list("abcde"), "question": list("abcde")})
    problems = problems.with_columns(
        pl.lit(None, dtype=pl.String).alias(name)
        for name in ("solution", "answer", "subject", "level")
    )
    path = Path(made.results) / "problems/source=stories/problems.parquet"
    tables.write(problems, tables.Problems, path)
    assert planned(made, "sample", "all problems")["responses"] == 5 * N


def measured_pool(made: Config) -> SmallPool:
    """Two shards: 8 problems, 24 responses, 480 tokens, 100 s on 2 GPUs."""
    pool = pool_of(made)
    for k, seconds in ((0, 40.0), (4, 60.0)):
        drawn = rows(range(k, k + 4), samples=3, tokens=20)
        part = pool.draw(f"{k:06d}-{k + 4:06d}", drawn, seconds=seconds, gpus=2, **settle(made))
        pool.grade(part, [False] * 6 + [True, True, False] * 2, grader(made))
    return pool


def test_sampling_by_what_the_pool_has_measured(tmp_path: Path) -> None:
    made = config(tmp_path)
    measured_pool(made)
    first = planned(made, "sample", "first wave")
    assert (first["jobs"], first["done"], first["responses"], first["gpu_hours"]) == (2, 2, 0, 0)
    most = planned(made, "sample", "all problems")
    assert (most["jobs"], most["done"]) == (10, 2)
    assert (most["responses"], most["tokens"]) == (32 * 3, 32 * 3 * 20)
    assert not most["at_most"]
    # 480 tokens in 100 s on 2 GPUs: 2.4 tokens/s a GPU
    assert most["gpu_hours"] == pytest.approx(1920 / 2.4 / 3600)
    assert most["basis"] == (
        "3 responses/problem in this pool; 20 tokens/response in this pool; 2.4 tokens/s a GPU"
        + SIZE
    )
    graded = planned(made, "grade", "all problems")
    assert (graded["jobs"], graded["done"]) == (10, 2)


def test_how_many_problems_are_expected(tmp_path: Path) -> None:
    made = config(tmp_path, sampling__early_stop=False)
    pool = pool_of(made)
    for k in (0, 4):
        part = pool.draw(f"{k:06d}-{k + 4:06d}", rows(range(k, k + 4)), gpus=2)
        pool.grade(part, [False] * 4 + [True] * 4 + [True, False] * 4, grader(made))
    # of four problems one is never right, one always, two half the time: 4 of 8 are retained, so
    # 6 sequences take 12 problems, which is 2 waves of 8: 4 shards, of which 2 are there
    row = planned(made, "sample", "expected")
    assert (row["jobs"], row["done"], row["responses"]) == (4, 2, 8 * N)
    assert row["basis"].startswith("SSGR: 50.0% of 8 problems retained; 4 responses/problem")
    grades = planned(made, "grade", "expected")
    assert (grades["jobs"], grades["done"]) == (4, 2)


def test_the_calibration_that_takes_most_decides(tmp_path: Path) -> None:
    calibrations = {
        "SGR": {"source": "stories", "tau": 1.0, "length": "first"},
        "SSGR": {"source": "stories", "tau": 0.25, "length": "median"},
    }
    made = config(tmp_path, calibrations=calibrations, sampling__early_stop=False)
    pool = pool_of(made)
    part = pool.draw("000000-000004", rows(range(4)), gpus=2)
    pool.grade(part, [True] * 12 + [True, False, False, False], grader(made))
    row = planned(made, "sample", "expected")
    assert row["basis"].startswith("SSGR: 25.0% of 4 problems retained")
    assert row["jobs"] == 6  # 24 problems


def test_problems_stopped_early_for_others_are_not_counted(tmp_path: Path) -> None:
    made = config(tmp_path)
    measured_pool(made)  # 3 of 4 responses: the median of a problem with c <= 0.75 needs all
    assert planned(made, "sample", "expected")["basis"].startswith(
        "SSGR: share retained not known yet; 20 tokens/response"
    )


def test_none_retained_is_no_number(tmp_path: Path) -> None:
    made = config(tmp_path)
    pool = pool_of(made)
    part = pool.draw("000000-000004", rows(range(4)), gpus=2)
    pool.grade(part, [True] * 16, grader(made))
    row = planned(made, "sample", "expected")
    assert row["jobs"] is None
    assert "SSGR: none of 4 problems is retained so far" in row["basis"]


def test_another_grader_or_source_is_the_next_best(tmp_path: Path) -> None:
    made = config(tmp_path, sampling__early_stop=False)
    other = pool_of(made, source="sums")
    right = [True, False, False, False] * 4
    other.grade(other.draw("000000-000004", rows(range(4), tokens=30), gpus=2), right)
    row = planned(made, "sample", "expected")
    assert row["basis"] == (
        "SSGR: 100.0% of 4 problems retained of another source; 4 responses/problem; "
        "30 tokens/response in the model's other pools; 6.67 tokens/s a GPU" + SIZE
    )
    mine = pool_of(made)
    part = mine.draw("000000-000004", rows(range(4), tokens=10), gpus=2)
    mine.grade(part, [False] * 8 + right[:8], "00000000")
    assert (
        "50.0% of 4 problems retained by another grader"
        in planned(made, "sample", "expected")["basis"]
    )


def test_another_length_is_the_last_resort(tmp_path: Path) -> None:
    made = config(tmp_path)
    longer = pool_of(made, sampling=Sampling(n=N, max_tokens=1000))
    longer.draw("000000-000004", rows(range(4), tokens=300), seconds=600.0, gpus=2)
    row = planned(made, "sample", "first wave")
    assert row["tokens"] == 8 * N * LONGEST  # never more than the sampling allows
    assert row["at_most"]
    assert row["gpu_hours"] == pytest.approx(3200 / (4800 / 1200) / 3600)
    assert "at most 100 tokens/response" in row["basis"]
    assert "4 tokens/s a GPU at other lengths" in row["basis"]


def test_the_mean_of_another_length_is_used_where_it_fits(tmp_path: Path) -> None:
    made = config(tmp_path)
    longer = pool_of(made, sampling=Sampling(n=N, max_tokens=1000))
    longer.draw("000000-000004", rows(range(4), tokens=30), gpus=2)
    row = planned(made, "answer")
    assert row["tokens"] == 120 * 30
    assert "30 tokens/response in the model's pools of other lengths" in row["basis"]


def test_speed_without_a_gpu_says_nothing_of_a_gpu(tmp_path: Path) -> None:
    made = config(tmp_path)
    pool_of(made).draw("000000-000004", rows(range(4)), gpus=0)
    assert planned(made, "sample", "all problems")["gpu_hours"] is None
    without = made.model_copy(
        update={"models": {"small": Model.model_validate({"path": "org/small", "gpu": 0})}}
    )
    row = planned(without, "sample", "all problems")
    # the one shard there is complete: 36 problems of 4 responses of 10 tokens; 160 tokens in 36 s
    assert row["cpu_hours"] == pytest.approx(36 * 40 / (160 / 36) / 3600)
    assert row["gpu_hours"] == 0.0


def test_a_part_that_was_resumed_counts_what_it_drew(tmp_path: Path) -> None:
    made = config(tmp_path)
    pool = pool_of(made)
    pool.draw("000000-000004", rows(range(4)), seconds=10.0, gpus=2, resumed=12, **settle(made))
    # 4 of 16 responses, 40 of 160 tokens, took 10 s on 2 GPUs: 2 tokens/s a GPU
    row = planned(made, "sample", "all problems")
    assert row["gpu_hours"] == pytest.approx(36 * 40 / 2 / 3600)


def test_a_shard_that_lacks_responses_is_not_done(tmp_path: Path) -> None:
    """A stricter demand asks for more of the same shard: what is there is taken off."""
    made = config(tmp_path)
    pool = pool_of(made)
    drawn = rows(range(4), samples=2)
    facts = settle(made) | {"judge": "another judge"}
    pool.draw("000000-000004", drawn, gpus=2, **facts)
    row = planned(made, "sample", "first wave")
    assert (row["jobs"], row["done"], row["responses"]) == (2, 0, 8 * 2 - 8)


def test_jobs_by_what_jobs_took(tmp_path: Path) -> None:
    made = config(tmp_path)
    point = calibration_point("none", "text", "6x100-s0", "small", "prose")
    job(made, f"select/{point}.tsv", "9.0")
    job(made, f"prune/{point}/pruner=wanda/sparsity=50.tsv", "30.0")
    job(made, f"prune/{point}/pruner=wanda/sparsity=62.5.tsv", "50.0")
    job(made, f"prune/{point}/pruner=magnitude/sparsity=50.tsv", "-")
    job(made, f"sample_benchmark/{point}/pruner=wanda/sparsity=50/benchmark=easy.tsv", "72.0")
    job(made, "grade/model=small/source=stories/sampling=x/000000-000004.tsv", "18.0")
    (Path(made.results) / f"calibration/{point}").mkdir(parents=True)
    (Path(made.results) / f"calibration/{point}/calibration.parquet").write_text("")
    (Path(made.results) / f"checkpoints/{point}/pruner=wanda/sparsity=50").mkdir(parents=True)
    select = planned(made, "select")
    assert (select["jobs"], select["done"]) == (2, 1)
    assert select["cpu_hours"] == pytest.approx(9 / 3600)
    wanda = planned(made, "prune", of="wanda")
    assert (wanda["jobs"], wanda["done"]) == (2, 1)
    assert wanda["gpu_hours"] == pytest.approx(1 * 40 * 1 / 3600)  # on one GPU of the two
    assert wanda["basis"] == "40.0 s/job, 2 of small wanda" + SIZE
    magnitude = planned(made, "prune", of="magnitude")
    assert magnitude["basis"] == "40.0 s/job, 2 of small" + SIZE
    answer = planned(made, "answer")
    assert answer["gpu_hours"] == pytest.approx(4 * 72 * 2 / 3600)
    grade = planned(made, "grade", "all problems")
    assert grade["cpu_hours"] == pytest.approx(10 * 18 / 3600)


def test_answers_by_scores_and_by_the_pools_speed(tmp_path: Path) -> None:
    made = config(tmp_path)
    measured_pool(made)
    # 20 tokens in the model's pool; 2.4 tokens/s a GPU
    row = planned(made, "answer")
    assert row["tokens"] == 120 * 20
    assert row["gpu_hours"] == pytest.approx(120 * 20 / 2.4 / 3600)
    point = calibration_point("none", "none", "none", "small", "none") + "/pruner=none/sparsity=0"
    folder = Path(made.results) / "scores" / point / "benchmark=easy"
    scores = {
        "problems": 10, "responses": 30, "pass_at_1": 0.5, "standard_error": 0.1,
        "mean_tokens": 50.0, "truncated": 0.0, "with_thinking": 1.0, "timed_out": 0,
    }  # fmt: skip
    tables.write(pl.DataFrame([scores]), tables.Scores, folder / "scores.parquet")
    (folder / "responses.parquet").write_text("")
    row = planned(made, "answer")
    assert (row["done"], row["responses"], row["tokens"]) == (1, 90, 90 * 50)
    assert "50 tokens/response of 1 checkpoints scored" in row["basis"]


def test_a_pool_of_another_model_is_an_error(tmp_path: Path) -> None:
    made = config(tmp_path)
    SmallPool(Path(made.pool.path), sampling=made.sampling.drawn,
              entry=HUB_MODEL.model_copy(update={"path": "org/other"})).draw(
                  "000000-000004", rows(range(4)))  # fmt: skip
    with pytest.raises(PoolError, match="org/other"):
        planned(made, "sample", "first wave")


def test_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = config(tmp_path)
    measured_pool(made)
    assert main(["plan", "--config", made.model_dump_json()]) == 0
    printed = capsys.readouterr().out
    header, *lines = printed.splitlines()
    assert header.split()[:6] == ["stage", "model", "of", "scope", "jobs", "done"]
    assert lines[2].split()[:8] == [
        "sample",
        "small",
        "stories",
        "all",
        "problems",
        "10",
        "2",
        "96",
    ]
    # the answers: 120 responses of 20 tokens at 2.4 tokens/s
    assert "expected in all: 0.278 GPU-h\n" in printed
    assert "not in it, for it is not known yet: sample small stories, grade small" in printed
    assert main(["plan", "--config", made.model_dump_json(), "--json"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (row["stage"], row["scope"], row["done"]) == ("sample", "first wave", 2)


def test_a_plan_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom ssgr.__main__ import main\n"
        "assert main(['plan', '--config', sys.argv[1]]) == 0\n"
        "assert not {'torch', 'transformers', 'sympy'} & set(sys.modules)"
    )
    where = str(Path(ssgr.__file__).parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", code, config(tmp_path).model_dump_json()],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": where, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr
