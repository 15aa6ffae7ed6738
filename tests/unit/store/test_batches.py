"""Batches: unseen until published, removed with all their rows, and what a killed process left is cleaned."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from studio.errors import ConflictError, NotFoundError
from studio.store import annotations, batches, find, projects, traces
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.database import Database
from studio.workspace import Workspace
from tests.unit.store.making import small
from trainer.contract.records import Rating


def sizes(database: Database) -> dict[str, int]:
    """Rows of every table but those that only grow."""
    with database.read() as c:
        tables = [table for table in s.metadata.sorted_tables if table.name not in ("history", "annotator")]
        return {table.name: c.scalar(select(func.count()).select_from(table)) or 0 for table in tables}


def write_batch(database: Database, project_id: int, wanted: int = 30) -> int:
    """An unpublished batch with everything in it that an import and an ingest write."""
    with database.write() as c:
        batch = batches.begin(c, "import", project_id, "rows.jsonl", "prm800k", "abc")
        ada = projects.ensure_annotator(c, "labeler", uid="f" * 32, origin="imported")
        scorer = c.execute(s.scorer.insert().values(name="m", version="1")).inserted_primary_key
        c.execute(s.log.insert().values(uid="log", batch_id=batch, path="x"))
        for n in range(wanted):
            made = traces.add(c, traces.from_steps(f"zebra {n}", ["a", "b"]), batch_id=batch, project_id=project_id)
            on = {"trace_id": made.trace_id, "segmentation_id": made.segmentation_id, "batch_id": batch}
            row = {"uid": f"a{n}", "project_id": project_id, "annotator_id": ada.id, "state": "submitted"}
            key = c.execute(s.annotation.insert().values(**on, **row)).inserted_primary_key
            assert key is not None
            assert scorer is not None
            c.execute(s.rating.insert().values(annotation_id=key[0], ordinal=0, option=0, value=1))
            option = {"trace_id": made.trace_id, "annotation_id": key[0], "ordinal": 1, "option": 1}
            c.execute(s.candidate.insert().values(**option, text="t", source="model"))
            c.execute(s.score.insert().values(**on, record=f"s{n}", scorer_id=scorer[0], data=b""))
            c.execute(i.raw_record.insert().values(batch_id=batch, line=n, codec="raw", data=b"{}"))
    return batch


def test_removing_a_batch_leaves_no_row_and_no_word(tmp_path: Path) -> None:
    here = small(tmp_path)
    before = sizes(here.database)
    batch = write_batch(here.database, here.project.id)
    told: list[int] = []
    assert batches.remove(here.database, batch, told.append)
    after = sizes(here.database)
    assert after | {"scorer": 0} == before
    assert told == sorted(told)
    assert told[-1] > 100
    with here.database.read() as c:
        assert c.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert c.scalars(find.matching("zebra")).all() == []
        with pytest.raises(NotFoundError):
            batches.remove(here.database, batch)
    here.database.close()


def test_nothing_of_an_unpublished_batch_is_seen(tmp_path: Path) -> None:
    here = small(tmp_path)
    batch = write_batch(here.database, here.project.id)
    with here.database.read() as c:
        assert [person.name for person in projects.annotators(c)] == ["Ada", "Bob"]
        assert projects.get(c, here.project.id).traces == 3
        assert batches.published(c, "abc") is None
    here.database.run(lambda c: batches.publish(c, batch, {"rows": 30}))
    with here.database.read() as c:
        assert [person.name for person in projects.annotators(c)] == ["Ada", "Bob", "labeler"]
        assert projects.get(c, here.project.id).traces == 33
        assert batches.published(c, "abc", here.project.id) == batch
        assert batches.published(c, "abc", here.project.id + 1) is None
    here.database.close()


def test_a_published_batch_stays(tmp_path: Path) -> None:
    here = small(tmp_path)
    with pytest.raises(ConflictError, match="published"):
        batches.remove(here.database, 1)
    with pytest.raises(ConflictError, match="cannot be published"):
        here.database.run(lambda c: batches.publish(c, 1, {}))
    here.database.close()


def test_a_problem_that_others_use_stays(tmp_path: Path) -> None:
    here = small(tmp_path)
    with here.database.write() as c:
        batch = batches.begin(c, "import")
        traces.add(c, traces.from_steps("What is 0+1?", ["1"]), batch_id=batch)
    batches.remove(here.database, batch)
    with here.database.read() as c:
        assert traces.load(c, here.traces[0]).problem.prompt == "What is 0+1?"
    here.database.close()


def test_a_stopped_removal_goes_on_later(tmp_path: Path) -> None:
    here = small(tmp_path)
    before = sizes(here.database)
    batch = write_batch(here.database, here.project.id)
    asked: list[int] = []
    assert not batches.remove(here.database, batch, stop=lambda: len(asked) > 3 or asked.append(1) is not None)
    with here.database.read() as c:
        assert c.scalar(select(s.batch.c.state).where(s.batch.c.id == batch)) == "removing"
    assert batches.remove(here.database, batch)
    assert sizes(here.database) | {"scorer": 0} == before
    here.database.close()


CHILD = """
import sys, os, signal
from pathlib import Path
from studio.workspace import Workspace
from tests.unit.store.test_batches import write_batch
w = Workspace.open(Path(sys.argv[1]), create=True)
from studio.store import projects
p = w.database.run(lambda c: projects.create(c, "A"))
write_batch(w.database, p.id)
print("written", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_opening_a_workspace_cleans_what_a_killed_import_left(tmp_path: Path) -> None:
    child = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "w")], capture_output=True, text=True)
    assert child.stdout == "written\n", child.stderr
    with Workspace.open(tmp_path / "w") as workspace:
        assert workspace._cleaner is not None
        workspace._cleaner.join()
        assert sizes(workspace.database)["trace"] == 0
        assert sizes(workspace.database)["batch"] == 0
    with Workspace.open(tmp_path / "w") as workspace:
        assert workspace._cleaner is None


def test_the_work_of_a_living_process_or_another_machine_is_left_alone(tmp_path: Path) -> None:
    here = small(tmp_path)
    batch = write_batch(here.database, here.project.id)
    assert batches.abandoned(here.database) == ()
    boot, pid, created = batches.this_process().split(":")
    assert int(pid) == os.getpid()
    for process in (f"{boot}:{pid}:{float(created) - 60}", f"other:{pid}:{created}", f"{boot}:0:{created}", ""):
        with here.database.write() as c:
            c.execute(update(s.batch).where(s.batch.c.id == batch).values(process=process))
        assert batches.abandoned(here.database) == (batch,), process
    with here.database.write() as c:
        c.execute(update(s.batch).where(s.batch.c.id == batch).values(host="elsewhere"))
    assert batches.abandoned(here.database) == ()
    here.database.close()


def test_people_can_work_while_a_batch_is_removed(tmp_path: Path) -> None:
    here = small(tmp_path)
    batch = write_batch(here.database, here.project.id, 300)

    def rate(_: int) -> None:
        here.database.submit(lambda c: annotations.set_comment(c, here.work(), os.urandom(4).hex())).result(timeout=120)

    assert batches.remove(here.database, batch, rate)
    with here.database.read() as c:
        assert annotations.current(c, here.work()) is not None
    here.database.run(lambda c: annotations.rate(c, here.work(), 0, Rating.POSITIVE))
    here.database.close()
