"""One pool, several users: rights follow the folder, readers write nothing, clocks say nothing.

Run as root, the users are real ones, by number, of whom two share a group. Otherwise they are one
user with several umasks, who loses the right to write where a reader would not have it.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import yaml

from experiment import POOL, Experiment, copy_of_the_workflow, logs
from pool_user import KEY, User, at_home
from processes import reachable
from small_pool import EVERY, SAMPLING, SmallPool, rows
from ssgr.config import Pool
from ssgr.jobs.grid import judging as judged
from ssgr.jobs.validation import load_config
from ssgr.monitor.plan.forecast import growth
from ssgr.pool import receipts, store
from ssgr.pool.inventory import inventory
from ssgr.pool.verification import verify
from ssgr.storage import permissions
from ssgr.storage.tables import Grades, Responses

ROOT = os.geteuid() == 0
LAB = 64_000 if ROOT else os.getegid()
ANNA, BEN, CORA = (65_533, 65_534, 65_532) if ROOT else (os.geteuid(),) * 3
FIRST, SECOND, THIRD = ({"first": at, "last": at + 4} for at in (0, 4, 8))
FOREVER = (0, 1_000, 4_000_000_000)


@dataclass(frozen=True)
class People:
    """Anna and Ben are of the group that owns the pool, with umasks that forbid it; Cora is not."""

    anna: User
    ben: User
    cora: User


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    homes = reachable(tmp_path_factory.mktemp("homes"))
    found = []
    for name, uid, groups, umask in (
        ("anna", ANNA, [LAB], 0o077),
        ("ben", BEN, [LAB], 0o027),
        ("cora", CORA, [], 0o022),
    ):
        at_home(homes / name)
        for path in (homes / name, *(homes / name).iterdir()):
            os.chown(path, uid, -1)
        found.append(User(homes / name, uid, groups, umask))
    yield People(*found)
    for user in found:
        user.leave()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Anna's, whom its group may help, and all may read."""
    folder = reachable(tmp_path) / "pool"
    folder.mkdir()
    os.chown(folder, ANNA, LAB)
    folder.chmod(0o2775)
    return folder


def files(pool: Path) -> list[Path]:
    return sorted(path for path in pool.rglob("*") if not path.is_dir())


