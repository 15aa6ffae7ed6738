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
    assert length_warning(0.0, 0.0, 1.0) == ""


@pytest.mark.parametrize("bad", [{"floor": 1.0}, {"floor": -0.1}, {"rate": -1.0}, {"rate": math.nan}])
def test_numbers_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match=r"floor of|rate of"):
        length_reward(True, 5, 10, EXACT, **bad)


def test_figures():
    figures = budget_figures([50, 110, 200, 100], [100, 100, 100, 100], [False, False, True, False])
    assert figures.deviation == pytest.approx((0.5 + 0.1 + 1.0 + 0) / 4)
    assert (figures.traces, figures.overrun, figures.forced) == (4, 0.5, 0.25)
    assert math.isnan(budget_figures([], [], []).deviation)
    with pytest.raises(ValueError, match="one number a trace"):
        budget_figures([1, 2], [1], [False])
    with pytest.raises(ValueError, match="budget of 0"):
        budget_figures([1], [0], [False])
