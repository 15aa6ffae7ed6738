"""Thinking budgets: the text that asks for one, what keeping to it pays, and how well it was kept. numpy only.

LCPO (L1, Aggarwal & Welleck 2025) pays `exact` correct - rate * |n - b| and `max` correct * clip(rate * (b - n) + 1/2,
0, 1). As printed, both can put a right answer level with or below a wrong one: 4,000 tokens off at 0.0003 cost more
than being right pays. Here a right answer is never paid less than `FLOOR` nor a wrong one more than 0, and FLOOR is so
chosen that with the weights 0.3 and 0.7 no score of the steps closes that gap either (0.7 * 0.5 > 0.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trainer.contract.forms import BudgetReward as BudgetReward

FLOOR = 0.5
"""The least that a right answer pays, of 1."""
LEAST_SHARE = 0.3
"""What thinking gets of the tokens of the easiest problem."""
SHARE_BY_DIFFICULTY = 0.6
"""What it gets more of the hardest."""


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """How well budgets were kept over n traces: mean |n - b| / b, share over the budget, share stopped by the decoder.

    Figures of no traces are NaN.
    """

    traces: int
    deviation: float
    overrun: float
    forced: float


def budget_text(budget: int, form: BudgetReward = BudgetReward.EXACT) -> str:
    """The sentence that asks for a budget; `MAX` asks for no more than it."""
    _check_budget(budget)
    return f"Think for {'at most ' if form is BudgetReward.MAX else ''}{budget} tokens."


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens that a trace may use, thinking and answer apart. `difficulty` [0, 1] allocated them, as `by` judged it."""

    thinking: int
    answer: int
    difficulty: float | None = None
    by: str = ""

    def __post_init__(self) -> None:
        if self.thinking < 0 or self.answer < 1:
            raise ValueError(f"{self.thinking} tokens of thinking and {self.answer} of answer: at least 0 and 1 needed")

    @property
    def total(self) -> int:
        """Thinking and answer together."""
        return self.thinking + self.answer


def allocate(total: int, difficulty: float, by: str = "hand") -> Grant:
    """Split `total` tokens: 0.3 + 0.6 * difficulty of them are for thinking, at least one is for the answer."""
    if total < 1 or not 0 <= difficulty <= 1:
        raise ValueError(f"{total} tokens by a difficulty of {difficulty}: at least 1, and in [0, 1]")
    thinking = min(round(total * (LEAST_SHARE + SHARE_BY_DIFFICULTY * difficulty)), total - 1)
    return Grant(thinking, total - thinking, difficulty, by)


def both_budgets_text(grant: Grant) -> str:
    """The sentence that tells both budgets to a policy that was taught none of ours."""
    answer = f"{grant.answer} token{'s' if grant.answer != 1 else ''}"
    if not grant.thinking:
        return f"Answer at once, in at most {answer}."
    return f"Think for at most {grant.thinking} tokens, then answer in at most {answer}."


def with_budget(problem: str, budget: int | None, form: BudgetReward = BudgetReward.EXACT) -> str:
    """The problem with its budget said after it; unchanged without a budget."""
    return problem if budget is None else f"{problem.rstrip()} {budget_text(budget, form)}"


def length_reward(
    correct: bool, tokens: int, budget: int, form: BudgetReward, *, rate: float = 0.0, floor: float = FLOOR
) -> float:
    """The outcome [-1, 1] of an answer that took `tokens` of thinking for a budget.

    `rate` is what a token off the budget costs; 0 = so much that being off by the whole budget costs all that the
    length may cost, which is 1 - floor. EXACT: a right answer pays 1 less the cost, a wrong one 0 less the cost.
    MAX: a right answer pays floor + (1 - floor) * clip(rate / (1 - floor) * (b - n) + 1/2, 0, 1), a wrong one 0.
    With floor 0 MAX is LCPO-max as printed. Raises ValueError for numbers that cannot be.
    """
    _check_budget(budget)
    if not 0 <= floor < 1:
        raise ValueError(f"a floor of {floor}: it lies in [0, 1)")
    if tokens < 0 or not rate >= 0 or not math.isfinite(rate):
        raise ValueError(f"{tokens} tokens at a rate of {rate}: both must be numbers from 0 up")
    room = 1.0 - floor
    price = rate or room / budget
    if form is BudgetReward.EXACT:
        return float(correct) - min(price * abs(tokens - budget), room)
    if form is BudgetReward.MAX:
        share = min(max(price / room * (budget - tokens) + 0.5, 0.0), 1.0)
        return floor + room * share if correct else 0.0
    return float(correct)


def length_warning(floor: float, process_weight: float, outcome_weight: float) -> str:
    """What is wrong with a floor at these weights: empty where a right answer always earns more than a wrong one."""
    if outcome_weight * floor > process_weight or not process_weight:
        return ""
    return (
        f"A right answer off its budget may pay {outcome_weight:g} * {floor:g}, and the steps of a wrong one "
        f"{process_weight:g}: raise the floor or the outcome's weight."
    )


def budget_figures(tokens: ArrayLike, budgets: ArrayLike, forced: ArrayLike) -> BudgetFigures:
    """How well budgets [n] were kept by traces of `tokens` [n] of thinking; `forced` [n]: closed by the decoder."""
    used, asked = np.asarray(tokens, dtype=np.float64), np.asarray(budgets, dtype=np.float64)
    stopped = np.asarray(forced, dtype=np.bool_)
    if used.ndim != 1 or not used.shape == asked.shape == stopped.shape:
        raise ValueError(f"shapes {used.shape}, {asked.shape}, {stopped.shape}: one number a trace in each is needed")
    if not used.size:
        return BudgetFigures(0, math.nan, math.nan, math.nan)
    if bool(np.any(asked <= 0)):
        raise ValueError(f"a budget of {asked.min():g} tokens: it must be at least 1")
    deviation = float(np.mean(np.abs(used - asked) / asked))
    return BudgetFigures(len(used), deviation, float(np.mean(used > asked)), float(np.mean(stopped)))


def _check_budget(budget: int) -> None:
    if budget < 1:
        raise ValueError(f"a budget of {budget} tokens: it must be at least 1")
