"""Tables and sizes as a terminal shows them."""

from collections.abc import Sequence

from tqdm import tqdm


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> str:
    """Return rows as aligned lines under a header; the columns from ``numbers`` on to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if numbers <= place < len(header) - 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]
    return "\n".join(lines)


def whole(number: int | None) -> str:
    """Return a count with separated thousands."""
    return "" if number is None else f"{number:,}"


def size(count: int) -> str:
    """Return bytes in the unit that fits."""
    return str(tqdm.format_sizeof(count, "B", 1000))


def hours(on_gpu: float | None, without: float | None) -> str:
    """Return GPU-hours and the hours of jobs without a GPU (CPU-hours); ``?`` is not known."""
    if on_gpu is None or without is None:
        return "?"
    parts = ((on_gpu, "GPU-h"), (without, "CPU-h"))
    return " + ".join(f"{_digits(count)} {unit}" for count, unit in parts if count) or "0"


def _digits(count: float) -> str:
    return f"{count:,.0f}" if count >= 100 else f"{count:.3g}"
