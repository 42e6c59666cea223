"""The paper's data sets from a hub: the true code path, our own rows in the upstream's shapes."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from huggingface_hub import constants
from pydantic import TypeAdapter, ValidationError

from local_hub import DataSet, LocalHub, Row, local_hub, packed
from ssgr.config import HubSet, PartsSet, ProblemSet
from ssgr.errors import TableError
from ssgr.grading import PRESETS, judge
from ssgr.problems import commits, files, hub, load
from ssgr.storage.tables import Documents, Problems, read_spec

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "config" / "paper.yaml"
COMMIT = "f" * 40


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub, and an empty cache for it."""
    hub.fetch.cache_clear()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with local_hub() as local:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "ENDPOINT", local.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", local.url + template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield local
    hub.fetch.cache_clear()


def serve(local: LocalHub, repo: str, rows: dict[str, list[Row]], **more: Any) -> None:
    data = {path: packed(path, content) for path, content in rows.items()}
    local.sets[repo] = DataSet(data, **more)


def registry() -> dict[str, dict[str, Any]]:
    """The entries of the paper's configuration."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(PAPER.read_text())
    return found


# Rows of our own in the shapes of hf_schemas: every trap that the upstream rows have.
GSM8K = [
    {"question": "Six hundred pairs: how many shoes?", "answer": "<<2*600=1200>>\n#### 1,200"},
    {"question": "How much is half of 14?", "answer": "It is 7.\n#### 7"},
]  # fmt: skip
MATH = {
    "algebra": [
        {"problem": "What is $1+1$?", "level": "Level 1", "type": "Algebra",
         "solution": r"So it is $\boxed 2$."},
        {"problem": "What is $1/2$?", "level": "Level ?", "type": "Algebra",
         "solution": r"First $\boxed{3}$; no: $\boxed{\frac{1}{2}}$."},
    ],
    "geometry": [
        {"problem": "How many sides?", "level": "Level 5", "type": "Geometry",
         "solution": r"Four. $\boxed{4}$"},
        {"problem": "What  is $1 + 1$?", "level": "Level 1", "type": "Geometry",
         "solution": r"$\boxed{2}$"},
    ],
}  # fmt: skip
OLYMPIAD = [
    {"id": 7, "question": "Solve.", "context": "Let $x>0$.", "final_answer": ["$8$", "$2$"],
     "unit": None, "error": None, "solution": ["One.", "Another."], "subfield": "Algebra",
     "subject": "Math", "language": "English"},
    {"id": 8, "question": "How long?", "context": None, "final_answer": ["2.5"], "unit": "m",
     "error": "1e-1", "solution": ["So."], "subfield": "Geometry", "subject": "Math",
     "language": "English"},
]  # fmt: skip
GPQA = [
    {"Record ID": f"rec{k}", "Question": f"Question {k},\nin two lines?\n",
     "Correct Answer": " yes ", "Incorrect Answer 1": "no", "Incorrect Answer 2": "yes",
     "Incorrect Answer 3": "perhaps", "High-level domain": "Physics",
     "Writer's Difficulty Estimate": "Hard"}
    for k in range(24)
]  # fmt: skip


def paper_rows() -> dict[str, dict[str, list[Row]]]:
    """Rows for every file that the paper's configuration names, by data set."""
    text = [{"text": f"Page {k}.", "url": f"u{k}", "timestamp": "2019"} for k in range(30)]
    aime = [{"id": 60 + k, "problem": f"AIME {k}?", "answer": f"{k:03d}", "year": "2024"}
            for k in (7, 73)]  # fmt: skip
    later = [{"question": f"AIME of 2025, {k}?", "answer": str(k)} for k in (5, 960)]
    subjects = ("algebra", "counting_and_probability", "geometry", "intermediate_algebra",
                "number_theory", "prealgebra", "precalculus")  # fmt: skip
    return {
        "openai/gsm8k": {
            "main/train-00000-of-00001.parquet": GSM8K,
            "main/test-00000-of-00001.parquet": [{"question": "Test?", "answer": "#### 3,000"}],
        },
        "EleutherAI/hendrycks_math": {
            f"{name}/train-00000-of-00001.parquet": MATH.get(name) or [
                {"problem": f"A problem of {name}?", "level": "Level 2", "type": name,
                 "solution": r"$\boxed{1}$"}]
            for name in subjects
        },
        "HuggingFaceH4/MATH-500": {"test.jsonl": [
            {"problem": "P?", "solution": "s", "answer": r"\pi", "subject": "Algebra", "level": 5,
             "unique_id": "test/algebra/1.json"}]},
        "HuggingFaceH4/aime_2024": {"data/train-00000-of-00001.parquet": aime},
        "opencompass/AIME2025": {"aime2025-I.jsonl": later[:1], "aime2025-II.jsonl": later[1:]},
        "Hothan/OlympiadBench": {
            "OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet": OLYMPIAD},
        "Idavidrein/gpqa": {"gpqa_diamond.csv": GPQA},
        "allenai/c4": {"en/c4-train.00000-of-01024.json.gz": text},
        "wikimedia/wikipedia": {"20231101.en/train-00000-of-00041.parquet": [
            {"id": str(k), "url": "u", "title": "t", "text": f"Article {k}."} for k in range(9)]},
        "mlfoundations/dclm-baseline-1.0": {
            "global-shard_01_of_10/local-shard_0_of_10/shard_00000000_processed.jsonl.zst": text},
    }  # fmt: skip


