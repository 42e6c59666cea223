"""A user of a pool, in a process of her own that has her rights: does what she is asked, in turn.

Started as root it becomes the user it is told to be; started by anybody else it stays that one and
takes only the umask. Everything is imported and used once before: an interpreter may lie where only
its owner can read.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from small_pool import EVERY, HUB_MODEL, PARTLY, SAMPLING, responses
from ssgr.commands import sample as command
from ssgr.commands.grade import GradeShardCommand
from ssgr.commands.pool import PoolListCommand, PoolVerifyCommand
from ssgr.errors import SsgrError
from ssgr.grading.spec import Judging
from ssgr.pool.purge import purge
from ssgr.pool.shards import Shard
from ssgr.sampling import EarlyStop, Journal, Response, Sampled
from ssgr.storage.locks import only_one
from ssgr.storage.tables import Problems, write

KEY = f"model=small/source=stories/sampling={SAMPLING.key}"
DRAWN: list[tuple[str, int]] = []
"""What the request at hand has drawn."""


class User:
    """The line to a user's process; ``uid`` and ``groups`` mean nothing unless this is root."""

    def __init__(self, home: Path, uid: int, groups: Sequence[int], umask: int) -> None:
        self.home = home
        names = ("LOGNAME", "USER", "LNAME", "USERNAME")
        said = json.dumps({"home": str(home), "uid": uid, "groups": groups, "umask": umask})
        self._process = subprocess.Popen(
            [sys.executable, __file__, said],
            env={name: value for name, value in os.environ.items() if name not in names},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hears(self, call: str, **arguments: object) -> None:
        """Tell her to begin one of CALLS."""
        assert self._process.stdin is not None
        print(json.dumps([call, arguments]), file=self._process.stdin, flush=True)

    def says(self) -> dict[str, object]:
        """What came of it: what was drawn and printed, and an ``error`` if it failed."""
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "it ended with a traceback, see stderr"
        return dict(json.loads(answer))

    def does(self, call: str, **arguments: object) -> str:
        """What she printed at a call that must succeed."""
        self.hears(call, **arguments)
        answer = self.says()
        assert "error" not in answer, answer["error"]
        return str(answer["printed"])

    def draws(self, **arguments: object) -> int:
        """How many responses she drew at a `sample` that must succeed."""
        self.hears("sample", **arguments)
        answer = self.says()
        assert "error" not in answer, answer["error"]
        return int(str(answer["drawn"]))

    def is_refused(self, call: str, **arguments: object) -> str:
        """The error of what must fail, and draw nothing."""
        self.hears(call, **arguments)
        answer = self.says()
        assert "error" in answer and answer["drawn"] == 0, answer
        return str(answer["error"])

    def leave(self) -> None:
        """End the process."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


def sample(
    home: str, pool: str, first: int, last: int, *, whole: bool, base: str = "", draw: bool = True
) -> None:
    """`sample-shard`, but for the model: half of the responses to each problem, or all."""
    shard = f"{first:06d}-{last:06d}"
    command.SampleShardCommand(
        problems=Path(home) / "problems.parquet",
        model=HUB_MODEL,
        sampling=SAMPLING,
        first=first,
        last=last,
        pool=Path(pool),
        shard=Path(pool) / "responses" / KEY / f"{shard}.parquet",
        needs=EVERY if whole else PARTLY,
        judging=Judging(method="exact"),
        base=Path(base) if base else None,
        draw=draw,
        out=Path(home) / f"responses/{shard}.json",
    ).cli_cmd()


def grade(
    home: str, pool: str, first: int, last: int, base: str = "", time_limit: float = 5.0
) -> None:
    """`grade-shard` of what `sample` has named."""
    shard = f"{first:06d}-{last:06d}"
    judging = Judging(method="exact", time_limit=time_limit)
    GradeShardCommand(
        pool=Path(pool),
        responses=Path(home) / f"responses/{shard}.json",
        problems=Path(home) / "problems.parquet",
        judging=judging,
        first=first,
        last=last,
        grades=Path(pool) / "grades" / KEY / f"grader={judging.digest}",
        base=Path(base) if base else None,
        out=Path(home) / f"grades/{shard}.json",
    ).cli_cmd()


def lists(home: str, pool: str) -> None:
    """`pool list`."""
    PoolListCommand(pool=Path(pool), json=True).cli_cmd()


def verifies(home: str, pool: str) -> None:
    """`pool verify`."""
    PoolVerifyCommand(pool=Path(pool)).cli_cmd()


def purges(home: str, pool: str, yes: bool) -> None:
    """`pool purge` of everything."""
    found = purge(Path(pool), model="small", yes=yes)
    print(len(found.files))


def locks(home: str, folder: str, count: int) -> None:
    """Take and leave so many locks, one after the other, in folders that may not be there yet."""
    for number in range(count):
        with only_one(Path(folder) / f"model={number}" / "source=x" / ".a.lock", "work"):
            pass


CALLS = {call.__name__: call for call in (sample, grade, lists, verifies, purges, locks)}


def _drawn(
    model: object,
    checkpoint: object,
    gpus: object,
    problems: pl.DataFrame,
    sampling: object,
    tokenizer: object,
    *,
    journal: Journal,
    earlier: pl.DataFrame,
    early_stop: EarlyStop | None,
    begin: Callable[[], object],
) -> Sampled:
    """Draw as `ssgr.sampling.sample` does, through the journal, responses that are all alike."""
    known = {(one.problem_id, one.sample) for one in journal.known}
    known |= set(earlier.select("problem_id", "sample").iter_rows())
    wanted = SAMPLING.n if early_stop is None else SAMPLING.n // 2
    for problem_id in problems["problem_id"]:
        for number in range(wanted):
            if (problem_id, number) not in known:
                begin()
                journal.append(Response(problem_id, number, (3,) * 10, "stop", -1.0))
                DRAWN.append((problem_id, number))
    kept = sorted({(one.problem_id, one.sample) for one in journal.known} | set(DRAWN))
    return Sampled(responses([(problem_id, number, 10) for problem_id, number in kept]), 1.0)


def _as_it_is(_: command.SampleShardCommand, shard: Shard) -> Shard:
    """There is no tokenizer whose reading the manifest could say."""
    return shard


def problems() -> pl.DataFrame:
    """Twelve problems."""
    names = [f"p{number:04d}" for number in range(12)]
    bare = dict.fromkeys(("solution", "subject", "level"), pl.lit(None, pl.String))
    table = pl.DataFrame({"problem_id": names, "question": names, "answer": ["1"] * 12})
    return table.with_columns(**bare)


def at_home(home: Path) -> None:
    """Make a user's home, where her experiment is."""
    for folder in (home, home / "responses", home / "grades"):
        folder.mkdir(exist_ok=True)
    write(problems(), Problems, home / "problems.parquet")


def serve(call: str, arguments: dict[str, object], home: str) -> dict[str, object]:
    """Do one of CALLS, and return what `User.says`."""
    DRAWN.clear()
    printed = io.StringIO()
    failed = {}
    try:
        with contextlib.redirect_stdout(printed):
            CALLS[call](home, **arguments)  # type: ignore[arg-type]
    except SsgrError as error:
        failed = {"error": str(error)}
    return {"drawn": len(DRAWN), "printed": printed.getvalue(), **failed}


def use_everything_once() -> None:
    """Load what is loaded late."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        at_home(home)
        pool, shard = str(home / "pool"), {"first": 0, "last": 4}
        for call, arguments in (
            ("sample", {**shard, "whole": False}),
            ("grade", shard),
            ("lists", {}),
            ("verifies", {}),
            ("purges", {"yes": True}),
        ):
            answer = serve(call, {"pool": pool, **arguments}, name)
            assert "error" not in answer, answer


def main() -> None:
    """Become the user, and do what stands on each line of stdin."""
    command._sample = _drawn  # type: ignore[assignment]
    command.SampleShardCommand._tokenizer = None  # type: ignore[assignment]
    command.SampleShardCommand._encoding_known = _as_it_is  # type: ignore[method-assign]
    use_everything_once()
    me = json.loads(sys.argv[1])
    if os.geteuid() == 0:
        os.setgroups(me["groups"])
        os.setgid(me["uid"])
        os.setuid(me["uid"])
    os.umask(me["umask"])
    for line in sys.stdin:
        call, arguments = json.loads(line)
        print(json.dumps(serve(call, arguments, me["home"])), flush=True)


if __name__ == "__main__":
    main()
