"""How a model reads new tokens on top of kept keys and values: our own pass for Llama-like bodies, its own for others.

An engine has `states(ids, kv, real)`, last hidden states [rows, length, hidden], and `logits(ids, kv, real)`, the
logits [rows, vocabulary] after the last token; both add the tokens to `kv`. `real` [rows, length] tells tokens from
padding on the left, None when there is none.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from trainer.models.fused import FusedEngine, fusable
from trainer.models.kv import Kv


class Engine(Protocol):
    """What a decoder and a scorer need of a model."""

    def refresh(self) -> None:
        """Read the weights again after they changed."""

    def states(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Last hidden states [rows, length, hidden]."""

    def logits(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Logits [rows, vocabulary] after the last token."""


def engine_for(body: Any, causal: Any | None) -> Engine:  # noqa: ANN401 - any HF body, and the causal LM around it
    """The fastest engine that gives the model's own numbers, which is checked on a few tokens."""
    if fusable(body):
        fused = FusedEngine(body, None if causal is None else causal.get_output_embeddings())
        if _agrees(fused, HfEngine(body, causal), body):
            return fused
    return HfEngine(body, causal) if _keeps_keys(body) else RereadingEngine(body, causal)


@torch.inference_mode()
def _agrees(fused: FusedEngine, plain: HfEngine, body: Any) -> bool:  # noqa: ANN401
    weight = next(body.parameters())
    ids = (torch.arange(6, device=weight.device) * 7 % body.config.vocab_size)[None]
    first, second = (engine.states(ids, Kv(1, weight.device)).float() for engine in (fused, plain))
    loose = 1e-3 if weight.dtype == torch.float32 else 0.1
    return bool((first - second).abs().max() <= loose * second.abs().max())


def _keeps_keys(body: Any) -> bool:  # noqa: ANN401
    """Whether keys and values are all that the model remembers."""
    layers = DynamicCache(config=body.config).layers
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


class _SlotLayer(DynamicLayer):
    """A layer's cache in the buffers of a Kv, under the interface that transformers' models call."""

    def __init__(self, kv: Kv, layer: int) -> None:
        super().__init__()
        self._kv, self._layer = kv, layer
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        kv = self._kv
        last = kv.used + key_states.shape[-2]
        out = []
        for number, fresh in ((2 * self._layer, key_states), (2 * self._layer + 1, value_states)):
            block = kv.block(number, 1, fresh.shape[1], fresh.shape[3], fresh.dtype)[0]
            block[:, :, kv.used : last] = fresh
            out.append(block[:, :, :last])
        return out[0], out[1]

    def get_seq_length(self) -> int:
        return self._kv.used

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._kv.used + query_length, 0


class HfEngine:
    """Any decoder-only model of transformers through its own forward, its cache laid into our buffers.

    Layers with a sliding window keep all their tokens; the model's own mask hides those outside the window.
    """

    def __init__(self, body: Any, causal: Any | None) -> None:  # noqa: ANN401
        self._body, self._causal = body, causal
        self._layers = int(body.config.num_hidden_layers)

    def refresh(self) -> None:
        """The model's own weights are used: nothing to do."""

    def states(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Last hidden states [rows, length, hidden]."""
        return self._call(self._body, ids, kv, real).last_hidden_state

    def logits(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Logits [rows, vocabulary] after the last token."""
        return self._call(self._causal, ids, kv, real, logits_to_keep=1).logits[:, -1]

    def _call(self, model: Any, ids: Tensor, kv: Kv, real: Tensor | None, **more: Any) -> Any:  # noqa: ANN401
        length = ids.shape[1]
        kv.reserve(length)
        seen = kv.seen(length, real)
        if seen is None:
            seen = torch.ones((kv.rows, kv.used + length), dtype=torch.bool, device=kv.device)
        more |= {"attention_mask": seen.long(), "position_ids": kv.positions(length, real)}
        known = inspect.signature(model.forward).parameters
        cache = Cache(layers=[_SlotLayer(kv, layer) for layer in range(self._layers)])
        kept = {name: value for name, value in more.items() if name in known}
        out = model(input_ids=ids, past_key_values=cache, use_cache=True, **kept)
        kv.advance(length, real)
        return out


class RereadingEngine:
    """Models that remember more than keys and values (recurrent ones): only the ids are kept, all is read again."""

    def __init__(self, body: Any, causal: Any | None) -> None:  # noqa: ANN401
        self._body, self._causal = body, causal

    def refresh(self) -> None:
        """The model's own weights are used: nothing to do."""

    def states(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Last hidden states [rows, length, hidden]; zeros where there is padding."""
        rows, lengths = self._append(ids, kv, real)
        read = self._body(input_ids=rows, use_cache=False).last_hidden_state
        offsets = torch.arange(-ids.shape[1], 0, device=kv.device)
        return read.gather(1, (lengths[:, None] + offsets).clamp_min(0)[:, :, None].expand(-1, -1, read.shape[-1]))

    def logits(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Logits [rows, vocabulary] after the last token."""
        assert self._causal is not None
        rows, lengths = self._append(ids, kv, real)
        return self._causal(input_ids=rows, use_cache=False).logits[torch.arange(len(rows)), lengths - 1]

    def _append(self, ids: Tensor, kv: Kv, real: Tensor | None) -> tuple[Tensor, Tensor]:
        """All tokens of every row, padding moved to the right, and how many each row has."""
        length = ids.shape[1]
        kv.reserve(length)
        block = kv.block(0, 1, 1, 1, torch.long)
        block[0, :, 0, kv.used : kv.used + length, 0] = ids
        seen = kv.seen(length, real)
        kv.advance(length, real)
        rows = block[0, :, 0, : kv.used, 0]
        if seen is not None:
            rows = rows.gather(1, (~seen).long().argsort(dim=1, stable=True))
        lengths = kv.lengths[: kv.rows]
        return rows[:, : int(lengths.max())].contiguous(), lengths


def body_of(causal: Any) -> Any:  # noqa: ANN401
    """The body of a causal LM, without peft's wrapper; adapters stay in its layers."""
    inner = plain_body(causal)
    body = getattr(inner, inner.base_model_prefix, None)
    return plain_body(body) if isinstance(body, nn.Module) else inner


def plain_body(model: Any) -> Any:  # noqa: ANN401
    """A model without peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
