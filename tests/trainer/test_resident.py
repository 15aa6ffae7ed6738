"""A resident score run: a real worker that answers requests by id, each once, whatever happens to it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.trainer.runs import all_events, ended, finish, score_run, story_rows, until
from tests.trainer.warm import WarmWorker, finish_warm, start_warm
from trainer.contract import events, requests
from trainer.contract.events import Outcome
from trainer.contract.records import InputRow, ScoreRecord, record_id
from trainer.contract.requests import AnyRequest, CancelRequest, ScoreRequest
from trainer.contract.run_folder import Control, RunFolder, read_records
from trainer.models.judge import class_probabilities, p_correct
from trainer.models.load import load_for_training, load_prm
from trainer.models.prm import PrmSettings
from trainer.placement import StepEncoder
from trainer.recipes import score
from trainer.runtime.resident import Check, RequestCancelled, Resident
from trainer.runtime.worker import RunFailed, Worker, run_attempt

ROWS = story_rows(12, seed=7)
LONG = 60.0  # minutes: the test is over before


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny PRM: its scores are as good as any to be compared."""
    folder = tmp_path_factory.mktemp("prm") / "model"
    texts = [row.problem + " ".join(row.steps) for row in ROWS]
    settings = PrmSettings(separator="\n", classes=2, max_length=256)
    made = load_for_training("tiny", settings, texts, seed=3, with_language_head=False)
    made.prm.save(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def resident_run(path: Path, prm: Path, rows: tuple[InputRow, ...] = (), idle: float = LONG) -> RunFolder:
    return score_run(path, prm, rows, resident=True, idle_minutes=idle)


def ask(folder: RunFolder, *numbers: int) -> None:
    """Request n asks for row n."""
    requests.append(folder.requests, *(ScoreRequest(id=f"q{n}", row=ROWS[n]) for n in numbers))


def answers(folder: RunFolder) -> dict[str, events.Answered]:
    """By request; no request twice."""
    said = [event for event in all_events(folder) if isinstance(event, events.Answered)]
    found = {event.request: event for event in said}
    assert len(found) == len(said), "a request was answered twice"
    return found


def recorded(folder: RunFolder) -> dict[str, ScoreRecord]:
    """By row; no row twice."""
    records = [record for record in read_records(folder.records)[0] if isinstance(record, ScoreRecord)]
    found = {record.row: record for record in records}
    assert len(found) == len(records), "a row was recorded twice"
    return found


@pytest.fixture
def working(tmp_path: Path, prm: Path) -> Iterator[tuple[RunFolder, WarmWorker]]:
    folder = resident_run(tmp_path / "run", prm)
    worker = start_warm(folder)
    yield folder, worker
    worker.kill()
    worker.wait()


def test_requests_are_answered_in_order_with_the_scores_of_the_model(working: tuple[RunFolder, WarmWorker], prm: Path):
    folder, worker = working
    ask(folder, 3)
    assert until(worker, lambda: folder.events.exists() and "q3" in answers(folder)), folder.tail_of_log()
    ask(folder, 5, 3, 1)  # 3 once more: known, so nothing new
    assert until(worker, lambda: "q1" in answers(folder))
    assert list(answers(folder)) == ["q3", "q5", "q1"]
    found = recorded(folder)
    assert list(found) == [ROWS[n].id for n in (3, 5, 1)]
    loaded = load_prm(str(prm))
    encoder = StepEncoder(loaded.tokenizer, loaded.prm.settings.separator, loaded.prm.settings.max_length)
    torch.set_num_threads(1)
    for n in (3, 5, 1):
        row = ROWS[n]
        encoded = encoder.encode(row.problem, row.steps)
        (part,) = class_probabilities(loaded.prm, [encoded], budget=8192)
        assert found[row.id].values == pytest.approx(p_correct(part, len(row.steps)), abs=1e-6)
        assert found[row.id].id == record_id("run-score", row.id, 0)
    folder.ask(Control.CANCEL)
    assert worker.wait(20) == 0
    assert ended(folder).outcome is Outcome.CANCELLED


def test_a_torn_request_waits_and_its_rest_or_the_next_writer_completes_the_file(
    working: tuple[RunFolder, WarmWorker],
):
    folder, worker = working
    line = requests.encoder.encode(ScoreRequest(id="q0", row=ROWS[0])) + b"\n"
    folder.requests.write_bytes(line[:50])
    assert until(worker, lambda: folder.events.exists() and b"waiting for requests" in folder.events.read_bytes())
    assert answers(folder) == {}
    with folder.requests.open("ab") as file:
        file.write(line[50:])
    assert until(worker, lambda: "q0" in answers(folder))
    with folder.requests.open("ab") as file:
        file.write(line[:40])  # its writer was killed
    ask(folder, 2)
    assert until(worker, lambda: "q2" in answers(folder))
    assert [head.id for head in map(requests.head_decoder.decode, folder.requests.read_bytes().splitlines())] == [
        "q0",
        "q2",
    ]
    assert set(recorded(folder)) == {ROWS[0].id, ROWS[2].id}


def test_killed_in_the_middle_and_started_again_each_is_answered_once(tmp_path: Path, prm: Path):
    folder = resident_run(tmp_path / "run", prm, idle=0.02)
    ask(folder, *range(6))
    said = folder.events.read_bytes
    worker = start_warm(folder)
    assert until(worker, lambda: folder.records.exists() and len(recorded(folder)) >= 2 and b"answered" in said())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    lines = said().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if b'"answered"' in line)
    folder.events.write_bytes(b"".join(lines[:last]) + lines[last][:30])  # killed between the record and the word of it
    ask(folder, 6, 7)
    assert requests.unanswered(folder)[-2:] == ("q6", "q7")
    assert finish_warm(folder) == 0, folder.tail_of_log()
    assert set(answers(folder)) == {f"q{n}" for n in range(8)}
    assert set(recorded(folder)) == {row.id for row in ROWS[:8]}
    assert not any(answer.error for answer in answers(folder).values())
    assert requests.unanswered(folder) == ()


