"""What is known before any job: models, files, folders, doubled keys, each told with its place."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from conftest import changed
from ssgr.config import FileSet, PartsSet
from ssgr.jobs.start import Found, look
from ssgr.jobs.start.keys import twice
from ssgr.problems import contents


@pytest.fixture
def raw(tmp_path: Path, abacus: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A right configuration in a working directory of its own: a model, a source, a benchmark."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("ssgr.jobs.start.models.find_spec", lambda name: None)
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    shutil.copy(abacus / "config.json", tmp_path / "models" / "tiny")
    problems(tmp_path / "train.jsonl", 60)
    problems(tmp_path / "test.csv", 12, first=100)
    return {
        "pool": {"path": "pool"},
        "results": "results",
        "run": {"models": ["mine"], "calibrations": ["Own"], "benchmarks": ["exam"]},
        "models": {"mine": {"path": "models/tiny", "prompt": "{question}"}},
        "sources": {"train": {"data": file_set("train.jsonl", solution="s")}},
        "benchmarks": {"exam": {"data": file_set("test.csv")}},
        "calibrations": {"Own": {"source": "train", "tau": 0.5, "length": "median"}},
        "sampling": {"max_tokens": 300},
        "evaluation": {"max_tokens": 300},
        "budget": {"sequences": 20, "tokens": 400},
    }


def problems(path: Path, count: int, first: int = 0) -> None:
    rows = [
        {"q": f"{k} + {k}?", "a": str(2 * k), "s": f"Twice {k}."}
        for k in range(first, first + count)
    ]
    if path.suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def file_set(path: str, **columns: Any) -> dict[str, Any]:
    return {"loader": "file", "path": path, "question": "q", "answer": "a", **columns}


def test_a_right_configuration_is_left_alone(raw: dict[str, Any]) -> None:
    assert look(raw) == Found()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("models.mine.path", "models/tinny", "models.mine.path: there is no folder 'models/tinny' "
         "here: did you mean 'models/tiny'? If it is a model of the hub, say its `revision`"),
        ("models.mine.path", "modles/tiny", "did you mean 'models/tiny'?"),
        ("models.mine.path", "models/Tiny", "did you mean 'models/tiny'?"),
        ("models.mine.path", "models", "the folder 'models' holds no config.json: did you mean "
         "'models/tiny'?"),
        ("models.mine.path", "https://hub.example/owner/name", "did you mean 'owner/name'?"),
        ("models.mine.path", "some/where/else", "it is no hub id"),
        ("models.mine.path", "my model", "it is no hub id, which is written owner/name"),
        ("sampling.max_tokens", 1024, "sampling.max_tokens: 1024 leaves no room for a prompt in "
         "the 1,024 positions of models.mine"),
        ("evaluation.max_tokens", 4096, "evaluation.max_tokens: 4096 leaves no room"),
        ("budget.tokens", 1025, "budget.tokens: 1025 is beyond the 1,024 positions of models.mine"),
        ("calibrations.Own.tokens", 2048, "calibrations.Own.tokens: 2048 is beyond"),
        ("budget.sequences", 61, "budget.sequences: 61 is more than the 60 problems of "
         "sources.train"),
        ("pool.problems", 19, "19 problems of sources.train that pool.problems visits"),
        ("sources.train.data.path", "trian.jsonl", "sources.train.data: no file matches "
         "'trian.jsonl' in "),
        ("sources.train.data.path", "trian.jsonl", "(did you mean 'train.jsonl'?)"),
        ("sources.train.data.path", "models", "models is a folder: name its files"),
        ("sources.train.data.path", "models/tiny/config.yml", "no file matches"),
        ("benchmarks.exam.data.answer", "A", "benchmarks.exam.data: test.csv: no column 'A' (key "
         "`answer`, did you mean 'a'?)"),
        ("benchmarks.exam.data.where", {"level": 5}, "no column 'level' (key `where.level`"),
        ("benchmarks.exam.data.where", {"s": "hard"}, "no row with {'s': 'hard'} among 12"),
        ("benchmarks.exam.data.question", "a", "12 of 12 rows have a bare number for a question"),
        ("results", "pool/results", "results: 'pool/results' is pool.path or lies in it"),
        ("pool.extend", "results", "results: 'results' is pool.extend or lies in it"),
        ("results", "train.jsonl/here", "results: 'train.jsonl' is a file: name a folder"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_place(
    raw: dict[str, Any], place: str, value: Any, said: str
) -> None:
    found = look(changed(raw, {place: value}))
    assert any(said in mistake for mistake in found.mistakes), found


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("models.mine.path", "owner/name", "no folder 'owner/name' here, taken for a hub id"),
        ("models.mine.path", "models/tiny-7B", "taken for a hub id"),
        ("models.mine.revision", "main", "its `revision` means nothing"),
        ("models.mine.python", "/no/such/python", "execution.python: there is no interpreter"),
        ("models.mine.engine", "vllm", "the interpreter that runs Snakemake has no vllm"),
        ("sampling.temperature", 0, "sampling.temperature: 0 is greedy"),
    ],
)
def test_what_may_be_meant_is_said_and_not_refused(
    raw: dict[str, Any], place: str, value: Any, said: str
) -> None:
    found = look(changed(raw, {place: value}))
    assert found.mistakes == []
    assert any(said in warning for warning in found.warnings), found


def test_an_environment_without_the_engine_is_said(raw: dict[str, Any]) -> None:
    packages = Path("env/lib/python3.11/site-packages")
    packages.mkdir(parents=True)
    Path("env/bin").mkdir()
    Path("env/bin/python").touch(0o755)
    entry = {"models.mine.engine": "vllm", "models.mine.execution.python": "env/bin/python"}
    raw = changed(raw, entry)
    assert "env/bin/python has no vllm beside it" in look(raw).warnings[0]
    (packages / "vllm").mkdir()
    assert look(raw) == Found()


def test_a_second_entry_of_one_model_is_said(raw: dict[str, Any]) -> None:
    again = {"models.again": raw["models"]["mine"] | {"role": "another"}}
    found = look(changed(raw, again | {"run.models": ["mine", "again"]}))
    assert "models.again and models.mine are the same" in found.warnings[0]


def test_a_revision_says_that_the_hub_is_meant(raw: dict[str, Any]) -> None:
    entry = {"path": "models/tinny", "revision": "main"}
    assert look(changed(raw, {"models.mine": entry})) == Found()


def test_mistakes_hide_none_of_each_other(raw: dict[str, Any]) -> None:
    mistakes = {
        "run.pruners": ["no such pruner"],  # this one `ssgr.jobs.validation` tells
        "models.mine.path": "models/tinny",
        "sources.train.data.solution": "worked",
        "benchmarks.exam.data.path": "exam.csv",
        "results": "pool",
    }
    places = ["models.mine.path", "sources.train.data", "benchmarks.exam.data", "results"]
    found = look(changed(raw, mistakes))
    assert [each.partition(":")[0] for each in found.mistakes] == places


def test_only_what_is_made_is_looked_at(raw: dict[str, Any]) -> None:
    """A short model of an experiment that nobody asked for stops no run of a long one."""
    shutil.copytree("models/tiny", "models/short")
    short = Path("models/short/config.json")
    short.write_text(json.dumps(json.loads(short.read_text()) | {"max_position_embeddings": 64}))
    more = {
        "models.short": {"path": "models/short"},
        "sources.other": {"data": file_set("nowhere.jsonl")},
        "experiments.table": {"title": "t", "models": ["short"]},
    }
    raw = changed(raw, more)
    assert look(raw) == Found()
    assert "64 positions of models.short" in look(raw, targets=["table"]).mistakes[0]
    assert "64 positions of models.short" in look({**raw, "target": "paper"}).mistakes[0]
    assert look(raw, targets=["all"]) == Found()
    raw["experiments"]["none"] = None  # taken out
    raw["experiments"]["table"]["models"] = None  # the run's
    assert look(raw, targets=["none", "table"]) == Found()


def test_a_source_that_holds_a_benchmark_is_said_unless_they_are_kept_apart(
    raw: dict[str, Any],
) -> None:
    problems(Path("test.csv"), 12, first=55)
    found = look(raw)
    assert found.mistakes == []
    assert found.warnings == [
        "sources.train holds 5 of the 12 questions of benchmarks.exam: name it in "
        "sources.train.apart_from, or its scores are flattered"
    ]
    assert look(changed(raw, {"sources.train.apart_from": ["exam"]})) == Found()
    hub = {"loader": "hub", "repo": "o/n", "revision": "main", "files": ["a.csv"],
           "question": "q", "answer": "a"}  # fmt: skip
    both = changed(raw, {"sources.train.data": hub, "benchmarks.exam.data": hub})
    assert "is read from the same data as benchmarks.exam" in look(both).warnings[0]


def test_the_columns_of_a_large_file_are_known_from_its_beginning(
    raw: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssgr.jobs.start.data.SMALL", 10)
    assert look(raw) == Found()
    pl.read_csv("test.csv").write_parquet("test.parquet")
    for path in ("test.csv", "test.parquet"):
        found = look(changed(raw, {"benchmarks.exam.data": file_set(path, subject="topic")}))
        assert "no column 'topic' (key `subject`)" in found.mistakes[0]


@pytest.mark.parametrize("shape", [None, [], 3, {"run": 3}, {"models": []}, {"run": {"models": 3}}])
def test_any_shape_is_looked_at(shape: Any) -> None:
    raw = shape if isinstance(shape, dict) else {"models": shape, "sources": shape, "run": shape}
    assert look(raw) == Found()


def test_keys_that_stand_twice_are_found_at_any_depth(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "run: {models: [a], models: [b]}\n"
        "base: &base {n: 1}\n"
        "sampling:\n  <<: *base\n  n: 2\n"
        "models:\n  a: {path: x}\n  b:\n    path: y\n    dtype: auto\n    'path': z\n"
        "list:\n- {k: 1}\n- {k: 1, k: 2}\n"
        "models: {}\n"
    )
    assert twice(file) == [
        f"{file}: run.models stands twice, in lines 1 and 1: only the last counts",
        f"{file}: models.b.path stands twice, in lines 9 and 11: only the last counts",
        f"{file}: list.1.k stands twice, in lines 14 and 14: only the last counts",
        f"{file}: models stands twice, in lines 6 and 15: only the last counts",
    ]
    (tmp_path / "x.json").write_text('{"a": 1,\n "a": 2}')
    assert "a stands twice, in lines 1 and 2" in twice(tmp_path / "x.json")[0]
    for text in ("", "a: [", "- 1\n", "__use_yte__: true\n?if x:\n  a: 1\n?if y:\n  a: 1\n"):
        file.write_text(text)
        assert twice(file) == []


def of(path: Path) -> FileSet:
    return FileSet(path=str(path), question="q")


def test_other_contents_are_noticed_whatever_their_date_and_the_same_anywhere(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    problems(first, 9)
    before = contents(of(first))
    shutil.copy(first, second)
    assert contents(of(second)) == before
    problems(first, 9, first=1)
    os.utime(first, (1, 1))
    parts = {"one": of(first)}
    assert contents(PartsSet(parts=parts)) != before  # type: ignore[arg-type]
    large = tmp_path / "large.jsonl"
    large.write_bytes(b"x" * 2**26)
    whole = contents(of(large))
    large.write_bytes(b"x" * 2**25 + b"y" * 2**20 + b"x" * (2**26 - 2**25 - 2**20))
    os.utime(large, (1, 1))
    assert contents(of(large)) != whole


def test_snakemake_refuses_all_at_once_and_leaves_nothing(raw: dict[str, Any], root: Path) -> None:
    mistakes = {"models.mine.path": "models/tinny", "budget.tokens": 9999}
    raw = changed(raw, mistakes | {"run.pruners": ["wnada"], "run.sparsities": [0.25]})
    Path("mine.yaml").write_text(yaml.safe_dump(raw) + "budget: {sequences: 5}\n")
    command = [
        *(sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "mine.yaml"),
        *("--snakefile", str(root / "workflow" / "Snakefile")),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for mistake in (
        "has 4 mistakes",
        "budget stands twice, in lines ",
        "did you mean 'models/tiny'?",
        "did you mean 'wanda'?",
        "did you mean 25?",
    ):
        assert mistake in said, said
    assert not Path("pool").exists() and not Path("results").exists()
