"""Locks: one at a time, freed by the kernel, and whoever waits knows for whom."""

import errno
import fcntl
import json
import os
import pwd
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from processes import Forked, Line, reachable, without_rights
from ssgr.errors import SsgrError
from ssgr.storage import lock_owner as holder_module
from ssgr.storage import locks
from ssgr.storage.locks import holder, holders, only_one


def keeper(path: Path, what: str = "sampling s1") -> Forked:
    """A process that holds the lock on ``path`` until it is ended or killed."""

    def keep(line: Line) -> None:
        with only_one(path, what):
            line.say("held")
            line.hear()

    child = Forked(keep)
    assert child.line.hear() == "held"
    return child


def owner_of(path: Path) -> str:
    return pwd.getpwuid(path.stat().st_uid).pw_name


def on_sleep(monkeypatch: pytest.MonkeyPatch, steps: list[Callable[[], None]]) -> None:
    """Each pause of a waiting process lasts 40 seconds of its clock and does the next step."""
    now = [1000.0]

    def sleep(_: float) -> None:
        now[0] += 40
        if steps:
            steps.pop(0)()

    monkeypatch.setattr("ssgr.storage.locks.time.sleep", sleep)
    monkeypatch.setattr("ssgr.storage.locks.time.monotonic", lambda: now[0])


def nothing() -> None:
    """A step in which nothing happens."""


def test_twenty_processes_count_together(tmp_path: Path) -> None:
    """A counter that is read and written without any lock of its own but ours."""
    counter, lock = tmp_path / "counter", tmp_path / "deep" / "folder" / ".counter.lock"
    counter.write_text("0")

    def count(line: Line) -> None:
        line.hear()
        for _ in range(5):
            with only_one(lock, "counting"):
                seen = int(counter.read_text())
                os.sched_yield()
                counter.write_text(str(seen + 1))

    children = [Forked(count) for _ in range(20)]
    for child in children:
        child.line.say("go")
    for child in children:
        child.end()
    assert counter.read_text() == "100"
    assert lock.exists(), "the file stays: whoever deletes it lets two in"
    assert holders(tmp_path) == []


def test_a_killed_holder_frees_its_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / ".a.lock"
    for _ in range(10):
        child = keeper(path)
        assert locks.take(path) is None
        child.kill()
        with only_one(path, "after it"):
            pass
    assert "Waiting" not in capsys.readouterr().err


def test_an_error_under_the_lock_frees_it(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), only_one(tmp_path / ".a.lock", "dividing"):
        raise ZeroDivisionError
    assert holder(tmp_path / ".a.lock") is None


def test_holders_says_who_holds_what(tmp_path: Path) -> None:
    first, second = tmp_path / "m" / ".a.lock", tmp_path / ".b.lock"
    for free in (tmp_path / ".c.lock", tmp_path / "m" / ".d.lock"):
        with only_one(free, "done"):
            pass
    (tmp_path / "other.txt").write_text("no lock")
    children = [keeper(first, "sampling s1"), keeper(second, "grading s2")]
    found = holders(tmp_path)
    assert [(one.path, one.what) for one in found] == [
        (second, "grading s2"),
        (first, "sampling s1"),
    ]
    assert [one.pid for one in found] == [children[1].pid, children[0].pid]
    assert {(one.host, one.user) for one in found} == {(os.uname().nodename, holder_module.user())}
    assert all(one.since.endswith("Z") and not one.orphaned and not one.left for one in found)
    for child in children:
        child.end()
    assert holders(tmp_path) == []
    assert holders(tmp_path / "missing") == []


def test_who_waits_is_told_at_once_and_every_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".000000-000080.lock"
    child = keeper(path, "sampling s1/gsm8k")
    on_sleep(monkeypatch, [nothing] * 5 + [child.kill])
    with only_one(path, "sampling s1/gsm8k"):
        lines = capsys.readouterr().err.splitlines()
    # told at 40, 120 and 200 seconds: at once (after one more look), then after a minute each
    assert len(lines) == 3
    for line in lines:
        assert line.startswith(f"Waiting for {path}, held by pid {child.pid} of ")
        assert "on " + os.uname().nodename in line and "(sampling s1/gsm8k)" in line