def test_rows_first_then_requests_then_the_idle_end(tmp_path: Path, prm: Path):
    folder = resident_run(tmp_path / "run", prm, tuple(ROWS[:4]), idle=0.02)
    ask(folder, 2, 4)
    began = time.monotonic()
    assert finish(folder) == 0, folder.tail_of_log()
    assert time.monotonic() - began >= 1.2
    assert (ended(folder).outcome, ended(folder).summary["rows"]) == (Outcome.FINISHED, 6.0)
    assert list(recorded(folder)) != []
    assert set(recorded(folder)) == {row.id for row in ROWS[:5]}, "row 2 was scored already"
    assert set(answers(folder)) == {"q2", "q4"}
    told = [(e.phase, e.done, e.total) for e in all_events(folder) if isinstance(e, events.Progress)]
    assert told[-1] == ("waiting for requests", 2, 2)


# The loop by itself, in this process: what a handler does is up to the test.


def serve(folder: RunFolder, handle: object, idle: float = 0.002) -> int:
    def recipe(worker: Worker) -> dict[str, float]:
        Resident(worker, idle).serve(handle)  # type: ignore[arg-type]
        return {}

    return run_attempt(folder.path, lambda _: recipe)


def test_cancelled_requests_are_not_handled_and_a_running_one_stops(tmp_path: Path, prm: Path):
    folder = resident_run(tmp_path / "run", prm)
    ask(folder, 0, 1, 2, 3)
    requests.append(folder.requests, CancelRequest(id="c2", target="q2"))
    handled: list[str] = []

    def handle(request: AnyRequest, check: Check) -> None:
        handled.append(request.id)
        if request.id == "q1":
            requests.append(folder.requests, CancelRequest(id="c1", target="q1"), CancelRequest(id="c3", target="q3"))
            check()
            raise AssertionError("check lets a cancelled request go on")

    assert serve(folder, handle) == 0
    assert handled == ["q0", "q1"]
    assert {name: answer.error for name, answer in answers(folder).items()} == {
        "q0": "",
        "q1": "cancelled",
        "q2": "cancelled",
        "q3": "cancelled",
    }


def test_one_request_fails_and_the_next_is_answered(tmp_path: Path, prm: Path):
    folder = resident_run(tmp_path / "run", prm)
    ask(folder, 0, 1, 2)

    def handle(request: AnyRequest, _check: Check) -> None:
        if request.id == "q0":
            raise RunFailed("ask something else")
        if request.id == "q1":
            raise ZeroDivisionError("by 0")

    with folder.requests.open("ab") as file:
        file.write(b'{"kind":"dance","id":"q8"}\nno request at all\n')
    assert serve(folder, handle) == 0
    found = {name: answer.error for name, answer in answers(folder).items()}
    assert (found["q0"], found["q1"], found["q2"]) == ("ask something else", "ZeroDivisionError: by 0", "")
    assert "another version" in found["q8"]
    (told,) = [event for event in all_events(folder) if isinstance(event, events.Notice)]
    assert told.code == "unreadable_request"
    assert requests.unanswered(folder) == ()


@pytest.mark.parametrize(("control", "left"), [(Control.PAUSE, ("q1", "q2")), (Control.CANCEL, ())])
def test_a_pause_leaves_requests_to_the_next_attempt_and_a_cancel_answers_them(
    tmp_path: Path, prm: Path, control: Control, left: tuple[str, ...]
):
    folder = resident_run(tmp_path / "run", prm)
    ask(folder, 0, 1, 2)

    def handle(request: AnyRequest, check: Check) -> None:
        if request.id == "q1" and folder.asked() is None and control is not None:
            folder.ask(control)
            check()

    assert serve(folder, handle) == 0
    assert requests.unanswered(folder) == left
    folder.clear_control()
    assert serve(folder, lambda _request, _check: None) == 0
    assert set(answers(folder)) == {"q0", "q1", "q2"}


def test_the_recipe_refuses_what_it_cannot_answer(tmp_path: Path, prm: Path, monkeypatch: pytest.MonkeyPatch):
    folder = resident_run(tmp_path / "run", prm, idle=0.002)

    def other(self: Resident, answer: object) -> None:
        with pytest.raises(RunFailed, match="of the kind cancel"):
            answer(CancelRequest(id="a", target="b"), self.check)  # type: ignore[operator]
        self._current_is_cancelled = True
        with pytest.raises(RequestCancelled):
            answer(ScoreRequest(id="q", row=ROWS[0]), self.check)  # type: ignore[operator]

    monkeypatch.setattr(Resident, "serve", other)
    assert run_attempt(folder.path, lambda _: score.run) == 0, ended(folder).traceback
    assert recorded(folder) == {}