def paper_set(name: str, served: LocalHub, **changes: Any) -> ProblemSet:
    """A set of the paper's configuration, with the rows above at its commit."""
    found = registry()
    raw = {**(found["sources"] | found["benchmarks"])[name]["data"], **changes}
    data: ProblemSet = TypeAdapter(ProblemSet).validate_python(raw)
    for part in data.parts.values() if isinstance(data, PartsSet) else [data]:
        assert isinstance(part, HubSet)
        serve(served, part.repo, paper_rows()[part.repo], main=part.revision)
    return data


def by_question(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["question"]: row for row in table.iter_rows(named=True)}


def test_gsm8k_and_math_are_one_source_with_columns_of_their_own(served: LocalHub) -> None:
    table = by_question(load(paper_set("mathr", served))[0])
    assert len(table) == 2 + 4 + 5
    shoes, half = table["Six hundred pairs: how many shoes?"], table["What is $1/2$?"]
    assert (shoes["answer"], shoes["subject"], shoes["level"]) == ("1200", None, None)
    assert shoes["problem_id"] == "gsm8k/0000000"
    assert (half["answer"], half["subject"], half["level"]) == (
        r"\frac{1}{2}",
        "Algebra",
        "Level ?",
    )
    assert table["What is $1+1$?"]["answer"] == "2"
    assert half["problem_id"] == "math/0000001"
    assert half["solution"].startswith("First")


def test_a_zero_padded_answer_of_aime_is_a_number(served: LocalHub) -> None:
    table = load(paper_set("aime", served))[0]
    golds = dict(table.select("problem_id", "answer").iter_rows())
    assert golds == {
        "2024/67": "007",
        "2024/133": "073",
        "2025/0000000": "5",
        "2025/0000001": "960",
    }
    for gold, answer in (("007", "7"), ("073", "073"), ("073", "73"), ("960", "960")):
        assert judge(gold, answer, PRESETS["aime"]).verdict == "correct"
    assert judge("073", "730", PRESETS["aime"]).verdict == "wrong"


def test_integer_levels_are_texts(served: LocalHub) -> None:
    row = load(paper_set("math500", served))[0].row(0, named=True)
    assert (row["level"], row["problem_id"]) == ("5", "test/algebra/1.json")


def test_olympiadbench_has_lists_units_tolerances_and_context(served: LocalHub) -> None:
    table = load(paper_set("olympiadbench", served))[0]
    rows = {row["problem_id"]: row for row in table.iter_rows(named=True)}
    assert rows["7"]["question"] == "Let $x>0$.\n\nSolve."
    assert (rows["8"]["question"], rows["8"]["subject"]) == ("How long?", "Geometry")
    assert json.loads(rows["7"]["answer"]) == {"final_answer": ["$8$", "$2$"]}
    assert json.loads(rows["8"]["answer"]) == {
        "final_answer": ["2.5"],
        "unit": "m",
        "error": "1e-1",
    }


def test_options_are_permuted_by_seed_and_record_and_the_letter_follows(served: LocalHub) -> None:
    table = load(paper_set("gpqa", served))[0]
    again = load(paper_set("gpqa", served))[0]
    assert table.equals(again)
    for question, letter in table.select("question", "answer").iter_rows():
        head, _, options = question.partition("\n\n")
        lines = options.split("\n")
        assert head.endswith("in two lines?")
        assert [line[:3] for line in lines] == ["A) ", "B) ", "C) ", "D) "]
        # "yes" is there twice, the right one without its spaces: the letter is one of the two
        assert lines["ABCD".index(letter)][3:] == "yes"
        assert sorted(line[3:] for line in lines) == ["no", "perhaps", "yes", "yes"]
    assert len(Counter(table["answer"])) == 4
    other = load(paper_set("gpqa", served, options_seed=1))[0]
    assert set(other["problem_id"]) == set(table["problem_id"])
    assert not other["answer"].equals(table["answer"])
    swapped = [{**row, "Incorrect Answer 2": "also"} for row in GPQA]
    unique = paper_set("gpqa", served)
    assert isinstance(unique, HubSet)
    serve(served, "Idavidrein/gpqa", {"gpqa_diamond.csv": swapped}, main="e" * 40)
    moved = load(unique.model_copy(update={"revision": "e" * 40}))[0]
    assert moved["answer"].equals(table["answer"])  # whatever the options say
    for question, letter in moved.select("question", "answer").iter_rows():
        assert question.split("\n\n")[1].split("\n")["ABCD".index(letter)][3:] == "yes"


