"""One set of pins: pyproject.toml, and every file that an environment or an image is made from."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

NEVER_IMPORTED = {"altair", "scipy", "snakemake", "vl-convert-python"}
"""Of the package's dependencies, what a process that samples never imports."""
BROUGHT = {"huggingface-hub", "jinja2", "safetensors", "tokenizers", "torch", "transformers"}
"""What vLLM brings itself, and pins."""
FAULTY = ["5.16.1", "5.17.0", "5.18.0", "5.19.0", "5.20.2", "5.21.0", "5.21.1"]
"""Versions of transformers that read a byte-level Llama tokenizer's folder without spaces. vLLM
wants one of them: there every tokenizer is held against its file (test_tokenizer.py)."""


def pins(file: Path) -> list[str]:
    """The lines of a requirement file."""
    lines = file.read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r"))]


def by_conda(file: Path) -> list[str]:
    """What a conda environment installs by pip."""
    installed = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
    return [str(line) for line in installed]


def named(lines: list[str]) -> dict[str, str]:
    """Requirements by the name of what they require."""
    return {Requirement(line).name.lower().replace("_", "-"): line for line in lines}


@pytest.fixture
def envs(root: Path) -> Path:
    return root / "envs"


@pytest.fixture
def project(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return found


def test_the_package_is_installed_alike_everywhere(envs: Path, project: dict[str, Any]) -> None:
    assert by_conda(envs / "ssgr.yaml") == project["dependencies"]
    assert pins(envs / "ssgr.txt") == project["dependencies"]


def test_transformers_reads_tokenizers_rightly_wherever_it_can(
    envs: Path, project: dict[str, Any]
) -> None:
    allowed = Requirement(named(project["dependencies"])["transformers"]).specifier
    assert not [version for version in FAULTY if allowed.contains(version)]
    assert allowed.contains("5.22.0")
    assert named(pins(envs / "vllm-cpu.txt"))["transformers"] == "transformers==5.19.0"


def test_the_clusters_executors(root: Path, envs: Path, project: dict[str, Any]) -> None:
    executors = project["optional-dependencies"]["cluster"]
    assert pins(envs / "cluster.txt") == executors
    for profile in ("slurm", "kubernetes"):  # each says which one it needs
        text = (root / "workflow" / "profiles" / profile / "config.yaml").read_text()
        (wanted,) = re.findall(r"pip install '(.+)'", text)
        assert wanted in executors
        assert f"executor: {Requirement(wanted).name.split('-plugin-')[1]}\n" in text


def test_vllm_on_gpus_agrees_with_the_package(envs: Path, project: dict[str, Any]) -> None:
    vllm, *others = pins(envs / "vllm.txt")
    of = named(project["dependencies"])
    assert others == [of[name] for name in of if name not in NEVER_IMPORTED | BROUGHT]
    assert by_conda(envs / "vllm.yaml") == [vllm, *others]
    assert vllm == cpu(envs)["vllm-cpu"].replace("vllm-cpu", "vllm")


def test_vllm_on_a_cpu_agrees_with_the_package(envs: Path, project: dict[str, Any]) -> None:
    of, pinned = named(project["dependencies"]), cpu(envs)
    assert of.keys() - pinned.keys() == NEVER_IMPORTED
    for name in of.keys() & pinned.keys() - {"transformers"}:
        version = pinned[name].partition("==")[2]
        assert Requirement(of[name]).specifier.contains(version), (of[name], version)


def test_vllm_on_a_cpu_is_complete_and_free_of_cuda(envs: Path) -> None:
    lines = pins(envs / "vllm-cpu.txt") + pins(envs / "smollm2.txt")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    assert len(named(lines)) == len(lines)
    assert {"vllm-cpu", "torch", "openai", "uvicorn", "polars", "math-verify"} <= named(
        lines
    ).keys()
    assert not [name for name in named(lines) if re.search("nvidia|cuda|triton|flashinfer", name)]


def cpu(envs: Path) -> dict[str, str]:
    return named(pins(envs / "vllm-cpu.txt"))


def test_one_python(envs: Path, project: dict[str, Any]) -> None:
    (of_image,) = re.findall(r"^FROM python:([\d.]+)-", (envs / "Containerfile").read_text(), re.M)
    for file in ("ssgr.yaml", "vllm.yaml"):
        conda, *_ = yaml.safe_load((envs / file).read_text())["dependencies"]
        assert conda == f"python={of_image}"
    assert SpecifierSet(project["requires-python"]).contains(f"{of_image}.0")


def test_the_image(root: Path, envs: Path) -> None:
    """It is linted, what it copies is there, and what a run reads is copied."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, envs / "Containerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    copied = {
        word
        for line in re.findall(r"^COPY (.+) \S+$", (envs / "Containerfile").read_text(), re.M)
        for word in line.split()
    }
    assert all((root / name).exists() for name in copied)
    assert {"Snakefile", "config", "envs", "resources", "workflow"} <= copied