def looks(pool: Path) -> dict[str, tuple[int, ...]]:
    """All there is, and whether it was touched."""
    return {
        str(path.relative_to(pool)): (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
        for path in (pool, *pool.rglob("*"))
        for found in (path.lstat(),)
    }


@contextlib.contextmanager
def reader(pool: Path) -> Iterator[None]:
    """Without root, nobody may write in the pool; Cora may not in any case."""
    folders = [pool, *(path for path in pool.rglob("*") if path.is_dir())]
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in () if ROOT else folders:
        folder.chmod(0o555)
    before = looks(pool)
    try:
        yield
        assert looks(pool) == before, "something was written"
    finally:
        for folder, mode in modes.items():
            folder.chmod(stat.S_IMODE(mode))


def filled(people: People, pool: Path) -> dict[str, str]:
    """Anna's pool, with half of the first shard, graded."""
    there = {"pool": str(pool)}
    assert people.anna.draws(**there, **FIRST, whole=False) == 8
    people.anna.does("grade", **there, **FIRST)
    return there


def parts_of(user: User, shard: str = "000000-000004") -> list[receipts.Reference]:
    found = receipts.read(user.home / f"responses/{shard}.json", receipts.SampledShard)
    return list(found.parts)


def test_two_users_grow_one_pool_whatever_their_umasks(people: People, pool: Path) -> None:
    there = filled(people, pool)
    assert people.ben.draws(**there, **FIRST, whole=False) == 0
    people.ben.does("grade", **there, **FIRST)
    assert people.ben.draws(**there, **FIRST, whole=True) == 8
    assert people.ben.draws(**there, **SECOND, whole=True) == 16
    for shard in (FIRST, SECOND):
        people.ben.does("grade", **there, **shard)
        assert people.anna.draws(**there, **shard, whole=True) == 0
        people.anna.does("grade", **there, **shard)
    assert [part.path.partition("000000-")[2] for part in parts_of(people.anna)] == [
        "000004.parquet",
        "000004.1.parquet",
    ]
    assert people.anna.draws(**there, **THIRD, whole=True) == 16

    modes = {".parquet": 0o444, ".json": 0o664, ".lock": 0o664}
    for path in files(pool):
        found = path.stat()
        assert (found.st_mode & 0o777, found.st_gid) == (modes[path.suffix], LAB), path
    for folder in (path for path in pool.rglob("*") if path.is_dir()):
        assert (folder.stat().st_mode & 0o7777, folder.stat().st_gid) == (0o2775, LAB), folder
    assert {path.stat().st_uid for path in files(pool)} == {ANNA, BEN}
    assert verify(pool) == []


def test_what_a_user_left_in_the_middle_another_finishes(people: People, pool: Path) -> None:
    """A journal of a killed job, a lock that names a dead process, a half-written file."""
    there = filled(people, pool)
    folder = pool / "responses" / KEY
    part = folder / "000000-000004.parquet"
    whole = part.read_bytes()
    for path in (part, store.receipt_path(part)):
        path.unlink()
    for name in (".000000-000004.parquet.77.partial", ".000000-000004.json.a1_b.partial"):
        (folder / name).write_bytes(whole[:99])
    (folder / ".000000-000004.lock").write_text(
        json.dumps(
            {"pid": 1 << 30, "host": os.uname().nodename, "user": "anna", "what": "sampling"}
            | {"since": "2999-01-01T00:00:00Z", "at": 1.0, "snakemake": None}
        )
    )
    assert people.ben.draws(**there, **FIRST, whole=False) == 8
    assert not list(folder.glob(".*.partial")) and part.stat().st_uid == BEN
    assert verify(pool) == []


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o2770])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_folder_says_who_may_read_and_write(tmp_path: Path, mode: int, umask: int) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    pool.chmod(mode)
    folder = pool / "responses" / KEY
    before = os.umask(umask)
    try:
        store.claim(folder, {"prompt": "x"})
        permissions.write_text(folder / "000000-000004.json", "{}")
        os.close(permissions.open_shared(folder / ".000000-000004.journal"))
        aside = folder / "aside"
        aside.touch()
        permissions.take_after_folder(aside, mask=store.READ_ONLY)
    finally:
        os.umask(before)
    for inside in (folder, *folder.parents[:3]):
        assert stat.S_IMODE(inside.stat().st_mode) == mode
    for path in (path for path in files(pool) if path != aside):
        assert stat.S_IMODE(path.stat().st_mode) == mode & 0o666
    assert stat.S_IMODE(aside.stat().st_mode) == mode & 0o444


def test_a_new_pool_is_as_the_umask_says(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    before = os.umask(0o027)
    try:
        store.claim(tmp_path / "deep" / "pool" / "responses" / KEY, {"prompt": "x"})
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()}
    assert modes == {0o750}


def test_two_users_begin_at_the_same_moment(people: People, pool: Path) -> None:
    """Whoever makes a folder or a lock, the other may use it at once, not a moment later."""
    for user in (people.anna, people.ben):
        user.hears("locks", folder=str(pool), count=100)
    for user in (people.anna, people.ben):
        assert "error" not in user.says()
    owners = {path.stat().st_uid for path in files(pool)}
    assert len(files(pool)) == 100 and owners <= {ANNA, BEN}


def test_a_reader_uses_what_is_there_and_writes_nothing(people: People, pool: Path) -> None:
    there, cora = filled(people, pool), people.cora
    with reader(pool):
        for draw in (True, False):
            assert cora.draws(**there, **FIRST, whole=False, draw=draw) == 0
        cora.does("grade", **there, **FIRST)
        listed = json.loads(cora.does("lists", **there))
        assert (listed["responses"], listed["graders"][0]["coverage"]) == (8, 1.0)
        assert "is whole" in cora.does("verifies", **there)
        assert int(cora.does("purges", **there, yes=False)) > 4
    shard = receipts.read(cora.home / "grades/000000-000004.json", receipts.GradedShard)
    for part in shard.parts:
        assert len(receipts.open_part(pool, part.responses, Responses)) == 8
        assert len(receipts.open_part(pool, part.grades, Grades)) == 8


