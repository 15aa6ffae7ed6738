"""The recipe `rubric`: look in traces for what a rubric describes, by its own classifier or by a judge.

One record a trace, with an id that is the same in every attempt: a run that was cut goes on where it stopped. A trace
that the judge could not be asked about has no record and is tried again when the run is resumed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import InputRow, Split, record_id
from trainer.contract.rubrics import RubricCard, RubricFileError, RubricQuote, RubricRecord, read_card
from trainer.contract.run_folder import known_records
from trainer.contract.specs.rubric import RubricBy, RubricSpec
from trainer.models.endpoint import EndpointError
from trainer.models.rubric_judge import RubricJudge
from trainer.models.rubric_learn import Options, RubricClassifier, TooFewError
from trainer.reasoning.monitor_looks import text_of
from trainer.reasoning.monitor_units import Unit, locate, units_of
from trainer.runtime.worker import RunFailed, Worker

DRAWN_FROM = 4000  # rows whose steps may be drawn as background
TOGETHER = 50  # rows whose steps are scored at once


@dataclass(slots=True)
class Tally:
    """What this attempt did."""

    rows: int = 0
    hits: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)


def run(worker: Worker) -> dict[str, float]:
    """Look at every row that has no record yet. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, RubricSpec)
    if spec.threads:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    try:
        card = read_card(worker.folder.inputs)
    except RubricFileError as error:
        raise RunFailed(str(error)) from error
    known = known_records(worker.folder.records)
    total = worker.spec.input_rows
    limit = spec.judge_limit if spec.by is RubricBy.JUDGE and spec.judge_limit else total
    rows = [row for row in worker.folder.read_input() if record_id(worker.spec.run, row.id, 0) not in known]
    rows = rows[: max(limit - len(known), 0)]
    worker.resume(len(known) or -1)
    worker.step = len(known)
    worker.say(events.Started, recipe="rubric", device="cpu", total_steps=total, rows=total, parameters=0)
    tally = Tally()
    if not rows:
        return _figures(tally, {})
    way = _Judged(worker, spec, card, rows) if spec.by is RubricBy.JUDGE else _Learned(worker, spec, card)
    for first in range(0, len(rows), way.together):
        worker.check()
        _look(worker, way, card, rows[first : first + way.together], tally, min(limit, total))
    worker.flush()
    figures = _figures(tally, way.figures())
    worker.metrics(Split.TEST, figures)
    if tally.failed == tally.rows:
        raise RunFailed(f"none of {tally.rows} traces could be judged; see the notices, and resume the run")
    return figures


def _look(
    worker: Worker, way: _Learned | _Judged, card: RubricCard, rows: list[InputRow], tally: Tally, total: int
) -> None:
    """Look at some rows together; what was found is written in their order."""

    def looked(done: int) -> None:
        worker.progress("looking", worker.step + done, total, unit="traces")

    found = way.look(rows, looked)
    for row, quotes in zip(rows, found, strict=True):
        tally.rows += 1
        if isinstance(quotes, EndpointError):
            tally.failed += 1
            worker.notice(Level.ERROR, "judge_failed", f"row {row.id} was not judged: {quotes}")
            continue
        tally.hits += len(quotes)
        worker.record(_record(worker, card, row, way, quotes))
        worker.step += 1
    looked(0)


