"""The audit of the grading: tables by brute force, planted disagreements, and its target."""

import json
import re
from itertools import product
from pathlib import Path
from random import Random

import polars as pl
import pytest

from experiment import POOL, TINY, Experiment, copy_of_the_workflow, logs
from experiment import point as calibration_point
from html_page import Page
from small_pool import SmallPool
from ssgr.__main__ import main
from ssgr.config import Budget, Calibration, Config, Filters
from ssgr.errors import ReportError, TableError
from ssgr.grading import METHODS, grade
from ssgr.grading.spec import Judging
from ssgr.pool import receipts
from ssgr.selection.rules import tally
from ssgr.storage.atomic import write_text
from ssgr.storage.tables import VERDICTS, Grades, Problems, Verdicts, read, write
from ssgr.storage.tables import Calibration as CalibrationTable
from ssgr.verification.agreement import rates
from ssgr.verification.agreement.charts import distribution
from ssgr.verification.agreement.gather import AuditedPool, gather
from ssgr.verification.agreement.selections import overlap, regraded
from ssgr.verification.agreement.verdicts import judge_by_every_method

THREE = ("one", "two", "three")
RESPONSE = ("problem_id", "sample")
LENIENT = Filters(
    max_rep_20=1,
    max_loop_share=1,
    max_different_boxes=None,
    max_tokens_after_end=None,
    require_thinking=False,
)
EVIL = "<script>alert(1)</script>"
ANSWERED = {
    # gold: the ends of the responses, one problem each; who disagrees is said in the test
    "42": ["\\boxed{42}", "\\boxed{41}", "\\boxed{42}", "\\boxed{42}"],
    "1/2": ["\\boxed{0.5}", "\\boxed{\\frac{1}{2}}", "\\boxed{0.5}", "no box"],
    "(x+1)^2": ["\\boxed{x^2+2x+1}", "\\boxed{(x+1)^2}", "\\boxed{x^2}", f"\\boxed{{{EVIL}}}"],
    "B": ["\\boxed{B}", "Answer: B", "\\boxed{C}", "\\boxed{B}"],
}


def made_up(seed: int, problems: int = 30, most: int = 6) -> pl.DataFrame:
    """Verdicts of three methods on up to ``most`` responses a problem; they differ now and then."""
    rng = Random(seed)
    rows = []
    for problem in range(problems):
        for sample in range(rng.randint(1, most)):
            base = rng.choice(VERDICTS)
            for method in THREE:
                verdict = rng.choice(VERDICTS) if rng.random() < 0.3 else base
                extracted, step = rng.choice(["a", "b", None]), rng.choice(["exact", "math-verify"])
                key = (f"p{problem:03d}", sample, method)
                rows.append((*key, extracted, verdict, step, rng.random()))
    schema = ("problem_id", "sample", "method", "extracted", "verdict", "step", "milliseconds")
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.with_columns(pl.col("sample").cast(pl.Int32), extraction_milliseconds=pl.lit(0.5))


