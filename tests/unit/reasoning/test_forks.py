"""The difference of two shares, against the published example and against what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.reasoning.detection import wilson
from trainer.reasoning.forks import difference


def test_the_example_of_newcombe() -> None:
    found = difference(wilson(48, 80), wilson(56, 70))  # Newcombe 1998, table II (a), method 10
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert found.is_sure
    turned = difference(wilson(56, 70), wilson(48, 80))
    assert (turned.low, turned.high) == (pytest.approx(-found.high), pytest.approx(-found.low))
    assert not difference(wilson(3, 8), wilson(4, 8)).is_sure


def test_the_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2_000):
        p, q = rng.uniform(0.05, 0.95, 2)
        found = difference(wilson(int(rng.binomial(16, p)), 16), wilson(int(rng.binomial(16, q)), 16))
        held += found.low <= q - p <= found.high
    assert held / 2_000 > 0.935
