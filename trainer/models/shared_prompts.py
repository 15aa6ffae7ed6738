"""Attention of rows that share a prompt on one line: each row's tokens are multiplied with the prompt and itself alone.

A mask over the whole line gives the same numbers, but pays for every pair of tokens on it, other rows' included: with
eight rows of 1,024 tokens eight times the work, and a mask of 67 million places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

NAME = "steplens_rows"
PLAIN = "sdpa"


@dataclass(frozen=True, slots=True)
class OwnRows:
    """Where on the lines [lines, width] prompts and rows lie, as flat positions; padding repeats a place.

    `prompts` [lines, P], `rows` [rows, T], `keys` [rows, P + T] those of the row's prompt and its own; `seen`
    [rows, 1, T, P + T]. `back` [lines x width] says where in (prompts, rows) laid end to end each token stands.
    """

    prompts: Tensor
    rows: Tensor
    keys: Tensor
    seen: Tensor
    back: Tensor


def own_rows(prompts: list[int], lengths: list[list[int]], width: int, device: torch.device | str) -> OwnRows:
    """For lines of this width: tokens of each line's prompt, and of each row behind it, in order."""
    longest, most = max(prompts), max(max(line) for line in lengths)
    count = sum(map(len, lengths))
    at_prompt = torch.arange(longest).expand(len(prompts), -1).minimum(torch.tensor(prompts)[:, None] - 1)
    at_prompt = at_prompt + width * torch.arange(len(prompts))[:, None]
    rows, keys = torch.zeros(count, most, dtype=torch.int64), torch.zeros(count, longest + most, dtype=torch.int64)
    seen = torch.zeros(count, most, longest + most, dtype=torch.bool)
    causal = torch.ones(most, most, dtype=torch.bool).tril()
    back = torch.zeros(len(prompts) * width, dtype=torch.int64)
    row = 0
    for line, (prompt, tokens) in enumerate(zip(prompts, lengths, strict=True)):
        begin = line * width
        back[begin : begin + prompt] = line * longest + torch.arange(prompt)
        begin += prompt
        for length in tokens:
            rows[row] = begin + torch.arange(most).clamp(max=length - 1)
            keys[row] = torch.cat((at_prompt[line], rows[row]))
            seen[row, :, :prompt] = True
            seen[row, :, longest:] = causal
            back[begin : begin + length] = len(prompts) * longest + row * most + torch.arange(length)
            begin += length
            row += 1
    return OwnRows(*(part.to(device) for part in (at_prompt, rows, keys, seen[:, None], back)))


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    own: OwnRows | None = None,
    **more: Any,  # noqa: ANN401 - what transformers hands to every attention
) -> tuple[Tensor, None]:
    """Attention [lines, width, heads, head width] as transformers asks for it; without `own`, the plain one."""
    if own is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    lines, heads, width, size = query.shape
    groups = heads // key.shape[1]
    q, k, v = (part.transpose(1, 2).reshape(lines * width, -1) for part in (query, key, value))

    def taken(states: Tensor, places: Tensor, times: int = 1) -> Tensor:
        found = states.index_select(0, places.flatten()).view(*places.shape, -1, size).transpose(1, 2)
        return found.repeat_interleave(times, 1) if times > 1 else found

    of_prompts = F.scaled_dot_product_attention(
        taken(q, own.prompts), taken(k, own.prompts, groups), taken(v, own.prompts, groups), is_causal=True,
        scale=scaling,
    )  # fmt: skip
    of_rows = F.scaled_dot_product_attention(
        taken(q, own.rows), taken(k, own.keys, groups), taken(v, own.keys, groups), own.seen, scale=scaling
    )
    both = torch.cat([part.transpose(1, 2).reshape(-1, heads * size) for part in (of_prompts, of_rows)])
    return both.index_select(0, own.back).view(lines, width, heads, size), None


def use(model: Any) -> bool:  # noqa: ANN401 - any HF causal language model
    """Have a model attend by `attend`; False where it does not attend in the plain way, and is left as it is."""
    if model.config._attn_implementation != PLAIN:
        return bool(model.config._attn_implementation == NAME)
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


def leave(model: Any) -> None:  # noqa: ANN401
    """Back to the plain way."""
    model.set_attn_implementation(PLAIN)
