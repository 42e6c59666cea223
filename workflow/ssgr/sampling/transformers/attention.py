"""Attention of one new token a row over the slot cache, as two batched matrix products.

PyTorch's fused CPU kernel is made for long queries: with one query per head it reaches a few
percent of the machine. Prompts (many queries) still go through it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "ssgr_slots"


def slot_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend with query [rows, heads, 1, head_dim] to key and value [rows, kv_heads, length, ..].

    The heads of a group share their keys, so that a group's queries form one small matrix. The
    softmax is in fp32. ``attention_mask`` is additive, [rows, 1, 1, length].

    Returns:
        Output [rows, 1, heads, head_dim], and None in place of the attention weights.
    """
    if query.shape[2] > 1 or attention_mask is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return output, None
    rows, heads, _, size = query.shape
    kv_heads = key.shape[1]
    scale = size**-0.5 if scaling is None else scaling
    grouped = (query * scale).view(rows * kv_heads, heads // kv_heads, size)
    scores = torch.bmm(grouped, key.flatten(0, 1).transpose(1, 2))  # [rows*kv_heads, group, length]
    scores = scores.view(rows, kv_heads, -1, key.shape[2]).add_(attention_mask)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    output = torch.bmm(weights.flatten(0, 1), value.flatten(0, 1))  # [rows*kv_heads, group, size]
    return output.view(rows, 1, heads, size), None


AttentionInterface.register(NAME, slot_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
