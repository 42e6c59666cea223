"""Plain English that may be shipped: the Python documentation that every Python carries.

`extract` made `prose.jsonl.gz` from `pydoc_data.topics` (PSF licence); the file
is kept so that the text is the same under every Python. A quarter of it is held out from training.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from recipe.dice import Dice
from ssgr.errors import SsgrError

PROSE = Path(__file__).with_name("prose.jsonl.gz")
_PUNCTUATION = " ,.'\"()*_:;-"
_LONGEST = 600  # characters of a document, so that it is about as long as a response
_LIBRARY = ("types", "string-methods", "debugger", "formatstrings", "sequence-types", "numeric")
"""Topics of the library reference begin so; the others are of the language reference."""
KINDS = ("prose", "prose-library", "prose-language")
"""What training held out, and two parts of what it saw: a language model has read Wikipedia."""


def _paragraphs(topic: str) -> Iterator[str]:
    """Yield the running text of one topic; code, grammar, tables and headings are left out."""
    for block in topic.split("\n\n"):
        text = re.sub(r"\s+", " ", block).strip()
        if re.search(r"::=|>>>|\+--", text) or len(text.split(" ")) < 9:
            continue
        wordlike = sum(character.isalpha() or character in _PUNCTUATION for character in text)
        opens = text[0].isalnum() or text[0] in '"*'
        if opens and text[-1] in ".:)!" and wordlike > 0.9 * len(text):
            yield text


def _documents(topic: str) -> Iterator[str]:
    """Join neighbouring paragraphs to documents of at most `_LONGEST` characters."""
    held: list[str] = []
    for paragraph in _paragraphs(topic):
        if held and sum(map(len, held)) + len(paragraph) > _LONGEST:
            yield "\n".join(held)
            held = []
        held.append(paragraph)
    if held:
        yield "\n".join(held)


def extract(path: Path) -> int:
    """Write the documents of this Python's own documentation to a gzipped JSON-lines file.

    Returns their number. Each has `document_id`, `split` (training, held-out) and `text`.
    """
    from pydoc_data.topics import topics

    seen: set[str] = set()
    lines: list[str] = []
    for name in sorted(topics):
        for number, text in enumerate(_documents(topics[name])):
            if text in seen:
                continue
            seen.add(text)
            mark = hashlib.sha256(text.encode()).digest()[0]
            split = "held-out" if mark % 4 == 0 else "training"
            record = {"document_id": f"{name}-{number:03d}", "split": split, "text": text}
            lines.append(json.dumps(record, ensure_ascii=False))
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return len(lines)


def load(split: str, path: Path = PROSE) -> list[dict[str, str]]:
    """Read the documents of one split (training, held-out): document_id and text.

    Raises:
        SsgrError: the file is missing or is not what `extract` writes.
    """
    try:
        records = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        chosen = [record for record in records if record["split"] == split]
        return [{key: record[key] for key in ("document_id", "text")} for record in chosen]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise SsgrError(
            f"{path}: cannot read abacus's plain text ({type(error).__name__}: {error}); expected "
            "gzipped JSON lines with document_id, split and text; restore the file from git"
        ) from error


def documents(
    count: int, seed: int, path: Path = PROSE, kind: str = "prose"
) -> list[dict[str, str]]:
    """Draw `count` documents (document_id, text) of a kind in an order set by the seed.

    Raises:
        SsgrError: there are fewer documents of the kind than asked for.
    """
    there = of_kind(kind, path)
    if not 0 <= count <= len(there):
        raise SsgrError(
            f"{path}: {count} documents of kind {kind!r} asked for, but there are {len(there)}; "
            f"ask for at most {len(there)}"
        )
    return Dice(f"documents/{seed}").shuffled(there)[:count]


def of_kind(kind: str, path: Path = PROSE) -> list[dict[str, str]]:
    """Return all documents of a kind, in the order of the file."""
    if kind not in KINDS:
        raise SsgrError(f"abacus has no documents of kind {kind!r}; kinds are {', '.join(KINDS)}")
    if kind == "prose":
        return load("held-out", path)
    library = kind == "prose-library"
    return [
        document
        for document in load("training", path)
        if document["document_id"].startswith(_LIBRARY) == library
    ]
