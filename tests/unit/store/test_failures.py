"""Failures in the store: which traces are wrong, what is explained anew, and what the verb tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select, update

from studio import cli
from studio.store import batches, failures, projects, traces
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.failures import Wrong
from studio.workspace import Workspace
from trainer.reasoning.failures import Cause

TEXTS = (
    ("6 * 7 = 43", 0, "43"),  # a slip
    ("The answer is 1/2", 0, "1/2"),  # right by value
    ("The answer is 9", 0, "9"),
    ("6 * 7 = 43", 1, "43"),  # right: nobody asks why
    ("6 * 7 = 43", None, "43"),  # nobody knows
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Workspace.open(tmp_path / "w", create=True) as opened, opened.database.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        for line, outcome, answer in TEXTS:
            new = traces.from_steps("What?", ["We begin.", line], reference_answer="0.5")
            added = traces.add(c, new, batch_id=batch, project_id=project)
            c.execute(update(s.trace).where(s.trace.c.id == added.trace_id).values(outcome=outcome, answer=answer))
        batches.publish(c, batch, {})
    return tmp_path / "w"


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["failures", "--workspace", str(folder), "--progress", "none", *arguments])
    return code, capsys.readouterr().out


def test_the_verb_explains_once_and_tells_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(folder, capsys, "--json")
    told = json.loads(said)
    assert code == 1
    assert (told["wrong"], told["not looked at"]) == (3, 0)
    assert [(one["trace"], one["cause"]) for one in told["traces"]] == [
        (1, "slip"),
        (2, "grader wrong"),
        (3, "unknown"),
    ]
    assert told["traces"][0]["quote"] == "6 * 7 = 43"
    assert told["traces"][0]["step"] == 1
    assert {cause: count for cause, count in told["causes"].items() if count} == {
        "slip": 1,
        "grader wrong": 1,
        "unknown": 1,
    }
    assert run(folder, capsys)[1].startswith("0 wrong traces explained")
    assert run(folder, capsys, "--again")[1].startswith("3 wrong traces explained")
    assert run(folder, capsys, "--threshold", "0.2")[1].startswith("3 wrong traces explained")
    assert run(folder, capsys, "--trace", "4", "--json")[0] == 1
    with Workspace.open(folder) as opened, opened.database.read() as c:
        kept = failures.of_trace(c, 4)
    assert kept is not None
    assert kept.cause is Cause.SLIP


def test_other_steps_are_explained_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, capsys)
    with Workspace.open(folder) as opened:
        trace = opened.database.run(lambda c: traces.load(c, 1))
        steps = [(step.start, step.end) for step in trace.segmentation.steps]
        with opened.database.write() as c:
            c.execute(update(s.segmentation).where(s.segmentation.c.trace_id == 1).values(current=0))
            values = {"trace_id": 1, "version": 2, "method": "edited", "current": 1, "created_at": "now"}
            key = c.execute(s.segmentation.insert().values(**values)).inserted_primary_key
            assert key is not None
            c.execute(
                s.step.insert(),
                [{"segmentation_id": key[0], "ordinal": 0, "step_id": 9, "start": steps[0][0], "end": steps[-1][1]}],
            )
        with opened.database.read() as c:
            assert failures.wanted(c, Wrong()) == (1,)
            standing = failures.standing(c)
            assert standing.unseen == 1
            assert [one.stale for one in standing.explained] == [True, False, False]


def test_a_batch_takes_its_failures_with_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, capsys)
    with Workspace.open(folder) as opened:
        with opened.database.read() as c:
            (batch,) = c.scalars(s.batch.select().with_only_columns(s.batch.c.id)).all()
        with opened.database.write() as c:
            c.execute(update(s.batch).values(state="writing"))
        batches.remove(opened.database, batch)
        with opened.database.read() as c:
            assert c.scalars(select(i.failure.c.trace_id)).all() == []
