from pathlib import Path

from ssgr.reference import reference


def test_the_reference_page_is_what_the_schema_says(root: Path) -> None:
    written = (root / "config" / "README.md").read_text()
    assert written == reference(), "run: python -m ssgr.reference > config/README.md"
