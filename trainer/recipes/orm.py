"""Train an outcome reward model: the PRM recipe with one label a trace, at its end. The baseline of every PRM."""

from __future__ import annotations

from dataclasses import replace

from trainer.contract.events import Level
from trainer.contract.specs.orm import OrmSpec
from trainer.data import Labelled
from trainer.models.prm import Judges
from trainer.outcomes import label_outcomes
from trainer.reasoning.grader import Grader
from trainer.recipes.prm import check_balance, settings_of, train
from trainer.runtime.loop import begin
from trainer.runtime.worker import Worker


def run(worker: Worker) -> dict[str, float]:
    """The whole recipe on one run folder. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, OrmSpec)
    found = begin(worker)
    rows = read_rows(worker, spec, report=found is None)
    settings = replace(settings_of(worker, spec, 2, ""), judged=Judges.OUTCOME)
    return train(worker, spec, settings, rows, found)


def read_rows(worker: Worker, spec: OrmSpec, *, report: bool) -> Labelled:
    """input.jsonl with the outcome of every trace; what has none is told once."""
    worker.progress("grading the answers", 0, worker.spec.input_rows, unit="rows", force=True)
    with Grader() as grader:
        outcomes = label_outcomes(worker.folder.read_input(), spec.outcome, grader.grade)
    rows = outcomes.rows
    if report:
        sources = ", ".join(f"{source.value} {count}" for source, count in outcomes.sources.items())
        text = f"{rows.counts.labels} outcomes of {rows.counts.rows} traces: {sources or 'none'}"
        worker.notice(Level.INFO, "labels", text, rows=rows.counts.rows, labels=rows.counts.labels)
        if outcomes.undecided:
            reasons = ", ".join(f"{why}: {count}" for why, count in outcomes.undecided.most_common())
            count = rows.counts.rows_without_label
            worker.notice(
                Level.WARNING, "rows_without_label", f"{count} traces left out, undecided: {reasons}", rows=count
            )
    check_balance(worker, spec, rows, report=report)
    return rows
