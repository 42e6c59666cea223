"""A table ready to be set: the same rows, headings and marks for the page, LaTeX and CSV."""

from dataclasses import dataclass

MINUS = "\u2212"
MISSING = "\u2013"


@dataclass(frozen=True)
class Entry:
    """One number of a table, in ``unit``: "%" (0..100), "tokens", "h" or "points".

    ``low`` and ``high`` are the ends of the 95 % interval, None where nothing was drawn at random.
    ``published`` is the paper's number for this place. ``difference`` is this value minus that of
    ``against`` (a label; None where nothing is compared), with its interval and p value; ``mark``
    is "*" where it is real after adjustment for the number of comparisons in the table. ``best``:
    no other kind of calibration has a higher number at the decimals shown. ``taken_from`` names the
    calibration that a row of the best of several took here.
    """

    value: float
    unit: str
    decimals: int
    low: float | None = None
    high: float | None = None
    published: float | None = None
    best: bool = False
    mark: str = ""
    against: str | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    taken_from: str | None = None

    @property
    def text(self) -> str:
        """The number as shown, without its unit: ``62.0``, ``7,375``, with a true minus."""
        return self.written(self.value)

    @property
    def error(self) -> str:
        """Half the width of the 95 % interval as shown: ``2.1``; empty without one."""
        if self.low is None or self.high is None:
            return ""
        return f"{(self.high - self.low) / 2:,.{self.decimals}f}"

    @property
    def published_text(self) -> str:
        """The published number as shown; empty without one."""
        return "" if self.published is None else self.written(self.published)

    @property
    def gap(self) -> float | None:
        """Ours minus the published number."""
        return None if self.published is None else self.value - self.published

    @property
    def difference_text(self) -> str:
        """The difference to ``against`` with its sign; empty without one."""
        return "" if self.difference is None else self.signed(self.difference)

    def written(self, value: float) -> str:
        """A number of this place as text, with a true minus, but never before a zero."""
        text = f"{abs(value):,.{self.decimals}f}"
        is_zero = not text.strip("0.,")
        return text if value >= 0 or is_zero else f"{MINUS}{text}"

    def signed(self, value: float) -> str:
        """A difference as text; a plus where it is positive."""
        text = self.written(value)
        return f"+{text}" if value > 0 and text.strip("0.,") else text


@dataclass(frozen=True)
class Column:
    """A column: ``key`` is a benchmark, ``AVG``, a measure, or a value of the axis across."""

    key: str
    heading: str
    unit: str | None
    """What its entries are in; None where rows differ."""


@dataclass(frozen=True)
class Row:
    """A row: one heading a level, and one entry a column (None: there is no such number).

    ``label`` is the calibration as shown ("Dense" for the dense model), by which charts colour;
    it is empty where calibrations run across.
    """

    headings: tuple[str, ...]
    entries: tuple[Entry | None, ...]
    label: str
    is_dense: bool


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    ``levels`` names the row headings from the outermost on. ``notes`` are sentences that belong
    under the table: what marks mean, what the published numbers are of, how the paper was read.
    """

    name: str
    title: str
    levels: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def has_published(self) -> bool:
        """Whether a published number stands beside any of ours."""
        return any(entry and entry.published is not None for row in self.rows
                   for entry in row.entries)  # fmt: skip

    def spans(self, row: int) -> tuple[int, ...]:
        """How many rows each heading of a row reaches over; 0 where one from above does.

        A heading reaches over the rows that repeat it and all headings before it.
        """
        return tuple(self._span(row, level) for level in range(len(self.levels)))

    def starts_group(self, row: int) -> bool:
        """Whether a line stands above a row: its headings but for the innermost are new ones."""
        before, here = self.rows[row - 1], self.rows[row]
        return row > 0 and (
            before.headings[:-1] != here.headings[:-1] or before.is_dense != here.is_dense
        )

    def _span(self, row: int, level: int) -> int:
        outer = [each.headings[: level + 1] for each in self.rows]
        if level == len(self.levels) - 1:
            return 1
        if row and outer[row - 1] == outer[row]:
            return 0
        end = next((at for at in range(row, len(outer)) if outer[at] != outer[row]), len(outer))
        return end - row
