"""Policy, value and KL losses against float64 calculations: loops, finite differences, enumeration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainer.contract.specs.rl import Algorithm, KlForm
from trainer.rl.losses import (
    Clip,
    Counts,
    aggregate,
    kl,
    kl_by_token,
    kl_reward,
    mean_entropy,
    policy_loss,
    value_loss,
)

B, T, LONGEST = 8, 7, 12
LENGTHS = [7, 1, 4, 7, 3, 2, 6, 5]


def batch(seed=0, spread=0.4):
    """Log-probs, old log-probs, advantages [B, T] in float64, and a mask of responses of several lengths."""
    draw = np.random.default_rng(seed)
    old = -draw.exponential(1.0, (B, T))
    new = old + draw.normal(0, spread, (B, T))
    mask = (np.arange(T) < np.array(LENGTHS)[:, None]).astype(np.float64)
    return new, old, draw.normal(0, 1, (B, T)), mask


def by_hand(new, old, scores, mask, algorithm, clip):
    """The loss over the whole batch, one token at a time."""
    sums = []
    for i in range(B):
        total = 0.0
        for t in range(T):
            if not mask[i, t]:
                continue
            ratio = math.exp(new[i, t] - old[i, t])
            if algorithm is Algorithm.CISPO:
                raise AssertionError("its weight is a constant: see the gradient's own test")
            held = min(max(ratio, 1 - clip.low), 1 + clip.high)
            free = ratio if clip.cap is None else min(ratio, clip.cap)
            total += -min(free * scores[i, t], held * scores[i, t])
        sums.append(total)
    tokens = sum(LENGTHS)
    if algorithm is Algorithm.GRPO:
        return sum(s / n for s, n in zip(sums, LENGTHS, strict=True)) / B
    return sum(sums) / {Algorithm.DR_GRPO: B * LONGEST}.get(algorithm, tokens)


def ours(new, old, scores, mask, algorithm, clip, counts=None):
    tensors = [torch.as_tensor(x, dtype=torch.float64) for x in (new, old, scores, mask)]
    tensors[0].requires_grad_()
    counts = counts or Counts.of(tensors[3], LONGEST)
    result = policy_loss(*tensors, algorithm=algorithm, counts=counts, clip=clip)
    result.loss.backward()
    return result, tensors[0].grad.numpy()


CLIPPED = [a for a in Algorithm if a is not Algorithm.CISPO]
CLIPS = [Clip(), Clip(0.2, 0.28), Clip(0.1, 0.3, cap=1.5)]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("algorithm", CLIPPED)
def test_clipped_losses_and_gradients_equal_loops_and_differences(algorithm, clip):
    new, old, scores, mask = batch()
    result, slope = ours(new, old, scores, mask, algorithm, clip)
    assert result.loss.item() == pytest.approx(by_hand(new, old, scores, mask, algorithm, clip), abs=1e-12)
    step = 1e-6
    for i in range(B):
        for t in range(T):
            up, down = new.copy(), new.copy()
            up[i, t] += step
            down[i, t] -= step
            difference = by_hand(up, old, scores, mask, algorithm, clip) - by_hand(
                down, old, scores, mask, algorithm, clip
            )
            assert slope[i, t] == pytest.approx(difference / (2 * step), abs=1e-6)


def test_cispo_weighs_every_token_by_a_constant():
    new, old, scores, mask = batch()
    clip = Clip(high=0.28)
    result, slope = ours(new, old, scores, mask, Algorithm.CISPO, clip)
    weights = np.minimum(np.exp(new - old), 1.28) * scores * mask / sum(LENGTHS)
    np.testing.assert_allclose(slope, -weights, atol=1e-12)
    assert result.loss.item() == pytest.approx(-(weights * new).sum(), abs=1e-12)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_one_advantage_a_trace_is_that_of_all_its_tokens(algorithm):
    new, old, scores, mask = batch()
    alone, _ = ours(new, old, scores[:, 0], mask, algorithm, Clip())
    spread, _ = ours(new, old, np.repeat(scores[:, :1], T, 1), mask, algorithm, Clip())
    assert alone.loss.item() == spread.loss.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("algorithm", Algorithm)
def test_one_by_eight_equals_eight_by_one(algorithm, dtype):
    tensors = [torch.as_tensor(x, dtype=dtype) for x in batch(3)]
    values = torch.randn(B, T, dtype=dtype, generator=torch.Generator().manual_seed(1))
    counts = Counts.of(tensors[3], LONGEST)
    parts = [Counts.of(tensors[3][i : i + 1], LONGEST) for i in range(B)]
    summed = parts[0]
    for part in parts[1:]:
        summed = summed + part
    assert summed == counts
    slopes, losses = [], []
    for size in (B, 1):
        new = tensors[0].clone().requires_grad_()
        total = 0.0
        for at in range(0, B, size):
            rows = slice(at, at + size)
            old, scores, mask = (x[rows] for x in tensors[1:])
            loss = policy_loss(new[rows], old, scores, mask, algorithm=algorithm, counts=counts, clip=Clip()).loss
            loss = loss + value_loss(new[rows], values[rows], scores, mask, counts=counts)
            loss = loss - 0.01 * mean_entropy(-new[rows], mask, counts=counts)
            loss.backward()
            total += loss.item()
        slopes.append(new.grad)
        losses.append(total)
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-6, rtol=0)


def test_padding_has_no_part_even_where_it_is_no_number():
    new, old, scores, mask = batch()
    spoilt = [np.where(mask > 0, x, rubbish) for x, rubbish in ((new, -np.inf), (old, np.nan), (scores, np.nan))]
    for algorithm in Algorithm:
        plain, slope = ours(new, old, scores, mask, algorithm, Clip())
        dirty, other = ours(*spoilt, mask, algorithm, Clip())
        assert dirty.loss.item() == plain.loss.item()
        np.testing.assert_array_equal(other, slope)
        assert np.all(slope[mask == 0] == 0)


def test_clipped_tokens_are_counted_on_the_side_where_clipping_acts():
    new, old, scores, mask = batch()
    scores[0] = 0  # where nothing is at stake nothing is clipped
    assert abs(new - old)[0].max() > 0.3
    result, _ = ours(new, old, scores, mask, Algorithm.DAPO, Clip(0.2, 0.28))
    ratio = np.exp(new - old)
    assert result.clipped_low == ((ratio < 0.8) & (scores < 0) & (mask > 0)).sum() > 0
    assert result.clipped_high == ((ratio > 1.28) & (scores > 0) & (mask > 0)).sum() > 0
    assert result.tokens == sum(LENGTHS)
    assert result.log_ratio == pytest.approx(((new - old) * mask).sum())


def test_a_wild_token_does_not_make_the_loss_infinite():
    new, old, scores, mask = batch()
    old[0, 0] = -500
    for algorithm in Algorithm:
        result, slope = ours(new, old, -np.abs(scores), mask, algorithm, Clip())
        assert math.isfinite(result.loss.item())
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("algorithm", Algorithm)
def test_one_token_is_its_own_mean_and_none_at_all_are_nought(algorithm):
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    for mask, expected in ((one, -0.5), (none, 0.0)):
        counts = Counts(int(mask.sum()), int(mask.sum()), 1)
        result, slope = ours(-one, -one, one / 2, mask, algorithm, Clip(), counts)
        assert result.loss.item() == pytest.approx(-expected if algorithm is Algorithm.CISPO else expected)
        assert slope.item() == expected
        mask, counts = torch.as_tensor(mask), Counts.of(torch.as_tensor(mask), 1)
        plain = torch.as_tensor(one)
        assert float(value_loss(plain * 3, plain * 3, plain, mask, counts=counts)) == (2.0 if mask.any() else 0)
        assert float(mean_entropy(plain / 4, mask, counts=counts)) == (0.25 if mask.any() else 0)


def test_parts_count_as_the_whole_does():
    mask = torch.as_tensor(batch()[3])
    assert Counts.of(mask[:3], 5) + Counts.of(mask[3:], LONGEST) == Counts.of(mask, LONGEST)
    assert Counts.of(mask[:3], LONGEST) + Counts.of(mask[3:], 5) == Counts.of(mask, LONGEST)


def test_only_the_policy_and_the_value_head_learn():
    new, old, scores, mask = (torch.as_tensor(x) for x in batch())
    fixed = [x.clone().requires_grad_() for x in (old, scores)]
    counts = Counts.of(mask, LONGEST)
    for algorithm in Algorithm:
        policy_loss(
            new.requires_grad_(), fixed[0], scores, mask, algorithm=algorithm, counts=counts, clip=Clip()
        ).loss.backward()
    value_loss(new, *fixed, mask, counts=counts).backward()
    for form in KlForm:
        kl_by_token(new, *fixed, form).sum().backward()
    assert new.grad.abs().sum() > 0
    assert [one.grad for one in fixed] == [None, None]


# --- KL -------------------------------------------------------------------------------------------------------------

V = 6


def categorical(seed):
    draw = torch.Generator().manual_seed(seed)
    return (torch.randn(V, dtype=torch.float64, generator=draw) for _ in range(3))


def true_kl(logits, reference):
    p, q = np.exp(logits) / np.exp(logits).sum(), np.exp(reference) / np.exp(reference).sum()
    return sum(float(a) * math.log(float(a) / float(b)) for a, b in zip(p, q, strict=True))


def true_kl_gradient(logits, reference, step=1e-6):
    slope = []
    for v in range(V):
        up, down = logits.copy(), logits.copy()
        up[v] += step
        down[v] -= step
        slope.append((true_kl(up, reference) - true_kl(down, reference)) / (2 * step))
    return slope


@pytest.mark.parametrize("seed", range(5))
def test_k1_and_k3_expect_the_divergence(seed):
    logits, reference, _ = categorical(seed)
    logp, logq = logits.log_softmax(0), reference.log_softmax(0)
    expected = true_kl(logits.numpy(), reference.numpy())
    for form in (KlForm.K1, KlForm.K3):
        assert float((logp.exp() * kl(logp, logq, form)).sum()) == pytest.approx(expected, abs=1e-12)
    assert float(kl(logp, logq, KlForm.K3).min()) >= 0
    by_hand = [(a - b) ** 2 / 2 for a, b in zip(logp.tolist(), logq.tolist(), strict=True)]
    assert kl(logp, logq, KlForm.K2).tolist() == pytest.approx(by_hand)


def expected_slope(logits, weights, loss_of):
    """The gradient by the logits of sum_x weights(x) * loss(x), weights held constant: what sampling averages to."""
    leaf = logits.clone().requires_grad_()
    (weights.detach() * loss_of(leaf.log_softmax(0))).sum().backward()
    return leaf.grad.tolist()


@pytest.mark.parametrize("form", KlForm)
@pytest.mark.parametrize("seed", range(5))
def test_the_token_loss_has_the_gradient_of_the_divergence_on_and_off_policy(seed, form):
    logits, reference, behind = categorical(seed)
    logq = reference.log_softmax(0)
    expected = true_kl_gradient(logits.numpy(), reference.numpy())
    for writer in (logits, behind):
        old = writer.log_softmax(0)
        got = expected_slope(logits, old.exp(), lambda logp, old=old: kl_by_token(logp, old, logq, form))
        assert got == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_plain_k2_has_that_gradient_and_plain_k1_and_k3_have_not(seed):
    logits, reference, _ = categorical(seed)
    logq, chances = reference.log_softmax(0), logits.softmax(0)
    expected = true_kl_gradient(logits.numpy(), reference.numpy())
    slopes = {form: expected_slope(logits, chances, lambda logp, f=form: kl(logp, logq, f)) for form in KlForm}
    assert slopes[KlForm.K2] == pytest.approx(expected, abs=1e-8)
    assert slopes[KlForm.K1] == pytest.approx([0] * V, abs=1e-12)
    # d/dz KL(reference || policy) = p - q: the other direction
    assert slopes[KlForm.K3] == pytest.approx((chances - reference.softmax(0)).tolist(), abs=1e-12)


def test_the_reward_form_has_no_gradient():
    logp = torch.tensor([-1.0, -2.0], requires_grad=True)
    paid = kl_reward(logp, torch.tensor([-1.5, -1.0]), KlForm.K1, 0.1)
    assert not paid.requires_grad
    assert paid.tolist() == pytest.approx([-0.05, 0.1])


# --- value ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clip", [0.2, None])
def test_the_value_loss_equals_loops(clip):
    values, old, returns, mask = batch(5, spread=0.5)
    total = 0.0
    for i in range(B):
        for t in range(T):
            if mask[i, t]:
                error = (values[i, t] - returns[i, t]) ** 2
                if clip is not None:
                    held = min(max(values[i, t], old[i, t] - clip), old[i, t] + clip)
                    error = max(error, (held - returns[i, t]) ** 2)
                total += error / 2
    tensors = [torch.as_tensor(x) for x in (values, old, returns, mask)]
    got = value_loss(*tensors, counts=Counts.of(tensors[3], LONGEST), clip=clip)
    assert float(got) == pytest.approx(total / sum(LENGTHS), abs=1e-12)


def test_entropy_is_a_mean_over_tokens():
    _, _, scores, mask = batch()
    got = mean_entropy(torch.as_tensor(scores), torch.as_tensor(mask), counts=Counts(B, sum(LENGTHS), LONGEST))
    assert float(got) == pytest.approx(scores[mask > 0].mean())


# --- figures of another trainer --------------------------------------------------------------------------------------

# Four traces of 4, 2, 3 and 1 tokens; losses and gradients below are those that TRL 1.16.0's GRPOTrainer computed from
# these numbers in float64 (num_items_in_batch 10, max_completion_length 6, epsilon 0.2, epsilon_high 0.28).
TRL_NEW = [[-0.5, -1.2, -0.1, -2.0], [-0.3, -0.7, 0, 0], [-1.5, -0.2, -0.9, 0], [-0.4, 0, 0, 0]]
TRL_OLD = [[-0.9, -1.0, -0.15, -1.3], [-0.8, -0.6, 0, 0], [-1.1, -0.25, -1.4, 0], [-0.1, 0, 0, 0]]
TRL_REFERENCE = [[-0.6, -1.1, -0.3, -1.8], [-0.5, -0.9, 0, 0], [-1.2, -0.3, -0.8, 0], [-0.7, 0, 0, 0]]
TRL_ADVANTAGES = [[0.8, 0.8, -0.4, -0.4], [1.1, -0.2, 0, 0], [-0.9, -0.9, 0.3, 0], [-1.3, 0, 0, 0]]
TRL_MASK = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]
TRL_TOKENS = [-0.065498460246, 0.042050843855, 0.018096748361, 0.094614398674]
"""Gradients at the tokens (row, place) (0, 1), (0, 2), (1, 1), (2, 1), the unclipped ones, as means over 10 tokens."""
TRL_TRACES = [-0.040936537654, 0.026281777409, 0.022620935451, 0.078845332228]
"""The same, each trace a mean over its tokens."""


def trl_case(algorithm, clip):
    return ours(*map(np.array, (TRL_NEW, TRL_OLD, TRL_ADVANTAGES, TRL_MASK)), algorithm, clip, Counts(4, 10, 6))


@pytest.mark.parametrize(
    ("algorithm", "clip", "loss", "slopes"),
    [
        (Algorithm.GRPO, Clip(0.2, 0.28), 0.1548115074346023, TRL_TRACES),
        (Algorithm.BNPO, Clip(0.2, 0.28), 0.015663530643363767, TRL_TOKENS),
        (Algorithm.DAPO, Clip(0.2, 0.28), 0.015663530643363767, TRL_TOKENS),
        (Algorithm.DAPO, Clip(0.2, 0.28, cap=1.04), 0.06846353064336377, TRL_TOKENS),
        (Algorithm.DR_GRPO, Clip(0.2, 0.28), 0.006526471101401569, [x * 10 / 24 for x in TRL_TOKENS]),
    ],
)
def test_the_figures_are_those_of_trl(algorithm, clip, loss, slopes):
    result, slope = trl_case(algorithm, clip)
    assert result.loss.item() == pytest.approx(loss, abs=1e-12)
    expected = np.zeros((4, 4))
    expected[[0, 0, 1, 2], [1, 2, 1, 1]] = slopes
    np.testing.assert_allclose(slope, expected, atol=1e-11)
    assert (result.clipped_low / 10, result.clipped_high / 10) == pytest.approx((0.3, 0.3))


def test_cispo_s_figures_are_those_of_trl():
    """TRL names the largest weight itself: its epsilon_high 1.28 is our high 0.28."""
    result, slope = trl_case(Algorithm.CISPO, Clip(high=0.28))
    assert result.loss.item() == pytest.approx(0.0020598863291369117, abs=1e-12)
    expected = [
        [-0.1024, -0.065498460246, 0.042050843855, 0.019863412152],
        [-0.1408, 0.018096748361, 0, 0],
        [0.060328804143, 0.094614398674, -0.0384, 0],
        [0.096306368689, 0, 0, 0],
    ]
    np.testing.assert_allclose(slope, expected, atol=1e-11)


@pytest.mark.parametrize(
    ("corrected", "mean", "loss", "first_row"),
    [
        (
            True,
            0.016687072129418373,
            0.016331013528540505,
            [0.000596729879, -0.065825952547, 0.042891860732, -0.000397268243],
        ),
        (
            False,
            0.018828871787505096,
            0.01641668551486399,
            [0.000380650328, -0.065919143919, 0.042775920843, -0.000885611033],
        ),
    ],
)
def test_the_divergence_is_that_of_trl(corrected, mean, loss, first_row):
    """Added to the loss with a weight of 0.04: TRL's use_bias_correction_kl, and its plain k3."""
    new, old, reference, scores, mask = (
        torch.tensor(x, dtype=torch.float64) for x in (TRL_NEW, TRL_OLD, TRL_REFERENCE, TRL_ADVANTAGES, TRL_MASK)
    )
    new.requires_grad_()
    counts = Counts.of(mask, 6)
    distance = kl_by_token(new, old, reference, KlForm.K3) if corrected else kl(new, reference, KlForm.K3)
    averaged = aggregate(distance, mask, Algorithm.DAPO, counts)
    total = policy_loss(new, old, scores, mask, algorithm=Algorithm.DAPO, counts=counts, clip=Clip(0.2, 0.28)).loss
    total = total + 0.04 * averaged
    total.backward()
    assert averaged.item() == pytest.approx(mean, abs=1e-8)  # the metric is single precision
    assert total.item() == pytest.approx(loss, abs=1e-12)
    assert new.grad[0].tolist() == pytest.approx(first_row, abs=1e-11)
