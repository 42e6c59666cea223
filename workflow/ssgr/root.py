"""Where what belongs to the package but is no code lies: the embedded models, published numbers."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]
ROOT = _CHECKOUT if (_CHECKOUT / "workflow" / "Snakefile").is_file() else _PACKAGE
"""The folder that holds `resources`: the checkout; installed without one, the package itself."""
