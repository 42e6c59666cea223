"""What a causal language model consists of: an embedding, decoder blocks, a head, and a bit around.

Structures that are not understood are refused here, before anything is read or computed: a matrix
that is overlooked would silently stay dense.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from ssgr.errors import ModelError
from ssgr.pruning.model import experts


@dataclass(frozen=True)
class Parts:
    """The parts of a model whose experts are unfused; names are those of its state dict.

    Attributes:
        prefix: name of the list of blocks.
        blocks: the decoder blocks.
        embedding: the token embedding.
        ends: parameters of embedding (its matrix first) and head: large, so read when needed.
        head: parameters of the head.
        around: parameters and buffers around the blocks, such as the final norm: small.
    """

    prefix: str
    blocks: nn.ModuleList
    embedding: nn.Module
    ends: list[str]
    head: list[str]
    around: list[str]

    @classmethod
    def of(cls, model: PreTrainedModel) -> "Parts":
        """Find the parts of a model.

        Raises:
            ModelError: its structure is not understood.
        """
        prefix, blocks = _blocks(model)
        config = model.config.get_text_config(decoder=True)
        if getattr(config, "num_kv_shared_layers", 0):
            raise ModelError(
                f"{type(model).__name__}: its last {config.num_kv_shared_layers} blocks use keys "
                "and values of earlier ones: this architecture is not supported"
            )
        embedding = model.get_input_embeddings()
        head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        if not isinstance(embedding, nn.Module) or not isinstance(head, nn.Module):
            raise ModelError(f"{type(model).__name__} has no token embedding or no head")
        lookup = f"{_name(model, embedding)}.weight"
        heads = [f"{_name(model, head)}.{name}" for name in head.state_dict()]
        outer = prefix.rpartition(".")[0]
        _refuse_second_lookup(model.get_submodule(outer), embedding)
        ends = {lookup, *heads}
        around = [n for n in model.state_dict() if not n.startswith(f"{prefix}.") and n not in ends]
        return cls(prefix, blocks, embedding, [lookup, *heads], heads, around)

    def linears(self, index: int) -> dict[str, nn.Linear]:
        """Return the prunable linears of a block by name within the block.

        Raises:
            ModelError: a matrix of the block is neither the weight of an ``nn.Linear`` nor a
                router, or is quantised, or there is no linear.
        """
        block = self.blocks[index]
        linears = {n: m for n, m in block.named_modules() if isinstance(m, nn.Linear)}
        routers = tuple(f"{router}." for router in experts.routers(block))
        known = {f"{name}.weight" for name in linears}
        for name, parameter in block.named_parameters():
            place = f"{self.prefix}.{index}.{name}"
            if name in known and not parameter.is_floating_point():
                raise ModelError(
                    f"{place} is stored as {parameter.dtype}: quantised "
                    "models cannot be pruned; use the unquantised checkpoint"
                )
            if parameter.dim() > 1 and name not in known and not name.startswith(routers):
                raise ModelError(
                    f"{place} has shape {tuple(parameter.shape)} and is not the weight of an "
                    "nn.Linear (convolutions and the like are not supported): it would silently "
                    "stay dense"
                )
        linears = {n: linear for n, linear in linears.items() if not f"{n}.".startswith(routers)}
        if not linears:
            raise ModelError(f"{self.prefix}.{index} has no nn.Linear: nothing to prune")
        return linears


def _blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Find the list of decoder blocks and its name."""
    config = model.config.get_text_config(decoder=True)
    depth = getattr(config, "num_hidden_layers", None)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) == depth
        and any(isinstance(child, nn.Linear) for child in module[0].modules())
    }
    outermost = [name for name in found if not any(name.startswith(f"{o}.") for o in found)]
    if len(outermost) != 1:
        raise ModelError(
            f"{type(model).__name__}: expected one list of {depth} decoder blocks with "
            f"nn.Linear inside, found {outermost or 'none'}; this architecture is not supported"
        )
    return outermost[0], found[outermost[0]]


def _name(model: nn.Module, part: nn.Module) -> str:
    names: dict[nn.Module, str] = {module: name for name, module in model.named_modules()}
    return names[part]


def _refuse_second_lookup(outer: nn.Module, embedding: nn.Module) -> None:
    """Refuse models that look tokens up again beside their embedding (as Gemma 3n does)."""
    words: torch.Tensor = embedding.get_parameter("weight")
    for name, module in outer.named_modules():
        if isinstance(module, nn.Embedding) and module is not embedding:
            rows = module.num_embeddings
            if 2 * rows >= words.shape[0] and "position" not in name:
                raise ModelError(
                    f"{type(outer).__name__}.{name} embeds tokens once more ({rows} rows), so that "
                    "blocks depend on token ids: this architecture is not supported"
                )
