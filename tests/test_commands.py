"""The stage commands by themselves: one-line pruning, and clear errors for what users get wrong."""

import json
from pathlib import Path

import polars as pl
import pytest

from ssgr.__main__ import COMMANDS, main
from ssgr.config import Filters
from ssgr.pool import receipts
from ssgr.sampling.tokenizer import encoding_digest, load_tokenizer
from ssgr.storage import tables


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three easy problems."""
    path = tmp_path_factory.mktemp("problems") / "problems.parquet"
    assert main(["problems", "--data", '{"loader": "abacus", "kind": "easy", "count": 3}',
                 "--out", str(path)]) == 0  # fmt: skip
    return path


@pytest.fixture(scope="module")
def responses(problems: Path, abacus: Path) -> Path:
    """The embedded model's responses to them, by flags instead of JSON."""
    path = problems.parent / "responses.parquet"
    assert main(["sample", "--problems", str(problems), "--model.path", str(abacus),
                 "--model.prompt", "{question}", "--sampling.n", "2",
                 "--sampling.max-tokens", "200", "--out", str(path)]) == 0  # fmt: skip
    return path


def grade(responses: Path, problems: Path, out: Path) -> int:
    return main(["grade", "--responses", str(responses), "--problems", str(problems),
                 "--out", str(out)])  # fmt: skip


def test_from_problems_to_a_pruned_folder(problems: Path, abacus: Path, tmp_path: Path) -> None:
    """The pool by hand, each stage its own command."""
    pool = tmp_path / "pool"
    key = "model=m/source=s/sampling=k"
    judging, filters = '{"method": "math"}', Filters().model_dump()
    needs = json.dumps({"demands": [{"tau": "1.00", "length": "first"}], "filters": filters})
    assert main(["sample-shard", "--problems", str(problems), "--model.path", str(abacus),
                 "--model.prompt", "{question}", "--sampling.n", "4", "--sampling.max-tokens",
                 "200", "--first", "0", "--last", "9", "--pool", str(pool), "--shard",
                 str(pool / "responses" / key / "000000-000009.parquet"), "--needs", needs,
                 "--judging", judging, "--out", str(tmp_path / "sampled.json")]) == 0  # fmt: skip
    assert main(["grade-shard", "--pool", str(pool), "--responses", str(tmp_path / "sampled.json"),
                 "--problems", str(problems), "--first", "0", "--last", "9",
                 "--judging", judging, "--grades",
                 str(pool / "grades" / key / "grader=g"),
                 "--out", str(tmp_path / "graded.json")]) == 0  # fmt: skip
    point = ["--length", "first", "--budget.sequences", "3", "--budget.tokens", "400",
             "--budget.allow-fewer"]  # fmt: skip
    candidates = tmp_path / "candidates.parquet"
    tau = ["--tau", "1.00", "--samples", "4"]
    assert main(["tally", *point, *tau, "--pool", str(pool), "--graded",
                 str(tmp_path / "graded.json"), "--out", str(candidates)]) == 0  # fmt: skip
    calibration = tmp_path / "calibration.parquet"
    assert main(["select", *point, "--model.path", str(abacus), "--problems", str(problems),
                 "--pool", str(pool), "--candidates", str(candidates), "--out", str(calibration),
                 "--funnel", str(tmp_path / "funnel.parquet")]) == 0  # fmt: skip
    drawn = tables.read(pool / "responses" / key / "000000-000009.parquet", tables.Responses)
    assert len(drawn) < 12  # a first correct response is enough
    folder = tmp_path / "pruned"
    assert main(["prune", "--model", str(abacus), "--calibration", str(calibration), "--pruner",
                 "sparsegpt", "--sparsity", "50", "--out", str(folder)]) == 0  # fmt: skip
    report = tables.read(folder / "pruning.parquet", tables.PruningReport)
    assert report["achieved_sparsity"].to_list() == pytest.approx([0.5] * len(report), abs=1e-3)
    encodings = [  # of one tokenizer, which each stage has held against the one before
        json.loads((pool / "responses" / key / "manifest.json").read_text())["encoding"],
        json.loads(tables.read_spec(calibration))["encoding"],
        json.loads((folder / "pruning.json").read_text())["encoding"],
    ]
    assert encodings == [encoding_digest(load_tokenizer(str(abacus)))] * 3


def test_from_responses_to_a_score(problems: Path, responses: Path, tmp_path: Path) -> None:
    grades = tmp_path / "grades.parquet"
    assert grade(responses, problems, grades) == 0
    assert main(["score", "--grades", str(grades), "--out", str(tmp_path / "s.parquet")]) == 0


