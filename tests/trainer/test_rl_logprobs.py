"""Chunked log-probabilities and entropy: numbers and gradients of the plain way, without its memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM

from trainer.rl.logprobs import Head, head_of, sequence_logprobs, token_logprobs

N, D, V = 37, 16, 50


class LargestTensor(TorchDispatchMode):
    """Remembers the most numbers in one tensor that any operation made, gradients of the backward pass included."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.numbers = max(self.numbers, leaf.numel())
        return result


def case(dtype=torch.float64, bias=True, seed=0, n=N, d=D, v=V):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, d, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(v, d, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    shift = torch.randn(v, generator=draw, dtype=torch.float64).to(dtype).requires_grad_() if bias else None
    return hidden, Head(weight, shift), torch.randint(v, (n,), generator=draw)


def plain(hidden, head, chosen, temperature):
    logits = hidden @ head.weight.T / temperature
    if head.bias is not None:
        logits = logits + head.bias / temperature
    logp = logits.log_softmax(-1)
    return logp.gather(1, chosen[:, None]).squeeze(1), -(logp.exp() * logp).sum(-1)


def leaves(hidden, head):
    return [x for x in (hidden, head.weight, head.bias) if x is not None]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 5, N, 1000, None])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)])
def test_numbers_and_gradients_are_those_of_the_plain_way(dtype, tolerance, chunk, bias, temperature):
    hidden, head, chosen = case(dtype, bias)
    weights = torch.linspace(-1, 1, N, dtype=dtype)
    got = token_logprobs(hidden, head, chosen, temperature=temperature, chunk=chunk, entropy_gradient=True)
    expected = plain(hidden, head, chosen, temperature)
    for value, other in zip((got.logprobs, got.entropy), expected, strict=True):
        torch.testing.assert_close(value, other, atol=tolerance, rtol=tolerance)
    slopes = torch.autograd.grad(
        (got.logprobs * weights).sum() + (got.entropy * weights.square()).sum(), leaves(hidden, head)
    )
    others = torch.autograd.grad(
        (expected[0] * weights).sum() + (expected[1] * weights.square()).sum(), leaves(hidden, head)
    )
    for slope, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(slope, other, atol=tolerance, rtol=tolerance)


def test_gradients_equal_finite_differences():
    hidden, head, chosen = case(n=4, d=3, v=5)
    assert torch.autograd.gradcheck(
        lambda h, w, b: tuple(
            getattr(token_logprobs(h, Head(w, b), chosen, temperature=0.7, chunk=3, entropy_gradient=True), name)
            for name in ("logprobs", "entropy")
        ),
        (hidden, head.weight, head.bias),
    )


def test_single_precision_gradients_are_within_a_millionth():
    """At the scale of a real loss, a mean over tokens: against float64."""
    hidden, head, chosen = case(torch.float64, bias=False, n=200)
    narrow = [x.detach().float().requires_grad_() for x in (hidden, head.weight)]
    got = token_logprobs(narrow[0], Head(narrow[1], None), chosen, chunk=64)
    slopes = torch.autograd.grad(got.logprobs.mean(), narrow)
    others = torch.autograd.grad(plain(hidden, head, chosen, 1.0)[0].mean(), [hidden, head.weight])
    for slope, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(slope.double(), other, atol=1e-6, rtol=0)


@pytest.mark.parametrize("chunk", [10, N])
def test_the_backward_pass_can_be_taken_twice(chunk):
    hidden, head, chosen = case()
    got = token_logprobs(hidden, head, chosen, chunk=chunk, entropy_gradient=True)
    total = got.logprobs.sum() + got.entropy.sum()
    first = torch.autograd.grad(total, leaves(hidden, head), retain_graph=True)
    for slope, other in zip(torch.autograd.grad(total, leaves(hidden, head)), first, strict=True):
        assert torch.equal(slope, other)


def test_entropy_carries_a_gradient_only_when_asked():
    hidden, head, chosen = case()
    assert not token_logprobs(hidden, head, chosen).entropy.requires_grad
    assert token_logprobs(hidden, head, chosen, entropy_gradient=True).entropy.requires_grad


