#!/usr/bin/env bash
# polars 2.1.0: a folder's key hides the file's column of the same name.
# Expected: a file with a column "sparsity" in a folder "sparsity=40" is an error, or gives its own column.
# Seen: hive partitioning puts 40 in every row; nothing is said.
set -euo pipefail
. "$(dirname "$0")/scratch.sh"
scratch polars==2.1.0
python - <<'PY'
from pathlib import Path

import polars as pl

print("polars", pl.__version__)
place = Path("table/sparsity=40")
place.mkdir(parents=True)
pl.DataFrame({"matrix": ["q", "k"], "sparsity": [0.25, 0.75]}).write_parquet(place / "part.parquet")
alone = pl.read_parquet(place / "part.parquet", hive_partitioning=False)["sparsity"].to_list()
under_key = pl.read_parquet("table", hive_partitioning=True)["sparsity"].to_list()
print("expected:", alone)
print("seen:    ", under_key)
assert alone == [0.25, 0.75] and under_key == [40, 40], "the behaviour has changed"
PY