def test_an_empty_option_is_told_without_its_question(served: LocalHub) -> None:
    spec = paper_set("gpqa", served)
    assert isinstance(spec, HubSet)
    bad = [{**GPQA[0], "Incorrect Answer 3": " "}]
    serve(served, "Idavidrein/gpqa", {"gpqa_diamond.csv": bad}, main=spec.revision)
    with pytest.raises(
        TableError, match=r"'Incorrect Answer 3' of `options` is empty.*row 1 \('rec0'\)"
    ) as caught:
        load(spec)
    assert "two lines" not in str(caught.value)


def test_a_gated_set_says_how_to_get_access(served: LocalHub) -> None:
    spec = paper_set("gpqa", served)
    served.sets["Idavidrein/gpqa"].gated = True
    with pytest.raises(TableError, match=r"Accept their conditions at .*gpqa.*hf auth login"):
        load(spec)


def gsm8k(**changes: Any) -> HubSet:
    raw = {"repo": "openai/gsm8k", "revision": COMMIT, "files": ["main/train.parquet"],
           "question": "question", "answer": "answer", "answer_from": "after-hashes"}  # fmt: skip
    return HubSet.model_validate(raw | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repo": "openai/gsm9k"}, "no such data set"),
        ({"revision": "a" * 40}, "no such revision"),
        ({"files": ["main/test.parquet"]}, "no such file"),
        ({"question": "problem"}, r"main/train.parquet.*no column 'problem'"),
    ],
)
def test_what_the_hub_lacks_is_told(
    served: LocalHub, changes: dict[str, Any], message: str
) -> None:
    serve(served, "openai/gsm8k", {"main/train.parquet": GSM8K})
    with pytest.raises(TableError, match=message):
        load(gsm8k(**changes))


def test_a_pinned_set_in_the_cache_needs_no_network(
    served: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(served, "openai/gsm8k", {"main/train.parquet": GSM8K})
    table, _ = load(gsm8k())
    hub.fetch.cache_clear()
    served.sets.clear()
    served.asked.clear()
    assert load(gsm8k())[0].equals(table)
    assert served.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TableError, match=r"HF_HUB_OFFLINE is set.*hf download .*loader: file"):
        load(gsm8k(files=["main/test.parquet"]))