def test_looking_at_a_lock_does_not_count_as_holding_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`holders` locks for an instant; whoever meets that instant waits, silently, for the next."""
    path = tmp_path / ".a.lock"
    path.touch()
    probe = os.open(path, os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)
    monkeypatch.setattr("ssgr.storage.locks.time.sleep", lambda _: os.close(probe))
    with only_one(path, "work"):
        pass
    assert capsys.readouterr().err == ""


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".a.lock"

    def work(line: Line) -> None:
        with only_one(path, "work"):
            child = Forked(lambda inner: line.say(inner.hear() or "gone"))
            line.say(str(child.pid))
            line.hear()

    parent = Forked(work)
    parent.line.hear()
    assert holder(path) is not None
    parent.kill()  # its child may not be gone yet, and holds nothing
    assert holder(path) is None


def test_a_lock_file_deleted_under_a_waiter_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge deletes the folder between a waiter's open and its lock."""
    path = tmp_path / "key" / ".a.lock"
    real = fcntl.flock
    deleted: list[Path] = []

    def flock(descriptor: int, operation: int) -> None:
        if not deleted:
            path.unlink()
            path.parent.rmdir()
            deleted.append(path)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with only_one(path, "work"):
        assert holder(path) is not None, "the file that is locked is the one that has the name"
    assert deleted


RECORDS = [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe", b'{"snakemake": 3}', b"null"]


@pytest.mark.parametrize("record", RECORDS)
def test_a_holder_that_does_not_say_who_it_is(tmp_path: Path, record: bytes) -> None:
    path = tmp_path / ".a.lock"
    descriptor = locks.take(path)
    assert descriptor is not None
    os.write(descriptor, record)
    found = holder(path)
    os.close(descriptor)
    assert found is not None and found.pid == 0 and found.orphaned is None
    assert "does not say who" in str(found)


def test_a_record_of_others_cannot_command_the_terminal(tmp_path: Path) -> None:
    child = keeper(tmp_path / ".a.lock", "evil\x1b[2J\nfake line")
    found = holder(tmp_path / ".a.lock")
    child.end()
    assert found is not None and "\x1b" not in str(found) and "\n" not in str(found)


def test_a_holder_on_another_machine_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = keeper(tmp_path / ".a.lock")
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    found = holder(tmp_path / ".a.lock")
    child.end()
    assert found is not None and found.orphaned is None and found.left == ()


def test_a_machine_of_the_same_name_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers are called alike, and each numbers its processes from 1."""
    child = keeper(tmp_path / ".a.lock")
    monkeypatch.setattr(holder_module, "_machine", lambda: "another boot, or container")
    found = holder(tmp_path / ".a.lock")
    child.kill()
    assert found is not None and found.orphaned is None and found.left == ()
    assert f"If {os.uname().nodename} is dead, the file server frees the lock" in str(found)


def test_a_clock_that_is_set_makes_nobody_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start of a process by the clock is that of the machine, which moves, and a constant."""
    child = keeper(tmp_path / ".a.lock")
    booted = psutil.boot_time() + 7200
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted)
    assert psutil.boot_time() == booted
    found = holder(tmp_path / ".a.lock")
    child.kill()
    assert found is not None and found.pid == child.pid and "has ended" not in str(found)


@pytest.mark.parametrize("when", [0, 4_000_000_000])
def test_the_age_of_a_lock_file_says_nothing(tmp_path: Path, when: int) -> None:
    path = tmp_path / ".a.lock"
    child = keeper(path)
    record = path.read_bytes()
    os.utime(path, (when, when))
    assert locks.take(path) is None, "held, however old or young its file"
    child.kill()
    os.utime(path, (when, when))
    assert path.read_bytes() == record and holders(tmp_path) == []
    with only_one(path, "work"):
        assert b'"work"' in path.read_bytes()