def by_response(verdicts: pl.DataFrame) -> dict[tuple[str, int], dict[str, str]]:
    """What each method says of each response."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    for row in verdicts.iter_rows(named=True):
        found.setdefault((row["problem_id"], row["sample"]), {})[row["method"]] = row["verdict"]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_agreement_is_what_counting_by_hand_gives(seed: int) -> None:
    verdicts = made_up(seed)
    says = by_response(verdicts)
    pairs = rates.pairwise(verdicts)
    assert list(pairs.select("method", "other").iter_rows()) == list(product(THREE, THREE))
    for row in pairs.iter_rows(named=True):
        marks = [(one[row["method"]] == "correct", one[row["other"]] == "correct")
                 for one in says.values()]  # fmt: skip
        assert row["both"] == marks.count((True, True))
        assert row["only_method"] == marks.count((True, False))
        assert row["only_other"] == marks.count((False, True))
        assert row["neither"] == marks.count((False, False))
        assert row["share"] == pytest.approx(sum(a == b for a, b in marks) / len(marks))
    for row in rates.said(verdicts).iter_rows(named=True):
        given = [one[row["method"]] for one in says.values()]
        assert [row[name] for name in VERDICTS] == [given.count(name) for name in VERDICTS]
        assert row["responses"] == len(says)
        assert row["decides"]
    never = verdicts.with_columns(verdict=pl.lit("no-answer"))
    assert not rates.said(never)["decides"].any()


@pytest.mark.parametrize("seed", range(3))
def test_every_disagreement_is_counted_once_and_shown_with_examples(seed: int) -> None:
    verdicts = made_up(seed)
    expected: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for response, says in sorted(by_response(verdicts).items()):
        given = tuple(says[method] for method in THREE)
        if 0 < given.count("correct") < len(given):
            expected.setdefault(given, []).append(response)
    ways = rates.disagreements(verdicts)
    assert {way[:3] for way in ways.select(THREE).iter_rows()} == set(expected)
    for way in ways.iter_rows(named=True):
        given = tuple(way[method] for method in THREE)
        responses = expected[given]
        assert way["responses"] == len(responses)
        assert way["problems"] == len({problem for problem, _ in responses})
        assert way["contradiction"] == ("wrong" in given)
        first = {problem: sample for problem, sample in reversed(responses)}
        shown = [(one["problem_id"], one["sample"]) for one in way["examples"]]
        assert shown == list(sorted(first.items()))[: rates.EXAMPLES]
    order = [(not row["contradiction"], -row["responses"]) for row in ways.iter_rows(named=True)]
    assert order == sorted(order)


@pytest.mark.parametrize("band", [(0.0, 0.75), (0.5, 0.99), (0.0, 0.0), (1 / 3, 2 / 3)])
def test_who_changes_sides_of_a_threshold(band: tuple[float, float]) -> None:
    verdicts = made_up(7)
    given: dict[str, dict[str, list[bool]]] = {method: {} for method in THREE}
    for row in verdicts.iter_rows(named=True):
        of_problem = given[row["method"]].setdefault(row["problem_id"], [])
        of_problem.append(row["verdict"] == "correct")
    kept = {
        method: {problem for problem, marks in problems.items()
                 if band[0] - 1e-9 <= sum(marks) / len(marks) <= band[1] + 1e-9}
        for method, problems in given.items()
    }  # fmt: skip
    ratios = rates.ratios(verdicts)
    for row in ratios.iter_rows(named=True):
        marks = given[row["method"]][row["problem_id"]]
        assert (row["drawn"], row["correct"]) == (len(marks), sum(marks))
        assert row["ratio"] == sum(marks) / len(marks)
    sides = rates.sides(ratios, "one", [band, (0.0, 1.0)])
    assert len(sides) == 6
    for row in sides.filter(high=band[1], low=band[0]).iter_rows(named=True):
        assert row["kept"] == len(kept[row["method"]])
        assert row["entered"] == len(kept[row["method"]] - kept["one"])
        assert row["left"] == len(kept["one"] - kept[row["method"]])
    assert sides.filter(high=1.0)["entered"].sum() == 0
    assert rates.sides(ratios, "one", []).is_empty()


def test_a_bar_of_the_chart_holds_its_right_end() -> None:
    """So that what c <= tau keeps stands left of tau's line."""
    ratio = [0.0, 0.01, 0.05, 12 / 16, 0.7501, 15 / 16, 1.0]
    rows = pl.DataFrame({"method": ["a"] * len(ratio), "ratio": ratio})
    held = distribution(rows).filter(pl.col("problems") > 0).select("right", "problems")
    bars = {round(right, 2): count for right, count in held.iter_rows()}
    assert bars == {0.0: 1, 0.05: 2, 0.75: 1, 0.8: 1, 0.95: 1, 1.0: 1}
    assert len(distribution(rows)) == 21


