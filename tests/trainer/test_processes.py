"""Two processes that talk over gloo learn what one learns; the first alone writes. Real processes, really launched.

They are launched as the studio launches them: `accelerate launch` with the configuration in the run folder. Where many
runs are compared, one launch does them one after the other (see ranks.py): the libraries take longer than the runs.
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
    metrics,
    prm_run,
    sft_run,
    story_rows,
    until,
)
from tests.trainer.test_rl_recipe import here, rl_run
from trainer.contract import events, rollouts
from trainer.contract.events import Outcome
from trainer.contract.launch import Launch, Share, keep, kept, modules, objections
from trainer.contract.run_folder import Control, RunFolder
from trainer.contract.spec import RunSpec, build, parameters

ROOT = Path(__file__).resolve().parents[2]
ROWS = demonstration_rows(75)
SETTINGS = {"max_steps": 10, "eval_every": 4, "checkpoint_every": 4, "rate": 1e-3}


def start_two(*folders: RunFolder, spread: bool = False) -> subprocess.Popen[bytes]:
    """The run in two processes of this machine, several one after the other; `spread`: each holds half of the model."""
    how = Launch(processes=2, share=Share.SPREAD if spread else Share.WHOLE)
    for folder in folders:
        keep(folder.path, how, folder.read_spec().parameters)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    given = modules(how, str(folders[0].path))
    if len(folders) > 1:
        given[-2:] = ["tests.trainer.ranks", *(str(folder.path) for folder in folders)]
    with folders[0].log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *given], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment
        )


def finish_two(*folders: RunFolder, spread: bool = False) -> int:
    worker = start_two(*folders, spread=spread)
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


def orm_run(path: Path) -> RunFolder:
    folder = RunFolder(path)
    given = parameters(build("orm", SMALL | {"max_steps": 3, "eval_every": 3}))
    folder.create(RunSpec(run="run-orm", name="orm", recipe="orm", parameters=given), story_rows(60))
    return folder


PRM = {"max_steps": 4, "eval_every": 2, "language_loss": 0.5, "keep_language_head": True, "head_first": 0.3}
RL = {"updates": 1, "prompts": 3, "kl_weight": 0.01, "eval_every": 1}  # three prompts: two and one
RECIPES = {False: ("sft", "orm", "rl"), True: ("sft", "prm", "rl")}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A policy that has hardly learned, and a PRM that judges it."""
    root = tmp_path_factory.mktemp("models")
    policy = sft_run(root / "sft", ROWS, max_steps=20, eval_every=20, rate=3e-3)
    prm = prm_run(root / "prm", story_rows(40), max_steps=3, eval_every=3)
    for folder in (policy, prm):
        assert here(folder) == 0, folder.tail_of_log()
    return {"model": policy.model, "prm": prm.model}


def run_of(recipe: str, path: Path, judged: dict[str, Path]) -> RunFolder:
    """A run that is not started."""
    if recipe == "sft":
        return sft_run(path, ROWS, **SETTINGS)
    if recipe == "orm":
        return orm_run(path)
    return prm_run(path, story_rows(60), **PRM) if recipe == "prm" else rl_run(path, ROWS, judged, **RL)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, judged: dict[str, Path]) -> dict[str, RunFolder]:
    """The run of every recipe in one process."""
    root = tmp_path_factory.mktemp("alone")
    made = {recipe: run_of(recipe, root / recipe, judged) for recipe in ("sft", "orm", "prm", "rl")}
    for folder in made.values():
        assert here(folder) == 0, folder.tail_of_log()
    return made


@pytest.fixture(scope="module", params=[False, True], ids=["each whole", "spread"])
def both(
    tmp_path_factory: pytest.TempPathFactory, judged: dict[str, Path], request: pytest.FixtureRequest
) -> dict[str, RunFolder]:
    """The runs of the recipes in two processes, and one of sft that was paused in them."""
    root = tmp_path_factory.mktemp("two")
    made = {recipe: run_of(recipe, root / recipe, judged) for recipe in RECIPES[request.param]}
    made["paused"] = run_of("sft", root / "paused", judged)
    made["paused"].ask(Control.PAUSE)
    logs = next(iter(made.values()))
    assert finish_two(*made.values(), spread=request.param) == 0, logs.tail_of_log()
    return made


def test_two_processes_equal_one_and_only_the_first_writes(both: dict[str, RunFolder], alone: dict[str, RunFolder]):
    one, two = alone["sft"], both["sft"]
    assert ended(two).outcome is Outcome.FINISHED
    assert_close(two, one)
    said = [Counter(type(e).__name__ for e in all_events(folder) if keeps(e)) for folder in (one, two)]
    assert said[0] == said[1]
    assert [event.sequence for event in all_events(two)] == list(range(1, len(all_events(two)) + 1))


def keeps(event: events.AnyEvent) -> bool:
    """Events whose number does not depend on the clock."""
    system = isinstance(event, events.Metrics) and event.split == "system"
    return not system and not isinstance(event, events.Progress)


def test_an_outcome_model_and_a_prm_learn_what_they_learn_in_one(
    both: dict[str, RunFolder], alone: dict[str, RunFolder]
):
    for recipe in both.keys() & {"orm", "prm"}:
        assert_close(both[recipe], alone[recipe])


def test_a_pause_stops_both_after_the_same_step_and_others_can_go_on(
    both: dict[str, RunFolder], alone: dict[str, RunFolder]
):
    two = both["paused"]
    spread = kept(two.path).share is Share.SPREAD
    assert (ended(two).outcome, ended(two).step) == (Outcome.PAUSED, 1)
    two.clear_control()
    assert (finish_two(two, spread=True) if spread else here(two)) == 0, two.tail_of_log()
    assert_close(two, alone["sft"])


def test_reinforcement_in_two_processes_writes_and_learns_what_it_does_in_one(
    both: dict[str, RunFolder], alone: dict[str, RunFolder]
):
    one, two = alone["rl"], both["rl"]
    made = [rollouts.load(rollouts.path_of(folder.path, 0)).traces for folder in (one, two)]
    assert len({trace.group for trace in made[0]}) == 3
    for first, second in zip(*made, strict=True):
        assert (first.id, first.group, first.text) == (second.id, second.group, second.text)
        np.testing.assert_allclose(
            rollouts.floats(first.advantages), rollouts.floats(second.advantages), atol=1e-5, rtol=1e-5
        )
    assert any(np.abs(rollouts.floats(trace.advantages)).max() > 0.1 for trace in made[0])
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


def test_what_cannot_run_in_several_processes_is_refused_with_a_remedy():
    two = Launch(processes=2)
    assert not any(objections(recipe, two) for recipe in ("sft", "prm", "orm", "rl"))
    assert "score runs in one process" in objections("score", two)[0]
    spread = msgspec.structs.replace(two, share=Share.SPREAD)
    assert not objections("sft", spread)
    assert not any(objections(recipe, spread) for recipe in ("prm", "orm", "rl"))
    assert "launch template" in objections("sft", Launch(machines=2))[0]
