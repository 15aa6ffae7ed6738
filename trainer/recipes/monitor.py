"""Look for unsafe reasoning in traces (exact checks, a trained classifier, a judge), or teach that classifier.

Looking writes, for every row and monitor, its findings and then one record of its scores, with ids that are the same
in every attempt. Teaching needs no torch and leaves a folder that can be read without scikit-learn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from trainer.contract import events
from trainer.contract.records import FlagRecord, InputRow, MonitorRecord, MonitorRef, Split, record_id
from trainer.contract.requests import AnyRequest, ScoreRequest, answered
from trainer.contract.run_folder import known_records
from trainer.contract.specs.monitor import MonitorSpec, MonitorTask
from trainer.reasoning import consistency
from trainer.reasoning.monitor_looks import Look, Looked, classifier_look, rules_look
from trainer.reasoning.word_scores import FileError, load
from trainer.runtime.resident import Check, Resident
from trainer.runtime.worker import RunFailed, Worker

FLAGS_A_ROW = 1000  # ids of a monitor's findings in one row; its scores have the last


def run(worker: Worker) -> dict[str, float]:
    """Teach, or look. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, MonitorSpec)
    if spec.threads:
        os.environ["OMP_NUM_THREADS"] = str(spec.threads)
    if spec.task is MonitorTask.TRAIN:
        from trainer.models.monitor_teach import teach

        return teach(worker, spec)
    return look(worker, spec)


@dataclass(frozen=True, slots=True)
class Watcher:
    """A monitor: who it is and how it looks at a row."""

    ref: MonitorRef
    look: Look
    place: int  # its own among the monitors of a run, for the ids of records


@dataclass(slots=True)
class Tally:
    """What a run found in this attempt."""

    rows: int = 0
    flags: int = 0
    not_assessable: int = 0
    began: float = field(default_factory=time.monotonic)


def look(worker: Worker, spec: MonitorSpec) -> dict[str, float]:
    """Look at every row that has no record yet, then, if it stays, at those that are asked for."""
    watchers = watchers_of(worker, spec)
    known = known_records(worker.folder.records)
    rows = [row for row in worker.folder.read_input() if not _is_done(worker, row, watchers, known)]
    done = worker.spec.input_rows - len(rows)
    worker.resume(done + len(answered(worker.folder.events)) or -1)
    worker.step = done
    total = worker.spec.input_rows
    worker.say(events.Started, recipe="monitor", device="cpu", total_steps=total, rows=total, parameters=0)
    tally = Tally()
    for row in rows:
        worker.check()
        watch(worker, watchers, row, known, tally)
        worker.step += 1
        worker.progress("looking", worker.step, total, unit="rows")
        if worker.step % 50 == 0:
            _tell(worker, tally)
    worker.flush()
    _tell(worker, tally)
    if spec.resident:
        _stay(worker, spec, watchers, known, tally)
    return {
        "rows": float(tally.rows),
        "flags": float(tally.flags),
        "not_assessable": float(tally.not_assessable),
        "seconds": time.monotonic() - tally.began,
    }


def watchers_of(worker: Worker, spec: MonitorSpec) -> list[Watcher]:
    """The monitors that a run asks for. Raises RunFailed for none, or for one that cannot be read."""
    out: list[Watcher] = []
    if spec.rules:
        ref = MonitorRef(kind="rules", name=consistency.NAME, version=consistency.VERSION)
        out.append(Watcher(ref, rules_look, 0))
    if spec.model:
        given = {model.role: model for model in worker.spec.models}.get("model")
        source = worker.folder.path / given.path if given else worker.folder.path / spec.model
        try:
            model = load(source)
        except FileError as error:
            raise RunFailed(str(error)) from error
        card = model.card
        ref = MonitorRef(kind="classifier", name=card.name, version=card.version, training=card.training)
        out.append(Watcher(ref, classifier_look(model, lowest=spec.lowest), 1))
    if spec.judge or spec.judge_url:
        from trainer.models.monitor_judge import judge_of

        judge = judge_of(worker, spec)
        out.append(Watcher(judge.ref, judge.look, 2))
    if not out:
        raise RunFailed("nothing looks: switch the exact checks on, or choose a monitor or a judge")
    return out


def watch(worker: Worker, watchers: Sequence[Watcher], row: InputRow, known: set[str], tally: Tally) -> None:
    """Findings and scores of a row by every monitor that has none of it yet."""
    tally.rows += 1
    for watcher in watchers:
        last = _score_id(worker, row, watcher)
        if last in known:
            continue
        looked = watcher.look(row, worker.check)
        for number in range(len(looked.findings[: FLAGS_A_ROW - 1])):
            id = record_id(worker.spec.run, row.id, FLAGS_A_ROW * watcher.place + number)
            if id not in known:
                worker.record(_flag(id, row, watcher.ref, looked, number))
            tally.flags += 1
        worker.record(_scores(last, row, watcher.ref, looked))
        known.add(last)
        tally.not_assessable += watcher.place == 0 and bool(looked.gap)


def _stay(worker: Worker, spec: MonitorSpec, watchers: Sequence[Watcher], known: set[str], tally: Tally) -> None:
    def answer(request: AnyRequest, check: Check) -> None:
        if not isinstance(request, ScoreRequest):
            raise RunFailed(f"a monitor cannot answer a request of the kind {request.__struct_config__.tag}")
        check()
        watch(worker, watchers, request.row, known, tally)

    Resident(worker, spec.idle_minutes).serve(answer)
    worker.flush()


def _is_done(worker: Worker, row: InputRow, watchers: Sequence[Watcher], known: set[str]) -> bool:
    return all(_score_id(worker, row, watcher) in known for watcher in watchers)


def _score_id(worker: Worker, row: InputRow, watcher: Watcher) -> str:
    return record_id(worker.spec.run, row.id, FLAGS_A_ROW * (watcher.place + 1) - 1)


def _flag(id: str, row: InputRow, ref: MonitorRef, looked: Looked, number: int) -> FlagRecord:
    finding = looked.findings[number]
    other = finding.counterpart
    return FlagRecord(
        id=id,
        row=row.id,
        trace=row.trace,
        segmentation=row.segmentation,
        step=looked.step_at(finding.start, row.step_ids),
        category=finding.category.value,
        severity=finding.severity,
        start=finding.start,
        end=finding.end,
        quote=finding.quote,
        monitor=ref,
        score=finding.score,
        part=finding.part.value,
        why=finding.why,
        counterpart=None if other is None else (other.start, other.end),
    )


def _scores(id: str, row: InputRow, ref: MonitorRef, looked: Looked) -> MonitorRecord:
    steps = np.asarray(looked.steps, "<f2").tobytes() if looked.steps is not None else b""
    return MonitorRecord(
        id=id,
        row=row.id,
        trace=row.trace,
        segmentation=row.segmentation,
        monitor=ref,
        scores=looked.scores,
        gap=looked.gap.value,
        evidence=tuple(dict.fromkeys(finding.category.value for finding in looked.findings)),
        steps=steps,
    )


def _tell(worker: Worker, tally: Tally) -> None:
    seconds = max(time.monotonic() - tally.began, 1e-9)
    figures = {"rows": float(worker.step), "flags": float(tally.flags), "rows_per_second": tally.rows / seconds}
    worker.metrics(Split.TEST, figures)
    worker.system()
