"""A pruner in a file of the user's own: found, loaded, refused in words, seen when it changes."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from experiment import replace
from ssgr.config import Recipe
from ssgr.config.sparsity import Sparsity
from ssgr.errors import ConfigError, PruningError
from ssgr.jobs.grid import points
from ssgr.jobs.validation import load_config
from ssgr.pruning import modules_of, name_of, needs_calibration
from ssgr.pruning.pruner import PrunerSettings
from ssgr.pruning.pruners import pruner_of
from ssgr.pruning.statistics import InputStatistics
from ssgr.storage.provenance import code_digest

PRUNER = '''"""Why."""

from ssgr.pruning.masks import lowest_per_row, removed
from ssgr.pruning.pruner import register


@register("mine", needs="{needs}")
def prune(weight, statistics, sparsity, settings):
    """How."""
    return removed(weight, lowest_per_row(weight.float().abs(), sparsity.fraction))
'''
EXPECTED = "expected one pruner: a function decorated with"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "any_name.py"
    path.parent.mkdir()
    path.write_text(PRUNER.format(needs="norm"))
    return path


@pytest.fixture
def raw(root: Path) -> dict[str, Any]:
    """The shipped configuration."""
    shipped = yaml.safe_load((root / "config" / "config.yaml").read_text())
    return copy.deepcopy(shipped)


def test_its_file_may_hold_a_dataclass(file: Path) -> None:
    """Which looks for its module among those that are imported."""
    kept = "from dataclasses import dataclass\n\n@dataclass\nclass Kept:\n    share: float\n\n"
    text = file.read_text().replace('"mine"', '"shapely"')
    file.write_text(f"from __future__ import annotations\n{kept}{text}")
    assert pruner_of(str(file)).needs == "norm"


def test_its_file_stands_for_it(file: Path) -> None:
    assert name_of(str(file)) == "mine"
    assert needs_calibration(str(file))
    assert Recipe(method=str(file)).method == str(file)
    pruner = pruner_of(str(file))
    assert pruner is pruner_of(str(file))  # loaded once
    weight = torch.tensor([[1.0, -4.0, 3.0, 2.0], [8.0, 5.0, -6.0, 7.0]])
    statistics = InputStatistics(4, weight.device, with_gram=False)
    pruned = pruner(weight, statistics, Sparsity.parse("50"), PrunerSettings())
    assert pruned.tolist() == [[0.0, -4.0, 3.0, 0.0], [8.0, 0.0, 0.0, 7.0]]


def test_what_it_needs_is_read_from_its_text(file: Path, raw: dict[str, Any]) -> None:
    file.write_text(PRUNER.format(needs="none"))
    raw["pruners"] = {"hers": {"method": str(file)}}
    raw["run"]["pruners"] = ["hers"]
    table = points(load_config(raw)).filter(pruner="hers")
    assert table["label"].to_list() == ["no calibration"]


def test_a_change_of_it_is_seen_and_a_comment_or_another_place_is_not(file: Path) -> None:
    def digest(path: Path) -> str:
        return code_digest(*modules_of(Recipe(method=str(path))))

    before = digest(file)
    assert before != code_digest(*modules_of(Recipe(method="wanda")))
    replace(file, "Why.", "Why not.")
    moved = file.rename(file.parents[1] / "moved.py")
    assert digest(moved) == before
    replace(moved, "float().abs()", "float().square()")
    assert digest(moved) != before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", f"registers none; {EXPECTED}"),
        (PRUNER.format(needs="norm") * 2, f"registers 'mine' .*, 'mine' .*; {EXPECTED}"),
        (PRUNER.format(needs="hessian"), f"'mine' \\(needs 'hessian'\\); {EXPECTED}"),
        (PRUNER.format(needs="norm").replace('"mine"', '"wanda"'), "'wanda' is shipped already"),
        ("def f(:\n", "cannot be read as Python: .*line 1"),
    ],
)
def test_a_file_that_is_none_is_refused_before_any_job(
    file: Path, raw: dict[str, Any], text: str, said: str
) -> None:
    file.write_text(text)
    raw["pruners"] = {"hers": {"method": str(file)}}
    raw["run"]["pruners"] = ["hers"]
    with pytest.raises(ConfigError, match=rf"pruners\.hers\.method: {file}: .*{said}"):
        load_config(raw)
    with pytest.raises(PruningError, match=said):
        pruner_of(str(file))


def test_a_file_that_is_not_there_or_fails_at_import(file: Path, raw: dict[str, Any]) -> None:
    raw["pruners"] = {"hers": {"method": "nowhere.py"}}
    with pytest.raises(ConfigError, match=r"pruners\.hers\.method: nowhere\.py: .* no such file"):
        load_config(raw)
    replace(file, "lowest_per_row,", "no_such_mask,")
    with pytest.raises(PruningError, match=r"fails at import: ImportError: .*no_such_mask"):
        pruner_of(str(file))
