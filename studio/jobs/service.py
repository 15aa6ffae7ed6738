"""Runs as the app sees them: order, follow, steer. No Qt; threads inside; a killed window never touches a worker.

Every reading method answers from memory and may be called on the GUI thread; `preview`, `create` and the steering
verbs touch disk and database and belong on a background thread.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from studio.errors import RunError
from studio.jobs import children, grid, labelling, pins, prepare, processes, refresh, remote
from studio.jobs.devices import CPU, Machine, machine
from studio.jobs.follower import TICK_SECONDS, Follower, Listener
from studio.jobs.labelling import Sent
from studio.jobs.pins import Pinned
from studio.jobs.resident import Residents
from studio.jobs.scheduler import Scheduler
from studio.jobs.states import why_not_write
from studio.jobs.streams import Streamed
from studio.jobs.values import Curve, Example, Preview, Reply, RunNotice, RunOrder, RunView
from studio.store import runs
from studio.store.models import StoredModel
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract.records import ModelRef, RunState
from trainer.contract.requests import AnyRequest
from trainer.contract.run_folder import Control, RunFolder
from trainer.contract.spec import Value

log = logging.getLogger(__name__)
TABLE_SECONDS = 0.5
INSIST_SECONDS = 10.0
LEAVE_SECONDS = 10.0
"""A worker that has said its last word needs a moment to leave."""


class Jobs:
    """All runs of one workspace on this machine."""

    def __init__(self, workspace: Workspace, *, interpreter: str | None = None) -> None:
        self.workspace = workspace
        self.interpreter = interpreter or sys.executable
        self._follower = Follower(workspace)
        self._scheduler: Scheduler | None = None
        self._residents = Residents(workspace, self._follower, self._reload)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._table_due = 0.0

    def start(self) -> None:
        """Follow (10 Hz), start what is queued on each device, adopt what a killed window left, ingest what ended."""
        if self._thread is None:
            self._ended.clear()
            self._residents.start()
            self._thread = threading.Thread(target=self._loop, name="runs", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop following; workers go on."""
        self._ended.set()
        self._residents.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def preview(self, order: RunOrder, progress: Callable[[int, int], None] | None = None) -> Preview:
        """Count the rows and estimate the run. Raises SpecError, NotFoundError. Background thread."""
        return self.preview_all((order,), progress)

    def preview_all(self, orders: Sequence[RunOrder], progress: Callable[[int, int], None] | None = None) -> Preview:
        """The same for all runs of a grid, added up. Background thread."""
        return grid.preview(self.workspace, orders, progress)

    def create(self, order: RunOrder, progress: Callable[[str, int, int], None] | None = None) -> RunView:
        """Freeze the rows and queue the run, in a child process; `progress(phase, done, total)` may raise to cancel.

        Raises RunError, SpecError. Background thread.
        """
        given = msgspec.json.encode(prepare.checked(order))
        arguments = ("run", order.recipe, "--workspace", str(self.workspace.path), "--order", "-", "--progress", "json")
        report = children.call(arguments, given=given, progress=progress)
        self._follower.reload()
        self._table_due = 0.0
        return self.view(int(report["id"]))

    def create_all(
        self, orders: Sequence[RunOrder], progress: Callable[[str, int, int], None] | None = None
    ) -> tuple[RunView, ...]:
        """Create every run of a grid; when one cannot be made, or `progress` raises, those before it are cancelled."""
        made: list[RunView] = []
        try:
            for number, order in enumerate(orders, 1):
                lead = f"run {number} of {len(orders)}: " if len(orders) > 1 else ""

                def tell(phase: str, done: int, total: int, lead: str = lead) -> None:
                    if progress is not None:
                        progress(f"{lead}{phase}", done, total)

                made.append(self.create(order, tell))
        except BaseException:
            for view in made:
                self.cancel(view.id)
            raise
        return tuple(made)

    def score_trace(
        self, model: StoredModel, trace: str, listener: Callable[[Reply], None], *, device: str = CPU
    ) -> str:
        """Ask the resident run of this PRM, or monitor, to judge the trace of this uid; returns the request's id.

        The run is found, woken or made. The listener is called in a thread of the jobs. Raises NotFoundError, RunError.
        Background thread.
        """
        return self._residents.score(model, trace, listener, device=device)

    def ask(
        self,
        recipe: str,
        models: Mapping[str, str],
        request: AnyRequest,
        listener: Callable[[Reply | Streamed], None],
        *,
        settings: Mapping[str, Value] | None = None,
        device: str = CPU,
    ) -> str:
        """Ask the resident run of this recipe with these models (name, uid or path by role); returns the request's id.

        The run is found, woken or made, with `settings` of its own; what only this request wants belongs into the
        request. The listener is called in a thread of the jobs, with what is told on the way too. Raises NotFoundError,
        RunError, SpecError. Background thread.
        """
        return self._residents.ask(recipe, models, request, listener, settings=settings, device=device)

    def cancel_request(self, request: str) -> None:
        """Take a request back; its listener hears so. Background thread."""
        self._residents.cancel(request)

    def cancel(self, run_id: int) -> None:
        """Stop for good (within 5 s). Asked again after 10 s, the process is killed. Raises RunError when it ended."""
        if not self._stop_waiting(run_id, StoredState.CANCELLED):
            self._cancel_started(self._started(run_id, "cancelled"))
        self._reload()

    def pause(self, run_id: int) -> None:
        """Checkpoint, end and free the device (within 5 s); a queued run just waits. Raises RunError when it ended."""
        if not self._stop_waiting(run_id, StoredState.PAUSED):
            run = self._started(run_id, "paused")
            self.workspace.database.run(lambda c: runs.set_requeue(c, run_id, False))
            self._folder(run).ask(Control.PAUSE)
        self._reload()

    def resume(self, run_id: int) -> None:
        """Queue it again, to go on from its last checkpoint. Raises RunError while another writer may live."""
        with self.workspace.database.read() as c:
            run = runs.get(c, run_id)
        self._refuse_second_writer(run)
        self.workspace.database.run(lambda c: runs.requeue(c, run_id))
        self._reload()

    def resume_on(self, run_id: int, prm: str) -> ModelRef:
        """Queue it again, to go on from its last checkpoint with another PRM. Raises NotFoundError, RunError."""
        with self.workspace.database.read() as c:
            run = runs.get(c, run_id)
        self._refuse_second_writer(run)
        made = refresh.refresh(self.workspace, run_id, prm)
        self.resume(run_id)
        return made

    def send_contested(self, run_id: int) -> Sent:
        """Put the most contested steps of its rollouts into a labelling project. Raises NotFoundError, RunError."""
        return labelling.send_contested(self.workspace, run_id)

    def pin(self, run_id: int, update: int, trace: str, *, on: bool = True) -> Pinned:
        """Keep a rollout for the store, or let it go. Raises NotFoundError, RunError, RunFolderError."""
        if on:
            return pins.pin(self.workspace, run_id, update, trace)
        return pins.unpin(self.workspace, run_id, trace)

    def fetch(self, run_id: int) -> None:
        """Bring what a run elsewhere has written, and ask its scheduler, now. Raises RunError. Background thread."""
        if self._scheduler is not None:
            self._scheduler.remotes.fetch(run_id)
        self._reload()

    def run_now(self, run_id: int) -> None:
        """Put it first: what runs on its device is paused and goes on afterwards. Raises RunError, ConflictError."""
        with self.workspace.database.read() as c:
            run = runs.get(c, run_id)
            self._refuse_second_writer(run)
            others = [each for each in runs.all_runs(c) if each.state is StoredState.STARTED]
        self.workspace.database.run(lambda c: runs.put_first(c, run_id))
        for other in others:
            if (other.device, other.host) == (run.device, run.host) and self._folder(other).asked() is None:
                goes_on = not other.resident  # that one comes back when something is asked
                self.workspace.database.run(lambda c, o=other, on=goes_on: runs.set_requeue(c, o.id, on))  # type: ignore[misc]
                self._folder(other).ask(Control.PAUSE)
        self._reload()

    def runs(self) -> tuple[RunView, ...]:
        """Every run, newest first."""
        return self._follower.views()

    def view(self, run_id: int) -> RunView:
        """One run. Raises NotFoundError."""
        return self._follower.view(run_id)

    def curves(self, run_id: int) -> dict[str, Curve]:
        """What is read so far, by name ("train/loss", "validation/auc"); an update follows when more is."""
        return self._follower.track(run_id).curves()

    def examples(self, run_id: int) -> tuple[Example, ...]:
        """The newest example of each row."""
        return self._follower.track(run_id).examples()

    def notices(self, run_id: int) -> tuple[RunNotice, ...]:
        """What the worker wanted people to know, oldest first."""
        return self._follower.track(run_id).notices()

    def log_tail(self, run_id: int, lines: int = 40) -> str:
        """The last lines of worker.log, at most 64 KiB."""
        return self._follower.track(run_id).folder.tail_of_log(lines)

    def machine(self) -> Machine:
        """Devices, load, free memory and disk. Background thread."""
        return machine(self.workspace.path)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be told of changes, in the follower's thread; returns the way to stop."""
        return self._follower.subscribe(listener)

    def _loop(self) -> None:
        self._scheduler = Scheduler(self.workspace, self._follower, self.interpreter)
        self._once("removing what a killed preparation left", lambda: prepare.discard_abandoned(self.workspace))
        try:
            while not self._ended.wait(TICK_SECONDS):
                self._once("following runs", self._tick)
        finally:
            self._scheduler.close()

    def _once(self, what: str, work: Callable[[], object]) -> None:
        """The thread outlives an error; it is logged, and the next tick tries again a little later."""
        try:
            work()
        except Exception:
            log.exception("%s failed", what)
            self._ended.wait(TABLE_SECONDS)

    def _tick(self) -> None:
        moment = time.monotonic()
        if moment >= self._table_due:
            self._table_due = moment + TABLE_SECONDS
            self._follower.reload()
            if self._scheduler is not None:
                self._scheduler.tick()
            self._residents.tick()
        self._follower.tick()

    def _reload(self) -> None:
        self._follower.reload()
        self._table_due = 0.0

    def _folder(self, run: StoredRun) -> RunFolder:
        return RunFolder(self.workspace.path / run.folder)

    def _stop_waiting(self, run_id: int, state: StoredState) -> bool:
        return self.workspace.database.run(lambda c: runs.stop_waiting(c, run_id, state))

    def _started(self, run_id: int, done: str) -> StoredRun:
        with self.workspace.database.read() as c:
            run = runs.get(c, run_id)
        if run.state is not StoredState.STARTED:
            raise RunError(f"run {run.name!r} is {run.state}; it cannot be {done}")
        return run

    def _refuse_second_writer(self, run: StoredRun) -> None:
        folder, began = self._folder(run), time.monotonic()
        why_not = why_not_write(folder)
        while why_not and run.state is not StoredState.STARTED and time.monotonic() - began < LEAVE_SECONDS:
            time.sleep(0.05)
            why_not = why_not_write(folder)
        if why_not:
            raise RunError(f"run {run.name!r} cannot go on: {why_not}")

    def _cancel_started(self, run: StoredRun) -> None:
        folder = self._folder(run)
        asked_long_ago = (
            folder.asked() is Control.CANCEL and time.time() - folder.control.stat().st_mtime >= INSIST_SECONDS
        )
        if not asked_long_ago:
            if folder.asked() is not Control.CANCEL:
                folder.ask(Control.CANCEL)
            return
        process = folder.read_process()
        scheduler, lost = self._scheduler, self._follower.state(run.id).state is RunState.LOST
        if not lost and scheduler is not None and scheduler.remotes.stop_job(run.id):
            return
        if process is not None and processes.is_here(process) and not (folder.path / remote.FILE).exists():
            processes.kill(process)
        elif lost:
            message = "given up by a person; should its worker come back, what it writes is not read"
            self.workspace.database.run(
                lambda c: runs.settle(c, run.id, run.attempts, StoredState.CANCELLED, message=message)
            )
