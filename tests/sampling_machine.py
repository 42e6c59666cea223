"""A machine that samples shards of a pool, and says what it has drawn itself.

    python sampling_machine.py ASKED.json DRAWN.json

ASKED holds ``model`` (folder), ``sampling`` as JSON, ``problems``, ``pool``, ``folder`` (of the
shards, in the pool) and ``shards`` in the order in which this machine takes them. Before its first
response it says so, and waits for a line.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssgr.commands.sample import SampleShardCommand
from ssgr.config import Filters, Model, Sampling
from ssgr.grading.spec import Judging
from ssgr.sampling import engines
from ssgr.sampling.protocol import Engine, EngineSettings, Response, Work
from ssgr.selection.early_stop import Needs

transformers = engines.ENGINES["transformers"]
drawn: list[tuple[str, int]] = []


class Counted:
    """An engine that says when it begins, and what it draws."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.max_length = engine.max_length

    def close(self) -> None:
        self.engine.close()

    def generate(self, work: Work, sampling: Sampling) -> Iterator[Response]:
        if not drawn:
            print("drawing", flush=True)
            sys.stdin.readline()
        for response in self.engine.generate(work, sampling):
            drawn.append((response.problem_id, response.sample))
            yield response


def counted(model_folder: str, settings: EngineSettings) -> Engine:
    return Counted(transformers(model_folder, settings))


def command(asked: dict[str, Any], shard: str) -> SampleShardCommand:
    first, last = map(int, shard.split("-"))
    return SampleShardCommand(
        problems=Path(asked["problems"]),
        model=Model(path=asked["model"], prompt="{question}", batch_size=4),
        sampling=Sampling.model_validate_json(asked["sampling"]),
        first=first,
        last=last,
        pool=Path(asked["pool"]),
        shard=Path(asked["folder"]) / f"{shard}.parquet",
        needs=Needs(demands=None, filters=Filters()),
        judging=Judging(),
        out=Path(f"{shard}.json"),
    )


def main() -> None:
    engines.ENGINES["transformers"] = counted
    asked = json.loads(Path(sys.argv[1]).read_text())
    for shard in asked["shards"]:
        command(asked, shard).cli_cmd()
    Path(sys.argv[2]).write_text(json.dumps(drawn))


if __name__ == "__main__":
    main()
