"""Group advantages, returns, GAE and whitening against loops in float64."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch

from trainer.reasoning.credit import GroupScale
from trainer.rl.advantages import discounted_returns, gae, group_advantages, moments, padded, whiten

B, T = 5, 9
LENGTHS = [9, 1, 4, 8, 6]


def batch(seed=0):
    draw = np.random.default_rng(seed)
    mask = (np.arange(T) < np.array(LENGTHS)[:, None]).astype(np.float64)
    return draw.normal(0, 1, (B, T)), draw.normal(0, 1, (B, T)), mask


@pytest.mark.parametrize("scale", GroupScale)
def test_group_advantages_equal_loops(scale):
    rewards = [1.0, 0.0, 0.3, math.nan, 0.7, 0.2, 0.9, 0.9, 0.9]
    groups = [4, 4, 4, 4, 7, 7, 1, 1, 9]
    known = [r for r in rewards if not math.isnan(r)]
    expected = []
    for r, g in zip(rewards, groups, strict=True):
        pool = [x for x, h in zip(rewards, groups, strict=True) if h == g and not math.isnan(x)]
        spread = statistics.stdev(pool) if len(pool) > 1 else 0.0
        divisor = {GroupScale.GROUP: spread + 1e-4, GroupScale.BATCH: statistics.stdev(known) + 1e-4}.get(scale, 1.0)
        expected.append(0.0 if math.isnan(r) else (r - statistics.fmean(pool)) / divisor)
    got = group_advantages(torch.tensor(rewards, dtype=torch.float64), torch.tensor(groups), scale)
    assert got.tolist() == pytest.approx(expected, abs=1e-12)


def test_nothing_known_gives_nothing():
    for scale in GroupScale:
        got = group_advantages(torch.tensor([math.nan, math.nan]), torch.tensor([0, 0]), scale)
        assert got.tolist() == [0, 0]
        alone = group_advantages(torch.tensor([math.nan, 3.0, math.nan]), torch.tensor([0, 0, 1]), scale)
        assert alone.tolist() == [0, 0, 0]
        assert group_advantages(torch.zeros(0), torch.zeros(0, dtype=torch.long), scale).shape == (0,)


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.0])
def test_returns_equal_the_sum_of_what_follows(gamma):
    rewards, _, mask = batch()
    got = discounted_returns(torch.as_tensor(rewards), torch.as_tensor(mask), gamma).numpy()
    for i, n in enumerate(LENGTHS):
        for t in range(T):
            expected = sum(gamma ** (u - t) * rewards[i, u] for u in range(t, n)) if t < n else 0.0
            assert got[i, t] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.99, 0.9), (1.0, 1.0), (0.9, 0.0)])
def test_gae_equals_the_sum_over_all_horizons(gamma, lam):
    """The definition: (1 - lam) * sum_n lam^(n-1) * (n-step return - V), the last horizon carrying what is left."""
    rewards, values, mask = batch(1)
    got = gae(*(torch.as_tensor(x) for x in (rewards, values, mask)), gamma, lam)
    for i, n in enumerate(LENGTHS):
        for t in range(T):
            if t >= n:
                assert float(got.advantages[i, t]) == float(got.returns[i, t]) == 0
                continue
            left, total, weight_left = n - t, 0.0, 1.0
            for horizon in range(1, left + 1):
                seen = sum(gamma**k * rewards[i, t + k] for k in range(horizon))
                ahead = gamma**horizon * values[i, t + horizon] if t + horizon < n else 0.0
                weight = (1 - lam) * lam ** (horizon - 1) if horizon < left else weight_left
                weight_left -= weight
                total += weight * (seen + ahead - values[i, t])
            assert float(got.advantages[i, t]) == pytest.approx(total, abs=1e-10)
            assert float(got.returns[i, t]) == pytest.approx(total + values[i, t], abs=1e-10)


def test_gae_with_a_perfect_critic_finds_no_advantage():
    rewards, _, mask = (torch.as_tensor(x) for x in batch(2))
    values = discounted_returns(rewards, mask)
    got = gae(rewards, values, mask)
    torch.testing.assert_close(got.advantages, torch.zeros_like(rewards), atol=1e-12, rtol=0)
    torch.testing.assert_close(got.returns, values * mask)


def test_gae_gives_the_values_no_gradient():
    rewards, values, mask = (torch.as_tensor(x) for x in batch(3))
    assert not gae(rewards, values.requires_grad_(), mask).returns.requires_grad


@pytest.mark.parametrize("tokens", [B * T, 2])
@pytest.mark.parametrize("scale", [3, 0.2])
@pytest.mark.parametrize("centre", [True, False])
def test_whitening_equals_statistics(centre, scale, tokens):
    values, _, mask = batch(4)
    values, mask = values * scale + 5, np.where(mask.cumsum().reshape(B, T) <= tokens, mask, 0)
    inside = [v for row, m in zip(values, mask, strict=True) for v, k in zip(row, m, strict=True) if k]
    mean, spread = statistics.fmean(inside), statistics.stdev(inside)
    got = whiten(torch.as_tensor(values), torch.as_tensor(mask), centre=centre).numpy()
    np.testing.assert_allclose(got, (values - (mean if centre else 0)) / spread * mask, rtol=1e-5, atol=1e-5)


def test_parts_whiten_as_the_whole_does():
    values, _, mask = (torch.as_tensor(x) for x in batch(6))
    stats = moments(values[:2], mask[:2]) + moments(values[2:], mask[2:])
    parts = [whiten(values[rows], mask[rows], stats) for rows in (slice(0, 2), slice(2, None))]
    torch.testing.assert_close(torch.cat(parts), whiten(values, mask), atol=1e-12, rtol=0)


def test_whitening_of_equal_values_is_nought_and_finite():
    got = whiten(torch.full((2, 3), 4.0), torch.ones(2, 3))
    assert got.abs().max() < 1e-3
    assert whiten(torch.tensor([[4.0, 9.0]]), torch.tensor([[1, 0]])).tolist() == [[0, 0]]
    assert whiten(torch.tensor([[4.0, 9.0]]), torch.zeros(1, 2)).tolist() == [[0, 0]]


def test_rows_are_padded_on_the_right():
    assert padded([np.array([1.0, 2.0]), [], [3.0]], 3).tolist() == [[1, 2, 0], [0, 0, 0], [3, 0, 0]]
    assert padded([[1.0], [2.0, 3.0]]).tolist() == padded([[1.0], [2.0, 3.0]], 2).tolist() == [[1, 0], [2, 3]]
    assert padded([]).shape == (0, 0)
    with pytest.raises(ValueError, match="a row of 2 numbers does not fit into 1"):
        padded([[1.0, 2.0]], 1)
