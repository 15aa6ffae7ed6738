"""Every figure against scikit-learn or against a count by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn import metrics as reference

from trainer.reasoning import metrics
from trainer.reasoning.metrics import Binning

EXACT = 1e-12


def _case(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    size = int(random.integers(5, 200))
    scores = random.random(size)
    if ties:
        scores = np.round(scores, 1)
    targets = (random.random(size) < 0.3 + 0.5 * scores).astype(float)
    targets[:2] = 0, 1
    return scores, targets, random.random(size) * 3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_average_precision_equal_sklearn(seed: int, ties: bool) -> None:
    s, t, w = _case(seed, ties=ties)
    assert metrics.auc(s, t) == pytest.approx(reference.roc_auc_score(t, s), abs=EXACT)
    assert metrics.auc(s, t, w) == pytest.approx(reference.roc_auc_score(t, s, sample_weight=w), abs=EXACT)
    expected = reference.average_precision_score(t, s)
    assert metrics.average_precision(s, t) == pytest.approx(expected, abs=EXACT)
    expected = reference.average_precision_score(t, s, sample_weight=w)
    assert metrics.average_precision(s, t, w) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_brier_and_accuracy_equal_sklearn(seed: int) -> None:
    s, t, w = _case(seed, ties=True)
    assert metrics.brier(s, t, w) == pytest.approx(reference.brier_score_loss(t, s, sample_weight=w), abs=EXACT)
    expected = reference.accuracy_score(t, s >= 0.5, sample_weight=w)
    assert metrics.accuracy(s, t, w) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("seed", range(5))
def test_a_soft_target_counts_as_two_weighted_steps(seed: int) -> None:
    """AUC by all pairs, the soft step split by hand into a right and a wrong one."""
    s, t, w = _case(seed, ties=True)
    t = np.where(np.arange(t.size) % 3 == 0, 0.5, t)
    pairs = above = 0.0
    for i in range(s.size):
        for j in range(s.size):
            weight = w[i] * t[i] * w[j] * (1 - t[j])
            pairs += weight
            above += weight * (1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0)
    assert metrics.auc(s, t, w) == pytest.approx(above / pairs, abs=EXACT)
    doubled = metrics.brier(np.tile(s, 2), np.repeat([1.0, 0.0], s.size), np.concatenate([w * t, w * (1 - t)]))
    assert metrics.brier(s, t, w) == pytest.approx(doubled, abs=EXACT)


def test_figures_that_do_not_exist_are_nan() -> None:
    assert math.isnan(metrics.auc([0.1, 0.2], [1, 1]))
    assert math.isnan(metrics.auc([], []))
    assert math.isnan(metrics.average_precision([0.3], [0]))
    assert math.isnan(metrics.ece([], []))
    assert math.isnan(metrics.brier([], []))
    assert math.isnan(metrics.accuracy([0.5], [1], [0.0]))


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([0.1, math.nan], [0, 1], "1 of 2 scores"),
        ([0.1], [0, 1], "equally long"),
        ([0.1, 0.2], [0, 2], "targets must lie"),
        ([0.1, 0.2], [0, math.nan], "targets must lie"),
    ],
)
def test_impossible_input_is_refused(scores: list[float], targets: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.auc(scores, targets)


@pytest.mark.parametrize("seed", range(5))
def test_ece_of_equal_width_by_hand(seed: int) -> None:
    s, t, w = _case(seed, ties=False)
    expected = 0.0
    for index in range(10):
        inside = [k for k in range(s.size) if index / 10 <= s[k] < (index + 1) / 10 or (index == 9 and s[k] == 1)]
        expected += abs(sum(w[k] * (s[k] - t[k]) for k in inside)) / w.sum()
    assert metrics.ece(s, t, w) == pytest.approx(expected, abs=EXACT)


def test_ece_of_equal_mass_by_hand() -> None:
    random = np.random.default_rng(5)
    s, t = random.random(200), random.integers(0, 2, 200).astype(float)
    order = np.argsort(s)
    expected = sum(abs((s[part] - t[part]).sum()) for part in np.split(order, 10)) / 200
    assert metrics.ece(s, t, binning=Binning.EQUAL_MASS) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("binning", list(Binning))
def test_bins_hold_everything_once_and_never_part_equal_scores(binning: Binning) -> None:
    random = np.random.default_rng(2)
    s, t, w = np.round(random.random(500), 2), random.random(500), random.random(500)
    bars = metrics.reliability(s, t, w, bins=7, binning=binning)
    assert sum(bar.weight for bar in bars) == pytest.approx(w.sum())
    assert sum(bar.weight * bar.mean_target for bar in bars) == pytest.approx((w * t).sum())
    assert all(one.high <= two.low + EXACT for one, two in itertools.pairwise(bars))
    shuffled = random.permutation(500)
    again = metrics.reliability(s[shuffled], t[shuffled], w[shuffled], bins=7, binning=binning)
    assert [bar.weight for bar in again] == pytest.approx([bar.weight for bar in bars])


def test_the_edges_fall_into_the_upper_bin_and_one_into_the_last() -> None:
    bars = metrics.reliability([0.0, 0.1, 0.3, 1.0], [0, 0, 1, 1])
    assert [bar.low for bar in bars] == pytest.approx([0.0, 0.1, 0.3, 0.9])
    with pytest.raises(ValueError, match="no probabilities"):
        metrics.reliability([1.2], [1])


def test_a_planted_calibration_is_recovered() -> None:
    random = np.random.default_rng(0)
    s = random.random(200_000)
    honest = (random.random(s.size) < s).astype(float)
    boastful = (random.random(s.size) < s - 0.1 * np.sign(s - 0.5) * (np.abs(s - 0.5) > 0.1)).astype(float)
    assert metrics.ece(s, honest) < 0.01
    assert metrics.ece(s, boastful) == pytest.approx(0.08, abs=0.01)


def test_first_error() -> None:
    assert metrics.first_error([0.9, None, 0.4, 0.1]) == 2
    assert metrics.first_error([0.9, 0.5]) == metrics.NO_ERROR == -1
    assert metrics.first_error([0.9, 0.5], threshold=0.6) == 1
    assert metrics.first_error([]) == -1


def test_first_error_f1_is_the_harmonic_mean_of_processbench() -> None:
    actual = [2, 0, -1, -1, 3, -1, -1]
    predicted = [2, 1, -1, -1, 3, 0, -1]
    figures = metrics.first_error_figures(predicted, actual)
    assert figures.on_wrong == pytest.approx(2 / 3)
    assert figures.on_right == pytest.approx(3 / 4)
    assert figures.f1 == pytest.approx(2 / (3 / 2 + 4 / 3))
    assert figures.accuracy == pytest.approx(5 / 7)
    assert (figures.n_wrong, figures.n_right) == (3, 4)
    assert metrics.first_error_figures([0, -1], [-1, 0]).f1 == 0.0
    assert math.isnan(metrics.first_error_figures([0], [0]).f1)


def test_step_figures_count_only_steps_with_score_and_target() -> None:
    scores = [[0.9, 0.2, 0.8], [0.7, None, 0.6], [0.3]]
    targets = [[1.0, 0.0, None], [1.0, 1.0, None], [None]]
    figures = metrics.step_figures(scores, targets)
    assert (figures.n_steps, figures.n_rows) == (3, 2)
    assert figures.auc == 1.0
    assert figures.accuracy == 1.0
    assert figures.first_error_accuracy == 1.0
    assert figures.brier == pytest.approx((0.01 + 0.04 + 0.09) / 3)
    assert figures.ece == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    with pytest.raises(ValueError, match="row 0"):
        metrics.step_figures([[0.1]], [[1.0, 0.0]])


def test_a_step_after_the_first_error_cannot_change_the_first_error_figure() -> None:
    figures = metrics.step_figures([[0.9, 0.4, 0.1]], [[1.0, 0.0, 1.0]])
    assert figures.first_error_accuracy == 1.0


def test_bootstrap_draws_whole_groups() -> None:
    """Each weight vector is constant within a group and sums to the groups drawn."""
    groups = np.repeat(np.arange(8), [1, 5, 2, 9, 1, 1, 3, 4])
    seen: list[np.ndarray] = []

    def figure(weights: np.ndarray) -> float:
        seen.append(weights)
        return float(weights.sum())

    interval = metrics.bootstrap(groups, figure, rounds=50, seed=1)
    assert interval.value == groups.size
    assert interval.groups == 8
    for weights in seen:
        per_group = [set(weights[groups == group]) for group in range(8)]
        assert all(len(values) == 1 for values in per_group)
        assert sum(values.pop() for values in per_group) == 8


def test_bootstrap_interval_of_a_mean_is_the_textbook_one() -> None:
    random = np.random.default_rng(3)
    x = random.normal(2.0, 1.0, 400)
    interval = metrics.bootstrap(np.arange(400), lambda w: float((w * x).sum() / w.sum()), rounds=4000)
    half = 1.96 * x.std(ddof=1) / math.sqrt(400)
    assert interval.low == pytest.approx(x.mean() - half, abs=0.01)
    assert interval.high == pytest.approx(x.mean() + half, abs=0.01)
    assert not interval.holds_zero


def test_paired_bootstrap_sees_a_difference_and_sees_none() -> None:
    random = np.random.default_rng(4)
    groups = np.repeat(np.arange(150), 6)
    targets = (random.random(900) < 0.7).astype(float)
    good, same = targets + random.normal(0, 0.7, 900), targets + random.normal(0, 1.5, 900)
    better = metrics.paired_bootstrap(good, same, targets, groups, rounds=300)
    assert better.value == pytest.approx(metrics.auc(good, targets) - metrics.auc(same, targets), abs=EXACT)
    assert better.low > 0
    none = metrics.paired_bootstrap(same, same, targets, groups, rounds=50)
    assert (none.low, none.high) == (0.0, 0.0)
    assert none.holds_zero


def test_rounds_without_a_figure_are_counted_out() -> None:
    interval = metrics.bootstrap([0, 1], lambda w: metrics.auc([0.2, 0.8], [0, 1], w), rounds=400)
    # both groups are drawn in half of the rounds; otherwise one class is missing
    assert 140 < interval.rounds < 260
    assert metrics.bootstrap([], lambda w: math.nan).rounds == 0