@pytest.mark.parametrize("frozen", ["hidden", "head"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(frozen):
    hidden, head, chosen = case(bias=False)
    loose = hidden if frozen == "head" else head.weight
    still = head.weight if frozen == "head" else hidden
    expected = torch.autograd.grad(plain(hidden, head, chosen, 1.0)[0].sum(), loose)[0]
    still.requires_grad_(False)
    token_logprobs(hidden, head, chosen, chunk=10).logprobs.sum().backward()
    assert still.grad is None
    torch.testing.assert_close(loose.grad, expected, atol=1e-11, rtol=0)


def test_half_precision_states_give_single_precision_log_probs():
    hidden, head, chosen = case(torch.bfloat16, bias=False)
    got = token_logprobs(hidden, head, chosen, chunk=8)
    assert got.logprobs.dtype == torch.float32
    got.logprobs.sum().backward()
    assert hidden.grad.dtype == torch.bfloat16
    wide = plain(hidden.detach().double(), Head(head.weight.detach().double(), None), chosen, 1.0)[0]
    torch.testing.assert_close(got.logprobs.detach().double(), wide, atol=0.1, rtol=0.02)


def test_enormous_logits_do_not_overflow():
    hidden, head, chosen = case(torch.float32, bias=False)
    got = token_logprobs(hidden.detach() * 1000, head, chosen, chunk=7, entropy_gradient=True)
    (got.logprobs + got.entropy).sum().backward()
    assert torch.isfinite(got.logprobs).all()
    assert torch.isfinite(got.entropy).all()
    assert torch.isfinite(head.weight.grad).all()


def test_positions_times_vocabulary_never_stands_in_memory():
    n, d, v, chunk = 600, 8, 1000, 20
    hidden, head, chosen = case(torch.float32, bias=False, n=n, d=d, v=v)
    with LargestTensor() as seen:
        got = token_logprobs(hidden, head, chosen, chunk=chunk, entropy_gradient=True)
        (got.logprobs + got.entropy).sum().backward()
    assert seen.numbers == chunk * v  # one chunk of logits; the head itself has 8 * 1000 numbers
    for parameter in (hidden, head.weight):
        parameter.grad = None
    with LargestTensor() as seen:
        sum(plain(hidden, head, chosen, 1.0)).sum().backward()
    assert seen.numbers == n * v  # the plain way, to show that the measure sees it


def tiny_llama(tied=False):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=V,
        hidden_size=D,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).double()


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_s_gradients_are_those_of_its_logits(tied):
    model = tiny_llama(tied)
    ids = torch.randint(V, (3, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[0, 4:9] = mask[1, 1:3] = mask[2, 6] = True

    logp = model(ids).logits[:, :-1].log_softmax(-1)
    wanted = torch.zeros(3, 9, dtype=torch.float64)
    wanted[:, 1:] = logp.gather(2, ids[:, 1:, None]).squeeze(2)
    (wanted * mask).sum().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()

    got = sequence_logprobs(model.model(ids).last_hidden_state, head_of(model), ids, mask, chunk=3)
    torch.testing.assert_close(got.logprobs, wanted * mask, atol=1e-11, rtol=0)
    assert torch.all(got.entropy[~mask] == 0)
    assert torch.all(got.entropy[mask] > 0)
    got.logprobs.sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-11, rtol=0)


def test_no_tokens_at_all():
    hidden, head, _ = case()
    got = token_logprobs(hidden[:0], head, torch.zeros(0, dtype=torch.long))
    got.logprobs.sum().backward()
    assert got.logprobs.shape == (0,)
    assert np.all(head.weight.grad.numpy() == 0)


def test_what_cannot_be_is_refused():
    hidden, head, chosen = case()
    with pytest.raises(ValueError, match=r"\[N, D\], \[N\] and \[V, D\] are needed"):
        token_logprobs(hidden, head, chosen[1:])
    with pytest.raises(ValueError, match="temperature of 0"):
        token_logprobs(hidden, head, chosen, temperature=0)
    ids = torch.zeros(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="first token"):
        sequence_logprobs(torch.zeros(1, 3, D), head, ids, torch.ones(1, 3))
    with pytest.raises(ValueError, match="a linear layer is needed"):
        head_of(nn.Linear(2, 2))
    model = tiny_llama()
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match="final_logit_softcapping=30"):
        head_of(model)