def test_a_lock_file_that_is_always_deleted_is_no_held_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error in words, and no wait for nobody."""
    path = tmp_path / ".a.lock"
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(SsgrError, match=r"Cannot lock .*No such file"):
        locks.take(path)
    assert set(os.listdir("/proc/self/fd")) == before, "no descriptor is left open"


def test_a_lock_file_that_only_its_owner_may_write(tmp_path: Path) -> None:
    """In a folder that everybody may write: as a copy, or a tool of other rules, leaves it."""
    path = tmp_path / "pool" / ".a.lock"
    path.parent.mkdir()
    path.parent.chmod(0o777)
    reachable(tmp_path)
    path.touch()
    path.chmod(0o600 if os.geteuid() == 0 else 0o000)

    def tries(line: Line) -> None:
        without_rights()
        with pytest.raises(SsgrError) as error, only_one(path, "work"):
            raise AssertionError("entered without a lock")
        line.say(str(error.value))
        line.say(str(holders(path.parent)))

    child = Forked(tries)
    said, held = child.line.hear(), child.line.hear()
    child.end()
    assert f"not this file: it belongs to {owner_of(path)} (group" in said
    assert f"chmod g+rw {path}" in said and held == "[]"
    if os.geteuid() == 0:  # the owner's next use lets the others in
        with only_one(path, "work"):
            pass
        assert path.stat().st_mode & 0o777 == 0o666


FAKE_SNAKEMAKE = """
    import subprocess, sys, time
    job = subprocess.Popen([sys.executable, *sys.argv[1:]])
    job.wait()
"""
JOB = """
    import sys, time
    from pathlib import Path
    from ssgr.storage.locks import only_one
    with only_one(Path(sys.argv[1]), "sampling s1"):
        print("held", flush=True)
        sys.stdin.read()
