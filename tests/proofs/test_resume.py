"""A worker killed at random points, also during a checkpoint, and resumed: the same losses and weights, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.trainer.runs import (
    all_events,
    ended,
    finish,
    live_events,
    metrics,
    prm_run,
    score_run,
    start,
    story_rows,
    until,
)
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.contract.run_folder import Control, RunFolder, last_attempt, read_records

KILLS = 10 if os.environ.get("STEPLENS_PROOF") == "full" else 3
STEPS = 36
ROWS = 90
SETTINGS = {"max_steps": STEPS, "eval_every": 6, "checkpoint_every": 4, "keep_last": 2, "language_loss": 0.1}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = prm_run(tmp_path_factory.mktemp("unbroken") / "run", story_rows(ROWS), **SETTINGS)
    assert finish(folder) == 0, folder.tail_of_log()
    return folder


def step_of(folder: RunFolder) -> int:
    """The newest step in the events file, cheaply."""
    tail = folder.events.read_bytes().rsplit(b"\n", 2) if folder.events.exists() else []
    return events.decoder.decode(tail[-2]).step if len(tail) >= 2 and tail[-2] else 0


def in_checkpoint(folder: RunFolder, beyond: int) -> bool:
    """Whether a checkpoint of a step beyond this one is being written now."""
    return any(int(p.name.split(".")[1].removeprefix("step-")) > beyond for p in folder.checkpoints.glob(".step-*.tmp"))


def assert_equal_runs(broken: RunFolder, whole: RunFolder) -> None:
    assert ended(broken).outcome is Outcome.FINISHED, broken.tail_of_log()
    for split in ("train", "validation", "test"):
        assert metrics(broken, split) == metrics(whole, split)
    steps = [step for step, _ in metrics(broken, "train")]
    assert steps == list(range(1, STEPS + 1))
    weights = [folder.model / "model.safetensors" for folder in (broken, whole)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    keys = Counter(
        (type(event).__name__, getattr(event, "split", ""), getattr(event, "row", ""), event.step)
        for event in live_events(broken)
        if isinstance(event, events.Metrics | events.Example | events.Checkpoint)
    )
    assert not [key for key, count in keys.items() if count > 1]
    notices = Counter(event.code for event in live_events(broken) if isinstance(event, events.Notice))
    assert notices == Counter(event.code for event in live_events(whole) if isinstance(event, events.Notice))


def test_killed_training_resumes_bit_for_bit(tmp_path: Path, unbroken: RunFolder) -> None:
    folder = prm_run(tmp_path / "run", story_rows(ROWS), **SETTINGS)
    draw = random.Random(5)
    killed_in_checkpoint = 0
    for kill in range(KILLS):
        before = step_of(folder)
        target = draw.randint(before + 1, before + max(2, 2 * (STEPS - before) // (KILLS - kill + 1)))
        worker = start(folder)
        if kill % 2:  # while a checkpoint is being written
            happened = until(worker, lambda target=target: in_checkpoint(folder, target - 4))
            killed_in_checkpoint += happened
        else:
            attempt = kill + 1
            happened = until(
                worker, lambda t=target, a=attempt: last_attempt(folder.events) == a and step_of(folder) >= t
            )
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        if not happened:
            break
    assert killed_in_checkpoint >= KILLS // 2
    assert finish(folder) == 0, folder.tail_of_log()
    assert last_attempt(folder.events) == KILLS + 1
    assert_equal_runs(folder, unbroken)


def test_paused_training_resumes_bit_for_bit(tmp_path: Path, unbroken: RunFolder) -> None:
    folder = prm_run(tmp_path / "run", story_rows(ROWS), **SETTINGS)
    for way, step in (("control", 9), ("SIGTERM", 20)):
        worker = start(folder)
        assert until(worker, lambda step=step: step_of(folder) >= step)
        if way == "control":
            folder.ask(Control.PAUSE)
        else:
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(240) == 0
        paused = ended(folder)
        assert paused.outcome is Outcome.PAUSED
        assert [e for e in all_events(folder) if isinstance(e, events.Checkpoint)][-1].step == paused.step
        folder.clear_control()
    assert finish(folder) == 0, folder.tail_of_log()
    assert_equal_runs(folder, unbroken)


def test_killed_scoring_writes_every_record_once(tmp_path: Path, unbroken: RunFolder) -> None:
    rows = story_rows(1000, seed=9)
    whole = score_run(tmp_path / "whole", unbroken.model, rows, batch_tokens=256)
    assert finish(whole) == 0, whole.tail_of_log()
    broken = score_run(tmp_path / "broken", unbroken.model, rows, batch_tokens=256)
    draw = random.Random(6)
    size = whole.records.stat().st_size
    for kill in range(KILLS):
        target = draw.randint(kill * size // (KILLS + 1), (kill + 1) * size // (KILLS + 1))
        worker = start(broken)
        assert until(worker, lambda target=target: broken.records.exists() and broken.records.stat().st_size > target)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        with broken.records.open("ab") as records:  # what a power cut leaves
            records.write(b'{"type":"score","id":"torn')
    assert finish(broken) == 0, broken.tail_of_log()
    expected = {record.id: record.values for record in read_records(whole.records)[0]}
    got = read_records(broken.records)[0]
    assert len(got) == len({record.id for record in got}) == len(expected) == len(rows)
    for record in got:
        assert record.values == pytest.approx(expected[record.id], abs=1e-5)
