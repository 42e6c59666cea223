"""The paper's numbers: read, checked, and matched to ours by what plays which part.

One number a row, as printed. A model is known by its name, its role or the last part of its path; a
benchmark by its label, role or name; a calibration by its label or name, or, where another model
generated it, by that model. Spelling does not matter: "SGR w/o thinking" is "SGR without thinking".
"""

import io
import os.path
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import dataframely as dy
import polars as pl

from ssgr.config import Config
from ssgr.errors import ReportError, TableError
from ssgr.jobs.grid import DENSE, NONE
from ssgr.report.tables.conditions import Condition
from ssgr.root import ROOT

AVERAGE = "AVG"
DEFAULT = Path("resources/published.csv")


class Published(dy.Schema):
    """One published number a row: pass@1 in percent, lengths in tokens.

    The dense model is pruner ``none``, sparsity ``0``, calibration ``Dense``; the printed mean over
    benchmarks is benchmark ``AVG``, and what belongs to no benchmark has ``none``.
    """

    exhibit = dy.String(primary_key=True, min_length=1)
    model = dy.String(primary_key=True, min_length=1)
    pruner = dy.String(primary_key=True, min_length=1)
    sparsity = dy.String(primary_key=True, min_length=1)
    calibration = dy.String(primary_key=True, min_length=1)
    benchmark = dy.String(primary_key=True, min_length=1)
    measure = dy.String(primary_key=True, min_length=1)
    value = dy.Float64(min=0)


def published_file(where: str) -> str:
    """Return the file of published numbers that an experiment names, as `read_published` does."""
    file, separate, _ = where.rpartition("#")
    return file if separate else str(ROOT / DEFAULT)


def read_published(where: str) -> pl.DataFrame:
    """Read the numbers of one exhibit.

    Args:
        where: an exhibit of ``resources/published.csv``, or ``FILE.csv#EXHIBIT``.

    Raises:
        TableError: the file is missing, or breaks the Published schema; names it and the reason.
        ReportError: it has no such exhibit; names those it has.
    """
    file, separate, exhibit = where.rpartition("#")
    path = _file(file) if separate else ROOT / DEFAULT
    table = _parsed(path, path.stat().st_mtime_ns if path.exists() else 0)
    if exhibit not in set(table["exhibit"]):
        known = ", ".join(table["exhibit"].unique(maintain_order=True))
        raise ReportError(f"{path} has no exhibit {exhibit!r}; it has {known}")
    return table.filter(pl.col("exhibit") == exhibit)


def _file(name: str) -> Path:
    """A named file; a relative one is looked up here, then in the checkout."""
    path = Path(os.path.expanduser(name))
    return path if path.exists() else ROOT / path


@cache
def _parsed(path: Path, mtime: int) -> pl.DataFrame:
    """The table of a file, read once for all experiments."""
    columns = Published.column_names()
    try:
        text = path.read_text("utf-8")
        table = pl.read_csv(io.StringIO(text), comment_prefix="#", infer_schema=False)
        return Published.validate(table.select(columns), cast=True)
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read: {error}") from error
    except (dy.exc.ValidationError, dy.exc.SchemaError, pl.exceptions.PolarsError) as error:
        raise TableError(
            f"{path} is no table of published numbers, with the columns {', '.join(columns)} and "
            f"one number a row: {str(error).splitlines()[0]}. {_culprit(path)}"
        ) from error


