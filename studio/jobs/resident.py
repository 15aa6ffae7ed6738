"""Resident runs as the app uses them: ask one, follow its answers, wake it when it sleeps, let it make room for others.

A request goes to the run of its recipe that has these models on this device: to a living one at once, else an ended one
is woken, else one is made. A resident run takes its turn in the device's queue, at its head, and leaves as soon as
something else waits for the device and nobody waits for an answer; what is asked meanwhile waits for its next turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from studio.domain import Changes, new_uid
from studio.errors import NotFoundError, RunError, SteplensError
from studio.jobs.follower import Follower
from studio.jobs.ingest import has_new, ingest_new
from studio.jobs.prepare import create_run
from studio.jobs.standing import Standing, Wanted
from studio.jobs.states import may_write
from studio.jobs.streams import Streamed, Tail
from studio.jobs.values import Reply, Stage
from studio.store import monitor_rows, rows, runs
from studio.store.models import StoredModel
from studio.store.rows import Selection
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract import events, requests
from trainer.contract.records import InputRow, RunState
from trainer.contract.requests import AnyRequest, CancelRequest, ScoreRequest
from trainer.contract.run_folder import Control, RunFolder, host_name
from trainer.contract.spec import Value

log = logging.getLogger(__name__)
POLL_SECONDS, EAGER_POLL_SECONDS = 0.005, 0.0003
SOONEST_SECONDS = 0.003  # no model answers sooner; the window has the interpreter for itself
EAGER_SECONDS = 10.0  # for so long after a question its answer is looked for more often
LOOK_SECONDS = 0.1
DOING = {"score": "scoring", "monitor": "looking", "generate": "writing", "search": "searching", "route": "answering"}

Listener = Callable[[Reply | Streamed], None]


@dataclass(slots=True)
class _Asked:
    """A request of this window that has no answer yet."""

    id: str
    run_id: int
    listener: Listener
    told: str = ""
    woken_after_crash: bool = False


class Residents:
    """Requests of one window. `ask`, `score` and `cancel` touch disk and database: a background thread's work."""

    def __init__(self, workspace: Workspace, follower: Follower, hurry: Callable[[], None]) -> None:
        self.workspace, self.follower = workspace, follower
        self._hurry = hurry  # the table has changed: read it, and start what can start, at the next tick
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}
        self._tails: dict[int, Tail] = {}
        self._may_wake: set[int] = set()  # runs that this window asked to make room, or found paused when it asked
        self._last_asked = 0.0
        self._standing = Standing(workspace, follower)
        self._given_up: set[int] = set()  # runs whose records cannot be read
        self._something = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    # asking

    def ask(
        self,
        recipe: str,
        models: Mapping[str, str],
        request: AnyRequest,
        listener: Listener,
        *,
        settings: Mapping[str, Value] | None = None,
        device: str = "cpu",
    ) -> str:
        """Have a request answered; returns its id. The listener hears how it goes, and what is told, to its end.

        `models` are names, uids or paths by role; `settings` are the run's own, and one with others is another run:
        what only this request wants belongs into the request. Raises NotFoundError, RunError, SpecError.
        """
        wanted = Wanted(recipe, dict(models), dict(settings or {}), device)
        with self._asking:  # two keys pressed in a row find the same run
            run = self._standing.find(wanted) or self._make(wanted)
            self._standing.remember(wanted, run)
            return self._ask(run, request, listener)

    def score(self, model: StoredModel, trace: str, listener: Callable[[Reply], None], *, device: str = "cpu") -> str:
        """Have the trace of this uid scored by a PRM or looked at by a monitor; returns the request's id.

        Raises NotFoundError, RunError.
        """

        def hear(said: Reply | Streamed) -> None:
            if isinstance(said, Reply):
                listener(said)

        recipe = "monitor" if model.kind == "monitor" else "score"
        request = ScoreRequest(id=new_uid(), row=self._row_of(trace, recipe))
        return self.ask(recipe, {"model": model.uid}, request, hear, device=device)

    def _row_of(self, trace: str, recipe: str) -> InputRow:
        selection = Selection(traces=(trace,), only_submitted=False, labelled=False, responses=recipe == "monitor")
        with self.workspace.database.read() as c:
            found = rows.stream(c, selection)
            given = tuple(monitor_rows.dressed(c, found) if recipe == "monitor" else found)
        if not given:
            raise RunError("this trace is not here any more, or is being imported; open it again")
        return given[0]

    def cancel(self, request: str) -> None:
        """Nobody wants this answer any more; nothing happens when it has come."""
        with self._lock:
            asked = self._asked.pop(request, None)
        if asked is None:
            return
        with self.workspace.database.read() as c:
            run = runs.get(c, asked.run_id)
        folder = RunFolder(self.workspace.path / run.folder)
        requests.append(folder.requests, CancelRequest(id=new_uid(), target=request))
        if run.state is StoredState.QUEUED and not requests.unanswered(folder):
            self.workspace.database.run(lambda c: runs.stop_waiting(c, run.id, StoredState.PAUSED))
            self._hurry()
        self._reply(asked, Stage.CANCELLED, "cancelled")

    def _make(self, wanted: Wanted) -> StoredRun:
        uid = create_run(self.workspace, wanted.order(self._standing.name_for(wanted)), without_rows=True)
        with self.workspace.database.read() as c:
            made = runs.by_uid(c, uid)
        self.workspace.database.run(lambda c: _first_if_it_waits(c, made.id))
        self._hurry()
        return made

    def _ask(self, run: StoredRun, request: AnyRequest, listener: Listener) -> str:
        folder = RunFolder(self.workspace.path / run.folder)
        lives = run.state is StoredState.STARTED  # then the table need not be asked at once: its answer is on the way
        with self._lock:
            self._tails.setdefault(run.id, Tail(folder.events)).due = lives * (time.monotonic() + LOOK_SECONDS)
            self._asked[request.id] = _Asked(request.id, run.id, listener)
            self._may_wake.add(run.id)
            self._last_asked = time.monotonic()
        requests.append(folder.requests, request)
        self._begin()
        self._something.set()
        return request.id

    # following

    def start(self) -> None:
        """Requests can be followed; the thread comes with the first."""
        self._ended.clear()

    def stop(self) -> None:
        """Stop following; what was asked is answered all the same, and stored at the next start."""
        self._ended.set()
        self._something.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._loop, name="answers", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        while not self._ended.is_set():
            if not self._asked:
                self._something.wait()
                self._something.clear()
                continue
            try:
                self._look()
                since = time.monotonic() - self._last_asked
                eager = EAGER_POLL_SECONDS if since < EAGER_SECONDS else POLL_SECONDS
                self._ended.wait(max(eager, SOONEST_SECONDS - since))
            except Exception as error:
                log.exception("following requests failed")
                for asked in self._open():
                    self._finish(asked, Stage.FAILED, f"{error}; ask again")

    def _open(self) -> list[_Asked]:
        with self._lock:
            return list(self._asked.values())

    def _look(self) -> None:
        for run_id in {asked.run_id for asked in self._open()}:
            with self._lock:
                tail = self._tails[run_id]
            for event in tail.read():
                if isinstance(event, events.Answered):
                    self._on_answered(event)
                else:
                    self._on_streamed(run_id, event)
            if time.monotonic() >= tail.due:
                tail.due = time.monotonic() + LOOK_SECONDS
                self._look_after(run_id)

    def _on_answered(self, answer: events.Answered) -> None:
        with self._lock:
            asked = self._asked.get(answer.request)
        if asked is None:
            return
        try:
            ingest_new(self.workspace, asked.run_id)
        except RunError as error:
            self._finish(asked, Stage.FAILED, str(error))
            return
        if not answer.error:
            self._finish(asked, Stage.DONE, "done")
        else:
            stage = Stage.CANCELLED if answer.error == requests.CANCELLED else Stage.FAILED
            self._finish(asked, stage, answer.error)

    def _on_streamed(self, run_id: int, event: events.Wrote | events.Grew) -> None:
        with self._lock:
            asked = self._asked.get(event.request)
        if asked is not None:
            self._deliver(asked, Streamed(asked.id, run_id, event))

    def _look_after(self, run_id: int) -> None:
        """Wake a run that ended before it saw a request; tell those who wait what they wait for."""
        with self.workspace.database.read() as c:
            run = runs.get(c, run_id)
        mine = [asked for asked in self._open() if asked.run_id == run_id]
        if run.state is StoredState.STARTED:
            if RunFolder(self.workspace.path / run.folder).asked() is None:
                self._may_wake.discard(run_id)  # should it be paused from now on, then by a person
            self._say(mine, self._doing(run))
        elif run.state is StoredState.QUEUED:
            self._say(mine, self._why_it_waits(run))
        elif run.state is StoredState.PAUSED and run_id not in self._may_wake:
            self._say(mine, "paused; resume it on the Train page")
        elif run.state in (StoredState.FINISHED, StoredState.PAUSED):
            self._wake(run)
        elif run.state is StoredState.CRASHED:
            self._on_crashed(run, mine)
        else:
            for asked in mine:
                self._finish(asked, Stage.FAILED, run.message or str(run.state.value))

    def _on_crashed(self, run: StoredRun, mine: list[_Asked]) -> None:
        """Its worker was killed: once it is started again; a request that it died of twice is taken back."""
        folder = RunFolder(self.workspace.path / run.folder)
        for asked in mine:
            if asked.woken_after_crash:
                requests.append(folder.requests, CancelRequest(id=new_uid(), target=asked.id))
                self._finish(asked, Stage.FAILED, run.message)
        left = [asked for asked in mine if not asked.woken_after_crash]
        if left and self._wake(run):
            for asked in left:
                asked.woken_after_crash = True

    def _wake(self, run: StoredRun) -> bool:
        folder = RunFolder(self.workspace.path / run.folder)
        if may_write(folder.read_process(), folder.last_beat()):
            return False  # it has said its last word and is about to leave
        self.workspace.database.run(lambda c: runs.wake(c, run.id))
        self.follower.remark(run.id, "")
        self._hurry()
        return True

    def _doing(self, run: StoredRun) -> str:
        try:
            view = self.follower.view(run.id)
        except NotFoundError:  # asked before the follower's first look at the table
            return RunState.STARTING.value
        if view.state is RunState.RUNNING:
            return DOING.get(run.recipe, "answering")
        return view.phase or view.state.value

    def _why_it_waits(self, run: StoredRun) -> str:
        there = [each for each in self.follower.stored() if each.device == run.device and each.host == run.host]
        busy = next((each.name for each in there if each.state is StoredState.STARTED and each.id != run.id), None)
        return f"waits for {run.device}, where {busy!r} runs" if busy is not None else f"waits for {run.device}"

    def _say(self, to: list[_Asked], text: str) -> None:
        for asked in to:
            if asked.told != text:
                asked.told = text
                self._reply(asked, Stage.WAITING, text)

    def _finish(self, asked: _Asked, stage: Stage, text: str) -> None:
        with self._lock:
            if self._asked.pop(asked.id, None) is None:
                return
        self._reply(asked, stage, text)

    def _reply(self, asked: _Asked, stage: Stage, text: str) -> None:
        self._deliver(asked, Reply(asked.id, asked.run_id, stage, text))

    def _deliver(self, asked: _Asked, said: Reply | Streamed) -> None:
        try:
            asked.listener(said)
        except Exception:
            log.exception("a listener of request %s failed", asked.id)

    # in the thread that ticks

    def tick(self) -> None:
        """Let idle resident runs make room, and store what was answered to a window that is gone."""
        started = [run for run in self.follower.stored() if run.resident and run.state is StoredState.STARTED]
        for run in started:
            if run.host == host_name():
                self._make_room(run)
                self._store_rest(run)

    def _make_room(self, run: StoredRun) -> None:
        waiting = [
            each
            for each in self.follower.stored()
            if each.state is StoredState.QUEUED and (each.device, each.host) == (run.device, run.host)
        ]
        folder = RunFolder(self.workspace.path / run.folder)
        if not waiting or folder.asked() is not None or requests.unanswered(folder):
            return
        with self._lock:
            self._may_wake.add(run.id)
        self.follower.remark(run.id, f"it made room for {waiting[-1].name!r} and comes back when something is asked")
        folder.ask(Control.PAUSE)

    def _store_rest(self, run: StoredRun) -> None:
        if run.id in self._given_up or any(asked.run_id == run.id for asked in self._open()):
            return
        try:
            if has_new(self.workspace, run.id):
                ingest_new(self.workspace, run.id)
        except SteplensError as error:
            log.warning("%s", error)
            self._given_up.add(run.id)
            self.follower.remark(run.id, f"what it made is not in the store: {error}")


def _first_if_it_waits(c: Connection, run_id: int) -> Changes:
    """On a free device it may have been started already."""
    return runs.put_first(c, run_id) if runs.get(c, run_id).state is StoredState.QUEUED else Changes()
