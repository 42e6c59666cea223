"""An experiment is data and a target: its points are made, it is drawn, and it grows by an axis."""

from pathlib import Path

import polars as pl
import pytest

from experiment import TINY, Experiment, copy_of_the_workflow, logs, point
from ssgr.storage import tables

MINI: dict[str, object] = {
    "title": "Whose thinking, judged by whom",
    "calibrations": ["SGR", "Plain", "Theirs", "Exact"],
    "benchmarks": ["easy"],
    "against": "SGR",
}
SGR = {"source": "stories", "tau": 1.00, "length": "first"}
OWN: dict[str, object] = {
    "models": {"twin": {"path": "resources/abacus", "prompt": "{question}", "gpu": 0}},
    "calibrations": {
        "Plain": {**SGR, "thinking": False, "label": "no thinking"},
        "Theirs": {**SGR, "generator": "twin"},
        "Exact": {**SGR, "verifier": "exact"},
        "Short": {**SGR, "tokens": 100},
    },
}


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The finished table of a tiny experiment."""
    base = tmp_path_factory.mktemp("experiments")
    experiment = Experiment(copy_of_the_workflow(root, base / "project"), base / "run")
    experiment.configure(OWN, {"experiments": {"mini": MINI}})
    code, said = experiment.snakemake("mini")
    assert code == 0, said + logs(experiment)
    return experiment


def texts(experiment: Experiment, **keys: str) -> list[str]:
    """The calibration texts of a point."""
    folders = point("1.00", "first", "3x600-s0")
    for key, value in keys.items():
        before = next(part for part in folders.split("/") if part.startswith(f"{key}="))
        folders = folders.replace(before, f"{key}={value}")
    file = experiment.directory / "results/calibration" / folders / "calibration.parquet"
    return tables.read(file, tables.Calibration)["response"].to_list()


def test_a_table_is_made_with_all_its_exports(done: Experiment) -> None:
    made = done.directory / "results" / "experiments" / "mini"
    wanted = {"cells.parquet", "table.csv", "table.tex", "figure.svg", "figure.pdf", "index.html"}
    assert wanted <= {path.name for path in made.iterdir()}
    cells = pl.read_parquet(made / "cells.parquet")
    assert set(cells["label"]) == {"Dense", "SGR", "no thinking", "Theirs", "Exact"}
    assert set(cells["benchmark"]) == {"easy"}


def test_what_a_calibration_says_is_what_it_asks_for(done: Experiment) -> None:
    kept, plain = texts(done), texts(done, thinking="dropped")
    assert all("</think>" in text for text in kept)
    assert not any("think>" in text for text in plain)
    assert all("\\boxed" in text for text in plain)
    theirs = texts(done, generator="twin")
    assert len(theirs) == 3
    pool = done.directory.parent / "pool" / "responses"
    assert {path.name for path in pool.iterdir()} == {"model=abacus", "model=twin"}
    graders = {path.name for path in (pool.parent / "grades").rglob("grader=*")}
    assert len(graders) == 2  # by the source's method and by exact spelling; the twins share theirs


def test_it_is_made_once(done: Experiment) -> None:
    assert "Nothing to be done" in done.snakemake("mini")[1]


def test_one_more_column_makes_what_it_needs_and_no_more(done: Experiment) -> None:
    calibrations = ["SGR", "Plain", "Theirs", "Exact", "Short"]
    done.configure(OWN, {"experiments": {"mini": {**MINI, "calibrations": calibrations}}})
    plan = done.plan("mini")
    once = ("tally", "select", "prune", "sample_benchmark", "grade_benchmark", "score")
    assert plan == dict.fromkeys((*once, "experiment", "mini"), 1)


def test_a_change_elsewhere_draws_no_table_again(done: Experiment) -> None:
    run = {**TINY["run"], "sparsities": ["4:8"]}
    done.configure(OWN, {"experiments": {"mini": {**MINI, "sparsities": ["2:4"]}}, "run": run})
    assert done.plan("mini") == {}
