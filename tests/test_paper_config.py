"""config/paper.yaml asks for what the paper did: counted from the paper, not from our code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

# Section 3.1 and 5.1, Tables 1 to 8, Figure 4; and the three further experiments of ours.
MAIN = ["C4", "MathR", "SGR", "SSGR"]
TABLE_1 = ["true", "false", "random", "short", "medium", "long"]
TABLE_3 = ["C4", "Wikipedia", "DCLM", "MathR", "SGR", "SGR without thinking"]
TABLE_4 = ["easy", "medium difficulty", "hard"]
TABLE_6 = ["0.5k", "1k", "2k", "4k", "8k"]  # 16k is SSGR
TABLE_7 = ["tau 0.25", "tau 0.5", "tau 1"]  # 0.75 is SSGR
TABLE_8 = ["by Qwen3-14B"]
VERIFIERS = ["exact", "numeric", "pattern", "math-verify"]  # the ladder is SSGR
TAUS = ["tau 0.5", "tau 0.6", "tau 0.7", "tau 0.8", "tau 0.9"]
QWEN_7B_SPARSEGPT_50 = {
    *MAIN, *TABLE_1, *TABLE_3, *TABLE_4, *TABLE_6, *TABLE_7, *TABLE_8, *VERIFIERS, *TAUS
}  # fmt: skip
FIGURE_4 = [(data, pattern) for data in MAIN for pattern in ("60", "4:8", "2:4")]
PRUNED_QWEN_7B = len(QWEN_7B_SPARSEGPT_50) + len(MAIN) + len(FIGURE_4)  # Wanda in Table 2
PRUNED_LLAMA_8B = 2 * len(MAIN)
PRUNED_QWEN3_14B = len(MAIN)
PRUNED = PRUNED_QWEN_7B + PRUNED_LLAMA_8B + PRUNED_QWEN3_14B
DENSE = 3
BENCHMARKS = 5
ONLY_THREE_BENCHMARKS = len(TABLE_1)  # AIME, Olympiad, GPQA
ANSWERED = (PRUNED + DENSE) * BENCHMARKS - ONLY_THREE_BENCHMARKS * (BENCHMARKS - 3)
SETS = len(QWEN_7B_SPARSEGPT_50) + 2 * len(MAIN)
TABLES_AND_FIGURES = 8 + 5 + 3


def dry_run(root: Path, directory: Path, *more: Path) -> str:
    """What `snakemake -n` says of the paper's configuration, and of files after it."""
    command = [
        *(sys.executable, "-m", "snakemake", "--dry-run", "-p", "--cores", "all"),
        *("--snakefile", str(root / "Snakefile"), "--resources", "gpu=8"),
        *("--directory", str(directory)),
        *("--configfile", str(root / "config" / "paper.yaml"), *map(str, more)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def jobs_of(plan: str) -> dict[str, int]:
    table = plan.partition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M)}


@pytest.fixture(scope="module")
def plan(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The plan of the paper."""
    return dry_run(root, tmp_path_factory.mktemp("paper"))


def test_the_plan_has_the_papers_jobs_and_no_others(plan: str) -> None:
    jobs = jobs_of(plan)
    wave = 8
    # the first wave of a pool: Qwen-7B, Llama-8B, Qwen3-14B; Qwen-7B by five verifiers
    assert jobs.pop("sample") == DENSE * wave
    assert jobs.pop("grade") == (DENSE + len(VERIFIERS)) * wave
    assert jobs.pop("tally") == SETS - (len(MAIN) - 2) * DENSE - len(["Wikipedia", "DCLM"])
    assert jobs == {
        "source_problems": len(["C4", "Wikipedia", "DCLM", "MathR"]),
        "benchmark_problems": BENCHMARKS,
        "select": SETS,
        "prune": PRUNED,
        "sample_benchmark": ANSWERED,
        "grade_benchmark": ANSWERED,
        "score": ANSWERED,
        "experiment": TABLES_AND_FIGURES,
        "paper_page": 1,
        "all": 1,
    }


def test_no_point_is_computed_twice(plan: str) -> None:
    """Each job is there once: its command names what it makes."""
    made = re.findall(r"--out (\S+)", plan)
    assert len(made) > PRUNED + 3 * ANSWERED
    assert len(made) == len(set(made))


def test_the_plan_reads_as_a_plan(plan: str) -> None:
    assert "Prune r1-qwen-7b to 50 by sparsegpt on mathr, median, tau 0.75" in plan
    assert "Answer gpqa: qwen3-14b, none 0" in plan


def test_her_own_model_is_the_readmes_file(root: Path, tmp_path: Path) -> None:
    """The README's file after the paper's: her model alone, but for what needs another one."""
    readme = (root / "README.md").read_text()
    (tmp_path / "mine.yaml").write_text(readme.partition("# mine.yaml\n")[2].partition("```")[0])
    plan = dry_run(root, tmp_path, tmp_path / "mine.yaml")
    assert jobs_of(plan)["prune"] == PRUNED_QWEN_7B - len(TABLE_8)
    assert "Prune mine to 2-4 by sparsegpt" in plan
    assert "r1-qwen-7b" not in plan.partition("Job stats:")[2]


def test_the_papers_numbers_of_problems_and_responses(root: Path) -> None:
    raw = yaml.safe_load((root / "config" / "paper.yaml").read_text())
    assert raw["sampling"] | {"early_stop": True} == {
        "n": 16, "temperature": 0.6, "top_p": 0.95, "max_tokens": 32768, "seed": 0,
        "early_stop": True,
    }  # fmt: skip
    assert raw["evaluation"]["n"] == 4
    assert (raw["budget"]["sequences"], raw["budget"]["tokens"]) == (128, 16384)
    assert all(re.fullmatch(r"[0-9a-f]{40}", entry["revision"]) for entry in raw["models"].values())