def test_times_count_a_pair_once_and_every_extraction() -> None:
    verdicts = made_up(1)
    golds = {f"p{problem:03d}": f"gold {problem % 4}" for problem in range(30)}
    table = pl.DataFrame({"problem_id": list(golds), "answer": list(golds.values())})
    took: dict[str, dict[tuple[str, str], float]] = {method: {} for method in THREE}
    for row in verdicts.iter_rows(named=True):
        pair = (golds[row["problem_id"]], row["extracted"])
        if row["extracted"] is not None:
            took[row["method"]].setdefault(pair, row["milliseconds"])
    silent = rates.times(verdicts.with_columns(extracted=pl.lit(None, pl.String)), table)
    assert silent["pairs"].to_list() == [0, 0, 0] and silent["judging"].to_list() == [0, 0, 0]
    for row in rates.times(verdicts, table).iter_rows(named=True):
        own = took[row["method"]]
        assert row["pairs"] == len(own)
        assert row["judging"] == pytest.approx(sum(own.values()))
        assert row["longest"] == max(own.values())
        assert row["extraction"] == pytest.approx(0.5 * row["responses"])
        total = row["judging"] + row["extraction"]
        assert row["per_response"] == pytest.approx(total / row["responses"])


def text(end: str) -> str:
    return f"so it goes </think> {end}"


@pytest.fixture(scope="module")
def problems() -> pl.DataFrame:
    rows = [(f"p{number:04d}", f"Question {number} {EVIL}?", gold)
            for number, gold in enumerate(ANSWERED)]  # fmt: skip
    table = pl.DataFrame(rows, schema=("problem_id", "question", "answer"), orient="row")
    empty = pl.lit(None, dtype=pl.String)
    return table.with_columns(solution=empty, subject=empty, level=empty)


@pytest.fixture(scope="module")
def responses(problems: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {
            "problem_id": problem_id,
            "sample": sample,
            "prompt_token_ids": [1, 2],
            "token_ids": list(range(5 + sample)),
            "text": text(end),
            "finish_reason": "stop",
            "tokens": 5 + sample,
            "mean_logprob": -1.0,
        }
        for problem_id, ends in zip(problems["problem_id"], ANSWERED.values(), strict=True)
        for sample, end in enumerate(ends)
    ]
    return pl.DataFrame(rows).with_columns(pl.col("sample", "tokens").cast(pl.Int32))