def test_a_hub_out_of_reach_is_told(served: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the library tries five times
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(served.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:9{template}")
    with pytest.raises(TableError, match="cannot be reached from here"):
        load(gsm8k())


def test_all_files_of_a_floating_revision_are_of_one_commit(served: LocalHub) -> None:
    names = ["main/a.parquet", "main/b.parquet"]
    serve(served, "openai/gsm8k", {name: GSM8K for name in names})
    spec = gsm8k(revision="main", files=names)
    assert len(load(spec)[0]) == 4
    assert commits(spec) == {"openai/gsm8k@main": COMMIT}
    heads = [(revision, file) for method, _, revision, file in served.asked if method == "HEAD"]
    assert heads == [("main", names[0]), (COMMIT, names[1])]


def test_a_revision_must_be_written_and_whole() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        HubSet.model_validate({"repo": "a/b", "files": ["x.csv"], "question": "q"})
    with pytest.raises(ValidationError, match="shortened commit"):
        gsm8k(revision="e53f048")
    assert gsm8k(revision="main").revision == "main"


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    paths = os.pathsep.join([str(ROOT / "workflow"), clean.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "ssgr", *arguments],
        env={**clean, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_fetches_through_the_environments_hub_and_records_the_commit(
    served: LocalHub, tmp_path: Path
) -> None:
    """As a user runs it: HF_ENDPOINT and HF_HOME, another process; then again offline."""
    serve(served, "openai/gsm8k", {"main/train.parquet": GSM8K})
    out = tmp_path / "problems.parquet"
    data = gsm8k(revision="main").model_dump_json()
    where = {"HF_ENDPOINT": served.url, "HF_HOME": str(tmp_path / "home")}
    done = run(["problems", "--data", data, "--out", str(out)], **where)
    assert done.returncode == 0, done.stderr
    assert f"openai/gsm8k@main is commit {COMMIT}" in done.stdout
    assert json.loads(read_spec(out))["commits"] == {"openai/gsm8k@main": COMMIT}
    first = out.read_bytes()
    offline = run(["problems", "--data", data, "--out", str(out)], **where, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert out.read_bytes() == first


def test_a_limit_takes_the_first_of_the_seeded_order_whatever_the_batches(
    served: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = [{"text": f"Page {k}.\u2028 The same line.", "url": f"u{k}"} for k in range(250)]
    name = "en/c4.json.gz"
    serve(served, "allenai/c4", {name: text})
    spec = HubSet(repo="allenai/c4", revision=COMMIT, files=[name], text="text", id="url")
    whole = load(spec)[0]
    assert len(Documents.validate(whole)) == 250
    monkeypatch.setattr("ssgr.problems.reading.ROWS", 16)
    monkeypatch.setattr("ssgr.problems.columns.ROWS", 16)
    assert load(spec)[0].equals(whole)
    for limit in (1, 40, 250, 1000):
        few = load(spec.model_copy(update={"limit": limit}))[0]
        assert few.equals(whole.head(limit))


UPSTREAM = {
    ("openai/gsm8k", "main/train-00000-of-00001.parquet"): "gsm8k/main/*.parquet",
    ("openai/gsm8k", "main/test-00000-of-00001.parquet"): "gsm8k/main/*.parquet",
    ("HuggingFaceH4/MATH-500", "test.jsonl"): "math500/test.jsonl",
    ("HuggingFaceH4/aime_2024", "data/train-00000-of-00001.parquet"):
        "hf-shapes/HuggingFaceH4__aime_2024.train.jsonl",
    ("opencompass/AIME2025", "aime2025-I.jsonl"): "hf-shapes/opencompass__AIME2025*.jsonl",
    ("opencompass/AIME2025", "aime2025-II.jsonl"): "hf-shapes/opencompass__AIME2025*.jsonl",
    ("Hothan/OlympiadBench", "OlympiadBench/OE_TO_maths_en_COMP/OE_TO_maths_en_COMP.parquet"):
        "hf-shapes/Hothan__OlympiadBench*.parquet",
    ("Idavidrein/gpqa", "gpqa_diamond.csv"): "gpqa/dataset/gpqa_diamond.csv",
    ("allenai/c4", "en/c4-train.00000-of-01024.json.gz"): "c4/en/*.json.gz",
    ("wikimedia/wikipedia", "20231101.en/train-00000-of-00041.parquet"):
        "wikipedia/20231101.en/*.parquet",
    ("mlfoundations/dclm-baseline-1.0",
     "global-shard_01_of_10/local-shard_0_of_10/shard_00000000_processed.jsonl.zst"):
        "dclm-baseline-1.0/*.jsonl.zst",
}  # fmt: skip


def upstream_file(raw: Path, repo: str, file: str) -> bytes:
    """A true upstream file of the samples; MATH is there problem by problem."""
    if repo == "EleutherAI/hendrycks_math":
        folder = raw / "MATH" / "train" / file.partition("/")[0]
        return packed(file, [json.loads(path.read_text()) for path in sorted(folder.iterdir())])
    (path,) = raw.glob(UPSTREAM[repo, file])
    data = path.read_bytes()
    return (
        packed(file, pl.read_ndjson(path).to_dicts()) if path.suffix != Path(file).suffix else data
    )


@pytest.mark.parametrize("true_rows", [False, True])
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for kind in ("sources", "benchmarks") for name in registry()[kind]],
)
def test_every_set_of_the_paper_loads(
    served: LocalHub, name: str, kind: str, true_rows: bool
) -> None:
    """From rows of our own, and from the upstream's where SSGR_SHARED_DATA names a folder."""
    folder = os.environ.get("SSGR_SHARED_DATA")
    if true_rows and not folder:
        pytest.skip("SSGR_SHARED_DATA is not set")
    data = paper_set(name, served)
    for part in data.parts.values() if isinstance(data, PartsSet) else [data]:
        assert isinstance(part, HubSet)
        assert re.fullmatch("[0-9a-f]{40}", part.revision)  # it is served as that commit
        if true_rows:
            raw = Path(str(folder)) / "raw"
            found = {file: upstream_file(raw, part.repo, file) for file in part.files}
            served.sets[part.repo] = DataSet(found, main=part.revision)
    table, schema = load(data)
    assert len(schema.validate(table)) > 0
    assert (schema is Problems) == data.has_answers == (not data.is_text)
    assert files(data) == []
    assert all(key.endswith(commit) for key, commit in commits(data).items())
    if schema is Problems:
        assert table["answer"].null_count() == 0
        conventions = PRESETS[registry()["benchmarks"].get(name, {}).get("conventions", "math")]
        for gold in table["answer"]:
            if not gold.startswith("{") and name != "gpqa":
                assert judge(gold, gold, conventions).verdict == "correct", (name, gold)
