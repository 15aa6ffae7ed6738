"""Two processes that talk over gloo learn what one learns; the first alone writes. Real processes, really launched.

They are launched as the studio launches them: `accelerate launch` with the configuration in the run folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from safetensors.torch import load_file

from tests.trainer.runs import (
    SMALL,
    all_events,
    demonstration_rows,
    ended,
    finish,
    metrics,
    prm_run,
    sft_run,
    story_rows,
    until,
)
from tests.trainer.test_rl_recipe import here, rl_run
from trainer.contract import events, rollouts
from trainer.contract.events import Outcome
from trainer.contract.launch import Launch, Share, keep, modules, objections
from trainer.contract.run_folder import Control, RunFolder
from trainer.contract.spec import RunSpec, build, parameters

ROWS = demonstration_rows(75)
SETTINGS = {"max_steps": 10, "eval_every": 4, "checkpoint_every": 4, "rate": 1e-3}


def start_two(folder: RunFolder, *, spread: bool = False) -> subprocess.Popen[bytes]:
    """The run in two processes of this machine; `spread`: each holds half of the model."""
    how = Launch(processes=2, share=Share.SPREAD if spread else Share.WHOLE)
    keep(folder.path, how, folder.read_spec().parameters)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *modules(how, str(folder.path))]
    with folder.log.open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def finish_two(folder: RunFolder, *, spread: bool = False) -> int:
    worker = start_two(folder, spread=spread)
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


def test_the_death_of_one_ends_all_with_a_clear_word(tmp_path: Path):
    folder = sft_run(tmp_path / "run", ROWS, max_steps=100_000, eval_every=100_000, checkpoint_every=100_000)
    launcher = start_two(folder)
    try:
        assert until(launcher, lambda: bool(metrics(folder, "train"))), folder.tail_of_log()
        first = folder.read_process()
        assert first is not None
        both = psutil.Process(launcher.pid).children()
        (second,) = [process for process in both if process.pid != first.pid]
        second.kill()
        assert launcher.wait(120) != 0
    finally:
        launcher.kill()
    assert ended(folder).outcome is Outcome.FAILED
    assert f"process 2 of 2 (pid {second.pid}) has died" in ended(folder).message
    assert not any(process.is_running() for process in both)


def test_an_outcome_model_learns_in_two_processes_what_it_learns_in_one(tmp_path: Path):
    one, two = (orm_run(tmp_path / name) for name in ("one", "two"))
    assert here(one) == 0, one.tail_of_log()
    assert finish_two(two) == 0, two.tail_of_log()
    assert_close(two, one)


def test_a_prm_spread_over_two_processes_learns_what_it_learns_in_one(tmp_path: Path):
    given = {"max_steps": 4, "eval_every": 2, "language_loss": 0.5, "keep_language_head": True, "head_first": 0.3}
    one, two = (prm_run(tmp_path / name, story_rows(60), **given) for name in ("one", "two"))
    assert here(one) == 0, one.tail_of_log()
    assert finish_two(two, spread=True) == 0, two.tail_of_log()
    assert_close(two, one)


def orm_run(path: Path) -> RunFolder:
    folder = RunFolder(path)
    given = parameters(build("orm", SMALL | {"max_steps": 3, "eval_every": 3}))
    folder.create(RunSpec(run="run-orm", name="orm", recipe="orm", parameters=given), story_rows(60))
    return folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A policy that has hardly learned, and a PRM that judges it."""
    root = tmp_path_factory.mktemp("models")
    policy = sft_run(root / "sft", ROWS, max_steps=20, eval_every=20, rate=3e-3)
    prm = prm_run(root / "prm", story_rows(40), max_steps=3, eval_every=3)
    for folder in (policy, prm):
        assert here(folder) == 0, folder.tail_of_log()
    return {"model": policy.model, "prm": prm.model}


RL = {"updates": 1, "prompts": 3, "kl_weight": 0.01, "eval_every": 1}  # three prompts: two and one


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, judged: dict[str, Path]) -> RunFolder:
    """Reinforcement in one process."""
    folder = rl_run(tmp_path_factory.mktemp("alone") / "run", ROWS, judged, **RL)
    assert here(folder) == 0, folder.tail_of_log()
    return folder


@pytest.mark.parametrize("spread", [False, True], ids=["each whole", "spread"])
def test_reinforcement_in_two_processes_writes_and_learns_what_it_does_in_one(
    tmp_path: Path, judged: dict[str, Path], alone: RunFolder, spread: bool
):
    one, two = alone, rl_run(tmp_path / "two", ROWS, judged, **RL)
    assert finish_two(two, spread=spread) == 0, two.tail_of_log()
    kept = [rollouts.load(rollouts.path_of(folder.path, 0)).traces for folder in (one, two)]
    assert len({trace.group for trace in kept[0]}) == 3
    for first, second in zip(*kept, strict=True):
        assert (first.id, first.group, first.text) == (second.id, second.group, second.text)
        np.testing.assert_allclose(
            rollouts.floats(first.advantages), rollouts.floats(second.advantages), atol=1e-5, rtol=1e-5
        )
    assert any(np.abs(rollouts.floats(trace.advantages)).max() > 0.1 for trace in kept[0])
    assert_close(two, one)


def test_what_cannot_run_in_several_processes_is_refused_with_a_remedy():
    two = Launch(processes=2)
    assert not any(objections(recipe, two) for recipe in ("sft", "prm", "orm", "rl"))
    assert "score runs in one process" in objections("score", two)[0]
    spread = msgspec.structs.replace(two, share=Share.SPREAD)
    assert not objections("sft", spread)
    assert not any(objections(recipe, spread) for recipe in ("prm", "orm", "rl"))
    assert "launch template" in objections("sft", Launch(machines=2))[0]
