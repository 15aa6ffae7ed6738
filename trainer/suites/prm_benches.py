"""ProcessBench and PRMBench: a PRM scores the steps of given solutions, one record a solution.

ProcessBench: the first step under the threshold is the predicted first error, -1 = none. PRMBench: every step under it
is called wrong. The figures over all rows are those of `trainer.reasoning.benchmarks`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract import events
from trainer.contract.generated import Settings, Spent
from trainer.contract.records import EvaluationRecord, InputRow, Split, record_id
from trainer.contract.specs.evaluate import EvaluateSpec, Suite
from trainer.reasoning.benchmarks import ORIGINAL
from trainer.reasoning.metrics import first_error
from trainer.runtime.worker import Worker
from trainer.suites.scorer import Scorer

Scores = Sequence[float | None]
WINDOW = 64  # solutions that the PRM is given at once


class Judging:
    """A PRM under a suite."""

    def __init__(self, worker: Worker, spec: EvaluateSpec, scorer: Scorer, known: set[str]) -> None:
        """`known` are the ids of records that are there already."""
        self._worker, self._spec, self._scorer, self._known = worker, spec, scorer, known
        self._hits = 0

    def run(self, rows: Sequence[InputRow]) -> dict[str, float]:
        """Every solution that has no record yet; returns the figures of this attempt."""
        worker, began = self._worker, time.monotonic()
        left = [row for row in rows if self._id(row) not in self._known]
        worker.resume(len(rows) - len(left) or -1)
        worker.step = len(rows) - len(left)
        worker.say(
            events.Started,
            recipe="evaluate",
            device=worker.spec.device,
            total_steps=len(rows),
            rows=len(rows),
            parameters=self._scorer.parameters,
        )
        for start in range(0, len(left), WINDOW):
            self._window(left[start : start + WINDOW])
            worker.metrics(Split.TEST, {"accuracy": self._hits / min(len(left), start + WINDOW)})
            worker.progress("scoring", worker.step, len(rows), unit="solutions")
        worker.flush()
        share = self._hits / len(left) if left else float("nan")
        seconds = time.monotonic() - began
        return {"solutions": float(len(rows)), "samples": float(len(left)), "accuracy": share, "seconds": seconds}

    def _window(self, rows: Sequence[InputRow]) -> None:
        began = time.monotonic()
        scores = self._scorer.scores([row.problem for row in rows], [row.steps for row in rows], self._worker.check)
        seconds = (time.monotonic() - began) / len(rows)
        for row, some in zip(rows, scores, strict=True):
            spent = Spent(prm_calls=1, seconds=seconds)
            made = judged(self._spec, self._scorer, row, some, id=self._id(row), spent=spent)
            self._hits += bool(made.correct)
            self._worker.record(made)
        self._worker.step += len(rows)

    def _id(self, row: InputRow) -> str:
        return record_id(self._worker.spec.run, row.id, 0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a PRM says of a solution, whether that is what the label says, and the figures behind it."""

    answer: str
    correct: bool
    detail: Settings


def verdict(suite: Suite, row: InputRow, scores: Scores, threshold: float) -> Verdict:
    """Of the scores of a row's steps; one without a score is never called wrong."""
    shown = " ".join("-" if score is None else f"{score:.4f}" for score in scores)
    if suite is Suite.PROCESSBENCH:
        predicted, labelled = first_error(scores, threshold=threshold), int(row.extra["label"])
        detail: Settings = {"predicted": predicted, "labelled": labelled, "subset": str(row.extra["subset"])}
        return Verdict(str(predicted), predicted == labelled, {**detail, "scores": shown})
    wrong, category = set(row.extra["wrong"]), str(row.extra["category"])
    truth = "".join("0" if place in wrong else "1" for place in range(len(scores)))
    called = "".join("-" if score is None else str(int(score >= threshold)) for score in scores)
    detail = {"truth": truth, "called": called, "category": category, "counts": category != ORIGINAL}
    answer = ", ".join(str(place) for place, call in enumerate(called) if call == "0")
    return Verdict(answer, truth == called, {**detail, "scores": shown})


def judged(
    spec: EvaluateSpec, scorer: Scorer, row: InputRow, scores: Scores, *, id: str, spent: Spent
) -> EvaluationRecord:
    """The record of a solution whose steps were scored."""
    said = verdict(spec.suite, row, scores, scorer.threshold)
    unscored = sum(score is None for score in scores)
    return EvaluationRecord(
        id=id,
        row=row.id,
        suite=spec.suite.value,
        problem=as_text(row),
        reference=row.reference,
        sample=0,
        model=scorer.who.name,
        version=scorer.who.version,
        prm=scorer.who.name,
        strategy=spec.strategy.value,
        compute=spec.compute.value,
        answer=said.answer,
        correct=said.correct,
        strict=said.correct,
        lenient=said.correct,
        truncated=unscored > 0,
        seed=spec.seed,
        spent=spent,
        why=f"{unscored} steps lie beyond what the PRM reads" if unscored else "",
        detail=said.detail,
    )


def as_text(row: InputRow) -> str:
    """The problem and its solution, steps numbered from 0 as the labels count them."""
    steps = "\n".join(f"[{place}] {step}" for place, step in enumerate(row.steps))
    return f"{row.problem}\n\n{steps}"
