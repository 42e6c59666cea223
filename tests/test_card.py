"""Model cards: what stands on one is what the checkpoint's files say; publishing adds scores."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import AutoModelForCausalLM

from experiment import point
from pruned_checkpoint import FUNNEL, PERPLEXITY, WARNINGS, calibration_set, front_matter, prune
from ssgr.__main__ import main
from ssgr.config import Model
from ssgr.errors import ReportError, TableError
from ssgr.pruning.names import SUMMARY
from ssgr.pruning.output.summary import BLOCKS, MATRICES, read_summary
from ssgr.publish.archive import pack
from ssgr.publish.cards.facts import Facts, Origin, facts_of, origin_of, scores_of
from ssgr.publish.cards.model import card, layers, publish, write_card
from ssgr.storage import tables

POINT = point("0.75", "median", "48x512-s0")
DENSE = point("none", "none", "none", source="none") + "/pruner=none/sparsity=0"
PRUNED = f"{POINT}/pruner=magnitude/sparsity=2-4"


@pytest.fixture(scope="module")
def results(abacus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    calibration = calibration_set(root / "calibration" / POINT)
    prune(abacus, root / "checkpoints" / PRUNED, "2-4", calibration=calibration)
    for place, benchmark, accuracy in [
        (PRUNED, "easy", 0.5), (PRUNED, "hard", 0.125), (DENSE, "easy", 0.75),
        (DENSE, "hard", 0.25), (PRUNED.replace("2-4", "50"), "easy", 0.99),
        (DENSE.replace("abacus", "other"), "easy", 0.98),
    ]:  # fmt: skip
        write_scores(root / "scores" / place / f"benchmark={benchmark}", accuracy)
    return root


def write_scores(folder: Path, accuracy: float) -> None:
    row = {"problems": 60, "responses": 240, "pass_at_1": accuracy, "standard_error": 0.0125,
           "mean_tokens": 321.4, "truncated": 0.05, "with_thinking": 1.0,
           "timed_out": 0}  # fmt: skip
    tables.write(pl.DataFrame([row]), tables.Scores, folder / "scores.parquet")


@pytest.fixture(scope="module")
def checkpoint(results: Path) -> Path:
    return results / "checkpoints" / PRUNED


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


@pytest.fixture(scope="module")
def facts(checkpoint: Path) -> Facts:
    return facts_of(checkpoint)


@pytest.fixture(scope="module")
def text(facts: Facts) -> str:
    return card(facts)


def table(text: str, header: str) -> list[list[str]]:
    """The rows of the Markdown table whose first line begins so."""
    lines = text[text.index(header) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_front_matter_is_what_the_hub_reads(text: str) -> None:
    assert front_matter(text) == {
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["pruned", "sparse", "magnitude", "2:4", "ssgr"],
    }
    assert yaml.safe_load(ModelCard(text).data.to_yaml()) == front_matter(text)


def test_a_model_of_the_hub_is_the_base_model(
    checkpoint: Path, facts: Facts, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# its card\n")
    origin = origin_of(Model(path="some-org/Some-7B"), tmp_path, None, checkpoint)
    assert origin["dense"] == {"name": "some-org/Some-7B", "hub": "some-org/Some-7B",
                               "license": "mit"}  # fmt: skip
    written = card(replace(facts, origin=Origin.model_validate(origin)))
    assert front_matter(written)["base_model"] == "some-org/Some-7B"
    assert front_matter(written)["license"] == "mit"
    assert "[some-org/Some-7B](https://huggingface.co/some-org/Some-7B)" in written
    assert "without calibration data" in written


@pytest.mark.parametrize(
    "dense",
    [None, "", "# no front matter", "---\n- a list\n---\n", "---\nlicense: [mit, x]\n---\n"],
)
def test_a_license_that_is_not_said_is_left_out(dense: str | None, tmp_path: Path) -> None:
    if dense is not None:
        (tmp_path / "README.md").write_text(dense)
    origin = origin_of(Model(path=str(tmp_path)), tmp_path, None, tmp_path / "out")
    assert origin == {"dense": {"name": tmp_path.name, "hub": None, "license": None},
                      "calibrated": None, "keys": {}}  # fmt: skip


def test_it_says_where_the_checkpoint_comes_from(text: str) -> None:
    keys = dict(table(text, "| | |"))
    assert keys == {"dense model": "abacus", "source": "stories", "tau": "0.75",
                    "length": "median", "budget": "48x512-s0", "pruner": "magnitude",
                    "sparsity": "2:4", "device": "cpu"}  # fmt: skip
    recipe = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert recipe == {"method": "magnitude", "allocation": "uniform"}
    steps = table(text, "| step |")
    assert [(step, int(p.replace(",", "")), int(r.replace(",", ""))) for step, p, r in steps] == [
        *FUNNEL
    ]
    assert "48 sequences\n(2,232 tokens)" in text
    assert "Made with ssgr 0.1.0, torch 2.9.1." in text
    assert "arXiv:2511.18864" in text


def test_it_says_what_pruning_did(text: str, checkpoint: Path) -> None:
    assert f"({PERPLEXITY['tokens']:,} tokens): 1.31 dense, **1.75** pruned" in text
    assert f"- {WARNINGS[0]}\n" in text
    report = pl.read_parquet(checkpoint / MATRICES)
    rows = table(text, "| block | matrix |")
    assert [[row[0], row[1]] for row in rows] == [
        [str(block), matrix.removeprefix(f"model.layers.{block}.")]
        for block, matrix in report.select("block", "matrix").iter_rows()
    ]
    assert {(*row[3:],) for row in rows} == {("50.00", "1.25", "1,230", "0.01", "0")}
    assert [row[:2] for row in table(text, "| block | error")] == [
        [str(block), str(2 * (block + 1))] for block in range(4)
    ]


def test_shares_are_of_the_weights_in_the_files(facts: Facts, text: str, checkpoint: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    weights = sum(parameter.numel() for parameter in model.parameters())
    zeros = sum(int((parameter == 0).sum()) for parameter in model.parameters())
    assert facts.weights == weights
    assert "with 50.00 % of the weights in its decoder blocks" in text
    assert f"({100 * zeros / weights:.1f} % of all its weights" in text


def test_the_archive_is_as_large_as_it_says(facts: Facts, checkpoint: Path, tmp_path: Path) -> None:
    sizes = pack(checkpoint, tmp_path / "archive")
    assert facts.packed == pytest.approx(sizes.packed, rel=0.01)
    assert facts.bytes == (checkpoint / "model.safetensors").stat().st_size


def test_kernels_are_offered_for_24_alone(facts: Facts, text: str) -> None:
    assert "to_semi_structured(model)" in text
    other = facts.summary.model_copy(update={"sparsity": "50", "perplexity": None, "warnings": []})
    plain = card(replace(facts, summary=other))
    assert "to_semi_structured" not in plain
    assert "# abacus, pruned to 50 % by Magnitude" in plain
    assert "Perplexity" not in plain
    assert "Warnings" not in plain


def test_experts_of_a_block_are_one_row() -> None:
    names = [f"model.layers.1.mlp.experts.{e}.up_proj" for e in range(3)] + [
        "model.layers.1.self_attn.q_proj"
    ]
    rows: list[dict[str, Any]] = [
        {"block": 1, "matrix": name, "rows": 8, "columns": 4, "achieved_sparsity": 0.5 + 0.1 * at,
         "relative_error": 0.1 * at, "seconds": 0.1, "condition": 10.0 + at, "damping": 0.01,
         "dead_inputs": at, "tokens": 5, "warnings": "few tokens" if at == 1 else ""}
        for at, name in enumerate(names)
    ]  # fmt: skip
    folded = layers(pl.DataFrame(rows)).to_dicts()
    assert [row["matrix"] for row in folded] == ["mlp.experts.*.up_proj", "self_attn.q_proj"]
    experts = folded[0]
    assert (experts["count"], experts["dead_inputs"], experts["warnings"]) == (3, 3, 1)
    assert experts["achieved_sparsity"] == pytest.approx(0.6)
    assert (experts["relative_error"], experts["condition"]) == (pytest.approx(0.1), 12.0)


def test_warnings_of_matrices_are_listed_up_to_fifty(facts: Facts) -> None:
    many = pl.concat([facts.matrices.with_columns(warnings=pl.lit("was | odd"))] * 2)
    text = card(replace(facts, matrices=many))
    assert "<summary>Warnings: 56 of 56 matrices</summary>" in text
    assert text.count(": was | odd\n") == 50
    assert "- and 6 more" in text


def test_a_card_is_written_whole_and_replaces_an_older_one(copy: Path) -> None:
    (copy / "README.md").write_text("old")
    before = {path.name for path in copy.iterdir()}
    write_card(copy)
    assert front_matter((copy / "README.md").read_text())["license"] == "apache-2.0"
    assert {path.name for path in copy.iterdir()} == before


@pytest.mark.parametrize("spec", ["{}", '{"prune": {}}', ""])
def test_a_checkpoint_that_does_not_say_its_origin_is_named(copy: Path, spec: str) -> None:
    said = json.loads((copy / SUMMARY).read_text())
    (copy / SUMMARY).write_text(json.dumps(said | {"spec": spec}))
    with pytest.raises(TableError, match=re.escape(str(copy / SUMMARY))):
        write_card(copy)
    assert not (copy / "README.md").exists()


def test_scores_are_the_checkpoints_and_its_dense_models(results: Path, checkpoint: Path) -> None:
    keys = facts_of(checkpoint).origin.keys
    found = scores_of(results / "scores", keys)
    assert found.select("benchmark", "dense", "pass_at_1").rows() == [
        ("easy", False, 0.5), ("easy", True, 0.75), ("hard", False, 0.125), ("hard", True, 0.25),
    ]  # fmt: skip
    rows = table(card(facts_of(checkpoint, found)), "| benchmark |")
    assert rows == [
        ["easy", "60", "75.0 ± 2.5", "50.0 ± 2.5", "321", "321", "5.0"],
        ["hard", "60", "25.0 ± 2.5", "12.5 ± 2.5", "321", "321", "5.0"],
    ]
    with pytest.raises(ReportError, match="pruner=wanda"):
        scores_of(results / "scores", keys | {"pruner": "wanda"})
    with pytest.raises(ReportError, match="not made by the workflow"):
        scores_of(results / "scores", {"model": "abacus"})


def test_publishing_links_the_weights_and_adds_the_scores(
    results: Path, checkpoint: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in checkpoint.iterdir()}
    out = tmp_path / "published"
    flags = [str(checkpoint), str(out), "--scores", str(results / "scores")]
    assert main(["publish", *flags]) == 0
    assert {path: path.stat().st_mtime_ns for path in checkpoint.iterdir()} == before
    assert os.path.samefile(out / "model.safetensors", checkpoint / "model.safetensors")
    assert {path.name for path in out.iterdir()} == {
        "README.md", *(path.name for path in checkpoint.iterdir())}  # fmt: skip
    assert "| easy | 60 |" in (out / "README.md").read_text()
    said, before_it = read_summary(out), read_summary(checkpoint)
    assert said == before_it.model_copy(update={"spec": said.spec})
    assert {*before_it.spec} == {"prune", *said.spec}
    AutoModelForCausalLM.from_pretrained(out)
    assert main(["publish", *flags]) == 1  # it is there


def test_what_is_published_names_no_folder_of_this_machine(
    checkpoint: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    spec = {"prune": {"calibration": "/home/somebody/secret.parquet"}}
    said = json.loads((folder / SUMMARY).read_text())
    said["spec"] = json.loads(said["spec"]) | spec
    (folder / SUMMARY).write_text(json.dumps(said))
    for name, schema in ((MATRICES, tables.PruningReport), (BLOCKS, tables.BlockReport)):
        table = tables.read(folder / name, schema)
        tables.write(table, schema, folder / name, json.dumps(spec))
    publish(folder, tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert b"somebody" not in file.read_bytes(), file
        assert str(tmp_path).encode() not in file.read_bytes(), file
    assert b"somebody" in (folder / BLOCKS).read_bytes()


def test_publishing_without_scores_or_with_others(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(checkpoint), str(tmp_path / "plain")]) == 0
    assert "## Scores" not in (tmp_path / "plain/README.md").read_text()
    (tmp_path / "empty").mkdir()
    flags = [str(checkpoint), str(tmp_path / "out"), "--scores", str(tmp_path / "empty")]
    assert main(["publish", *flags]) == 1
    assert "holds no scores.parquet of model=abacus" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_examples_on_the_card_are_python(text: str) -> None:
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        compile(re.sub(r"^  ", "", example, flags=re.MULTILINE), "card", "exec")
