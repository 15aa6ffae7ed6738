"""A worker killed at random points, also during a checkpoint, and resumed: the same losses and weights, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
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
    story_rows,
)
from tests.trainer.warm import finish_warm
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.contract.run_folder import RunFolder, last_attempt, read_records

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("STEPLENS_PROOF") == "full"
KILLS = 20 if FULL else 3
STEPS = 36
ROWS = 90
SETTINGS = {"max_steps": STEPS, "eval_every": 6, "checkpoint_every": 4, "keep_last": 2, "language_loss": 0.1}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = prm_run(tmp_path_factory.mktemp("unbroken") / "run", story_rows(ROWS), **SETTINGS)
    assert whole_run(folder) == 0, folder.tail_of_log()
    return folder


def whole_run(folder: RunFolder) -> int:
    """An attempt that nobody strikes, to compare with; returns the exit code."""
    return finish(folder) if FULL else finish_warm(folder)


def struck(folder: RunFolder, blow: str, at: int) -> int:
    """An attempt that strikes itself (see struck_worker.py); returns its exit code.

    In full each is started anew; in short it is forked off, and the last attempt alone is started anew.
    """
    if not FULL:
        return finish_warm(folder, blow, at, timeout=600)
    command = [sys.executable, "-m", "tests.proofs.struck_worker", str(folder.path), blow, str(at)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with folder.log.open("ab") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, env=environment, timeout=600, check=False)
    return done.returncode


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
    targets = sorted(random.Random(5).sample(range(2, STEPS - 8), KILLS))
    for kill, target in enumerate(targets):
        blow = "checkpoint" if kill % 2 else "step"
        assert struck(folder, blow, target) == -signal.SIGKILL, folder.tail_of_log()
        left = list(folder.checkpoints.glob(".step-*.tmp"))
        assert len(left) == 1 or (blow == "step" and not left), f"killed during a {blow}"
    assert finish(folder) == 0, folder.tail_of_log()
    assert last_attempt(folder.events) == KILLS + 1
    assert_equal_runs(folder, unbroken)


def test_paused_training_resumes_bit_for_bit(tmp_path: Path, unbroken: RunFolder) -> None:
    folder = prm_run(tmp_path / "run", story_rows(ROWS), **SETTINGS)
    for way, step in (("control", 9), ("SIGTERM", 20)):
        assert struck(folder, way, step) == 0, folder.tail_of_log()
        paused = ended(folder)
        assert paused.outcome is Outcome.PAUSED
        assert [e for e in all_events(folder) if isinstance(e, events.Checkpoint)][-1].step == paused.step
        folder.clear_control()
    assert finish(folder) == 0, folder.tail_of_log()
    assert_equal_runs(folder, unbroken)


def test_killed_scoring_writes_every_record_once(tmp_path: Path, unbroken: RunFolder) -> None:
    rows = story_rows(1000, seed=9)
    whole = score_run(tmp_path / "whole", unbroken.model, rows, batch_tokens=256)
    assert whole_run(whole) == 0, whole.tail_of_log()
    broken = score_run(tmp_path / "broken", unbroken.model, rows, batch_tokens=256)
    draw = random.Random(6)
    size = whole.records.stat().st_size
    for kill in range(KILLS):
        target = draw.randint(kill * size // (KILLS + 1), (kill + 1) * size // (KILLS + 1))
        assert struck(broken, "records", target) == -signal.SIGKILL, broken.tail_of_log()
        with broken.records.open("ab") as records:  # what a power cut leaves
            records.write(b'{"type":"score","id":"torn')
    assert finish(broken) == 0, broken.tail_of_log()
    expected = {record.id: record.values for record in read_records(whole.records)[0]}
    got = read_records(broken.records)[0]
    assert len(got) == len({record.id for record in got}) == len(expected) == len(rows)
    for record in got:
        assert record.values == pytest.approx(expected[record.id], abs=1e-5)
