"""Traces scored on request, with real worker processes: one run stays, nothing is lost, nothing comes twice."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import dataclass, field

import pytest

from studio.domain import Changes, Topic
from studio.errors import RunError
from studio.jobs import prepare
from studio.jobs.estimate import estimate
from studio.jobs.prepare import create_run
from studio.jobs.service import Jobs
from studio.jobs.values import Reply, RunOrder, RunView, Stage
from studio.store import models, rows, runs, scores
from studio.store.models import StoredModel
from studio.store.rows import Selection
from tests.unit.jobs.making import House, until
from trainer.contract import requests
from trainer.contract.events import Answered
from trainer.contract.records import RunState
from trainer.contract.requests import ScoreRequest
from trainer.contract.run_folder import read_events, read_records, sha256_of_folder


@dataclass(slots=True)
class Asker:
    """Asks for scores of the PRM `counter` and keeps every reply."""

    house: House
    model: StoredModel
    traces: list[str]
    said: dict[str, list[Reply]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, reply: Reply) -> None:
        with self.lock:
            self.said.setdefault(reply.request, []).append(reply)

    def ask(self, number: int) -> str:
        return self.house.jobs.score_trace(self.model, self.traces[number], self.hear)

    def texts(self, request: str) -> list[str]:
        return [reply.text for reply in self.said.get(request, [])]

    def last(self, request: str) -> Reply | None:
        return self.said.get(request, [None])[-1]  # type: ignore[list-item]

    def wait(self, *asked: str) -> list[Reply]:
        """The last reply to each, once none waits."""
        found = [self.over(request) for request in asked]
        return [reply for reply in found if reply is not None]

    def over(self, request: str) -> Reply | None:
        until(lambda: (last := self.last(request)) is not None and last.stage is not Stage.WAITING, f"reply {request}")
        return self.last(request)

    def run(self) -> RunView:
        """The one resident run."""
        until(lambda: any(view.resident for view in self.house.jobs.runs()), "the resident run")
        (view,) = [view for view in self.house.jobs.runs() if view.resident]
        return view

    def stored(self) -> dict[str, int]:
        """How many rows of scores each trace has."""
        with self.house.workspace.database.read() as c:
            query = "SELECT trace.uid, count(*) FROM score JOIN trace ON trace.id = score.trace_id GROUP BY trace.uid"
            return dict(tuple(row) for row in c.exec_driver_sql(query))


@pytest.fixture
def asker(house: House) -> Asker:
    """A workspace with stories and the PRM `counter`."""
    database = house.workspace.database
    folder = house.workspace.models / "counter"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    run = database.run(
        lambda c: runs.prepare(c, uid="c" * 32, name="c", recipe="prm", device="cpu", host="h", process="")
    )
    known = {"kind": "prm", "folder": "models/counter", "base": "tiny", "checksum": sha256_of_folder(folder)}
    database.run(lambda c: models.register(c, run_id=run, name="counter", summary={}, **known))  # type: ignore[arg-type]
    with database.read() as c:
        (model,) = models.all_models(c, "prm")
        traces = list(c.exec_driver_sql("SELECT uid FROM trace ORDER BY id").scalars())
    return Asker(house, model, traces)


def short(asker: Asker, minutes: float) -> int:
    """A resident run of this PRM that ends after so many minutes."""
    parameters = {"model": asker.model.uid, "resident": True, "idle_minutes": minutes}
    uid = create_run(asker.house.workspace, RunOrder("score", parameters), without_rows=True)
    with asker.house.workspace.database.read() as c:
        return runs.by_uid(c, uid).id


def tell(monkeypatch: pytest.MonkeyPatch, **manner: object) -> None:
    monkeypatch.setenv("STEPLENS_TEST_WORKER", json.dumps(manner))


def test_two_requests_are_answered_by_one_process_and_seen_at_once(asker: Asker) -> None:
    heard: list[Changes] = []
    asker.house.workspace.database.subscribe(heard.append)
    assert [reply.stage for reply in asker.wait(asker.ask(0))] == [Stage.DONE]
    process = asker.house.folder(asker.run().id).read_process()
    assert [reply.stage for reply in asker.wait(asker.ask(1), asker.ask(1), asker.ask(2))] == [Stage.DONE] * 3
    assert asker.house.folder(asker.run().id).read_process() == process
    assert asker.stored() == dict.fromkeys(asker.traces[:3], 1)
    of_scores = [changes.traces for changes in heard if Topic.SCORES in changes.topics]
    assert frozenset().union(*of_scores) == {1, 2, 3}
    assert all(of_scores), "a change of scores names its traces"
    with asker.house.workspace.database.read() as c:
        (told,) = scores.of_trace(c, 1)
        assert set(told.values) == {0.25}
        assert c.exec_driver_sql("SELECT count(*) FROM batch WHERE kind = 'ingest'").scalar_one() == 1
    until(lambda: asker.run().idle_end is not None, "the word that it waits")
    until(lambda: asker.run().records == 3, "the table to be read again")
    assert (asker.run().state, asker.run().attempts, asker.run().rows) == (RunState.RUNNING, 1, 0)


def test_a_killed_worker_is_started_again_and_each_request_answered_once(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(monkeypatch, die=3)
    asked = [asker.ask(number) for number in range(6)]
    assert {reply.stage for reply in asker.wait(*asked)} == {Stage.DONE}
    run = asker.run()
    assert run.attempts == 2
    assert asker.stored() == dict.fromkeys(asker.traces[:6], 1)
    folder = asker.house.folder(run.id)
    answers = [e.request for e in read_events(folder.events)[0] if isinstance(e, Answered)]
    assert answers == asked
    assert len(read_records(folder.records)[0]) == 6


def test_a_request_that_kills_its_worker_twice_is_taken_back(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, deadly=asker.traces[0])
    deadly = asker.ask(0)
    (reply,) = asker.wait(deadly)
    assert reply.stage is Stage.FAILED
    assert "without a last word" in reply.text
    (reply,) = asker.wait(asker.ask(1))
    assert reply.stage is Stage.DONE
    assert asker.run().attempts == 3
    assert requests.unanswered(asker.house.folder(asker.run().id)) == ()


def test_an_error_reaches_who_asked_and_the_run_goes_on(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, fail_request=True)
    replies = asker.wait(asker.ask(0), asker.ask(1))
    assert [(reply.stage, reply.text) for reply in replies] == [(Stage.FAILED, "told to fail")] * 2
    asker.house.wait(asker.run().id, RunState.RUNNING)
    assert asker.stored() == {}
    with pytest.raises(RunError, match="not here any more"):
        asker.house.jobs.score_trace(asker.model, "gone", asker.hear)


def test_it_ends_after_its_idle_time_and_is_woken_by_the_next_request(asker: Asker) -> None:
    run = short(asker, 0.01)
    asker.wait(asker.ask(0))
    asker.house.wait(run, RunState.FINISHED)
    asker.house.wait_ingested(run)
    asked = prepare.checked(RunOrder("score", {"model": asker.model.uid}))
    with asker.house.workspace.database.read() as c:
        said = estimate(asker.house.workspace, asked, rows.count(c, asked.selection))
    assert "measured" not in said.basis, "its time was mostly waiting"
    assert [reply.stage for reply in asker.wait(asker.ask(1))] == [Stage.DONE]
    asker.house.wait_ingested(run)
    until(lambda: asker.house.view(run).records == 2, "the table to be read again")
    assert asker.house.view(run).attempts == 2
    assert asker.stored() == dict.fromkeys(asker.traces[:2], 1)


def test_it_makes_room_for_a_training_and_comes_back_when_something_is_asked(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker.wait(asker.ask(0))
    resident = asker.run().id
    tell(monkeypatch, seconds=0.05)
    training = asker.house.order(steps=40, name="a training")
    asker.house.wait(training, RunState.RUNNING)
    view = asker.house.view(resident)
    assert (view.state, view.asked) == (RunState.PAUSED, "")
    assert "it made room for 'a training'" in view.message
    asked = asker.ask(1)
    until(lambda: "waits for cpu, where 'a training' runs" in asker.texts(asked), "word of what it waits for")
    waiting = asker.house.order(steps=4, name="another")
    assert [reply.stage for reply in asker.wait(asked)] == [Stage.DONE]
    assert asker.house.view(training).state is RunState.FINISHED
    assert asker.house.wait(waiting, RunState.FINISHED).attempts == 1
    assert asker.house.view(resident).state is RunState.PAUSED, "it left the device to the run that waited"


def test_a_request_is_taken_back_while_it_waits_for_the_device(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.05)
    training = asker.house.order(steps=1000)
    asker.house.wait(training, RunState.RUNNING)
    asked = asker.ask(0)
    until(lambda: asker.last(asked) is not None, "word of what it waits for")
    asker.house.jobs.cancel_request(asked)
    assert [reply.stage for reply in asker.wait(asked)] == [Stage.CANCELLED]
    asker.house.jobs.cancel_request(asked)  # once more: nothing
    view = asker.house.wait(asker.run().id, RunState.PAUSED)
    assert view.attempts == 0
    asker.house.jobs.cancel(training)
    asker.house.wait(training, RunState.CANCELLED)
    assert [reply.stage for reply in asker.wait(asker.ask(1))] == [Stage.DONE]
    assert asker.stored() == {asker.traces[1]: 1}


def test_a_request_is_taken_back_while_it_is_answered(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.02, pieces=10_000)
    asked, next_one = asker.ask(0), asker.ask(1)
    until(lambda: "scoring" in asker.texts(asked), "the start")
    asker.house.jobs.cancel_request(asked)
    asker.house.jobs.cancel_request(next_one)
    assert {reply.stage for reply in asker.wait(asked, next_one)} == {Stage.CANCELLED}
    until(lambda: asker.run().idle_end is not None, "the worker to give it up")
    assert asker.stored() == {}


def test_who_waits_hears_that_the_run_was_cancelled_and_the_next_request_has_a_new_one(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(monkeypatch, seconds=0.02, pieces=10_000)
    asked = [asker.ask(0), asker.ask(1)]
    until(lambda: "scoring" in asker.texts(asked[0]), "the start")
    first = asker.run().id
    asker.house.jobs.cancel(first)
    assert {(reply.stage, reply.text) for reply in asker.wait(*asked)} == {(Stage.FAILED, "the run was cancelled")}
    asker.house.wait(first, RunState.CANCELLED)
    tell(monkeypatch)
    (reply,) = asker.wait(asker.ask(2))
    assert (reply.stage, reply.run_id == first) == (Stage.DONE, False)


def test_a_person_who_pauses_it_decides_when_it_goes_on(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.02, pieces=10_000)
    asked = asker.ask(0)
    until(lambda: "scoring" in asker.texts(asked), "the start")
    asker.house.jobs.pause(asker.run().id)
    until(lambda: asker.texts(asked)[-1].startswith("paused; resume it"), "the word that it is paused")
    tell(monkeypatch)
    asker.house.jobs.resume(asker.run().id)
    assert [reply.stage for reply in asker.wait(asked)] == [Stage.DONE]


def test_run_now_takes_the_device_and_the_resident_run_does_not_come_back_by_itself(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(monkeypatch, seconds=0.05)
    asker.wait(asker.ask(0))
    resident, training = asker.run().id, asker.house.order(steps=5)
    asker.house.jobs.run_now(training)
    asker.house.wait(training, RunState.FINISHED)
    assert asker.house.view(resident).state is RunState.PAUSED


def test_answers_to_a_window_that_is_gone_come_into_the_store(asker: Asker) -> None:
    """Its worker outlives it; what was asked and is not stored is stored by the next window."""
    asker.wait(asker.ask(0))
    run = asker.house.folder(asker.run().id)
    asker.house.jobs.stop()
    row = next(
        request.row
        for request in map(requests.decoder.decode, run.requests.read_bytes().splitlines())
        if isinstance(request, ScoreRequest)
    )
    with asker.house.workspace.database.read() as c:
        wanted = Selection(traces=tuple(asker.traces[3:5]), only_submitted=False, labelled=False)
        others = list(rows.stream(c, wanted))
    assert row.trace == asker.traces[0]
    requests.append(run.requests, *(ScoreRequest(id=other.id, row=other) for other in others))
    until(lambda: requests.unanswered(run) == (), "answers without a window")
    assert asker.stored() == {asker.traces[0]: 1}
    asker.house.jobs = Jobs(asker.house.workspace, interpreter=asker.house.jobs.interpreter)
    asker.house.jobs.start()
    until(lambda: len(asker.stored()) == 3, "the store to be up to date")
    asker.wait(asker.ask(5))
    assert asker.run().attempts == 1
    assert asker.stored() == dict.fromkeys([asker.traces[n] for n in (0, 3, 4, 5)], 1)


def test_a_run_that_starts_the_moment_it_is_made_answers(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_and_started(*given: object, **more: object) -> str:
        uid = create_run(*given, **more)  # type: ignore[arg-type]
        until(
            lambda: any(v.uid == uid and v.state is not RunState.QUEUED for v in asker.house.jobs.runs()), "the start"
        )
        return uid

    monkeypatch.setattr("studio.jobs.resident.create_run", made_and_started)
    assert [reply.stage for reply in asker.wait(asker.ask(0))] == [Stage.DONE]


def test_a_run_that_is_being_cancelled_is_asked_nothing_more(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(monkeypatch, seconds=0.02, pieces=10_000)
    asked = asker.ask(0)
    until(lambda: "scoring" in asker.texts(asked), "the start")
    first = asker.run().id
    worker = asker.house.folder(first).read_process()
    assert worker is not None
    os.kill(worker.pid, signal.SIGSTOP)  # it has not seen yet that it is cancelled
    asker.house.jobs.cancel(first)
    tell(monkeypatch)
    another = asker.ask(1)
    os.kill(worker.pid, signal.SIGCONT)
    (gone, reply) = asker.wait(asked, another)
    assert (gone.stage, gone.text) == (Stage.FAILED, "the run was cancelled")
    assert (reply.stage, reply.run_id == first) == (Stage.DONE, False)
