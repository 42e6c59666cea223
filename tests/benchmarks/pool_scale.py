"""What a pool of 15,000 problems x 16 responses costs to grade, tally and select; no GPU.

    python tests/benchmarks/pool_scale.py [--problems 1500 5000 15000] [--longer 1] [--curve F.svg]

SIMULATION: nothing here measures sampling. A few hundred responses are drawn once from abacus by
the real engine; `ReplayEngine` then answers every problem by replaying one recorded problem's
responses, and that problem's reference answer becomes its answer, so that lengths and correctness
ratios are the recording's. Each problem swaps the digits 1-9 in its own way, in its responses and
its answer alike: no two problems share texts or verdicts, which would make grading and files
cheaper than real ones. From there on everything is the pipeline's own: `ssgr.sampling.sample`,
`Shard.grow`, and the commands `grade-shard`, `tally` (wave by wave) and `select`, each in a process
of its own whose wall time, processor time and peak memory are measured (Linux: `wait4`, and VmHWM
of the process when it ends).

``--longer 100`` puts the reasoning of 99 other responses before each response, as long as a large
model's (the paper allows 32,768 tokens).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import polars as pl

from ssgr import problems
from ssgr.config import AbacusSet, Budget, Filters, Model, Sampling
from ssgr.grading.spec import Judging
from ssgr.pool import receipts, store
from ssgr.pool.shards import Asked, Shard
from ssgr.problems.embedded import FOLDER
from ssgr.sampling import Response, Work, load_engine, load_tokenizer, sample
from ssgr.selection.early_stop import Needs
from ssgr.storage.tables import Problems, Responses, read, write

MODEL = Model(path=str(FOLDER), prompt="{question}", gpu=0, batch_size=160)
SAMPLING = Sampling(n=16, max_tokens=512)
RECORDED = 48
POINTS = {"SSGR": ("0.75", "median"), "SGR": ("1.00", "first")}
BUDGET = Budget(sequences=128, tokens=512, allow_fewer=True)
# Not ru_maxrss: it starts with what this process had when it forked.
COMMAND = """
import re, sys
from pathlib import Path
from ssgr.__main__ import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


@dataclass(frozen=True)
class Recording:
    """Responses that abacus really gave: by recorded problem, with its reference answer."""

    responses: dict[str, list[Response]]
    answers: dict[str, str]

    def of(self, problem_id: str) -> str:
        """The recorded problem whose responses a problem is answered with."""
        names = sorted(self.responses)
        digest = blake2b(problem_id.encode(), digest_size=8).digest()
        return names[int.from_bytes(digest, "big") % len(names)]


def recording(folder: Path) -> Recording:
    """Draw the responses from abacus, or read those drawn before."""
    path = folder / f"recorded-{RECORDED}-{SAMPLING.key}.parquet"
    table, _ = problems.load(AbacusSet(kind="stories", count=RECORDED))
    if not path.is_file():
        drawn = sample(
            table,
            name="recording abacus",
            template=MODEL.prompt,
            sampling=SAMPLING,
            engine=lambda length: load_engine(
                "transformers", MODEL.path, batch_size=160, max_length=length
            ),
            tokenizer=load_tokenizer(MODEL.path),
        )
        write(drawn.responses, Responses, path, "{}")
        print(f"recorded {len(drawn.responses)} responses in {drawn.seconds:.0f} s: {path}")
    found: dict[str, list[Response]] = {}
    for row in read(path, Responses).iter_rows(named=True):
        token_ids = tuple(row["token_ids"])
        response = Response(row["problem_id"], row["sample"], token_ids, row["finish_reason"], -1.0)
        found.setdefault(row["problem_id"], []).append(response)
    return Recording(found, dict(table.select("problem_id", "answer").iter_rows()))


def swapped(key: str) -> list[int]:
    """What each digit 0-9 becomes, for this key."""
    return [0, *Random(key).sample(range(1, 10), 9)]


