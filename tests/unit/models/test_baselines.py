"""The baselines: fitted on the training rows alone, causal where they say so, exact where a hand can count."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.models.baselines import LabelledSteps, baseline_scores, last_rated, step_index, tfidf
from trainer.reasoning import metrics


def _rows(count: int, seed: int) -> list[LabelledSteps]:
    """Later steps are worse, and the word "sloppy" makes a step wrong more often."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = random.choice(["sloppy", "careful", "plain"], size=5)
        chance = 0.95 - 0.1 * np.arange(5) - 0.35 * (words == "sloppy")
        targets = (random.random(5) < chance).astype(float)
        rows.append(LabelledSteps(tuple(f"a {word} step" for word in words), tuple(targets.tolist())))
    return rows


TRAIN, HELD_OUT = _rows(400, 0), _rows(200, 1)


def test_each_finds_what_it_can_see() -> None:
    truth = [row.targets for row in HELD_OUT]
    by_index = metrics.step_figures(step_index(TRAIN, HELD_OUT), truth)
    raw_index = metrics.step_figures([[1 - place / 5 for place in range(5)] for _ in HELD_OUT], truth)
    assert by_index.auc == pytest.approx(raw_index.auc, abs=1e-9), "fitted on a falling share it ranks as the index"
    assert by_index.ece < 0.03
    by_text = metrics.step_figures(tfidf(TRAIN, HELD_OUT), truth)
    by_word = metrics.step_figures([[float("sloppy" not in step) for step in row.steps] for row in HELD_OUT], truth)
    assert by_text.auc == pytest.approx(by_word.auc, abs=0.03)


def test_held_out_targets_change_no_causal_baseline() -> None:
    flipped = [
        LabelledSteps(row.steps, tuple(1 - t if t is not None else None for t in row.targets)) for row in HELD_OUT
    ]
    for one, two in zip(baseline_scores(TRAIN, HELD_OUT), baseline_scores(TRAIN, flipped), strict=True):
        assert one.scores == two.scores


def test_causal_baselines_do_not_see_what_follows() -> None:
    short = [LabelledSteps(row.steps[:2], row.targets[:2]) for row in HELD_OUT]
    for whole, part in zip(baseline_scores(TRAIN, HELD_OUT), baseline_scores(TRAIN, short), strict=True):
        same = all(a[:2] == pytest.approx(b, abs=1e-12) for a, b in zip(whole.scores, part.scores, strict=True))
        assert same == whole.causal, whole.name
    assert [b.name for b in baseline_scores(TRAIN, short) if not b.causal] == ["hint_last_rated"]


def test_unsupervised_steps_teach_nothing() -> None:
    noisy = [LabelledSteps((*row.steps, "sloppy noise"), (*row.targets, None)) for row in TRAIN]
    assert np.allclose(tfidf(TRAIN, HELD_OUT), tfidf(noisy, HELD_OUT))
    assert np.allclose(step_index(TRAIN, HELD_OUT), step_index(noisy, HELD_OUT))


def test_a_soft_target_is_both_classes_in_part() -> None:
    """0.75 must fit as three right steps and one wrong one of a quarter weight each."""
    soft = [LabelledSteps(("one", "two"), (0.75, 0.25))] * 40
    hard = [LabelledSteps(("one", "two"), (float(k < 3), float(k >= 3))) for k in range(4)] * 10
    assert np.allclose(step_index(soft, soft[:1]), step_index(hard, soft[:1]), atol=1e-4)


def test_the_hint_marks_the_last_rated_step() -> None:
    rows = [
        LabelledSteps(("a", "b", "c"), (1.0, 0.0, None)),
        LabelledSteps(("a", "b"), (1.0, 1.0)),
        LabelledSteps(("a",), (None,)),
    ]
    assert last_rated(rows) == ((1.0, 0.0, 1.0), (1.0, 0.0), (1.0,))


def test_one_class_and_no_rows() -> None:
    right = [LabelledSteps(("a", "b"), (1.0, 1.0))]
    assert tfidf(right, right) == ((1.0, 1.0),)
    assert step_index([], right) == ((0.5, 0.5),)
    assert all(b.scores == () for b in baseline_scores(TRAIN, []))
    empty_text = [LabelledSteps(("", "."), (1.0, 0.0))] * 3
    assert len(tfidf(empty_text, empty_text)) == 3
