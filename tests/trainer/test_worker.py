"""The frame of a run: every way to end, who may write, what is checked before the start. Real worker processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.trainer.runs import all_events, ended, prm_run, start, story_rows, until
from trainer.__main__ import main
from trainer.contract import events
from trainer.contract.events import Level, Outcome
from trainer.contract.records import Split
from trainer.contract.run_folder import (
    Control,
    Process,
    RunFolder,
    boot_id,
    host_name,
    last_attempt,
    read_events,
    write_atomic,
)
from trainer.runtime.peers import Peers
from trainer.runtime.worker import BusyError, Follower, RunFailed, Stopped, Worker, run_attempt, sole_writer


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return prm_run(tmp_path / "run", story_rows(20), max_steps=100_000)


def last(folder: RunFolder) -> events.AnyEvent:
    return read_events(folder.events)[0][-1]


def test_cancel_ends_a_training_worker_midway(folder: RunFolder):
    worker = start(folder)
    assert until(worker, lambda: folder.events.exists() and b'"train"' in folder.events.read_bytes())
    process = folder.read_process()
    assert process is not None
    assert process.pid == worker.pid
    folder.ask(Control.CANCEL)
    assert worker.wait(120) == 0
    assert ended(folder).outcome is Outcome.CANCELLED
    assert ended(folder).step < 100_000


def test_cancel_is_obeyed_in_a_long_native_call(folder: RunFolder, monkeypatch: pytest.MonkeyPatch):
    pid = os.fork()
    if pid == 0:  # a process of its own: the frame ends it from the heartbeat thread

        def sleepy(_worker: Worker) -> dict[str, float]:
            time.sleep(3_600)
            return {}

        os._exit(run_attempt(folder.path, lambda _: sleepy))
    while not folder.process.exists():
        time.sleep(0.01)
    folder.ask(Control.CANCEL)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert ended(folder).outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RunFailed("do this"), "do this"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0"),
        (SystemExit(3), "3"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; make room and resume"),
    ],
)
def test_whatever_a_recipe_raises_the_last_event_is_ended(folder: RunFolder, error: BaseException, message: str):
    def broken(worker: Worker) -> dict[str, float]:
        worker.step = 7
        raise error

    assert run_attempt(folder.path, lambda _: broken) == 1
    end = ended(folder)
    assert (end.outcome, end.step) == (Outcome.FAILED, 7)
    assert message in end.message
    assert "broken" in end.traceback


def test_signals_pause(folder: RunFolder):
    def recipe(worker: Worker) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            worker.check()

    before = signal.getsignal(signal.SIGTERM)
    assert run_attempt(folder.path, lambda _: recipe) == 0
    assert ended(folder).outcome is Outcome.PAUSED
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_worker_is_refused_and_says_nothing_in_the_folder(folder: RunFolder):
    def outer(worker: Worker) -> dict[str, float]:
        before = folder.events.read_bytes()
        assert main([str(folder.path)]) == 2
        assert folder.events.read_bytes() == before
        return {}

    assert run_attempt(folder.path, lambda _: outer) == 0


def test_a_fresh_heartbeat_of_another_host_refuses(folder: RunFolder):
    folder.write_process(Process(host="cluster", boot="b", pid=1, created=0.0, attempt=1))
    folder.beat()
    with pytest.raises(BusyError, match="cluster"), sole_writer(folder):
        pass
    old = time.time() - 600
    os.utime(folder.alive, (old, old))
    with sole_writer(folder):
        pass


def test_changed_rows_and_models_are_refused(tmp_path: Path):
    folder = prm_run(tmp_path / "run", story_rows(3))
    with folder.input.open("ab") as rows:
        rows.write(b"\n")
    assert run_attempt(folder.path, lambda _: lambda worker: {}) == 1
    assert "create the run again" in ended(folder).message


def test_no_run_folder_is_said_and_is_exit_code_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_an_unknown_recipe_fails_with_the_known_ones(tmp_path: Path):
    folder = prm_run(tmp_path / "run", story_rows(3))
    text = folder.spec.read_text().replace('"recipe": "prm"', '"recipe": "dance"')
    write_atomic(folder.spec, text.encode())
    assert main([str(folder.path)]) == 1
    assert "choose one of prm, orm, score" in ended(folder).message


def test_attempts_and_torn_lines(folder: RunFolder):
    def recipe(worker: Worker) -> dict[str, float]:
        worker.resume(-1 if worker.attempt == 1 else 0)
        worker.notice(Level.INFO, "hello", "hello", n=1)
        return {"x": 1.0, "no figure": float("nan")}

    assert run_attempt(folder.path, lambda _: recipe) == 0
    with folder.events.open("ab") as file:
        file.write(b'{"kind":"metrics","attempt":1,"seq')
    with folder.records.open("ab") as file:
        file.write(b'{"type":"sco')
    assert run_attempt(folder.path, lambda _: recipe) == 0
    said = all_events(folder)
    assert [(e.attempt, e.sequence, type(e).__name__) for e in said] == [
        (1, 1, "Notice"),
        (1, 2, "Ended"),
        (2, 1, "Resumed"),
        (2, 2, "Notice"),
        (2, 3, "Ended"),
    ]
    assert last_attempt(folder.events) == 2
    assert folder.records.read_bytes() == b""
    assert ended(folder).summary == {"x": 1.0}
    assert folder.last_beat() is not None
    process = folder.read_process()
    assert process is not None
    assert (process.host, process.boot, process.pid, process.attempt) == (host_name(), boot_id(), os.getpid(), 2)


def test_figures_that_are_no_numbers_are_left_out(folder: RunFolder):
    def recipe(worker: Worker) -> dict[str, float]:
        worker.metrics(Split.TRAIN, {"loss": float("nan"), "accuracy": 0.5, "norm": float("inf")})
        worker.metrics(Split.TEST, {"loss": float("nan")})
        return {}

    assert run_attempt(folder.path, lambda _: recipe) == 0
    found = [event.values for event in all_events(folder) if isinstance(event, events.Metrics)]
    assert found == [{"accuracy": 0.5}]


def test_nothing_is_said_after_the_end(folder: RunFolder):
    def recipe(worker: Worker) -> dict[str, float]:
        raise Stopped(Control.PAUSE)

    assert run_attempt(folder.path, lambda _: recipe) == 0
    assert isinstance(last(folder), events.Ended)


class Left(Exception):
    """Stands for the end of the process."""


def test_a_process_of_another_machine_stays_though_it_cannot_see_the_first(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
):
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr("trainer.runtime.worker.os._exit", leave)
    follower = Follower(folder, folder.read_spec())
    follower._leave_with_first(Peers({2: os.getpid(), 3: os.getpid()}, 4))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as first:
        peers = Peers({0: first.pid, 1: os.getpid()}, 4)
    with pytest.raises(Left, match="1"):
        follower._leave_with_first(peers)