@dataclass
class ReplayEngine:
    """SIMULATED engine: it has no model and answers by replaying recorded responses.

    ``longer`` times as long: the reasoning of other recorded responses, up to their tag
    ``think_close``, comes before the response's own. ``digits`` are the tokens of 0-9.
    """

    recording: Recording
    longer: int
    think_close: int
    digits: tuple[int, ...]
    max_length: int | None = None

    def close(self) -> None:
        """Do nothing: all of it is in this process."""

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        """Yield a recorded response to each request."""
        while request := work.take(True):
            problem_id = request.prompt.problem_id
            recorded = self.recording.responses[self.recording.of(problem_id)][request.sample]
            before = self._reasoning(f"{problem_id}/{request.sample}")
            yield Response(
                problem_id,
                request.sample,
                (*before, *self._swapped(recorded.token_ids, problem_id)),
                recorded.finish_reason,
                recorded.mean_logprob,
            )

    def _reasoning(self, key: str) -> list[int]:
        """What is put before a response; digits swapped part by part, so that none repeats."""
        token_ids: list[int] = []
        for part in range(self.longer - 1):
            other = self.recording.of(f"{key}/{part}")
            thought = self.recording.responses[other][part % SAMPLING.n].token_ids
            end = thought.index(self.think_close) if self.think_close in thought else len(thought)
            token_ids += self._swapped(thought[1:end], f"{key}/{part}")  # no opening tag
        return token_ids

    def _swapped(self, token_ids: tuple[int, ...], key: str) -> list[int]:
        new = [self.digits[digit] for digit in swapped(key)]
        swap = dict(zip(self.digits, new, strict=True))
        return [swap.get(token, token) for token in token_ids]


@dataclass
class Cost:
    """What processes of one kind took so far; ``peak`` is the largest one's memory, in MB."""

    jobs: int = 0
    wall: float = 0.0
    processor: float = 0.0
    peak: float = 0.0

    def run(self, *arguments: str) -> None:
        """Run a command of ssgr in a process of its own and add what it took."""
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        said = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{arguments[0]} failed with exit code {process.returncode}")
        self.jobs += 1
        self.wall += time.perf_counter() - start
        self.processor += usage.ru_utime + usage.ru_stime
        self.peak = max(self.peak, int(said[-1]) / 1024)

    def of(self, work: Callable[[], None]) -> None:
        """Add what work in this process takes."""
        start, processor = time.perf_counter(), time.process_time()
        work()
        self.jobs += 1
        self.wall += time.perf_counter() - start
        self.processor += time.process_time() - processor


@dataclass
class Scale:
    """A pool that grows in ``folder``, and what it cost."""

    folder: Path
    source: pl.DataFrame
    engine: ReplayEngine
    sampling: Sampling
    shard_size: int
    wave_size: int
    costs: dict[str, Cost] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = f"model=abacus/source=stories/sampling={self.sampling.key}"
        self.pool, self.results = self.folder / "pool", self.folder / "results"
        self.problems = self.results / "problems.parquet"
        self.tokenizer = load_tokenizer(MODEL.path)
        write(self.source, Problems, self.problems, "{}")

    def cost(self, stage: str) -> Cost:
        """What a stage cost so far."""
        return self.costs.setdefault(stage, Cost())

    def wave(self, number: int) -> None:
        """Fill, grade and tally one wave."""
        graded = [self._shard(number * self.wave_size + k) for k in range(self.wave_size)]
        for label, (tau, length) in POINTS.items():
            before = self._tally(label, number - 1)
            self.cost(f"tally {label}").run(
                *("tally", "--length", length, "--tau", tau, "--samples", str(self.sampling.n)),
                *("--budget", BUDGET.model_dump_json(), "--pool", str(self.pool)),
                *(word for path in graded for word in ("--graded", str(path))),
                *(("--before", str(before)) if number else ()),
                *("--out", str(self._tally(label, number))),
            )

    def select(self, waves: int) -> None:
        """Select from what so many waves found."""
        for label, (tau, length) in POINTS.items():
            out = self.results / label / f"{waves}"
            self.costs[f"select {label}"] = Cost()
            self.cost(f"select {label}").run(
                *("select", "--length", length, "--tau", tau, "--model", MODEL.path),
                *("--budget", BUDGET.model_dump_json(), "--pool", str(self.pool)),
                *("--problems", str(self.problems)),
                *("--candidates", str(self._tally(label, waves - 1))),
                *("--out", f"{out}.parquet", "--funnel", f"{out}-funnel.parquet"),
            )

    def bytes(self, stage: str) -> int:
        """Bytes of the pool's parts of a stage."""
        return sum(path.stat().st_size for path in (self.pool / stage).rglob("*.parquet"))

    def _tally(self, label: str, wave: int) -> Path:
        return self.results / "tally" / label / f"{wave:04d}" / "candidates.parquet"

    def _shard(self, number: int) -> Path:
        """Fill one shard and grade it; returns the receipt of its grades."""
        first, last = number * self.shard_size, (number + 1) * self.shard_size
        name = f"{first:06d}-{last:06d}"
        sampled, graded = (
            self.results / stage / f"{name}.json" for stage in ("responses", "grades")
        )
        self.cost("fill (simulated)").of(lambda: self._fill(first, name, sampled))
        self.cost("grade-shard").run(
            *("grade-shard", "--pool", str(self.pool), "--responses", str(sampled)),
            *("--problems", str(self.problems), "--judging", Judging().model_dump_json()),
            *("--first", str(first), "--last", str(last)),
            *("--grades", str(self.pool / "grades" / self.key / "grader=scale")),
            *("--out", str(graded)),
        )
        return graded

    def _fill(self, first: int, name: str, out: Path) -> None:
        visited = self.source.slice(first, self.shard_size)
        drawn = sample(
            visited,
            name=name,
            template=MODEL.prompt,
            sampling=self.sampling,
            engine=lambda length: self.engine,
            tokenizer=self.tokenizer,
            progress_interval=60,
        )
        manifest = {**store.manifest(MODEL, self.sampling), "engine": "replay (simulated)"}
        path = self.pool / "responses" / self.key / f"{name}.parquet"
        every = Needs(demands=None, filters=Filters())
        shard = Shard(path, manifest, every, "none", Asked.of(visited))
        store.claim(path.parent, manifest)
        facts = {"resumed": 0, "gpus": 0, "versions": {}}
        shard.grow(drawn.responses, seconds=drawn.seconds, **facts)
        receipts.write(shard.sampled(self.pool), out)


