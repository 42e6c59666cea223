"""The status: every state is told from files alone, and no file, whatever is in it, breaks it."""

import base64
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

from small_pool import rows
from snakemake_traces import (
    END,
    FAILED_END,
    LATER,
    RUN,
    Folder,
    counts,
    jobs,
    pool_of,
    started,
    status,
)
from ssgr.__main__ import main
from ssgr.config import Config
from ssgr.jobs.listing import Job, wanted
from ssgr.monitor.status.alive import alive_in
from ssgr.monitor.status.look import STAGE_OF
from ssgr.monitor.status.page import render
from ssgr.monitor.status.run import last_run, marks
from ssgr.monitor.status.words import of_run
from ssgr.sampling.journal import Journal
from ssgr.storage.locks import only_one
from synthetic_answers import write_source

HERE = socket.gethostname()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(tmp_path, Config.model_validate(RUN))


# What is wanted


def test_wanted_jobs_are_the_points_of_the_run_times_their_steps(folder: Folder) -> None:
    found = wanted(folder.config, folder.place.results)
    # one model; dense, wanda on two calibrations, magnitude on none: 4 checkpoints; 1 benchmark
    assert Counter(job.rule for job in found.jobs) == {
        "source_problems": 2, "benchmark_problems": 1, "sample": 2, "grade": 2, "tally": 1,
        "select": 2, "prune": 3, "sample_benchmark": 4, "grade_benchmark": 4, "score": 4,
        "report": 1,
    }  # fmt: skip
    assert found.estimated == {"sample", "grade", "tally"}
    assert len({job.output for job in found.jobs}) == len(found.jobs)


def test_wanted_jobs_are_those_of_snakemake_with_their_files(tmp_path: Path, root: Path) -> None:
    """Of a report and a table of the default configuration: every job's first output and log."""
    targets = ["report", "table8"]
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--printshellcmds", *targets]
    command += ["--snakefile", str(root / "workflow" / "Snakefile"), "--directory", str(tmp_path)]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    theirs = set(re.findall(r" --out (\S+) .*> (results/logs/\S+) 2>&1", said))
    raw = yaml.safe_load((root / "config" / "config.yaml").read_text())
    ours = wanted(Config.model_validate(raw), tmp_path / "results", targets).jobs
    assert len(ours) > 100
    # the first wave: how many more there are is not known before it has been counted
    assert theirs == {(f"results/{job.output}", f"results/logs/{job.place}.log") for job in ours}


def test_targets_are_the_report_the_paper_or_one_experiment(folder: Folder) -> None:
    raw = folder.config.model_dump(mode="json", exclude_unset=True)
    raw["experiments"] = {
        "one": {"title": "One", "pruners": ["magnitude"]},
        "two": {"title": "Two", "calibrations": ["C4"]},
    }
    folder.config = Config.model_validate(raw)
    assert [job.name for job in jobs(folder, "experiment", "one")] == ["one"]
    assert len(jobs(folder, "prune", "one")) == 1 and not jobs(folder, "sample", "one")
    assert [job.name for job in jobs(folder, "experiment", "paper")] == ["one", "two"]
    assert jobs(folder, "paper_page", "paper") and not jobs(folder, "report", "paper")
    assert jobs(folder, "report", "all") and not jobs(folder, "experiment", "all")


@pytest.mark.parametrize(
    ("found", "problems", "waves", "settled"),
    [
        ([], 40, 1, False),  # nothing is counted yet
        ([2], 40, 3, False),  # 2 of 6 a wave
        ([2, 4], 40, 3, False),
        ([1], 40, 5, False),  # 6 waves, but the source has 5
        ([2, 6], 40, 2, True),  # the budget
        ([1, 1, 1, 1, 1], 40, 5, True),  # the source's end
        ([2], None, 3, False),
        ([0], 40, 2, False),
        ([0] * 8, 4000, 8, True),  # given up
    ],
)
def test_waves_are_known_or_estimated_from_what_was_found(
    folder: Folder, found: list[int], problems: int | None, waves: int, settled: bool
) -> None:
    if problems:
        write_source(folder.place.results, "stories", problems)
    for number, count in enumerate(found):
        folder.tally(jobs(folder, "tally")[number], count)
    assert len(jobs(folder, "tally")) == waves
    assert len(jobs(folder, "sample")) == 2 * waves
    assert (not wanted(folder.config, folder.place.results).estimated) == settled


# States


