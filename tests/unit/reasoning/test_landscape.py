"""The landscape of steps: PCA against numpy's SVD, and what the vectors are invariant to."""

from __future__ import annotations

import numpy as np

from trainer.reasoning.landscape import principal, vectors


def test_directions_are_those_of_the_singular_value_decomposition() -> None:
    rows = np.random.default_rng(0).normal(size=(80, 12)) * np.linspace(3, 0.2, 12)
    places, shares = principal(rows)
    centred = rows - rows.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(places), np.abs(left[:, :2] * values[:2]))
    assert np.allclose(shares, (values**2 / (values**2).sum())[:2])


def test_steps_of_the_same_words_lie_on_each_other_and_lengths_do_not_count() -> None:
    made = vectors(["Add three and four.", "three ADD four, and", "add three and four add three and four", "x = 2", ""])
    assert np.allclose(made[0], made[1])
    assert np.allclose(made[0], made[2])
    assert np.allclose(np.linalg.norm(made, axis=1), [1, 1, 1, 1, 0])
    assert made[0] @ made[3] < 0.9
