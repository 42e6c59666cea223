"""The figures of a status: tokens, speeds and the end; and which configuration it is of."""

import os
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from small_pool import rows
from snakemake_traces import END, LATER, RUN, Folder, jobs, pool_of, status
from ssgr.config import Config
from ssgr.errors import ConfigError
from ssgr.jobs.listing import Job, wanted
from ssgr.monitor.status import Journals
from ssgr.monitor.status.asked import asked
from ssgr.monitor.status.estimate import Left, Prices, Taken, abreast, estimate
from ssgr.monitor.status.look import STAGE_OF
from ssgr.monitor.status.run import Run, last_run
from ssgr.monitor.status.speed import of_shards
from ssgr.monitor.status.traces import last_lines, progress, seconds_taken
from ssgr.monitor.status.words import of_estimate, span
from ssgr.sampling.journal import Journal
from ssgr.sampling.protocol import Response
from ssgr.storage.locks import only_one
from synthetic_answers import write_source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, Config.model_validate(RUN))


# What is drawn


def response(number: int, tokens: int) -> Response:
    return Response(f"p{number}", 0, tuple(range(tokens)), "stop", -0.5)


def test_a_journal_is_counted_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / ".000000-000004.journal"
    journal = Journal.open(path, "a sampling")
    looks = Journals()
    journal.append(response(0, 100))
    first = looks.look(path, now=0.0)
    assert first and (first.responses, first.tokens) == (1, 100)
    assert looks.rate(path) is None
    journal.append(response(1, 7))
    journal.append(response(2, 43))
    with path.open("ab") as file:  # a record that is just being written
        file.write(path.read_bytes()[:30])
    again = looks.look(path, now=10.0)
    assert again and (again.responses, again.tokens) == (3, 150)
    assert looks.rate(path) == pytest.approx(5.0)
    for second in range(20, 300, 10):
        looks.look(path, now=float(second))
    assert looks.rate(path) is None  # nothing has come of late
    journal.close()
    path.unlink()
    assert looks.look(path) is None and looks.rate(path) is None
    journal = Journal.open(path, "another")
    fresh = looks.look(path)
    assert fresh and (fresh.responses, fresh.tokens) == (0, 0)
    journal.close()


def test_what_is_drawn_is_summed_over_receipts_journals_and_logs(folder: Folder) -> None:
    drawn = jobs(folder, "sample")
    pool = pool_of(folder)
    part = pool.draw("000000-000004", rows(range(4)), seconds=4.0)  # 16 responses of 10 tokens
    assert folder.place.shard(drawn[0]) == part
    folder.do(drawn[0])
    folder.locked()
    folder.run(LATER)
    folder.mark(drawn[1])
    bar = "small:  50%|██ | 2/4 [00:12<00:12,  6.0s/problem, 9 responses, 1,234 tokens/s]"
    folder.say(drawn[1], f"devices: none\nsmall: 0%| | 0/4 [00:00<?]\r{bar}")
    at = folder.place.drawn_at(drawn[1])
    assert at
    journal = Journal.open(at[1], "a sampling")
    journal.append(response(0, 5))
    with only_one(at[0], "sampling"):
        found = status(folder)
    journal.close()
    shards, answers = found.drawing
    assert (shards.done, shards.wanted, shards.responses, shards.tokens) == (1, 2, 16, 160)
    assert shards.tokens_per_second == pytest.approx(40.0)
    assert (shards.drawing, shards.in_journals, shards.now) == (1, 1, 1234.0)
    assert (answers.done, answers.wanted, answers.now) == (0, 4, None)
    assert found.running[0].progress == "2 of 4, 9 responses"


def test_seconds_of_a_resumed_part_are_of_what_was_drawn_since(folder: Folder) -> None:
    part = pool_of(folder).draw("000000-000004", rows(range(4)), seconds=2.0, resumed=8)
    assert of_shards([part]).speed == pytest.approx(40.0)
    assert of_shards([part.with_name("000004-000008.parquet")]).speed is None


