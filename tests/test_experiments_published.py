"""The paper's numbers: typed in rightly, and matched to what plays their part."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from ssgr.config import Config
from ssgr.errors import ReportError, TableError
from ssgr.jobs.validation import load_config
from ssgr.report.tables.conditions import Condition, conditions
from ssgr.report.tables.published import AVERAGE, DEFAULT, Matcher, read_published, spelled
from synthetic_experiments import BASE, EXPERIMENTS, paper_config

QWEN, LLAMA = "DeepSeek-R1-Distill-Qwen-7B", "DeepSeek-R1-Distill-Llama-8B"
ROW = ["exhibit", "model", "pruner", "sparsity", "calibration"]
SMALL = "exhibit,model,pruner,sparsity,calibration,benchmark,measure,value\n"


def exhibits() -> pl.DataFrame:
    return pl.concat(read_published(f"table{number}") for number in range(1, 9))


def number(exhibit: str, calibration: str, benchmark: str, **keys: str) -> float:
    found = read_published(exhibit).filter(calibration=calibration, benchmark=benchmark, **keys)
    return float(found["value"].item())


def test_every_row_of_every_table_is_there() -> None:
    rows = {1: 6, 2: 18, 3: 6, 4: 3, 5: 4, 6: 6, 7: 4, 8: 2}
    wide = {1: 4, 2: 6, 3: 6, 4: 7, 5: 6, 6: 1, 7: 1, 8: 6}
    for table, count in rows.items():
        found = read_published(f"table{table}")
        assert found.select(ROW).n_unique() == count
        assert len(found) == count * wide[table]


def test_each_average_is_the_mean_of_its_row() -> None:
    """All of the paper's averages agree with their rows; none had to be excepted."""
    numbers = exhibits().filter(measure="pass@1")
    single = (
        numbers.filter(pl.col("benchmark") != AVERAGE).group_by(ROW).agg(pl.col("value").mean())
    )
    both = single.join(numbers.filter(benchmark=AVERAGE), on=ROW, suffix="_printed")
    assert len(both) == 39  # rows with benchmarks and an average: all but those of Tables 6 and 7
    gap = (both["value"] - both["value_printed"]).abs()
    assert gap.max() <= 0.05 + 1e-9  # type: ignore[operator]


def test_rows_that_stand_in_several_tables_agree() -> None:
    of_qwen = {"model": QWEN, "pruner": "sparsegpt"}
    for benchmark in ("GSM8K", "MATH500", "AIME", "OlympiadBench", "GPQA", AVERAGE):
        for calibration in ("C4", "MathR", "SGR"):
            twice = number("table2", calibration, benchmark, **of_qwen)
            assert number("table3", calibration, benchmark) == twice
        ssgr = number("table2", "SSGR", benchmark, **of_qwen)
        assert number("table8", QWEN, benchmark) == ssgr
    assert number("table6", "16k", AVERAGE) == number("table7", "0.75", AVERAGE) == 62.0
    assert number("table1", "True Sample", "AIME") == number("table1", "Random", "AIME")


def test_what_the_text_says_of_the_numbers() -> None:
    """Differences that the paper spells out in its sections 3, 5 and appendix C."""

    def gap(exhibit: str, one: str, other: str, benchmark: str, **keys: str) -> float:
        first, second = (number(exhibit, each, benchmark, **keys) for each in (one, other))
        return round(first - second, 1)

    assert gap("table3", "C4", "Wikipedia", AVERAGE) == 5.6
    assert gap("table3", "C4", "MathR", "GPQA") == 2.2
    assert gap("table3", "MathR", "C4", "MATH500") == 8.4
    assert gap("table3", "MathR", "DCLM", "AIME") == 7.1
    assert gap("table4", "Hard", "Easy", "AIME") == 6.3
    assert gap("table4", "Hard", "Easy", "GPQA") == 8.6
    assert gap("table1", "Medium", "Short", AVERAGE) == 2.6
    assert gap("table1", "Medium", "Long", AVERAGE) == 1.8
    assert gap("table2", "SSGR", "SGR", AVERAGE, model=QWEN, pruner="sparsegpt") == 1.9
    assert gap("table2", "SSGR", "SGR", AVERAGE, model=QWEN, pruner="wanda") == 1.4
    assert gap("table2", "SSGR", "C4", AVERAGE, model=LLAMA, pruner="sparsegpt") == 13.6
    assert gap("table2", "SSGR", "C4", AVERAGE, model=LLAMA, pruner="wanda") == 8.4
    dense = number("table2", "Dense", AVERAGE, model=LLAMA)
    pruned = number("table2", "SSGR", AVERAGE, model=LLAMA, pruner="sparsegpt")
    assert round(dense - pruned, 1) == 15.2
    assert gap("table8", QWEN, "Qwen3-14B", "GPQA") == 10.1


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("SGR without thinking", "SGR w/o thinking"), ("gpqa diamond", "GPQA Diamond"),
     ("0.50", "0.5"), ("1.00", "1"), ("0.5K", "0.5k"), ("olympiad-bench", "OlympiadBench")],
)  # fmt: skip
def test_spelling_does_not_matter(ours: str, theirs: str) -> None:
    assert spelled(ours) == spelled(theirs)


