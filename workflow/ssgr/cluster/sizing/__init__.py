"""How large a model is, what its jobs need, and whether they fit: from ``config.json`` alone.

Importing this package is light: no torch, and no network unless a config is fetched on purpose.
"""

from ssgr.cluster.sizing.families import shape_of
from ssgr.cluster.sizing.shape import Block, Input, Shape

__all__ = ["Block", "Input", "Shape", "shape_of"]
