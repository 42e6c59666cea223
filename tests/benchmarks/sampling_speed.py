"""Our decoding loop against plain batched `generate`, on the same work in the same run.

    PYTHONPATH=resources/abacus python tests/benchmarks/sampling_speed.py
        [--problems 75] [--samples 4] [--slots 128 256]

Prints tokens per second of processor time and by the clock, and their ratio; one thread. Tokens
of `generate` are counted up to the end token, as ours are.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from transformers import AutoModelForCausalLM

import recipe
from ssgr.config import Sampling
from ssgr.sampling import load_tokenizer, render_prompt
from ssgr.sampling.protocol import Everything, Prompt
from ssgr.sampling.transformers.engine import TransformersEngine

MODEL = str(Path(__file__).parents[2] / "resources" / "abacus")


def measured(name: str, work: Callable[[], int]) -> float:
    """Print and return tokens per second of processor time."""
    processor, clock = time.process_time(), time.perf_counter()
    tokens = work()
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    print(
        f"{name:<16} {tokens:>8} tokens {tokens / processor:>8.0f}/cpu-s {tokens / clock:>8.0f}/s"
    )
    return tokens / processor


def generate(model: torch.nn.Module, prompts: list[Prompt], sampling: Sampling) -> int:
    """Plain batched `generate`, prompts padded to the left; returns the tokens of responses."""
    rows = [prompt.token_ids for prompt in prompts for _ in range(sampling.n)]
    width = max(map(len, rows))
    pad = model.generation_config.pad_token_id
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    output = model.generate(
        ids, attention_mask=mask, do_sample=True, temperature=sampling.temperature,
        top_p=sampling.top_p, top_k=0, max_new_tokens=sampling.max_tokens,
    )[:, width:]  # fmt: skip
    end = model.generation_config.eos_token_id
    ended = (output == end).int()
    lengths = torch.where(ended.any(1), ended.argmax(1) + 1, output.shape[1])
    return int(lengths.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=75)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--slots", type=int, nargs="+", default=[128, 256])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = load_tokenizer(MODEL)
    prompts = [
        Prompt(row["problem_id"], tuple(render_prompt(tokenizer, row["question"], "{question}")))
        for row in recipe.problems("stories", asked.problems, 7)
    ]
    sampling = Sampling(n=asked.samples, temperature=0.6, top_p=0.95, max_tokens=512, seed=0)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    with torch.inference_mode():
        plain = measured("generate", lambda: generate(model, prompts, sampling))
    for slots in asked.slots:
        engine = TransformersEngine(model, slots)
        ours = measured(
            f"ours, {slots} slots",
            lambda engine=engine: sum(
                len(response.token_ids)
                for response in engine.generate(Everything(prompts, sampling.n), sampling)
            ),
        )
        print(f"{'':<16} {ours / plain:.2f}x of generate, by processor time")


if __name__ == "__main__":
    main()
