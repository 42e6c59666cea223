"""`ssgr pool`: what is listed, everything that verifying finds, and what purging never deletes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from small_pool import EVERY, SAMPLING, SmallPool, grades, responses, rows
from ssgr.__main__ import main
from ssgr.config import Model, Sampling
from ssgr.errors import PoolError
from ssgr.pool import store
from ssgr.pool.inventory import inventory
from ssgr.pool.purge import purge
from ssgr.pool.verification import Finding, verify
from ssgr.storage import tables
from ssgr.storage.locks import only_one

FIRST, SECOND = "000000-000002", "000002-000004"


@pytest.fixture
def small(tmp_path: Path) -> SmallPool:
    """Two shards, the first in two parts, graded but for the last part."""
    small = SmallPool(tmp_path / "pool")
    begun = small.draw(FIRST, rows(range(2), samples=2), seconds=18.0)
    small.grade(begun)
    later = [(p, sample, 20) for p, sample, _ in rows(range(2)) if sample >= 2]
    small.grade(small.draw(FIRST, later, number=1, seconds=36.0))
    small.draw(SECOND, rows(range(2, 4)), seconds=90.0, gpus=4)
    return small


def run(*arguments: str) -> int:
    return main(["pool", *arguments])


def rewrite(path: Path, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a Parquet file and keep its receipt's checksum true, as nobody's accident would."""
    change(pl.read_parquet(path)).write_parquet(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    receipt(path, sha256=store.checksum(path), bytes=path.stat().st_size)


def receipt(path: Path, **changes: object) -> None:
    where = store.receipt_path(path)
    where.write_text(json.dumps(json.loads(where.read_text()) | changes))


def wrong(pool: SmallPool, *, shallow: bool = False) -> list[str]:
    return [str(one) for one in verify(pool.pool, shallow=shallow) if one.wrong]


def notes(pool: SmallPool) -> list[Finding]:
    findings = verify(pool.pool)
    assert not [one for one in findings if one.wrong]
    return findings


class TestList:
    def test_what_the_receipts_say(self, small: SmallPool) -> None:
        (row,) = inventory(small.pool).to_dicts()
        graders = row.pop("graders")
        size = sum(p.stat().st_size for p in small.pool.rglob("*.parquet"))
        assert row == {
            "model": "small",
            "source": "stories",
            "sampling": SAMPLING.key,
            "engine": "transformers",
            "shards": 2,
            "parts": 3,
            "problems": 4,
            "responses": 16,
            "tokens": 4 * 10 + 4 * 20 + 8 * 10,
            "bytes": size,
            "gpu_hours": pytest.approx(90 * 4 / 3600),
            "cpu_hours": pytest.approx((18 + 36) / 3600),
            "unreadable": 0,
            "in_progress": [],
            "journals": [],
        }
        assert graders == [{"grader": "0a1b2c3d", "parts": 2, "responses": 8, "coverage": 0.5}]

    def test_two_samplings_are_two_rows(self, small: SmallPool) -> None:
        other = SmallPool(small.pool, sampling=Sampling(n=2, max_tokens=100))
        other.draw(FIRST, rows(range(2), samples=2))
        assert inventory(small.pool)["responses"].to_list() == [4, 16]

    def test_no_parquet_is_opened(self, tmp_path: Path) -> None:
        small = SmallPool(tmp_path / "pool")
        part = small.draw("000000-000001", rows(range(1)))
        graded = small.grade(part)
        for path in (part, graded):
            path.chmod(0o644)
            path.write_bytes(b"not a Parquet file")
            data = store.receipt_path(path).read_text()
            for k in range(1, 2000):
                other = path.with_name(f"{k:06d}-{k + 1:06d}.parquet")
                other.write_bytes(b"")
                store.receipt_path(other).write_text(data)
        row = inventory(small.pool).row(0, named=True)
        assert (row["shards"], row["responses"], row["tokens"]) == (2000, 8000, 80_000)
        assert row["graders"][0]["coverage"] == 1.0

    def test_who_draws_now_and_what_waits(self, small: SmallPool) -> None:
        drawn = "000004-000006"
        for shard in (drawn, "000006-000008"):
            (small.folder / f".{shard}.journal").write_text("…")
        with only_one(small.folder / f".{drawn}.lock", "sampling"):
            row = inventory(small.pool).row(0, named=True)
        (holder,) = row["in_progress"]
        assert (holder["shard"], holder["pid"], holder["what"]) == (drawn, os.getpid(), "sampling")
        assert row["journals"] == ["000006-000008"]
        assert inventory(small.pool)["journals"].to_list() == [[drawn, "000006-000008"]]

    def test_a_part_without_a_receipt_spoils_nothing(self, small: SmallPool) -> None:
        store.receipt_path(small.folder / f"{SECOND}.parquet").write_text("{")
        (small.folder / "manifest.json").write_text("{")
        row = inventory(small.pool).row(0, named=True)
        assert (row["parts"], row["responses"], row["unreadable"]) == (3, 8, 1)
        assert row["engine"] is None

    def test_printed(self, small: SmallPool, capsys: pytest.CaptureFixture[str]) -> None:
        store.receipt_path(small.folder / f"{FIRST}.1.parquet").unlink()
        (small.folder / f".{SECOND}.journal").write_text("…")
        with only_one(small.folder / ".000004-000006.lock", "sampling"):
            assert run("list", str(small.pool)) == 0
        printed = capsys.readouterr().out
        assert "0.1 GPU-h + 0.005 CPU-h" in printed
        assert f"now: sampling (model=small/source=stories/sampling={SAMPLING.key}, " in printed
        assert f"to be continued: {SECOND} of model=small" in printed
        assert "not counted: 1 parts" in printed
        header, line = printed.splitlines()[:2]
        assert line.index("transformers") == header.index("engine")

    def test_as_json(self, small: SmallPool, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("list", str(small.pool), "--json") == 0
        (row,) = map(json.loads, capsys.readouterr().out.splitlines())
        assert row["responses"] == 16
        assert row["graders"][0]["coverage"] == 0.5

    def test_an_empty_pool_and_none(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("list", str(tmp_path)) == 0
        assert "empty" in capsys.readouterr().out
        assert run("list", str(tmp_path / "nowhere")) == 1
        assert f"error: there is no pool {tmp_path}/nowhere" in capsys.readouterr().err


class TestVerify:
    def test_a_whole_pool(self, small: SmallPool, capsys: pytest.CaptureFixture[str]) -> None:
        assert verify(small.pool) == []
        assert run("verify", str(small.pool)) == 0
        assert "is whole: everything" in capsys.readouterr().out

    def test_it_ends_with_an_error_that_counts(
        self, small: SmallPool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = small.folder / f"{SECOND}.parquet"
        store.receipt_path(path).unlink()
        (small.folder / f".{SECOND}.journal").write_text("…")
        assert run("verify", str(small.pool), "--shallow") == 1
        out, err = capsys.readouterr()
        assert f"error: {small.pool} is not what its receipts say: 1 x error" in err
        assert f"error: {path}: its receipt {SECOND}.json is missing. Restore it" in out
        assert "note:  " in out
        assert "verify" in err

    def test_an_edited_byte(self, small: SmallPool) -> None:
        path = small.folder / f"{SECOND}.parquet"
        data = bytearray(path.read_bytes())
        path.chmod(0o644)
        at = data.index(b"p0003")
        data[at : at + 5] = b"p0009"
        path.write_bytes(data)
        assert any("its checksum is not that of its receipt" in one for one in wrong(small))
        assert not any("checksum" in one for one in wrong(small, shallow=True))

    @pytest.mark.parametrize("shallow", [False, True])
    def test_a_truncated_part(self, small: SmallPool, shallow: bool) -> None:
        path = small.folder / f"{SECOND}.parquet"
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-100])
        size, torn = wrong(small, shallow=shallow)
        assert f"{path}: has " in size
        assert "its receipt says" in size
        assert f"{path}: is not a whole Parquet file" in torn
        assert "delete it and the shard's later parts" in torn

    def test_another_schema(self, small: SmallPool) -> None:
        path = small.folder / f"{SECOND}.parquet"
        rewrite(path, lambda table: table.drop("text"))
        (found,) = wrong(small)
        assert "is not a Responses table: it lacks the columns ['text']" in found

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "x"}'])
    def test_a_receipt_that_is_none(self, small: SmallPool, text: str) -> None:
        store.receipt_path(small.folder / f"{SECOND}.parquet").write_text(text)
        (found,) = wrong(small)
        assert f"its receipt {SECOND}.json is not readable" in found

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"rows": 9}, "has 8 rows, its receipt says 9"),
            ({"tokens": 81}, "has 80 tokens, its receipt says 81"),
            ({"problems": 1}, "has 2 problems, its receipt says 1"),
            ({"bytes": 3}, "bytes, its receipt says 3"),
            ({"manifest": "0123"}, "was made under the manifest 0123, manifest.json is "),
            ({"sha256": "0123"}, "its checksum is not that of its receipt"),
        ],
    )
    def test_a_receipt_that_lies(
        self, small: SmallPool, changes: dict[str, object], said: str
    ) -> None:
        path = small.folder / f"{SECOND}.parquet"
        receipt(path, **changes)
        (found,) = wrong(small)
        assert found.startswith(f"{path}: ")
        assert said in found

    def test_a_response_twice_in_a_part(self, small: SmallPool) -> None:
        rewrite(small.folder / f"{SECOND}.parquet", lambda table: pl.concat([table, table[:1]]))
        (found,) = wrong(small)
        assert "breaks the Responses schema" in found

    def test_a_response_twice_in_a_shard(self, small: SmallPool) -> None:
        small.draw(SECOND, rows(range(3, 4)), number=1)
        (found,) = wrong(small)
        assert f"{SECOND}.1.parquet: 4 of its (problem, sample) are in {SECOND}.parquet" in found

    def test_a_response_twice_in_two_shards(self, small: SmallPool) -> None:
        small.draw("000003-000006", rows(range(3, 6)))
        (found,) = wrong(small)
        assert f"4 of its (problem, sample) are in {SECOND}.parquet too" in found
        assert "pool.shard_size has changed" in found

    def test_the_same_problem_in_another_sampling_is_no_duplicate(self, small: SmallPool) -> None:
        other = SmallPool(small.pool, sampling=Sampling(n=4, max_tokens=99))
        other.draw(FIRST, rows(range(2)))
        assert verify(small.pool) == []

    def test_responses_that_are_named_and_not_there(self, small: SmallPool) -> None:
        small.draw("000004-000006", rows(range(4, 6))[:-1], needs=EVERY)
        (found,) = wrong(small)
        assert "hold 7 of the 8 responses it names" in found

    def test_a_sample_beyond_n(self, small: SmallPool) -> None:
        small.draw("000004-000006", [("p0004", 0, 5), ("p0004", 4, 5)])
        (found,) = wrong(small)
        assert "1 of its responses have a sample number beyond the 4 of the sampling" in found

    def test_a_response_longer_than_the_sampling_allows(self, small: SmallPool) -> None:
        small.draw("000004-000006", [("p0004", 0, 101)])
        (found,) = wrong(small)
        assert "1 of its responses have more than the 100 tokens of the sampling" in found

    def test_empty_prompts_and_responses(self, small: SmallPool) -> None:
        path = small.draw("000004-000006", [("p0004", 0, 0), ("p0005", 0, 5)])
        rewrite(
            path,
            lambda table: table.with_columns(prompt_token_ids=pl.lit([], dtype=pl.List(pl.Int32))),
        )
        found = wrong(small)
        assert [one.split(": ")[1].split(".")[0] for one in found] == [
            "2 of its responses have an empty prompt",
            "1 of its responses have an empty response",
        ]

    def test_a_wrong_count_of_tokens(self, small: SmallPool) -> None:
        path = small.folder / f"{SECOND}.parquet"
        rewrite(path, lambda table: table.with_columns(tokens=pl.lit(10, pl.Int32).alias("tokens")))
        assert wrong(small) == []
        rewrite(path, lambda table: table.with_columns(pl.lit(11, pl.Int32).alias("tokens")))
        assert any("another number of tokens than `tokens` says" in one for one in wrong(small))

    def test_a_missing_part_between(self, small: SmallPool) -> None:
        path = small.folder / f"{FIRST}.parquet"
        for file in (path, store.receipt_path(path), small.grader() / path.name):
            file.unlink()
        (found,) = wrong(small)
        assert f"{FIRST}.1.parquet: part 0 of its shard is missing, so no run sees this" in found

    def test_parts_that_answer_other_questions(self, small: SmallPool) -> None:
        receipt(small.folder / f"{FIRST}.1.parquet", questions="others")
        (found,) = wrong(small)
        assert f"{FIRST}.1.parquet: answers other questions than the shard's first part" in found

    def test_a_manifest_of_another_sampling(self, small: SmallPool) -> None:
        named = small.folder.with_name(f"sampling={Sampling(n=8, max_tokens=100).key}")
        small.folder.rename(named)
        (small.pool / "grades" / small.key).rename(
            small.pool / "grades" / named.relative_to(small.pool / "responses")
        )
        (found,) = wrong(small)
        assert f"manifest.json: says sampling {SAMPLING.key}, its folder's name n8-" in found

    @pytest.mark.parametrize(
        ("text", "said"),
        [(None, "is missing"), ("{", "is not a readable manifest"), ("{}", "is not a readable")],
    )
    def test_a_manifest_that_is_none(self, small: SmallPool, text: str | None, said: str) -> None:
        path = small.folder / "manifest.json"
        path.unlink() if text is None else path.write_text(text)
        assert said in wrong(small)[0]

    def test_an_edited_manifest(self, small: SmallPool) -> None:
        path = small.folder / "manifest.json"
        path.write_text(path.read_text().replace("org/small", "org/large"))
        found = wrong(small)
        assert len(found) == 3  # one for each part that another manifest made
        assert all("was made under the manifest" in one for one in found)

    def test_grades_of_other_responses(self, small: SmallPool) -> None:
        part = small.folder / f"{SECOND}.parquet"
        path = small.grade(part, of="0" * 64)
        (found,) = wrong(small)
        assert found.startswith(f"{path}: was graded from other responses than those of now")
        assert "it is graded again" in found

    def test_grades_of_other_rows(self, small: SmallPool) -> None:
        part = small.folder / f"{SECOND}.parquet"
        other = grades(responses([*rows(range(2, 4))[1:], ("p0009", 0, 3), ("p0010", 0, 3)]))
        store.publish(
            other, tables.Grades, small.grader() / part.name, "{}", store.GradesReceipt,
            of=store.checksum(part), answers="answers",
        )  # fmt: skip
        (found,) = wrong(small)
        assert "lacks 1 of the part's responses and has 2 others" in found

    def test_grades_of_nothing(self, small: SmallPool) -> None:
        part = small.draw("000004-000006", rows(range(4, 6)))
        path = small.grade(part)
        part.unlink()
        store.receipt_path(part).unlink()
        (found,) = wrong(small)
        assert f"{path}: is of a part that is not in the pool" in found

    def test_damaged_grades(self, small: SmallPool) -> None:
        path = small.grader() / f"{FIRST}.parquet"
        path.chmod(0o644)
        path.write_bytes(b"PAR1")
        size, torn = wrong(small)
        assert f"{path}: has 4 bytes" in size
        assert "is not a whole Parquet file" in torn

    def test_leftovers_are_notes(self, small: SmallPool) -> None:
        left = {
            f".{SECOND}.parquet.77.partial": "is what a broken run left",
            "000004-000006.json": "is a receipt without its Parquet file",
            ".000004-000006.journal": "holds responses of a shard whose drawing broke off",
            "notes.txt": "is no file of this pipeline",
        }
        for name in left:
            (small.folder / name).write_text("x")
        (small.folder / f".{SECOND}.lock").write_text("")
        found = {one.path.name: one.what for one in notes(small)}
        assert found.keys() == left.keys()
        assert all(said in found[name] for name, said in left.items())

    def test_what_is_being_drawn_is_no_leftover(self, small: SmallPool) -> None:
        (small.folder / ".000004-000006.journal").write_text("x")
        (small.folder / ".000004-000006.parquet.77.partial").write_text("x")
        with only_one(small.folder / ".000004-000006.lock", "sampling"):
            assert notes(small) == []
        assert len(notes(small)) == 2

    def test_an_unreadable_file(self, small: SmallPool) -> None:
        path = small.folder / f"{SECOND}.parquet"
        path.unlink()
        path.symlink_to("nowhere")
        assert f"{path}: cannot be read (No such file or directory)" in wrong(small)[0]


