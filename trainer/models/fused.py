"""One pass of a Llama-like body (Llama, SmolLM, Mistral, Qwen2, Qwen3) without the overhead of its modules.

The same arithmetic as transformers' forward, on the model's weights: query, key and value in one product, gate and up
in one, the residual sums inside the products. On a processor the weights are kept a second time in the layout of
oneDNN, which multiplies a handful of rows two to three times as fast as a plain product; in float32 the halves that
the rotary embedding pairs lie side by side there, so that a rotation is one product of complex numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.models.kv import Kv

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
FIXED_ROTATIONS = ("default", "linear", "llama3")  # rotary tables that do not depend on how long the text has become
PACK_LIMIT = 4 << 30  # bytes of weights up to which a second, packed copy is kept


def fusable(body: Any) -> bool:  # noqa: ANN401 - any HF body
    """Whether `FusedEngine` can stand in for this body: its family, no sliding window, plain weights of one type."""
    config = body.config
    if getattr(config, "model_type", None) not in FAMILIES or not hasattr(body, "layers"):
        return False
    kinds = getattr(config, "layer_types", None) or ()
    slides = any(kind != "full_attention" for kind in kinds)
    if slides or (config.model_type == "mistral" and config.sliding_window is not None):
        return False
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") not in FIXED_ROTATIONS or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return False
    weights = list(body.parameters())
    plain = all(isinstance(base_of(m), nn.Linear) for layer in body.layers for m in _linears(layer))
    same = len({(w.dtype, w.device) for w in weights}) == 1 and weights[0].dtype in (torch.float32, torch.bfloat16)
    return config.hidden_act == "silu" and plain and same


def _linears(layer: Any) -> list[nn.Module]:  # noqa: ANN401
    attention, mlp = layer.self_attn, layer.mlp
    return [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj, mlp.gate_proj, mlp.up_proj,
            mlp.down_proj]  # fmt: skip


def base_of(module: nn.Module) -> Any:  # noqa: ANN401 - a linear layer
    """The layer under an adapter, or the layer itself."""
    return getattr(module, "base_layer", module)


def weight_of(module: Any) -> Tensor:  # noqa: ANN401 - a linear layer, with adapters or without
    """The weight that a layer computes with: its own, plus its active adapters' products."""
    weight = base_of(module).weight
    if base_of(module) is module or module.merged or module.disable_adapters:
        return weight
    return weight + sum(module.get_delta_weight(name) for name in module.active_adapters if name in module.lora_A)


