"""Machine labels and traces that runs made come into the store exactly once, apart from ratings, with their lineage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from studio.cli import main
from studio.errors import CancelledError
from studio.jobs import checks
from studio.jobs.ingest import Ingested, ingest
from studio.jobs.prepare import checked, create_run
from studio.jobs.values import RunOrder
from studio.store import machine_labels, projects, rows, run_traces, runs, schema, searches, traces
from studio.store.rows import Origin, Selection
from studio.store.runs import StoredState
from studio.store.traces import TraceQuery
from studio.workspace import Workspace
from tests.unit.jobs.making import stories
from tests.unit.store.searches_made import NODES, search_record, traces_of
from trainer.contract.records import (
    Block,
    BlockKind,
    InputRow,
    MachineLabelRecord,
    Message,
    Record,
    ScoreRecord,
    ScorerRef,
    Split,
    Step,
    TraceRecord,
    Votes,
    record_id,
)
from trainer.contract.run_folder import RunFolder

TEXT = "<think>\n1 + 1 = 2\n2 + 2 = 4\n</think>\nAnswer: 4"


def ended_run(workspace: Workspace, name: str, make: Callable[[InputRow, str], list[Record]]) -> str:
    """An autolabel run that has ended, with what `make` says of each row."""
    uid = create_run(workspace, RunOrder("autolabel", {}, Selection(limit=6), name=name))
    with workspace.database.write() as c:
        run = runs.by_uid(c, uid)
        attempt = runs.claim(c, run.id)
        assert attempt is not None
        runs.settle(c, run.id, attempt, StoredState.CANCELLED)
    folder = RunFolder(workspace.runs / uid)
    with folder.records.open("wb") as out:
        for row in folder.read_input():
            for record in make(row, uid):
                out.write((msgspec.json.encode(record) + b"\n") * 2)
    return uid


def labels(row: InputRow, uid: str) -> list[Record]:
    """The rule, which says nothing of the first step, and rollouts."""
    rest = len(row.steps) - 1
    said = (("rule", "1", (None, *(1.0,) * rest)), ("rollouts n=8 soft", "abc", (0.25, *(0.5,) * rest)))
    return [
        MachineLabelRecord(
            id=record_id(uid, row.id, index),
            row=row.id,
            trace=row.trace,
            segmentation=row.segmentation,
            method=method,
            version=version,
            values=values,
        )
        for index, (method, version, values) in enumerate(said)
    ]


def written(row: InputRow, uid: str) -> list[Record]:
    """A trace that thinks in two steps."""
    return [
        TraceRecord(
            id=record_id(uid, row.id, 0),
            row=row.id,
            problem=row.problem,
            reference=row.reference,
            text=TEXT,
            messages=(Message("assistant", (Block(BlockKind.THINKING, 8, 28), Block(BlockKind.ANSWER, 37, 46))),),
            steps=(Step(1, 8, 17), Step(2, 18, 27)),
            model="my policy",
            outcome=1,
        )
    ]


def count(workspace: Workspace, table: str) -> int:
    with workspace.database.read() as c:
        return int(c.execute(text(f"select count(*) from {table}")).scalar_one())


def test_machine_labels_come_in_once_and_are_no_ratings(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        ratings = count(workspace, "rating")
        uid = ended_run(workspace, "by machine", labels)
        assert ingest(workspace, uid) == Ingested(stored=12, known=12)
        assert ingest(workspace, uid).elsewhere
        with workspace.database.read() as c:
            said = machine_labels.methods(c)
            trace_id = int(c.execute(text("select min(trace_id) from machine_label")).scalar_one())
            steps = len(traces.load(c, trace_id).segmentation.steps)
            rule, rollouts = machine_labels.of_trace(c, trace_id)
        assert [(each.method, each.version, each.traces) for each in said] == [
            ("rollouts n=8 soft", "abc", 6),
            ("rule", "1", 6),
        ]
        assert rule.values == (None, *(1.0,) * (steps - 1))
        assert rollouts.values == (0.25, *(0.5,) * (steps - 1))
        assert count(workspace, "rating") == ratings


def test_traces_of_a_run_stand_in_its_project_with_the_problem_they_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stories(tmp_path) as workspace:
        problems = count(workspace, "problem")
        for number in range(2):  # two runs of one name
            uid = ended_run(workspace, "better", written)
            assert ingest(workspace, uid) == Ingested(stored=6, known=6)
            title = "Run: better" if number == 0 else "Run: better (2)"
            with workspace.database.read() as c:
                project = projects.by_name(c, title)
                assert project is not None
                assert project.traces == 6
                found = traces.rows(c, TraceQuery(project=project.id), limit=10)
                one = traces.load(c, found[0].id)
                row = next(rows.stream(c, Selection(traces=(one.uid,), labelled=False, responses=True)))
                asked = projects.all_projects(c)[0]
                assert run_traces.domains_of(c, one.id) == (asked.name,), "of the kind of its problem, not of the run"
            assert (one.model, one.answer, one.outcome, one.text) == ("my policy", "4", 1, TEXT)
            assert [block.kind for block in one.messages[0].blocks] == [BlockKind.THINKING, BlockKind.ANSWER]
            assert (row.steps, row.response) == (("1 + 1 = 2", "2 + 2 = 4"), TEXT)
            with workspace.database.read() as c:
                made = rows.count(c, Selection(origins=(Origin.HERE,), labelled=False))
            assert made.rows == 6 * (number + 1), "what runs wrote was written here"
        assert count(workspace, "problem") == problems, "they answer problems that were here"
        with workspace.database.write() as c:
            c.execute(schema.project_trace.delete().where(schema.project_trace.c.project_id == asked.id))
            assert run_traces.domains_of(c, one.id) == (), "nobody says what kind of problem it is"
    assert main(["traces", "--workspace", str(workspace.path), "--project", "Run: better"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_a_cancelled_ingest_of_traces_leaves_no_project(tmp_path: Path) -> None:
    def cancel(phase: str, _done: int, _total: int) -> None:
        raise CancelledError("cancelled")

    with stories(tmp_path) as workspace:
        before = count(workspace, "trace"), count(workspace, "project")
        uid = ended_run(workspace, "better", written)
        with pytest.raises(CancelledError):
            ingest(workspace, uid, cancel)
        assert (count(workspace, "trace"), count(workspace, "project")) == before
        assert ingest(workspace, uid).stored == 6
        assert (count(workspace, "trace"), count(workspace, "project")) == (before[0] + 6, before[1] + 1)


def test_a_resumed_run_adds_to_its_project(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        uid = ended_run(workspace, "better", written)
        assert ingest(workspace, uid).stored == 6
        with workspace.database.write() as c:
            run = runs.by_uid(c, uid)
            runs.requeue(c, run.id)
            attempt = runs.claim(c, run.id)
            assert attempt == 2
            runs.settle(c, run.id, attempt, StoredState.CANCELLED)
        folder = RunFolder(workspace.path / run.folder)
        more = msgspec.structs.replace(written(next(folder.read_input()), uid)[0], id=record_id(uid, "more", 0))
        with folder.records.open("ab") as out:
            out.write(msgspec.json.encode(more) + b"\n")
        assert ingest(workspace, uid) == Ingested(stored=1, known=12)
        with workspace.database.read() as c:
            (project,) = [each for each in projects.all_projects(c) if each.name.startswith("Run: ")]
        assert project.traces == 7


def test_a_prm_learns_from_machine_labels_where_nobody_rated(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        assert ingest(workspace, ended_run(workspace, "by machine", labels)).stored == 12
        with workspace.database.write() as c:
            c.execute(text("update annotation set state = 'void' where trace_id > 1"))
        plain, chosen = Selection(), Selection(machine="rollouts n=8 soft")
        with workspace.database.read() as c:
            assert rows.count(c, plain).rows == 1
            counts, found = rows.count(c, chosen), list(rows.stream(c, chosen))
            by_people = next(rows.stream(c, plain))
        assert counts.rows == len(found) == 6
        assert found[0] == by_people, "what people said stands"
        for row in found[1:]:
            assert row.votes == (Votes(0.75, 0.0, 0.25), *(Votes(0.5, 0.0, 0.5),) * (len(row.steps) - 1))
        said = [vote for row in found for vote in row.votes or () if vote is not None]
        assert counts.negative == pytest.approx(sum(vote.negative for vote in said))
        assert counts.positive == pytest.approx(sum(vote.positive for vote in said))
        assert sum(counts.by_machine.values()) == 5
        held_out = sum(row.split is not Split.TRAIN for row in found[1:])
        warned = checks.warnings(checked(RunOrder("prm", selection=chosen)), counts)
        assert bool(warned) == bool(held_out)
        assert checked(RunOrder("sft", selection=chosen)).selection.machine == "", "a rule teaches no policy"


def searched(row: InputRow, uid: str) -> list[Record]:
    """A search with two finished traces, their scores, and the search itself behind them."""
    made = [
        msgspec.structs.replace(one, id=record_id(uid, row.id, place + 1), row=row.id, problem=row.problem)
        for place, one in enumerate(traces_of(NODES, "x"))
    ]
    scored = [
        ScoreRecord(
            id=record_id(uid, one.id, 0), row=row.id, trace=one.id, segmentation=1,
            scorer=ScorerRef(name="prm", version="v"), values=(0.5,) * len(one.steps),
        )
        for one in made
    ]  # fmt: skip
    whole = search_record(NODES, made, "x")
    whole = msgspec.structs.replace(whole, id=record_id(uid, row.id, 0), row=row.id, problem=row.problem)
    return [*made, *scored, whole]


def test_searches_come_in_with_their_traces_and_scores(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        uid = ended_run(workspace, "by search", searched)
        assert ingest(workspace, uid) == Ingested(stored=30, known=30)
        with workspace.database.read() as c:
            found = searches.of_run(c, runs.by_uid(c, uid).id)
            assert len(found) == 6
            read = searches.read(c, found[0].id)
            assert read.nodes == NODES
            assert None not in read.trace_ids
            assert searches.of_problem(c, found[0].problem_id or 0) == (found[0],)
            assert count(workspace, "score") == 12
