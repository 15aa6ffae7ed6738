"""Calibration: planted probabilities come back, the optimum is that of a plain search, the threshold of brute force."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.reasoning.calibration import calibrate, fit_temperature, temper, tune_threshold
from trainer.reasoning.metrics import ece, first_error, first_error_figures


def planted(seed: int, n: int, heat: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True P(correct), what an overconfident (heat > 1) model says of it, and what happened."""
    draw = np.random.default_rng(seed)
    true = draw.beta(1.5, 0.8, n)
    said = 1 / (1 + np.exp(-heat * np.log(true / (1 - true))))
    happened = (draw.random(n) < true).astype(np.float64)
    return true, said, happened


def two(p: np.ndarray) -> np.ndarray:
    return np.stack([1 - p, p], axis=1)


@pytest.mark.parametrize("heat", [0.4, 1.0, 3.0])
def test_planted_probabilities_are_recovered(heat: float):
    true, said, happened = planted(0, 5000, heat)
    temperature = fit_temperature(two(said), two(happened))
    assert temperature == pytest.approx(heat, rel=0.08)
    scaled = temper(two(said), temperature)[:, 1]
    assert ece(scaled, happened) < 0.02
    assert np.abs(scaled - true).max() < 0.03
    if heat != 1.0:
        assert ece(said, happened) > 0.05
    fresh_true, fresh_said, fresh = planted(1, 5000, heat)  # rows the temperature has never seen
    assert ece(temper(two(fresh_said), temperature)[:, 1], fresh) < 0.02
    assert np.abs(temper(two(fresh_said), temperature)[:, 1] - fresh_true).max() < 0.03


@pytest.mark.parametrize("classes", [2, 3])
def test_the_temperature_is_that_of_a_plain_search(classes: int):
    draw = np.random.default_rng(2)
    p = draw.dirichlet(np.full(classes, 0.4), 400)
    warm = p**0.4 / (p**0.4).sum(1, keepdims=True)
    t = np.stack([draw.dirichlet(3 * row + 1e-3) for row in warm])  # soft targets
    found = fit_temperature(p, t)

    def loss(temperature: float) -> float:
        raised = p ** (1 / temperature)
        return float(-(t * np.log(raised / raised.sum(1, keepdims=True))).sum())

    grid = np.exp(np.linspace(np.log(0.05), np.log(20.0), 20001))
    best = grid[int(np.argmin([loss(x) for x in grid[::50]])) * 50]
    fine = np.linspace(best * 0.97, best * 1.03, 2001)
    assert found == pytest.approx(fine[int(np.argmin([loss(x) for x in fine]))], rel=1e-3)
    assert loss(found) <= min(loss(found * 0.999), loss(found * 1.001))


def test_tempering_keeps_order_sums_and_one():
    p = np.random.default_rng(3).dirichlet([0.5, 0.5], 300)
    assert np.array_equal(temper(p, 1.0), p)
    warm = temper(p, 2.5)
    assert np.allclose(warm.sum(1), 1.0)
    assert np.array_equal(np.argsort(warm[:, 1], kind="stable"), np.argsort(p[:, 1], kind="stable"))
    logits = np.log(p[:, 1] / p[:, 0])
    assert np.allclose(warm[:, 1], 1 / (1 + np.exp(-logits / 2.5)))
    assert np.isfinite(temper([[0.0, 1.0]], 3.0)).all()


def test_rows_on_one_side_teach_no_temperature():
    p = two(np.full(50, 0.7))
    assert fit_temperature(p, two(np.ones(50))) == 1.0
    assert fit_temperature(np.empty((0, 2)), np.empty((0, 2))) == 1.0
    sure = two(np.array([0.0, 1.0] * 20))  # none of ours, but a model's softmax may round to these
    assert fit_temperature(sure, sure) == pytest.approx(0.05)
    assert fit_temperature(sure, sure[::-1]) == pytest.approx(20.0)
    with pytest.raises(ValueError, match="for targets"):
        fit_temperature(p, two(np.ones(49)))


