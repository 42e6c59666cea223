"""Devices: no two jobs on one, all or none, and only what was asked for is visible."""

import json
import os
import re
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from processes import Forked, Line, reachable, without_rights
from ssgr.cluster import gpu_lease
from ssgr.cluster.gpu_lease import holders, lease
from ssgr.errors import ConfigError, SsgrError
from ssgr.storage import locks

VISIBLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of three devices, not part of any scheduler's job; the folder of its locks."""
    for name in [*gpu_lease.SCHEDULERS, *(name for name in os.environ if name.startswith("SGE_"))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(VISIBLE, "0,1,2")
    monkeypatch.setenv("SSGR_DEVICES", str(tmp_path / "devices"))
    gpu_lease._counted.cache_clear()
    return tmp_path / "devices"


def keeper(count: int) -> tuple[Forked, str]:
    """A process that holds ``count`` devices until it is ended or killed, and which they are."""

    def keep(line: Line) -> None:
        with lease(count, "sampling s1"):
            line.say(os.environ[VISIBLE])
            line.hear()

    child = Forked(keep)
    return child, child.line.hear()


def test_only_what_is_leased_is_visible_and_afterwards_all_is_as_before() -> None:
    with lease(2, "sampling") as mine:
        assert mine == ("0", "1") and os.environ[VISIBLE] == "0,1"
        with pytest.raises(RuntimeError, match="at once"), lease(1, "more of them"):
            raise AssertionError("entered twice")
    assert os.environ[VISIBLE] == "0,1,2"
    with pytest.raises(ZeroDivisionError), lease(1, "dividing"):
        raise ZeroDivisionError
    assert os.environ[VISIBLE] == "0,1,2" and holders() == []


def test_no_device_asked_means_none_visible(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease(0, "grading") as none:
        assert none == () and os.environ[VISIBLE] == ""
    assert not machine.exists(), "nothing is locked for it"
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setattr(gpu_lease, "COUNT", "raise SystemExit('nothing is counted for it')")
    with lease(0, "grading"):
        assert os.environ[VISIBLE] == ""
    assert VISIBLE not in os.environ


def test_fourteen_processes_share_three_devices(tmp_path: Path) -> None:
    """Two Snakemakes with seven jobs each: on every device one job at a time."""

    def job(line: Line) -> None:
        count = int(line.hear())
        with lease(count, "work") as mine:
            begin = time.monotonic_ns()
            assert len(set(mine)) == count and os.environ[VISIBLE] == ",".join(mine)
            time.sleep(0.02)
            line.say(json.dumps([mine, begin, time.monotonic_ns()]))

    jobs = [Forked(job) for _ in range(14)]
    for child, count in zip(jobs, [1, 2, 1, 3, 1, 2, 1] * 2, strict=True):
        child.line.say(str(count))
    intervals: dict[str, list[tuple[int, int]]] = {"0": [], "1": [], "2": []}
    for child in jobs:
        mine, begin, end = json.loads(child.line.hear())
        for device in mine:
            intervals[device].append((begin, end))
        child.end()
    assert sum(map(len, intervals.values())) == 22
    for used in intervals.values():
        used.sort()
        assert all(one[1] < other[0] for one, other in pairwise(used))


def test_a_killed_job_frees_its_devices() -> None:
    for _ in range(5):
        child, held = keeper(3)
        assert held == "0,1,2" and {one.pid for one in holders()} == {child.pid}
        child.kill()
        assert holders() == []
        with lease(3, "after it"):
            pass


def test_holders_says_who_holds_which(machine: Path) -> None:
    child, held = keeper(2)
    found = holders()
    child.end()
    assert [one.path for one in found] == [machine / "gpu0.lock", machine / "gpu1.lock"]
    assert held == "0,1" and {(one.pid, one.what) for one in found} == {(child.pid, "sampling s1")}
    assert holders() == []


def test_who_waits_is_told_who_holds_what_and_holds_nothing(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    child, _ = keeper(2)
    seen = []

    def sleep(_: float) -> None:
        seen.append([one.path.name for one in holders()])
        if len(seen) == 3:
            child.kill()

    monkeypatch.setattr("ssgr.storage.locks.time.sleep", sleep)
    monkeypatch.setattr("ssgr.storage.locks.time.monotonic", lambda: 1000.0 + len(seen))
    with lease(2, "more"):
        said = capsys.readouterr().err
    assert seen == [["gpu0.lock", "gpu1.lock"]] * 3, "the third is left to others meanwhile"
    assert "Waiting for 2 of 3 devices:" in said
    assert len(re.findall(rf"  [01]: pid {child.pid} of .*\(sampling s1\)", said)) == 2
    assert "  2: free" in said


def test_a_job_for_all_devices_is_not_overtaken_by_jobs_for_one(
    tmp_path: Path, machine: Path
) -> None:
    first, _ = keeper(1)
    log = tmp_path / "log"

    def ask(count: int) -> Forked:
        def job(line: Line) -> None:
            line.say("asks")
            with lease(count, f"{count} devices"), log.open("a") as file:
                file.write(f"{count}\n")

        child = Forked(job)
        child.line.hear()
        return child

    def first_in_line() -> set[int]:
        return {one.pid for one in locks.holders(machine) if one.path.name.startswith("turn")}

    large = ask(3)
    while large.pid not in first_in_line():
        time.sleep(0.01)
    small = [ask(1) for _ in range(3)]
    first.end()
    for child in (large, *small):
        child.end()
    assert log.read_text().split() == ["3", "1", "1", "1"]


def test_a_worker_that_outlives_its_killed_job_keeps_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def job(line: Line) -> None:
        with lease(1, "sampling"):
            worker = subprocess.Popen(["sleep", "1000"], pass_fds=gpu_lease.descriptors())
            line.say(str(worker.pid))
            line.hear()

    parent = Forked(job)
    worker = int(parent.line.hear())
    [holder] = holders()
    assert holder.pid == parent.pid and holder.left == ()
    parent.kill()
    [holder] = holders()
    assert holder.left == (worker,) and f"To end that: kill {worker}" in str(holder)
    os.kill(worker, 15)
    while holders():
        time.sleep(0.01)
    assert gpu_lease.descriptors() == ()


def test_descriptors_are_inherited_by_children_that_close_none() -> None:
    with lease(1, "sampling"):
        [number] = gpu_lease.descriptors()
        code = f"import os; os.fstat({number})"
        assert subprocess.run([sys.executable, "-c", code], close_fds=False).returncode == 0
        assert subprocess.run([sys.executable, "-c", code], stderr=-3).returncode == 1


@pytest.mark.parametrize(
    ("visible", "words"),
    [
        ("0,1", r"CUDA_VISIBLE_DEVICES='0,1' leaves 2\. .*--resources gpu=2"),
        ("", r"CUDA_VISIBLE_DEVICES='' leaves 0\. Set models.<name>.execution.gpu to 0"),
        ("NoDevFiles", "leaves 0"),
        ("0,-1,1", "leaves 1"),
        ("3,3", "leaves 1"),
    ],
)
def test_asking_for_more_than_there_are_is_refused_at_once(
    visible: str, words: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    pattern = rf"^8 devices are wanted for sampling s1, .*{words}"
    with pytest.raises(ConfigError, match=pattern), lease(8, "sampling s1"):
        raise AssertionError("entered without devices")
    assert not machine.exists() and os.environ[VISIBLE] == visible


def test_without_a_choice_the_devices_of_the_machine_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VISIBLE)
    with pytest.raises(ConfigError, match=r"this machine has \d+\."), lease(10**6, "sampling"):
        raise AssertionError("entered without devices")
    gpu_lease._counted.cache_clear()
    monkeypatch.setattr(gpu_lease, "COUNT", "print('a warning'); print(4)")
    with lease(3, "sampling") as mine:
        assert mine == ("0", "1", "2")
    assert VISIBLE not in os.environ
    gpu_lease._counted.cache_clear()
    monkeypatch.setattr(gpu_lease, "COUNT", "import no_such_torch")
    pattern = r"no_such_torch.*export CUDA_VISIBLE_DEVICES=0,1"
    with pytest.raises(SsgrError, match=pattern), lease(1, "sampling"):
        raise AssertionError("entered without devices")
    gpu_lease._counted.cache_clear()


def test_identifiers_are_passed_on_as_they_are(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
        "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/1/0",
    ]
    monkeypatch.setenv(VISIBLE, ", ".join(names))
    with lease(2, "sampling") as mine:
        assert mine == tuple(names) and os.environ[VISIBLE] == ",".join(names)
        assert [one.path.parent for one in holders()] == [machine] * 2


SLURM = {"SLURM_JOB_ID": "77"}


@pytest.mark.parametrize(
    "scheduler",
    [
        SLURM,
        {"PBS_JOBID": "12.server"},
        {"LSB_JOBID": "5"},
        {"JOB_ID": "9", "SGE_TASK_ID": "undefined"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
    ],
)
def test_what_a_scheduler_chose_is_passed_through(
    scheduler: dict[str, str], machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in scheduler.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(VISIBLE, "5,3")
    with lease(2, "sampling") as mine:
        assert mine == ("5", "3") and os.environ[VISIBLE] == "5,3"
    assert not machine.exists(), "without a lease"
    pattern = rf"leaves 2 \(a job of .*{next(iter(scheduler))}="
    with pytest.raises(ConfigError, match=pattern), lease(3, "sampling"):
        raise AssertionError("entered without devices")


def test_a_snakemake_within_an_allocation_shares_it_out(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``salloc --gpus=3 snakemake …``: each job of one device has its own."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    child, held = keeper(1)
    with lease(1, "sampling") as mine:
        assert (held, mine) == ("0", ("1",))
    monkeypatch.setenv("SLURM_JOB_ID", "78")  # whose device 0 is another one
    with lease(1, "sampling") as mine:
        assert mine == ("0",)
        assert [one.path.parent.name for one in holders()] == ["SLURM_JOB_ID=78"]
    child.end()
    monkeypatch.delenv("SLURM_JOB_ID")
    with lease(1, "sampling"):
        assert [one.path.parent for one in holders()] == [machine]


def test_any_variable_named_job_id_is_no_scheduler(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_ID", "9")
    with lease(3, "sampling"):
        assert len(holders()) == 3


def test_it_is_too_late_once_cuda_is_initialised(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(RuntimeError, match="before CUDA is initialised"), lease(0, "late"):
        raise AssertionError("entered too late")


def test_a_lease_does_not_import_torch() -> None:
    code = (
        "import sys; from ssgr.cluster.gpu_lease import lease\n"
        "with lease(1, 'x'): pass\n"
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_all_users_share_one_folder(machine: Path) -> None:
    """One user makes it under a strict umask; another uses it (two, where root runs this)."""
    reachable(machine.parent)
    before = os.umask(0o077)
    try:
        with lease(3, "sampling"):
            pass
    finally:
        os.umask(before)
    assert machine.stat().st_mode & 0o7777 == 0o1777
    assert {file.stat().st_mode & 0o777 for file in machine.iterdir()} == {0o666}

    def works(line: Line) -> None:
        without_rights()
        with lease(3, "the other's"):
            line.say(str({one.what for one in holders()}))

    child = Forked(works)
    assert child.line.hear() == '{"the other\'s"}'
    child.end()


def test_a_link_or_a_file_in_place_of_the_folder_is_refused(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for link in (True, False):
        if link:
            machine.symlink_to(tmp_path / "elsewhere")
        else:
            machine.touch()
        with pytest.raises(SsgrError, match=r"link or a file.*SSGR_DEVICES"), lease(1, "sampling"):
            raise AssertionError("entered through a link")
        with pytest.raises(SsgrError, match="link or a file"):
            holders()
        machine.unlink()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_in_place_of_a_lock_is_refused(machine: Path, tmp_path: Path) -> None:
    machine.mkdir()
    (tmp_path / "precious").write_text("data")
    (machine / "gpu0.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(SsgrError, match=r"gpu0\.lock"), lease(1, "sampling"):
        raise AssertionError("entered through a link")
    assert (tmp_path / "precious").read_text() == "data"


def test_a_folder_that_cannot_be_made_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SSGR_DEVICES", str(tmp_path / "file" / "devices"))
    with pytest.raises(SsgrError, match="SSGR_DEVICES"), lease(1, "sampling"):
        raise AssertionError("entered without a folder")


def test_the_folder_is_the_machines_not_that_of_tmpdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake and clusters set TMPDIR for a job; another job must find the same locks."""
    monkeypatch.delenv("SSGR_DEVICES")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert gpu_lease._shared() == Path("/tmp/ssgr-devices")