def test_what_a_reader_lacks_is_refused(people: People, pool: Path) -> None:
    there, cora = filled(people, pool), people.cora
    with reader(pool):
        cora.draws(**there, **FIRST, whole=False)
        refused = [
            cora.is_refused("sample", **there, **FIRST, whole=True),
            cora.is_refused("sample", **there, **SECOND, whole=False),
            cora.is_refused("grade", **there, **FIRST, time_limit=4.0),
        ]
        assert "Nothing was deleted" in cora.is_refused("purges", **there, yes=True)
    owner = permissions.belongs_to(pool).partition(" (")[0]
    for said in refused:
        assert f"it belongs to {owner} (group" in said and "may not write in" in said
        assert f"pool: {{path: {pool}, extend: FOLDER}}" in said and "chmod g+ws" in said


def test_a_folder_that_may_not_be_read_is_told_in_words(people: People, pool: Path) -> None:
    there, cora = filled(people, pool), people.cora
    folder = pool / "responses" / KEY
    folder.chmod(0o770 if ROOT else 0o000)
    try:
        said = [
            cora.is_refused("sample", **there, **FIRST, whole=False),
            cora.is_refused("lists", **there),
            cora.is_refused("verifies", **there),
        ]
    finally:
        folder.chmod(0o2775)
    for words in said:
        assert f"may not read {folder}" in words and "chmod -R g+rX" in words


class TestExtending:
    """Cora's own pool, which takes over what Anna's holds."""

    @pytest.fixture
    def own(self, tmp_path: Path, pool: Path) -> Path:
        folder = tmp_path / "cora"
        folder.mkdir()
        os.chown(folder, CORA, -1)
        return folder / "pool"

    def test_what_is_there_is_linked_and_the_rest_made(
        self, people: People, pool: Path, own: Path
    ) -> None:
        filled(people, pool)
        cora, there = people.cora, {"pool": str(own), "base": str(pool)}
        with reader(pool):
            assert cora.draws(**there, **FIRST, whole=False, draw=False) == 0
            assert cora.does("grade", **there, **FIRST) == "", "taken over"
            assert {path.is_symlink() for path in own.rglob("*.parquet")} == {True}
            assert cora.draws(**there, **FIRST, whole=False) == 0

            assert cora.draws(**there, **FIRST, whole=True) == 8
            assert cora.draws(**there, **SECOND, whole=True) == 16
            for shard, missing in ((FIRST, "8 responses"), (SECOND, "16 responses")):
                assert missing in cora.does("grade", **there, **shard)
        links = sorted(path.name for path in own.rglob("*.parquet") if path.is_symlink())
        made = sorted(path.name for path in own.rglob("*.parquet") if not path.is_symlink())
        assert links == ["000000-000004.parquet"] * 2
        assert made == ["000000-000004.1.parquet"] * 2 + ["000004-000008.parquet"] * 2
        assert verify(own) == []
        held = inventory(own).to_dicts()[0]
        assert (held["responses"], held["parts"], held["unreadable"]) == (32, 3, 0)
        whole = [receipts.open_part(own, part, Responses) for part in parts_of(cora)]
        assert len(pl.concat(whole).unique(["problem_id", "sample"])) == 4 * SAMPLING.n

    def test_the_two_pools_may_grow_apart(self, people: People, pool: Path, own: Path) -> None:
        theirs = filled(people, pool)
        cora, there = people.cora, {"pool": str(own), "base": str(pool)}
        people.anna.draws(**theirs, **SECOND, whole=False)
        for shard in (FIRST, SECOND):
            cora.draws(**there, **shard, whole=False)
        assert cora.draws(**there, **FIRST, whole=True) == 8
        mine = parts_of(cora)
        for shard in (FIRST, SECOND):
            assert people.anna.draws(**theirs, **shard, whole=True) == 8
        with reader(pool):
            for shard in (FIRST, SECOND):  # the second is inherited further, not drawn again
                assert cora.draws(**there, **shard, whole=True) == 0
        assert parts_of(cora) == mine
        assert (own / "responses" / KEY / "000004-000008.1.parquet").is_symlink()
        assert verify(own) == [] and verify(pool) == []

    def test_links_are_purged_and_not_what_they_lead_to(
        self, people: People, pool: Path, own: Path
    ) -> None:
        theirs = filled(people, pool)
        cora, there = people.cora, {"pool": str(own), "base": str(pool)}
        with reader(pool):
            cora.draws(**there, **FIRST, whole=False)
            cora.does("purges", pool=str(own), yes=True)
        assert files(own) == [] and verify(pool) == []

        cora.draws(**there, **FIRST, whole=False)
        people.anna.does("purges", **theirs, yes=True)  # the link leads nowhere now
        assert cora.draws(**there, **FIRST, whole=False) == 8
        part = own / "responses" / KEY / "000000-000004.parquet"
        assert part.is_file() and not part.is_symlink() and verify(own) == []

    def test_a_plan_counts_what_both_hold(self, root: Path, tmp_path: Path) -> None:
        config = load_config(yaml.safe_load((root / "config/config.yaml").read_text()))
        pools = {"path": str(tmp_path / "pool"), "extend": str(tmp_path / "mine")}
        config = config.model_copy(update={"pool": config.pool.model_copy(update=pools)})
        judging = judged(config, "abacus", config.sources["stories"])
        keys = {"source": "stories", "sampling": config.sampling.drawn}
        shards = ("000000-000040", "000040-000080")
        for place, shard in zip(pools.values(), shards, strict=True):
            held = SmallPool(Path(place), "abacus", entry=config.models["abacus"], **keys)
            part = held.draw(shard, rows(range(2), samples=16), needs=EVERY)
            held.grade(part, grader=judging.digest)
        found = growth(config, Path(pools["path"]), "abacus", "stories", None)
        assert found.complete == found.graded == set(shards)
        assert dict(found.rows) == dict.fromkeys(shards, 32)

    def test_it_is_another_folder(self) -> None:
        assert (Pool(path="/p").folder, Pool(path="/p").base) == ("/p", None)
        extended = Pool(path="/p", extend="mine/")
        assert (extended.folder, extended.base) == ("mine", "/p")
        with pytest.raises(ValueError, match="is the pool itself"):
            Pool(path="pool", extend="./pool/")


