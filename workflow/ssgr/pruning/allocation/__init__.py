"""How sparsity is spread over the matrices of a model. Importing this package is light.

An allocation is one module here, named as the configuration names it, with one function decorated
with ``@register(its_name, needs=...)``. It says how many weights each matrix loses; the total is
that of the sparsity asked for, to the weight.
"""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssgr.config.pruning import Recipe
    from ssgr.config.sparsity import Sparsity
    from ssgr.pruning.model.decoder import Decoder
    from ssgr.pruning.objective import CalibrationSequence

REGISTERED = re.compile(r"""^@register\(["'](\w+)["'],\s*needs=["'](\w+)["']\)""", re.MULTILINE)


def _needs() -> dict[str, str]:
    """Return what each allocation needs, by name, from the sources: torch is not imported."""
    sources = (path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    return dict(match for source in sources for match in REGISTERED.findall(source))


def allocation_names() -> tuple[str, ...]:
    """Return the names of all allocations, without importing them (and torch)."""
    return tuple(sorted(_needs()))


def needs_sequences(name: str) -> bool:
    """Return whether an allocation looks at calibration sequences."""
    return _needs().get(name) == "sequences"


def allocate(
    name: str,
    decoder: "Decoder",
    sequences: Sequence["CalibrationSequence"],
    sparsity: "Sparsity",
    recipe: "Recipe",
    scratch: Path,
    *,
    cap: int = 2**32,
    spill: Path | None = None,
) -> dict[tuple[int, str], float]:
    """Return the share of zeros of every matrix, by block and name within the block.

    ``zeros_among`` of these shares adds up to ``zeros_among`` of all weights together. Uniform
    gives the sparsity itself to every matrix whose rounding fits; the others stay within
    [0, ``budget.CEILING``].

    Args:
        name: one of ``allocation_names()``.
        decoder: the dense model.
        sequences: calibration token ids and token weights; may be empty for uniform and
            alphapruning.
        sparsity: the pattern; N:M only with uniform.
        recipe: the pruner and its constants, and the budget of a search.
        scratch: folder for a search's files, empty or as an interrupted call with the same
            arguments left it; they are removed in the end.
        cap: bytes of hidden states kept in memory; the rest goes to a file.
        spill: folder of that file; None is ``scratch``.

    Raises:
        ConfigError: unknown name, N:M with another allocation than uniform, or a sparsity that
            leaves no room.
        PruningError: no sequences for an allocation that needs them, or a matrix cannot be
            pruned.
    """
    method = importlib.import_module("ssgr.pruning.allocation.method")
    method.check(name, sequences, sparsity)
    importlib.import_module(f"{__name__}.{name}")
    shares: dict[tuple[int, str], float] = method.run(
        name, decoder, sequences, sparsity, recipe, scratch, cap, spill
    )
    return shares
