"""Tables appear whole, carry their spec, and say what is wrong with a foreign one."""

import re
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from ssgr.errors import TableError
from ssgr.jobs.grid import CALIBRATION_KEYS, CHECKPOINT_KEYS, KEYS
from ssgr.storage import tables
from ssgr.storage.tables import Documents, Problems, read, read_spec, write

TABLE = pl.DataFrame({"document_id": ["a", "b"], "text": ["one", "two"]})


def test_round_trip_keeps_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "documents.parquet"
    write(TABLE, Documents, path, '{"seed": 1}')
    assert read(path, Documents).equals(TABLE)
    assert read_spec(path) == '{"seed": 1}'
    assert [file.name for file in path.parent.iterdir()] == ["documents.parquet"]


def test_a_bad_table_is_not_written_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "documents.parquet"
    write(TABLE, Documents, path)
    doubled = pl.concat([TABLE, TABLE])
    with pytest.raises(TableError, match="primary_key"):
        write(doubled, Documents, path)
    with pytest.raises(TableError, match="text"):
        write(TABLE.with_columns(text=pl.lit("")), Documents, path)
    assert read(path, Documents).equals(TABLE)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("keep", [0, 3, 100, -5])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "documents.parquet"
    write(TABLE, Documents, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TableError, match=r"documents\.parquet is not a whole Parquet file"):
        read(path, Documents)


def test_a_foreign_or_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "documents.parquet"
    with pytest.raises(TableError, match="does not exist"):
        read(path, Documents)
    write(TABLE, Documents, path)
    with pytest.raises(TableError, match="not a Problems table: it lacks the columns"):
        read(path, Problems)
    TABLE.with_columns(text=pl.lit(1)).write_parquet(path)
    with pytest.raises(TableError, match="breaks the Documents schema"):
        read(path, Documents)


def test_no_table_has_a_column_named_as_a_key_of_its_path(root: Path) -> None:
    """Whoever scans with hive partitioning would get the key's value in place of the column's."""
    paths = {
        tables.Problems: {"source", "benchmark"},
        tables.Documents: {"source"},
        tables.Dropped: {"source"},
        tables.Responses: {"model", "source", "sampling", *CHECKPOINT_KEYS, "benchmark"},
        tables.Grades: {"model", "source", "sampling", "grader", *CHECKPOINT_KEYS, "benchmark"},
        tables.Verdicts: {"model", "source"},
        tables.Candidates: {*CALIBRATION_KEYS, "wave"},
        tables.Calibration: {*CALIBRATION_KEYS},
        tables.Funnel: {*CALIBRATION_KEYS, "wave"},
        tables.PruningReport: {*CHECKPOINT_KEYS},
        tables.BlockReport: {*CHECKPOINT_KEYS},
        tables.Scores: {*CHECKPOINT_KEYS, "benchmark"},
    }
    written = {
        schema
        for schema in vars(tables).values()
        if isinstance(schema, type) and issubclass(schema, dy.Schema) and schema is not dy.Schema
    }
    parts = {tables.TokenSequences, tables.Prompts}  # of a Calibration table, which is what is read
    assert written - parts == set(paths)
    for schema, keys in paths.items():
        assert keys <= KEYS.keys()
        assert not keys & {*schema.column_names()}, schema
    rules = "".join(path.read_text() for path in (root / "workflow" / "rules").glob("*.smk"))
    assert set(re.findall(r"(?<=[/\"])([a-z]+)=\{", rules)) <= KEYS.keys() | {"results"}


def test_brackets_in_a_path_are_no_pattern(tmp_path: Path) -> None:
    path = tmp_path / "res[1]" / "problems.parquet"
    row = {"problem_id": "a", "question": "1+1?", "answer": "2"}
    empty = dict.fromkeys(("solution", "subject", "level"))
    tables.write(pl.DataFrame([row | empty]), tables.Problems, path)
    assert tables.count_rows(path) == len(tables.read(path, tables.Problems)) == 1


def test_no_path_is_read_as_a_pattern(root: Path) -> None:
    for path in (root / "workflow" / "ssgr").rglob("*.py"):
        for call in re.findall(
            r"pl\.(?:scan|read)_parquet\((?:[^()]|\([^()]*\))*\)", path.read_text()
        ):
            assert "glob=False" in call or "BytesIO" in call, (path, call)