def test_states_of_a_run_on_another_machine_are_told_from_files(folder: Folder) -> None:
    drawn, answers = jobs(folder, "sample"), jobs(folder, "sample_benchmark")
    scores, prunes = jobs(folder, "score"), jobs(folder, "prune")
    folder.locked()
    folder.do(drawn[0])
    now = time.time()
    folder.say(drawn[1], "begun\n")
    folder.mark(drawn[1], since=now)
    folder.mark(answers[0], external="4711")  # submitted: no log yet
    folder.say(answers[1], "of an earlier attempt\n")
    os.utime(folder.place.log(answers[1]), (now - 500, now - 500))
    folder.mark(answers[1], external="4712")
    folder.mark(prunes[0])
    folder.say(prunes[0], "ValueError: no\n")
    folder.mark(scores[0], since=now - 5000)  # of an earlier run
    folder.run(started(7), folder.error(prunes[0]), LATER)
    found = status(folder)
    assert found.run.alive is None and found.run.steps == (27, 236)
    assert counts(found, "Responses") == {"wanted": 2, "done": 1, "running": 1}
    assert counts(found, "Answers") == {"wanted": 4, "submitted": 2}
    assert counts(found, "Checkpoints") == {"wanted": 3, "failed": 1}
    assert counts(found, "Scores") == {"wanted": 4}
    assert [(one.state, one.external) for one in found.running] == [
        ("running", None), ("submitted", "4711"), ("submitted", "4712"),
    ]  # fmt: skip
    assert "whether it runs is not to be seen here" in of_run(found.run, found.at)


def test_a_failed_job_is_shown_with_its_log(folder: Folder) -> None:
    prune = jobs(folder, "prune")[0]
    folder.say(prune, "one\r 10%|\r 99%|#\n\x1b[31mValueError\x1b[0m: \x07no\n\n")
    folder.mark(prune)
    folder.run(folder.error(prune, message="SLURM-job '7': OUT_OF_MEMORY"), LATER, FAILED_END)
    [failure] = status(folder).failures
    assert (failure.stage, failure.name) == ("Checkpoints", prune.name)
    assert failure.lines == (" 99%|#", "ValueError: ?no")
    assert failure.log == f"results/logs/{prune.place}.log"
    assert failure.message == "SLURM-job '7': OUT_OF_MEMORY"
    assert failure.at and time.localtime(failure.at)[3:6] == (9, 47, 13)


def test_a_job_without_a_log_shows_the_schedulers(folder: Folder) -> None:
    prune = jobs(folder, "prune")[0]
    (folder.directory / "slurm.log").write_text("slurmstepd: error: killed\n")
    folder.run(folder.error(prune, more=", slurm.log"), FAILED_END)
    assert status(folder).failures[0].lines == ("slurmstepd: error: killed",)


def test_an_attempt_that_failed_and_was_begun_again_is_running(folder: Folder) -> None:
    prune = jobs(folder, "prune")[0]
    folder.locked()
    folder.say(prune, "begun\n")
    folder.mark(prune)
    folder.run(started(9), folder.error(prune), "Trying to restart job 9.\n", started(9))
    assert counts(status(folder), "Checkpoints") == {"wanted": 3, "running": 1}
    folder.run(started(9), folder.error(prune), started(9), folder.error(prune), LATER)
    found = status(folder)
    assert counts(found, "Checkpoints") == {"wanted": 3, "failed": 1}
    assert found.failures[0].attempts == 2


def test_a_failure_that_was_made_good_is_none(folder: Folder) -> None:
    prune = jobs(folder, "prune")[0]
    folder.run(folder.error(prune), FAILED_END)
    folder.do(prune)
    found = status(folder)
    assert counts(found, "Checkpoints") == {"wanted": 3, "done": 1} and not found.failures
    folder.place.output(prune).unlink()
    folder.run(LATER, END, name="2026-11-22T120000.000000")  # a later run: it did not fail there
    assert not status(folder).failures


def test_a_failed_job_of_no_stage_is_shown_too(folder: Folder) -> None:
    job = Job("verification", "")
    folder.say(job, "bad\n")
    folder.run(folder.error(job), FAILED_END)
    [failure] = status(folder).failures
    assert (failure.stage, failure.name, failure.lines) == (
        "verification", "results/verification/index.html", ("bad",),
    )  # fmt: skip


