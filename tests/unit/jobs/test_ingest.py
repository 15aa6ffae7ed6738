"""What a run made comes in exactly once: killed half-way, by two at once, after a resume; broken files are told."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from studio.errors import CancelledError, RunError
from studio.jobs import children
from studio.jobs.ingest import Ingested, ingest
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import batches, runs, traces
from studio.store.rows import Selection
from studio.store.runs import StoredState
from studio.workspace import Workspace
from tests.unit.jobs.making import stories
from trainer.contract.records import ScoreRecord, ScorerRef, record_id
from trainer.contract.run_folder import RunFolder

KILLED_HALF_WAY = """
import os, signal, sys
from pathlib import Path
from studio.jobs import ingest
from studio.store import scores
from studio.workspace import Workspace

store = scores.store_records

def store_then_die(c, batch, records):
    if c.exec_driver_sql("SELECT count(*) FROM score").scalar_one():
        os.kill(os.getpid(), signal.SIGKILL)
    return store(c, batch, records)

scores.store_records = store_then_die
ingest.ingest(Workspace.open(Path(sys.argv[1])), sys.argv[2])
"""


def a_scored_run(workspace: Workspace, copies: int = 1, ended: StoredState = StoredState.FINISHED) -> str:
    """A score run that has ended, with a record for each row, each line `copies` times."""
    (workspace.models / "config.json").write_text("{}")
    order = RunOrder("score", {"model": str(workspace.models)}, Selection())
    uid = create_run(workspace, order)
    with workspace.database.write() as c:
        run = runs.by_uid(c, uid)
        attempt = runs.claim(c, run.id)
        assert attempt is not None
        runs.settle(c, run.id, attempt, ended)
    folder = RunFolder(workspace.runs / uid)
    with folder.records.open("wb") as out:
        for row in folder.read_input():
            values = tuple(0.5 for _ in row.steps)
            record = ScoreRecord(
                id=record_id(uid, row.id, 0),
                row=row.id,
                trace=row.trace,
                segmentation=row.segmentation,
                scorer=ScorerRef(name="PRM", version="1"),
                values=values,
            )
            out.write((msgspec.json.encode(record) + b"\n") * copies)
    return uid


def stored(workspace: Workspace) -> int:
    with workspace.database.read() as c:
        return int(c.exec_driver_sql("SELECT count(*) FROM score").scalar_one())


def test_every_record_once_with_the_offset(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        uid = a_scored_run(workspace, copies=2)
        assert ingest(workspace, uid) == Ingested(stored=30, known=30)
        assert ingest(workspace, uid).elsewhere
        with workspace.database.read() as c:
            run = runs.by_uid(c, uid)
        assert run.ingest_offset == RunFolder(workspace.runs / uid).records.stat().st_size
        assert (run.ingested, run.ingested_attempt, run.needs_ingest) == (30, 1, False)


def test_a_cancelled_ingest_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def cancel(_phase: str, _done: int, _total: int) -> None:
        raise CancelledError("cancelled")

    with stories(tmp_path) as workspace:
        uid = a_scored_run(workspace)
        with pytest.raises(CancelledError):
            ingest(workspace, uid, cancel)
        assert stored(workspace) == 0
        assert ingest(workspace, uid).stored == 30


def test_a_killed_ingest_is_done_again_and_nothing_is_there_twice(tmp_path: Path) -> None:
    with stories(tmp_path, count=1500) as workspace:
        uid = a_scored_run(workspace)
        command = [sys.executable, "-c", KILLED_HALF_WAY, str(workspace.path), uid]
        assert subprocess.run(command, env=children.environment(), check=False).returncode == -signal.SIGKILL
        half = stored(workspace)
        with workspace.database.read() as c:
            assert c.exec_driver_sql("SELECT state FROM batch WHERE kind = 'ingest'").scalar_one() == batches.WRITING
            trace_id = c.exec_driver_sql("SELECT trace_id FROM score LIMIT 1").scalar_one()
            from studio.store import scores

            assert scores.of_trace(c, trace_id) == (), "nothing half-written is seen"
        assert 0 < half < 1500
        assert ingest(workspace, uid).stored == 1500
        assert stored(workspace) == 1500


def test_of_two_studios_one_ingests(tmp_path: Path) -> None:
    with stories(tmp_path, count=300) as workspace:
        uid = a_scored_run(workspace)
        command = children.command("ingest", uid, "--workspace", str(workspace.path), "--progress", "json")
        with ThreadPoolExecutor(3) as pool:
            jobs = [
                pool.submit(subprocess.run, command, capture_output=True, env=children.environment(), check=True)
                for _ in range(3)
            ]
            reports = [msgspec.json.decode(job.result().stdout.splitlines()[-1])["report"] for job in jobs]
        assert sorted(report["stored"] for report in reports) == [0, 0, 300]
        assert sum(report["elsewhere"] for report in reports) == 2
        assert stored(workspace) == 300


def test_a_broken_line_is_told_with_its_place(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        uid = a_scored_run(workspace)
        records = RunFolder(workspace.runs / uid).records
        size = records.stat().st_size
        with records.open("ab") as out:
            out.write(b'{"kind": "score"}\n')
        with pytest.raises(RunError, match=rf"records.jsonl, the line that ends at byte {size + 18}"):
            ingest(workspace, uid)
        assert stored(workspace) == 0


def test_records_of_removed_traces_are_counted(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        uid = a_scored_run(workspace)
        records = RunFolder(workspace.runs / uid).records
        line = msgspec.json.decode(records.read_bytes().splitlines()[0])
        with records.open("ab") as out:
            out.write(msgspec.json.encode(line | {"trace": "gone", "id": "x"}) + b"\n")
        assert ingest(workspace, uid) == Ingested(stored=30, lost=1)


def test_what_a_crashed_attempt_made_is_kept_and_the_resumed_rest_follows(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        uid = a_scored_run(workspace, ended=StoredState.CRASHED)
        records = RunFolder(workspace.runs / uid).records
        whole = records.read_bytes()
        records.write_bytes(b"\n".join(whole.split(b"\n")[:11])[:-20])  # ten whole lines and a torn one
        assert ingest(workspace, uid).stored == 10
        with workspace.database.write() as c:
            run = runs.by_uid(c, uid)
            runs.requeue(c, run.id)
            assert runs.claim(c, run.id) == 2
            runs.settle(c, run.id, 2, StoredState.FINISHED)
        records.write_bytes(whole)
        assert ingest(workspace, uid) == Ingested(stored=20, known=10)
        with workspace.database.read() as c:
            assert traces.count(c, traces.TraceQuery()) == 30
        assert stored(workspace) == 30


def test_a_run_that_goes_on_is_not_ingested(tmp_path: Path) -> None:
    with stories(tmp_path) as workspace:
        (workspace.models / "config.json").write_text("{}")
        uid = create_run(workspace, RunOrder("score", {"model": str(workspace.models)}))
        with pytest.raises(RunError, match="when it has ended"):
            ingest(workspace, uid)


def test_the_hold_of_a_dead_process_is_no_hindrance(tmp_path: Path) -> None:
    from studio.store import holds

    with stories(tmp_path) as workspace:
        uid = a_scored_run(workspace)
        from trainer.contract.run_folder import boot_id, host_name

        dead = f"{host_name()}:{boot_id()}:999999:1.00"
        workspace.database.run(lambda c: holds.take(c, f"ingest:{uid}", dead, seconds=600))
        assert ingest(workspace, uid).stored == 30