class _Product:
    """x W' + b, and what follows it, from packed weights where they are packed."""

    __slots__ = ("_bias", "_packed", "_weight")

    def __init__(self, weight: Tensor, bias: Tensor | None, packed: bool) -> None:
        self._bias = bias
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous()) if packed else None
        self._weight = weight[:0] if packed else weight

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed is None:
            return F.linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """The product plus `other`."""
        if self._packed is None:
            return F.linear(x, self._weight, self._bias).add_(other)
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._packed, self._bias, "add")


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one block computes with."""

    before: Tensor
    heads: _Product
    norms: tuple[Tensor, Tensor] | None
    out: _Product
    after: Tensor
    widening: _Product  # gate and up
    down: _Product


class FusedEngine:
    """The body's pass over new tokens; `head` is the layer that makes logits, None for a body alone."""

    def __init__(self, body: Any, head: Any | None) -> None:  # noqa: ANN401
        self._body, self._head = body, head
        config = body.config
        attention = body.layers[0].self_attn
        self._width = int(attention.head_dim)
        self._queries, self._keys = int(config.num_attention_heads), int(config.num_key_value_heads)
        self._scale = float(attention.scaling)
        self._epsilon = float(config.rms_norm_eps)
        self._norm_shape = (int(config.hidden_size),)
        self._inner = int(config.intermediate_size)
        self._cos = self._sin = torch.empty(0)
        self._zero, self._least = torch.zeros(1), torch.tensor(self._epsilon)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Read the weights again after they changed."""
        weight = self._body.embed_tokens.weight
        total = sum(w.numel() * w.element_size() for w in self._body.parameters())
        fits = weight.device.type == "cpu" and torch.backends.mkldnn.is_available() and total <= PACK_LIMIT
        self._packed = fits and (weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
        self._plain = fits and weight.dtype == torch.float32
        self._layers = [self._read(layer) for layer in self._body.layers]
        self._norm = self._body.norm.weight.detach()
        self._embedding = weight.detach()
        if self._head is not None:
            bias = getattr(base_of(self._head), "bias", None)
            self._to_logits = _Product(weight_of(self._head).detach(), bias, self._packed)

    def _read(self, layer: Any) -> _Layer:  # noqa: ANN401
        attention, mlp = layer.self_attn, layer.mlp
        norms = None
        if hasattr(attention, "q_norm"):
            norms = (self._paired(attention.q_norm.weight.detach()), self._paired(attention.k_norm.weight.detach()))
        heads = self._joined((attention.q_proj, attention.k_proj, attention.v_proj), turned=2)
        out, down = self._joined((attention.o_proj,)), self._joined((mlp.down_proj,))
        before, after = layer.input_layernorm.weight.detach(), layer.post_attention_layernorm.weight.detach()
        return _Layer(before, heads, norms, out, after, self._joined((mlp.gate_proj, mlp.up_proj)), down)

    def _joined(self, modules: Sequence[Any], turned: int = 0) -> _Product:
        """One product of several layers; the heads of the first `turned` are to be rotated."""
        weights, biases = [weight_of(m).detach() for m in modules], [base_of(m).bias for m in modules]
        weights = [self._paired(w) if number < turned else w for number, w in enumerate(weights)]
        if biases[0] is None:
            return _Product(torch.cat(weights), None, self._packed)
        biases = [self._paired(b.detach()) if number < turned else b.detach() for number, b in enumerate(biases)]
        return _Product(torch.cat(weights), torch.cat(biases), self._packed)

    def _paired(self, weight: Tensor) -> Tensor:
        """Rows of a weight whose halves of a head, which a rotation pairs, come to lie side by side."""
        if not self._plain:
            return weight
        halves = weight.unflatten(0, (-1, 2, self._width // 2))
        return halves.transpose(1, 2).reshape(weight.shape)

    def logits(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Logits [rows, vocabulary] after the last token."""
        return self._to_logits(self.states(ids, kv, real)[:, -1])

    def states(self, ids: Tensor, kv: Kv, real: Tensor | None = None) -> Tensor:
        """Last hidden states [rows, length, hidden]."""
        rows, length = ids.shape
        kv.reserve(length)
        mask = _mask(kv, length, real, self._embedding.dtype)
        rotation = self._rotation(kv, length, real)
        keys, values = self._kept(kv, kv.used + length)
        x = F.embedding(ids, self._embedding).flatten(0, 1)
        for number, layer in enumerate(self._layers):
            y = self._normed(x, layer.before)
            qkv = layer.heads(y).view(rows, length, -1, self._width)
            turned = self._turn(qkv, layer, *rotation).transpose(1, 2)
            keys[number, :, :, kv.used :] = turned[:, self._queries :]
            values[number, :, :, kv.used :] = qkv[:, :, self._queries + self._keys :].transpose(1, 2)
            seen = self._attend(turned[:, : self._queries], keys[number], values[number], mask)
            x = layer.out.plus(seen.flatten(0, 1), x)
            wide = layer.widening(self._normed(x, layer.after))
            x = layer.down.plus(F.silu(wide[:, : self._inner]).mul_(wide[:, self._inner :]), x)
        kv.advance(length, real)
        return self._normed(x, self._norm).view(rows, length, -1)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        """x / sqrt(mean x^2 + epsilon) times a weight [rows, hidden]."""
        if not self._plain:
            return F.rms_norm(x, self._norm_shape, weight, self._epsilon)
        squares = (x * x).sum(-1, keepdim=True)  # a norm's sum is less exact
        return (x * torch.add(self._least, squares, alpha=1 / self._norm_shape[0]).rsqrt_()).mul_(weight)

    def _kept(self, kv: Kv, end: int) -> tuple[Tensor, Tensor]:
        """Keys and values of all layers [layers, rows, key heads, end, width], views of the buffers.

        On a processor keys lie as columns: one query's product with them then runs along the memory.
        """
        layers, dtype = len(self._layers), self._embedding.dtype
        values = kv.block(1, layers, self._keys, self._width, dtype)[:, :, :, :end]
        if not self._packed or dtype != torch.float32:
            return kv.block(0, layers, self._keys, self._width, dtype)[:, :, :, :end], values
        columns = kv.block(0, layers, self._keys * self._width, 1, dtype)[:, :, :, :end, 0]
        return columns.unflatten(2, (self._keys, self._width)).transpose(3, 4), values

    def _turn(self, qkv: Tensor, layer: _Layer, cos: Tensor, sin: Tensor | None) -> Tensor:
        """Rotated queries and keys [rows, length, heads, width]; without `sin`, `cos` is complex."""
        both = qkv[:, :, : self._queries + self._keys]
        if layer.norms is not None:
            q, k = both.split((self._queries, self._keys), 2)
            q = F.rms_norm(q, (self._width,), layer.norms[0], self._epsilon)
            both = torch.cat((q, F.rms_norm(k, (self._width,), layer.norms[1], self._epsilon)), 2)
        if sin is None:
            return torch.view_as_real(torch.view_as_complex(both.unflatten(3, (-1, 2))) * cos).flatten(3)
        return torch.addcmul(both * cos, both.roll(self._width // 2, -1), sin)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attention [rows, length, queries x width]; the queries that share a key head are read as its rows."""
        rows, _, length, _ = q.shape
        if length == 1:
            return self._attend_one(q.reshape(rows, self._keys, -1, self._width), k, v, mask).reshape(rows, 1, -1)
        shared = self._queries // self._keys
        k = k.contiguous()
        if shared > 1:
            k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        fresh = mask is None
        out = F.scaled_dot_product_attention(q, k, v, mask, is_causal=fresh, scale=self._scale)
        return out.transpose(1, 2).reshape(rows, length, -1)

    def _attend_one(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of one new token a row [rows, key heads, queries a key head, width].

        On a processor two batched products read keys and values faster than the fused kernel, which is made for many.
        """
        if q.device.type != "cpu" or q.dtype != torch.float32:
            return F.scaled_dot_product_attention(q, k, v, mask, scale=self._scale)
        rows, heads, queries, _ = q.shape
        columns = k.flatten(0, 1).transpose(1, 2)
        scores = torch.baddbmm(self._zero, q.flatten(0, 1), columns, beta=0, alpha=self._scale)
        if mask is not None:
            scores.view(rows, heads, queries, -1).add_(mask)
        return torch.bmm(scores.softmax(-1), v.flatten(0, 1))

    def _rotation(self, kv: Kv, length: int, real: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """cos and sin [rows, length, 1, width], with the sign of the rotated half in sin.

        Where pairs lie side by side: cos + i sin [rows, length, 1, width / 2] and None.
        """
        if len(self._cos) < kv.capacity or self._cos.device != kv.device:
            places = torch.arange(kv.capacity + 512, device=kv.device)[None]
            cos, sin = (table[0] for table in self._body.rotary_emb(self._embedding, places))
            half = self._width // 2
            self._cos, self._sin = cos.contiguous(), torch.cat((-sin[:, :half], sin[:, half:]), -1)
            if self._plain:
                self._cos = torch.stack((cos[:, :half], sin[:, :half]), -1).flatten(1)
        places = kv.positions(length, real)
        if self._plain:
            return torch.view_as_complex(F.embedding(places, self._cos).unflatten(2, (1, -1, 2))), None
        return F.embedding(places, self._cos)[:, :, None], F.embedding(places, self._sin)[:, :, None]


def _mask(kv: Kv, length: int, real: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """What new tokens may look at [rows or 1, 1, length, slots]; None: everything, or plain causal from nothing.

    Of one new token it is what is added to its scores, of several it is True and False.
    Padding looks at itself, so that no row of the softmax is empty.
    """
    seen = kv.seen(length, real)
    if length == 1 and seen is not None:
        return torch.zeros(seen.shape, device=seen.device, dtype=dtype).masked_fill_(~seen, -torch.inf)[:, None, None]
    if length == 1:
        return None
    if seen is None and kv.used == 0:
        return None
    causal = torch.ones((length, kv.used + length), dtype=torch.bool, device=kv.device).tril(kv.used)
    if seen is None:
        return causal[None, None]
    itself = torch.ones_like(causal).tril(kv.used) & ~torch.ones_like(causal).tril(kv.used - 1)
    return ((seen[:, None] & causal) | itself)[:, None]