def source(count: int, recorded: Recording) -> pl.DataFrame:
    """Problems of abacus, each with the reference answer of the problem that is replayed to it."""
    table, _ = problems.load(AbacusSet(kind="stories", count=count, seed=1))
    answers = [
        recorded.answers[recorded.of(key)].translate(
            dict(zip(map(ord, "0123456789"), map(str, swapped(key)), strict=True))
        )
        for key in table["problem_id"]
    ]
    return table.with_columns(pl.Series("answer", answers))


def report(scale: Scale, count: int) -> list[dict[str, object]]:
    """Print the costs so far; return them as rows of the curve."""
    print(
        f"\n{count} problems, {count * scale.sampling.n} responses; "
        f"{scale.bytes('responses') / 1e6:.0f} MB of responses, "
        f"{scale.bytes('grades') / 1e6:.1f} MB of grades"
    )
    print(f"{'stage':<18}{'jobs':>6}{'wall s':>10}{'cpu s':>10}{'peak MB':>10}")
    for stage, cost in scale.costs.items():
        peak = f"{cost.peak:>10.0f}" if cost.peak else f"{'-':>10}"
        print(f"{stage:<18}{cost.jobs:>6}{cost.wall:>10.1f}{cost.processor:>10.1f}{peak}")
    sys.stdout.flush()
    return [
        {"problems": count, "stage": stage, **vars(cost)} for stage, cost in scale.costs.items()
    ]


def draw_curve(rows: Sequence[dict[str, object]], path: Path) -> None:
    """Save the curve: processor seconds and peak memory over problems."""
    import altair as alt

    data = pl.DataFrame(rows).filter(pl.col("peak") > 0)
    base = alt.Chart(data).mark_line(point=True).encode(x="problems:Q", color="stage:N")
    charts = base.encode(y="processor:Q") | base.encode(y=alt.Y("peak:Q", title="peak MB"))
    charts.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, nargs="+", default=[1500, 5000, 15000])
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--wave", type=int, default=5, help="shards of a wave")
    parser.add_argument("--longer", type=int, default=1, help="times as long responses")
    parser.add_argument("--folder", type=Path, help="where the recording is kept (temporary)")
    parser.add_argument("--curve", type=Path, help="save the curve: .svg, .png or .html")
    asked = parser.parse_args()
    cache = asked.folder or Path(tempfile.gettempdir()) / "ssgr-pool-scale"
    cache.mkdir(parents=True, exist_ok=True)
    recorded = recording(cache)
    tokenizer = load_tokenizer(MODEL.path)
    vocabulary = tokenizer.get_vocab()
    close, *digits = (vocabulary[token] for token in (MODEL.think_close, *"0123456789"))
    sampling = SAMPLING.model_copy(update={"max_tokens": SAMPLING.max_tokens * asked.longer})
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(dir=cache, prefix="pool-") as folder:
        scale = Scale(
            Path(folder),
            source(max(asked.problems), recorded),
            ReplayEngine(recorded, asked.longer, close, tuple(digits)),
            sampling,
            asked.shard_size,
            asked.wave,
        )
        waves = 0
        for count in sorted(asked.problems):
            while waves * asked.wave * asked.shard_size < count:
                scale.wave(waves)
                waves += 1
            scale.select(waves)
            rows += report(scale, waves * asked.wave * asked.shard_size)
    print(json.dumps(rows))
    if asked.curve:
        draw_curve(rows, asked.curve)


if __name__ == "__main__":
    main()
