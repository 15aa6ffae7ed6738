"""Let a policy write traces for problems: n each, thinking and answer under budgets, one record a trace.

A trace's id and its seed come of its row and number alone, so an attempt that follows a kill writes what is missing
and nothing twice. A run that stays (`resident`) writes its rows, if it has any, then what is asked, and tells the text
while it is written.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.generated import Settings
from trainer.contract.records import InputRow, Split, record_id
from trainer.contract.requests import AnyRequest, GenerateRequest, answered
from trainer.contract.run_folder import known_records
from trainer.contract.spec import SpecError, build
from trainer.contract.specs.generate import GenerateSpec
from trainer.models.answering import Asked, AskingError, Manner, Writer, WrittenTrace, record, seed_of
from trainer.models.generate import PromptError
from trainer.models.writers import Granter, load_classifier, load_writer
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.runtime.resident import Check, Resident
from trainer.runtime.telling import Telling
from trainer.runtime.worker import RunFailed, Worker

OF_THE_RUN = (
    "model",
    "classifier",
    "threads",
    "batch_rows",
    "resident",
    "idle_minutes",
)  # a request cannot change them


def run(worker: Worker) -> dict[str, float]:
    """Write every trace that has no record yet, then, if it stays, what is asked. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, GenerateSpec)
    if not spec.resident and (problem := spec.objection()):
        raise RunFailed(problem)
    known = known_records(worker.folder.records)
    rows = list(worker.folder.read_input())
    left = [row for row in rows if record_id(worker.spec.run, row.id, spec.n - 1) not in known]
    done = len(rows) - len(left)
    worker.resume(done + len(answered(worker.folder.events)) or -1)
    worker.step = done
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    with Grader() as grader:
        generating = Generating(worker, spec, grader, known)
        worker.say(
            events.Started,
            recipe="generate",
            device=str(generating.writer.decoder.device),
            total_steps=len(rows),
            rows=len(rows),
            parameters=sum(weight.numel() for weight in generating.writer.policy.language.parameters()),
        )
        together = max(1, spec.batch_rows // spec.n)
        for start in range(0, len(left), together):
            generating.write(left[start : start + together], len(rows))
        worker.flush()
        if spec.resident:
            generating.stay()
    return generating.tally.summary()


@dataclass(slots=True)
class Tally:
    """What this attempt wrote."""

    rows: int = 0
    refused: int = 0
    traces: int = 0
    thinking: int = 0
    answer: int = 0
    forced: int = 0
    answered: int = 0
    graded: int = 0
    right: int = 0
    requests: int = 0
    writing: float = 0.0  # seconds
    began: float = field(default_factory=time.monotonic)

    def take(self, written: WrittenTrace, correct: bool | None) -> None:
        """Count a trace."""
        self.traces += 1
        self.thinking += written.budget.thinking
        self.answer += written.budget.answer
        self.forced += written.budget.thinking_ended == "forced"
        self.answered += written.answer is not None
        self.graded += correct is not None
        self.right += bool(correct)

    def figures(self) -> dict[str, float]:
        """Means over the traces; NaN where there are none."""
        return {
            "accuracy": _share(self.right, self.graded),
            "answered": _share(self.answered, self.traces),
            "thinking_tokens": _share(self.thinking, self.traces),
            "answer_tokens": _share(self.answer, self.traces),
            "forced": _share(self.forced, self.traces),
            "tokens_per_second": (self.thinking + self.answer) / self.writing if self.writing else float("nan"),
        }

    def summary(self) -> dict[str, float]:
        """The figures of the `ended` event."""
        counts = {name: float(getattr(self, name)) for name in ("rows", "refused", "traces", "requests")}
        return counts | self.figures() | {"seconds": time.monotonic() - self.began}


class Generating:
    """The policy, who grants budgets, and what is there already."""

    def __init__(self, worker: Worker, spec: GenerateSpec, grader: Grader, known: set[str]) -> None:
        """Loads the policy. Raises RunFailed."""
        self.worker, self.spec, self.grader, self.known = worker, spec, grader, known
        self.writer: Writer = load_writer(worker, manner=Manner.of(spec), rows=spec.batch_rows)
        self.granter = Granter(self.writer, load_classifier(worker))
        self.tally = Tally()

    def write(self, rows: Sequence[InputRow], total: int) -> None:
        """The missing traces of some rows, written together, and their records."""
        asks = self.asks(self.spec, rows, self.worker.check)
        asked = [(row, ask) for row, ask in zip(rows, asks, strict=True) if not self._is_refused(row, ask)]
        began = time.monotonic()
        made = self.writer.write([ask for _, ask in asked], self.worker.check)
        self.tally.writing += time.monotonic() - began
        for (row, ask), written in zip(asked, made, strict=True):
            self.record(self.spec, row, ask, written)
        self.tally.rows += len(rows)
        self.worker.step += len(rows)
        self.tell()
        self.worker.progress("writing", self.worker.step, total, unit="problems")

    def tell(self) -> None:
        """The figures so far."""
        self.worker.metrics(Split.TEST, self.tally.figures())
        self.worker.system()

    def asks(
        self, spec: GenerateSpec, rows: Sequence[InputRow], check: Check, request: GenerateRequest | None = None
    ) -> list[Asked]:
        """What the policy is asked for these rows, without the traces that are there already."""
        grants = self.granter.grants(
            [row.problem for row in rows],
            thinking=spec.max_thinking_tokens,
            answer=spec.max_answer_tokens,
            difficulty=spec.difficulty,
            by=spec.difficulty_by,
            manner=Manner.of(spec),
            check=check,
        )
        return [
            Asked(
                row.problem,
                seed_of(spec.seed, row.problem),
                grant,
                spec.n,
                request.prefix if request else "",
                request.next_step if request else False,
                self._written_before(spec, request.id if request else row.id),
            )
            for row, grant in zip(rows, grants, strict=True)
        ]

    def record(
        self, spec: GenerateSpec, row: InputRow, ask: Asked, traces: Sequence[WrittenTrace], request: str = "",
        source: str = "",
    ) -> None:  # fmt: skip
        """Grade traces of a row and write them down."""
        for place, (written, correct) in enumerate(zip(traces, self._graded(spec, row, ask, traces), strict=True)):
            made = record(
                self.worker,
                row,
                ask.first + place,
                written,
                correct=correct,
                settings=_settings(spec),
                source=source,
                forked_at=len(ask.prefix) if ask.prefix else None,
                key=request,
            )
            self.worker.record(made)
            self.known.add(made.id)
            self.tally.take(written, correct)

    def stay(self) -> None:
        """Answer requests until none has come for a while. Raises Stopped."""
        resident = Resident(self.worker, self.spec.idle_minutes)
        resident.serve(self._answer)
        self.worker.flush()
        self.tally.requests = resident.answers

    def _answer(self, request: AnyRequest, check: Check) -> None:
        if not isinstance(request, GenerateRequest):
            raise RunFailed(f"a generate run cannot answer a request of the kind {request.__struct_config__.tag}")
        spec, row = spec_of(self.worker, request), request.row
        if problem := spec.objection():
            raise RunFailed(problem)
        (ask,) = self.asks(spec, [row], check, request)
        if ask.first >= ask.n:
            return  # an attempt before died between the records and the word of it
        manner, telling = Manner.of(spec), Telling(self.worker, request.id)
        began = time.monotonic()
        try:
            (traces,) = self.writer.write([ask], check, telling.hear, manner=manner)
        except (AskingError, PromptError) as error:
            raise RunFailed(str(error)) from error
        self.tally.writing += time.monotonic() - began
        telling.flush()
        self.record(spec, row, ask, traces, request.id, request.forked_from)

    def _is_refused(self, row: InputRow, ask: Asked) -> bool:
        problem = self.writer.objection(ask)
        if problem:
            self.tally.refused += 1
            self.worker.notice(Level.ERROR, "problem_refused", f"row {row.id} gets no traces: {problem}")
        return bool(problem)

    def _written_before(self, spec: GenerateSpec, key: str) -> int:
        """How many of its traces are there; they are written in order."""
        return next((n for n in range(spec.n) if record_id(self.worker.spec.run, key, n) not in self.known), spec.n)

    def _graded(
        self, spec: GenerateSpec, row: InputRow, ask: Asked, traces: Sequence[WrittenTrace]
    ) -> list[bool | None]:
        """By value; None where there is no reference, or where a single step was asked for and gave no answer."""
        if not row.has_reference or not spec.grade:
            return [None] * len(traces)
        whole = [written for written in traces if not ask.next_step or written.answer is not None]
        grades = iter(
            self.grader.grade([Pair(one.answer, row.reference or "") for one in whole], form=GradeForm.LENIENT)
        )
        return [next(grades).correct if not ask.next_step or one.answer is not None else None for one in traces]


def spec_of(worker: Worker, request: GenerateRequest) -> GenerateSpec:
    """The settings of a request: the run's own, and what it says otherwise. Raises RunFailed."""
    fixed = [name for name in request.settings if name in OF_THE_RUN]
    if fixed:
        raise RunFailed(f"a request cannot change {', '.join(fixed)}: these belong to the run")
    try:
        spec = build("generate", {**worker.spec.parameters, **request.settings})
    except SpecError as error:
        raise RunFailed(str(error)) from error
    assert isinstance(spec, GenerateSpec)
    return spec


def _settings(spec: GenerateSpec) -> Settings:
    """What of the settings makes a trace what it is."""
    manner = Manner.of(spec)
    return {"temperature": manner.temperature, "top_p": manner.top_p, "run_seed": spec.seed}


def _share(count: int, of: int) -> float:
    return count / of if of else float("nan")
