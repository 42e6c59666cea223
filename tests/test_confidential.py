"""A confidential benchmark: its questions, and responses to them, stay in the user's cache."""

import json
import stat
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from experiment import Experiment, copy_of_the_workflow, logs
from ssgr.__main__ import main
from ssgr.config import Benchmark, Source
from ssgr.errors import TableError
from ssgr.evaluation.scores import score
from ssgr.storage import confidential
from ssgr.storage.tables import Grades, Problems, Responses, read, read_spec

MARKER = "zyzzyva"
ROWS = [f"rec{k},Which {MARKER} comes at place {k}?,the {k}th,none,all,another\n" for k in range(3)]
COLUMNS: dict[str, Any] = {
    "loader": "file", "question": "Question", "id": "Record ID", "confidential": True,
    "options": ["Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"],
}  # fmt: skip


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of confidential tables."""
    folder = tmp_path / "cache" / "confidential"
    monkeypatch.setenv(confidential.VARIABLE, str(folder))
    return folder


def secret(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "gpqa_diamond.csv"
    header = ",".join(["Record ID", "Question", *COLUMNS["options"]])
    path.write_text(f"{header}\n{''.join(ROWS)}")
    return {**COLUMNS, "path": str(path)}


def files_with_the_marker(folder: Path) -> list[Path]:
    """Files (no links) under a folder that hold the marker, in plain text or in a table."""
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        texts = path.read_bytes().decode(errors="replace")
        if path.suffix == ".parquet":
            texts += "".join(map(str, pl.read_parquet(path).rows()))
        if MARKER in texts.lower():
            found.append(path)
    return found


def test_questions_and_responses_are_links_into_the_cache(
    tmp_path: Path, hidden: Path, abacus: Path
) -> None:
    results = tmp_path / "results"
    problems, responses, grades = (results / f"{name}.parquet" for name in ("p", "r", "g"))
    data = json.dumps(secret(tmp_path))
    assert main(["problems", "--data", data, "--out", str(problems)]) == 0
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o700
    assert problems.is_symlink()
    assert confidential.is_confidential(problems)
    assert read(problems, Problems)["question"].str.contains(MARKER).all()

    assert main(["sample", "--problems", str(problems), "--model.path", str(abacus),
                 "--model.prompt", "{question}", "--sampling.n", "1",
                 "--sampling.max-tokens", "4", "--out", str(responses)]) == 0  # fmt: skip
    assert responses.is_symlink()
    assert len(read(responses, Responses)) == 3
    judging = json.dumps({"method": "choice", "conventions": "gpqa"})
    assert main(["grade", "--responses", str(responses), "--problems", str(problems),
                 "--judging", judging, "--out", str(grades)]) == 0  # fmt: skip
    graded = read(grades, Grades)
    assert not grades.is_symlink()
    assert graded["extracted"].null_count() == 3  # 4 tokens hold no answer, and no answer scores 0
    assert score(graded)["pass_at_1"].item() == 0
    page = results / "check.html"
    assert main(["hand-check", "--problems", str(problems), "--responses", str(responses),
                 "--grades", str(grades), "--out", str(page)]) == 0  # fmt: skip
    assert MARKER in page.read_text()
    assert page.is_symlink()
    assert files_with_the_marker(results) == []
    assert {path.parent for path in files_with_the_marker(hidden)} == {problems.resolve().parent}


def test_a_finished_table_is_taken_again_when_only_its_link_is_gone(
    tmp_path: Path, hidden: Path, abacus: Path
) -> None:
    """Snakemake deletes a job's outputs, links that is, before it runs the job."""
    problems, responses = tmp_path / "p.parquet", tmp_path / "r.parquet"
    assert main(["problems", "--data", json.dumps(secret(tmp_path)), "--out", str(problems)]) == 0
    sample = ["sample", "--problems", str(problems), "--model.path", str(abacus), "--sampling.n",
              "1", "--sampling.max-tokens", "2", "--out", str(responses)]  # fmt: skip
    assert main(sample) == 0
    made = responses.resolve().stat()
    responses.unlink()
    assert main(sample) == 0
    assert responses.resolve().stat().st_mtime_ns == made.st_mtime_ns


def test_a_table_that_is_confidential_no_longer_replaces_its_link(
    tmp_path: Path, hidden: Path
) -> None:
    out = tmp_path / "p.parquet"
    data = secret(tmp_path)
    assert main(["problems", "--data", json.dumps(data), "--out", str(out)]) == 0
    target = out.resolve()
    before = target.read_bytes()
    assert main(["problems", "--data", json.dumps({**data, "confidential": False}),
                 "--out", str(out)]) == 0  # fmt: skip
    assert not out.is_symlink()
    assert target.read_bytes() == before


def test_what_is_made_of_an_open_table_stays_where_it_is(tmp_path: Path, hidden: Path) -> None:
    problems = tmp_path / "p.parquet"
    problems.write_bytes(b"")
    assert confidential.place(tmp_path / "r.parquet", like=problems) == tmp_path / "r.parquet"
    assert not hidden.exists()


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path, hidden: Path) -> None:
    hidden.mkdir(parents=True, mode=0o755)
    hidden.chmod(0o755)
    with pytest.raises(TableError, match=r"can be read by others: `chmod 700 .*SSGR_CONFIDENTIAL"):
        confidential.place(tmp_path / "p.parquet")
    hidden.rmdir()
    hidden.write_text("a file")
    with pytest.raises(TableError, match="cannot be made"):
        confidential.place(tmp_path / "p.parquet")


def test_the_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(confidential.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert confidential.folder() == tmp_path / "ssgr" / "confidential"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert confidential.folder() == tmp_path / ".cache" / "ssgr" / "confidential"


def test_a_confidential_set_is_a_benchmark_and_no_source(tmp_path: Path) -> None:
    data = secret(tmp_path)
    assert Benchmark.model_validate({"data": data, "method": "choice"}).is_confidential
    with pytest.raises(ValidationError, match="a confidential set cannot be a source"):
        Source.model_validate({"data": data, "method": "choice"})
    with pytest.raises(ValidationError, match="they need `method: choice`"):
        Benchmark.model_validate({"data": data})
    part = {"loader": "parts", "parts": {"one": data}}
    assert Benchmark.model_validate({"data": part, "method": "choice"}).is_confidential


def test_the_workflow_takes_links_for_tables(root: Path, tmp_path: Path) -> None:
    experiment = Experiment(copy_of_the_workflow(root, tmp_path / "project"), tmp_path / "run")
    secrets = {"data": secret(tmp_path), "method": "choice", "conventions": "gpqa",
               "prompt": "Choose. {question}"}  # fmt: skip
    experiment.configure(
        {"benchmarks": {"secret": secrets}, "evaluation": {"n": 1, "max_tokens": 4, "seed": 1}}
    )
    dense = "/".join(f"{key}=none" for key in ("source", "generator", "verifier", "tau", "length",
                                               "thinking", "budget", "pruner"))  # fmt: skip
    target = f"results/scores/model=abacus/{dense}/sparsity=0/benchmark=secret/scores.parquet"
    where = {confidential.VARIABLE: str(tmp_path / "cache")}
    code, said = experiment.snakemake(target, **where)
    assert code == 0, said + logs(experiment)
    responses = (experiment.directory / target).with_name("responses.parquet")
    assert responses.is_symlink()
    assert "Choose. {question}" in read_spec(responses)  # the benchmark's own words
    assert files_with_the_marker(experiment.directory) == []
    assert len(files_with_the_marker(tmp_path / "cache")) == 1
    code, said = experiment.snakemake("--dry-run", target, **where)
    assert "Nothing to be done" in said
