"""What a source must not hold: the same problem twice, or a benchmark's problems.

A calibration set that holds a benchmark's questions would flatter every score on it. The measure is
that of Tülu 3 (Lambert et al. 2024, section 3.2): the share of the benchmark problem's words that
stand in the source's text as well, in runs of at least 8; over one half it is dropped. One long run
alone (GPT-3's 13 words) is no measure here: "where m and n are relatively prime positive integers.
Find m + n." ends hundreds of different competition problems. Equal questions are found apart, since
a short one has no run of 8.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import NamedTuple

import polars as pl

from ssgr.storage.tables import Dropped

RUN = 8
"""Words of a run."""

_LAYOUT = re.compile(r"\\(?:left|right|displaystyle|dfrac|tfrac|frac|[!,;: ])|[$~{}]")
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\\,|\\!|\{,\})+(?=\d{3}(?!\d))")
_WORD = re.compile(r"[^\W_]+")


class Match(NamedTuple):
    """The benchmark's problem that a text holds most of."""

    benchmark: str
    problem_id: str
    overlap: float


def without_duplicates(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows whose text none before it has, and what was dropped (Dropped).

    Texts are the same if they differ in layout only: spaces, case, ``$``, thousands separators.

    Args:
        table: Problems or Documents, in order.
    """
    key, text = _columns(table)
    kept: dict[bytes, str] = {}
    rows: list[tuple[object, ...]] = []
    for identity, content in table.select(key, text).iter_rows():
        digest = blake2b(same(content).encode(), digest_size=16).digest()
        earlier = kept.setdefault(digest, identity)
        if earlier != identity:
            rows.append((identity, "duplicate", None, earlier, 1.0))
    return _split(table, key, rows)


def apart_from(
    table: pl.DataFrame, benchmarks: Mapping[str, pl.DataFrame], threshold: float = 0.5
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that hold no benchmark's problem, and what was dropped (Dropped).

    Time is linear in the words of the table, memory in those of the benchmarks.

    Args:
        table: Problems or Documents, in order.
        benchmarks: Problems by name.
        threshold: overlap above which a row is dropped, in (0, 1).
    """
    key, text = _columns(table)
    index = Index(benchmarks)
    rows: list[tuple[object, ...]] = []
    for identity, content in table.select(key, text).iter_rows() if benchmarks else ():
        if equal := index.equals.get(same(content)):
            rows.append((identity, "same question", *equal, 1.0))
        elif (match := index.nearest(content)) and match.overlap > threshold:
            rows.append((identity, "overlap", *match))
    return _split(table, key, rows)


class Index:
    """The problems of some benchmarks, to be looked for in other texts.

    Attributes:
        equals: (benchmark, problem_id) of each question, by what `same` makes of it.
    """

    def __init__(self, benchmarks: Mapping[str, pl.DataFrame]) -> None:
        """Index the questions of ``benchmarks``, tables of Problems by name."""
        self.equals: dict[str, tuple[str, str]] = {}
        self._problems: list[tuple[str, str, int]] = []  # benchmark, problem_id, words
        self._runs: dict[str, list[tuple[int, int]]] = defaultdict(list)  # problem, first word
        self._openings: set[tuple[str, str]] = set()  # the first two words of the runs
        for name, problems in benchmarks.items():
            for identity, question in problems.select("problem_id", "question").iter_rows():
                self.equals.setdefault(same(question), (name, identity))
                found = words(question)
                for start in range(len(found) - RUN + 1):
                    run = found[start : start + RUN]
                    self._openings.add((run[0], run[1]))
                    self._runs[" ".join(run)].append((len(self._problems), start))
                self._problems.append((name, identity, len(found)))

    def nearest(self, text: str) -> Match | None:
        """Return the problem of which ``text`` holds most; None without a common run."""
        starts: dict[int, set[int]] = defaultdict(set)
        found = words(text)
        for k, pair in enumerate(pairwise(found[: max(len(found) - RUN + 2, 0)])):
            if pair in self._openings:
                for problem, start in self._runs.get(" ".join(found[k : k + RUN]), ()):
                    starts[problem].add(start)
        matches = [self._match(problem, common) for problem, common in starts.items()]
        return max(matches, key=lambda match: match.overlap, default=None)

    def _match(self, problem: int, starts: set[int]) -> Match:
        name, identity, length = self._problems[problem]
        common = {start + k for start in starts for k in range(RUN)}
        return Match(name, identity, len(common) / length)


def words(text: str) -> list[str]:
    """Return a text's words and numbers, in lower case, without LaTeX's layout or punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_LAYOUT.sub(" ", _THOUSANDS.sub("", plain)))


def same(text: str) -> str:
    """Return what two questions share that differ in layout only; signs and operators count."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(r"\\[dt]frac", r"\\frac", _THOUSANDS.sub("", plain))
    plain = re.sub(r"\\(?:left|right|displaystyle)(?![a-z])|\\[!,;: ]|[$~]", "", plain)
    return "".join(plain.split()).rstrip(".")


def _columns(table: pl.DataFrame) -> tuple[str, str]:
    is_text = "document_id" in table.columns
    return ("document_id", "text") if is_text else ("problem_id", "question")


def _split(
    table: pl.DataFrame, key: str, rows: list[tuple[object, ...]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    schema = dict.fromkeys(Dropped.column_names(), pl.String) | {"overlap": pl.Float64}
    dropped = pl.DataFrame(rows, schema=schema, orient="row")
    return table.filter(~pl.col(key).is_in(dropped["id"].implode())), dropped
