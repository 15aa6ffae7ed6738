"""Thinking budgets through the real recipes and the real decoder: the cap holds, budgets are paid for as LCPO says.

The short form teaches too little for the curves; in full both forms of LCPO must reach the targets of the measurement.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.budgets import BUDGETS, HIGH, LOW, MOST, UPDATES, Study, rows_of, teach
from bench.stages import Stages
from tests.trainer.runs import metrics
from tests.trainer.test_rl_recipe import here
from trainer.contract import rollouts
from trainer.contract.forms import BudgetReward
from trainer.models.policies import load_policy
from trainer.reasoning.budget import FLOOR
from trainer.reasoning.tries import TRY_COUNT

FORMS = (BudgetReward.EXACT, BudgetReward.MAX)
FULL = os.environ.get("STEPLENS_PROOF") == "full"
ROWS, CAPPED = 400, 40
TIGHT = (1, 2, 4)  # also a policy that has learned little would think longer
TAUGHT = {"max_steps": 25, "batch_size": 16, "threads": 1}
PAID = {"prompts": 2, "traces": 4, "updates": 1, "eval_problems": 4, "threads": 1}


@pytest.mark.skipif(not FULL, reason="minutes: STEPLENS_PROOF=full")
def test_budgets_are_kept_and_worth_their_tokens(tmp_path: Path) -> None:
    stages, rows = Stages(tmp_path), rows_of(TRY_COUNT)
    study = Study(stages, rows, teach(stages, rows).folder.model)
    for form in FORMS:
        assert study.run(form, 0, UPDATES), f"{form}: a target of bench/budgets.py was missed"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A policy that has learned little, and few problems."""
    stages, rows = Stages(tmp_path_factory.mktemp("budgets"), here), rows_of(ROWS)
    return Study(stages, rows, teach(stages, rows, **TAUGHT).folder.model, CAPPED)


@pytest.mark.parametrize("form", FORMS if FULL else FORMS[1:])
def test_no_trace_exceeds_its_cap_and_budgets_are_paid_as_lcpo_says(study: Study, form: BudgetReward) -> None:
    done = study.improve(form, 0, **PAID)
    for one in rollouts.load(rollouts.path_of(done.folder.path, 0)).traces:
        assert one.budget is not None
        assert LOW <= one.budget <= HIGH
        assert one.thinking_tokens <= MOST
        assert one.outcome == pytest.approx(lcpo(form, bool(one.correct), one.thinking_tokens, one.budget))
    step, seen = metrics(done.folder, "validation")[0]
    assert step == 0
    assert seen["paid"] <= seen["accuracy"]
    assert {"budget_deviation", "budget_overrun"} <= set(seen)

    torch.set_num_threads(1)
    policy = load_policy(str(done.folder.model))
    capped = [study.at(policy, budget, capped=True) for budget in (*TIGHT, *BUDGETS)]
    assert sum(len(one.tokens) for one in capped) > 200
    assert all(max(one.tokens) <= one.budget for one in capped)
    assert any(one.budget in one.tokens for one in capped), "the cap was never needed: it proves nothing"


def lcpo(form: BudgetReward, right: bool, tokens: int, budget: int, rate: float = 0.04) -> float:
    """Aggarwal & Welleck 2025, with the floor that keeps every right answer above every wrong one."""
    if form is BudgetReward.EXACT:
        return right - min(rate * abs(budget - tokens), 1 - FLOOR)
    return right * (FLOOR + (1 - FLOOR) * float(np.clip(rate / (1 - FLOOR) * (budget - tokens) + 0.5, 0, 1)))