def test_other_numbers_are_others() -> None:
    assert len({spelled(name) for name in ("0.5", "0.5k", "5", "0.05", "50")}) == 5


def config_with(**changes: Any) -> Config:
    """The base config with experiments["mine"], run on abacus at 40 %, and other changes."""
    mine = {"title": "Mine", "published": "table2", "models": ["abacus"], "sparsities": [40],
            "calibrations": ["C4", "SSGR"]}  # fmt: skip
    experiment = mine | changes.pop("experiment", {})
    return paper_config(Path("results"), experiments=EXPERIMENTS | {"mine": experiment}, **changes)


def found(config: Config, name: str, label: str, benchmark: str, **keys: str) -> float | None:
    matcher = Matcher(config, name)
    (condition,) = [
        each for each in conditions(config, name) if each.label == label and _is_at(each, keys)
    ]
    match = matcher.find(condition, benchmark, "pass@1")
    return match.value if match else None


def _is_at(condition: Condition, keys: dict[str, str]) -> bool:
    return all(getattr(condition, key) == value for key, value in keys.items())


def test_a_model_is_known_by_its_path_and_a_stand_in_by_its_role() -> None:
    config = paper_config(Path("results"))
    keys = {"model": "llama-8b", "pruner": "wanda"}
    assert found(config, "table2", "SSGR", "gpqa", **keys) == 10.9
    assert found(config, "table2", "Dense", "gpqa", model="qwen-7b") == 40.8
    config = config_with()
    assert found(config, "mine", "SSGR", "gpqa") == 38.8  # though ours is at 40 %, theirs at 50 %
    assert found(config, "mine", "Dense", "gpqa") == 40.8


def test_with_several_sparsities_only_the_published_one_has_a_number() -> None:
    config = config_with(experiment={"sparsities": [40, 50]})
    assert found(config, "mine", "SSGR", "gpqa", sparsity="50") == 38.8
    assert found(config, "mine", "SSGR", "gpqa", sparsity="40") is None


def test_a_benchmark_is_known_by_its_role() -> None:
    benchmarks = {"choice": BASE["benchmarks"]["gpqa"] | {"label": "Choice", "role": "GPQA"}}
    assert found(config_with(benchmarks=benchmarks), "mine", "SSGR", "choice") == 38.8


def test_another_method_has_no_number_but_a_recipe_of_the_same_has() -> None:
    recipes = {"mine": {"method": "sparsegpt", "damping": 0.1}, "other": {"method": "admm"}}
    config = config_with(experiment={"pruners": ["mine", "other"]}, pruners=recipes)
    assert found(config, "mine", "SSGR", "gpqa", pruner="mine") == 38.8
    assert found(config, "mine", "SSGR", "gpqa", pruner="other") is None


def test_a_calibration_is_known_by_label_by_role_or_by_who_generated_it() -> None:
    config = paper_config(Path("results"))
    assert found(config, "table4", "Medium", "aime") == 35.4
    assert found(config, "table3", "SGR w/o thinking", "gpqa") == 25.6
    assert found(config, "table6", "0.5k", AVERAGE) == 60.0
    assert found(config, "table7", "1", AVERAGE) == 60.3
    assert found(config, "table8", "By-itself", "gpqa") == 38.8
    assert found(config, "table8", "By-other", "gpqa") == 28.7
    entries = BASE["calibrations"] | {"Short": {"source": "stories", "tau": 0.75,
              "length": "median", "tokens": 64, "role": "2k"}}  # fmt: skip
    changed = config_with(
        experiment={"calibrations": ["Short"], "published": "table6"}, calibrations=entries
    )
    assert found(changed, "mine", "Short", AVERAGE) == 60.8


