"""How to cite the paper and this software: BibTeX from CITATION.cff, which also GitHub reads."""

import re
from pathlib import Path
from typing import Any

import yaml

from ssgr.errors import ReportError

Entry = dict[str, Any]


def entries(cff: Path) -> list[str]:
    """Return BibTeX entries: of the works that a CITATION.cff refers to, then of the software.

    There are none where there is no such file: a package that was installed without its repository.

    Raises:
        ReportError: the file is no citation; names it.
    """
    if not cff.exists():
        return []
    try:
        whole = yaml.safe_load(cff.read_text("utf-8"))
        return [_bibtex(one) for one in (*whole.get("references", []), whole)]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError) as error:
        raise ReportError(
            f"{cff} does not say how to cite this software ({error!r}): restore the file from the "
            "repository"
        ) from error


def _bibtex(entry: Entry) -> str:
    kinds = {"article": "article", "conference-paper": "inproceedings"}
    kind = kinds.get(entry["type"], "software")
    surname, year = _name(entry["authors"][0]).split(",")[0], entry.get("year")
    word = re.sub(r"\W.*", "", str(entry["title"]).lower())
    key = f"{surname.split()[-1].lower()}{year or ''}{word}" if kind != "software" else "ssgr"
    fields = {
        "title": f"{{{entry['title']}}}",
        "author": " and ".join(_author(author) for author in entry["authors"]),
        "year": year,
        "journal": entry.get("journal") or _preprint(str(entry.get("url", ""))),
        "version": entry.get("version"),
        "license": entry.get("license"),
        "url": entry.get("url") or entry.get("repository-code"),
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value is not None]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def _preprint(url: str) -> str | None:
    """The journal of an article on arXiv."""
    place, _, number = url.rpartition("/")
    return f"arXiv preprint arXiv:{number}" if "arxiv.org" in place else None


def _name(author: Entry) -> str:
    given = author.get("given-names")
    return f"{author['family-names']}, {given}" if given else author["name"]


def _author(author: Entry) -> str:
    """An author for BibTeX, which would part the words of a group's name without braces."""
    return _name(author) if "family-names" in author else f"{{{author['name']}}}"
