"""The shared pool's promise: what lies there was made from what the configuration says.

A pool outlives a working directory, so Snakemake's records cannot vouch for it. Every table
carries the spec that made it; a configuration that disagrees gets an error, never a mixture.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from ssgr.errors import ConfigError, TableError
from ssgr.tables import read_spec


def check(path: Path, wanted: Mapping[str, object]) -> None:
    """Compare a pool's table, if it exists, with what the configuration wants of it.

    Args:
        path: a table of the pool.
        wanted: parts of its spec, by name, as :func:`ssgr.provenance.describe` wrote them.

    Raises:
        ConfigError: names the table, the part that differs and the ways out.
        TableError: the table is truncated, or not this pipeline's.
    """
    if not path.is_file():
        return
    spec = read_spec(path)
    if not spec:
        raise TableError(f"the pool's {path} was not made by this pipeline: move it away")
    stored = json.loads(spec)
    for part, value in wanted.items():
        if stored.get(part) != value:
            raise ConfigError(
                f"the pool's {path} was made with {part} = {json.dumps(stored.get(part))}, the "
                f"configuration says {json.dumps(value)}. A pool never mixes two: give this one "
                "another name (models, sources) or another pool.path, or delete what the pool "
                "holds of it."
            )
