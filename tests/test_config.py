"""The configuration: what is refused, how it is said, and that the shipped one is right."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from conftest import changed
from ssgr.config import Calibration, Pool, Sampling
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ConfigError
from ssgr.jobs.grid import points
from ssgr.jobs.validation import load_config
from ssgr.jobs.waves import is_last, shards


@pytest.fixture
def raw(root: Path) -> dict[str, Any]:
    """The shipped configuration, to be spoilt."""
    return dict(yaml.safe_load((root / "config" / "config.yaml").read_text()))


def mistakes(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(raw)
    return str(error.value)


def test_the_shipped_configuration_is_the_papers_main_table(raw: dict[str, Any]) -> None:
    table = points(load_config(raw))
    assert table["label"].to_list() == ["Dense"] + ["C4", "MathR", "SGR", "SSGR"] * 2
    assert table.filter(label="SSGR")["tau"].unique().to_list() == ["0.75"]
    assert len(raw["benchmarks"]) >= 4
    assert sum(entry["data"]["count"] for entry in raw["benchmarks"].values()) >= 200


def test_every_mistake_is_listed_with_its_place_and_the_nearest_name(raw: dict[str, Any]) -> None:
    changes = {
        "run.pruners": ["sparsgpt"],
        "run.sparsities": ["5:4", 150],
        "run.models": ["abacsu"],
        "sampling.temprature": 0.6,
        "calibrations.SGR.tau": 1.5,
        "calibrations.C4.source": "pros",
        "calibrations.MathR.length": "solutions",
        "benchmarks.mine": {"data": {"loader": "file", "path": "x", "question": "q"}},
        "modles": {},
    }
    message = mistakes(changed(raw, changes))
    for said in (
        "the configuration has 11 mistakes",
        "run.pruners: unknown pruner 'sparsgpt' (did you mean 'sparsegpt'?)",
        "run.sparsities.0: sparsity '5:4': N:M needs 0 < N < M",
        "run.sparsities.1: sparsity '150': expected a percentage below 100",
        "run.models: unknown model 'abacsu' (did you mean 'abacus'?)",
        "sampling.temprature: unknown key (did you mean 'temperature'?)",
        "calibrations.SGR.tau: tau 1.5: expected 0..1",
        "calibrations.C4.source: unknown source 'pros' (did you mean 'prose'?)",
        "calibrations.MathR.length: unknown length rule 'solutions' (did you mean 'solution'?)",
        "benchmarks.mine.data: has no `answer` column",
        "modles: unknown key (did you mean 'models'?)",
    ):
        assert said in message


def column(**entry: object) -> dict[str, object]:
    """A change: a calibration called Column."""
    return {"calibrations.Column": {"source": "stories", "length": "median", "tau": 0.75} | entry}


HUB = {"loader": "hub", "repo": "o/n", "revision": "main", "files": ["a.csv"], "question": "q",
       "answer": "a"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        # calibrations
        (column(source="prose"), "holds plain text"),
        (column(length="text", tau=None), "holds problems"),
        (column(tau=None), "needs a tau"),
        (column(length="solution"), "tau has no meaning"),
        (column(tau="0.9..0.1"), "from low to high"),
        (column(tau=True), "tau"),
        (column(tau=0.755), "at most two decimals"),
        (column(tau=60), "(did you mean 0.6?)"),
        (column(tau=[0.5, 2]), "tau 2"),
        (column(tau=[0.5], tokens=[16]), "only one may be"),
        (column(tokens=[16, 32], label=["one"]), "label has 1 values, tokens 2"),
        ({"calibrations.Mine": {"length": "median", "tau": 0.5}}, "Mine.source: is missing"),
        ({"calibrations.Mine": None}, "calibrations.Mine: is empty (null): expected an entry with "
         "keys: source, tau, length"),
        ({"calibrations.Mine": "SSGR"}, "calibrations.Mine: expected an entry with keys: source"),
        # models
        ({"models.abacus.path": "/no/such/folder"}, "models.abacus: path '/no/such/folder'"),
        ({"models.abacus.batchsize": 3}, "models.abacus.batchsize: unknown key"),
        ({"models.abacus.prompt": "Hi"}, "models.abacus: prompt must contain {question}"),
        ({"models.abacus.engine": "vlm"}, "unknown engine 'vlm' (did you mean 'vllm'?)"),
        ({"models.abacus.engine": "vLLM"}, "(did you mean 'vllm'?)"),
        ({"models.abacus.memory_share": 85}, "less than or equal to 1 (did you mean 0.85?)"),
        ({"models.abacus.dtype": "fp16"}, "(did you mean 'float16'?), not 'fp16'"),
        ({"models.abacus.gpu": True}, "gpu: expected a number, not true"),
        ({"models.abacus.revision": 20260101}, "(did you mean '20260101', in quotes?)"),
        ({"models.abacus.revision": "1a2b3c4"}, "is a shortened commit"),
        ({"models.my model": {"path": "a/b"}}, "(did you mean 'my-model'?)"),
        ({"models.m": {"path": "a/model.safetensors"}}, "is a file: name its folder, 'a'"),
        # sources and benchmarks
        ({"sources": None}, "sources: is empty (null)"),
        ({"sources.stories.solution_template": "{question}"}, "must contain {solution}"),
        ({"sources.none": {"data": {"loader": "file", "path": "x", "text": "t"}}},
         "'none' is taken"),
        ({"sources.s": {"data": {"loader": "file", "path": "x.csv", "question": "q",
          "where": {"split": None}}}}, "has 1 mistake:\n  - sources.s.data.where.split: is empty"),
        ({"benchmarks": ["easy"]}, "benchmarks: expected an entry with keys, not a list"),
        ({"benchmarks.b": {"data": {"path": "x.csv"}}}, "benchmarks.b.data: expected loader: "
         "abacus, file, hub, parts; it has none"),
        ({"benchmarks.b": {"data": {"loader": "fiel"}}}, "(did you mean 'file'?)"),
        ({"benchmarks.b": {"data": HUB | {"repo": "https://hub.example/datasets/o/n"}}},
         "expected owner/name (did you mean 'o/n'?)"),
        ({"benchmarks.b": {"data": HUB | {"files": ["*.csv"]}}}, "is a glob"),
        # what is run
        ({"run.benchmarks": []}, "run.benchmarks"),
        ({"run.pruners": "wanda"}, "run.pruners: expected a list, as in [a, b] (did you mean "
         "[wanda]?)"),
        ({"run.pruners": []}, "run.pruners: is empty: expected at least one entry"),
        ({"run.pruners": ["wanda", "alps", "wanda"]}, "run.pruners: 'wanda' stands twice"),
        ({"run.sparsities": ["2:4", "2-4"]}, "run.sparsities: '2-4' stands twice"),
        ({"run.sparsities": yaml.safe_load("[2:4]")}, "write 2-4 or '2:4'"),  # a number of YAML's
        ({"experiments": {"run": {"title": "t"}}}, "experiments.run: the name is the run's own"),
        ({"keep_experiments": ["yours"]}, "keep_experiments: unknown experiment 'yours'"),
        ({"target": "papers"}, "target: expected 'report' or 'paper' (did you mean 'paper'?)"),
        # recipes
        ({"pruners.one": {"method": "sparsgpt"}}, "pruners.one.method: unknown pruner 'sparsgpt' "
         "(did you mean 'sparsegpt'?)"),
        ({"pruners.one": {"method": "wanda", "allocation": "own"}}, "pruners.one.allocation: "
         "unknown allocation 'own' (did you mean 'owl'?)"),
        ({"pruners.one": {"allocation": "owl"}}, "pruners.one.method: is missing"),
        ({"pruners.one": {"method": "alps", "search": {"method": "wander"}}},
         "pruners.one.search.method: unknown pruner 'wander' (did you mean 'wanda'?)"),
        ({"pruners.one": {"method": "wanda", "allocation": "owl"}, "run.pruners": ["one"],
          "run.sparsities": ["2:4", 50]},
         "'one' spreads sparsity unevenly (allocation: owl), which the pattern 2-4"),
        # the rest
        ({"pool.wave": 0}, "pool.wave"),
        ({"sampling.temperature": 0.655}, "more than two decimals"),
        ({"sampling.temperature": "warm"}, "sampling.temperature: expected a number, not"),
        ({"sampling.max_tokens": "16k"}, "sampling.max_tokens: expected a whole number"),
        ({"results": ""}, "results: is empty: name a folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_in_words(
    raw: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    message = mistakes(changed(raw, changes))
    assert said in message
    for jargon in ("Input should", "valid dictionary", "discriminator", "pattern '", "List should"):
        assert jargon not in message
    assert message.count("\n") < 6  # nothing follows from it that is no mistake of its own


def test_the_median_of_thinking_needs_every_response(raw: dict[str, Any]) -> None:
    raw["filters"]["min_thinking_share"] = 0.5
    said = mistakes(raw)
    assert "has 1 mistake:\n  - filters.min_thinking_share compares with the median" in said
    assert "set sampling.early_stop: false" in said
    del raw["sampling"]["early_stop"]  # it is on unless it is turned off
    assert "filters.min_thinking_share compares" in mistakes(raw)
    raw["sampling"]["early_stop"] = False
    assert load_config(raw).filters.min_thinking_share == 0.5


@pytest.mark.parametrize("shape", [None, [], 3, "x", {"run": None}, {"run": {"models": 3}}])
def test_any_shape_is_answered_by_a_message(shape: Any) -> None:
    raw = shape if isinstance(shape, dict) else {"models": shape, "calibrations": shape}
    assert "is missing" in mistakes(raw)


@pytest.mark.parametrize(
    "server",
    [
        "https://me:hush@host/v1",
        {"urls": "https://me:hush@host/v1"},
        {"urls": ["https://me:hush@host/v1"]},
        {"url": "https://me:hush@host/v1"},
    ],
)
def test_no_mistake_shows_what_may_be_a_password(raw: dict[str, Any], server: object) -> None:
    entry = {"path": "o/n", "engine": "server", "server": server}
    said = mistakes(changed(raw, {"models.served": entry}))
    assert "models.served.server" in said and "hush" not in said


def test_keys_spell_what_they_stand_for() -> None:
    sampling = Sampling(n=16, temperature=0.6, top_p=0.95, max_tokens=32768, seed=0)
    assert sampling.key == "n16-t0.60-p0.95-l32768-s0"
    with pytest.raises(ValueError, match="two decimals"):
        Sampling(n=1, temperature=0.655, top_p=1, max_tokens=1, seed=0)
    for tau, key in ((0.75, "0.75"), (1, "1.00"), ("0.5..0.99", "0.50..0.99")):
        entry = Calibration.model_validate({"source": "s", "tau": tau, "length": "median"})
        assert entry.tau == key


def test_sparsity_patterns() -> None:
    assert Sparsity.parse("2:4") == Sparsity.parse("2-4") == Sparsity(0.5, 2, 4)
    assert Sparsity.parse(62.5) == Sparsity(0.625)
    for text in ("50", "62.5", "4-8", "0"):
        assert Sparsity.parse(text).key == text
    for bad in ("5:4", "0:4", "4:4", "150", "100", "-3", "half", "", "."):
        with pytest.raises(ConfigError):
            Sparsity.parse(bad)


@pytest.mark.parametrize(
    ("written", "meant"),
    [(0.5, "50"), (".7", "70"), ("0.625", "62.5"), ("60%", "60"), ("4/8", "'4:8'"), (0.01, "1")],
)
def test_a_sparsity_in_another_unit_is_no_percentage(written: str | float, meant: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"(did you mean {meant}?)")):
        Sparsity.parse(written)


def test_waves_are_whole_shards_and_do_not_change_as_the_pool_grows() -> None:
    pool = Pool(shard_size=80, wave=2)
    assert shards(pool, 0) == ["000000-000080", "000080-000160"]
    assert shards(pool, 1) == ["000160-000240", "000240-000320"]
    capped = pool.model_copy(update={"problems": 170})
    assert shards(capped, 1) == ["000160-000240"]
    assert shards(capped, 2) == []
    assert [is_last(capped, k, 1000) for k in (0, 1)] == [False, True]
    assert [is_last(pool, k, 320) for k in (0, 1)] == [False, True]
    assert [is_last(pool, k, 321) for k in (1, 2)] == [False, True]


def test_a_pruner_without_statistics_has_one_checkpoint(raw: dict[str, Any]) -> None:
    raw["run"]["pruners"] = ["magnitude", "wanda"]
    table = points(load_config(raw))
    assert table.filter(pruner="magnitude").rows() == [
        ("no calibration", "abacus", *["none"] * 7, "magnitude", "40")
    ]
    assert len(table.filter(pruner="wanda")) == 4


def test_recipes_say_what_differs_from_the_constants(raw: dict[str, Any]) -> None:
    raw["pruning"] = {"damping": 0.05, "objective": {"token_weight": 2.0}}
    raw["pruners"] = {
        "careful": {"method": "sparsegpt", "objective": {"tokens": "thinking"}, "allocation": "owl"}
    }
    raw["run"]["pruners"] = ["careful", "wanda"]
    config = load_config(raw)
    careful, wanda = config.recipe("careful"), config.recipe("wanda")
    assert (careful.method, careful.allocation, careful.damping) == ("sparsegpt", "owl", 0.05)
    assert (careful.objective.tokens, careful.objective.token_weight) == ("thinking", 2.0)
    assert (wanda.method, wanda.allocation, wanda.objective.tokens) == ("wanda", "uniform", "all")
    assert set(points(config)["pruner"]) == {"none", "careful", "wanda"}


@pytest.mark.parametrize("more", [{"allocation": "owl"}, {"objective": {"target": "dense-output"}}])
def test_a_recipe_that_looks_at_text_needs_a_calibration(
    more: dict[str, Any], raw: dict[str, Any]
) -> None:
    raw["pruners"] = {"looking": {"method": "magnitude", **more}}
    raw["run"]["pruners"] = ["looking"]
    assert len(points(load_config(raw)).filter(pruner="looking")) == 4


def test_the_readmes_own_model_is_a_valid_configuration(raw: dict[str, Any], root: Path) -> None:
    """Merged onto the shipped file as Snakemake does it."""
    example = (root / "README.md").read_text().partition("# mine.yaml\n")[2].partition("```")[0]
    update_config(raw, yaml.safe_load((root / "config" / "paper.yaml").read_text()))
    update_config(raw, yaml.safe_load(example))
    config = load_config(raw)
    assert config.run.models == config.selection("table2").models == ["mine"]
    assert not {"table5", "table8"} & set(config.experiments)
    assert {entry.source for entry in config.run_calibrations.values()} == {"mathr", "c4"}
    assert config.budget.key == "128x16384-s0"


def test_a_list_of_values_is_a_calibration_of_each(raw: dict[str, Any]) -> None:
    more = {
        "run.calibrations": ["C4", "Column"],
        "experiments": {"one": {"title": "One", "calibrations": ["Column"]}},
    }
    made = load_config(changed(raw, column(tau=[0.5, 1, "0.50..0.99"]) | more))
    names = ["Column-0.50", "Column-1.00", "Column-0.50..0.99"]
    assert made.run.calibrations == ["C4", *names]
    assert made.experiments["one"].calibrations == names
    columns = [made.calibrations[name] for name in names]
    assert [one.label for one in columns] == ["0.5", "1", "0.50..0.99"]
    assert [one.tau for one in columns] == ["0.50", "1.00", "0.50..0.99"]

    named = {"tokens": [16, 32], "role": ["0.5k", "1k"], "label": ["short", "long"]}
    made = load_config(changed(raw, column(**named) | more))
    columns = [made.calibrations[name] for name in ("Column-16", "Column-32")]
    said = [(one.tokens, one.role, one.label) for one in columns]
    assert said == [(16, "0.5k", "short"), (32, "1k", "long")]


def test_inherited_experiments_may_be_left_out(raw: dict[str, Any]) -> None:
    raw["experiments"]["mine"] = {"title": "Mine", "calibrations": ["SSGR"]}
    assert list(load_config(raw | {"keep_experiments": ["mine"]}).experiments) == ["mine"]
    assert load_config(raw | {"keep_experiments": []}).experiments == {}