class _Learned:
    """The classifier's way."""

    how, together = "classifier", TOGETHER

    def __init__(self, worker: Worker, spec: RubricSpec, card: RubricCard) -> None:
        self._worker, self._spec = worker, spec
        worker.progress("learning", 0, 1, unit="fits", force=True)
        options = Options(features=spec.features, strength=spec.strength, seed=spec.seed)
        try:
            self._classifier = RubricClassifier(card.examples, _background(worker, spec, card), options)
        except TooFewError as error:
            raise RunFailed(str(error)) from error
        self.by = card.checksum
        learned = self._classifier
        held_out = learned.auroc
        said = "not measured: fewer than 5 on a side" if held_out is None else f"AUROC {held_out:.3f} held out"
        text = f"learned from {learned.positives} examples and {learned.negatives} counter-examples and drawn steps"
        worker.notice(Level.INFO, "rubric_learned", f"{text}; {said}")

    def look(self, rows: Sequence[InputRow], looked: Callable[[int], None]) -> list[tuple[RubricQuote, ...]]:
        """The likeliest stretches of the model's own words from `lowest` on, of each row."""
        found = [units_of(text_of(row), row.messages, locate(text_of(row), row.steps)) for row in rows]
        texts = [unit.span.of(text_of(row)) for row, units in zip(rows, found, strict=True) for unit in units]
        ends = np.cumsum([len(units) for units in found])
        parts = np.split(self._classifier.scores(texts), ends[:-1])
        looked(len(rows))
        return [self._of(*each) for each in zip(rows, found, parts, strict=True)]

    def _of(self, row: InputRow, units: tuple[Unit, ...], scores: NDArray[np.float64]) -> tuple[RubricQuote, ...]:
        text = text_of(row)
        best = [k for k in np.argsort(-scores, kind="stable")[: self._spec.most] if scores[k] >= self._spec.lowest]
        return tuple(
            RubricQuote(
                start=units[k].span.start,
                end=units[k].span.end,
                quote=units[k].span.of(text),
                score=float(scores[k]),
                why="reads like the examples and confirmed hits",
            )
            for k in sorted(best)
        )

    def figures(self) -> dict[str, float]:
        """What is known of the classifier."""
        learned = self._classifier
        known = {} if learned.auroc is None else {"auroc": learned.auroc}
        return {"examples": float(learned.positives), "counter_examples": float(learned.negatives), **known}


class _Judged:
    """The judge's way."""

    how = "judge"

    def __init__(self, worker: Worker, spec: RubricSpec, card: RubricCard, rows: list[InputRow]) -> None:
        self._worker = worker
        self._judge = RubricJudge.of(worker, spec, card, [len(text_of(row)) for row in rows])
        self.by, self.together = self._judge.name, self._judge.speaker.together

    def look(
        self, rows: Sequence[InputRow], looked: Callable[[int], None]
    ) -> list[tuple[RubricQuote, ...] | EndpointError]:
        """Passages that stand in each trace and that the judge said yes to, or why it was not judged."""
        return self._judge.look(rows, self._worker.check, looked)

    def figures(self) -> dict[str, float]:
        """What was asked."""
        judge = self._judge
        return {"questions": float(judge.asked), "made_up": float(judge.made_up), "undecided": float(judge.undecided)}


def _background(worker: Worker, spec: RubricSpec, card: RubricCard) -> list[str]:
    """Steps drawn evenly from the traces, without those that hold a positive example's words."""
    if not spec.background:
        return []
    positives = [example.text for example in card.examples if example.positive]
    draw = np.random.default_rng(spec.seed)
    keep = min(1.0, DRAWN_FROM / max(worker.spec.input_rows, 1))
    found: list[str] = []
    for row in worker.folder.read_input():
        if keep < 1.0 and draw.random() >= keep:
            continue
        text = text_of(row)
        pieces = [unit.span.of(text) for unit in units_of(text, row.messages, locate(text, row.steps))]
        found += [piece for piece in pieces if not any(one in piece or piece in one for one in positives)]
    different = list(dict.fromkeys(found))
    most = min(spec.background, len(different) // 3)  # some of them are it: of few traces most must not be taken as not
    chosen = draw.permutation(len(different))[:most]
    return [different[k] for k in sorted(chosen.tolist())]


def _record(
    worker: Worker, card: RubricCard, row: InputRow, way: _Learned | _Judged, quotes: tuple[RubricQuote, ...]
) -> RubricRecord:
    return RubricRecord(
        id=record_id(worker.spec.run, row.id, 0),
        row=row.id,
        trace=row.trace,
        segmentation=row.segmentation,
        rubric=card.uid,
        version=card.version,
        how=way.how,
        by=way.by,
        quotes=quotes,
    )


def _figures(tally: Tally, others: dict[str, float]) -> dict[str, float]:
    seconds = time.monotonic() - tally.began
    mine = {"rows": tally.rows, "hits": tally.hits, "failed": tally.failed}
    return {name: float(value) for name, value in mine.items()} | {"seconds": seconds} | others
