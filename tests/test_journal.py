"""The journal: nothing that was appended is lost, nothing is invented, whatever ends the writer."""

import errno
import functools
import math
import os
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from processes import Forked, Line, without_rights
from ssgr.errors import SsgrError
from ssgr.sampling import journal as module
from ssgr.sampling import records
from ssgr.sampling.journal import Journal
from ssgr.sampling.protocol import Response

HEADER = '{"model": "m", "sampling": {"n": 16}}'


@functools.cache
def response(number: int, tokens: int | None = None) -> Response:
    """The same response for the same number, of very different lengths."""
    draw = random.Random(number)
    count = draw.choice([0, 1, 30, 3000, 40_000]) if tokens is None else tokens
    return Response(
        f"problem-{number // 4}",
        number % 4,
        tuple((np.arange(number, number + 31 * count, 31) % 151_936).tolist()),
        "length" if number % 3 else "stop",
        None if number % 5 == 0 else -1.0 / (number + 1),
    )


def held(path: Path, header: str = HEADER) -> list[Response]:
    """What a journal knows when it is opened now."""
    journal = Journal.open(path, header)
    journal.close()
    return journal.known


def filled(path: Path, count: int, tokens: int | None = 3) -> list[int]:
    """Write ``count`` responses; returns the file's size before the first and after each."""
    journal = Journal.open(path, HEADER)
    sizes = [path.stat().st_size]
    for number in range(count):
        journal.append(response(number, tokens))
        sizes.append(path.stat().st_size)
    journal.close()
    return sizes


def test_a_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / ".000000-000080.journal"
    filled(path, 12, None)
    assert held(path) == [response(number) for number in range(12)]
    journal = Journal.open(path, HEADER)
    journal.append(response(12))
    journal.close()
    journal.close()
    assert held(path) == [response(number) for number in range(13)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.text(max_size=20),
            st.integers(0, 2**31 - 1),
            st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20),
            st.sampled_from(["stop", "length"]),
            st.none() | st.floats(allow_nan=False),
        ),
        max_size=8,
        unique_by=lambda row: (row[0], row[1]),
    ),
    header=st.text(max_size=50),
)
@example(rows=[("line\nbreak\udcff", 0, [records.SHARED_IDS], "stop", math.inf)], header="\n")
def test_any_response_and_header_survives(tmp_path: Path, rows: list[tuple], header: str) -> None:  # type: ignore[type-arg]
    path = tmp_path / "any.journal"
    path.unlink(missing_ok=True)
    wanted = [Response(name, at, tuple(ids), why, mean) for name, at, ids, why, mean in rows]
    journal = Journal.open(path, header)
    for one in wanted:
        journal.append(one)
    journal.close()
    assert held(path, header) == wanted