def test_jobs_of_a_run_that_was_killed_are_broken_off(folder: Folder) -> None:
    prune, drawn = jobs(folder, "prune")[0], jobs(folder, "sample")
    folder.run(LATER, host=HERE)
    folder.mark(prune)
    folder.mark(drawn[0])
    folder.mark(drawn[1])
    at = folder.place.drawn_at(drawn[1])
    assert at
    with only_one(at[0], "sampling on"):  # its job lives on, and holds the shard
        found = status(folder)
    assert found.run.alive is False and not found.run.ended
    assert counts(found, "Checkpoints") == {"wanted": 3, "broken_off": 1}
    assert counts(found, "Responses") == {"wanted": 2, "running": 1, "broken_off": 1}
    assert (found.running[0].pid, found.running[0].host) == (os.getpid(), HERE)
    assert "broken off. It was ended in the midst" in of_run(found.run, found.at)
    assert counts(status(folder), "Responses") == {"wanted": 2, "broken_off": 2}


def test_a_quiet_run_names_no_failed_job_but_leaves_its_mark(folder: Folder) -> None:
    prune = jobs(folder, "prune")[0]
    folder.say(prune, "bad\n")
    folder.mark(prune)
    folder.run(FAILED_END)
    found = status(folder)
    assert counts(found, "Checkpoints") == {"wanted": 3, "failed": 1}
    assert found.failures[0].lines == ("bad",)


def test_the_last_run_is_the_newest_that_had_to_do_with_this(folder: Folder) -> None:
    folder.run(LATER, END)
    other = folder.run(END, arguments="plan --cores 1", name="2026-11-22T100000.000000")
    other.write_text(other.read_text().replace("sample  ", "plan    ").replace("score ", "plan  "))
    folder.run(name="2026-11-22T110000.000000").write_text("Building DAG of jobs...\n")
    run = last_run(folder.directory, frozenset(STAGE_OF))
    assert run.log and run.log.name.startswith("2026-11-22T09") and run.ended
    module = folder.run(LATER, name="2026-11-22T120000.000000")
    module.write_text(module.read_text().replace("\nsample ", "\nssgr_sample "))
    assert last_run(folder.directory, frozenset(STAGE_OF)).log == module


SNAKEFILE = """
rule score:
    input: "long", "bad"
rule prune:
    output: "bad"
    log: "bad.log"
    message: "Prune"
    shell: "echo it is bad > {log}; exit 3"
rule sample:
    output: directory("%s")
    log: "long.log"
    message: "Sample"
    shell: "touch begun; while ! test -e go; do sleep 0.1; done; mkdir -p {output}"
"""


def test_snakemake_itself_leaves_these_traces(tmp_path: Path) -> None:
    """Its log, its marks (a path longer than a file name may be) and its process, as it runs."""
    long = "/".join(f"key{number}={'v' * 40}" for number in range(8))
    text = SNAKEFILE.replace('"long"', repr(long)) % long
    (tmp_path / "Snakefile").write_text(text)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going", "--retries", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and not (
            (tmp_path / "begun").exists()
            and last_run(tmp_path, frozenset(STAGE_OF)).errors
            and process.poll() is None
        ):
            time.sleep(0.2)
        run, begun = last_run(tmp_path, frozenset(STAGE_OF)), marks(tmp_path)
        (tmp_path / "go").touch()
        assert process.stderr and process.stderr.read()
    assert run.alive is True and run.pid == process.pid and run.header["Host"] == HERE
    assert run.started and abs(run.started - time.time()) < 300
    assert long in begun and begun[long].external is None
    after = last_run(tmp_path, frozenset(STAGE_OF))
    assert after.alive is False and after.ended and after.failed and after.steps == (1, 3)
    error = after.errors["bad"]
    assert (error.rule, error.logs, error.attempts) == ("prune", ("bad.log",), 2)
    assert long not in marks(tmp_path)


TWO = """
rule sample:
    output: "{name}"
    shell: "touch {name}.begun; while ! test -e go; do sleep 0.1; done; touch {{output}}"
rule score:
    output: "short"
    shell: "touch {{output}}"
"""


