"""The models that travel with the app: longer thinking is worth its tokens, and the PRM picks better than a vote does.

Short: one seed on 120 problems, two budgets. `STEPLENS_PROOF=full`: the measurement of bench/shipped.py, three seeds.
"""

from __future__ import annotations

import os
from pathlib import Path

import resources
from bench.budgets import BUDGETS
from bench.shipped import PROBLEMS, SEEDS, best_of, budget_curve, rows_of

FULL = os.environ.get("STEPLENS_PROOF") == "full"
FOLDER = Path(resources.__file__).parent / "models"
ROWS, FEW = 12_000 if FULL else 4_000, 120


def test_longer_thinking_is_worth_its_tokens() -> None:
    budgets, problems = (BUDGETS, PROBLEMS) if FULL else ((BUDGETS[0], BUDGETS[-1]), PROBLEMS)
    rises, curve = budget_curve(rows_of(ROWS), FOLDER / "policy", budgets, problems)
    assert rises
    assert all(one.deviation < 0.15 for one in curve), "what is asked for is what is thought"


def test_the_prm_picks_better_than_a_vote_and_than_chance() -> None:
    seeds, problems = (range(SEEDS), PROBLEMS) if FULL else ((0,), FEW)
    assert best_of(rows_of(ROWS), FOLDER / "policy", FOLDER / "prm", seeds, problems)