@pytest.mark.parametrize("table", range(1, 9))
def test_every_number_of_the_paper_has_its_place_in_the_papers_configuration(table: int) -> None:
    config, name = the_papers_config(), f"table{table}"
    matcher, experiment = Matcher(config, name), config.experiments[name]
    places = [(benchmark, "pass@1") for benchmark in [*config.selection(name).benchmarks, AVERAGE]]
    places += [("none", measure) for measure in experiment.beside]
    matches = [
        matcher.find(condition, *place)
        for condition in conditions(config, name)
        for place in places
    ]
    values = sorted(match.value for match in matches if match)
    assert values == sorted(read_published(name)["value"])


def the_papers_config() -> Config:
    """config/paper.yaml over the default, as Snakemake lays one over the other."""
    raw: dict[str, Any] = {}
    for file in ("config.yaml", "paper.yaml"):
        text = (Path(__file__).parents[1] / "config" / file).read_text("utf-8")
        raw = merged(raw, yaml.safe_load(text))
    return load_config(raw)


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(under[key], value)
            for key, value in over.items()
            if isinstance(value, dict) and isinstance(under.get(key), dict)}  # fmt: skip
    return under | over | both


def test_the_best_of_several_is_the_best_of_the_published() -> None:
    config = paper_config(Path("results"))
    assert found(config, "figure2", "Pre-training", "aime") == 24.2  # DCLM
    assert found(config, "figure2", "Pre-training", "gsm8k") == 89.4  # C4
    mean = sum((89.4, 78.3, 24.2, 38.7, 26.6)) / 5
    assert found(config, "figure2", "Pre-training", AVERAGE) == pytest.approx(mean)


def test_an_average_is_of_the_same_benchmarks_as_ours() -> None:
    assert found(config_with(), "mine", "SSGR", AVERAGE) == 62.0  # as printed, not 62.02
    fewer = config_with(experiment={"benchmarks": ["gsm8k", "aime"]})
    assert found(fewer, "mine", "SSGR", AVERAGE) == pytest.approx((91.1 + 39.2) / 2)
    own = BASE["benchmarks"] | {"own": BASE["benchmarks"]["gpqa"] | {"label": "Own"}}
    more = config_with(benchmarks=own, experiment={"benchmarks": ["gsm8k", "own"]})
    assert found(more, "mine", "SSGR", "gsm8k") == 91.1
    assert found(more, "mine", "SSGR", AVERAGE) is None


def test_numbers_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(SMALL + f"first,{QWEN},sparsegpt,50,C4,GSM8K,pass@1,12.5\n# a remark\n"
                    f"second,{QWEN},sparsegpt,50,C4,GSM8K,pass@1,13.5\n")  # fmt: skip
    config = config_with(experiment={"published": f"{file}#second"})
    assert found(config, "mine", "C4", "gsm8k") == 13.5
    assert found(config, "mine", "SSGR", "gsm8k") is None
    assert found(config, "mine", "C4", AVERAGE) is None
    with pytest.raises(ReportError, match="no exhibit 'third'; it has first, second"):
        read_published(f"{file}#third")


def test_the_default_file_names_its_exhibits() -> None:
    with pytest.raises(ReportError, match=rf"{DEFAULT} has no exhibit 'table9'; it has table1"):
        read_published("table9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "a,m,p,50,C4,GSM8K,pass@1,n/a\n", "Line 2 ends in 'n/a'"),
        (SMALL + "a,m,p,50,C4,GSM8K,pass@1,1.5\n" * 2, "a number given twice"),
        ("exhibit,model,value\na,m,1\n", "with the columns exhibit, model, pruner"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(text)
    with pytest.raises(TableError, match=f"own.csv is no table of published numbers.*{said}"):
        read_published(f"{file}#a")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"none.csv cannot be read"):
        read_published(f"{tmp_path / 'none.csv'}#a")
