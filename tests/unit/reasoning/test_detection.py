"""A monitor's figures are scikit-learn's to 1e-9; one at 1 % false positives is refused where negatives are few."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from trainer.reasoning.detection import at_rate, confusion, figures_of, wilson


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("digits", [1, 2, 9])
def test_figures_are_those_of_scikit_learn(seed: int, digits: int) -> None:
    draw = np.random.default_rng(seed)
    truth = (draw.random(900) < 0.3).astype(int)
    scores = np.round(np.clip(draw.normal(0.4 + 0.2 * truth, 0.2), 0, 1), digits)
    found = figures_of(scores, truth, rounds=20)
    assert abs(found.auroc.value - roc_auc_score(truth, scores)) < 1e-9
    assert abs(found.average_precision - average_precision_score(truth, scores)) < 1e-9
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    for rate, ours in ((0.01, found.at_1), (0.05, found.at_5)):
        assert ours.tpr is not None
        assert abs(ours.tpr.value - tpr[fpr <= rate].max()) < 1e-9
        assert ours.fpr is not None
        assert ours.fpr.value <= rate
    edges = np.linspace(0, 1, 11)
    place = np.clip(np.digitize(scores, edges[1:-1]), 0, 9)
    parts = [(place == k) for k in range(10) if (place == k).any()]
    expected = sum(part.mean() * abs(scores[part].mean() - truth[part].mean()) for part in parts)
    assert abs(found.ece - expected) < 1e-9


def test_a_figure_at_one_percent_is_refused_below_300_negatives() -> None:
    truth = np.array([1] * 50 + [0] * 299)
    refused = at_rate(np.linspace(0, 1, 349), truth, 0.01)
    assert refused.tpr is None
    assert refused.describe() == "299 negatives; 1% needs 300"
    assert at_rate(np.linspace(0, 1, 350), np.append(truth, 0), 0.01).tpr is not None
    assert at_rate([0.5], [1], 0.05).describe() == "no negatives"


def test_the_wilson_interval_solves_its_own_equation() -> None:
    """Its ends are the shares p for which the observed share lies 1.96 standard errors away."""
    for hits, number in ((3, 40), (0, 25), (17, 20)):
        found = wilson(hits, number)
        for end in (found.low, found.high):
            if 1e-9 < end < 1:
                error = math.sqrt(end * (1 - end) / number)
                assert abs(abs(found.value - end) - 1.959963984540054 * error) < 1e-9
    assert math.isnan(wilson(0, 0).value)


def test_a_confusion_and_its_figures() -> None:
    found = confusion([0.9, 0.8, 0.3, 0.2, 0.9], [1, 0, 1, 0, 1], 0.8)
    assert (found.true_positive, found.false_positive, found.true_negative, found.false_negative) == (2, 1, 1, 1)
    assert found.g_mean2 == pytest.approx(2 / 3 * 1 / 2)
    assert found.f1 == pytest.approx(2 / 3)


def test_traces_without_a_score_are_left_out_and_counted() -> None:
    found = figures_of([0.1, np.nan, 0.9], [0, 1, 1], ["a", "b", "c"], rounds=10)
    assert (found.positives, found.negatives, found.left_out) == (1, 1, 1)
