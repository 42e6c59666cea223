"""Our vLLM engine against `LLM.generate` of the same loaded model, prompt by prompt the same work.

    .venv-vllm/bin/python tests/benchmarks/vllm_speed.py [--model FOLDER] [--problems 64]

Run with PYTHONPATH=workflow:resources/abacus by the interpreter that has vLLM; the model is abacus
unless another folder is named (`snakemake smollm2` makes one of SmolLM2). Both sides share one
engine, so that nothing but the way it is driven differs; its prefix cache is emptied before each
run, the sides take turns, and a ratio is the median over the turns. `generate` gets one request
of n samples a prompt, with the seed that makes its responses ours; `generate, no seeds` leaves the
seeds out. One thread.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

import recipe
from ssgr.config import Sampling
from ssgr.sampling import load_tokenizer, render_prompt
from ssgr.sampling.protocol import EngineSettings, Everything, Prompt
from ssgr.sampling.seeds import response_seed
from ssgr.sampling.vllm import engine

Speed = tuple[float, float]  # tokens per second of processor time, and by the clock


def ours(llm: Any, prompts: list[Prompt], sampling: Sampling, batch_size: int) -> int:
    work = Everything(prompts, sampling.n)
    drawn = engine.VllmEngine(llm.llm_engine, batch_size).generate(work, sampling)
    return sum(len(response.token_ids) for response in drawn)


def plain(llm: Any, prompts: list[Prompt], sampling: Sampling, seeded: bool) -> int:
    from vllm import SamplingParams, TokensPrompt

    parameters = [
        SamplingParams(
            n=sampling.n,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            seed=response_seed(sampling.seed, prompt.problem_id, 0) if seeded else None,
        )
        for prompt in prompts
    ]
    tokens = [TokensPrompt(prompt_token_ids=list(prompt.token_ids)) for prompt in prompts]
    done = llm.generate(tokens, parameters, use_tqdm=False)
    return sum(len(completion.token_ids) for output in done for completion in output.outputs)


def measured(work: Callable[[], int]) -> tuple[Speed, int]:
    processor, clock = time.process_time(), time.perf_counter()
    tokens = work()
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    return (tokens / processor, tokens / clock), tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(Path(__file__).parents[2] / "resources" / "abacus"))
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    for name, value in engine.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    tokenizer = load_tokenizer(asked.model)
    prompts = [
        Prompt(row["problem_id"], tuple(render_prompt(tokenizer, row["question"], "{question}")))
        for row in recipe.problems("stories", asked.problems, 7)
    ]
    length = max(len(prompt.token_ids) for prompt in prompts) + asked.max_tokens
    sampling = Sampling(
        n=asked.samples, temperature=0.6, top_p=0.95, max_tokens=asked.max_tokens, seed=0
    )
    settings = EngineSettings(batch_size=asked.batch_size, dtype="float32", max_length=length)
    llm = LLM(**engine._arguments(asked.model, settings))
    sides: dict[str, Callable[[], int]] = {
        "ours": lambda: ours(llm, prompts, sampling, asked.batch_size),
        "generate": lambda: plain(llm, prompts, sampling, seeded=True),
        "generate, no seeds": lambda: plain(llm, prompts, sampling, seeded=False),
    }
    ours(llm, prompts[:8], sampling, asked.batch_size)  # warm up
    speeds: dict[str, list[Speed]] = {name: [] for name in sides}
    for repeat in range(asked.repeats):
        order = list(sides) if repeat % 2 else list(sides)[::-1]
        for name in order:
            llm.reset_prefix_cache()
            speed, tokens = measured(sides[name])
            speeds[name].append(speed)
            print(f"{name:<20} {tokens:>8} tokens {speed[0]:>8.0f}/cpu-s {speed[1]:>8.0f}/s")
    for name in list(sides)[1:]:
        turns = zip(speeds["ours"], speeds[name], strict=True)
        ratios = [(mine[0] / theirs[0], mine[1] / theirs[1]) for mine, theirs in turns]
        processor, clock = (median(column) for column in zip(*ratios, strict=True))
        print(f"ours over {name}: {processor:.3f} by processor time, {clock:.3f} by the clock")


if __name__ == "__main__":
    main()