@pytest.fixture(scope="module")
def judged(problems: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    parts = (responses.head(7), responses.tail(9))
    return judge_by_every_method(parts, problems, Judging())


def test_every_method_says_what_grading_by_it_says(
    problems: pl.DataFrame, responses: pl.DataFrame, judged: pl.DataFrame
) -> None:
    assert judged["method"].unique(maintain_order=True).to_list() == list(METHODS)
    Verdicts.validate(judged, cast=True)
    for method in METHODS:
        own = judged.filter(method=method).sort(RESPONSE)
        graded = grade(responses, problems, method=method)
        for ours, theirs in (("verdict", "verdict"), ("extracted",) * 2, ("step", "method")):
            same = graded[theirs].cast(pl.String)
            assert own[ours].to_list() == same.to_list(), method


def test_problems_without_an_answer_are_refused(
    problems: pl.DataFrame, responses: pl.DataFrame
) -> None:
    none = problems.with_columns(answer=pl.lit(" "))
    with pytest.raises(TableError, match=r"4 problem\(s\) with responses, such as p0000"):
        judge_by_every_method([responses], none, Judging())
    with pytest.raises(TableError, match="p0003"):
        judge_by_every_method([responses], problems.head(3), Judging())


@pytest.mark.parametrize(("length", "tau"), [("median", "0.75"), ("first", "1.00"),
                                             ("first-wrong", "0.99")])  # fmt: skip
def test_selections_are_those_of_pools_graded_by_each_method(
    problems: pl.DataFrame, responses: pl.DataFrame, judged: pl.DataFrame, length: str, tau: str
) -> None:
    """The verdicts in place of the grades' select what grading by that method would."""
    budget = Budget(sequences=3, tokens=100, allow_fewer=True)
    graded = {method: grade(responses, problems, method=method) for method in METHODS}
    verdicts = {method: judged.filter(method=method) for method in METHODS}
    chosen: dict[str, set[tuple[str, int]]] = {}
    left = {}
    for method, grades in graded.items():
        found = tally(grades, length, tau, LENIENT, budget)
        chosen[method] = set(found.candidates.head(3).select(RESPONSE).iter_rows())
        left[method] = found.counts["problems"][-1]
    calibration = Calibration(source="stories", tau=tau, length=length)
    rows = overlap(graded["math"], verdicts, "math", calibration, LENIENT, budget)
    assert [row["method"] for row in rows] == list(METHODS)
    base, right = chosen["math"], dict(zip(graded["math"].select(RESPONSE).iter_rows(),
                                           graded["math"]["correct"], strict=True))  # fmt: skip
    for row in rows:
        own = chosen[row["method"]]
        here, there = ({problem for problem, _ in one} for one in (own, base))
        assert (row["candidates"], row["selected"]) == (left[row["method"]], len(own))
        assert (row["problems"], row["responses"]) == (len(here & there), len(own & base))
        assert row["problem_jaccard"] == len(here & there) / (len(here | there) or 1) or not here
        assert row["response_jaccard"] == len(own & base) / (len(own | base) or 1) or not own
        assert {(one["problem_id"], one["sample"]) for one in row["gained"]} == own - base
        assert {(one["problem_id"], one["sample"]) for one in row["lost"]} == base - own
        if length != "first-wrong":
            assert row["disputed"] == sum(not right[response] for response in own)
    assert len({frozenset(one) for one in chosen.values()}) > 1  # the methods do differ


def test_two_empty_selections_are_the_same(judged: pl.DataFrame, problems: pl.DataFrame,
                                           responses: pl.DataFrame) -> None:  # fmt: skip
    grades = grade(responses, problems)
    nothing = judged.filter(method="math").with_columns(verdict=pl.lit("wrong"))
    calibration = Calibration(source="stories", tau="1.00", length="first")
    rows = overlap(grades, {"a": nothing, "b": nothing}, "a", calibration, LENIENT, Budget())
    assert [(row["problem_jaccard"], row["selected"]) for row in rows] == [(1.0, 0)] * 2
    assert regraded(grades, nothing)["correct"].any() is False


VERDICTS_OUT = "results/verification/model=small/source=stories/verdicts.parquet"
CONFIG = Config.model_validate(
    {
        "title": f"Audited {EVIL}",
        "pool": {"path": "pool", "shard_size": 2},
        "run": {"models": ["small"], "pruners": ["wanda"], "sparsities": [50]},
        "models": {"small": {"path": "org/small"}},
        "sources": {"stories": {"data": {"loader": "abacus", "kind": "stories", "count": 4}}},
        "benchmarks": {"easy": {"data": {"loader": "abacus", "kind": "easy", "count": 1}}},
        "calibrations": {
            "SGR": {"source": "stories", "tau": 1.0, "length": "first"},
            "SSGR": {"source": "stories", "tau": 0.75, "length": "median"},
        },
        "sampling": {"n": 4, "max_tokens": 100},
        "evaluation": {"n": 1, "max_tokens": 100},
        "filters": LENIENT.model_dump(),
        "budget": {"sequences": 2, "tokens": 100},
    }
)


@pytest.fixture
def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    problems: pl.DataFrame,
    responses: pl.DataFrame,
    judged: pl.DataFrame,
) -> list[str]:
    """A graded pool of two shards, of which SGR visited one and SSGR both; flags of its files."""
    monkeypatch.chdir(tmp_path)
    small = SmallPool(Path("pool"))
    graded = grade(responses, problems)
    shards = []
    for first in (0, 2):
        rows = responses.slice(4 * first, 8)
        name = f"{first:06d}-{first + 2:06d}"
        keys = rows.select("problem_id", "sample", "tokens").rows()
        part = small.draw(name, keys, texts=rows["text"].to_list())
        own = graded.join(rows, on=RESPONSE, how="semi", maintain_order="left").drop(RESPONSE)
        grades = small.grade(part, measured=own.to_dict(as_series=False))
        receipt = Path("results", "receipts", "grades", small.key, f"{name}.json")
        small.write_graded(receipt, small.graded_part(part, grades))
        shards.append(str(receipt))
    flags = []
    for tau, length, seen in (("1.00", "first", shards[:1]), ("0.75", "median", shards)):
        point = calibration_point(tau, length, "2x100-s0", "small")
        path = Path("results/calibration", point, "visited.json")
        write_text(path, json.dumps(seen))
        flags += ["--visited", str(path)]
    table = Path("results/problems/source=stories/problems.parquet")
    write(problems, Problems, table)
    write(judged, Verdicts, Path(VERDICTS_OUT))
    return [*flags, "--problems", str(table)]


