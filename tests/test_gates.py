"""The strict gates: formatting, lint, types, the workflow's own linter, and pins that agree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RULES = ["Snakefile", "workflow/Snakefile", "workflow/rules"]
GATES = {
    "ruff": ["-m", "ruff", "check", "."],
    "ruff-format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "snakefmt": ["-m", "snakefmt", "--check", *RULES],
    "snakemake-lint": ["-m", "snakemake", "--lint"],
    "import-linter": ["-c", "import sys, importlinter.cli as c; sys.exit(c.lint_imports())"],
}


@pytest.mark.parametrize("gate", GATES)
def test_gate(root: Path, gate: str) -> None:
    done = subprocess.run(
        [sys.executable, *GATES[gate]], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_light_modules_load_neither_torch_nor_sympy() -> None:
    """The Snakefile imports them at every start."""
    code = (
        "import sys, ssgr.jobs.validation, ssgr.jobs.grid, ssgr.storage.provenance, ssgr.pool;"
        "print([m for m in ('torch', 'transformers', 'sympy', 'altair') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"


def test_the_package_keeps_its_boundaries(root: Path) -> None:
    """It imports no Snakemake and reads no configuration file, but for the person at the terminal.

    CITATION.cff configures nothing; `ssgr status` follows a run that it did not start.
    """
    for path in (root / "workflow" / "ssgr").rglob("*.py"):
        text = path.read_text()
        assert "import snakemake" not in text, path
        assert "from snakemake" not in text, path
        if path.name not in {"citation.py", "asked.py"}:
            assert "safe_load" not in text, path
