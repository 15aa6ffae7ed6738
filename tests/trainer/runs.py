"""Run folders and real worker processes for the tests of the trainer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from trainer.contract import events
from trainer.contract.records import InputRow, ModelRef
from trainer.contract.run_folder import RunFolder, read_events, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters
from trainer.reasoning.demonstrations import demonstration_row, make_demonstrations
from trainer.reasoning.stories import make_stories, story_row

SMALL: dict[str, Any] = {"model": "tiny", "batch_size": 8, "threads": 1, "max_length": 256}


class Polled(Protocol):
    """A process that may have ended."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""


def story_rows(count: int, seed: int = 1) -> list[InputRow]:
    """Labelled arithmetic stories."""
    return [story_row(story, number) for number, story in enumerate(make_stories(count, seed=seed))]


def prm_run(path: Path, rows: Iterable[InputRow], **settings: Any) -> RunFolder:
    """A run of the PRM recipe, not started."""
    folder = RunFolder(path)
    given = parameters(build("prm", SMALL | settings))
    folder.create(RunSpec(run="run-prm", name="a small PRM", recipe="prm", parameters=given), rows)
    return folder


def demonstration_rows(count: int, seed: int = 1) -> list[InputRow]:
    """Demonstrations by the teacher with a mistake."""
    made = make_demonstrations(count, seed=seed)
    return [demonstration_row(demonstrated, number) for number, demonstrated in enumerate(made)]


def sft_run(path: Path, rows: Iterable[InputRow], **settings: Any) -> RunFolder:
    """A run of the sft recipe, not started."""
    folder = RunFolder(path)
    given = parameters(build("sft", SMALL | {"rate": 3e-3} | settings))
    folder.create(RunSpec(run="run-sft", name="a small policy", recipe="sft", parameters=given), rows)
    return folder


def score_run(path: Path, model: Path, rows: Iterable[InputRow], **settings: Any) -> RunFolder:
    """A run of the score recipe on a PRM folder, not started."""
    folder = RunFolder(path)
    given = parameters(build("score", {"model": "the PRM", "threads": 1} | settings))
    ref = ModelRef(role="model", path="inputs/model", checksum=sha256_of_folder(model), name="the PRM")
    folder.create(RunSpec(run="run-score", name="scores", recipe="score", parameters=given, models=(ref,)), rows)
    (folder.inputs / "model").symlink_to(model)
    return folder


def start(folder: RunFolder) -> subprocess.Popen[bytes]:
    """A worker on the folder, its output in worker.log."""
    with folder.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer", str(folder.path)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )


def finish(folder: RunFolder, timeout: float = 240) -> int:
    """Run an attempt to its end; returns the exit code."""
    worker = start(folder)
    try:
        return worker.wait(timeout)
    finally:
        worker.kill()


def until(worker: Polled, happened: Callable[[], bool], timeout: float = 120) -> bool:
    """Wait for something; False when the worker ended first."""
    deadline = time.monotonic() + timeout
    while not happened():
        if worker.poll() is not None:
            return False
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.001)
    return True


def all_events(folder: RunFolder) -> list[events.AnyEvent]:
    """Every event of every attempt."""
    return read_events(folder.events)[0]


def live_events(folder: RunFolder) -> list[events.AnyEvent]:
    """What counts: a `resumed` voids every earlier event beyond its step."""
    kept: list[events.AnyEvent] = []
    for event in all_events(folder):
        if isinstance(event, events.Resumed):
            kept = [old for old in kept if old.step <= event.from_step]
        kept.append(event)
    return kept


def metrics(folder: RunFolder, split: str) -> list[tuple[int, dict[str, float]]]:
    """(step, figures) of a split in the order they stand, without what depends on the clock."""
    clock = {"tokens_per_second", "step_time"}
    return [
        (event.step, {name: value for name, value in event.values.items() if name not in clock})
        for event in live_events(folder)
        if isinstance(event, events.Metrics) and event.split == split
    ]


def ended(folder: RunFolder) -> events.Ended:
    """The last word of the last attempt."""
    last = all_events(folder)[-1]
    assert isinstance(last, events.Ended), f"{last}\n{folder.tail_of_log()}"
    return last
