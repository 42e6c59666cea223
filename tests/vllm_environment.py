"""Where the tests find an interpreter with vLLM: an environment of its own, not the tests'."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VARIABLE = "SSGR_VLLM_PYTHON"
ENVIRONMENT = ".venv-vllm"


def vllm_python() -> str:
    """The interpreter to run vLLM with.

    Skips the test where there is none. A variable that is set but points nowhere is a failure:
    whoever sets it (CI) wants the real tests to run.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not os.access(named, os.X_OK):
            pytest.fail(f"{VARIABLE} is {named}, and there is no interpreter there")
        return named
    python = ROOT / ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"no vLLM: neither {VARIABLE} nor {ENVIRONMENT} in the repository")
    return str(python)