def test_the_commands_show_who_says_what(run: list[str], judged: pl.DataFrame) -> None:
    Path(VERDICTS_OUT).unlink()
    judging = Judging().model_dump_json()
    made = ["--judging", judging, "--out", VERDICTS_OUT]
    assert main(["verdicts", "--pool", "pool", *run, *made]) == 0
    table = read(Path(VERDICTS_OUT), Verdicts)
    same = ("problem_id", "sample", "method", "extracted", "verdict", "step")
    key = ("method", *RESPONSE)
    ours = table.with_columns(pl.col("verdict").cast(pl.String)).select(same).sort(key)
    assert ours.equals(judged.select(same).sort(key))
    text = page_of(run)
    assert f"Verification of the grading: Audited {EVIL}" in text
    assert "small on stories: 16 responses to 4 problems" in text
    assert f"Question 1 {EVIL}?" in text
    assert "so it goes </think> Answer: B" in text
    assert "exact: wrong" in text and "numeric: correct" in text
    assert "pattern never comes to a verdict" in text
    assert "2 sequences of 2 visited problems" in text  # SGR visited one shard of the two
    assert "2 sequences of 4 visited problems" in text
    assert "judged again here all came out the same" in text


def page_of(run: list[str]) -> str:
    """Make the page, which must stand alone, and return its text in one line."""
    paths = ["--verdicts", VERDICTS_OUT, "--out", "page/index.html"]
    assert main(["audit", "--config", CONFIG.model_dump_json(), *run, *paths]) == 0
    html = Path("page/index.html").read_text("utf-8")
    page = Page(html)
    assert page.loads == [] and page.tags["script"] == 0
    assert "url(" not in html.replace("url(#", "")
    return page.text


def test_methods_that_agree_leave_no_disagreements(run: list[str]) -> None:
    table = read(Path(VERDICTS_OUT), Verdicts)
    told = table.filter(method="math").select(*RESPONSE, "verdict")
    same = table.drop("verdict").join(told, on=RESPONSE)
    write(same, Verdicts, Path(VERDICTS_OUT))
    text = page_of(run)
    assert "agrees with choice, exact, numeric, pattern and math-verify on all of them" in text
    assert "No response is called correct by one method and wrong by another." in text
    assert "All of them say alike, of every response, whether it is correct." in text


def test_the_grades_count_where_judging_again_says_otherwise(run: list[str]) -> None:
    """As when a verdict timed out on a busier machine."""
    table = read(Path(VERDICTS_OUT), Verdicts)
    hit = (pl.col("method") == "math") & (pl.col("problem_id") == "p0000") & (pl.col("sample") == 0)
    late = pl.when(hit).then(pl.lit("timed-out")).otherwise(pl.col("verdict").cast(pl.String))
    write(table.with_columns(verdict=late), Verdicts, Path(VERDICTS_OUT))
    (pool,) = gathered(run)
    assert pool.judged_otherwise == 1
    assert pool.verdicts.filter(hit)["verdict"].to_list() == ["correct"]


def gathered(run: list[str], config: Config = CONFIG) -> list[AuditedPool]:
    """What an audit of these files is about."""
    files: dict[str, list[Path]] = {"--visited": [], "--problems": []}
    for flag, path in zip(run[::2], run[1::2], strict=True):
        files[flag].append(Path(path))
    out = [Path(VERDICTS_OUT)]
    return gather(config, Path("pool"), out, files["--problems"], files["--visited"])


@pytest.mark.parametrize(("flag", "missing"), [
    ("--visited", "length=first, thinking=kept, budget=2x100-s0: its file was not named"),
    ("--problems", "source=stories: its file was not named (--problems)"),
])  # fmt: skip
def test_files_that_were_not_named_are_errors(run: list[str], flag: str, missing: str) -> None:
    at = run.index(flag)
    with pytest.raises(ReportError, match=re.escape(missing)):
        gathered(run[:at] + run[at + 2 :])


def test_verdicts_of_fewer_responses_than_the_grades_are_refused(run: list[str]) -> None:
    """As when the pool has grown since: a share of what is there would pass for all of it."""
    table = read(Path(VERDICTS_OUT), Verdicts)
    write(table.filter(pl.col("sample") < 3), Verdicts, Path(VERDICTS_OUT))
    with pytest.raises(ReportError, match="12 responses of small to stories were judged by every "
                                          "method, 16 are graded"):  # fmt: skip
        gathered(run)


