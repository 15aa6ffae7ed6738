"""The results table: what is stored once, which run counts, what a cell says, and the samples behind it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from studio.errors import ConflictError, NotFoundError
from studio.store import batches, evaluations, regressions, runs
from studio.store import schema as s
from studio.store.database import Database
from studio.store.evaluation_records import store_records
from studio.store.evaluation_rows import Key
from tests.unit.store.making import small
from trainer.contract.records import EvaluationRecord, record_id
from trainer.contract.specs.evaluate import Must
from trainer.reasoning.metrics import first_error_figures

SETTINGS: dict[str, Any] = {
    "suite": "gsm8k",
    "model": "tiny",
    "version": "aa",
    "strategy": "single",
    "compute": "low",
    "budget": 64,
}


def key(**other: Any) -> Key:
    return Key(**(SETTINGS | {"prm": ""} | other))


def record(row: str, sample: int, correct: bool | None, run: str = "r", **other: Any) -> EvaluationRecord:
    values = SETTINGS | {"answer": str(correct), "strict": correct, "lenient": correct, "problem": f"What is {row}?"}
    values |= {"reference": "1", "thinking_tokens": 10, "answer_tokens": 2} | other
    place = repr(sorted(f"{name}={value}" for name, value in values.items()))
    return EvaluationRecord(id=record_id(run, row + place, sample), row=row, sample=sample, correct=correct, **values)


def publish(database: Database, records: Sequence[EvaluationRecord], run: str = "r", *, shown: bool = True) -> int:
    with database.write() as c:
        known = c.exec_driver_sql("SELECT id FROM run WHERE uid = ?", (run,)).scalar()
        run_id = known or runs.prepare(c, uid=run, name=run, recipe="evaluate", device="cpu", host="h", process="p")
        batch = batches.begin(c, "ingest", source=run, format="evaluate", run_id=run_id)
        stored = store_records(c, batch, records).stored
        if shown:
            batches.publish(c, batch, {})
    return stored


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return small(tmp_path).database


def test_a_sample_is_stored_once_and_seen_when_its_batch_is_published(database: Database) -> None:
    records = [record("p0", 0, True), record("p0", 1, False)]
    assert publish(database, records, shown=False) == 2
    with database.read() as c:
        assert evaluations.cells(c) == ()
        hidden = c.exec_driver_sql("SELECT id FROM batch WHERE state = 'writing'").scalar_one()
    batches.remove(database, hidden)
    assert publish(database, records) == 2
    assert publish(database, records) == 0
    with database.read() as c:
        (cell,) = evaluations.cells(c)
    assert (cell.key, cell.problems, cell.samples, cell.runs) == (key(), 1, 2, ("r",))


def test_a_cell_says_what_its_samples_say(database: Database) -> None:
    draw = random.Random(1)
    grades = {f"p{i}": [draw.random() < 0.5 for _ in range(4)] for i in range(30)}
    groups = {row: [0 if grade else draw.randint(1, 2) for grade in some] for row, some in grades.items()}
    made = [
        record(row, i, grade, detail={"group": groups[row][i], "score": 0.9 if grade else 0.2}, truncated=i == 0)
        for row, some in grades.items()
        for i, grade in enumerate(some)
    ]
    publish(database, made)
    with database.read() as c:
        (cell,) = evaluations.cells(c, suites=["gsm8k"])
        assert evaluations.cells(c, suites=["math500"]) == ()
        assert evaluations.cell(c, key()) == cell
    shares = [np.mean(some) for some in grades.values()]
    assert cell.figure == "pass@1"
    assert cell.value.value == pytest.approx(np.mean(shares))
    assert cell.figures["pass@4"].value == pytest.approx(np.mean([any(some) for some in grades.values()]))
    assert cell.figures["best-of-4"].value == cell.figures["pass@4"].value
    assert cell.value.low < cell.value.value < cell.value.high
    assert (cell.truncated, cell.thinking_tokens, cell.undecided, cell.differ) == (0.25, 10.0, 0, 0)


def test_the_newest_run_of_a_problem_counts(database: Database) -> None:
    publish(database, [record("p0", 0, False), record("p1", 0, False)])
    publish(database, [record("p0", 0, True, "later")], "later")
    with database.read() as c:
        (cell,) = evaluations.cells(c)
        assert cell.value.value == 0.5
        assert cell.runs == ("later", "r")
        assert [one.share for one in evaluations.problems(c, cell.key)] == [1.0, 0.0]
        (alone,) = evaluations.cells(c, runs=["r"])
        assert alone.value.value == 0.0


def test_the_choice_of_a_strategy_counts_and_its_samples_stand_beside(database: Database) -> None:
    made = [record("p0", i, i == 2, strategy="majority", detail={"group": 0 if i < 2 else 1}) for i in range(3)]
    made.append(record("p0", -1, False, strategy="majority", answer="7"))
    publish(database, made)
    with database.read() as c:
        (cell,) = evaluations.cells(c)
        assert (cell.figure, cell.value.value, cell.samples) == ("majority", 0.0, 3)
        assert cell.figures["pass@1"].value == pytest.approx(1 / 3)
        (solved,) = evaluations.problems(c, cell.key)
    assert [each.number for each in solved.samples] == [-1, 0, 1, 2]
    assert solved.samples[0].answer == "7"


def test_where_the_graders_differ(database: Database) -> None:
    publish(database, [record("p0", 0, True, strict=False), record("p1", 0, True), record("p2", 0, None)])
    with database.read() as c:
        (cell,) = evaluations.cells(c)
        assert (cell.differ, cell.undecided, cell.strict, cell.lenient) == (1, 1, 0.5, 1.0)
        (solved,) = evaluations.differing(c, cell.key)
        assert (solved.row, [each.graders_differ for each in solved.samples]) == ("p0", [True])
        assert [one.share for one in evaluations.problems(c, cell.key)] == [1.0, 1.0, None]


def test_two_models_are_compared_on_the_problems_of_both(database: Database) -> None:
    publish(database, [record(f"p{i}", 0, i < 3) for i in range(6)])
    publish(database, [record(f"p{i}", 0, i < 5, "s", model="big") for i in range(1, 8)], "s")
    with database.read() as c:
        found = evaluations.compare(c, key(), key(model="big"))
        assert found.problems == 5
        assert found.difference.value == pytest.approx((4 - 2) / 5)
        with pytest.raises(NotFoundError, match="no evaluation of huge"):
            evaluations.compare(c, key(), key(model="huge"))


def test_a_curve_of_budgets(database: Database) -> None:
    made = [
        record(f"p{i}", 0, i < right, budget=budget, thinking_tokens=budget // 2, truncated=budget == 16)
        for budget, right in ((16, 1), (64, 3), (256, 4))
        for i in range(4)
    ]
    publish(database, made)
    with database.read() as c:
        curve = evaluations.budget_curve(c, key())
    assert [(p.budget, p.thinking_tokens, p.accuracy.value, p.truncated) for p in curve] == [
        (16, 8.0, 0.25, 1.0),
        (64, 32.0, 0.75, 0.0),
        (256, 128.0, 1.0, 0.0),
    ]


def test_process_bench_cells_hold_its_f1(database: Database) -> None:
    draw = random.Random(8)
    rows = [(draw.choice([-1, 0, 2]), draw.choice([-1, 0, 2]), draw.choice(["gsm8k", "math"])) for _ in range(60)]
    publish(
        database,
        [
            record(f"p{i}", 0, guess == label, suite="processbench",
                   detail={"predicted": guess, "labelled": label, "subset": subset})
            for i, (guess, label, subset) in enumerate(rows)
        ],
    )  # fmt: skip
    with database.read() as c:
        (cell,) = evaluations.cells(c)
    subsets = [[row for row in rows if row[2] == name] for name in ("gsm8k", "math")]
    f1s = [first_error_figures([row[0] for row in some], [row[1] for row in some]).f1 for some in subsets]
    assert cell.figure == "F1"
    assert cell.value.value == pytest.approx(sum(f1s) / 2)


def test_prm_bench_cells_hold_the_prm_score(database: Database) -> None:
    details = [("1101", "1100", True), ("0011", "00-1", True), ("1111", "0000", False)]
    publish(
        database,
        [
            record(f"p{i}", 0, None, suite="prmbench",
                   detail={"truth": truth, "called": called, "counts": counts, "category": "x"})
            for i, (truth, called, counts) in enumerate(details)
        ],
    )  # fmt: skip
    with database.read() as c:
        (cell,) = evaluations.cells(c)
    right, wrong, missed = 2 + 1, 1 + 2, 1  # of the two rows that count
    expected = (2 * right / (2 * right + missed) + 2 * wrong / (2 * wrong + missed)) / 2
    assert cell.figure == "PRMScore"
    assert cell.value.value == pytest.approx(expected)


def test_grids_count_within_two_tries(database: Database) -> None:
    publish(database, [record("g0", i, i == 1, suite="arc") for i in range(2)])
    with database.read() as c:
        (cell,) = evaluations.cells(c)
    assert (cell.figure, cell.value.value) == ("pass@2", 1.0)


def test_cells_of_the_same_settings_differ_by_model_version_and_budget(database: Database) -> None:
    publish(database, [record("p0", 0, True), record("p0", 0, True, version="bb"), record("p0", 0, True, budget=None)])
    with database.read() as c:
        keys = {cell.key for cell in evaluations.cells(c)}
        assert keys == {key(), key(version="bb"), key(budget=None)}
        assert evaluations.cell(c, key(budget=None)).problems == 1


def test_samples_open_their_traces(tmp_path: Path) -> None:
    seat = small(tmp_path)
    with seat.database.read() as c:
        uid = c.exec_driver_sql("SELECT uid FROM trace WHERE id = ?", (seat.traces[0],)).scalar_one()
    publish(seat.database, [record("p0", 0, True, trace=uid), record("p1", 0, True, trace="f" * 32)])
    with seat.database.read() as c:
        one, other = (solved.samples[0] for solved in evaluations.problems(c, key()))
    assert (one.trace_id, one.trace_uid) == (seat.traces[0], uid)
    assert (other.trace_id, other.trace_uid) == (None, "")


def test_records_say_the_same_after_a_round_trip() -> None:
    made = record("p0", 3, None, detail={"group": 2, "score": 0.5}, prm="judge")
    assert msgspec.json.decode(msgspec.json.encode(made), type=EvaluationRecord) == made


def test_a_failing_prefix_becomes_a_test_that_can_be_retired(tmp_path: Path) -> None:
    seat = small(tmp_path)
    with seat.database.write() as c:
        text = c.exec_driver_sql("SELECT text FROM trace WHERE id = ?", (seat.traces[0],)).scalar_one()
        start = text.index("0 is 2.")
        made = regressions.add_from_trace(c, seat.traces[0], start, start + 7, must=Must.ABSENT, note="wrong sum")
        assert (made.prefix, made.span, made.name) == (text[:start], "0 is 2.", "0 is 2.")
        assert (made.problem, made.trace_id, made.must) == ("What is 0+1?", seat.traces[0], Must.ABSENT)
        assert regressions.of_trace(c, seat.traces[0]) == regressions.all_regressions(c) == (made,)
        regressions.retire(c, made.id)
        assert regressions.all_regressions(c) == ()
        assert regressions.all_regressions(c, retired=True) == (replace(made, retired=True),)
        with pytest.raises(ConflictError, match="no reference answer"):
            regressions.add_from_trace(c, seat.traces[0], start, start + 7, must=Must.ANSWER)
        with pytest.raises(ConflictError, match="select the step"):
            regressions.add_from_trace(c, seat.traces[0], start, len(text) + 1, must=Must.ABSENT)
        with pytest.raises(NotFoundError, match="no trace 99999"):
            regressions.add_from_trace(c, 99999, 0, 1, must=Must.ABSENT)
        talk = [{"trace_id": seat.traces[0], "ordinal": n, "role": role, "blocks": []} for n, role in enumerate("ua")]
        c.execute(s.message.delete().where(s.message.c.trace_id == seat.traces[0]))
        c.execute(s.message.insert(), talk)
        with pytest.raises(ConflictError, match="is a conversation"):
            regressions.add_from_trace(c, seat.traces[0], start, start + 7, must=Must.ABSENT)
        with pytest.raises(NotFoundError):
            regressions.retire(c, 99)