@contextlib.contextmanager
def at_work(folder: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """A Snakemake whose one job has begun, and ends when ``go`` is there."""
    (folder / "Snakefile").write_text(TWO.format(name=name))
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    with subprocess.Popen([*command, name], cwd=folder, text=True, stderr=subprocess.PIPE,
                          start_new_session=True) as process:  # fmt: skip
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until and not (folder / f"{name}.begun").exists():
                assert process.poll() is None
                time.sleep(0.1)
            yield process
        finally:
            (folder / "go").touch()
            process.communicate(timeout=60)


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, None])
def test_an_empty_run_beside_a_long_one_does_not_hide_it(
    tmp_path: Path, how: signal.Signals | None
) -> None:
    (tmp_path / "short").touch()
    with at_work(tmp_path, "slow") as process:
        empty = snakemake(tmp_path, "short")
        assert empty.returncode == 0 and "Nothing to be done" in empty.stderr, empty.stderr
        run = last_run(tmp_path, frozenset(STAGE_OF))
        assert run.alive and run.pid == process.pid and run.command.endswith(" slow")
        if how:
            os.killpg(process.pid, how)
    run = last_run(tmp_path, frozenset(STAGE_OF))
    told = of_run(run, time.time())
    assert run.command.endswith(" slow") and run.alive is False and not run.failed
    assert told.startswith("Not running: broken off" if how else "Not running. Finished ")
    assert not run.errors and run.ended == (how != signal.SIGKILL)
    if how is None:  # and then a run with nothing to do is the last
        assert snakemake(tmp_path, "short").returncode == 0
        told = of_run(last_run(tmp_path, frozenset(STAGE_OF)), time.time())
        assert told.startswith("Not running. Finished with nothing to do")


def test_a_terminated_run_says_that_it_waits_for_its_jobs(tmp_path: Path) -> None:
    with at_work(tmp_path, "slow") as process:
        process.terminate()
        until = time.monotonic() + 60
        while not (run := last_run(tmp_path, frozenset(STAGE_OF))).stopped:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert run.alive and "it ends when its running jobs have" in of_run(run, time.time())
    after = last_run(tmp_path, frozenset(STAGE_OF))  # its only job has ended well
    assert of_run(after, time.time()).startswith("Not running. Finished ") and not after.broken


def test_a_run_elsewhere_is_told_beside_an_empty_one_that_took_its_lock(folder: Folder) -> None:
    drawn = jobs(folder, "sample")[0]
    folder.run(LATER, arguments="--cores 2 paper")
    folder.mark(drawn)
    nothing = folder.run(name="2026-11-22T110000.000000", arguments="report")
    text = nothing.read_text().partition("Using shell")[0]
    nothing.write_text(text + "Nothing to be done (all requested files are present).\n" + END)
    run = status(folder).run
    assert run.command.endswith("paper") and run.alive is None and not run.ended
    (folder.directory / ".snakemake" / "incomplete").rename(folder.directory / "away")
    assert "Finished with nothing to do" in of_run(status(folder).run, time.time())


def test_a_dry_run_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        "import pathlib, time\npathlib.Path('read').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.1)\n"
        "rule score:\n    output: 'short'\n    shell: 'touch {output}'\n"
    )
    command = [sys.executable, "-m", "snakemake", "-n"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        while process.poll() is None and not (tmp_path / "read").exists():
            time.sleep(0.1)
        found = alive_in(tmp_path), last_run(tmp_path, frozenset(STAGE_OF)).alive
        (tmp_path / "go").touch()
    assert process.returncode == 0 and found == ([], False)


def test_a_second_run_is_refused_in_words_that_leave_the_first_alone(
    tmp_path: Path, root: Path
) -> None:
    ours = ["--snakefile", str(root / "workflow" / "Snakefile")]
    with at_work(tmp_path, "other") as process:
        locks = tmp_path / ".snakemake" / "locks"
        held = sorted(locks.iterdir())
        second = [snakemake(tmp_path, *ours, *more) for more in (["plan"], ["--unlock"])]
        dry = snakemake(tmp_path, *ours, "-n", "abacus")
        assert held and sorted(locks.iterdir()) == held and process.poll() is None
    for refused in second:
        assert refused.returncode == 1
        assert f"already: pid {process.pid} of " in refused.stderr, refused.stderr
        assert "--cleanup-metadata" not in refused.stderr and "do not unlock" in refused.stderr
    assert dry.returncode == 0, dry.stderr
    after = snakemake(tmp_path, *ours, "--unlock")
    assert after.returncode == 0, after.stderr


def test_a_process_whose_files_are_hidden_is_told_by_when_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: psutil.Process) -> None:
        raise psutil.AccessDenied

    with at_work(tmp_path, "slow") as process:
        [known] = alive_in(tmp_path)
        monkeypatch.setattr(psutil.Process, "open_files", denied)
        assert alive_in(tmp_path) == [known] and known.pid == process.pid


# Whatever lies there


