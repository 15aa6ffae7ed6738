"""The outcome reward model: one label a trace from its outcome, answer or ratings; scored at the trace's end."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from tests.trainer.runs import SMALL, ended, live_events, metrics, score_run, story_rows
from trainer.contract import events
from trainer.contract.records import InputRow, Split, Votes
from trainer.contract.run_folder import RunFolder, read_records
from trainer.contract.spec import RunSpec, build, parameters
from trainer.contract.specs.orm import OutcomeFrom
from trainer.models.load import load_prm
from trainer.models.prm import Judges
from trainer.outcomes import label_outcomes
from trainer.placement import StepEncoder
from trainer.reasoning.grader import Grade, Pair
from trainer.recipes import orm, score
from trainer.runtime.worker import run_attempt

replace = msgspec.structs.replace
GOOD, BAD = Votes(positive=1.0), Votes(negative=1.0)


def trace(name: str, last: str, reference: str | None, outcome: int | None, *votes: Votes | None) -> InputRow:
    return InputRow(
        id=name,
        trace=name,
        segmentation=1,
        problem="1 + 1?",
        steps=("Add.", last),
        step_ids=(0, 1),
        reference=reference,
        outcome=outcome,
        votes=votes or None,
    )


TRACES = [
    trace("recorded", "The answer is 2", "3", 1, BAD, GOOD),
    trace("answer right", "The answer is 2", "2", None, BAD, None),
    trace("answer wrong", "The answer is 3", "2", None, GOOD, GOOD),
    trace("rated right", "So it is.", None, None, GOOD, Votes(neutral=1.0)),
    trace("rated wrong", "So it is.", "2", None, BAD, None),
    trace("half rated", "The answer is 2", None, None, GOOD, None),
    trace("undecidable", "The answer is 5/0", "2", None),
    trace("nothing", "So it is.", "2", None),
]


def grade(pairs: list[Pair]) -> list[Grade]:
    """Equality; what divides by nothing cannot be decided."""
    return [Grade(None if "/0" in (p.predicted or "") else p.predicted == p.reference, "") for p in pairs]


@pytest.mark.parametrize(
    ("source", "expected", "undecided"),
    [
        (OutcomeFrom.RECORDED, {"recorded": 1}, 7),
        (OutcomeFrom.ANSWER, {"recorded": 0, "answer right": 1, "answer wrong": 0}, 5),
        (
            OutcomeFrom.RATINGS,
            {"recorded": 0, "answer right": 0, "answer wrong": 1, "rated right": 1, "rated wrong": 0},
            3,
        ),
        (
            OutcomeFrom.KNOWN,
            {"recorded": 1, "answer right": 1, "answer wrong": 0, "rated right": 1, "rated wrong": 0},
            3,
        ),
    ],
)
def test_outcomes_by_source(source: OutcomeFrom, expected: dict[str, int], undecided: int):
    found = label_outcomes(TRACES, source, grade)
    assert {row.id: int(row.targets[-1, 1]) for row in found.rows.rows} == expected
    for row in found.rows.rows:
        assert np.isnan(row.targets[:-1]).all()
        assert row.targets[-1].sum() == 1
        assert row.labels == 1
    assert sum(found.undecided.values()) == found.rows.counts.rows_without_label == undecided
    assert sum(found.sources.values()) == found.rows.counts.labels == len(expected)
    assert found.rows.counts.rows == len(TRACES)


def test_an_undecided_grade_is_no_wrong_answer():
    found = label_outcomes(TRACES, OutcomeFrom.ANSWER, grade)
    assert found.rows.refused["undecidable"] == "its answer could not be graded"
    assert found.rows.refused["nothing"] == "its final answer was not found"
    assert found.rows.refused["rated right"] == "it has no reference answer"


def test_an_orm_trains_and_scores_a_traces_end(tmp_path: Path):
    rows = [
        replace(row, outcome=int(all(v is None or not v.negative for v in row.votes or ()))) for row in story_rows(80)
    ]
    folder = RunFolder(tmp_path / "run")
    given = parameters(build("orm", SMALL | {"max_steps": 6, "eval_every": 3}))
    folder.create(RunSpec(run="run-orm", name="an ORM", recipe="orm", parameters=given), rows)
    assert run_attempt(folder.path, lambda _: orm.run) == 0, ended(folder).traceback
    notices = {e.code: e for e in live_events(folder) if isinstance(e, events.Notice)}
    assert notices["labels"].counts == {"rows": 80, "labels": 80}
    assert "recorded outcome 80" in notices["labels"].message
    held_out = metrics(folder, "validation")[-1][1]
    assert held_out["n_steps"] == held_out["n_rows"] == sum(row.split is Split.VALIDATION for row in rows)
    card = (folder.model / "MODEL_CARD.md").read_text()
    assert "An outcome reward model" in card
    assert "outcome-reward-model" in card
    loaded = load_prm(str(folder.model))
    assert loaded.prm.settings.judged is Judges.OUTCOME
    scores = score_run(tmp_path / "score", folder.model, rows[:10])
    assert run_attempt(scores.path, lambda _: score.run) == 0, ended(scores).traceback
    records = {record.row: record for record in read_records(scores.records)[0]}
    assert len(records) == 10
    for row in rows[:10]:
        record = records[row.id]
        assert record.values[:-1] == (None,) * (len(row.steps) - 1)
        encoded = StepEncoder(loaded.tokenizer, "\n", 256).encode(row.problem, row.steps)
        with torch.no_grad():
            logits = loaded.prm.model(torch.from_numpy(encoded.ids)[None]).logits[0, -1]
        expected = (logits / loaded.prm.settings.temperature).softmax(-1)[1]
        assert record.values[-1] == pytest.approx(float(expected), abs=1e-5)
