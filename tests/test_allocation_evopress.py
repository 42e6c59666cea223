"""EvoPress: its database and divergence against whole models, and what it takes from."""

import errno
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from allocation_tasks import linears_of, mean_share, run, statistics_of, task_of
from ssgr.config.sparsity import Sparsity
from ssgr.errors import PruningError
from ssgr.pruning.allocation.database import Database
from ssgr.pruning.allocation.divergence import Divergence
from ssgr.pruning.allocation.ladder import Levels, ladder, mutate
from ssgr.pruning.allocation.method import Task
from ssgr.pruning.allocation.stream import embedded
from ssgr.pruning.objective import CalibrationSequence
from ssgr.pruning.output.tensor_file import TensorFile
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import PRUNERS
from tiny_decoders import tiny, token_sequences


def half_counts(sequences: Sequence[CalibrationSequence]) -> list[CalibrationSequence]:
    """Give the second half of every sequence weight 0."""
    return [
        CalibrationSequence(
            one.token_ids,
            (torch.arange(len(one.token_ids)) < (len(one.token_ids) + 1) // 2).float(),
        )
        for one in sequences
    ]


@pytest.mark.parametrize(
    ("method", "weighted"),
    [("wanda", False), ("sparsegpt", False), ("magnitude", False), ("wanda", True)],
)
def test_the_database_holds_every_matrix_at_every_level(
    method: str, weighted: bool, tmp_path: Path
) -> None:
    model = tiny("qwen2")
    task = task_of(model, tmp_path, method)
    if weighted:
        task = replace(task, sequences=half_counts(task.sequences))
    database = Database(task, ladder(task.sizes, 0.6))
    with torch.no_grad():
        database.build(embedded(task))
    cut = [ids[: (len(ids) + 1) // 2] for ids in token_sequences()]
    seen = cut if weighted else token_sequences()
    gathered = [statistics_of(model, index, seen) for index in range(3)]
    for matrix, shape in enumerate(task.shapes):
        dense = linears_of(model, shape.block)[shape.name].weight.detach()
        for level in (-5, 0, 3):
            pruned = database.read(shape.block, {shape.name: level})[shape.name]
            zeros = database.ladder.zeros(matrix, level)
            assert int((pruned == 0).sum()) == zeros
            share = Sparsity(zeros / dense.numel())
            statistics = gathered[shape.block][shape.name]
            again = PRUNERS[method](dense, statistics, share, PrunerSettings())
            assert float((pruned - again).norm() / again.norm()) < 1e-3


def test_an_interrupted_database_is_completed(tmp_path: Path) -> None:
    task = task_of(tiny("qwen2"), tmp_path)
    database = Database(task, ladder(task.sizes, 0.6))
    with torch.no_grad():
        database.build(embedded(task))
        before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files(database)}
        lost = sorted(before)[4]
        lost.unlink()
        database.build(embedded(task))
    assert {file: file.read_bytes() for file in files(database)} == {
        file: content for file, (content, _) in before.items()
    }
    kept = [file for file in before if file.stat().st_mtime_ns == before[file][1]]
    assert set(before) - set(kept) == {lost}


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(tiny("qwen2"), tmp_path)
    database = Database(task, ladder(task.sizes, 0.6))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TensorFile, "write", full)
    with torch.no_grad(), pytest.raises(PruningError, match="no room for the pruned matrices of"):
        database.build(embedded(task))
    monkeypatch.undo()
    with torch.no_grad():
        database.build(embedded(task))
    assert len([file for file in files(database) if file.suffix == ".safetensors"]) == 21


def test_a_disk_too_small_for_all_levels_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(tiny("qwen2"), tmp_path)
    database = Database(task, ladder(task.sizes, 0.6))
    with torch.no_grad():
        database.build(embedded(task))
    taken = sum(file.stat().st_size for file in files(database))
    for file in files(database):
        file.unlink()
    disk = shutil.disk_usage(tmp_path)._replace(free=taken * 9 // 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    with torch.no_grad(), pytest.raises(PruningError, match="no room for the pruned matrices of"):
        database.build(embedded(task))
    assert files(database) == []


def files(database: Database) -> list[Path]:
    return sorted(database.folder.iterdir())


@pytest.mark.parametrize("weighted", [False, True])
def test_divergence_is_that_of_the_whole_models(weighted: bool, tmp_path: Path) -> None:
    """Candidates that share beginnings, against a copy of the model with the same matrices."""
    model, copy = tiny("gemma3"), tiny("gemma3")
    task = task_of(model, tmp_path)
    if weighted:
        generator = torch.Generator().manual_seed(0)
        weigh = [
            CalibrationSequence(one.token_ids, torch.rand(len(one.token_ids), generator=generator))
            for one in task.sequences
        ]
        task = replace(task, sequences=weigh)
    database = Database(task, ladder(task.sizes, 0.6))
    draw = random.Random(1)
    candidates: list[Levels] = [(0,) * 21]
    for _ in range(3):
        child = mutate(candidates[-1], database.ladder, draw)
        assert child is not None
        candidates.append(child)
    chosen = [1, 3, 5]
    with torch.no_grad():
        dense = embedded(task)
        database.build(dense)
        found = Divergence(task, database, dense)(candidates, chosen)
        for levels, divergence in zip(candidates, found, strict=True):
            for matrix, shape in enumerate(task.shapes):
                linear = linears_of(copy, shape.block)[shape.name]
                linear.weight.copy_(
                    database.read(shape.block, {shape.name: levels[matrix]})[shape.name]
                )
            total, tokens = 0.0, 0.0
            for at in chosen:
                ids = torch.tensor([task.sequences[at].token_ids])
                log_p, log_q = (m(input_ids=ids).logits[0].log_softmax(-1) for m in (model, copy))
                each = nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
                counts = task.sequences[at].weights
                counts = torch.ones(len(each)) if counts is None else counts
                total += float((each * counts).sum())
                tokens += float(counts.sum())
            assert divergence == pytest.approx(total / tokens, rel=1e-3)
    assert len({round(one, 6) for one in found}) == 4


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_evopress_takes_from_the_block_that_does_nothing(method: str, tmp_path: Path) -> None:
    model = tiny("llama")
    with torch.no_grad():
        for name in ("self_attn.o_proj", "mlp.down_proj"):
            linears_of(model, 1)[name].weight *= 1e-3
    task = task_of(model, tmp_path, method, generations=10, offspring=8, sequences=4)
    shares = run("evopress", task)
    others = (mean_share(shares, 0) + mean_share(shares, 2)) / 2
    assert mean_share(shares, 1) > 0.62 > 0.58 > others
    uniform, searched = (divergence_of(model, one, method) for one in ({}, shares))
    assert searched < 0.9 * uniform


def divergence_of(model: Any, shares: dict[tuple[int, str], float], method: str) -> float:
    """KL of the model pruned with dense statistics by some shares (uniform where none)."""
    copy = tiny("llama")
    copy.load_state_dict(model.state_dict())
    with torch.no_grad():
        for index in range(3):
            statistics = statistics_of(model, index, token_sequences())
            for name, linear in linears_of(copy, index).items():
                sparsity = Sparsity(shares.get((index, name), 0.6))
                linear.weight.copy_(
                    PRUNERS[method](linear.weight, statistics[name], sparsity, PrunerSettings())
                )
        total = 0.0
        for ids in token_sequences():
            log_p, log_q = (
                m(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1) for m in (model, copy)
            )
            total += float(nn.functional.kl_div(log_q, log_p, reduction="sum", log_target=True))
    return total


def test_evopress_depends_on_its_seed_alone(tmp_path: Path) -> None:
    tasks = [
        task_of(tiny("llama"), tmp_path, generations=4, offspring=6, sequences=3, seed=seed)
        for seed in (0, 0, 1)
    ]
    found = [run("evopress", task) for task in tasks]
    assert found[0] == found[1] != found[2]


def test_an_interrupted_search_goes_on_after_its_last_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(name: str) -> Task:
        budget = {"generations": 4, "offspring": 6, "sequences": 3}
        return task_of(tiny("llama"), tmp_path / name, **budget)

    calls, usual = [], Divergence.__call__

    def counted(self: Divergence, candidates: Sequence[Levels], chosen: Sequence[int]) -> Any:
        if len(calls) == interrupted:
            raise KeyboardInterrupt
        calls.append(len(candidates))
        return usual(self, candidates, chosen)

    interrupted = -1
    monkeypatch.setattr(Divergence, "__call__", counted)
    expected = run("evopress", task("whole"))
    whole = calls.copy()
    calls.clear()
    interrupted = 6  # within the third generation: the start is one call, each other has two
    with pytest.raises(KeyboardInterrupt):
        run("evopress", task("cut"))
    calls.clear()
    interrupted = -1
    assert run("evopress", task("cut")) == expected
    assert (len(whole), calls) == (9, whole[5:])
    assert list((tmp_path / "cut").iterdir()) == []
