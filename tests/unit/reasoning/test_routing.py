"""Thresholds, lines and the ledger of routing, each against a count by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from trainer.reasoning.routing import (
    EVERYTHING,
    Both,
    Entry,
    Line,
    Thresholds,
    by_task,
    cells,
    choose_for_accuracy,
    choose_for_cost,
    is_drawn,
    oracle,
    random_line,
    routed,
)


def drawn(n: int, seed: int, tasks: tuple[str, ...] = ()) -> Both:
    """Random problems, some of which nobody judged."""
    g = np.random.default_rng(seed)
    p = g.beta(0.5, 0.5, n)
    before = np.where(g.random(n) < 0.1, np.nan, np.clip(p + 0.2 * g.standard_normal(n), 0, 1))
    after = np.where(g.random(n) < 0.1, np.nan, np.clip(p + 0.1 * g.standard_normal(n), 0, 1))
    fast = g.random(n) < p
    return Both(before, after, fast, fast | (g.random(n) < 0.7), g.uniform(1, 2, n), g.uniform(5, 15, n), tasks)


def by_hand(both: Both, direct: float, accept: float) -> Line:
    """The rule, problem by problem."""
    right, cost, escalated = 0, 0.0, 0
    for i in range(len(both)):
        before = 1.0 if math.isnan(both.before[i]) else both.before[i]
        after = 0.0 if math.isnan(both.after[i]) else both.after[i]
        if before < direct:
            right, cost, escalated = (
                right + both.reasoning_right[i], cost + both.reasoning_cost[i], escalated + 1,
            )  # fmt: skip
            continue
        cost += both.fast_cost[i]
        if after < accept:
            right, cost, escalated = (
                right + both.reasoning_right[i], cost + both.reasoning_cost[i], escalated + 1,
            )  # fmt: skip
        else:
            right += both.fast_right[i]
    n = len(both)
    return Line(right / n, cost / n, escalated / n)


@pytest.mark.parametrize(("direct", "accept"), [(0.0, 0.0), (0.3, 0.6), (0.9, EVERYTHING), (0.0, EVERYTHING)])
def test_what_thresholds_get_is_what_the_rule_gets_problem_by_problem(direct: float, accept: float):
    both = drawn(200, 1)
    found, wanted = routed(both, Thresholds(direct, accept)), by_hand(both, direct, accept)
    assert found.accuracy == pytest.approx(wanted.accuracy)
    assert found.cost == pytest.approx(wanted.cost)
    assert found.escalated == pytest.approx(wanted.escalated)


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_is_the_cheapest_right_model_of_every_problem(seed: int):
    g = np.random.default_rng(seed)
    both = replace(drawn(150, seed), reasoning_right=g.random(150) < 0.5, reasoning_cost=g.uniform(0.5, 4, 150))
    cost, right, asked = 0.0, 0, 0
    for i in range(len(both)):
        ways = [(both.fast_cost[i], both.fast_right[i], 0), (both.reasoning_cost[i], both.reasoning_right[i], 1)]
        good = [way for way in ways if way[1]]
        cost += min(good or ways)[0]
        right += bool(good)
        asked += min(good or ways)[2]
    assert oracle(both).accuracy == pytest.approx(right / 150)
    assert oracle(both).cost == pytest.approx(cost / 150)
    assert oracle(both).escalated == pytest.approx(asked / 150)


def test_the_oracle_asks_the_reasoning_model_first_where_it_is_the_cheaper_one():
    def one(value: float) -> np.ndarray:
        return np.array([value])

    both = Both(one(0.5), one(0.5), one(1).astype(bool), one(1).astype(bool), one(3.0), one(2.0))
    assert oracle(both) == Line(1.0, 2.0, 1.0)


def test_a_coin_is_the_mean_of_many_coins():
    both, generator = drawn(80, 4), np.random.default_rng(0)
    heads = generator.random((20_000, 80)) < 0.3
    accuracy = np.where(heads, both.reasoning_right, both.fast_right).mean()
    cost = np.where(heads, both.reasoning_cost, both.fast_cost).mean()
    found = random_line(both, 0.3)
    assert found.accuracy == pytest.approx(accuracy, abs=5e-3)
    assert found.cost == pytest.approx(cost, abs=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_no_other_thresholds_of_few_problems_are_better(seed: int):
    """Of all that meet the target the cheapest (or most accurate), of those the most accurate (or cheapest)."""
    both, g = drawn(12, seed), np.random.default_rng(seed)
    if seed % 2:  # whole costs, many of them equal; and the reasoning model may be wrong where the fast one is right
        both = replace(both, reasoning_right=g.random(12) < 0.6, fast_cost=np.ones(12), reasoning_cost=np.full(12, 4.0))
    before = sorted({0.0, *(1.0 if math.isnan(x) else x + 1e-9 for x in both.before), EVERYTHING})
    after = sorted({0.0, *(0.0 if math.isnan(x) else x + 1e-9 for x in both.after), EVERYTHING})
    every = {
        (round(line.accuracy, 9), round(line.cost, 9))
        for direct, accept in product(before, after)
        for line in [by_hand(both, direct, accept)]
    }
    for within in (0.0, 0.1, 0.3):
        least = round(oracle(both).accuracy - within, 9)
        enough = [(cost, -accuracy) for accuracy, cost in every if accuracy >= least]
        chosen = choose_for_accuracy(both, within)
        assert chosen.reached == bool(enough)
        cost, accuracy = min(enough) if enough else min((cost, -accuracy) for accuracy, cost in every
                                                        if accuracy == max(every)[0])  # fmt: skip
        assert (chosen.line.cost, chosen.line.accuracy) == pytest.approx((cost, -accuracy))
        assert routed(both, chosen.thresholds) == chosen.line
    for share in (0.05, 0.4, 0.8):
        most = round(share * both.reasoning_cost.mean(), 9)
        enough = [(-accuracy, cost) for accuracy, cost in every if cost <= most]
        chosen = choose_for_cost(both, share)
        assert chosen.reached == bool(enough)
        cheapest = min(cost for _, cost in every)
        accuracy, cost = min(enough) if enough else min((-accuracy, cost) for accuracy, cost in every
                                                        if cost == cheapest)  # fmt: skip
        assert (chosen.line.accuracy, chosen.line.cost) == pytest.approx((-accuracy, cost))


def test_a_target_that_cannot_be_met_says_so():
    both = drawn(50, 5)
    assert not choose_for_cost(both, 0.01).reached
    blind = Both(
        np.full(50, np.nan), np.zeros(50), both.fast_right, ~both.fast_right, both.fast_cost, both.reasoning_cost
    )
    assert not choose_for_accuracy(blind, 0.01).reached
    never = replace(blind, fast_right=np.zeros(50, np.bool_), reasoning_right=np.ones(50, np.bool_))
    chosen = choose_for_accuracy(never, 0.0)
    assert chosen.thresholds.direct == 0, "of what nobody judged nothing goes to the reasoning model at once"
    assert chosen.line.accuracy == chosen.line.escalated == 1
    for choose in (choose_for_accuracy, choose_for_cost):
        with pytest.raises(ValueError, match="no problem"):
            choose(both.of(np.zeros(50, np.bool_)), 0.02)


def test_task_types_with_problems_enough_have_thresholds_of_their_own():
    tasks = tuple("maths" if i % 2 else "code" if i < 100 else "few" for i in range(300))
    both = drawn(300, 6, tasks)
    found = by_task(both, lambda part: choose_for_cost(part, 0.5))
    assert set(found) == {"", "maths", "few"}
    part = both.of(np.array([task == "few" for task in tasks]))
    assert (len(part), set(part.tasks)) == (100, {"few"})
    assert set(by_task(drawn(100, 7, ("maths",) * 100), lambda part: choose_for_cost(part, 0.5))) == {""}
    assert found["maths"] == choose_for_cost(both.of(np.array([task == "maths" for task in tasks])), 0.5)


def test_a_share_of_nothing_draws_none_and_of_all_every_row():
    rows = [f"r{k}" for k in range(500)]
    shares = [sum(is_drawn(row, share) for row in rows) for share in (0.0, 0.2, 0.5, 1.0)]
    assert (shares[0], shares[-1]) == (0, 500)
    assert 60 < shares[1] < 140 < 200 < shares[2] < 300


def test_the_ledger_by_hand():
    assert cells([]) == ()
    entries = [
        Entry("maths", "fast", True, 1.0, 0.1, False),
        Entry("maths", "fast", False, 2.0, 0.1, False),
        Entry("maths", "slow", True, 9.0, 2.0, True, marked=True),
        Entry("code", "fast", None, 0.0, 0.0, False, cached=True),
    ]
    found = {(cell.task, cell.model): cell for cell in cells(entries)}
    assert list(found) == [
        ("", ""),
        ("code", ""),
        ("code", "fast"),
        ("maths", ""),
        ("maths", "fast"),
        ("maths", "slow"),
    ]
    assert [cell.problems for cell in cells([Entry("", "fast", True, 1.0, 0.1, False)])] == [1, 1]
    whole, sums, code = found["", ""], found["maths", ""], found["code", "fast"]
    assert (whole.problems, whole.graded, whole.accuracy) == (4, 3, pytest.approx(2 / 3))
    assert whole.cost_of_right == pytest.approx(2.2 / 2)
    assert (whole.p50, whole.cached, whole.marked) == (pytest.approx(1.5), 0.25, 0.25)
    assert (whole.p99, whole.cost) == (pytest.approx(2 + 0.97 * 7), pytest.approx(2.2))
    assert (sums.p95, sums.escalated) == (pytest.approx(2 + 0.9 * 7), pytest.approx(1 / 3))
    assert (code.accuracy, code.cost_of_right) == (None, None)
    assert found["maths", "fast"].cost_of_right == pytest.approx(0.2)
