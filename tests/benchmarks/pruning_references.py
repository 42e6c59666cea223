"""Our pruning against the published loops, the same work in the same run.

    python tests/benchmarks/pruning_references.py MODEL [--sequences 16] [--tokens 512]

Each implementation runs in a process of its own, on one thread, from a folder in fp32 to a pruned
one: processor seconds, memory beyond what stands before, output error (with the dense model's
inputs) and perplexity on calibration and on held-out text. The reference is written after the
repositories of Wanda and SparseGPT (IST-DASLab): the whole model in memory, a Gram matrix for each
linear, column by column.
"""

import argparse
import gzip
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

PROSE = Path(__file__).parents[2] / "resources" / "abacus" / "recipe" / "prose.jsonl.gz"
NAMES = ["reference wanda", "ours wanda", "reference sparsegpt", "ours sparsegpt"]
BLOCK, DAMPING = 128, 0.01


def linears(block: nn.Module) -> dict[str, nn.Linear]:
    return {n: m for n, m in block.named_modules() if isinstance(m, nn.Linear)}


class Reference:
    """SparseGPT's and Wanda's own loops, for one linear."""

    def __init__(self, linear: nn.Linear, name: str) -> None:
        self.linear, self.name, self.samples = linear, name, 0
        width = linear.in_features
        self.hessian = torch.zeros(width, width) if name == "sparsegpt" else None
        self.norm = torch.zeros(width)

    def add(self, inputs: Tensor) -> None:
        rows = inputs.reshape(-1, inputs.shape[-1]).t()
        share = self.samples / (self.samples + 1)
        if self.hessian is not None:
            self.hessian *= share
            scaled = math.sqrt(2 / (self.samples + 1)) * rows
            self.hessian += scaled.matmul(scaled.t())
        else:
            self.norm *= share
            self.norm += torch.norm(rows, p=2, dim=1) ** 2 / (self.samples + 1)
        self.samples += 1

    def prune(self, sparsity: float) -> None:
        (self.sparsegpt if self.name == "sparsegpt" else self.wanda)(sparsity)

    def wanda(self, sparsity: float) -> None:
        weight = self.linear.weight.data
        order = torch.sort(weight.abs() * self.norm.sqrt()[None], dim=-1, stable=True)[1]
        mask = torch.zeros_like(weight, dtype=torch.bool)
        mask.scatter_(1, order[:, : int(weight.shape[1] * sparsity)], True)
        weight[mask] = 0

    def sparsegpt(self, sparsity: float) -> None:
        weight, hessian = self.linear.weight.data.clone(), self.hessian
        assert hessian is not None
        columns = weight.shape[1]
        dead = hessian.diagonal() == 0
        hessian[dead, dead] = 1
        weight[:, dead] = 0
        hessian.diagonal().add_(DAMPING * hessian.diagonal().mean())
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        upper = torch.linalg.cholesky(inverse, upper=True)
        for start in range(0, columns, BLOCK):
            stop = min(start + BLOCK, columns)
            part, factor = weight[:, start:stop].clone(), upper[start:stop, start:stop]
            pruned, errors = torch.zeros_like(part), torch.zeros_like(part)
            scores = part**2 / factor.diagonal().reshape(1, -1) ** 2
            threshold = torch.sort(scores.flatten())[0][int(scores.numel() * sparsity)]
            mask = scores <= threshold
            for column in range(stop - start):
                kept = part[:, column].clone()
                kept[mask[:, column]] = 0
                pruned[:, column] = kept
                error = (part[:, column] - kept) / factor[column, column]
                part[:, column:] -= error.unsqueeze(1).matmul(factor[column, column:].unsqueeze(0))
                errors[:, column] = error
            weight[:, start:stop] = pruned
            weight[:, stop:] -= errors.matmul(upper[start:stop, stop:])
        self.linear.weight.data = weight


class _CaughtError(Exception):
    pass


def reference(name: str, folder: Path, out: Path, ids: list[list[int]], sparsity: float) -> None:
    """Prune as the repositories do: all sequences of one length, the model in memory."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    say_so_far()
    caught: list[tuple[Tensor, dict[str, Any]]] = []

    def catch(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        caught.append((args[0] if args else kwargs.pop("hidden_states"), kwargs))
        raise _CaughtError

    first = model.model.layers[0].register_forward_pre_hook(catch, with_kwargs=True)
    for row in ids:
        try:
            model(torch.tensor([row]), use_cache=False)
        except _CaughtError:
            continue
    first.remove()
    hidden = torch.cat([states for states, _ in caught])
    arguments = caught[0][1]
    for block in model.model.layers:
        wrapped = {n: Reference(linear, name) for n, linear in linears(block).items()}
        handles = [
            linears(block)[n].register_forward_hook(lambda _, args, __, w=w: w.add(args[0]))
            for n, w in wrapped.items()
        ]
        for row in hidden:
            block(row[None], **arguments)
        for handle in handles:
            handle.remove()
        for one in wrapped.values():
            one.prune(sparsity)
        hidden = torch.cat([block(row[None], **arguments) for row in hidden])
    say_so_far()
    model.save_pretrained(out)


def ours(name: str, folder: Path, out: Path, ids: list[list[int]], sparsity: float) -> None:
    from ssgr.config import Recipe
    from ssgr.config.sparsity import Sparsity
    from ssgr.pruning.checkpoint import prune_checkpoint
    from ssgr.pruning.objective import CalibrationSequence

    say_so_far()
    prune_checkpoint(
        folder,
        out,
        calibration=[CalibrationSequence(row) for row in ids],
        recipe=Recipe(method=name),
        sparsity=Sparsity(sparsity),
        device="cpu",
    )
    say_so_far()


def say_so_far() -> None:
    """Print processor seconds and peak memory up to now."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"mb": peak, "cpu": time.process_time()}), flush=True)


