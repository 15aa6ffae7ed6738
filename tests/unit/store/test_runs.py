"""Runs in the table: queue order, claims, settling, lineage and staleness; holds; models."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from studio.errors import ConflictError, NotFoundError
from studio.store import annotations, holds, models, runs
from studio.store.runs import StoredState
from tests.unit.store.making import Small, small
from trainer.contract.records import Rating, SourceRef


def add(made: Small, uid: str, device: str = "cpu") -> int:
    with made.database.write() as c:
        run_id = runs.prepare(c, uid=uid, name=uid, recipe="prm", device=device, host="here", process="p")
        runs.enqueue(c, run_id, {"input_rows": 3})
    return run_id


def test_one_claim_a_device_and_settling_once(tmp_path: Path) -> None:
    made = small(tmp_path)
    first, second, other = add(made, "a"), add(made, "b"), add(made, "c", "cuda:0")
    with made.database.write() as c:
        assert runs.claim(c, first) == 1
        assert runs.claim(c, second) is None
        assert runs.claim(c, first) is None
        assert runs.claim(c, other) == 1
        runs.settle(c, first, 1, StoredState.FINISHED, summary={"auc": 0.5})
        assert not runs.settle(c, first, 1, StoredState.CRASHED).runs
        assert runs.get(c, first).state is StoredState.FINISHED
        assert runs.get(c, first).summary == {"auc": 0.5}
        assert runs.get(c, first).needs_ingest
        assert runs.claim(c, second) == 1
        assert [run.rows for run in runs.all_runs(c)] == [3, 3, 3]
        with pytest.raises(ConflictError, match="only a run that has stopped"):
            runs.requeue(c, second)
        with pytest.raises(NotFoundError):
            runs.by_uid(c, "nobody")


def test_the_claim_is_taken_back_when_the_announcement_fails(tmp_path: Path) -> None:
    made = small(tmp_path)
    first = add(made, "a")

    def broken() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), made.database.write() as c:
        runs.claim(c, first, before=broken)
    with made.database.read() as c:
        assert runs.get(c, first).state is StoredState.QUEUED


def test_put_first_and_requeue_after_a_pause(tmp_path: Path) -> None:
    made = small(tmp_path)
    running, waiting, urgent = add(made, "a"), add(made, "b"), add(made, "c")
    with made.database.write() as c:
        runs.claim(c, running)
        runs.put_first(c, urgent)
        runs.set_requeue(c, running, True)
        runs.settle(c, running, 1, StoredState.PAUSED)
        order = sorted((run.place, run.uid) for run in runs.all_runs(c) if run.state is StoredState.QUEUED)
    assert [uid for _, uid in order] == ["c", "a", "b"]
    assert waiting


def test_a_run_is_stale_once_an_annotation_it_used_has_changed(tmp_path: Path) -> None:
    made = small(tmp_path)
    with made.database.write() as c:
        for at in (0, 1):
            for ordinal in range(4):
                annotations.rate(c, made.work(at), ordinal, Rating.POSITIVE)
            annotations.submit(c, made.work(at), active_ms=1)
        used = annotations.of_trace(c, made.traces[0])[0]
    with made.database.write() as c:
        early = runs.prepare(c, uid="early", name="early", recipe="prm", device="cpu", host="here", process="p")
        late = runs.prepare(c, uid="late", name="late", recipe="prm", device="cpu", host="here", process="p")
        for run_id in (early, late):
            runs.add_sources(c, run_id, [SourceRef(used.uid, used.revision)])
        runs.enqueue(c, early, {})
        annotations.rate(c, made.work(1), 2, Rating.NEUTRAL)
        assert runs.get(c, early).stale == 0
        annotations.rate(c, made.work(0), 2, Rating.NEUTRAL)
        runs.enqueue(c, late, {})
        assert runs.get(c, early).stale == 1
        assert runs.get(c, late).stale == 1, "it changed while the rows were frozen"


def test_a_preparation_is_unseen_and_can_be_forgotten(tmp_path: Path) -> None:
    made = small(tmp_path)
    with made.database.write() as c:
        run_id = runs.prepare(c, uid="x", name="x", recipe="prm", device="cpu", host="here", process="dead")
        assert runs.all_runs(c) == ()
        assert [run.message for run in runs.prepared(c)] == ["dead"]
        runs.forget_prepared(c, run_id)
        assert runs.prepared(c) == ()


def test_a_hold_has_one_holder_until_it_expires_or_its_holder_is_gone(tmp_path: Path) -> None:
    made = small(tmp_path)
    with made.database.write() as c:
        assert holds.take(c, "launch:cpu", "one", seconds=30)
        assert holds.take(c, "launch:cpu", "one", seconds=30)
        assert not holds.take(c, "launch:cpu", "two", seconds=30)
        assert holds.take(c, "launch:cpu", "two", seconds=30, gone=lambda holder: holder == "one")
        holds.release(c, "launch:cpu", "one")
        assert not holds.take(c, "launch:cpu", "three", seconds=0.01)
        holds.release(c, "launch:cpu", "two")
        assert holds.take(c, "launch:cpu", "three", seconds=0.01)
        time.sleep(0.02)
        assert holds.take(c, "launch:cpu", "four", seconds=30)


def test_a_run_has_one_model(tmp_path: Path) -> None:
    made = small(tmp_path)
    run_id = add(made, "a")
    given = {"run_id": run_id, "name": "n", "kind": "prm", "folder": "runs/a/model", "base": "tiny", "summary": {}}
    with made.database.write() as c:
        assert models.register(c, checksum="x", **given).runs == {run_id}
        assert not models.register(c, checksum="x", **given).runs
        with pytest.raises(ConflictError, match="has changed"):
            models.register(c, checksum="y", **given)
        (model,) = models.all_models(c, "prm")
        assert models.find(c, "n") == models.find(c, model.uid) == models.find(c, "runs/a/model") == model
        assert models.find(c, "m") is None
        assert runs.get(c, run_id).model_folder == "runs/a/model"
