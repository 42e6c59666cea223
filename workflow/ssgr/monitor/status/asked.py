"""Which configuration a run has: merged from files as Snakemake does, or read off its last run.

This is for the person at the terminal, who names files; every stage of the pipeline is given its
configuration by Snakemake.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ssgr.config import Config
from ssgr.errors import ConfigError
from ssgr.jobs.listing import PAPER, REPORT
from ssgr.jobs.validation import load_config
from ssgr.monitor.status.run import Run
from ssgr.root import ROOT

NAMED = re.compile(r"PosixPath\('([^']*)'\)")
ENTRY = re.compile(r"(?:^| )([A-Za-z_][\w-]*)=")
DEFAULT = ROOT / "config" / "config.yaml"
TARGETS = ("all", REPORT, PAPER)
NAME_IT = "name the configuration: ssgr status --configfile FILE …"


@dataclass(frozen=True)
class Asked:
    """A configuration, and what of it is asked for; ``follows``: just what the last run made."""

    config: Config
    targets: tuple[str, ...]
    follows: bool


def asked(
    directory: Path, words: Sequence[str], files: Sequence[Path], section: str | None, run: Run
) -> Asked:
    """Return what a run in ``directory`` was asked for.

    Args:
        directory: where Snakemake runs; a model's folder may be relative to it.
        words: further configuration files (``*.yaml``, ``*.json``), and targets.
        files: configuration files; they and the default are merged, later ones win. Without any,
            those of the last run, by Snakemake's log.
        section: the entry of the merged files that is this workflow's, where it is used as a
            module of another.
        run: the last run.

    Raises:
        ConfigError: a file cannot be read, the configuration is wrong, or a target unknown.
    """
    named = [*files, *(Path(word) for word in words if _is_file(word))]
    ran = [Path(name) for name in NAMED.findall(run.header.get("Config file(s)", ""))]
    follows = not named or _same(named, ran)
    default = _default(run)
    if default is None and not named:
        raise ConfigError(
            f"the last run here was of another workflow ({run.header['Snakefile']}), which may use "
            "this one as a module: name the file that holds its configuration, and the entry in it "
            "that is this module's: ssgr status --configfile FILE --section ENTRY"
        )
    given: dict[str, Any] = {}
    for path in named or ran:
        _merge(given, _read(path))
    if follows:
        _merge(given, _entries(run.header.get("Command", "")))
    raw = _read(default or DEFAULT)
    _merge(raw, _of_section(given, section))
    config = _checked(raw, directory, follows and not named)
    targets = [word for word in words if not _is_file(word)]
    check_targets(config, targets)
    ran_for = _targets(run, config) if follows else []
    return Asked(config, tuple(targets or ran_for), follows and targets in ([], ran_for))


def _is_file(word: str) -> bool:
    return word.endswith((".yaml", ".yml", ".json"))


def _same(one: Sequence[Path], other: Sequence[Path]) -> bool:
    return [path.resolve() for path in one] == [path.resolve() for path in other]


def _default(run: Run) -> Path | None:
    """The default configuration of the checkout that ran, or of this one; None: it is no checkout.

    The Snakefile lies in the checkout or in its ``workflow``.
    """
    if "Snakefile" not in run.header:
        return DEFAULT
    for root in Path(run.header["Snakefile"]).parents[:2]:
        path = root / "config" / "config.yaml"
        if (root / "workflow" / "ssgr").is_dir() and path.is_file():
            return path
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML or JSON: {error}; {NAME_IT}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no keys at its top level; {NAME_IT}")
    return found


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Entry by entry, as Snakemake does: mappings are merged, all else is replaced."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            below = into.get(key)
            into[key] = dict(below) if isinstance(below, Mapping) else {}
            _merge(into[key], value)
        else:
            into[key] = value


def _of_section(given: dict[str, Any], section: str | None) -> Mapping[str, Any]:
    if section is None:
        return given
    found = given.get(section)
    if not isinstance(found, Mapping):
        valid = ", ".join(sorted(given)) or "none"
        raise ConfigError(f"--section {section}: the files have no such entry; there are: {valid}")
    return found


def _checked(raw: Mapping[str, Any], directory: Path, guessed: bool) -> Config:
    try:
        with contextlib.chdir(directory):
            return load_config(raw)
    except ConfigError as error:
        hint = f"\nThese are the files of the last run here. If it is another's, {NAME_IT}"
        raise ConfigError(f"{error}{hint if guessed else ''}") from error


def _entries(command: str) -> dict[str, Any]:
    """What a command line sets by ``--config key=value …``; the log has lost its quotes."""
    found: dict[str, Any] = {}
    for text in re.findall(r" (?:--config|-C) (.*?)(?= --?[A-Za-z]| -- |$)", command):
        names = list(ENTRY.finditer(text))
        for one, following in zip(names, [*names[1:], None], strict=True):
            value = text[one.end() : following.start() if following else None]
            _merge(found, {one[1]: _value(value)})
    return found


def _value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _targets(run: Run, config: Config) -> list[str]:
    """The targets among the words of the last command."""
    words = run.header.get("Command", "").split(" ")
    valid = {*TARGETS, *config.experiments}
    before = zip(["", *words], words, strict=False)
    return [
        word
        for option, word in before
        if word in valid and not (word == "all" and option.startswith("-") and option != "--")
    ]


def check_targets(config: Config, targets: Sequence[str]) -> None:
    """Refuse what is no target: ConfigError, with those there are."""
    valid = [*TARGETS, *config.experiments]
    for target in targets:
        if target not in valid:
            raise ConfigError(
                f"{target!r} is neither a target ({', '.join(valid)}) nor a configuration file "
                "(*.yaml, *.json)"
            )
