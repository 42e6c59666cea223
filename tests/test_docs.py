"""README and docs are a promise: each command in them is valid, or says what hardware it needs."""

import json
import os
import re
import shlex
import shutil
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


USES = {
    "A pruner": "from ssgr.pruning import pruner_names; assert 'energy' in pruner_names()\n"
    "import ssgr.pruning.pruners.energy",
    "A quality filter": "from ssgr.config import Filters\n"
    "from ssgr.selection.filters import checks, measure_of\n"
    "assert 'max_thinking_tokens' in checks(Filters(max_thinking_tokens=9))\n"
    "from ssgr.storage.tables import Grades\n"
    "assert measure_of('max_thinking_tokens') in Grades.column_names()",
    "A length rule": "from ssgr.selection.length_rules import LENGTH_RULES\n"
    "assert LENGTH_RULES['second-shortest']([3, 5, 8], 99) == 1",
    "A sampling engine": "from ssgr.sampling.engines import versions\n"
    "assert versions('echo') == {}",
    "A loader": "from ssgr.config import Benchmark; from ssgr.problems import load\n"
    "entry = Benchmark.model_validate({'data': {'loader': 'sums', 'count': 3}})\n"
    "table, schema = load(entry.data); assert len(schema.validate(table)) == 3",
    "A section of the report": "from ssgr.report.typesetting import environment\n"
    "page = environment('ssgr.report').get_template('sizes.html.j2')\n"
    "assert 'include \"sizes' in open('ssgr/report/template.html.j2').read()",
}
"""What each diff of docs/extending.md adds, used."""


@pytest.mark.parametrize("addition", USES)
def test_every_diff_applies_and_adds_what_it_says(addition: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "extending.md").read_text()
    [diff] = re.findall(r"^```diff\n(.*?)^```$", section(page, addition), flags=re.M | re.S)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow", ignore=ignored)
    shutil.copytree(ROOT / "resources", tmp_path / "resources", ignore=ignored)
    applied = subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, input=diff, text=True, capture_output=True,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
    )  # fmt: skip
    assert applied.returncode == 0, applied.stderr
    package = tmp_path / "workflow"
    used = subprocess.run(
        [sys.executable, "-c", USES[addition]], cwd=package, text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(package)},
    )  # fmt: skip
    assert used.returncode == 0, used.stderr


def section(page: str, title: str) -> str:
    """A section of a Markdown page, by its title."""
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_diff_is_used() -> None:
    assert len(fenced(ROOT / "docs" / "extending.md", "diff")) == len(USES)