def said(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_a_tally_under_early_stop_has_no_median_to_compare_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["tally", "--length", "median", "--samples", "4", "--pool", str(tmp_path), "--graded",
             str(tmp_path / "g.json"), "--out", str(tmp_path / "c.parquet"),
             "--budget.sequences", "3", "--filters.min-thinking-share", "0.5"]  # fmt: skip
    assert main([*asked, "--tau", "1.5"]) == 1
    error = said(capsys)
    assert "--tau: tau '1.5': expected 0..1" in error
    assert "--early-stop: filters.min_thinking_share needs every response of a problem" in error


def test_a_truncated_shard(
    problems: Path, responses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(responses.read_bytes()[:-30])
    assert grade(cut, problems, tmp_path / "grades.parquet") == 1
    assert "cut.parquet is not a whole Parquet file" in said(capsys)


def test_a_foreign_shard(
    problems: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grade(problems, problems, tmp_path / "grades.parquet") == 1
    assert "is not a Responses table: it lacks the columns" in said(capsys)


def test_a_problem_without_an_answer(
    problems: Path, responses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tables.read(problems, tables.Problems)
    bare = tmp_path / "bare.parquet"
    tables.write(table.with_columns(answer=pl.lit(None)), tables.Problems, bare)
    assert grade(responses, bare, tmp_path / "grades.parquet") == 1
    error = said(capsys)
    assert table["problem_id"].sort()[0] in error
    assert "answer" in error


def test_a_pool_that_offers_nothing(
    problems: Path, abacus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receipts.write(receipts.GradedShard(parts=()), tmp_path / "graded.json")
    point = ["--length", "median", "--budget.sequences", "3"]
    candidates = tmp_path / "candidates.parquet"
    tau = ["--tau", "0.75", "--samples", "4"]
    assert main(["tally", *point, *tau, "--pool", str(tmp_path), "--graded",
                 str(tmp_path / "graded.json"), "--out", str(candidates)]) == 0  # fmt: skip
    flags = [*point, "--model.path", str(abacus), "--problems", str(problems), "--out",
             str(tmp_path / "c.parquet"), "--funnel", str(tmp_path / "f.parquet")]  # fmt: skip
    pool = ["--pool", str(tmp_path), "--candidates", str(candidates)]
    assert main(["select", *flags, *pool]) == 1
    assert "3 calibration sequences are wanted, 0 are left" in said(capsys)
    assert main(["select", *flags]) == 1
    assert "selects from a pool" in said(capsys)


def test_a_model_folder_without_tokenizer(
    problems: Path, abacus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((abacus / name).read_bytes())
    out = str(tmp_path / "responses.parquet")
    assert main(["sample", "--problems", str(problems), "--model.path", str(tmp_path),
                 "--sampling.n", "1", "--out", out]) == 1  # fmt: skip
    assert "tokenizer" in said(capsys)
    assert main(["prune", "--model", str(tmp_path), "--pruner", "magnitude",
                 "--out", str(tmp_path / "pruned")]) == 1  # fmt: skip
    assert "tokenizer" in said(capsys)
    assert not (tmp_path / "pruned").exists()


def test_grading_responses_to_other_questions_is_refused(
    problems: Path, responses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed.parquet"
    table = tables.read(problems, tables.Problems)
    tables.write(table.with_columns(pl.col("question") + "!"), tables.Problems, changed)
    assert grade(responses, changed, tmp_path / "grades.parquet") == 1
    assert "responses to other questions" in said(capsys)


def test_pruning_takes_anyones_token_ids(abacus: Path, tmp_path: Path) -> None:
    """A file of one column, as 64-bit integers."""
    own = tmp_path / "own.parquet"
    pl.DataFrame({"token_ids": [[5, 6, 7, 8], [9, 10, 11]]}).write_parquet(own)
    assert main(["prune", "--model", str(abacus), "--calibration", str(own), "--pruner", "wanda",
                 "--sparsity", "2:4", "--out", str(tmp_path / "pruned")]) == 0  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--length", "mediun"], "--length: unknown length rule 'mediun'"),
        (["--length", "median"], "selects from a pool: give --pool"),
    ],
)
def test_selecting_with_flags_that_make_no_sense(
    flags: list[str], error: str, abacus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [f"--{name}={tmp_path / name}" for name in ("problems", "out", "funnel")]
    budget = ["--budget.sequences", "3", "--budget.tokens", "99"]
    assert main(["select", *flags, *files, *budget, "--model", str(abacus)]) == 1
    assert error in said(capsys)


def test_a_flag_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--sparsity", "5:4", "--out", str(tmp_path / "p")]) == 1
    error = said(capsys)
    assert "--model: is missing" in error


def test_help_says_what_every_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for name, command in COMMANDS.items():
        told = " ".join((command.__doc__ or "").partition("\n")[0].split())
        assert f"{name.replace('_', '-')} {told}" in said
    with pytest.raises(SystemExit):
        main(["prune", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "usage: ssgr prune [FLAGS]"
    plain = next(number for number, line in enumerate(lines) if "--calibration" in line)
    nested = next(number for number, line in enumerate(lines) if "--model.path" in line)
    assert plain < nested
