"""Two processes that talk over gloo learn what one learns; the first alone writes. Real processes, really launched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.trainer.runs import (
    all_events,
    demonstration_rows,
    ended,
    finish,
    metrics,
    sft_run,
)
from trainer.contract import events
from trainer.contract.events import Outcome
from trainer.contract.run_folder import Control, RunFolder

TWO = ["--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
TWO += ["--main_process_port=0"]
ROWS = demonstration_rows(75)
SETTINGS = {"max_steps": 10, "eval_every": 4, "checkpoint_every": 4}


def launch(folder: RunFolder, *, spread: bool) -> subprocess.Popen[bytes]:
    """The run in two processes of this machine, as `accelerate launch` starts them; `spread`: each holds half of it."""
    how = ["--use_fsdp", "--fsdp_version=2"] if spread else ["--multi_gpu"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *how, *TWO, "-m", "trainer"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    with folder.log.open("ab") as log:
        return subprocess.Popen([*command, str(folder.path)], stdout=log, stderr=subprocess.STDOUT, env=environment)


def finish_two(folder: RunFolder, *, spread: bool = False) -> int:
    worker = launch(folder, spread=spread)
    try:
        return worker.wait(240)
    finally:
        worker.terminate()


def assert_close(two: RunFolder, one: RunFolder) -> None:
    for split in ("train", "validation", "test"):
        found, expected = metrics(two, split), metrics(one, split)
        assert [step for step, _ in found] == [step for step, _ in expected]
        for (_, first), (_, second) in zip(found, expected, strict=True):
            assert first == pytest.approx(second, abs=1e-5, rel=1e-5)
    weights = [load_file(folder.model / "model.safetensors") for folder in (two, one)]
    assert set(weights[0]) == set(weights[1])
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run in one process."""
    folder = sft_run(tmp_path_factory.mktemp("one") / "run", ROWS, **SETTINGS)
    assert finish(folder) == 0, folder.tail_of_log()
    return folder


@pytest.mark.parametrize("spread", [False, True], ids=["each whole", "spread"])
def test_two_processes_equal_one_and_only_the_first_writes(tmp_path: Path, one: RunFolder, spread: bool):
    two = sft_run(tmp_path / "two", ROWS, **SETTINGS)
    assert finish_two(two, spread=spread) == 0, two.tail_of_log()
    assert ended(two).outcome is Outcome.FINISHED
    assert_close(two, one)
    said = [Counter(type(e).__name__ for e in all_events(folder) if keeps(e)) for folder in (one, two)]
    assert said[0] == said[1]
    assert [event.sequence for event in all_events(two)] == list(range(1, len(all_events(two)) + 1))


def keeps(event: events.AnyEvent) -> bool:
    """Events whose number does not depend on the clock."""
    system = isinstance(event, events.Metrics) and event.split == "system"
    return not system and not isinstance(event, events.Progress)


@pytest.mark.parametrize("spread", [False, True], ids=["each whole", "spread"])
def test_a_pause_stops_both_after_the_same_step_and_others_can_go_on(tmp_path: Path, one: RunFolder, spread: bool):
    two = sft_run(tmp_path / "two", ROWS, **SETTINGS)
    two.ask(Control.PAUSE)
    assert finish_two(two, spread=spread) == 0, two.tail_of_log()
    assert (ended(two).outcome, ended(two).step) == (Outcome.PAUSED, 1)
    two.clear_control()
    assert (finish_two(two, spread=True) if spread else finish(two)) == 0, two.tail_of_log()
    assert_close(two, one)


def test_a_failure_in_both_ends_both_and_is_told_once(tmp_path: Path):
    folder = sft_run(tmp_path / "run", demonstration_rows(20), prompt="chat template")
    assert finish_two(folder) != 0
    assert ended(folder).outcome is Outcome.FAILED
    assert "no chat template" in ended(folder).message
    assert sum(isinstance(event, events.Ended) for event in all_events(folder)) == 1