@pytest.mark.parametrize("when", FOREVER)
def test_clocks_decide_nothing(people: People, pool: Path, when: int) -> None:
    """A pool whose files are of 1970, or of 2096, by another host's clock, or by a copy."""
    there, ben = filled(people, pool), people.ben
    for path in files(pool):
        if path.suffix == ".json" and path.name != store.MANIFEST:
            receipt = json.loads(path.read_text()) | {"made": f"{1970 + when % 97}-01-01T00:00:00"}
            path.write_text(json.dumps(receipt))
        os.utime(path, (when, when))
    before = looks(pool)
    assert ben.draws(**there, **FIRST, whole=False) == 0
    assert ben.does("grade", **there, **FIRST) == ""
    assert looks(pool) == before and verify(pool) == []
    assert ben.draws(**there, **FIRST, whole=True) == 8, "only what is missing"
    assert len(verify(pool)) == 0


FEW: dict[str, object] = {"n": 2, "max_tokens": 64, "seed": 0}
SHARD = "model=abacus/source=stories/sampling=n2-t0.60-p0.95-l64-s0"
TARGET = f"results/receipts/grades/{SHARD}/verifier=math/000000-000005.json"


def test_snakemake_extends_a_pool_and_looks_at_no_clock(root: Path, tmp_path: Path) -> None:
    workflow = copy_of_the_workflow(root, tmp_path / "workflow")
    theirs = Experiment(workflow, tmp_path / "anna")
    theirs.configure({"sampling": FEW})
    code, said = theirs.snakemake(TARGET)
    assert code == 0, said + logs(theirs)
    pool, own = tmp_path / "pool", Experiment(workflow, tmp_path / "cora")
    own.configure({"sampling": FEW, "pool": POOL | {"extend": "mine"}})
    with reader(pool):
        code, said = own.snakemake("--dry-run", TARGET)
        assert code == 0 and "Take from the pool: abacus on stories" in said
        code, said = own.snakemake(TARGET)
        assert code == 0, said + logs(own)
    made = own.directory / "mine"
    assert {path.is_symlink() for path in made.rglob("*.parquet")} == {True}
    assert (own.directory / TARGET).read_text() == (theirs.directory / TARGET).read_text()
    assert verify(made) == []

    for number, path in enumerate(files(pool) + files(own.directory / "results/receipts")):
        os.utime(path, (FOREVER[number % 3],) * 2)
    for one in (own, theirs):
        code, said = one.snakemake("--dry-run", TARGET)
        assert code == 0 and "Nothing to be done" in said, said
