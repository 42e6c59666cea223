"""The pruners by name, shipped or in a file of the user's own, without importing them (and torch).

The Snakefile asks at every start which pruners there are and what they need; the sources say it. A
pruner of the user's own is named by the path of its file, wherever a method is named.
"""

import ast
import os.path
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ssgr.errors import PruningError

if TYPE_CHECKING:
    from ssgr.config.pruning import Recipe

FOLDER = Path(__file__).parent / "pruners"
SUMMARY = "pruning.json"
"""Of a checkpoint: what it was made of, and how."""
NEEDS = ("gram", "norm", "none")  # the most first


def pruner_names() -> tuple[str, ...]:
    """Return the names of all pruners that are shipped."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(FOLDER)])))


def own_file(method: str) -> Path | None:
    """Return the file of a pruner of the user's own; None for the name of one that is shipped."""
    return Path(os.path.expanduser(method)) if method.endswith(".py") else None


def name_of(method: str) -> str:
    """Return the name that a pruner is registered under.

    Raises:
        PruningError: a file of the user's own does not register one pruner of a new name.
    """
    file = own_file(method)
    return method if file is None else _registered(file, file.stat().st_mtime_ns)[0]


def needs_calibration(method: str) -> bool:
    """Return whether a pruner reads input statistics.

    Raises:
        PruningError: a file of the user's own does not register one pruner of a new name.
    """
    return statistics_of(method) != "none"


def statistics_of(method: str) -> str:
    """Return what a pruner reads of its inputs: their gram matrix, their norm, or none.

    Raises:
        PruningError: a file of the user's own does not register one pruner of a new name.
    """
    file = own_file(method) or FOLDER / f"{method}.py"
    return _registered(file, file.stat().st_mtime_ns)[1]


def modules_of(recipe: "Recipe") -> list[str]:
    """Return the modules that prune, as `code_digest` takes them: walk, allocation and pruners."""
    pruners = dict.fromkeys((recipe.method, recipe.searched_by))
    return [
        "ssgr.pruning.checkpoint",
        f"ssgr.pruning.allocation.{recipe.allocation}",
        *(name if own_file(name) else f"ssgr.pruning.pruners.{name}" for name in pruners),
    ]


def check_own(method: str) -> None:
    """Refuse a file of the user's own that does not hold one pruner.

    Raises:
        PruningError: there is no such file, it is no Python, or it does not register one pruner of
            a new name.
    """
    file = own_file(method)
    if file is not None and not file.is_file():
        raise PruningError(f"{file}: there is no such file")
    name_of(method)


@cache
def _registered(file: Path, mtime: int) -> tuple[str, str]:
    """The name that a file's one pruner is registered under, and what it needs."""
    try:
        found = list(_decorations(ast.parse(file.read_text("utf-8"))))
    except (OSError, ValueError, SyntaxError) as error:
        raise PruningError(f"{file}: cannot be read as Python: {error}") from error
    if len(found) != 1 or found[0][1] not in NEEDS:
        said = ", ".join(f"{name!r} (needs {needs!r})" for name, needs in found) or "none"
        raise PruningError(
            f"{file}: registers {said}; expected one pruner: a function decorated with "
            '@register("its_name", needs="gram" | "norm" | "none") of ssgr.pruning.pruner'
        )
    if file.parent != FOLDER and found[0][0] in pruner_names():
        raise PruningError(f"{file}: {found[0][0]!r} is shipped already: register another name")
    return found[0]


def _decorations(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Name and needs of every ``@register(...)`` in a module."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    for call in (each for function in functions for each in function.decorator_list):
        if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[-1] == "register":
            given = {word.arg: word.value for word in call.keywords}
            name, needs = next(iter(call.args), None), given.get("needs")
            yield (
                str(name.value) if isinstance(name, ast.Constant) else "",
                str(needs.value) if isinstance(needs, ast.Constant) else "",
            )
