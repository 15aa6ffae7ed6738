"""Answer problems with a fast model where it is sure and a reasoning model where it is not; or learn when it is.

One record a route and one a trace, with ids that are the same in every attempt. Learning asks both models about every
problem and leaves a folder with the classifier of difficulty, the confidence and what thresholds are chosen from.
A run that stays (`resident`) answers its rows, if it has any, and then what is asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import torch

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.generated import RouteStep, Settings
from trainer.contract.records import InputRow, RouteRecord, Split, TraceRecord, record_id
from trainer.contract.requests import AnyRequest, RouteRequest, answered
from trainer.contract.run_folder import all_records
from trainer.contract.spec import SpecError, build
from trainer.contract.specs.route import OF_A_REQUEST, ROUTE_INDEX, RouteSpec, RouteTask
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.reasoning.votes import equal_by
from trainer.routing.desk import Desk
from trainer.routing.difficulty import TooFewError
from trainer.routing.learning import choices, figures_of, learn_router, save
from trainer.routing.ledger import Ledger, grade_by, route_record
from trainer.routing.router import Routed
from trainer.routing.values import Check, Question
from trainer.runtime.resident import Resident
from trainer.runtime.telling import Telling
from trainer.runtime.worker import RunFailed, Worker

MOST_NOTICES = 20  # of routes that lack something; the records say it of every one


def run(worker: Worker) -> dict[str, float]:
    """Answer every row that has no record yet; then learn, or stay. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, RouteSpec)
    began = time.monotonic()
    learns = spec.task is RouteTask.LEARN
    before = earlier(worker)
    rows = list(worker.folder.read_input())
    left = [row for row in rows if record_id(worker.spec.run, row.id, ROUTE_INDEX) not in before.routes]
    if learns:
        left = _with_references(worker, left)
    worker.resume(len(rows) - len(left) + len(answered(worker.folder.events)) or -1)
    worker.step = len(rows) - len(left)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    worker.progress("loading the models", 0, 1, unit="models", force=True)
    with Grader() as grader:
        routing = Routing(worker, spec, grader, before)
        worker.say(
            events.Started, recipe="route", device=worker.spec.device, total_steps=len(rows), rows=len(rows)
        )  # fmt: skip
        for start in range(0, len(left), spec.batch_rows):
            routing.answer(left[start : start + spec.batch_rows], len(rows))
        worker.flush()
        learned = routing.learn() if learns else {}
        if spec.resident and not learns:
            routing.stay()
    return {**routing.ledger.figures(), **learned, "routes": float(len(routing.ledger.records)),
            "seconds": time.monotonic() - began}  # fmt: skip


@dataclass(slots=True)
class Earlier:
    """What earlier attempts wrote: routes by id, and texts by id of traces whose route a kill prevented."""

    routes: dict[str, RouteRecord] = field(default_factory=dict)
    orphans: dict[str, str] = field(default_factory=dict)


def earlier(worker: Worker) -> Earlier:
    """Read once, at the start."""
    found = Earlier()
    for record in all_records(worker.folder.records):
        if isinstance(record, TraceRecord):
            found.orphans[record.id] = record.text
        elif isinstance(record, RouteRecord):  # stands behind its traces
            found.routes[record.id] = record
            found.orphans.clear()
    return found