"""


@contextmanager
def under_snakemake(tmp_path: Path, lock: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process called snakemake whose job holds ``lock`` until our end of its stdin closes."""
    snakemake, job = tmp_path / "snakemake", tmp_path / "job.py"
    snakemake.write_text(textwrap.dedent(FAKE_SNAKEMAKE))
    job.write_text(textwrap.dedent(JOB))
    command = [sys.executable, str(snakemake), str(job), str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None and running.stdin is not None
        assert running.stdout.readline() == "held\n"
        try:
            yield running
        finally:
            running.stdin.close()


def test_an_orphan_of_a_killed_snakemake_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "pool" / ".000000-000080.lock"
    with under_snakemake(tmp_path, lock) as snakemake:
        found = holder(lock)
        assert found is not None and found.orphaned is False
        assert "orphan" not in str(found)
        snakemake.send_signal(signal.SIGKILL)
        snakemake.wait()
        orphan = holder(lock)
        assert orphan is not None and orphan.orphaned is True
        assert psutil.pid_exists(orphan.pid) and orphan.pid == found.pid != snakemake.pid

        on_sleep(monkeypatch, [nothing, nothing, lambda: os.kill(orphan.pid, signal.SIGTERM)])
        with only_one(lock, "sampling s1"):  # ended the way the message says
            said = capsys.readouterr().err
    assert f"pid {orphan.pid} of " in said and "an orphan: the Snakemake" in said
    assert "will be used" in said and f"kill {orphan.pid}" in said


@pytest.mark.parametrize(
    ("command", "is_one"),
    [
        (["snakemake", "--cores", "2"], True),
        (["/env/bin/snakemake"], True),
        (["/env/bin/python3.11", "/env/bin/snakemake", "-n"], True),
        (["python", "-m", "snakemake", "--cores", "2"], True),
        (["python", "-X", "utf8", "/bin/snakemake"], True),
        (["python", "-m", "ssgr", "sample"], False),
        (["vim", "snakemake"], False),
        (["bash", "-c", "snakemake --cores 2"], False),
        ([], False),
    ],
)
def test_what_is_a_snakemake(command: list[str], is_one: bool) -> None:
    assert holder_module._is_snakemake(command) is is_one


def test_a_later_process_of_the_same_number_is_another() -> None:
    me = psutil.Process()
    start = holder_module._start(me)
    assert holder_module._lives(holder_module.Started(me.pid, start))
    assert not holder_module._lives(holder_module.Started(me.pid, start - 3600))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOLCK, "has no locks"),
        (errno.ENOSYS, "has no locks"),
        (errno.EOPNOTSUPP, "has no locks"),
        (errno.EIO, "check that"),
    ],
)
def test_a_file_system_without_locks_is_an_error_in_words(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    words: str,
) -> None:
    """For whoever works; whoever only looks is told that nothing can be seen."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    path = tmp_path / ".a.lock"
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(SsgrError, match=words) as error, only_one(path, "work"):
        raise AssertionError("entered without a lock")
    assert str(path) in str(error.value) and str(tmp_path) in str(error.value)
    assert holders(tmp_path) == []
    said = capsys.readouterr().err
    assert f"1 locks in {tmp_path} cannot be looked at" in said and words in said
    assert set(os.listdir("/proc/self/fd")) == before, "no descriptor is left open"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "mounted read-only"), (errno.ENOSPC, "no space"), (errno.EDQUOT, "quota")],
)
def test_a_folder_that_takes_no_file_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def opens(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", opens)
    with pytest.raises(SsgrError, match=words), only_one(tmp_path / ".a.lock", "work"):
        raise AssertionError("entered without a lock")


def test_a_folder_without_rights_is_an_error_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir(mode=0o755)
    if os.geteuid():
        folder.chmod(0o555)
    reachable(tmp_path)

    def tries(line: Line) -> None:
        without_rights()
        for path in (folder / ".a.lock", folder / "deeper" / ".a.lock"):
            with pytest.raises(SsgrError) as error, only_one(path, "work"):
                raise AssertionError("entered without a lock")
            line.say(str(error.value))

    child = Forked(tries)
    for place in (folder, folder / "deeper"):
        message = child.line.hear()
        assert "Permission denied" in message and str(place) in message
        assert f"may not write in {folder}: it belongs to {owner_of(folder)} (group" in message
        assert f"find {folder} -type d -exec chmod g+ws" in message
    child.end()


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / ".a.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(SsgrError, match=r"\.a\.lock"), only_one(tmp_path / ".a.lock", "work"):
        raise AssertionError("entered through a link")
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize(
    ("folder", "file"), [(0o2775, 0o664), (0o755, 0o644), (0o700, 0o600), (0o1777, 0o666)]
)
def test_a_lock_file_is_for_all_who_may_write_its_folder(
    tmp_path: Path, folder: int, file: int
) -> None:
    path = tmp_path / "pool" / ".a.lock"
    path.parent.mkdir()
    path.parent.chmod(folder)
    before = os.umask(0o077)
    try:
        with only_one(path, "work"):
            pass
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == file


def test_two_users_take_turns(tmp_path: Path) -> None:
    """Two, that is, where the tests run as root."""
    path = tmp_path / "pool" / ".a.lock"
    path.parent.mkdir()
    path.parent.chmod(0o1777)
    reachable(tmp_path)
    with only_one(path, "root's"):
        pass

    def works(line: Line) -> None:
        without_rights()
        with only_one(path, "the other's"):
            line.say(json.loads(path.read_text())["what"])

    child = Forked(works)
    assert child.line.hear() == "the other's"
    child.end()


def test_a_record_that_finds_no_room_is_said_and_the_lock_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".a.lock"
    with only_one(path, "the one before"):
        pass

    def pwrite(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", pwrite)
    with only_one(path, "work"):
        found = holder(path)
    assert found is not None and found.pid == 0, "not the one before"
    assert f"{path} cannot say who holds it (No space left" in capsys.readouterr().err
