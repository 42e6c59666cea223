"""README and docs are a promise: each command in them is valid, or says what hardware it needs."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from ssgr.__main__ import Stages
from ssgr.report.citation import entries

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = re.compile(r"#.*\bneeds (a|GPUs)\b")
"""What marks a command that this machine may not be able to run."""
AFTER_ANOTHER = {"config/smollm2.yaml"}
"""Needs the files that the command before it makes; tests/test_smollm2.py runs both."""
PLAN = """
import json, os, sys
from snakemake import cli

refused = []
for folder, arguments in json.load(sys.stdin):
    child = os.fork()
    if not child:
        os.chdir(folder)
        cli.main([*arguments, "--dry-run", "--quiet", "rules"])
    if os.waitpid(child, 0)[1]:
        refused.append(arguments)
sys.exit(f"refused: {refused}" if refused else 0)
"""
"""Plans many commands in one process, which imports Snakemake once."""


def fenced(page: Path, language: str) -> list[str]:
    """The code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.M | re.S)


def commands(page: Path, program: str) -> list[list[str]]:
    """The arguments of every command of a page that calls ``program`` and needs no hardware."""
    lines = "".join(fenced(page, "sh")).splitlines()
    runnable = [line for line in lines if not NEEDS.search(line)]
    parts = [part for line in runnable for part in re.split(r"&&|;", line.partition(" #")[0])]
    words = [shlex.split(part) for part in parts]
    return [each[1:] for each in words if each and Path(each[0]).name == program]


def own_file(page: Path) -> str:
    """The page's `mine.yaml`, or else the front page's."""
    examples = fenced(page, "yaml") + fenced(PAGES[0], "yaml")
    return next(each for each in examples if each.startswith("# mine.yaml\n"))


def test_every_snakemake_command_can_be_planned(tmp_path: Path) -> None:
    planned = []
    for page in PAGES:
        folder = tmp_path / page.stem
        folder.mkdir()
        for name in ("Snakefile", "config", "envs", "resources", "workflow"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "mine.yaml").write_text(own_file(page).replace("/data/pool", "pool"))
        found = commands(page, "snakemake")
        planned += [(str(folder), each) for each in found if not AFTER_ANOTHER & set(each)]
    assert len(planned) > 10
    done = subprocess.run(
        [sys.executable, "-c", PLAN], input=json.dumps(planned), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_stage_command_has_these_arguments(page: Path) -> None:
    for words in commands(page, "ssgr"):
        try:
            Stages(_cli_parse_args=words)  # type: ignore[call-arg] # parses; runs nothing
        except (SettingsError, SystemExit) as error:
            pytest.fail(f"ssgr {shlex.join(words)}: {error}")


def test_what_sets_up_the_tests_is_what_ci_runs() -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    lines = [line for line in "".join(fenced(PAGES[0], "sh")).splitlines() if "test" in line]
    assert len(lines) == 2
    assert all(line in ci for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(), flags=re.M)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, target


def test_the_front_page_cites_as_the_report_does() -> None:
    assert fenced(PAGES[0], "bibtex") == ["\n".join([*entries(ROOT / "CITATION.cff"), ""])]


def test_the_front_page_is_short() -> None:
    assert len(PAGES[0].read_text().splitlines()) <= 200
