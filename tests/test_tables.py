"""Tables appear whole, carry their spec, and say what is wrong with a foreign one."""

from pathlib import Path

import polars as pl
import pytest

from ssgr.errors import TableError
from ssgr.tables import Documents, Problems, read, read_spec, write

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
