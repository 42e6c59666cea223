"""Keys that stand twice in a file of YAML: its readers keep the last block and drop the others."""

from collections.abc import Iterator
from pathlib import Path

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def twice(file: Path) -> list[str]:
    """Return the keys that a mapping of a YAML or JSON file holds twice, each with both lines.

    What is no YAML at all is left to Snakemake, and templates (yte) are not looked into.
    """
    try:
        root = yaml.compose(file.read_text("utf-8"), LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return []
    if root is None or any(place.endswith("__use_yte__") for place, _ in _places(root)):
        return []
    return [
        f"{file}: {place} stands twice, in lines {' and '.join(map(str, lines))}: only the last "
        "counts"
        for place, lines in _places(root)
        if len(lines) > 1
    ]


def _places(node: yaml.Node, above: str = "") -> Iterator[tuple[str, list[int]]]:
    """Every key with the lines in which its mapping holds it."""
    if isinstance(node, yaml.SequenceNode):
        for number, inside in enumerate(node.value):
            yield from _places(inside, f"{above}.{number}")
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, list[int]] = {}
    for key, inside in node.value:
        place = f"{above}.{key.value}".lstrip(".")
        if key.tag != "tag:yaml.org,2002:merge":
            lines.setdefault(place, []).append(key.start_mark.line + 1)
        yield from _places(inside, place)
    yield from lines.items()
