"""The real vLLM, on a CPU: draws as the transformers engine does, and repeats itself exactly."""

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats

import recipe
import smollm2 as smollm2_command
from recipe.audit import is_correct
from ssgr.config import Recipe, Sampling
from ssgr.config.sparsity import Sparsity
from ssgr.pruning.checkpoint import prune_checkpoint
from ssgr.sampling import load_tokenizer, render_prompt
from ssgr.sampling.engines import load_engine
from ssgr.sampling.protocol import Everything, Prompt, Response
from ssgr.storage import tables
from vllm_environment import vllm_python

HERE = Path(__file__).parent
QUESTIONS = pl.DataFrame(recipe.problems("stories", 100, 41))
SAMPLING = Sampling(n=4, temperature=0.6, top_p=0.95, max_tokens=400, seed=5)
GREEDY = Sampling(n=1, temperature=0, top_p=1.0, max_tokens=200, seed=0)

Responses = dict[tuple[str, int], Response]


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has vLLM."""
    return vllm_python()


@pytest.fixture(scope="session")
def call(python: str, root: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run vLLM's interpreter."""

    def run(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [python, *map(str, arguments)],
            env={
                **os.environ,
                "PYTHONPATH": str(root / "workflow"),
                "HF_HUB_OFFLINE": "1",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    return run


@pytest.fixture(scope="session")
def vllm_session(
    call: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path_factory: Any
) -> Callable[..., dict[str, Any]]:
    """Draw with vLLM in one process; see vllm_session.py."""

    def run(model: Path, draws: dict[str, Any], **settings: object) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("session")
        asked, drawn = folder / "asked.json", folder / "drawn.json"
        everything = {"model": str(model), "settings": settings, "draws": draws}
        asked.write_text(json.dumps(everything))
        done = call(HERE / "vllm_session.py", asked, drawn)
        assert done.returncode == 0, done.stderr[-5000:]
        result: dict[str, Any] = json.loads(drawn.read_text())
        return result

    return run


def prompts_of(model: Path | str, questions: Iterable[tuple[str, str]]) -> list[Prompt]:
    tokenizer = load_tokenizer(str(model))
    return [
        Prompt(problem_id, tuple(render_prompt(tokenizer, question, "{question}")))
        for problem_id, question in questions
    ]


def asked(
    prompts: Sequence[Prompt],
    sampling: Sampling,
    requests: Sequence[tuple[str, int]] | None = None,
    **more: object,
) -> dict[str, Any]:
    if requests is None:
        requests = [(prompt.problem_id, k) for prompt in prompts for k in range(sampling.n)]
    return {
        "prompts": {prompt.problem_id: prompt.token_ids for prompt in prompts},
        "sampling": sampling.model_dump(),
        "requests": requests,
        **more,
    }


def drawn(result: dict[str, Any]) -> Responses:
    rows = [Response(p, k, tuple(ids), reason, mean) for p, k, ids, reason, mean in result]
    assert len({(row.problem_id, row.sample) for row in rows}) == len(rows)
    return {(row.problem_id, row.sample): row for row in rows}


def same(left: Responses, right: Responses) -> bool:
    return {key: (r.token_ids, r.finish_reason) for key, r in left.items()} == {
        key: (r.token_ids, r.finish_reason) for key, r in right.items()
    }


def by_transformers(model: Path, prompts: Sequence[Prompt], sampling: Sampling) -> Responses:
    engine = load_engine("transformers", str(model), dtype="float32", device="cpu")
    responses = engine.generate(Everything(prompts, sampling.n), sampling)
    return {(response.problem_id, response.sample): response for response in responses}


@pytest.fixture(scope="module")
def prompts(abacus: Path) -> list[Prompt]:
    return prompts_of(abacus, QUESTIONS.select("problem_id", "question").iter_rows())


@pytest.fixture(scope="module")
def session(
    abacus: Path, prompts: list[Prompt], vllm_session: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """All draws of abacus in fp32, from one load of the model."""
    few = prompts[:8]
    ids = [prompt.problem_id for prompt in few]
    requests = [(i, k) for i in ids for k in range(SAMPLING.n)]
    among = [(prompt.problem_id, 0) for prompt in prompts[8:40]]
    mixed = [r for pair in zip(requests[::-1], among, strict=True) for r in pair]
    later = {1: [(ids[3], 1)], 3: [(ids[3], 0), (ids[0], 3)], 6: [(ids[2], 2)]}
    long = Prompt("long", tuple(prompts[0].token_ids) * 20)
    draws = {
        "greedy": asked(prompts[:24], GREEDY),
        "in order": asked(few, SAMPLING),
        "mixed": asked(prompts[:40], SAMPLING, mixed),
        "two at a time": asked(few, SAMPLING, requests[::-1], batch_size=1),
        "left": asked(few, SAMPLING, leave=5),
        "growing": asked(few, SAMPLING, [(ids[0], 0), (ids[1], 1)], later=later, batch_size=1),
        "refused": asked([prompts[0], long], SAMPLING),
        "all": asked(prompts, SAMPLING),
    }
    return vllm_session(abacus, draws, dtype="float32", batch_size=96)


def responses(session: dict[str, Any], name: str) -> Responses:
    return drawn(session[name]["responses"])


def test_greedy_is_that_of_the_transformers_engine(
    abacus: Path, prompts: list[Prompt], session: dict[str, Any]
) -> None:
    greedy = responses(session, "greedy")
    assert same(greedy, by_transformers(abacus, prompts[:24], GREEDY))
    assert len({response.finish_reason for response in greedy.values()}) == 2


def test_a_pruned_checkpoint_loads_unchanged(
    abacus: Path,
    prompts: list[Prompt],
    vllm_session: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    """A shard for each block, and none of the zeros lost."""
    pruned = tmp_path / "pruned"
    recipe, sparsity = Recipe(method="magnitude"), Sparsity.parse("30")
    prune_checkpoint(abacus, pruned, calibration=[], recipe=recipe, sparsity=sparsity, device="cpu")
    assert len(list(pruned.glob("*.safetensors"))) > 1
    session = vllm_session(pruned, {"greedy": asked(prompts[:8], GREEDY)}, dtype="float32")
    greedy = responses(session, "greedy")
    assert same(greedy, by_transformers(pruned, prompts[:8], GREEDY))
    assert not same(greedy, by_transformers(abacus, prompts[:8], GREEDY))


def test_responses_repeat_exactly_in_any_batch_and_order(session: dict[str, Any]) -> None:
    first = responses(session, "in order")
    assert len(first) == 32
    assert len({response.token_ids for response in first.values()}) > 16
    for name in ("mixed", "two at a time", "all"):
        again = responses(session, name)
        assert same(first, {key: r for key, r in again.items() if key in first}), name
    assert session["two at a time"]["most"] == 2
    assert session["all"]["most"] == 2 * 96  # two batches are handed over, and no more


def test_work_may_grow_between_two_responses(
    session: dict[str, Any], prompts: list[Prompt]
) -> None:
    wanted = [(0, 0), (1, 1), (3, 1), (3, 0), (0, 3)]  # the sixth response never comes
    grown = responses(session, "growing")
    assert set(grown) == {(prompts[i].problem_id, k) for i, k in wanted}
    assert same(grown, {key: responses(session, "in order")[key] for key in grown})


def test_a_consumer_that_leaves_leaves_nothing_running(session: dict[str, Any]) -> None:
    assert len(session["left"]["responses"]) == 5
    assert session["left"]["left"] == 0


def test_a_prompt_is_computed_once_for_its_samples(
    session: dict[str, Any], prompts: list[Prompt]
) -> None:
    """Blocks of 32 tokens are shared; the last token of a prompt is always computed."""
    whole_blocks = sum((len(prompt.token_ids) - 1) // 32 * 32 for prompt in prompts)
    assert session["all"]["cached"] >= (SAMPLING.n - 1) * whole_blocks > 0


def test_a_prompt_that_is_too_long_is_named(session: dict[str, Any]) -> None:
    assert session["max_length"] == 1024
    assert re.search(r"refuses the prompt of problem 'long' \(\d{4} tokens\)", str(session))


def outcomes(model: Path, drawn: Responses) -> pl.DataFrame:
    """One row a response: problem_id, correct, tokens."""
    tokenizer = load_tokenizer(str(model))
    answers = dict(QUESTIONS.select("problem_id", "answer").iter_rows())
    rows = [
        (r.problem_id, is_correct(tokenizer.decode(r.token_ids[:-1]), answers[r.problem_id]),
         len(r.token_ids))
        for r in drawn.values()
    ]  # fmt: skip
    return pl.DataFrame(rows, ["problem_id", "correct", "tokens"], orient="row")


def compare(left: pl.DataFrame, right: pl.DataFrame) -> tuple[float, float]:
    """Return the standard score of the difference of pass@1, by problem, and p of the lengths.

    The problems are the same on both sides, so that they are the clusters of the first and only
    make the second (Kolmogorov-Smirnov) reject less often than its level.
    """
    by_problem = [
        table.group_by("problem_id").agg(pl.col("correct").mean()).sort("problem_id")["correct"]
        for table in (left, right)
    ]
    difference = (by_problem[0] - by_problem[1]).to_numpy()
    score = difference.mean() / (difference.std(ddof=1) / math.sqrt(len(difference)))
    return float(score), float(stats.ks_2samp(left["tokens"], right["tokens"]).pvalue)


def test_correctness_and_lengths_are_distributed_as_by_the_transformers_engine(
    abacus: Path, prompts: list[Prompt], session: dict[str, Any]
) -> None:
    vllm = outcomes(abacus, responses(session, "all"))
    assert len(vllm) == len(QUESTIONS) * SAMPLING.n
    ours = outcomes(abacus, by_transformers(abacus, prompts, SAMPLING))
    score, p = compare(vllm, ours)
    assert abs(score) < 3
    assert p > 0.005
    # the same comparison tells another distribution apart
    hot = SAMPLING.model_copy(update={"temperature": 1.2})
    hot_ones = outcomes(abacus, by_transformers(abacus, prompts[:50], hot))
    score, _ = compare(
        vllm.filter(pl.col("problem_id").is_in(hot_ones["problem_id"].implode())), hot_ones
    )
    assert score > 3
    _, p = compare(vllm, ours.with_columns(pl.col("tokens").clip(upper_bound=300)))
    assert p < 0.005


def test_the_command_samples_with_vllm(
    call: Callable[..., "subprocess.CompletedProcess[str]"],
    abacus: Path,
    session: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The way a user runs it: the stage by vLLM's interpreter, tables in and out."""
    problems, out = tmp_path / "problems.parquet", tmp_path / "responses.parquet"
    tables.write(QUESTIONS.head(8), tables.Problems, problems)
    model = {"path": str(abacus), "engine": "vllm", "dtype": "float32", "prompt": "{question}"}
    arguments = ["-m", "ssgr", "sample", "--problems", problems, "--out", out]
    sampling = ["--sampling", SAMPLING.model_dump_json()]
    done = call(*arguments, *sampling, "--model", json.dumps(model))
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"8/8 .*32 responses", done.stderr)
    table = tables.read(out, tables.Responses)
    columns = table.select("problem_id", "sample", "token_ids", "finish_reason", "mean_logprob")
    assert same(drawn(columns.rows()), responses(session, "in order"))
    broken = tmp_path / "broken"
    shutil.copytree(abacus, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    done = call(*arguments, *sampling, "--model", json.dumps(model | {"path": str(broken)}))
    assert done.returncode == 1
    assert f"error: vLLM cannot load {broken}: " in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="module")
def smollm2(call: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path_factory: Any) -> Path:
    """SmolLM2-135M-Instruct as a folder of fp32 weights."""
    folder: Path = tmp_path_factory.mktemp("models") / "smollm2"
    done = call(smollm2_command.__file__, "--out", folder)
    assert done.returncode == 0, f"{done.stderr[-3000:]}\nInstalled from tests/vllm.txt?"
    return folder


def test_a_real_language_model(smollm2: Path, vllm_session: Callable[..., dict[str, Any]]) -> None:
    questions = [
        ("capital", "What is the capital of France? Answer in one sentence."),
        ("sum", "What is 17 + 25? Think step by step."),
        ("water", "Why is water important for plants? Answer in two sentences."),
    ]
    prompts = prompts_of(smollm2, questions)
    assert (
        load_tokenizer(str(smollm2)).decode(prompts[0].token_ids).startswith("<|im_start|>system")
    )
    assert load_tokenizer(str(smollm2)).eos_token == "<|im_end|>"
    greedy = GREEDY.model_copy(update={"max_tokens": 40})
    warm = SAMPLING.model_copy(update={"max_tokens": 40})
    draws = {
        "greedy": asked(prompts, greedy),
        "warm": asked(prompts, warm),
        "again": asked(prompts[::-1], warm),
    }
    result = vllm_session(smollm2, draws, dtype="float32", batch_size=16, max_length=512)
    assert result["max_length"] == 512
    assert same(responses(result, "greedy"), by_transformers(smollm2, prompts, greedy))
    assert same(responses(result, "warm"), responses(result, "again"))
    assert len(responses(result, "warm")) == 12
    decode = load_tokenizer(str(smollm2)).decode
    assert "Paris" in decode(responses(result, "greedy")["capital", 0].token_ids)
    assert (
        sum("Paris" in decode(responses(result, "warm")["capital", k].token_ids) for k in range(4))
        >= 3
    )


@pytest.mark.parametrize(
    "layout",
    [
        {"tensor": 2},
        {"tensor": 2, "nodes": 2},  # a CPU of vLLM 0.32 runs no pipelines
    ],
    ids=lambda layout: " ".join(map(str, layout.values())),
)
def test_workers_share_a_model(
    layout: dict[str, Any],
    abacus: Path,
    prompts: list[Prompt],
    session: dict[str, Any],
    vllm_session: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of one node and of two, on a CPU: `srun` starts the second node's process on this machine."""
    (tmp_path / "srun").symlink_to(HERE / "fake_srun.py")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SRUN", str(tmp_path / "srun.json"))
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    shared = set(Path("/dev/shm").glob("vllm_dist_*"))
    draws = {"greedy": asked(prompts[:24], GREEDY)}
    result = vllm_session(abacus, draws, dtype="float32", batch_size=32, layout=layout)
    for left in set(Path("/dev/shm").glob("vllm_dist_*")) - shared:  # vLLM forgets them
        left.unlink()
    assert same(responses(result, "greedy"), responses(session, "greedy"))
    assert (tmp_path / "srun.json").is_file() == ("nodes" in layout)
