"""Measure a policy, or a PRM, on a suite: every sample of every problem is a record, with its grades and its trace.

Of each problem `n` samples are written under each cap on thinking; where a strategy chooses among them, one more record
says what it chose. Ids and seeds come of the row and the number of the sample alone: an attempt that follows a kill
writes what is missing, grades the traces that are there already, and repeats nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import torch

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.forms import Pick
from trainer.contract.generated import Spent, TraceBudget
from trainer.contract.records import EvaluationRecord, InputRow, Split, TraceRecord, record_id
from trainer.contract.run_folder import all_records
from trainer.contract.specs.evaluate import Chosen, EvaluateSpec, Suite
from trainer.contract.specs.setting import SpecError
from trainer.models.answering import Asked, Manner, Writer, WrittenTrace, record, seed_of
from trainer.models.writers import load_writer
from trainer.reasoning.budget import Grant, allocate
from trainer.reasoning.grader import Grader
from trainer.reasoning.response import Response, read_response
from trainer.reasoning.votes import Candidate, aggregate, pick
from trainer.runtime.worker import RunFailed, Worker
from trainer.suites.choose import kind_of
from trainer.suites.prm_benches import Judging
from trainer.suites.sandbox import SandboxError
from trainer.suites.scorer import Scorer, load_scorer, who
from trainer.suites.values import Answered, Graded, Kind

SAMPLES = 1 << 20  # ids of samples begin here, those of choices at twice this; traces have the numbers from 0
_PICKS = {Chosen.MAJORITY: Pick.MAJORITY, Chosen.BEST_OF_N: Pick.BEST, Chosen.WEIGHTED: Pick.WEIGHTED}


def run(worker: Worker) -> dict[str, float]:
    """Write and grade what has no record yet. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, EvaluateSpec)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    rows, before = list(worker.folder.read_input()), earlier(worker)
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    if spec.suite.judges_prm:
        return Judging(worker, spec, load_scorer(worker, spec), before.known).run(rows)
    if problem := spec.objection():
        raise RunFailed(problem)
    try:
        with Grader() as grader:
            return Measuring(worker, spec.with_preset(), kind_of(spec, grader), before).run(rows)
    except (SandboxError, SpecError) as error:
        raise RunFailed(str(error)) from error


@dataclass(slots=True)
class Earlier:
    """What earlier attempts wrote: ids of records, and traces by id."""

    known: set[str] = field(default_factory=set)
    texts: dict[str, TraceRecord] = field(default_factory=dict)


