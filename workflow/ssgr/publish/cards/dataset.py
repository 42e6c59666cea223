"""The dataset card of an exported calibration set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import DatasetCardData

from ssgr.publish.cards.model import environment

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K"}


@dataclass(frozen=True)
class DatasetFacts:
    """What the card of a calibration set says.

    ``columns`` are the data set's, ``longest`` its longest sequence in tokens, ``keys`` its point's
    in the workflow, ``funnel`` a Funnel.
    """

    name: str
    model: str
    columns: Sequence[str]
    sequences: int
    tokens: int
    longest: int
    keys: Mapping[str, str]
    funnel: Sequence[Mapping[str, Any]]
    licence: str | None


def dataset_card(facts: DatasetFacts) -> str:
    """Return the card, in Markdown with the front matter that `datasets` reads."""
    data = DatasetCardData(
        license=facts.licence,
        task_categories=["text-generation"],
        size_categories=next(
            (name for end, name in SIZES.items() if facts.sequences < end), "100K<n<1M"
        ),
        pretty_name=f"Calibration set {facts.name}",
        tags=["calibration", "pruning", "quantization", "ssgr"],
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            }
        ],
    )
    template = environment().get_template("dataset.md.j2")
    return template.render(front=data.to_yaml(), facts=facts)
