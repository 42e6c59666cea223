"""What a look at a configuration finds."""

from dataclasses import dataclass, field


@dataclass
class Found:
    """``mistakes`` are refused; ``warnings`` may be meant, and are said."""

    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