def test_not_a_number_survives(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.append(Response("p", 0, (1,), "stop", math.nan))
    journal.close()
    [back] = held(tmp_path / "j")
    assert back.mean_logprob is not None and math.isnan(back.mean_logprob)


def test_token_ids_are_plain_integers_and_shared(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    for sample in range(2):
        ids = tuple(range(sample, 200_000, 100 + sample))
        journal.append(Response("p", sample, ids, "stop", None))
    journal.close()
    first, second = (one.token_ids for one in held(tmp_path / "j"))
    assert {type(token) for token in first} == {int}
    objects = {token: id(token) for token in first}
    both = objects.keys() & set(second)
    assert both and all(id(token) == objects[token] for token in second if token in both)


def test_a_response_that_stands_twice_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal.open(path, HEADER)
    for number in (0, 1, 0, 2, 1):
        journal.append(response(number, 4))
    journal.close()
    assert held(path) == [response(number, 4) for number in range(3)]


def test_a_torn_tail_of_every_length_is_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j"
    sizes = filled(path, 3)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        capsys.readouterr()
        kept = max(0, sum(size <= length for size in sizes) - 1)
        assert held(path) == [response(number, 3) for number in range(kept)], length
        said = capsys.readouterr().err
        assert bool(said) == (length not in (0, *sizes)), length
        assert path.stat().st_size == sizes[kept]
        journal = Journal.open(path, HEADER)  # and it goes on from there
        journal.append(response(9, 3))
        journal.close()
        assert held(path)[kept:] == [response(9, 3)]


def test_every_flipped_byte_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "j"
    sizes = filled(path, 3)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        kept = max(0, sum(size <= at for size in sizes) - 1)
        assert held(path) == [response(number, 3) for number in range(kept)], at
        assert capsys.readouterr().err
        assert held(path) == [response(number, 3) for number in range(kept)], at
        assert not capsys.readouterr().err, "the damage is cut off once"


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff" * 100, b"\xf5ssg" * 9, os.urandom(3000)])
def test_zeros_and_garbage_after_a_loss_of_power_are_cut_off(
    tmp_path: Path, tail: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j"
    filled(path, 3)
    with path.open("ab") as file:
        file.write(tail)
    assert held(path) == [response(number, 3) for number in range(3)]
    said = capsys.readouterr().err
    assert f"last {len(tail)} bytes" in said and str(path) in said


def test_another_header_starts_afresh_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j"
    filled(path, 3)
    capsys.readouterr()
    assert held(path, HEADER + " ") == []
    said = capsys.readouterr().err
    assert str(path) in said and "afresh" in said
    assert held(path, HEADER + " ") == []
    assert not capsys.readouterr().err


def test_remove_deletes_the_file_and_may_be_repeated(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.append(response(1, 3))
    journal.remove()
    journal.remove()
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_reported_is_lost_to_kill_9(tmp_path: Path) -> None:
    """60 writers, each killed at a random moment; each goes on from what the last one left."""
    path, chance = tmp_path / "j", random.Random(11)
    reported = 0
    for _ in range(60):
        known = held(path)
        assert known == [response(number) for number in range(len(known))]
        assert len(known) >= reported
        start = len(known)

        def write(line: Line, start: int = start) -> None:
            journal = Journal.open(path, HEADER)
            for number in range(start, start + 1000):
                journal.append(response(number))
                line.say(str(number))

        writer = Forked(write)
        heard = [writer.line.hear() for _ in range(chance.randrange(4))]
        time.sleep(chance.random() * 0.004)
        writer.kill()
        heard += iter(writer.line.hear, "")
        assert heard == [str(start + at) for at in range(len(heard))]
        reported = start + len(heard)
        size = path.stat().st_size
        assert reported <= len(held(path)) <= reported + 1, "at most the one in the making"
        if size > 4_000_000:  # begin again, to keep the test short
            path.unlink()
            reported = 0


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "j"

    def write(line: Line) -> None:
        journal = Journal.open(path, HEADER)
        journal.append(response(0))
        bystander = Forked(lambda inner: line.say(inner.hear()))  # keeps the file open, no more
        line.say(str(bystander.pid))
        line.hear()

    writer = Forked(write)
    writer.line.hear()
    with pytest.raises(SsgrError, match=f"{path} is being written by another process"):
        Journal.open(path, HEADER)
    writer.kill()
    assert held(path) == [response(0)]


def test_kill_9_within_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of 4 MB, written back to back: nearly every kill tears one."""
    path, chance = tmp_path / "j", random.Random(12)
    packed = functools.cache(records.packed)
    monkeypatch.setattr(module, "packed", packed)
    large = [Response("p", sample, tuple(range(1_000_000)), "stop", None) for sample in (0, 1)]
    for one in large:
        packed(one)
    for _ in range(8):

        def write(line: Line) -> None:
            journal = Journal.open(path, HEADER)
            line.say("open")
            for number in range(20):
                journal.append(large[number % 2])
                line.say(str(number))

        writer = Forked(write)
        writer.line.hear()
        time.sleep(chance.random() * 0.01)
        writer.kill()
        reported = len(list(iter(writer.line.hear, "")))
        known = held(path)
        assert known == large[: len(known)] and len(known) >= min(2, reported)
        path.unlink()


def child(code: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run ``code`` with this package in another Python."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
    )


FILL = """
    import resource, sys
    from pathlib import Path
    from ssgr.errors import SsgrError
    from ssgr.sampling.protocol import Response
    from ssgr.sampling.journal import Journal
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    journal = Journal.open(Path(sys.argv[1]), "h")
    done = 0
    try:
        for number in range(1000):
            journal.append(Response("p", number, tuple(range(300)), "stop", None))
            done += 1
    except SsgrError as error:
        print(error)
    journal.append(Response("p", 1000, (), "stop", None))  # there is room for a short one
    journal.close()
    print(done)
"""


def test_a_full_disk_is_an_error_that_says_what_is_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "j"
    ran = child(FILL, path)
    assert ran.returncode == 0, ran.stderr
    message, done = ran.stdout.splitlines()
    assert int(done) == 16
    assert str(path) in message and "16 responses are safe" in message and "free some" in message
    assert path.stat().st_size <= 20_000
    known = held(path, "h")
    assert [one.sample for one in known] == [*range(16), 1000], "the short one, over the torn one"
    assert "cut off" in capsys.readouterr().err


def test_a_disk_that_is_full_from_the_start() -> None:
    with pytest.raises(SsgrError, match=r"/dev/full.*0 responses are safe.*free some"):
        Journal.open(Path("/dev/full"), HEADER)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "cannot be written"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_an_error_at_fsync_counts_what_was_safe_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    filled(tmp_path / "j", 2)
    monkeypatch.setattr(module, "SYNC_INTERVAL", 0.0)
    journal = Journal.open(tmp_path / "j", HEADER)
    journal.append(response(2, 3))

    def fails(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(SsgrError, match=rf"3 responses are safe.*{words}"):
            journal.append(response(3, 3))
        with pytest.raises(SsgrError, match="3 responses are safe"):
            journal.close()
    journal.close()
    assert held(tmp_path / "j") == [response(number, 3) for number in range(4)]


def test_fsync_comes_with_time_and_at_the_end_not_with_every_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    synced: list[int] = []
    monkeypatch.setattr("ssgr.sampling.journal.time.monotonic", lambda: now[0])
    journal = Journal.open(tmp_path / "j", HEADER)
    monkeypatch.setattr(os, "fsync", synced.append)
    for number in range(10):
        now[0] += 1.0
        journal.append(response(number, 3))
    assert len(synced) == 2
    journal.close()
    assert len(synced) == 3


def test_a_folder_without_rights_is_an_error_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir(mode=0o555)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)

    def opens(line: Line) -> None:
        without_rights()
        with pytest.raises(SsgrError) as error:
            Journal.open(folder / "j", HEADER)
        line.say(str(error.value))

    opener = Forked(opens)
    message = opener.line.hear()
    opener.end()
    assert "Permission denied" in message and "make the file and its folder" in message
    assert str(folder / "j") in message


def test_a_new_journal_is_for_all_who_may_write_the_folder(tmp_path: Path) -> None:
    (tmp_path / "group").mkdir()
    (tmp_path / "group").chmod(0o2770)
    before = os.umask(0o077)
    try:
        held(tmp_path / "group" / "j")
    finally:
        os.umask(before)
    assert (tmp_path / "group" / "j").stat().st_mode & 0o777 == 0o660


def test_opening_needs_no_more_memory_than_a_few_times_the_file(tmp_path: Path) -> None:
    """8 bytes a token in tuples of shared integers, where plain ones would take 40."""
    path = tmp_path / "j"
    filled(path, 100, 32_768)
    code = """
        import resource, sys
        from pathlib import Path
        from ssgr.sampling.journal import Journal
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        before = peak()
        journal = Journal.open(Path(sys.argv[1]), sys.argv[2])
        print((peak() - before) / sum(len(one.token_ids) for one in journal.known))
    """
    ran = child(code, path, HEADER)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) < 20, "bytes of memory per token"
