"""What was told of answers goes when the next attempt begins; those who follow the events miss and repeat nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.jobs.streams import Tail
from studio.jobs.track import Track
from trainer.contract import events
from trainer.contract.events import Answered, AnyEvent, Level, Notice, Progress, Wrote
from trainer.contract.run_folder import WORTH_DROPPING, RunFolder, all_events, last_attempt, last_event
from trainer.contract.spec import RunSpec, build, parameters
from trainer.runtime.worker import Worker


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    given = parameters(build("generate", {"model": "m", "resident": True}))
    made.create(RunSpec(run="r", name="r", recipe="generate", parameters=given), [])
    return made


def say(folder: RunFolder, attempt: int, *told: tuple[type[AnyEvent], dict[str, Any]]) -> None:
    with folder.events.open("ab") as file:
        for number, (kind, values) in enumerate(told, 1):
            whole = {"attempt": attempt, "sequence": number, "step": 0, "at": float(attempt)} | values
            file.write(events.encoder.encode(kind(**whole)) + b"\n")


def much(request: str) -> tuple[type[AnyEvent], dict[str, Any]]:
    return Wrote, {"request": request, "trace": 0, "text": "thinking " * (WORTH_DROPPING // 9 + 1)}


def attempt(request: str) -> tuple[tuple[type[AnyEvent], dict[str, Any]], ...]:
    """What an attempt says that answers one request."""
    return (
        (Progress, {"phase": request, "done": 0, "total": 1}),
        (Notice, {"level": Level.WARNING, "code": "a", "message": request}),
        much(request),
        (Answered, {"request": request, "seconds": 1.0}),
    )


def test_the_next_attempt_begins_without_it_and_followers_go_on(folder: RunFolder) -> None:
    say(folder, 1, *attempt("one"))
    track, tail = Track(folder), Tail(folder.events)
    track.read_all()
    tail.read()
    worker = Worker(folder, folder.read_spec())
    worker.close()
    assert worker.attempt == 2
    assert folder.events.stat().st_size < 2000
    assert [type(event) for event in all_events(folder.events)] == [Progress, Notice, Answered]
    say(folder, 2, *attempt("two"))
    told = tail.read()
    assert [event.request for event in told] == ["one", "two", "two"], "an answer told twice has nobody waiting"
    assert isinstance(told[1], Wrote)
    track.read_all()
    assert [notice.message for notice in track.notices()] == ["one", "two"]
    assert (track.attempt, track.progress and track.progress.phase) == (2, "two")
    fresh = Track(folder)
    fresh.read_all()
    assert fresh.notices() == track.notices()


def test_little_stays_and_so_does_what_another_run_says(folder: RunFolder) -> None:
    say(folder, 1, (Wrote, {"request": "one", "trace": 0, "text": "short"}))
    before = folder.events.stat()
    Worker(folder, folder.read_spec()).close()
    assert folder.events.stat().st_ino == before.st_ino
    assert folder.events.stat().st_size == before.st_size


def test_the_last_event_may_be_longer_than_what_is_read_at_once(folder: RunFolder) -> None:
    say(folder, 3, (Progress, {"phase": "x", "done": 0, "total": 1}), much("one"))
    assert folder.events.stat().st_size > 1 << 20
    assert last_attempt(folder.events) == 3
    assert isinstance(last_event(folder.events), Wrote)
