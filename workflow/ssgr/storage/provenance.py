"""What made a file: digests of code and of models, so that a change of either is seen.

Snakemake sees a changed shell line, but not a changed module behind it. A digest of the module's
syntax tree, over everything of ours that it imports, becomes a param of the rule: a comment or a
docstring changes nothing, a changed line reruns exactly the rules that run it.
"""

import ast
import json
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# Sampling costs GPU-hours: a refactoring must not throw a pool away. Raise this by hand when the
# same spec would give other responses.
SAMPLING_VERSION = 1
WINDOW = 65536
DATA = ("*.j2", "*.css", "*.js")
"""Files of a package that are code too: templates, styles, scripts."""


def code_digest(*modules: str) -> str:
    """Return a digest of the code of ``modules`` and of all of ssgr that they import.

    What a file is called, and where it is, changes nothing: code that is moved to another module
    keeps its digest. Names that it defines and imports count.

    Args:
        modules: dotted names inside the package, such as ``ssgr.selection.rules``, or paths of
            Python files of the user's own.
    """
    files = closure(*modules)
    parts = [_dumped(path.read_text()).encode() for path in files]
    folders = [path.parent for path in files if path.name == "__init__.py"]
    parts += [data.read_bytes() for each in folders for kind in DATA for data in each.glob(kind)]
    return blake2b(b"".join(sorted(_digest(part) for part in parts)), digest_size=8).hexdigest()


def closure(*modules: str) -> set[Path]:
    """Return the files of ``modules`` and of everything of ssgr that they import."""
    seen: set[Path] = set()
    waiting = [path for module in modules for path in _files(module)]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += [file for module in _imports(path.read_text()) for file in _files(module)]
    return seen


@cache
def fingerprint(model: str) -> str:
    """Return a cheap fingerprint of a local model folder; empty for a hub id.

    Small files are read whole; of each weights file the size and 16 windows of 64 KiB, so that a
    retrained or replaced model is noticed without reading 140 GB at every start.
    """
    folder = Path(model)
    if not folder.is_dir():
        return ""
    digest = blake2b(digest_size=8)
    for path in sorted(folder.iterdir()):
        if path.suffix in {".json", ".jinja", ".safetensors", ".bin", ".model", ".txt"}:
            digest.update(path.name.encode())
            _update(digest, path)
    return digest.hexdigest()


def dump(node: object, skip: tuple[type[ast.AST], ...] = ()) -> str:
    """Return a syntax tree as text that is the same under every version of Python.

    `ast.dump` is not: later versions add fields and leave out empty ones. Statements of the kinds
    in ``skip`` are left out.
    """
    if isinstance(node, ast.AST):
        fields = ", ".join(
            f"{name}={dump(value, skip)}"
            for name, value in ast.iter_fields(node)
            if name not in {"type_params", "type_ignores", "type_comment", "kind", "ctx"}
            and value not in (None, [])
        )
        return f"{type(node).__name__}({fields})"
    if isinstance(node, list):
        kept = (dump(each, skip) for each in node if not isinstance(each, skip))
        return f"[{', '.join(kept)}]"
    return repr(node)


def rows_digest(rows: Iterable[tuple[str | None, ...]]) -> str:
    """Return a digest of rows of text, whatever their order."""
    hashes = sorted(blake2b(repr(row).encode(), digest_size=16).digest() for row in rows)
    return blake2b(b"".join(hashes), digest_size=8).hexdigest()


def describe(**parts: object) -> str:
    """Return the provenance that is written into a file's metadata, as JSON."""
    return json.dumps(parts, sort_keys=True, default=str)


def _update(digest: blake2b, path: Path) -> None:
    size = path.stat().st_size
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for start in range(0, max(size, 1), max(WINDOW, size // 16)):
            file.seek(start)
            digest.update(file.read(WINDOW))


def _digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16).digest()


def _files(module: str) -> list[Path]:
    """The file of ``module``; a name inside a module, or a package, means that file."""
    if module.endswith(".py"):
        return [Path(module).expanduser().absolute()]
    return _files_of(PACKAGE, module)


@cache
def _files_of(package: Path, module: str) -> list[Path]:
    base = package.joinpath(*module.split(".")[1:])
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if base != package and file.is_file():
            return [file]
    return _files_of(package, module.rpartition(".")[0]) if "." in module else []


@cache
def _imports(text: str) -> list[str]:
    """Dotted names of ssgr that a module's text imports, at any depth of its code."""
    names: list[str] = []
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("ssgr.")]


@cache
def _dumped(text: str) -> str:
    """The syntax tree as text, without its imports; these follow, in alphabetical order."""
    tree = _parsed(text)
    imports = sorted(repr(imported) for node in ast.walk(tree) for imported in _imported(node))
    return "\n".join([dump(tree, skip=(ast.Import, ast.ImportFrom)), *imports])


def _imported(node: ast.AST) -> Iterator[tuple[str, str, str | None]]:
    """What an import statement imports: of our own package the names, wherever they come from."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            ours = alias.name.startswith("ssgr.")
            yield "import", "ssgr" if ours else alias.name, alias.asname
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        ours = module == "ssgr" or module.startswith("ssgr.")
        for alias in node.names:
            yield "ssgr" if ours else module, alias.name, alias.asname


@cache
def _parsed(text: str) -> ast.Module:
    """The syntax tree, docstrings left out."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree
