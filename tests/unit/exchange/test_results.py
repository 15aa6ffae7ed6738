"""The results table as text: runs with other settings stand apart and say so; grids by input and by task."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from studio.exchange import results
from studio.exchange.result_names import UNKNOWN, labels
from studio.exchange.suites import drawn, read_suite
from studio.store import batches, evaluations, runs
from studio.store.database import Database
from studio.store.evaluation_records import store_records
from studio.store.evaluations import Cell
from tests.unit.store.making import small
from tests.unit.store.test_evaluations import record
from trainer.contract.records import EvaluationRecord, InputRow
from trainer.contract.spec import build, parameters
from trainer.contract.specs.evaluate import Suite
from trainer.reasoning import grids
from trainer.reasoning.response import read_response
from trainer.suites.arc import Arc
from trainer.suites.values import Answered

BY_HAND = {"compute": "by hand"}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return small(tmp_path).database


def put(
    database: Database, uid: str, records: Sequence[EvaluationRecord], models: Sequence[Any] = (), **settings: Any
) -> None:
    """A run with these settings, and its records."""
    spec = {"parameters": parameters(build("evaluate", settings)), "models": list(models)}
    with database.write() as c:
        run_id = runs.prepare(c, uid=uid, name=uid, recipe="evaluate", device="cpu", host="h", process="p")
        runs.enqueue(c, run_id, spec)
        batch = batches.begin(c, "ingest", source=uid, format="evaluate", run_id=run_id)
        store_records(c, batch, records)
        batches.publish(c, batch, {})


def once(uid: str, right: int, **settings: Any) -> list[EvaluationRecord]:
    """Ten problems, so many of them right."""
    return [record(f"p{n}", 0, n < right, uid, **{**BY_HAND, **settings}) for n in range(10)]


def cells(database: Database) -> tuple[Cell, ...]:
    with database.read() as c:
        return evaluations.cells(c)


def figures(found: results.Table) -> dict[tuple[str, str], float]:
    """What stands at each place that is filled."""
    return {
        (row, column.name): cell.value.value
        for row, line in zip(found.rows, found.cells, strict=True)
        for column, cell in zip(found.columns, line, strict=True)
        if cell
    }


def test_runs_that_differ_in_one_setting_stand_apart_and_say_in_which(database: Database) -> None:
    put(database, "a", once("a", 2), temperature=0.0)
    put(database, "b", once("b", 5), temperature=0.7, n=4)
    put(database, "c", once("c", 6), temperature=1.0, n=4)
    put(database, "d", once("d", 7), temperature=1.0, n=4, max_answer_tokens=99)
    put(database, "e", once("e", 8, model="large"), temperature=0.0)
    put(database, "again", once("again", 3), temperature=0.0, seed=9, most_problems=10)
    found = cells(database)
    assert len({cell.key for cell in found}) == len(found) == 5
    row, other = "tiny · aa", "large · aa"
    assert figures(results.table(found)) == {
        (row, "GSM8K, n 1, T 0, answer ≤ 256"): 0.3,  # a repetition: the newest counts
        (other, "GSM8K, n 1, T 0, answer ≤ 256"): 0.8,
        (row, "GSM8K, n 4, T 0.7, answer ≤ 256"): 0.5,
        (row, "GSM8K, n 4, T 1, answer ≤ 256"): 0.6,
        (row, "GSM8K, n 4, T 1, answer ≤ 99"): 0.7,
    }
    shown = results.markdown(found)
    assert "| GSM8K, n 4, T 0.7, answer ≤ 256 |" in shown
    assert "- GSM8K, n 4, T 0.7, answer ≤ 256: pass@1 over 10 problems; n 4, thinking ≤ 64, T 0.7, top-p 0.95" in shown
    lines = list(csv.DictReader(io.StringIO(results.as_csv(found))))
    assert {(line["n"], line["temperature"], line["max_answer_tokens"], line["value"]) for line in lines} == {
        ("1", "0.0", "256", "0.3"), ("1", "0.0", "256", "0.8"), ("4", "0.7", "256", "0.5"), ("4", "1.0", "256", "0.6"),
        ("4", "1.0", "99", "0.7"),
    }  # fmt: skip


def test_what_is_alike_is_not_said(database: Database) -> None:
    put(database, "a", once("a", 2, compute="low"), temperature=1.0, compute="low")
    put(database, "b", once("b", 4, compute="high"), temperature=1.0, compute="high")
    assert [column.name for column in results.table(cells(database)).columns] == [
        "GSM8K, low compute", "GSM8K, high compute",
    ]  # fmt: skip


def test_runs_with_other_caps_stand_apart_but_those_of_one_run_are_a_curve(database: Database) -> None:
    put(database, "a", [each for cap in (16, 64) for each in once("a", cap // 16, budget=cap)], budgets="16,64")
    put(database, "b", once("b", 9, budget=1024))
    found = cells(database)
    assert figures(results.table(found)) == {
        ("tiny · aa", "GSM8K, thinking ≤ 64"): 0.4,
        ("tiny · aa", "GSM8K, thinking ≤ 1,024"): 0.9,
    }
    named = labels([cell.key for cell in found], caps=False)
    assert len(set(named.values())) == 1, "in a curve the cap is the way along"


def test_judges_of_one_name_and_ways_to_ask_them_stand_apart(database: Database) -> None:
    chosen = {"strategy": "best-of-n", "prm": "judge"}

    def best(uid: str, right: int) -> list[EvaluationRecord]:
        return [
            record(f"p{n}", place, n < right, uid, **{**BY_HAND, **chosen}, detail={"group": 0, "score": 0.5})
            for n in range(4)
            for place in (0, 1, -1)
        ]

    settings = {"strategy": "best-of-n", "prm": "x", "n": 2, "temperature": 1.0}
    for uid, right, checksum, how in (("a", 1, "a" * 64, "min"), ("b", 2, "b" * 64, "min"), ("c", 3, "b" * 64, "last")):
        put(database, uid, best(uid, right), [{"role": "prm", "checksum": checksum}], aggregation=how, **settings)
    assert figures(results.table(cells(database))) == {
        ("tiny · aa · best-of-n by judge · by min, PRM aaaaaa", "GSM8K"): 0.25,
        ("tiny · aa · best-of-n by judge · by min, PRM bbbbbb", "GSM8K"): 0.5,
        ("tiny · aa · best-of-n by judge · by last, PRM bbbbbb", "GSM8K"): 0.75,
    }


def test_a_run_that_is_not_known_is_no_repetition_of_one_that_is(database: Database) -> None:
    with database.write() as c:
        batch = batches.begin(c, "ingest", format="evaluate")
        store_records(c, batch, once("gone", 1))
        batches.publish(c, batch, {})
    put(database, "a", once("a", 2))
    names = sorted(column.name for column in results.table(cells(database)).columns)
    assert names == ["GSM8K, n 1, T 0, answer ≤ 256", f"GSM8K, {UNKNOWN}"]


# -- grids ------------------------------------------------------------------------------------------------------------


def tries(row: InputRow, place: int) -> list[Any]:
    """Two grids that somebody might answer with: right ones now and then, in either try."""
    right = json.loads(json.dumps(row.extra["output"]))
    wrong = [[(cell + 1) % 10 for cell in line] for line in right]
    return {0: [right, wrong], 1: [wrong, right], 2: [wrong, wrong], 3: [right, right]}[place % 4]


def published(tasks: Sequence[Mapping[str, Any]], answers: Mapping[tuple[str, int], list[Any]]) -> tuple[float, ...]:
    """Written out from the rules: by test input, tasks with every input right, and the mean over tasks."""
    by_input, whole, shares = [], [], []
    for task in tasks:
        hits = [pair["output"] in answers[task["id"], n] for n, pair in enumerate(task["test"])]
        by_input += hits
        whole.append(all(hits))
        shares.append(sum(hits) / len(hits))
    return sum(by_input) / len(by_input), sum(whole) / len(whole), sum(shares) / len(shares)


@pytest.mark.needs_data
def test_grids_are_counted_by_test_input_and_by_task(database: Database, data_dir: Path) -> None:
    path = data_dir / "arc" / "arc_agi_1_training.jsonl"
    tasks = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows = read_suite(Suite.ARC, [path])
    assert len(rows) == sum(len(task["test"]) for task in tasks) > len(tasks) == 400
    answers: dict[tuple[str, int], list[Any]] = {}
    made = []
    for place, row in enumerate(rows):
        task, number = str(row.extra["task"]), int(row.id.split(":")[1].rpartition("/")[2])
        answers[task, number] = tries(row, place)
        for sample, grid in enumerate(answers[task, number]):
            response = read_response(f"I turned it.\n\n{grids.as_text(grids.grid(grid))}")
            answer = Arc().read(row, response)
            (graded,) = Arc().grade([Answered(row, response, answer)], lambda: None)
            made.append(
                record(row.id, sample, graded.correct, "a", **BY_HAND, suite="arc", detail=graded.detail, answer=answer)
            )
    put(database, "a", made, suite="arc", n=2, temperature=1.0)
    (cell,) = cells(database)
    by_input, whole, shares = published(tasks, answers)
    assert whole < shares, "there are tasks of which one input alone is right"
    assert cell.figure == "pass@2"
    assert (cell.problems, cell.value.value) == (len(rows), pytest.approx(by_input))
    solved, mean = cell.figures[evaluations.TASKS_SOLVED], cell.figures[evaluations.TASKS_SHARE]
    assert (solved.groups, solved.value, mean.value) == (400, pytest.approx(whole), pytest.approx(shares))
    assert solved.low < solved.value < solved.high
    assert f"tasks {100 * whole:.1f}" in results.words(cell)


def test_a_task_of_which_an_input_is_missing_or_undecided_is_not_counted(database: Database) -> None:
    def row(task: str, number: int, grade: bool | None) -> EvaluationRecord:
        return record(f"{task}/{number}", 0, grade, "a", **BY_HAND, suite="arc", detail={"task": task, "inputs": 2})

    put(database, "a", [row("x", 0, True), row("x", 1, True), row("y", 0, True), row("z", 0, True), row("z", 1, None)])
    (cell,) = cells(database)
    solved = cell.figures[evaluations.TASKS_SOLVED]
    assert (solved.groups, solved.value) == (1, 1.0)


@pytest.mark.needs_data
def test_tasks_are_drawn_whole(data_dir: Path) -> None:
    rows = read_suite(Suite.ARC, [data_dir / "arc" / "arc_agi_1_training.jsonl"])
    some, more = drawn(rows, 40, 7), drawn(rows, 60, 7)
    assert len({row.extra["task"] for row in some}) == 40
    for task in {row.extra["task"] for row in some}:
        inputs = [row for row in some if row.extra["task"] == task]
        assert len(inputs) == inputs[0].extra["inputs"]
    assert {row.id for row in some} < {row.id for row in more}


# -- PRMBench ---------------------------------------------------------------------------------------------------------


def bench_line(**other: Any) -> dict[str, Any]:
    """A line as the published file has it; its own texts over these."""
    return {
        "original_question": "What is 1 + 1?", "modified_question": "What is 1 + 1, roughly?",
        "original_process": ["One and one.", "That is 2."],
        "modified_process": ["One and one.", "Again.", "That is 3."],
        "modified_steps": [2, 3], "error_steps": [3], "reason": "Step 3 is wrong.", "idx": "prm_test_p1_0",
        "question": "What is  1 + 1?", "classification": "confidence", **other,
    }  # fmt: skip


def test_lines_of_prm_bench_are_read_as_its_own_evaluation_reads_them(tmp_path: Path) -> None:
    lines = [
        bench_line(),
        bench_line(reason="the same class and name: the first counts", error_steps=[1]),
        bench_line(classification="redundency", error_steps=[2, 7]),
        bench_line(classification="multi_solutions", error_steps=[]),
    ]
    path = tmp_path / "prm.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read_suite(Suite.PRMBENCH, [path])
    assert [(row.extra["category"], row.extra["wrong"], len(row.steps)) for row in rows] == [
        ("confidence", [2], 3), ("correct", [], 2), ("redundency", [1], 3), ("multi_solutions", [], 3),
    ]  # fmt: skip
    assert [row.problem for row in rows[:2]] == ["What is 1 + 1, roughly?", "What is 1 + 1?"]
    assert rows[0].id.startswith("prmbench:confidence_prm_test_p1_0:")


def confusion(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """F1 of the right and of the wrong steps from precision and recall."""
    count = {both: pairs.count(both) for both in (("1", "1"), ("1", "0"), ("0", "1"), ("0", "0"))}
    found = []
    for mine, other in (("1", "0"), ("0", "1")):
        hit, missed, taken = count[mine, mine], count[mine, other], count[other, mine]
        precision, recall = hit / (hit + taken), hit / (hit + missed)
        found.append(2 * precision * recall / (precision + recall))
    return found[0], found[1]


def test_the_columns_of_prm_bench(database: Database) -> None:
    said = {
        "redundency": [("1101", "1100"), ("0111", "0101")], "circular": [("1011", "1011"), ("1100", "1000")],
        "deception": [("110", "101"), ("011", "010")], "missing_condition": [("1101", "0101"), ("10", "10")],
        "multi_solutions": [("1111", "1011")], "correct": [("1111", "1110")],
    }  # fmt: skip
    made = [
        record(
            f"{name}{place}", 0, truth == called, "a", **BY_HAND, suite="prmbench", budget=None,
            detail={"truth": truth, "called": called, "category": name, "counts": name != "correct"},
        )
        for name, some in said.items()
        for place, (truth, called) in enumerate(some)
    ]  # fmt: skip
    put(database, "a", made, suite="prmbench")
    (cell,) = cells(database)
    pairs = {name: [pair for row in some for pair in zip(*row, strict=True)] for name, some in said.items()}
    whole = confusion([pair for name, some in pairs.items() if name != "correct" for pair in some])
    score = {
        name: sum(confusion(some)) / 2 for name, some in pairs.items() if name not in ("multi_solutions", "correct")
    }
    score["multi_solutions"] = 2 * 3 / (2 * 3 + 1)  # no step is wrong: the F1 of the right ones
    assert cell.value.value == pytest.approx(0.5 * whole[0] + 0.5 * whole[1])
    found = {name: each.value for name, each in cell.figures.items()}
    assert found == pytest.approx(
        {
            "NR": score["redundency"], "NCL": score["circular"], "DR": score["deception"],
            "PS": score["missing_condition"], "MS": score["multi_solutions"],
            "simplicity": (score["redundency"] + score["circular"]) / 2,
            "sensitivity": (score["missing_condition"] + score["deception"] + score["multi_solutions"]) / 3,
            "F1": whole[0], "F1 of wrong steps": whole[1], "unchanged steps called right": 0.75,
        }
    )  # fmt: skip
