"""The shared pool: parts never change, two samplings never meet, every error says what to do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from processes import reachable
from sampling_machine import command
from ssgr.config import Filters, Model, Sampling
from ssgr.errors import PoolError, SsgrError, TableError
from ssgr.pool import receipts, store
from ssgr.pool.shards import Asked, Shard
from ssgr.sampling import Journal, Response
from ssgr.selection.early_stop import Demand, Needs
from ssgr.storage.tables import Problems, Responses, write

HARD = Needs(demands=(Demand(tau="0.75", length="median"),), filters=Filters())
EVERYTHING = Needs(demands=None, filters=Filters())


def responses(problem_id: str, samples: range) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "problem_id": [problem_id] * len(samples),
            "sample": list(samples),
            "prompt_token_ids": [[1, 2]] * len(samples),
            "token_ids": [[3, 4 + k] for k in samples],
            "text": [f"r{k}" for k in samples],
            "finish_reason": ["stop"] * len(samples),
            "tokens": [2] * len(samples),
            "mean_logprob": [None] * len(samples),
        },
        schema=Responses.create_empty().schema,
    )


ASKED = Asked(1, "q", "a")


def kept_response(journal: Path) -> None:
    """A journal with one response."""
    opened = Journal.open(journal, "a sampling")
    opened.append(Response("a", 0, (3, 4), "stop", None))
    opened.close()


def shard(
    pool: Path,
    needs: Needs = HARD,
    judge: str = "j",
    prompt: str = "{question}",
    asked: Asked | None = ASKED,
) -> Shard:
    model = Model(path="hub/model", prompt=prompt)
    path = pool / "responses" / "model=m" / "source=s" / "sampling=k" / "000000-000008.parquet"
    return Shard(path, store.manifest(model, Sampling(n=4)), needs, judge, asked)


def grow(wanted: Shard, rows: pl.DataFrame) -> None:
    store.claim(wanted.path.parent, wanted.manifest)
    wanted.grow(rows, seconds=1.0, resumed=0, gpus=0, versions={})


def test_a_shard_grows_by_parts_without_duplicates(tmp_path: Path) -> None:
    first = shard(tmp_path)
    assert not first.complete()
    grow(first, responses("a", range(3)))
    assert first.complete()
    whole = shard(tmp_path, EVERYTHING)
    assert not whole.complete()
    grow(whole, responses("a", range(4)))
    assert whole.complete() and first.complete()
    names = [part.name for part in store.parts(first.path)]
    assert names == ["000000-000008.parquet", "000000-000008.1.parquet"]
    assert whole.responses().select("problem_id", "sample").rows() == [("a", k) for k in range(4)]
    assert [part.rows for part in whole.sampled(tmp_path).parts] == [3, 1]
    grow(whole, responses("a", range(4)))  # nothing new: no part
    assert len(store.parts(first.path)) == 2


def test_another_judge_is_not_taken_at_its_word(tmp_path: Path) -> None:
    grow(shard(tmp_path), responses("a", range(3)))
    assert not shard(tmp_path, judge="another").complete()
    grow(shard(tmp_path, EVERYTHING), responses("a", range(4)))
    assert shard(tmp_path, judge="another").complete()  # everything is everything


def test_a_part_is_read_only_and_its_receipt_tells_its_checksum(tmp_path: Path) -> None:
    wanted = shard(tmp_path)
    grow(wanted, responses("a", range(3)))
    assert wanted.path.stat().st_mode & 0o222 == 0
    receipt = store.read_receipt(wanted.path, store.ResponsesReceipt)
    assert receipt.sha256 == store.checksum(wanted.path)
    assert (receipt.rows, receipt.tokens, receipt.problems) == (3, 6, 1)
    assert not list(wanted.path.parent.glob(".*partial"))


def test_two_samplings_never_meet(tmp_path: Path) -> None:
    grow(shard(tmp_path), responses("a", range(3)))
    other = shard(tmp_path, prompt="Q: {question}")
    for meeting in (other.complete, lambda: grow(other, responses("a", range(4)))):
        with pytest.raises(PoolError, match="A pool never mixes two") as error:
            meeting()
        assert "Q: {question}" in str(error.value)
    assert len(store.parts(other.path)) == 1


def test_a_shard_from_another_pool_is_refused(tmp_path: Path) -> None:
    mine, other = shard(tmp_path / "mine"), shard(tmp_path / "other", prompt="Q: {question}")
    grow(mine, responses("a", range(3)))
    grow(other, responses("a", range(3)))
    for file in (other.path, store.receipt_path(other.path)):
        target = mine.path.with_name(file.name)
        target.unlink()
        target.write_bytes(file.read_bytes())
    with pytest.raises(PoolError, match="not made under the manifest"):
        mine.complete()


def test_responses_to_other_questions_are_refused(tmp_path: Path) -> None:
    grow(shard(tmp_path), responses("a", range(3)))
    assert shard(tmp_path, asked=None).complete()  # its problems are not at hand
    with pytest.raises(PoolError, match="other questions than this source has now"):
        shard(tmp_path, asked=Asked(1, "p", "a")).complete()


def test_what_was_stopped_early_under_other_answers_is_not_complete(tmp_path: Path) -> None:
    grow(shard(tmp_path), responses("a", range(3)))
    corrected = shard(tmp_path, asked=Asked(1, "q", "b"))
    assert not corrected.complete()
    grow(corrected, responses("a", range(3)))  # nothing was missing: the receipt learns it
    assert corrected.complete()
    assert len(store.parts(corrected.path)) == 1


def test_a_missing_part_before_a_later_one_is_an_error(tmp_path: Path) -> None:
    """Else the first would be drawn whole, and its rows stand twice."""
    whole = shard(tmp_path, EVERYTHING)
    grow(shard(tmp_path), responses("a", range(3)))
    grow(whole, responses("a", range(4)))
    whole.path.unlink()
    with pytest.raises(PoolError, match=r"000000-000008\.1\.parquet is there.*later parts"):
        whole.complete()


def test_another_shard_size_is_refused(tmp_path: Path) -> None:
    wanted = shard(tmp_path)
    grow(wanted, responses("a", range(3)))
    store.check_shard_size(wanted.path.parent, 8)
    with pytest.raises(PoolError, match=r"shard of 8 problems, pool\.shard_size says 4"):
        store.check_shard_size(wanted.path.parent, 4)


def test_the_digests_of_a_shard_see_ids_questions_and_answers() -> None:
    columns = {"problem_id": ["a", "b"], "question": ["1", "2"], "answer": ["x", "y"]}
    problems = pl.DataFrame(columns)
    asked = Asked.of(problems)
    assert Asked.of(problems.reverse()) == asked
    swapped = problems.with_columns(pl.col("question").reverse())
    assert Asked.of(swapped).questions != asked.questions
    assert Asked.of(swapped).answers == asked.answers
    assert Asked.of(problems.with_columns(answer=pl.lit("x"))).answers != asked.answers


def test_files_that_nobody_signed_are_refused(tmp_path: Path) -> None:
    wanted = shard(tmp_path)
    grow(wanted, responses("a", range(3)))
    store.receipt_path(wanted.path).unlink()
    with pytest.raises(PoolError, match="has no receipt"):
        wanted.complete()
    (wanted.path.parent / store.MANIFEST).unlink()
    with pytest.raises(PoolError, match=r"no manifest\.json"):
        store.check_manifest(wanted.path.parent, wanted.manifest)
    (wanted.path.parent / store.MANIFEST).write_text("{")
    with pytest.raises(PoolError, match="not readable JSON"):
        store.check_manifest(wanted.path.parent, wanted.manifest)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:-1] + b"x"])
def test_an_edited_or_truncated_part_is_named(tmp_path: Path, damage: object) -> None:
    wanted = shard(tmp_path)
    grow(wanted, responses("a", range(3)))
    reference = wanted.sampled(tmp_path).parts[0]
    assert len(receipts.open_part(tmp_path, reference, Responses)) == 3
    data = wanted.path.read_bytes()
    wanted.path.unlink()
    wanted.path.write_bytes(damage(data))  # type: ignore[operator]
    with pytest.raises(PoolError, match=r"000000-000008\.parquet is not what its receipt says"):
        receipts.open_part(tmp_path, reference, Responses)
    wanted.path.unlink()
    with pytest.raises(PoolError, match="cannot be read"):
        receipts.open_part(tmp_path, reference, Responses)


def test_a_receipt_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    with pytest.raises(PoolError, match=r"receipt\.json is no receipt"):
        receipts.read(path, receipts.SampledShard)
    path.write_text('{"parts": 3}')
    with pytest.raises(PoolError, match="delete it and run again"):
        receipts.read(path, receipts.SampledShard)


def test_many_claim_a_folder_at_once_and_one_manifest_wins(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from ssgr.errors import PoolError;"
        "from ssgr.pool import store\n"
        "try: store.claim(Path(sys.argv[1]), {'prompt': sys.argv[2]}); print('mine')\n"
        "except PoolError: print('not mine')"
    )
    prompts = ["a", "b"] * 4
    (tmp_path / "f").mkdir()
    kept_response(tmp_path / "f" / ".000000-000008.journal")
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "f"), prompt],
                         stdout=subprocess.PIPE, text=True)
        for prompt in prompts
    ]  # fmt: skip
    said = [process.communicate()[0].strip() for process in started]
    winner = json.loads((tmp_path / "f" / store.MANIFEST).read_text())["prompt"]
    assert said == ["mine" if prompt == winner else "not mine" for prompt in prompts]
    left = sorted(path.name for path in (tmp_path / "f").iterdir())
    assert left == [".000000-000008.journal", store.MANIFEST]


def test_a_claim_without_a_response_gives_way_to_a_corrected_configuration(tmp_path: Path) -> None:
    wrong, right = shard(tmp_path, prompt="Solve {question}"), shard(tmp_path)
    wrong.claim()
    Journal.open(wrong.journal, "begun, and nothing drawn").close()
    assert not right.complete()  # nothing is refused, and looking changes nothing
    assert json.loads((wrong.path.parent / store.MANIFEST).read_text()) == wrong.manifest
    right.claim()
    assert json.loads((right.path.parent / store.MANIFEST).read_text()) == right.manifest
    kept_response(right.journal)
    with pytest.raises(PoolError, match="A pool never mixes two"):
        wrong.claim()


def test_a_model_that_cannot_be_loaded_claims_nothing(
    tmp_path: Path, abacus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where its tokenizer is missing, nor where its weights are."""
    monkeypatch.chdir(tmp_path)
    row = {"problem_id": "a", "question": "1 + 1?", "answer": "2"}
    problems = pl.DataFrame([row], schema=dict.fromkeys(Problems.column_names(), pl.String))
    write(problems, Problems, tmp_path / "problems.parquet", "{}")
    whole = tmp_path / "whole"
    asked = {
        "problems": "problems.parquet",
        "sampling": Sampling(n=1, max_tokens=2).model_dump_json(),
        "pool": "pool",
        "folder": "pool/responses/model=m/source=s/sampling=k",
    }
    shutil.copytree(abacus, whole)
    shutil.copytree(abacus, tmp_path / "no weights", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "empty").mkdir()
    for name in ("empty", "no weights"):
        with pytest.raises(SsgrError):
            command({**asked, "model": name}, "000000-000001").cli_cmd()
        left = {path.name for path in Path(asked["folder"]).glob("*")}
        assert left <= {".000000-000001.lock"}
    command({**asked, "model": "whole"}, "000000-000001").cli_cmd()
    assert (Path(asked["folder"]) / "000000-000001.parquet").is_file()