def test_a_pool_is_its_generators_and_other_verifiers_are_left_out(run: list[str]) -> None:
    """Verdicts are of who wrote the responses, not of who is pruned on them."""
    raw = CONFIG.model_dump()
    raw["models"]["pruned"] = {"path": "org/pruned"}
    raw["run"] |= {"models": ["pruned"]}
    by_other = {name: entry | {"generator": "small"} for name, entry in raw["calibrations"].items()}
    exact = {"source": "stories", "tau": 1.0, "length": "first", "verifier": "exact"}
    config = Config.model_validate(raw | {"calibrations": by_other | {"Exact": exact}})
    moved = []
    for flag, path in zip(run[::2], run[1::2], strict=True):
        place = path.replace("/model=small/", "/model=pruned/") if flag == "--visited" else path
        if place != path:
            write_text(Path(place), Path(path).read_text())
        moved += [flag, place]
    (pool,) = gathered(moved, config)
    assert (pool.model, set(pool.calibrations)) == ("small", {"SGR", "SSGR"})


def test_a_run_without_a_pool_has_nothing_to_audit(run: list[str]) -> None:
    reference = {"MathR": Calibration(source="stories", length="solution")}
    config = CONFIG.model_copy(update={"calibrations": reference})
    with pytest.raises(ReportError, match="no calibration of this run is taken from"):
        gathered(run, config)


SHORT = {"data": {"loader": "abacus", "kind": "medium", "count": 20, "seed": 3}}


def test_the_target_audits_what_was_selected_and_runs_once(root: Path, tmp_path: Path) -> None:
    """A tiny run whose pool is drawn by abacus."""
    base = tmp_path / "with spaces"
    (base / "project").mkdir(parents=True)
    experiment = Experiment(copy_of_the_workflow(root, base / "project"), base / "first")
    experiment.configure(
        {"run": {**TINY["run"], "calibrations": ["SSGR"]}, "sources": {"stories": SHORT}},
        {"pool": {**POOL, "path": "p", "wave": 1}, "budget": {"sequences": 2, "tokens": 600}},
    )
    code, said = experiment.snakemake("verification")
    assert code == 0, said + logs(experiment)
    results = experiment.directory / "results"
    assert "abacus on stories" in (results / "verification" / "index.html").read_text("utf-8")
    table = results / "verification" / "model=abacus" / "source=stories" / "verdicts.parquet"
    verdicts = read(table, Verdicts)
    assert set(verdicts["method"]) == set(METHODS)
    assert not (results / "checkpoints").exists()
    assert "Nothing to be done" in experiment.snakemake("verification")[1]
    check_selection(experiment.directory, verdicts)
    style = experiment.workflow / "workflow" / "ssgr" / "verification" / "agreement" / "style.css"
    style.write_text(style.read_text() + "\nbody { margin: 0 }\n")
    assert experiment.plan("verification") == {"verification": 1}
    experiment.configure({"run": {**TINY["run"], "calibrations": ["MathR"]}})
    code, said = experiment.snakemake("--dry-run", "verification")
    assert code != 0
    assert "no calibration of this run is taken from a model's responses" in said


def check_selection(directory: Path, verdicts: pl.DataFrame) -> None:
    """By the configured method's verdicts, what was selected is selected."""
    point = calibration_point("0.75", "median", "2x600-s0")
    folder = directory / "results" / "calibration" / point
    shards = [directory / name for name in json.loads((folder / "visited.json").read_text())]
    parts = [part for shard in shards for part in receipts.read(shard, receipts.GradedShard).parts]
    grades = [receipts.open_part(directory / "p", part.grades, Grades) for part in parts]
    budget = Budget(sequences=2, tokens=600)
    own = regraded(pl.concat(grades), verdicts.filter(method="math"))
    found = tally(own, "median", "0.75", Filters(), budget).candidates.head(2)
    selected = read(folder / "calibration.parquet", CalibrationTable)
    assert sorted(found.select(RESPONSE).iter_rows()) == sorted(
        selected.select(RESPONSE).iter_rows()
    )