def damages(folder: Folder) -> list[Path]:
    """Every file that a look reads, once."""
    tally, (drawn, more) = jobs(folder, "tally")[0], jobs(folder, "sample")
    answer = jobs(folder, "sample_benchmark")[0]
    write_source(folder.place.results, "stories", 40)
    folder.tally(tally, 2)
    part = pool_of(folder).draw("000000-000004", rows(range(4)))
    folder.do(drawn, answer)
    scores = folder.place.output(answer).with_name("scores.parquet")
    pl.DataFrame({"responses": [30], "mean_tokens": [50.0]}).write_parquet(scores)
    folder.locked()
    mark = folder.mark(more)
    folder.say(more, "begun\n")
    lock, journal = folder.place.drawn_at(more) or (Path(), Path())
    lock.write_text("{}")
    Journal.open(journal, "a sampling").close()
    log = folder.run(folder.error(jobs(folder, "prune")[0]), LATER)
    return [
        folder.place.output(tally), scores, part, part.with_suffix(".json"), mark, lock, journal,
        log, folder.place.log(more), folder.place.cost(drawn), folder.place.cost(answer),
        folder.place.results / "problems" / "source=stories" / "problems.parquet",
        folder.place.log(jobs(folder, "prune")[0]),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["empty", "half", "random", "text", "folder", "gone"])
def test_no_file_whatever_is_in_it_breaks_a_look(folder: Folder, kind: str) -> None:
    noise = random.Random(kind)
    for path in damages(folder):
        data = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        if kind == "folder":
            path.mkdir(parents=True)
        elif kind != "gone":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes({"empty": b"", "half": data[: len(data) // 2], "text": b"\tno\n\t1\n",
                              "random": noise.randbytes(2000)}[kind])  # fmt: skip
        found = status(folder)
        assert len(found.stages) == 10 and render(found)


def test_foreign_files_among_marks_and_logs_are_passed_over(folder: Folder) -> None:
    marked = folder.mark(jobs(folder, "prune")[0])
    (marked.parent / "notes.txt").write_text("mine")
    (marked.parent / base64.urlsafe_b64encode(b"\xff\xfe").decode()).write_text("")
    (marked.parent / "@folder").mkdir()
    (folder.directory / ".snakemake" / "log").mkdir()
    (folder.directory / ".snakemake" / "log" / "z.snakemake.log").mkdir()
    assert len(marks(folder.directory)) == 1
    assert last_run(folder.directory, frozenset(STAGE_OF)).log is None


def test_a_look_writes_nothing(folder: Folder) -> None:
    damages(folder)

    def tree() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size)
                for path in folder.directory.rglob("*")}  # fmt: skip

    before = tree()
    status(folder)
    assert tree() == before


# The command


def command(folder: Folder, *arguments: str) -> int:
    config = ["--config", folder.config.model_dump_json(exclude_unset=True)]
    return main(["status", "--directory", str(folder.directory), *config, *arguments])


def test_the_command_shows_stages_jobs_and_failures(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    prune, drawn = jobs(folder, "prune")[0], jobs(folder, "sample")
    folder.locked()
    folder.do(drawn[0])
    folder.mark(drawn[1])
    folder.say(prune, "ValueError: [bold]no[/bold] <b>\n")
    folder.run(folder.error(prune), LATER)
    page = folder.directory / "pages" / "status.html"
    assert command(folder) == 0
    shown = capsys.readouterr().out
    assert "1 of ~2" in shown and "Failed  Checkpoints: small · wanda 50" in shown
    assert "ValueError: [bold]no[/bold] <b>" in shown and prune.place.split("/")[-1] in shown
    assert command(folder, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["done"] for one in told["stages"]}["Responses"] == 1
    assert told["failures"][0]["lines"] == ["ValueError: [bold]no[/bold] <b>"]
    assert command(folder, "--html", str(page)) == 0
    text = page.read_text()
    assert "[bold]no[/bold] &lt;b&gt;" in text and "http" not in text and "<script" not in text


def test_the_command_watches_until_it_is_interrupted(
    folder: Folder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = jobs(folder, "sample")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        folder.do(drawn[len(slept) - 1])
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("ssgr.monitor.status.showing.time.sleep", sleep)
    assert command(folder, "--watch", "--interval", "2", "--json") == 0
    looks = [json.loads(line)["stages"] for line in capsys.readouterr().out.splitlines()]
    assert slept == [2, 2]
    assert [next(one["done"] for one in look if one["name"] == "Responses") for look in looks] == [
        0,
        1,
    ]
    slept.clear()
    assert command(folder, "--watch") == 0
    assert "2 of 2" in capsys.readouterr().out


def test_the_command_refuses_what_is_no_target_file_or_folder(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(folder, "table9") == 1
    assert "'table9' is neither a target (all, report, paper)" in capsys.readouterr().err
    assert command(folder, "--configfile", "a.yaml") == 1
    assert "leave --configfile out" in capsys.readouterr().err
    assert main(["status", "--directory", str(folder.directory / "none")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
