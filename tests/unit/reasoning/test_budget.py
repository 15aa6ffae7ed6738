"""What keeping to a thinking budget pays, and how its keeping is measured."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.reasoning.budget import (
    FLOOR,
    BudgetReward,
    Grant,
    allocate,
    both_budgets_text,
    budget_figures,
    budget_text,
    length_reward,
    length_warning,
    with_budget,
)

EXACT, MAX, NONE = BudgetReward.EXACT, BudgetReward.MAX, BudgetReward.NONE


def test_the_budget_is_said_after_the_problem():
    assert with_budget("What is 2 + 3?\n", 64) == "What is 2 + 3? Think for 64 tokens."
    assert with_budget("What is 2 + 3?", 64, MAX) == "What is 2 + 3? Think for at most 64 tokens."
    assert with_budget("What is 2 + 3?\n", None) == "What is 2 + 3?\n"
    with pytest.raises(ValueError, match="budget of 0"):
        budget_text(0)


@pytest.mark.parametrize(
    ("correct", "tokens", "expected"),
    [
        (True, 1000, 1.0),
        (True, 1500, 0.85),
        (True, 500, 0.85),
        (True, 9000, 0.5),
        (False, 1000, 0.0),
        (False, 1500, -0.15),
    ],
)
def test_exact_costs_the_distance_up_to_the_floor(correct, tokens, expected):
    assert length_reward(correct, tokens, 1000, EXACT, rate=0.0003) == pytest.approx(expected)


@pytest.mark.parametrize("tokens", [0, 300, 999, 1000, 1001, 2600, 2700, 9999])
def test_max_without_a_floor_is_the_printed_formula(tokens):
    printed = min(max(0.0003 * (1000 - tokens) + 0.5, 0), 1)
    assert length_reward(True, tokens, 1000, MAX, rate=0.0003, floor=0) == pytest.approx(printed)
    assert length_reward(False, tokens, 1000, MAX, rate=0.0003, floor=0) == 0


def test_max_falls_from_one_to_the_floor():
    paid = [length_reward(True, n, 100, MAX) for n in range(400)]
    assert paid[0] == 1
    assert paid[100] == pytest.approx(0.75)
    assert paid[-1] == FLOOR
    assert all(a >= b for a, b in pairwise(paid))


def test_without_a_rate_being_off_by_the_whole_budget_costs_all_there_is_to_lose():
    assert length_reward(True, 128, 64, EXACT) == pytest.approx(FLOOR)
    assert length_reward(True, 96, 64, EXACT) == pytest.approx(0.75)
    assert length_reward(True, 64, 64, NONE) == length_reward(True, 6400, 64, NONE) == 1


@given(
    used=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    budgets=st.tuples(st.integers(1, 10**5), st.integers(1, 10**5)),
    rate=st.floats(0, 10),
    form=st.sampled_from(BudgetReward),
)
def test_right_stays_above_wrong_whatever_the_lengths(used, budgets, rate, form):
    right = length_reward(True, used[0], budgets[0], form, rate=rate)
    wrong = length_reward(False, used[1], budgets[1], form, rate=rate)
    assert -1 <= wrong <= 0 < FLOOR <= right <= 1


def test_the_printed_additive_form_would_not_keep_that():
    """4,000 tokens off at 0.0003: right pays 1 - 1.2, less than a wrong answer of exact length."""
    assert 1 - 0.0003 * 4000 < 0
    assert length_reward(True, 5000, 1000, EXACT, rate=0.0003) > length_reward(False, 1000, 1000, EXACT, rate=0.0003)


def test_a_floor_too_low_for_the_weights_warns():
    assert length_warning(FLOOR, 0.3, 0.7) == ""
    assert "raise the floor" in length_warning(0.4, 0.3, 0.7)
    assert length_warning(0.5, 0.25, 0.5) != "", "level is not above"
    assert length_warning(0.0, 0.0, 1.0) == ""


@pytest.mark.parametrize(
    "bad",
    [
        {"floor": 1.0},
        {"floor": -0.1},
        {"rate": -1.0},
        {"rate": math.nan},
        {"rate": math.inf},
        {"tokens": -1},
        {"budget": 0},
    ],
)
def test_numbers_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match=r"floor of|rate of|budget of 0"):
        length_reward(True, **{"tokens": 5, "budget": 10, "form": EXACT, **bad})


def test_figures():
    figures = budget_figures([50, 110, 200, 100, 90], [100, 100, 100, 100, 100], [False, False, True, False, False])
    assert figures.deviation == pytest.approx((0.5 + 0.1 + 1.0 + 0 + 0.1) / 5)
    assert (figures.traces, figures.overrun, figures.forced) == (5, 0.4, 0.2)
    assert budget_figures([], [], []).traces == 0
    assert math.isnan(budget_figures([], [], []).deviation)
    with pytest.raises(ValueError, match="one number a trace"):
        budget_figures([1, 2], [1], [False])
    with pytest.raises(ValueError, match="one number a trace"):
        budget_figures([[1]], [[1]], [[False]])
    with pytest.raises(ValueError, match="budget of 0"):
        budget_figures([1, 1], [0, 1], [False, False])


@pytest.mark.parametrize("difficulty", [0.0, 0.25, 0.5, 1.0])
def test_difficulty_shares_the_tokens_out(difficulty):
    granted = allocate(1000, difficulty, "policy")
    assert granted == Grant(round(300 + 600 * difficulty), round(700 - 600 * difficulty), difficulty, "policy")
    assert granted.total == 1000


def test_an_answer_always_gets_a_token():
    assert [(g.thinking, g.answer) for g in (allocate(1, 1.0), allocate(2, 1.0))] == [(0, 1), (1, 1)]
    assert Grant(0, 1).total == 1
    for thinking, answer in ((-1, 5), (5, 0)):
        with pytest.raises(ValueError, match="at least 0 and 1 needed"):
            Grant(thinking, answer)
    for total, difficulty in ((0, 0.5), (10, 1.01), (10, -0.01), (10, math.nan)):
        with pytest.raises(ValueError, match=r"at least 1, and in \[0, 1\]"):
            allocate(total, difficulty)


def test_both_budgets_are_said_in_one_sentence():
    assert both_budgets_text(Grant(64, 32)) == "Think for at most 64 tokens, then answer in at most 32 tokens."
    assert both_budgets_text(Grant(0, 1)) == "Answer at once, in at most 1 token."