def test_answers_count_by_their_scores(folder: Folder) -> None:
    answer = jobs(folder, "sample_benchmark")[0]
    folder.do(answer, seconds=20.0)
    scores = folder.place.output(answer).with_name("scores.parquet")
    pl.DataFrame({"responses": [30], "mean_tokens": [50.0]}).write_parquet(scores)
    _, answers = status(folder).drawing
    assert (answers.done, answers.responses, answers.tokens) == (1, 30, 1500)
    assert answers.tokens_per_second == pytest.approx(75.0)


# The end


def job(rule: str, **keys: str) -> Job:
    return Job(rule, rule, keys)


def test_jobs_cost_what_the_nearest_measured_ones_did() -> None:
    prices = Prices([
        Taken(job("prune", model="a", pruner="wanda"), 0, 10),
        Taken(job("prune", model="a", pruner="wanda"), 0, 20),
        Taken(job("prune", model="a", pruner="alps"), 0, 60),
        Taken(job("prune", model="b", pruner="alps"), 0, 110),
    ])  # fmt: skip
    assert prices.of(job("prune", model="a", pruner="wanda")) == 15
    assert prices.of(job("prune", model="a", pruner="ria")) == 30
    assert prices.of(job("prune", model="c", pruner="ria")) == 50
    assert prices.of(job("score", model="a")) is None


def test_jobs_side_by_side_are_those_of_the_time_that_is_looked_at() -> None:
    ended = [(100.0, 50.0), (100.0, 300.0), (40.0, 30.0)]  # within, begun before, ended before
    assert abreast(ended, [80.0], since=50.0, until=150.0) == pytest.approx((50 + 50 + 70) / 100)
    assert abreast(ended, [], since=50.0, until=51.0) is None
    assert abreast([], [], since=50.0, until=150.0) is None


def test_the_end_is_the_work_over_the_jobs_side_by_side() -> None:
    prices = Prices([Taken(job("score"), 0, 10), Taken(job("prune"), 0, 100)])
    left = [Left(job("score"))] * 6 + [Left(job("prune"), elapsed=40.0)]
    found = estimate(left, prices, 4.0, 2)
    assert (found.work, found.seconds) == (120.0, 60.0)  # no sooner than the longest job
    assert estimate(left, prices, 1.0, 2).seconds == 120.0
    assert estimate(left, prices, None, 2).seconds is None
    more = estimate([*left, Left(job("select"))], prices, 1.0, 2)
    assert more.unknown == ("Calibration sets",) and more.seconds == 120.0
    assert estimate([Left(job("select"))], prices, 1.0, 2).seconds is None


def test_the_end_is_told_with_what_it_rests_on_or_not_at_all(folder: Folder) -> None:
    assert of_estimate(status(folder)) == ("", "")
    now = time.time()
    scores = jobs(folder, "score")
    folder.locked()
    lock = folder.directory / ".snakemake" / "locks" / "0.output.lock"
    os.utime(lock, (now - 100, now - 100))
    folder.run(LATER)
    folder.do(*scores[:2], seconds=50.0, ended=now - 1)
    folder.mark(scores[2], since=now)
    found = status(folder)
    assert found.estimate.abreast == pytest.approx(1.0, rel=0.1)
    assert found.estimate.seconds == pytest.approx(100, rel=0.2)
    end, basis = of_estimate(found)
    assert end.startswith("Ends in 1 min or more, at ") and end.endswith(" or later")
    assert "2 finished jobs, 1.0 side by side" in basis and "Checkpoints" in basis
    assert of_estimate(status(folder, follows=False))[0].startswith("1 min or more of work left")


def test_a_shard_that_is_in_the_pool_costs_nothing_more(folder: Folder) -> None:
    drawn = jobs(folder, "sample")
    pool = pool_of(folder)
    pool.draw("000000-000004", rows(range(4)), seconds=1000.0)
    folder.do(drawn[0], seconds=3.0)  # taken from the pool, where drawing took longer
    folder.locked()
    folder.run(LATER)
    assert status(folder).estimate.work == pytest.approx(1000.0)
    pool.draw("000004-000008", rows(range(4, 8)))
    assert status(folder).estimate.work == 0


