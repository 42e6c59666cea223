"""Digests see what changes a result, and nothing else."""

import ast
import shutil
from pathlib import Path

import pytest

from ssgr.storage import provenance

SOURCES = {
    "__init__.py": '"""A package."""\n',
    "rule.py": "from pkg.part import one\n\n\ndef rule():\n    return one()\n",
    "part.py": '"""Why."""\n\n\ndef one():\n    """One."""\n    return 1\n',
    "other.py": "X = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny package in place of ours."""
    folder = tmp_path / "ssgr"
    folder.mkdir()
    for name, text in SOURCES.items():
        (folder / name).write_text(text.replace("pkg.", "ssgr."))
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    return folder


def digest() -> str:
    return provenance.code_digest("ssgr.rule")


def test_only_code_that_runs_changes_the_digest(package: Path) -> None:
    before = digest()
    (package / "part.py").write_text(
        "# a comment\ndef one():\n    '''Said otherwise.'''\n    return 1\n"
    )
    (package / "other.py").write_text("X = 2\n")
    assert digest() == before
    (package / "part.py").write_text("def one():\n    return 2\n")
    assert digest() != before


def test_code_that_moves_keeps_its_digest(package: Path) -> None:
    """To another file, which is imported from there, in another order."""
    (package / "rule.py").write_text(
        "import ast\nfrom ssgr.part import one\n\n\ndef rule():\n    return one()\n"
    )
    before = digest()
    (package / "deep").mkdir()
    (package / "deep" / "__init__.py").write_text("")
    (package / "part.py").rename(package / "deep" / "piece.py")
    (package / "rule.py").write_text(
        "from ssgr.deep.piece import one\nimport ast\n\n\ndef rule():\n    return one()\n"
    )
    assert digest() == before
    (package / "rule.py").write_text(
        "from ssgr.deep.piece import one\nimport ast as tree\n\n\ndef rule():\n    return one()\n"
    )
    assert digest() != before


def test_the_digest_of_selection_is_not_that_of_sampling() -> None:
    digests = {
        provenance.code_digest(f"ssgr.{name}") for name in ("selection", "grading", "scores")
    }
    assert len(digests) == 3


def test_one_pruner_is_not_in_the_digest_of_another(root: Path, tmp_path: Path) -> None:
    files = {path.name for path in provenance.closure("ssgr.pruning.pruners.wanda")}
    assert "wanda.py" in files
    assert "sparsegpt.py" not in files
    assert "masks.py" in files


def test_a_retrained_model_has_another_fingerprint(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(bytes(3_000_000))
    before = provenance.fingerprint(str(model))
    moved = shutil.copytree(model, tmp_path / "moved")
    assert provenance.fingerprint(str(moved)) == before
    data = bytearray(bytes(3_000_000))
    data[1_500_000:1_700_000] = b"x" * 200_000
    (moved / "model.safetensors").write_bytes(data)
    provenance.fingerprint.cache_clear()
    assert provenance.fingerprint(str(moved)) != before
    assert provenance.fingerprint("some/hub-id") == ""


def test_the_digest_of_code_is_the_same_under_every_python() -> None:
    """Frozen: users with other versions share grades, and an upgrade reruns nothing."""
    code = "def f(x: int, *, y=b'1') -> str:\n    return f'{x!r:>{y}}' if not x else x[1:]\n"
    assert provenance.dump(ast.parse(code)) == FROZEN


FROZEN = (
    "Module(body=[FunctionDef(name='f', args=arguments(args=[arg(arg='x', "
    "annotation=Name(id='int'))], kwonlyargs=[arg(arg='y')], "
    "kw_defaults=[Constant(value=b'1')]), body=[Return(value=IfExp(test=UnaryOp(op=Not(), "
    "operand=Name(id='x')), body=JoinedStr(values=[FormattedValue(value=Name(id='x'), "
    "conversion=114, format_spec=JoinedStr(values=[Constant(value='>'), "
    "FormattedValue(value=Name(id='y'), conversion=-1)]))]), "
    "orelse=Subscript(value=Name(id='x'), slice=Slice(lower=Constant(value=1)))))], "
    "returns=Name(id='str'))])"
)
