"""Counts of how a text reasons."""

from __future__ import annotations

import math

import pytest
from scipy.stats import spearmanr

from trainer.reasoning.behaviour import behaviour, effort_by_difficulty


@pytest.mark.parametrize(
    ("text", "backtracking", "verification"),
    [
        ("3 + 4 = 7", 0, 0),
        ("Wait, that is wrong.", 2, 0),
        ("Let me check: 3 + 4 = 7.", 0, 1),
        ("That is right.", 0, 0),
        ("Hmm. Let's try another way.\nLet's double-check this.", 2, 1),
        ("We waited for the train.", 0, 0),
        ("I made a mistake in line 2; start over.", 2, 0),
        ("Plugging it back in gives 7, so this verifies it. To check, verify.", 0, 1),
    ],
)
def test_phrases(text: str, backtracking: int, verification: int):
    found = behaviour(text)
    assert (found.backtracking, found.verification) == (backtracking, verification)


def test_repeated_lines():
    found = behaviour("a b\nc\nA  b\n\na b\n")
    assert (found.steps, found.words, found.repeated) == (4, 7, 2)
    assert found.repeated_share == 0.5
    assert behaviour("").repeated_share == 0


def test_effort_rises_with_difficulty():
    effort, difficulty = [10, 12, 20, 18, 40, 5], [1, 1, 2, 2, 3, 3]
    found = effort_by_difficulty(effort, difficulty)
    assert [(e.difficulty, e.mean, e.texts) for e in found.levels] == [(1, 11, 2), (2, 19, 2), (3, 22.5, 2)]
    assert found.correlation == pytest.approx(spearmanr(effort, difficulty).statistic)
    assert math.isnan(effort_by_difficulty([1, 2], [3, 3]).correlation)
    with pytest.raises(ValueError, match="2 efforts for 1"):
        effort_by_difficulty([1, 2], [3])
