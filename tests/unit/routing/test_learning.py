"""What a router learns of routes on which both models were asked: its table, its figures, its folder."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from trainer.contract.generated import RouteStep, Spent
from trainer.contract.records import RouteRecord
from trainer.contract.specs.route import RouteTarget
from trainer.reasoning.metrics import ece
from trainer.reasoning.routing import routed
from trainer.routing.confidence import NAMES
from trainer.routing.difficulty import TooFewError
from trainer.routing.learning import RouterFileError, choices, figures_of, learn_router, load, pairs_of, save
from trainer.routing.values import FAST, REASONING


def step(tier: str, outcome: int | None, cost: float, *, answer: str | None = "4", sure: float = 0.5) -> RouteStep:
    return RouteStep(
        tier=tier, model=f"the {tier} one", answer=answer, confidence=sure, why="", outcome=outcome,
        spent=Spent(seconds=cost / 2, cost=cost), signals={NAMES[0]: math.log(sure)},
    )  # fmt: skip


def record(problem: str, fast: RouteStep, reasoning: RouteStep, *, audited: bool = True, task: str = "") -> RouteRecord:
    return RouteRecord(
        id=problem, row=problem, problem=problem, reference="4", task=task, difficulty=None, settings={}, answer="4",
        spent=Spent(), asked=(fast,) if audited else (fast, reasoning), audited=(reasoning,) if audited else (),
    )  # fmt: skip


def drawn(count: int = 80, *, fast_cost: float = 1.0, cost: float = 9.0) -> list[RouteRecord]:
    """Long problems are hard; a sure answer is right more often; every tenth problem has no answer of the fast one."""
    draw, out = np.random.default_rng(2), []
    for k in range(count):
        hard = k % 2
        sure = float(draw.uniform(0.05, 0.95))
        right = int(draw.random() < sure * (1 - 0.5 * hard))
        answer = "4" if k % 10 else None
        fast = step(FAST, right if answer else 0, fast_cost, answer=answer, sure=sure)
        problem = f"Problem {k}: {' + '.join(['7'] * (3 + 20 * hard))}"
        task = "sums" if k % 3 else "code"
        out.append(record(problem, fast, step(REASONING, int(k % 7 > 0), cost), audited=bool(k % 4), task=task))
    return out


def test_only_problems_that_both_were_asked_and_graded_are_learned_from():
    fast, reasoning = step(FAST, 1, 1.0), step(REASONING, 0, 9.0)
    open_fast, open_reasoning = step(FAST, None, 1.0), step(REASONING, None, 9.0)
    kept = [record("a", fast, reasoning), record("b", fast, reasoning, audited=False)]
    left = [record("c", open_fast, reasoning), record("d", fast, open_reasoning), record("e", reasoning, reasoning),
            record("f", fast, fast)]  # fmt: skip
    assert [(pair.record.problem, pair.fast, pair.reasoning) for pair in pairs_of([*left, *kept, kept[0]])] == [
        ("a", fast, reasoning), ("b", fast, reasoning),
    ]  # fmt: skip
    with pytest.raises(TooFewError, match="no problem was answered by both"):
        learn_router(left)


def test_the_table_is_that_of_the_routes_and_the_lines_are_means_of_it():
    records = drawn()
    router = learn_router(records, "mine").router
    table, fasts = router.table, [each.asked[0] for each in records]
    reasonings = [(*each.asked, *each.audited)[1] for each in records]
    assert (router.name, router.fast, router.reasoning, router.unit) == (
        "mine", "the fast one", "the reasoning one", "cost",
    )  # fmt: skip
    assert table.fast_right == tuple(each.outcome == 1 for each in fasts)
    assert table.reasoning_right == tuple(each.outcome == 1 for each in reasonings)
    assert (set(table.fast_cost), set(table.reasoning_cost)) == ({1.0}, {9.0})
    assert table.tasks == tuple(each.task for each in records)
    silent = np.array([each.answer is None for each in fasts])
    assert (np.array(table.after)[silent] == 0).all()
    assert (np.array(table.after)[~silent] > 0).all()
    short = np.arange(len(records)) % 2 == 0
    assert np.mean(np.array(table.before)[short]) > np.mean(np.array(table.before)[~short]), "P(the fast one is right)"
    assert router.figures["after_all_ece"] == pytest.approx(ece(table.after, table.fast_right))
    assert {"before_medium_auroc", "after_auroc"} <= set(router.figures)

    for target, value in ((RouteTarget.ACCURACY, 0.05), (RouteTarget.COST, 0.5)):
        chosen = choices(table, target, value)
        figures = figures_of(table, chosen)
        right, other = np.array(table.fast_right), np.array(table.reasoning_right)
        assert (figures["fast_accuracy"], figures["fast_cost"]) == (pytest.approx(right.mean()), 1.0)
        assert (figures["reasoning_accuracy"], figures["reasoning_cost"]) == (pytest.approx(other.mean()), 9.0)
        assert figures["oracle_accuracy"] == pytest.approx((right | other).mean())
        share = figures["escalated"]
        assert figures["random_cost"] == pytest.approx((1 - share) * 1 + share * 9)
        assert (figures["problems"], figures["reached"]) == (80, float(chosen.reached))
        assert figures["router_cost"] == pytest.approx(routed(table.both(), chosen.thresholds[""]).cost)
        if target is RouteTarget.COST:
            met = figures["router_cost"] <= 0.5 * 9 + 1e-9
        else:
            met = figures["router_accuracy"] >= figures["oracle_accuracy"] - 0.05 - 1e-9
        assert met == chosen.reached


def test_where_nothing_is_paid_seconds_are_counted():
    for fast_cost, cost, unit in ((0.0, 0.0, "seconds"), (0.0, 9.0, "cost"), (2.0, 0.0, "cost")):
        records = drawn(40, fast_cost=fast_cost, cost=cost)
        if unit == "seconds":
            records = [
                msgspec.structs.replace(
                    each, asked=tuple(msgspec.structs.replace(s, spent=Spent(seconds=3.0)) for s in each.asked)
                )
                for each in records
            ]
        router = learn_router(records).router
        assert router.unit == unit
        assert set(router.table.fast_cost) == {3.0 if unit == "seconds" else fast_cost}


def test_a_folder_comes_back_and_a_torn_one_says_so(tmp_path: Path):
    made = learn_router(drawn(40))
    folder = tmp_path / "new" / "router"
    for _ in range(2):
        save(made, folder)
    assert load(folder) == made
    assert len(made.router.version) == 16
    assert learn_router(drawn(40)).router.version == made.router.version != learn_router(drawn(50)).router.version
    (folder / "difficulty.json").write_text("{}")
    with pytest.raises(RouterFileError, match=r"difficulty\.json is no router that can be read"):
        load(folder)
    with pytest.raises(RouterFileError, match=r"router\.json is no router that can be read"):
        load(tmp_path)
