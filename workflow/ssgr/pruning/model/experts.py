"""Mixtures of experts as linears: what transformers keeps as 3-D parameters, matrix by matrix.

A pruner needs every expert's matrices apart, with the inputs of the tokens that were routed to it.
The fused module is replaced by one whose experts are ``nn.Linear``s; routing stays the model's own.
Routers and the gates of shared experts are never pruned: they are tiny, and decide everything.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations import moe

from ssgr.errors import ModelError

# of a module beside the experts, or of its class
ROUTER = re.compile(r"(^|_)(gate|router)$|Router|Gate$")


class Matrix(nn.Linear):
    """A linear made of a matrix that is there already [rows, columns]; it is not copied."""

    def __init__(self, weight: Tensor) -> None:
        """Skip the initialisation of an ``nn.Linear``, which is slow for thousands of experts."""
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_parameter("bias", None)


class Expert(nn.Module):
    """One expert; ``tokens`` are the flat positions of the tokens it is being run on."""

    tokens: Tensor | None = None

    def __init__(self, gate: Tensor, up: Tensor, down: Tensor, activation: nn.Module) -> None:
        """Make linears of three matrices, without copying them."""
        super().__init__()
        self.gate_proj = Matrix(gate)
        self.up_proj = Matrix(up)
        self.down_proj = Matrix(down)
        self.activation = activation

    def forward(self, hidden: Tensor) -> Tensor:
        """Run the gated feed-forward layer on [tokens, width]."""
        gated: Tensor = self.activation(self.gate_proj(hidden)) * self.up_proj(hidden)
        down: Tensor = self.down_proj(gated)
        return down


class Experts(nn.ModuleList):
    """The experts of one block, called as transformers calls the module they replace."""

    @torch.no_grad()
    def forward(self, hidden: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Return the weighted sum of every token's experts, [tokens, width].

        Args:
            hidden: [tokens, width].
            top_k_index: the experts of every token, [tokens, k].
            top_k_weights: their weights, [tokens, k].
        """
        total = torch.zeros_like(hidden, dtype=torch.promote_types(hidden.dtype, torch.float32))
        for index, expert in enumerate(self):
            assert isinstance(expert, Expert)
            tokens, places = torch.where(top_k_index == index)
            if len(tokens) == 0:
                continue
            expert.tokens = tokens
            try:
                output = expert(hidden[tokens])
            finally:
                expert.tokens = None
            # a token is with an expert at most once, so this adds in one fixed order
            total.index_add_(0, tokens, (output * top_k_weights[tokens, places, None]).to(total))
        return total.to(hidden.dtype)


def unfuse(model: nn.Module) -> None:
    """Replace fused experts everywhere in ``model``; the new matrices share the old memory.

    Raises:
        ModelError: experts are kept in a way that is not understood.
    """
    fused = {name: module for name, module in model.named_modules() if is_fused(module)}
    for name, module in fused.items():
        model.set_submodule(name, _apart(name, module))


def is_fused(module: nn.Module) -> bool:
    """Return whether a module holds experts' matrices stacked along a first axis."""
    own = dict(module.named_parameters(recurse=False))
    return any(name in own and own[name].dim() == 3 for name in ("gate_up_proj", "down_proj"))


def routers(block: nn.Module) -> set[str]:
    """Return the names of the modules beside experts that decide who computes: they stay dense."""
    found = set()
    for name, module in block.named_modules():
        if any(_are_experts(name, child) for name, child in module.named_children()):
            place = f"{name}." if name else ""
            found |= {place + n for n, child in module.named_children() if _routes(n, child)}
    return found


def _routes(name: str, module: nn.Module) -> bool:
    """Return whether a module beside experts decides who computes, by its name or its class."""
    return bool(ROUTER.search(name) or ROUTER.search(type(module).__name__))


def _are_experts(name: str, module: nn.Module) -> bool:
    """Return whether these are experts: ours, or a list of them that a model's own code keeps."""
    return isinstance(module, Experts) or (name == "experts" and isinstance(module, nn.ModuleList))


def routed_tokens(block: nn.Module, name: str) -> Tensor | None:
    """Return which tokens (flat positions) a linear of ``block`` is being run on; None: all."""
    parent = block.get_submodule(name.rpartition(".")[0])
    return parent.tokens if isinstance(parent, Expert) else None


def _apart(name: str, fused: Any) -> Experts:
    form = {
        flag: getattr(fused, flag, None)
        for flag in ("has_gate", "is_concatenated", "has_bias", "is_transposed")
    }
    usual = form == dict(zip(form, (True, True, False, False), strict=True))
    plain = not getattr(fused, "has_post_expert_norm", False)  # older releases have none
    own_gate = getattr(type(fused), "_apply_gate", None) is not moe._default_apply_gate
    parameters = {key: tuple(value.shape) for key, value in fused.named_parameters()}
    if not usual or not plain or own_gate or set(parameters) != {"gate_up_proj", "down_proj"}:
        raise ModelError(
            f"{name} ({type(fused).__name__}) keeps its experts as {parameters}, {form}: only "
            "gated experts without biases are understood, and these would silently stay dense"
        )
    half = fused.gate_up_proj.shape[1] // 2  # [experts, 2 x intermediate, width]
    return Experts(
        Expert(gate_up[:half], gate_up[half:], down, fused.act_fn)
        for gate_up, down in zip(fused.gate_up_proj.data, fused.down_proj.data, strict=True)
    )
