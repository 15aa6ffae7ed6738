"""What the stories of the Models and Routing tabs begin with: records as workers write them, taken in for real."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from studio.jobs import shipped
from studio.jobs.ingest import ingest
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import runs
from studio.store.runs import StoredState
from studio.ui.actions import Page
from studio.ui.evaluate.models_tab import ModelsTab
from studio.ui.evaluate.page import EvaluatePage
from studio.workspace import Workspace
from tests.e2e.seat import Seat
from trainer.contract.generated import RouteStep, Spent
from trainer.contract.records import (
    Block,
    BlockKind,
    EvaluationRecord,
    Message,
    Record,
    RouteRecord,
    Step,
    TraceRecord,
    record_id,
)
from trainer.reasoning import grids

TEXT = "<think>\n1 + 1 = 2\n2 + 2 = 4\n</think>\nAnswer: 4"
PROBLEMS = 24
GRID = ((1, 0, 2), (0, 3, 0), (4, 0, 5))
TURNED = tuple(tuple(row) for row in zip(*GRID[::-1], strict=True))


def put(workspace: Workspace, name: str, make: Callable[[str], Sequence[Record]]) -> str:
    """An evaluation that has ended, with these records; returns its uid."""
    file = workspace.path / f"{name}.jsonl"
    file.write_text(json.dumps({"problem": f"What is {name}?", "answer": "1"}) + "\n", "utf-8")
    policy = shipped.ensure(workspace).policy
    order = RunOrder("evaluate", {"suite": "own", "model": policy.folder}, name=name, rows=(str(file),))
    uid = create_run(workspace, order)
    with workspace.database.write() as c:
        run = runs.by_uid(c, uid)
        attempt = runs.claim(c, run.id)
        assert attempt is not None
        runs.settle(c, run.id, attempt, StoredState.FINISHED)
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in make(uid))
    (workspace.path / run.folder / "records.jsonl").write_bytes(lines)
    assert ingest(workspace, uid).stored
    return uid


def trace(uid: str, row: str, number: int, right: bool | None) -> TraceRecord:
    """A trace that thinks in two steps."""
    return TraceRecord(
        id=record_id(uid, row, 1000 + number),
        row=row,
        problem=f"What is {row}?",
        reference="4",
        text=TEXT,
        messages=(Message("assistant", (Block(BlockKind.THINKING, 8, 28), Block(BlockKind.ANSWER, 37, 46))),),
        steps=(Step(1, 8, 17), Step(2, 18, 27)),
        model="a policy",
        outcome=None if right is None else int(right),
    )


def sample(uid: str, row: str, number: int, right: bool | None, **other: Any) -> EvaluationRecord:
    """One sample; its own settings over these."""
    values: dict[str, Any] = {
        "suite": "gsm8k", "model": "small", "version": "aa", "strategy": "single", "compute": "low", "budget": 64,
        "problem": f"What is {row}?", "reference": "4", "answer": "4" if right else "5", "strict": right,
        "lenient": right, "thinking_tokens": 20, "answer_tokens": 3,
    }  # fmt: skip
    values |= other
    place = "".join(f"{values[name]}" for name in ("suite", "model", "strategy", "compute", "budget"))
    return EvaluationRecord(id=record_id(uid, row + place, number), row=row, sample=number, correct=right, **values)


def grades(model: str, compute: str, budget: int, problem: int, count: int) -> list[bool]:
    """Which samples are right: the large model more often, and with more thinking more often."""
    draw = random.Random(f"{model} {problem}")
    level = {"small": 0.3, "large": 0.55}[model] + 0.1 * (budget > 64) + 0.15 * (compute == "high")
    return [draw.random() < level for _ in range(count)]


def of_gsm8k(uid: str, model: str) -> list[Record]:
    """Two caps at low compute and one at high, two samples of each problem, with their traces."""
    found: list[Record] = []
    for compute, budget in (("low", 64), ("low", 256), ("high", 1024)):
        for problem in range(PROBLEMS):
            row = f"gsm8k:{problem}"
            for number, right in enumerate(grades(model, compute, budget, problem, 2)):
                made = trace(uid, f"{row}{compute}{budget}", number, right)
                settings = {
                    "model": model,
                    "version": model[:2],
                    "compute": compute,
                    "budget": budget,
                    "trace": made.id,
                }
                settings |= {"thinking_tokens": budget // 2 + problem, "truncated": number == 0 and problem < 6}
                settings |= {"detail": {"group": 0 if right else 1, "score": 0.9 if right else 0.4}}
                settings |= {"strict": right and problem != 3, "lenient": right or problem == 3}
                found += [made, sample(uid, row, number, right, **settings)]
    return found


def of_arc(uid: str) -> list[Record]:
    """One grid answered rightly, one with a wrong cell."""
    prompt = grids.asked([(GRID, TURNED)], GRID)
    wrong = grids.as_text(((9, *TURNED[0][1:]), *TURNED[1:]))
    found: list[Record] = []
    for number, answer in enumerate((grids.as_text(TURNED), wrong)):
        settings = {"suite": "arc", "problem": f"{prompt}" if number else f"Turn.\n\n{prompt}", "answer": answer}
        settings |= {"reference": grids.as_text(TURNED), "compute": "by hand", "version": "sm"}
        found.append(sample(uid, f"arc:{number}", 0, not number, **settings))
    return found


def of_processbench(uid: str) -> list[Record]:
    """Solutions of two subsets: scores, the first error predicted and labelled."""
    found: list[Record] = []
    for number in range(12):
        labelled = -1 if number % 3 == 0 else 1
        scores = ["0.9000", "0.8000" if labelled < 0 or number % 4 == 1 else "0.2000", "0.6000"]
        predicted = next((place for place, score in enumerate(scores) if float(score) < 0.5), -1)
        detail = {"predicted": predicted, "labelled": labelled, "subset": ("gsm8k", "math")[number % 2]}
        settings: dict[str, Any] = {
            "suite": "processbench",
            "model": "judge",
            "prm": "judge",
            "compute": "by hand",
            "budget": None,
        }
        settings |= {"detail": {**detail, "scores": " ".join(scores)}, "answer": str(predicted)}
        settings |= {"reference": str(labelled), "problem": f"Is solution {number} right?"}
        found.append(sample(uid, f"processbench:{number}", 0, predicted == labelled, **settings))
    return found


def routed(row: str, fast: bool, reasoning: bool, *, escalated: bool, traces: tuple[str, str]) -> RouteRecord:
    """A problem that both models were asked: on the way, or for the audit."""
    tiers = (("fast", fast, 1.0), ("reasoning", reasoning, 10.0))
    first, second = (
        RouteStep(
            tier=tier, model=f"the {tier} one", answer="4" if right else "5", confidence=0.25 + 0.5 * right,
            why="asked first" if tier == "fast" else "the fast one was not sure", trace=uid, outcome=int(right),
            spent=Spent(cost=cost, seconds=cost / 2, tokens=int(10 * cost)),
        )
        for (tier, right, cost), uid in zip(tiers, traces, strict=True)
    )  # fmt: skip
    asked, audited = ((first, second), ()) if escalated else ((first,), (second,))
    return RouteRecord(
        id=f"record {row}", row=row, problem=f"What is {row}?", reference="4", task="sums", difficulty=0.25,
        asked=asked, audited=audited, answer=asked[-1].answer, answered_by=len(asked) - 1, outcome=asked[-1].outcome,
        spent=Spent(cost=sum(step.spent.cost for step in asked), seconds=sum(step.spent.seconds for step in asked)),
        settings={"audit": 1.0},
    )  # fmt: skip


def route_of(number: int) -> tuple[bool, bool, bool]:
    """Whether the fast model is right, the reasoning model is, and both were asked on the way."""
    return number % 2 == 0, number % 7 != 0, number % 10 in (1, 3, 5, 6)


def of_router(uid: str) -> list[Record]:
    """Twenty problems with the traces of both models."""
    found: list[Record] = []
    for number in range(20):
        fast, reasoning, escalated = route_of(number)
        made = [trace(uid, f"route{number}", tier, right) for tier, right in enumerate((fast, reasoning))]
        uids = (made[0].id, made[1].id)
        found += [*made, routed(f"r{number}", fast, reasoning, escalated=escalated, traces=uids)]
    return found


def fill(folder: Path) -> None:
    """Two models on GSM8K, one on ARC, a PRM on ProcessBench."""
    with Workspace.open(folder, create=True) as workspace:
        for model in ("small", "large"):
            put(workspace, f"gsm-{model}", lambda uid, model=model: of_gsm8k(uid, model))  # type: ignore[misc]
        put(workspace, "grids", of_arc)
        put(workspace, "judge", of_processbench)


def go_to_models(seat: Seat) -> ModelsTab:
    """Show the page; wait until the table has come."""
    seat.context.show_page(Page.EVALUATE)
    page = seat.window.page_widget(Page.EVALUATE)
    assert isinstance(page, EvaluatePage)
    seat.wait(lambda: bool(page.models.cells))
    return page.models