class TestPurge:
    def test_only_what_is_named(self, small: SmallPool) -> None:
        others = [
            SmallPool(small.pool, model="other"),
            SmallPool(small.pool, source="other"),
            SmallPool(small.pool, sampling=Sampling(n=2, max_tokens=100)),
        ]
        for other in others:
            other.grade(other.draw(FIRST, rows(range(2), samples=2)))
        before = everything(small.pool)
        gone = {path for path in before if small.key in str(path)}
        purge(small.pool, model="small", source="stories", sampling=SAMPLING.key, yes=True)
        assert everything(small.pool) == before - gone
        assert not small.folder.exists()
        purge(small.pool, model="small", source="stories", yes=True)
        assert not (small.pool / "responses/model=small/source=stories").exists()
        purge(small.pool, model="small", yes=True)
        assert {path.parts[1] for path in everything(small.pool)} == {"model=other"}
        assert verify(small.pool) == []

    def test_without_yes_nothing_goes(
        self, small: SmallPool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = everything(small.pool)
        assert run("purge", str(small.pool), "--model", "small") == 0
        printed = capsys.readouterr().out
        assert everything(small.pool) == before
        assert f"{small.folder}" in printed
        assert "0.1 GPU-h + 0.015 CPU-h" in printed
        assert "Nothing was deleted: add --yes" in printed
        assert run("purge", str(small.pool), "--model", "small", "--yes") == 0
        assert "Deleted." in capsys.readouterr().out
        assert everything(small.pool) == set()

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (
                {"model": "smal"},
                "holds no model 'smal' (did you mean 'small'?); there is: other, small",
            ),
            ({"model": "*"}, "holds no model '*'"),
            ({"model": ""}, "holds no model ''"),
            ({"model": "small", "source": "storie"}, "no source 'storie' of model small"),
            ({"model": "other", "source": "stories"}, "there is: prose"),
            ({"model": "small", "sampling": "n4"}, f"there is: {SAMPLING.key}"),
            ({"model": "small", "grader": "00"}, "there is: 0a1b2c3d"),
            ({"model": "small/../other"}, "holds no model"),
        ],
    )
    def test_a_name_that_matches_nothing(
        self, small: SmallPool, names: dict[str, str], said: str
    ) -> None:
        SmallPool(small.pool, model="other", source="prose").draw(FIRST, rows(range(2)))
        before = everything(small.pool)
        with pytest.raises(PoolError) as error:
            purge(small.pool, **names, yes=True)
        assert said in str(error.value)
        assert "Nothing was deleted" in str(error.value)
        assert everything(small.pool) == before

    def test_a_model_must_be_named(
        self, small: SmallPool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("purge", str(small.pool), "--source", "stories", "--yes") == 1
        assert f"--model must be named: {small.pool} holds small" in capsys.readouterr().err
        assert verify(small.pool) == []

    def test_only_a_graders_grades(self, small: SmallPool) -> None:
        small.grade(small.folder / f"{FIRST}.parquet", grader="ffffffff")
        before = everything(small.pool)
        purge(small.pool, model="small", grader="0a1b2c3d", yes=True)
        assert before - everything(small.pool) == {p for p in before if "0a1b2c3d" in str(p)}
        assert inventory(small.pool)["graders"][0][0]["grader"] == "ffffffff"

    def test_refused_while_somebody_draws(self, small: SmallPool) -> None:
        before = everything(small.pool)
        with (
            only_one(small.folder / f".{FIRST}.lock", "sampling here"),
            pytest.raises(PoolError, match=r"somebody works there.*\n.*sampling here"),
        ):
            purge(small.pool, model="small", yes=True)
        assert everything(small.pool) >= before

    def test_a_shard_taken_at_the_last_moment_stays(
        self, small: SmallPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ssgr.pool.purge.holders", lambda folder: [])
        with (
            only_one(small.folder / f".{SECOND}.lock", "sampling here"),
            pytest.raises(PoolError, match=r"lock has been taken by .*sampling here"),
        ):
            purge(small.pool, model="small", yes=True)
        left = sorted(path.name for path in small.pool.rglob("*.parquet"))
        assert left == [f"{SECOND}.parquet"]
        assert verify(small.pool) == []
        purge(small.pool, model="small", yes=True)
        assert everything(small.pool) == set()

    def test_another_models_work_does_not_matter(self, small: SmallPool) -> None:
        other = SmallPool(small.pool, model="other")
        other.draw(FIRST, rows(range(2)))
        with only_one(other.folder / f".{SECOND}.lock", "sampling"):
            purge(small.pool, model="small", yes=True)
        assert [path.parts[1] for path in everything(small.pool)].count("model=small") == 0

    def test_foreign_files_stay_with_their_folder(
        self, small: SmallPool, capsys: pytest.CaptureFixture[str]
    ) -> None:
        foreign = {small.folder / "notes.txt", small.folder / "model.parquet"}
        for path in foreign:
            path.write_text("mine")
        (small.folder / "000009-000010.parquet").symlink_to("notes.txt")
        assert run("purge", str(small.pool), "--model", "small", "--yes") == 0
        printed = capsys.readouterr().out
        left = {small.pool / path for path in everything(small.pool)}
        assert left == foreign | {small.folder / "000009-000010.parquet"}
        assert all(f"no file of this pipeline: {path}" in printed for path in left)

    def test_everything_of_ours_goes(self, small: SmallPool) -> None:
        for name in (
            f".{SECOND}.journal",
            ".manifest.json.7.partial",
            f".{SECOND}.lock",
            "000008-000009.json",
        ):
            (small.folder / name).write_text("x")
        purge(small.pool, model="small", yes=True)
        assert everything(small.pool) == set()
        assert not (small.pool / "responses/model=small").exists()

    @pytest.mark.parametrize("survives", range(1, 12))
    def test_cut_off_it_is_safe_to_rerun(
        self, small: SmallPool, survives: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many files are gone, no Parquet file is left without its receipt."""
        deleted = 0
        unlink = Path.unlink

        def until(path: Path, missing_ok: bool = False) -> None:
            nonlocal deleted
            if deleted == survives:
                raise KeyboardInterrupt
            deleted += path.exists()
            unlink(path, missing_ok)

        monkeypatch.setattr(Path, "unlink", until)
        with pytest.raises(KeyboardInterrupt):
            purge(small.pool, model="small", yes=True)
        monkeypatch.undo()
        assert all(store.receipt_path(p).exists() for p in small.pool.rglob("*.parquet"))
        purge(small.pool, model="small", yes=True)
        assert everything(small.pool) == set()

    def test_without_the_right_to_delete(
        self, small: SmallPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: Path, missing_ok: bool = False) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "unlink", refuse)
        with pytest.raises(PoolError, match=r"parquet cannot be deleted \(Permission denied\)"):
            purge(small.pool, model="small", yes=True)
        assert verify(small.pool) == []


def everything(pool: Path) -> set[Path]:
    """Every file of a pool but its locks, relative to it."""
    files = (path for path in pool.rglob("*") if not path.is_dir() or path.is_symlink())
    return {path.relative_to(pool) for path in files if path.suffix != ".lock"}


def test_a_local_model_is_named_by_its_fingerprint(tmp_path: Path, abacus: Path) -> None:
    small = SmallPool(tmp_path / "pool", entry=Model(path=str(abacus), gpu=0))
    small.draw(FIRST, rows(range(2)))
    assert verify(small.pool) == []
    assert str(abacus) not in (small.folder / "manifest.json").read_text()
