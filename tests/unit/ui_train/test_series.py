"""Curves and their moving average."""

from __future__ import annotations

import numpy as np

from studio.ui.widgets.series import Grown, Smoothed


def slow_average(values: list[float], decay: float) -> list[float]:
    """The definition, one value after the other."""
    state, out = 0.0, []
    for n, value in enumerate(values, 1):
        state = decay * state + (1 - decay) * value
        out.append(state / (1 - decay**n))
    return out


def test_average_equals_the_definition_however_it_arrives() -> None:
    values = np.random.default_rng(3).normal(size=1000)
    steps = np.arange(1000)
    curve = Smoothed(0.9)
    for end in (1, 2, 7, 130, 131, 600, 1000):
        assert curve.update(steps[:end], values[:end])
    assert np.allclose(curve.smooth.view, slow_average(values.tolist(), 0.9), rtol=0, atol=1e-12)
    assert not curve.update(steps, values)


def test_a_resumed_run_drops_the_points_beyond_its_checkpoint() -> None:
    curve = Smoothed(0.5)
    curve.update(np.array([1, 2, 3, 4]), np.array([1.0, 2.0, 9.0, 9.0]))
    curve.update(np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]))
    assert curve.values.view.tolist() == [1.0, 2.0, 3.0]
    assert np.allclose(curve.smooth.view, slow_average([1.0, 2.0, 3.0], 0.5))


def test_a_replaced_point_at_the_same_length_is_seen() -> None:
    curve = Smoothed(0.5)
    curve.update(np.array([1, 2, 3]), np.array([1.0, 2.0, 9.0]))
    assert curve.update(np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]))
    assert curve.values.view.tolist() == [1.0, 2.0, 3.0]


def test_not_a_number_is_never_drawn() -> None:
    curve = Smoothed(0.5)
    curve.update(np.array([1, 2, 3]), np.array([1.0, np.nan, 3.0]))
    assert curve.steps.view.tolist() == [1, 3]
    assert not curve.update(np.array([1, 2, 3]), np.array([1.0, np.nan, 3.0]))
    curve.update(np.array([1, 2, 3, 4]), np.array([1.0, np.nan, 3.0, 5.0]))
    assert curve.steps.view.tolist() == [1, 3, 4]
    assert np.allclose(curve.smooth.view, slow_average([1.0, 3.0, 5.0], 0.5))


def test_arrays_keep_what_was_put_in_while_they_double() -> None:
    grown = Grown()
    for start in range(0, 3000, 100):
        grown.extend(np.arange(start, start + 100, dtype=float))
    assert grown.view.tolist() == list(range(3000))