def test_everything_that_is_there_is_said(folder: Folder) -> None:
    for wave in ([6],):
        folder.tally(jobs(folder, "tally")[0], wave[0])
    write_source(folder.place.results, "stories", 40)
    rest = [one for one in wanted(folder.config, folder.place.results).jobs
            if not folder.place.output(one).exists()]  # fmt: skip
    folder.do(*rest)
    assert of_estimate(status(folder)) == ("Everything is there.", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3720, "1 h 02 min"), (200_000, "2 d 7 h")],
)
def test_spans_are_told_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


# Which configuration


def run_of(folder: Folder, **options: Any) -> Run:
    folder.run(LATER, END, **options)
    return last_run(folder.directory, frozenset(STAGE_OF))


def test_files_are_merged_over_the_default_as_snakemake_merges(folder: Folder) -> None:
    (folder.directory / "a.yaml").write_text(
        "title: A\nbudget: {sequences: 5}\nexperiments: null\n"
    )
    (folder.directory / "b.json").write_text('{"title": "B", "evaluation": {"n": 2}}')
    found = asked(folder.directory, ["b.json"], [Path("a.yaml")], None, Run())
    assert (found.config.title, found.config.budget.sequences) == ("B", 5)
    assert (found.config.evaluation.n, found.config.evaluation.max_tokens) == (2, 512)
    assert not found.config.experiments and found.targets == ()


def test_without_files_the_last_run_is_followed(folder: Folder) -> None:
    (folder.directory / "a.yaml").write_text("title: A\n")
    file = folder.directory / "a.yaml"
    arguments = "--configfile a.yaml --cores all --config budget={tokens: 300} title=C D -- table1"
    run = run_of(folder, arguments=arguments, files=f"PosixPath('{file}'), '/cache/config.yaml'")
    found = asked(folder.directory, [], [], None, run)
    assert (found.config.title, found.config.budget.tokens) == ("C D", 300)
    assert (found.targets, found.follows) == (("table1",), True)
    same = asked(folder.directory, ["a.yaml", "table2"], [], None, run)
    assert (same.targets, same.follows) == (("table2",), False)
    (folder.directory / "b.yaml").write_text("title: B\n")
    other = asked(folder.directory, ["b.yaml"], [], None, run)
    assert (other.config.title, other.targets, other.follows) == ("B", (), False)


def test_all_is_a_target_but_not_as_the_number_of_cores(folder: Folder) -> None:
    assert asked(folder.directory, [], [], None, run_of(folder, arguments="-j all")).targets == ()
    run = run_of(folder, arguments="--cores all all table1")
    assert asked(folder.directory, [], [], None, run).targets == ("all", "table1")


def test_a_module_is_an_entry_of_the_outer_configuration(folder: Folder) -> None:
    run = run_of(folder, snakefile="/outer/workflow/Snakefile")
    with pytest.raises(ConfigError, match="--section ENTRY"):
        asked(folder.directory, [], [], None, run)
    (folder.directory / "outer.yaml").write_text("mine: 1\npruning: {title: M}\n")
    found = asked(folder.directory, ["outer.yaml"], [], "pruning", run)
    assert found.config.title == "M"
    with pytest.raises(ConfigError, match="no such entry; there are: mine, pruning"):
        asked(folder.directory, ["outer.yaml"], [], "ssgr", run)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read"), ("a: [", "cannot be read"), ("- a", "no keys"),
     ("titel: x", "did you mean 'title'")],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_named(
    folder: Folder, text: str | None, message: str
) -> None:
    if text is not None:
        (folder.directory / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        asked(folder.directory, ["a.yaml"], [], None, Run())


def test_ends_of_logs_and_costs(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 100_000 + b"\n" + b"\xff last\n" + b"z" * 900)
    assert [len(line) for line in last_lines([tmp_path / "none", log], 2)] == [6, 500]
    assert last_lines([tmp_path]) == []
    assert progress(tmp_path) == ("", None)
    cost = tmp_path / "a.tsv"
    for text in ("", "s", "s\th:m:s\n", "s\n-\n", "seconds\n3\n", "s\nNA\n"):
        cost.write_text(text)
        assert seconds_taken(cost) is None
    cost.write_text("s\th:m:s\n3.5\t0:00:03\n")
    assert seconds_taken(cost) == (cost.stat().st_mtime, 3.5)
