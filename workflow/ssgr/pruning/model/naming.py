"""Which tensor of the files is which parameter of the model.

transformers renames tensors as it loads them (older names, prefixes, experts that it fuses). Its
own rules are asked for the answer, so that a folder means here what it means to everyone else.
"""

import re
from collections.abc import Iterable

from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    Concatenate,
    MergeModulelist,
    WeightConverter,
    WeightRenaming,
    rename_source_key,
)

from ssgr.errors import ModelError

EXPERT = re.compile(r"\.experts\.(\d+)\.")
# what transformers stacks, and of which matrices
EXPERTS = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}


def stored_names(model: PreTrainedModel, stored: Iterable[str]) -> dict[str, str]:
    """Return what every parameter that is stored is called in the files.

    ``model`` is as transformers makes it, experts still fused; the parameters of experts are
    returned under the names that `experts.unfuse` gives them. Tied parameters that are stored once
    both get that name.

    Raises:
        ModelError: a tensor would have to be rearranged to become a parameter.
    """
    rules = get_model_conversion_mapping(model)
    renamings = [rule for rule in rules if isinstance(rule, WeightRenaming)]
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    converter_of = {pattern: rule for rule in converters for pattern in rule.source_patterns}
    wanted = model.state_dict()
    names: dict[str, str] = {}
    for key in stored:
        name, pattern = rename_source_key(
            key, renamings, converters, model.base_model_prefix, wanted
        )
        if name not in wanted and key in wanted:
            name, pattern = key, None
        if name not in wanted:
            continue  # such as the rotary frequencies that old checkpoints hold
        if pattern is None and wanted[name].dim() == 3 and name.rpartition(".")[2] in EXPERTS:
            raise ModelError(
                f"{key} stacks the matrices of all experts: a checkpoint is supported that stores "
                "them one by one"
            )
        if pattern is not None:
            name = _unfused(key, name, pattern, converter_of[pattern])
        names[name] = key
    return _with_tied(model, names)


def _unfused(key: str, name: str, pattern: str, converter: WeightConverter) -> str:
    """Return the name of one expert's matrix that transformers would stack with others."""
    operations = [(type(step), getattr(step, "dim", None)) for step in converter.operations]
    number = EXPERT.search(key)
    stem, _, last = name.rpartition(".")
    parts = EXPERTS.get(last, ())
    stacked = [(MergeModulelist, 0), (Concatenate, 1)][: len(parts)]
    if number is None or not parts or operations != stacked:
        raise ModelError(
            f"{key} would have to be rearranged to become {name} "
            f"({', '.join(kind.__name__ for kind, _ in operations)}): a checkpoint stored like "
            "this is not supported"
        )
    part = parts[converter.source_patterns.index(pattern)]
    return f"{stem}.{number[1]}.{part}.weight"


def _with_tied(model: PreTrainedModel, names: dict[str, str]) -> dict[str, str]:
    """Let tied parameters stand in for each other where only one is stored."""
    for target, source in (model.all_tied_weights_keys or {}).items():
        if source in names:
            names.setdefault(target, names[source])
        elif target in names:
            names[source] = names[target]
    return names