def texts(folder: Path, sequences: int, tokens: int) -> tuple[list[list[int]], list[list[int]]]:
    """Calibration and held-out sequences of the Python documentation."""
    with gzip.open(PROSE, "rt") as file:
        whole = "\n\n".join(json.loads(line)["text"] for line in file)
    ids = AutoTokenizer.from_pretrained(folder)(whole)["input_ids"]
    rows = [ids[at : at + tokens] for at in range(0, len(ids) - tokens, tokens)]
    return rows[0 : 2 * sequences : 2], rows[1 : 2 * sequences : 2]


def grams(model: Any, ids: list[list[int]]) -> Iterator[tuple[str, nn.Linear, Tensor]]:
    """The Gram matrix of each linear's inputs; k and v read what q reads, up what gate reads."""
    found: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def add(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            rows = args[0].reshape(-1, args[0].shape[-1])
            found[name] = found.get(name, 0) + rows.T @ rows

        return add

    alike = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
    layers = linears(model.model.layers)
    handles = [
        linear.register_forward_pre_hook(hook(name))
        for name, linear in layers.items()
        if name.split(".")[-1] not in alike
    ]
    for row in ids:
        model.model(torch.tensor([row]), use_cache=False)
    for handle in handles:
        handle.remove()
    for name, linear in layers.items():
        own = name.split(".")[-1]
        gram = found[name.removesuffix(own) + alike.get(own, own)]
        yield f"model.layers.{name}.weight", linear, gram


def errors(
    dense: Any, pruned: dict[str, dict[str, Tensor]], ids: list[list[int]]
) -> dict[str, float]:
    """Mean over the matrices of tr(dW G dW^T) / tr(W G W^T), of each implementation."""
    found: dict[str, list[float]] = {which: [] for which in pruned}
    for name, linear, gram in grams(dense, ids):
        energy = float((linear.weight @ gram).mul(linear.weight).sum())
        for which, weights in pruned.items():
            change = weights[name] - linear.weight
            found[which].append(float((change @ gram).mul(change).sum()) / energy)
    return {which: sum(values) / len(values) for which, values in found.items()}


def perplexity(model: Any, ids: list[list[int]]) -> float:
    losses = [
        nn.functional.cross_entropy(
            model(torch.tensor([row]), use_cache=False).logits[0, :-1], torch.tensor(row[1:])
        )
        for row in ids
    ]
    return math.exp(float(torch.stack(losses).mean()))


def work(name: str, args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Run one implementation in a process of its own."""
    command = [sys.executable, __file__, args.model, "--worker", name, "--out", str(out)]
    for flag in ("sequences", "tokens", "sparsity"):
        command += [f"--{flag}", str(getattr(args, flag))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    before, after = (json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{")
    return {
        "implementation": name,
        "cpu_s": after["cpu"] - before["cpu"],
        "extra_mb": after["mb"] - before["mb"],
        "peak_mb": after["mb"],
    }


def compare(args: argparse.Namespace, ids: list[list[int]], held_out: list[list[int]]) -> None:
    """Print all implementations side by side, and each of ours against its reference."""

    def load(folder: str) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    with tempfile.TemporaryDirectory() as scratch:
        rows = [work(name, args, Path(scratch, name.replace(" ", "-"))) for name in args.only]
        dense, weights = load(args.model), {}
        for row in rows:
            model = load(str(Path(scratch, row["implementation"].replace(" ", "-"))))
            weights[row["implementation"]] = {n: p.data for n, p in model.named_parameters()}
            row["perplexity"] = perplexity(model, held_out)
    seen, unseen = errors(dense, weights, ids), errors(dense, weights, held_out)
    cpu = {row["implementation"]: row["cpu_s"] for row in rows}
    for row in rows:
        name = row["implementation"]
        row |= {"error": seen[name], "held_out_error": unseen[name]}
        row["of_reference"] = row["cpu_s"] / cpu.get(f"reference {name.split()[1]}", math.nan)
    print(f"dense perplexity {perplexity(dense, held_out):.2f}")
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=160, float_precision=4):
        print(pl.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--sequences", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--worker")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="+", default=NAMES)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    folder = Path(args.model)
    ids, held_out = texts(folder, args.sequences, args.tokens)
    if args.worker:
        whose, name = args.worker.split()
        run = reference if whose == "reference" else ours
        run(name, folder, args.out, ids, args.sparsity)
    else:
        compare(args, ids, held_out)


if __name__ == "__main__":
    main()