NOBODY = "import os; os.geteuid() or (os.setgid(65534), os.setuid(65534))\n"
"""Give up all rights, after imports: the interpreter may lie where only root can read."""


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that every user may reach."""
    return reachable(tmp_path)


def test_a_read_only_pool_is_told_in_words_and_can_still_be_used(open_folder: Path) -> None:
    wanted = shard(open_folder)
    grow(wanted, responses("a", range(3)))
    for folder in (wanted.path.parent, open_folder):
        folder.chmod(0o555)
    code = (
        "import sys; from pathlib import Path; from ssgr.errors import PoolError\n"
        "from ssgr.pool import store\n"
        "folder = Path(sys.argv[1])\n"
        f"{NOBODY}"
        "print('digest', store.claim(folder, {}))\n"
        "try: store.claim(folder.parent / 'new', {'prompt': 'x'})\n"
        "except PoolError as error: print(error)"
    )
    try:
        wanted.path.parent.parent.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", code, str(wanted.path.parent)], capture_output=True, text=True
        )
    finally:
        for folder in (wanted.path.parent, wanted.path.parent.parent, open_folder):
            folder.chmod(0o755)
    assert "digest" in done.stdout, done.stderr
    assert "cannot be written (Permission denied)" in done.stdout


def test_a_full_disk_leaves_no_half_part(tmp_path: Path) -> None:
    """The kernel's file size limit stands for the disk's end."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import test_pool_store as t\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "wanted = t.shard(Path(sys.argv[1])); t.store.claim(wanted.path.parent, wanted.manifest)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))\n"
        "t.grow(wanted, t.responses('a', range(4)))"
    )
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), here], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert TableError.__name__ in done.stderr
    assert "cannot be written" in done.stderr
    left = [path.name for path in shard(tmp_path).path.parent.iterdir()]
    assert left == [store.MANIFEST]
