"""What a route leaves: its record, the ledger's figures, what both models were asked against an oracle and a coin."""

from __future__ import annotations

import math

import pytest

from tests.unit.routing.simulated import Says, one, router, row, same
from trainer.contract.records import RouteRecord, record_id
from trainer.contract.specs.route import ROUTE_INDEX
from trainer.routing.difficulty import Judged
from trainer.routing.ledger import Grade, Ledger, both_of, entry_of, route_record, was_drawn
from trainer.routing.router import Routed, Router, Rules
from trainer.routing.values import Question

HARD = Judged(0.9, 0.15, 0.8)


def test_the_records_and_the_ledger():
    ledger = Ledger()
    assert ledger.figures() == {}
    for k, (confidence, reference) in enumerate([(0.9, "4"), (0.9, "8"), (0.1, "5"), (0.1, None)]):
        made = router(Says(("4",)), Says(("5",), name="large", cost=9.0), confidence)
        (route,) = made.route([Question(row(f"r{k}", f"p{k}", reference), task="sums")], lambda: None)
        grade = None if reference is None else lambda answer, right=reference: answer == right
        ledger.add(route_record("run", route, grade, {"audit": 0.0}))
    assert [record.outcome for record in ledger.records] == [1, 0, 1, None]
    assert [step.outcome for step in ledger.records[2].asked] == [0, 1]
    figures = ledger.figures()
    assert figures["accuracy"] == pytest.approx(2 / 3)
    assert figures["escalated"] == 0.5
    assert figures["cost_of_right"] == pytest.approx((1 + 1 + 10) / 2)
    assert "oracle_accuracy" not in figures
    assert [(cell.task, cell.model) for cell in ledger.cells()] == [
        ("", ""), ("sums", ""), ("sums", "fast"), ("sums", "large"),
    ]  # fmt: skip
    assert entry_of(ledger.records[2]).escalated


@pytest.mark.parametrize(("fast_costs", "reasoning_costs"), [(1.0, 9.0), (0.0, 9.0), (2.0, 0.0)])
def test_what_both_were_asked_is_held_against_an_oracle_and_a_coin(fast_costs: float, reasoning_costs: float):
    """The fast model is right of the first of three problems, the other of the second, of which it was asked."""
    ledger = Ledger()
    for confidence, reference in ((0.9, "4"), (0.1, "5"), (0.9, "9")):
        fast, reasoning = Says(("4",), cost=fast_costs), Says(("5",), name="large", cost=reasoning_costs)
        route = one(router(fast, reasoning, confidence, audit=1.0), f"row {reference}")
        ledger.add(route_record("run", route, lambda answer, right=reference: answer == right, {"audit": 1.0}))
    figures = ledger.figures()
    assert (figures["audited"], figures["accuracy"]) == (3, pytest.approx(2 / 3))
    assert figures["oracle_accuracy"] == pytest.approx(2 / 3)
    least = fast_costs + reasoning_costs + min(fast_costs, reasoning_costs)
    assert figures["oracle_cost"] == pytest.approx(least / 3)
    assert figures["random_accuracy"] == pytest.approx(1 / 3)
    assert figures["random_cost"] == pytest.approx(2 / 3 * fast_costs + 1 / 3 * reasoning_costs)
    both = both_of(ledger.records)
    assert both is not None
    assert both.after.tolist() == [0.9, 0.1, 0.9]
    unknown = route_record("run", one(router(Says(), Says(("5",), name="large"), None, audit=1.0)), lambda _: True, {})
    both = both_of([unknown])
    assert both is not None
    assert math.isnan(both.after[0])


def test_a_record_says_what_was_judged_and_what_nobody_answered():
    def record(route: Routed, grade: Grade | None = lambda answer: answer == "4") -> RouteRecord:
        return route_record("run", route, grade, {})

    made = Router(Says(), None, Rules(), confidence=lambda _: 0.9, equal=same, judge=lambda _: HARD)
    judged, given = (
        record(of.route([Question(row("a"), difficulty=0.4, key=key)], lambda: None)[0])
        for of, key in ((made, "asked"), (router(Says(), None), ""))
    )
    assert (judged.id, judged.difficulty, judged.level) == (record_id("run", "asked", ROUTE_INDEX), 0.9, "hard")
    assert (given.id, given.difficulty, given.level) == (record_id("run", "a", ROUTE_INDEX), 0.4, "")
    silent = one(router(Says((None,)), None))
    assert (record(silent).outcome, record(silent, None).outcome, record(silent).answered_by) == (0, None, -1)
    assert [step.outcome for step in record(silent).asked] == [0]
    assert entry_of(record(silent)).model == ""
    open_one = record(one(router(Says(), None)), lambda _: None)
    assert (open_one.outcome, open_one.asked[0].outcome, entry_of(open_one).right) == (None, None, None)
    ledger = Ledger()
    ledger.add(open_one)
    assert {"accuracy", "cost_of_right"}.isdisjoint(ledger.figures())
    assert not was_drawn(open_one), "no share was audited"
