"""A run that a kill threw back, where what lies beyond the checkpoint is void; and who decides on an alarm."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.trainer.runs import prm_run, story_rows
from trainer.contract import rollouts
from trainer.contract.events import Level
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import build
from trainer.reasoning.alarms import ALARM, Alarm, AlarmCode
from trainer.rl.train import RlTraining, alarmed
from trainer.runtime.checkpoint import TrainState
from trainer.runtime.worker import Stopped, Worker

CODE = next(iter(AlarmCode)).value


def attempt(folder: RunFolder, from_step: int, alarm_at: int) -> dict[str, int]:
    """What an attempt knows of alarms as it begins; it tells one itself before it is killed."""
    worker = Worker(folder, folder.read_spec())
    worker.resume(from_step)
    known = alarmed(worker)
    worker.step = alarm_at
    worker.notice(Level.ERROR, f"{ALARM}{CODE}", "too far")
    worker.close()
    return known


def test_an_alarm_beyond_the_checkpoint_is_raised_again(tmp_path: Path) -> None:
    folder = prm_run(tmp_path / "run", story_rows(4))
    assert attempt(folder, -1, alarm_at=8) == {}
    assert attempt(folder, 5, alarm_at=8) == {}, "killed before the pause was kept: nobody has paused for it"
    assert attempt(folder, 8, alarm_at=9) == {CODE: 8}, "a pause at its step has been seen"


@pytest.mark.parametrize(("keep", "left"), [(2, (4, 5)), (1, (5,)), (0, (3, 4, 5)), (9, (3, 4, 5))])
def test_the_update_just_written_is_kept_and_void_ones_go(tmp_path: Path, keep: int, left: tuple[int, ...]) -> None:
    for update in (3, 4, 8, 9, 5):
        rollouts.save(tmp_path, rollouts.RolloutBatch(update=update, policy_version=update, traces=()))
    rollouts.prune(tmp_path, keep, 5)
    assert rollouts.updates(tmp_path) == left


class SaysAlarm:
    """The processes as one of the others sees them: the first has found an alarm."""

    def agree(self, _own: list[Alarm]) -> list[Alarm]:
        return [Alarm(AlarmCode(CODE), "too far", {})]


def test_a_process_that_saw_nothing_pauses_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    saved, told = [], []
    training = RlTraining.__new__(RlTraining)
    training.history, training._quiet, training.rl = [], {}, build("rl", {"model": "x"})
    training.state, training.processes = TrainState(step=8, micro_batch=1), SaysAlarm()
    training.worker = SimpleNamespace(notice=lambda *given, **_counts: told.append(given[1]))
    monkeypatch.setattr(training, "_save", lambda: saved.append(8))
    with pytest.raises(Stopped):
        training._alarm()
    assert (saved, told, training._quiet) == ([8], [f"{ALARM}{CODE}"], {CODE: 8})