def earlier(worker: Worker) -> Earlier:
    """Read once, at the start."""
    found = Earlier()
    for made in all_records(worker.folder.records):
        found.known.add(made.id)
        if isinstance(made, TraceRecord):
            found.texts[made.id] = made
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One problem under one cap on thinking; `place` is that of the cap among the run's."""

    row: InputRow
    place: int
    cap: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A response to a task, read, graded and scored."""

    response: Response
    answer: str | None
    graded: Graded
    score: float | None
    budget: TraceBudget
    spent: Spent
    written: WrittenTrace | None = None
    group: int = -1


@dataclass(slots=True)
class Tally:
    """Figures over what this attempt did."""

    problems: int = 0
    samples: int = 0
    right: float = 0.0
    decided: int = 0
    differ: int = 0
    truncated: int = 0
    thinking: int = 0
    tokens: int = 0
    began: float = field(default_factory=time.monotonic)

    def figures(self) -> dict[str, float]:
        """Shares and means; NaN where there is nothing."""
        per = self.samples or float("nan")
        return {
            "accuracy": self.right / self.decided if self.decided else float("nan"),
            "undecided": 1 - self.decided / per,
            "graders_differ": self.differ / per,
            "truncated": self.truncated / per,
            "thinking_tokens": self.thinking / per,
            "tokens_per_second": self.tokens / max(time.monotonic() - self.began, 1e-9),
        }


class Measuring:
    """A policy under a suite."""

    def __init__(self, worker: Worker, spec: EvaluateSpec, kind: Kind, before: Earlier) -> None:
        """Loads the policy, and the PRM where there is one. Raises RunFailed, SpecError."""
        self.worker, self.spec, self.kind, self.before = worker, spec, kind, before
        self.caps = spec.caps()
        self.writer: Writer = load_writer(worker, manner=Manner.of(spec), rows=spec.batch_rows)
        self.scorer: Scorer | None = load_scorer(worker, spec) if spec.prm or spec.strategy.needs_prm else None
        self.model, self.tally = who(worker, "model"), Tally()
        self.suite = (spec.suite_name.strip() or spec.suite.value) if spec.suite is Suite.OWN else spec.suite.value

    def run(self, rows: Sequence[InputRow]) -> dict[str, float]:
        """Every task that is not done, `batch_rows` traces at a time.

        A batch that a kill left half recorded is written whole once more: sums are rounded as the size of the batch
        has it, so what is missing comes out as it would have.
        """
        tasks = [Task(row, place, cap) for row in rows for place, cap in enumerate(self.caps)]
        left = [task for task in tasks if not self._is_done(task)]
        begun = {self._trace_id(task, number) for task in left for number in range(self.spec.n)}
        self.before.texts = {id: made for id, made in self.before.texts.items() if id in begun}
        self.worker.resume(len(tasks) - len(left) or -1)
        self.worker.step = len(tasks) - len(left)
        self.worker.say(
            events.Started,
            recipe="evaluate",
            device=str(self.writer.decoder.device),
            total_steps=len(tasks),
            rows=len(rows),
            parameters=sum(weight.numel() for weight in self.writer.policy.language.parameters()),
        )
        together = max(1, self.spec.batch_rows // self.spec.n)
        missing = set(left)
        for start in range(0, len(tasks), together):
            batch = tasks[start : start + together]
            if not missing.isdisjoint(batch):
                self._answer(batch, missing, len(tasks))
        self.worker.flush()
        return {
            "problems": float(len(rows)),
            "samples": float(self.tally.samples),
            **self.tally.figures(),
            "seconds": time.monotonic() - self.tally.began,
        }

    def _answer(self, tasks: Sequence[Task], missing: set[Task], total: int) -> None:
        """Write a batch, read, grade and score it, and record those of its tasks that are missing."""
        began = time.monotonic()
        answered = [(task, self._asked(task)) for task in tasks]
        askable = [(task, asked) for task, asked in answered if not self._is_refused(task, asked)]
        made = self.writer.write([asked for _, asked in askable], self.worker.check)
        share = (time.monotonic() - began) / max(1, len(askable) * self.spec.n)
        done = [task for task, _ in askable]
        groups = self._graded(done, [self._read(*each, share) for each in zip(done, made, strict=True)])
        for task, samples in zip(done, self._scored(done, groups), strict=True):
            if task in missing:
                self._record(task, samples)
        self.worker.step += sum(task in missing for task in tasks)
        self.worker.metrics(Split.TEST, self.tally.figures())
        self.worker.progress("answering", self.worker.step, total, unit="problems")

    def _asked(self, task: Task) -> Asked:
        spec, row = self.spec, task.row
        grant = Grant(task.cap, spec.max_answer_tokens, None, "hand")
        if spec.difficulty >= 0:
            grant = allocate(grant.total, spec.difficulty)
        problem = self.kind.ask(row, self.writer.policy.taught)
        return Asked(problem, seed_of(spec.seed, row.id), grant, spec.n, self.kind.prefix(row))

    def _is_refused(self, task: Task, asked: Asked) -> bool:
        problem = self.writer.objection(asked)
        if problem:
            text = f"row {task.row.id} is not asked and counts nowhere: {problem}"
            self.worker.notice(Level.ERROR, "problem_refused", text)
        return bool(problem)

    def _read(self, task: Task, written: Sequence[WrittenTrace], seconds: float) -> list[Sample]:
        """What was written; a trace that an earlier attempt recorded stands for the one written again."""
        out = []
        for number, one in enumerate(written):
            kept = self.before.texts.get(self._trace_id(task, number))
            response = one.response if kept is None else read_response(kept.text)
            budget = one.budget if kept is None or kept.budget is None else kept.budget
            spent = Spent(tokens=one.generated.drawn, tokens_read=0, seconds=seconds)
            answer = self.kind.read(task.row, response)
            out.append(Sample(response, answer, Graded(None, None, None), None, budget, spent, one))
        return out

    def _graded(self, tasks: Sequence[Task], groups: Sequence[Sequence[Sample]]) -> list[list[Sample]]:
        flat = [
            Answered(task.row, sample.response, sample.answer)
            for task, samples in zip(tasks, groups, strict=True)
            for sample in samples
        ]
        grades = iter(self.kind.grade(flat, self.worker.check))
        return [[replace(sample, graded=next(grades)) for sample in samples] for samples in groups]

    def _scored(self, tasks: Sequence[Task], groups: Sequence[Sequence[Sample]]) -> Iterator[list[Sample]]:
        """With the PRM's score, where there is one, and the group of equal answers that each is in."""
        flat = [(task.row.problem, one) for task, some in zip(tasks, groups, strict=True) for one in some]
        scores: list[float | None] = [None] * len(flat)
        if self.scorer is not None:
            texts = [one.response.step_texts for _, one in flat]
            found = self.scorer.scores([problem for problem, _ in flat], texts, self.worker.check)
            scores = [aggregate(self.scorer.of_trace(steps), self.spec.aggregation) for steps in found]
        given = iter(scores)
        for samples in groups:
            scored = [replace(sample, score=next(given)) for sample in samples]
            candidates = [Candidate(sample.answer, sample.score) for sample in scored]
            of = {place: n for n, group in enumerate(self._groups(candidates)) for place in group}
            yield [replace(sample, group=of.get(place, -1)) for place, sample in enumerate(scored)]

    def _groups(self, candidates: Sequence[Candidate]) -> list[tuple[int, ...]]:
        """Places of equal answers, in the order of their first."""
        if len(candidates) == 1:
            return [(0,)] if candidates[0].answer else []
        return sorted((group.members for group in pick(candidates, Pick.MAJORITY, self.kind.equal).groups), key=min)

    def _record(self, task: Task, samples: Sequence[Sample]) -> None:
        """Traces, then samples, then the choice: nothing that is there already."""
        for number, sample in enumerate(samples):
            id = self._trace_id(task, number)
            if self.spec.keep_traces and sample.written is not None and id not in self.before.known:
                self.worker.record(self._trace_record(task, number, sample))
        for number, sample in enumerate(samples):
            self._write(self._sample_record(task, number, sample))
            self._count(sample)
        if self.spec.strategy is not Chosen.SINGLE:
            self._write(self._choice_record(task, samples))
        self.tally.problems += 1

    def _trace_record(self, task: Task, number: int, sample: Sample) -> TraceRecord:
        assert sample.written is not None
        prefix = self.kind.prefix(task.row)
        return record(
            self.worker,
            task.row,
            task.place * self.spec.n + number,
            sample.written,
            correct=sample.graded.correct,
            settings={"temperature": self.spec.temperature, "top_p": self.spec.top_p, "run_seed": self.spec.seed},
            source=task.row.trace if prefix else "",
            forked_at=len(prefix) if prefix else None,
        )

    def _write(self, made: EvaluationRecord) -> None:
        if made.id not in self.before.known:
            self.worker.record(made)

    def _sample_record(self, task: Task, number: int, sample: Sample) -> EvaluationRecord:
        graded, detail = sample.graded, dict(sample.graded.detail)
        detail |= {"group": sample.group, "thinking_ended": sample.budget.thinking_ended, "ended": sample.budget.ended}
        if sample.score is not None:
            detail["score"] = sample.score
        return EvaluationRecord(
            id=self._sample_id(task, number),
            row=task.row.id,
            suite=self.suite,
            problem=task.row.problem,
            reference=task.row.reference,
            sample=number,
            model=self.model.name,
            version=self.model.version,
            prm="" if self.scorer is None else self.scorer.who.name,
            strategy=self.spec.strategy.value,
            compute=self.spec.compute.value,
            budget=task.cap,
            answer=sample.answer,
            correct=graded.correct,
            strict=graded.strict,
            lenient=graded.lenient,
            trace=self._trace_id(task, number) if self.spec.keep_traces else "",
            thinking_tokens=sample.budget.thinking,
            answer_tokens=sample.budget.answer,
            truncated=_is_truncated(sample.budget),
            seed=self.spec.seed,
            spent=msgspec.structs.replace(sample.spent, prm_calls=int(self.scorer is not None)),
            why=graded.why,
            detail=detail,
        )

    def _choice_record(self, task: Task, samples: Sequence[Sample]) -> EvaluationRecord:
        """What the strategy answers: the grades of the chosen sample, the cost of all.

        Where no sample has an answer the first one's grades stand: wrong, but for a problem without a reference, or a
        test that wants words to stay away.
        """
        candidates = [Candidate(sample.answer, sample.score) for sample in samples]
        chosen = pick(candidates, _PICKS[self.spec.strategy], self.kind.equal).chosen
        base = self._sample_record(task, max(chosen, 0), samples[max(chosen, 0)])
        spent = sum((sample.spent for sample in samples), Spent())
        calls = len(samples) * int(self.scorer is not None)
        silent: dict[str, object] = {}
        if chosen < 0:
            silent = {"answer": None, "why": "no sample has an answer"}
        return msgspec.structs.replace(
            base,
            id=record_id(self.worker.spec.run, task.row.id, 2 * SAMPLES + task.place),
            sample=-1,
            spent=msgspec.structs.replace(spent, prm_calls=calls),
            detail={**base.detail, "chosen": chosen},
            **silent,
        )

    def _count(self, sample: Sample) -> None:
        tally, graded = self.tally, sample.graded
        tally.samples += 1
        tally.decided += graded.correct is not None
        tally.right += bool(graded.correct)
        tally.differ += graded.strict != graded.lenient
        tally.truncated += _is_truncated(sample.budget)
        tally.thinking += sample.budget.thinking
        tally.tokens += sample.spent.tokens

    def _trace_id(self, task: Task, number: int) -> str:
        return record_id(self.worker.spec.run, task.row.id, task.place * self.spec.n + number)

    def _sample_id(self, task: Task, number: int) -> str:
        return record_id(self.worker.spec.run, task.row.id, SAMPLES + task.place * self.spec.n + number)

    def _is_done(self, task: Task) -> bool:
        wanted = [self._sample_id(task, number) for number in range(self.spec.n)]
        if self.spec.strategy is not Chosen.SINGLE:
            wanted.append(record_id(self.worker.spec.run, task.row.id, 2 * SAMPLES + task.place))
        return all(id in self.before.known for id in wanted)


def _is_truncated(budget: TraceBudget) -> bool:
    """Whether a cap ended the thinking or the answer."""
    return budget.thinking_ended in ("forced", "open") or budget.ended in ("length", "budget", "context")