def _culprit(path: Path) -> str:
    """The first row whose value is no number, if that is what is wrong."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        value = line.rpartition(",")[2].strip()
        if line and not line.startswith(("#", "exhibit")) and not re.fullmatch(r"[\d.]+", value):
            return f"Line {number} ends in {value!r}."
    return "Look for a number given twice."


def spelled(name: str) -> str:
    """A name as it is compared: without case, spaces and signs; a number by its value."""
    text = name.casefold().strip().replace("w/o", "without")
    text = text.replace("ds-distill", "deepseek-r1-distill")  # as Table 8 has it
    if re.fullmatch(r"\d+(\.\d*)?", text):
        return f"{float(text):g}"
    return re.sub(r"[^a-z0-9]", "", text)


@dataclass(frozen=True)
class Match:
    """A published number and whose it is: the model and the sparsity that it was printed for."""

    value: float
    model: str
    sparsity: str


class Matcher:
    """Finds the published number for a place of an experiment."""

    def __init__(self, config: Config, name: str) -> None:
        """Read what the experiment names; raises what :func:`read_published` raises."""
        self.config = config
        where = config.experiments[name].published
        table = read_published(where) if where else Published.create_empty()
        printed = set(table.filter(pl.col("pruner") != NONE)["sparsity"])
        self.any_sparsity = len(config.selection(name).sparsities) == 1 == len(printed)
        self.benchmarks = list(config.selection(name).benchmarks)
        self.numbers: dict[tuple[str, ...], Match] = {}
        for row in table.iter_rows(named=True):
            names = [spelled(row[key]) for key in ("model", "calibration", "benchmark")]
            place = (*names, row["pruner"], self._sparsity(row["sparsity"]), row["measure"])
            self.numbers[place] = Match(row["value"], row["model"], row["sparsity"])

    def find(self, condition: Condition, benchmark: str, measure: str) -> Match | None:
        """Return the published number for a benchmark (a key, AVG or none) of a condition, or None.

        AVG is the printed mean where that is of the same benchmarks as ours, or of benchmarks that
        are not printed one by one; else the mean of what is printed of ours, if all of it is.
        """
        if benchmark == AVERAGE:
            return self._average(condition, measure)
        if condition.members:
            found = [self.find(member, benchmark, measure) for member in condition.members]
            there = [match for match in found if match]
            whole = len(there) == len(found)
            return max(there, key=lambda match: match.value) if whole else None
        return self._direct(condition, self._benchmark_names(benchmark), measure)

    def averages_printed(self, condition: Condition, measure: str) -> bool:
        """Whether the published AVG of a condition is as printed, and not computed by us."""
        printed = self._printed(condition, measure)
        ours = {name for key in self.benchmarks for name in self._benchmark_names(key)}
        return not condition.members and (not printed or printed <= ours)

    def prints_benchmarks(self, condition: Condition, measure: str) -> bool:
        """Whether more of a condition's row is published than its average."""
        return bool(self._printed(condition, measure))

    def _average(self, condition: Condition, measure: str) -> Match | None:
        each = [self.find(condition, benchmark, measure) for benchmark in self.benchmarks]
        there = [match for match in each if match]
        if not there:
            return self._direct(condition, [spelled(AVERAGE)], measure)
        if len(there) < len(each):
            return None
        if self.averages_printed(condition, measure):
            return self._direct(condition, [spelled(AVERAGE)], measure)
        mean = sum(match.value for match in there) / len(there)
        return Match(mean, there[0].model, there[0].sparsity)

    def _direct(self, condition: Condition, benchmarks: list[str], measure: str) -> Match | None:
        pruner = NONE if condition.is_dense else self.config.recipe(condition.pruner).method
        ending = (pruner, self._sparsity(condition.sparsity), measure)
        names = product(
            self._model_names(condition.model), self._calibration_names(condition), benchmarks
        )
        places = ((*each, *ending) for each in names)
        return next((self.numbers[place] for place in places if place in self.numbers), None)

    def _printed(self, condition: Condition, measure: str) -> set[str]:
        """The benchmarks of which the condition's row is printed."""
        models, kinds = (
            set(self._model_names(condition.model)),
            set(self._calibration_names(condition)),
        )
        of_arm = {place[2] for place in self.numbers
                  if place[0] in models and place[1] in kinds and place[-1] == measure}  # fmt: skip
        return of_arm - {spelled(AVERAGE), NONE}

    def _sparsity(self, key: str) -> str:
        return "any" if self.any_sparsity and key != "0" else key

    def _model_names(self, model: str) -> list[str]:
        entry = self.config.models[model]
        roles = entry.role if isinstance(entry.role, list) else [entry.role]
        names = (model, *roles, entry.path.rstrip("/").rpartition("/")[2])
        return [spelled(name) for name in names if name]

    def _benchmark_names(self, key: str) -> list[str]:
        entry = self.config.benchmarks.get(key)
        names = (entry.label, entry.role, key) if entry else (key,)
        return [spelled(name) for name in names if name]

    def _calibration_names(self, condition: Condition) -> list[str]:
        if condition.is_dense:
            return [spelled(DENSE)]
        return [spelled(condition.label), *self._own_names(condition)]

    def _own_names(self, condition: Condition) -> Iterator[str]:
        for name in condition.calibrations:
            entry = self.config.calibrations.get(name)
            yield from (spelled(own) for own in (name, entry and entry.role) if own)
        for generator in {draw.checkpoint["generator"] for draw in condition.draws} - {NONE}:
            yield from self._model_names(generator)
