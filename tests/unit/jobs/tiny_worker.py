"""A real worker process with the trainer's own frame and a recipe of seconds: it counts, and can be told to misbehave.

`STEPLENS_TEST_WORKER` holds what to do: seconds a step, and at which step of the first attempt to die, hang or fail.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from trainer.contract import events
from trainer.contract.records import ScoreRecord, ScorerRef, record_id
from trainer.contract.requests import AnyRequest, ScoreRequest
from trainer.contract.run_folder import RunFolder, read_records, write_atomic
from trainer.runtime.resident import Check, Resident
from trainer.runtime.worker import RunFailed, Worker, run_attempt


def answer(worker: Worker) -> dict[str, float]:
    """Stay and answer: every step of a row gets 0.25. Dies when it has answered the trace `deadly`."""
    manner = json.loads(os.environ.get("STEPLENS_TEST_WORKER", "{}"))
    known = {record.row for record in read_records(worker.folder.records)[0]}
    worker.resume(len(known) or -1)
    worker.say(events.Started, recipe="score", device="cpu", total_steps=0, rows=0)

    def handle(request: AnyRequest, check: Check) -> None:
        assert isinstance(request, ScoreRequest)
        row = request.row
        for _ in range(manner.get("pieces", 1)):
            check()
            time.sleep(manner.get("seconds", 0.02))
        if manner.get("fail_request"):
            raise RunFailed("told to fail")
        if row.id not in known:
            values = tuple(0.25 for _ in row.steps)
            scorer = ScorerRef(name="counter", version="1")
            worker.record(
                ScoreRecord(
                    id=record_id(worker.spec.run, row.id, 0),
                    row=row.id,
                    trace=row.trace,
                    segmentation=row.segmentation,
                    scorer=scorer,
                    values=values,
                )
            )
            known.add(row.id)
        if manner.get("deadly") == row.trace or (worker.attempt == 1 and len(known) == manner.get("die")):
            os.kill(os.getpid(), signal.SIGKILL)

    Resident(worker, float(worker.spec.parameters["idle_minutes"])).serve(handle)
    return {}


def count(worker: Worker) -> dict[str, float]:
    """Count to the number of rows (score) or max_steps (prm), with a checkpoint every five steps."""
    manner = json.loads(os.environ.get("STEPLENS_TEST_WORKER", "{}"))
    state = worker.folder.checkpoints / "state.json"
    done = json.loads(state.read_text()) if state.exists() else 0
    worker.resume(done if worker.attempt > 1 else -1)
    rows = list(worker.folder.read_input())
    total = len(rows) if worker.spec.recipe == "score" else int(worker.spec.parameters["max_steps"])
    worker.say(events.Started, recipe=worker.spec.recipe, device="cpu", total_steps=total, rows=len(rows))
    for step in range(done + 1, total + 1):
        worker.step = step
        worker.check()
        time.sleep(manner.get("seconds", 0.02))
        worker.metrics("train", {"loss": 1.0 / step})
        if worker.spec.recipe == "score":
            row = rows[step - 1]
            version = worker.spec.run if manner.get("scorer") == "by run" else "1"
            scorer = ScorerRef(name="counter", version=version)
            values = tuple(0.5 for _ in row.steps)
            worker.record(
                ScoreRecord(
                    id=record_id(worker.spec.run, row.id, 0),
                    row=row.id,
                    trace=row.trace,
                    segmentation=row.segmentation,
                    scorer=scorer,
                    values=values,
                )
            )
        worker.progress("counting", step, total, force=True)
        if worker.attempt == 1 and step == manner.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if worker.attempt == 1 and step == manner.get("fail"):
            raise RunFailed("told to fail")
        if worker.attempt == 1 and step == manner.get("stop"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if step % 5 == 0:
            write_atomic(state, json.dumps(step).encode())
    if worker.spec.recipe == "prm":
        worker.folder.model.mkdir(exist_ok=True)
        (worker.folder.model / "config.json").write_text("{}")
    return {"steps": float(total)}


if __name__ == "__main__":
    stays = bool(RunFolder(Path(sys.argv[-1])).read_spec().parameters.get("resident"))
    raise SystemExit(run_attempt(Path(sys.argv[-1]), lambda _name: answer if stays else count))
