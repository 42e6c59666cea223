"""Folders that appear whole or not at all, and the files that are taken along into them."""

import errno
import os
from pathlib import Path

import pytest

from processes import Forked, Line, reachable, without_rights
from ssgr.errors import SsgrError
from ssgr.storage.atomic import take_along, whole_folder


def test_it_appears_when_all_is_well(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out) as aside:
        (aside / "file").write_text("x")
        assert not out.exists()
    assert (out / "file").read_text() == "x"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as aside:
        (aside / "file").write_text("x")
    assert (tmp_path / "out/file").is_file()


@pytest.mark.parametrize("full", [True, False])
def test_what_is_there_is_never_replaced(tmp_path: Path, full: bool) -> None:
    out = tmp_path / "out"
    if full:
        out.mkdir()
        (out / "mine").write_text("x")
    else:
        out.write_text("x")
    with pytest.raises(SsgrError, match="exists"), whole_folder(out):
        raise AssertionError("the block must not run")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path, number: int) -> None:
    reason = os.strerror(number)
    with pytest.raises(SsgrError, match=reason), whole_folder(tmp_path / "out") as aside:
        (aside / "half").write_text("x")
        raise OSError(number, reason)
    assert list(tmp_path.iterdir()) == []


def test_any_other_error_leaves_nothing_and_passes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_folder(tmp_path / "out") as aside:
        (aside / "half").write_text("x")
        raise KeyError("x")
    assert list(tmp_path.iterdir()) == []


def test_without_write_permission_the_folder_is_named(tmp_path: Path) -> None:
    locked = reachable(tmp_path)
    locked.chmod(0o555)

    def write(line: Line) -> None:
        without_rights()
        try:
            with whole_folder(locked / "out"):
                line.say("it was written")
        except SsgrError as error:
            line.say(str(error))

    child = Forked(write)
    said = child.line.hear()
    child.end()
    locked.chmod(0o755)
    assert said.startswith(f"{locked / 'out'} cannot be written: Permission denied")


@pytest.mark.parametrize("linked", [True, False])
def test_links_where_the_file_system_has_them(
    tmp_path: Path, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("from", "to"):
        (tmp_path / folder).mkdir()
    file = tmp_path / "from/weights"
    file.write_bytes(b"12")
    if not linked:

        def refuse(source: Path, target: Path) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", refuse)
    take_along([file], tmp_path / "to", link=True)
    assert os.path.samefile(file, tmp_path / "to/weights") == linked
    assert (tmp_path / "to/weights").read_bytes() == b"12"
    take_along([file], tmp_path)
    assert not os.path.samefile(file, tmp_path / "weights")