def rows_of(seed: int, count: int) -> tuple[list[list[float | None]], list[list[float | None]]]:
    draw = np.random.default_rng(seed)
    scores: list[list[float | None]] = []
    targets: list[list[float | None]] = []
    for _ in range(count):
        steps = int(draw.integers(1, 7))
        wrong = int(draw.integers(0, steps)) if draw.random() < 0.5 else steps
        made = np.round(draw.beta(4, 2, steps), 2)  # rounded: equal scores occur
        if wrong < steps:
            made[wrong] = round(float(draw.beta(2, 4)), 2)
        scores.append([None if draw.random() < 0.05 else float(s) for s in made])
        wish = draw.choice([0.5, 0.7, 1.0], steps)  # half of the continuations right is not wrong
        wish[min(wrong, steps - 1)] = draw.choice([0.0, 0.3, 0.49]) if wrong < steps else 1.0
        targets.append([None if i > wrong else float(wish[i]) for i in range(steps)])
    return scores, targets


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_that_of_brute_force(seed: int):
    scores, targets = rows_of(seed, 120)
    tuned = tune_threshold(scores, targets)
    assert tuned is not None

    def f1(threshold: float) -> float:
        predicted, actual = [], []
        for s, t in zip(scores, targets, strict=True):
            pairs = [(x, y) for x, y in zip(s, t, strict=True) if x is not None and y is not None]
            if pairs:
                predicted.append(first_error([x for x, _ in pairs], threshold=threshold))
                actual.append(first_error([y for _, y in pairs]))
        return first_error_figures(predicted, actual).f1

    assert tuned.figures.f1 == pytest.approx(f1(tuned.value))
    assert tuned.figures.f1 == pytest.approx(max(f1(x / 1000 + 0.0005) for x in range(1000)))


def test_of_thresholds_that_are_alike_the_one_nearest_a_half_is_taken():
    for low, high, expected in ((0.3, 0.9, 0.5), (0.6, 0.8, 0.7), (0.2, 0.4, 0.3)):
        tuned = tune_threshold([[high, low], [high]], [[1.0, 0.0], [1.0]])
        assert tuned is not None
        assert (tuned.value, tuned.figures.f1) == (pytest.approx(expected), 1.0)


def test_few_labels_are_not_learned_by_heart():
    """30 are learned from: right steps said to be 0.9, wrong ones 0.7, so that the threshold lies between."""
    right, wrong = two(np.array([0.9, 0.9])), two(np.array([0.9, 0.7]))
    probabilities, targets = [right, wrong] * 7, [two(np.ones(2)), two(np.array([1.0, 0.0]))] * 7
    found = calibrate([*probabilities, right[:1]], [*targets, two(np.ones(1))])
    assert (found.temperature, found.threshold, found.labels) == (1.0, 0.5, 29)
    assert found.after == found.before
    found = calibrate([*probabilities, right], [*targets, two(np.ones(2))])
    assert found.labels == 30
    assert found.temperature != 1.0
    wrong_one, right_one = temper(two(np.array([0.7, 0.9])), found.temperature)[:, 1]
    assert 0.5 < wrong_one < found.threshold <= right_one


def test_no_threshold_without_both_kinds_of_rows():
    assert tune_threshold([[0.9, 0.2]], [[1.0, 0.0]]) is None
    assert tune_threshold([[0.9, 0.2]], [[1.0, 1.0]]) is None
    assert tune_threshold([], []) is None


def test_calibrating_rows_passes_over_unlabelled_steps():
    _, said, happened = planted(4, 5000, 2.0)
    rows = np.split(np.arange(5000), 1000)
    probabilities = [two(said[r]) for r in rows]
    targets = [two(happened[r]) for r in rows]
    targets[0][:] = np.nan
    found = calibrate(probabilities, targets)
    assert found.labels == 4995
    assert found.temperature == pytest.approx(fit_temperature(two(said[5:]), two(happened[5:])), rel=1e-9)
    assert found.after.ece < 0.02 < found.before.ece
    assert found.after.brier < found.before.brier
    assert found.before.brier == pytest.approx(float(((said[5:] - happened[5:]) ** 2).mean()))
    plain = found.as_dict()
    assert sum(bar[2] for bar in plain["reliability_after"]) == pytest.approx(4995)
    assert 0 < found.threshold < 1
