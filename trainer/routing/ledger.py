"""What a router has done: a record of every route, and the figures of all of them while they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from trainer.contract.generated import RouteStep, Settings
from trainer.contract.records import RouteRecord, record_id
from trainer.contract.specs.route import ROUTE_INDEX
from trainer.reasoning.routing import Both, Cell, Entry, cells, is_drawn, oracle, random_line
from trainer.routing.difficulty import level_of
from trainer.routing.learning import Table, cost_of, pairs_of
from trainer.routing.router import Routed
from trainer.routing.values import REASONING

Grade = Callable[[str], bool | None]


def route_record(run: str, route: Routed, grade: Grade | None, settings: Settings, router: str = "") -> RouteRecord:
    """The record of a route; `grade` says whether an answer is right, None without a reference."""
    row = route.question.row

    def graded(step: RouteStep) -> RouteStep:
        if grade is None:
            return step
        right = grade(step.answer) if step.answer is not None else False
        return step if right is None else msgspec.structs.replace(step, outcome=int(right))

    asked = tuple(graded(step) for step in route.asked)
    place = route.answered_by
    judged = route.judged
    outcome = asked[place].outcome if place >= 0 else 0 if grade is not None else None
    return RouteRecord(
        id=record_id(run, route.question.key or row.id, ROUTE_INDEX),
        row=row.id,
        problem=row.problem,
        reference=row.reference,
        task=route.question.task,
        difficulty=judged.difficulty if judged is not None else route.question.difficulty,
        settings=settings,
        asked=asked,
        answer=route.answer,
        spent=route.spent,
        outcome=outcome,
        answered_by=place,
        level=level_of(judged.difficulty).value if judged is not None else "",
        marked=route.marked,
        audited=tuple(graded(step) for step in route.audited),
        router=router,
    )


def entry_of(record: RouteRecord) -> Entry:
    """A route as the ledger counts it."""
    step = record.asked[record.answered_by] if record.answered_by >= 0 else None
    return Entry(
        task=record.task,
        model=step.model if step is not None else "",
        right=None if record.outcome is None else record.outcome == 1,
        seconds=record.spent.seconds,
        cost=record.spent.cost,
        escalated=any(each.tier == REASONING for each in record.asked),
        cached=record.spent.cached,
        marked=bool(record.marked),
    )


class Ledger:
    """The routes of a run so far."""

    def __init__(self) -> None:
        self.records: list[RouteRecord] = []

    def add(self, record: RouteRecord) -> None:
        """One more."""
        self.records.append(record)

    def cells(self) -> tuple[Cell, ...]:
        """Figures by type of task and model."""
        return cells(map(entry_of, self.records))

    def figures(self) -> dict[str, float]:
        """Figures of all routes, and the lines they are held against as far as both models were asked."""
        every = self.cells()
        if not every:
            return {}
        whole = every[0]
        out: dict[str, float | None] = {
            "accuracy": whole.accuracy,
            "latency_p50": whole.p50,
            "latency_p95": whole.p95,
            "latency_p99": whole.p99,
            "cost": whole.cost,
            "cost_of_right": whole.cost_of_right,
            "escalated": whole.escalated,
            "cached": whole.cached,
            "marked": whole.marked,
        }
        both = both_of([record for record in self.records if was_drawn(record)])
        if both is not None:
            best, coin = oracle(both), random_line(both, whole.escalated)
            out |= {"oracle_accuracy": best.accuracy, "oracle_cost": best.cost}
            out |= {"random_accuracy": coin.accuracy, "random_cost": coin.cost, "audited": float(len(both))}
        return {name: value for name, value in out.items() if value is not None}


def both_of(records: list[RouteRecord]) -> Both | None:
    """The problems that both models were asked and graded; None for none."""
    pairs = pairs_of(records)
    if not pairs:
        return None
    paid = any(pair.fast.worth.cost or pair.reasoning.worth.cost for pair in pairs)
    before = [pair.fast.signals.get("before", float("nan")) for pair in pairs]
    after = [pair.fast.confidence if pair.fast.confidence is not None else float("nan") for pair in pairs]
    return Table(
        before=tuple(before),
        after=tuple(after),
        fast_right=tuple(pair.fast.outcome == 1 for pair in pairs),
        reasoning_right=tuple(pair.reasoning.outcome == 1 for pair in pairs),
        fast_cost=tuple(cost_of(pair.fast, paid) for pair in pairs),
        reasoning_cost=tuple(cost_of(pair.reasoning, paid) for pair in pairs),
        tasks=tuple(pair.record.task for pair in pairs),
    ).both()


def was_drawn(record: RouteRecord) -> bool:
    """Whether this problem is one of the audited share, all of which both models were asked: a fair sample."""
    return is_drawn(record.row, float(record.settings.get("audit", 0.0)))


def grade_by(grades: Mapping[str, bool | None]) -> Grade:
    """From what a grader said of each answer."""
    return lambda answer: grades.get(answer)