class Routing:
    """The models and what is known of them, while a run lasts."""

    def __init__(self, worker: Worker, spec: RouteSpec, grader: Grader, before: Earlier) -> None:
        """Loads the models. Raises RunFailed."""
        self.worker, self.spec, self.grader = worker, spec, grader
        self.desk = Desk(worker, spec, equal_by(grader))
        self.ledger = Ledger()
        for record in before.routes.values():
            self.ledger.add(record)
        self._orphans = before.orphans
        self._told = 0

    def answer(self, rows: Sequence[InputRow], total: int) -> None:
        """Route some rows together, and write down what came."""
        questions = [question_of(self.spec, row) for row in rows]
        routes = self.desk.router(self.spec).route(questions, self.worker.check)
        self.record(self.spec, routes)
        self.worker.step += len(rows)
        self.worker.metrics(Split.TEST, self.ledger.figures() | self.desk.cache_figures())
        self.worker.system()
        self.worker.progress("answering", self.worker.step, total, unit="problems")

    def record(self, spec: RouteSpec, routes: Sequence[Routed]) -> None:
        """Traces first, then the route that speaks of them."""
        settings: Settings = {name: getattr(spec, name) for name in OF_A_REQUEST}
        settings |= {"audit": self.desk.audit(spec)}
        for route, grades in zip(routes, self._grades(routes), strict=True):
            grade = None if grades is None else grade_by(grades)
            renamed: dict[str, str] = {}
            for sample in route.samples:
                right = None if grades is None or sample.answer is None else grades.get(sample.answer)
                outcome = None if right is None else int(right)
                if grades is not None and sample.answer is None:
                    outcome = 0
                self._write(sample.trace, outcome, renamed)
            for trace in route.partial:
                self._write(trace, trace.outcome, renamed)
            made = _renamed(route_record(self.worker.spec.run, route, grade, settings, self.desk.version), renamed)
            self.worker.record(made)
            self.ledger.add(made)
            if made.marked and self._told < MOST_NOTICES:
                self._told += 1
                self.worker.notice(Level.WARNING, "answer_marked", f"row {made.row}: {made.marked}")

    def _write(self, trace: TraceRecord, outcome: int | None, renamed: dict[str, str]) -> None:
        """A trace under an id of its own: another model's second answer is not the one that a kill left behind."""
        id, again = trace.id, 0
        while self._orphans.get(id, trace.text) != trace.text:
            again += 1
            id = record_id(self.worker.spec.run, trace.id, again)
        if id != trace.id:
            renamed[trace.id] = id
        if id not in self._orphans:
            self.worker.record(msgspec.structs.replace(trace, id=id, outcome=outcome))

    def learn(self) -> dict[str, float]:
        """Learn from all that was asked. Raises RunFailed."""
        self.worker.progress("learning", 0, 1, unit="routers", force=True)
        try:
            learned = learn_router(self.ledger.records, self.worker.spec.name, seed=self.spec.seed)
        except TooFewError as error:
            raise RunFailed(str(error)) from error
        chosen = choices(learned.router.table, self.spec.target, self.spec.target_value)
        save(learned, self.worker.folder.model)
        figures = figures_of(learned.router.table, chosen)
        if not chosen.reached:
            text = (
                f"the target ({self.spec.target.value}, {self.spec.target_value:g}) was not reached on the problems "
                "learned from; the nearest thresholds are taken"
            )
            self.worker.notice(Level.WARNING, "target_missed", text)
        self.worker.metrics(Split.VALIDATION, figures | learned.router.figures)
        return {f"learned_{name}": value for name, value in (figures | learned.router.figures).items()}

    def stay(self) -> None:
        """Answer requests until none has come for a while. Raises Stopped."""
        resident = Resident(self.worker, self.spec.idle_minutes)
        resident.serve(self._answer)
        self.worker.flush()

    def _answer(self, request: AnyRequest, check: Check) -> None:
        if not isinstance(request, RouteRequest):
            raise RunFailed(f"a route run cannot answer a request of the kind {request.__struct_config__.tag}")
        if any(record.id == record_id(self.worker.spec.run, request.id, ROUTE_INDEX) for record in self.ledger.records):
            return  # an attempt before died between the record and the word of it
        spec, telling = spec_of(self.worker, request), Telling(self.worker, request.id)
        question = question_of(spec, request.row, request.id)
        routes = self.desk.router(spec).route([question], check, telling.hear)
        telling.flush()
        self._told = 0
        self.record(spec, routes)

    def _grades(self, routes: Sequence[Routed]) -> list[dict[str, bool | None] | None]:
        """By value, each answer of a route once; None without a reference."""
        asked: list[tuple[int, str, Pair]] = []
        for place, route in enumerate(routes):
            row = route.question.row
            if row.has_reference:
                texts = dict.fromkeys(sample.answer for sample in route.samples if sample.answer is not None)
                asked += [(place, text, Pair(text, row.reference or "")) for text in texts]
        found = self.grader.grade([pair for _, _, pair in asked], form=GradeForm.LENIENT)
        out: list[dict[str, bool | None] | None] = [{} if r.question.row.has_reference else None for r in routes]
        for (place, text, _), grade in zip(asked, found, strict=True):
            grades = out[place]
            assert grades is not None
            grades[text] = grade.correct
        return out


def question_of(spec: RouteSpec, row: InputRow, key: str = "") -> Question:
    """A row as a router is asked about it."""
    by_hand = spec.difficulty >= 0
    return Question(
        row,
        task=spec.task_type or row.project or row.origin,
        context=spec.context,
        difficulty=spec.difficulty if by_hand else None,
        by="hand" if by_hand else "",
        key=key,
    )


def spec_of(worker: Worker, request: RouteRequest) -> RouteSpec:
    """The settings of a request: the run's own, and what it says otherwise. Raises RunFailed."""
    fixed = [name for name in request.settings if name not in OF_A_REQUEST]
    if fixed:
        raise RunFailed(f"a request cannot change {', '.join(fixed)}: these belong to the run")
    try:
        spec = build("route", {**worker.spec.parameters, **request.settings})
    except SpecError as error:
        raise RunFailed(str(error)) from error
    assert isinstance(spec, RouteSpec)
    return spec


def _renamed(route: RouteRecord, names: Mapping[str, str]) -> RouteRecord:
    """With the traces of its steps under the ids that they were written with."""
    if not names:
        return route

    def named(steps: Sequence[RouteStep]) -> tuple[RouteStep, ...]:
        return tuple(msgspec.structs.replace(step, trace=names.get(step.trace, step.trace)) for step in steps)

    return msgspec.structs.replace(route, asked=named(route.asked), audited=named(route.audited))


def _with_references(worker: Worker, rows: Sequence[InputRow]) -> list[InputRow]:
    """Learning is from problems whose answer is known."""
    kept = [row for row in rows if row.has_reference]
    if len(kept) < len(rows):
        text = f"{len(rows) - len(kept)} problems have no reference answer and teach nothing"
        worker.notice(Level.WARNING, "no_reference", text, problems=len(rows) - len(kept))
    return kept
