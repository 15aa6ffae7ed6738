"""Follow the runs of a workspace: one thread reads what was appended, derives states and settles what has ended.

A tick reads a bounded number of bytes, so that a window beside it stays quick however large a run's files are.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from studio.errors import NotFoundError
from studio.jobs import remote
from studio.jobs.launcher import Launched, reap
from studio.jobs.states import Derived, derive, look
from studio.jobs.track import PIECE, Track
from studio.jobs.values import RunTopic, RunUpdate, RunView
from studio.store import runs
from studio.store.runs import ENDED, StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract.events import Progress
from trainer.contract.records import RunState
from trainer.contract.requests import WAITING
from trainer.contract.run_folder import RunFolder, RunFolderError

log = logging.getLogger(__name__)
TICK_SECONDS = 0.1
BYTES_A_TICK = 2 * PIECE

Listener = Callable[[RunUpdate], None]


class Follower:
    """What is known of all runs. `tick` belongs to one thread; every other method may be called by any."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()
        self._table = threading.Lock()  # from reading the run table until it is kept: no older reading outlives a newer
        self._stored: dict[int, StoredRun] = {}
        self._derived: dict[int, Derived] = {}
        self._tracks: dict[int, Track] = {}
        self._wanted: set[int] = set()  # ended runs whose curves somebody asked for
        self._listeners: list[Listener] = []
        self._launched: list[Launched] = []
        self._remarks: dict[int, str] = {}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be told of updates in the thread that ticks; returns the way to stop."""
        self._listeners = [*self._listeners, listener]

        def stop() -> None:
            self._listeners = [each for each in self._listeners if each is not listener]

        return stop

    def adopt(self, launched: Launched) -> None:
        """Collect this worker's exit code when it ends."""
        with self._lock:
            self._launched.append(launched)

    def reload(self) -> None:
        """Read the run table and look at what is started, now."""
        with self._table:
            with self.workspace.database.read() as c:
                found = {run.id: run for run in runs.all_runs(c)}
            with self._lock:
                before, self._stored = self._stored, found
                self._tracks = {run_id: track for run_id, track in self._tracks.items() if run_id in found}
                changed = [run for run in found.values() if before.get(run.id) != run]
                for run in changed:
                    old = before.get(run.id)
                    if run.state is not StoredState.STARTED or old is None or old.state is not StoredState.STARTED:
                        self._derived[run.id] = self._as_stored(run)
        for run in changed:
            self._tell(RunUpdate(run.id, frozenset({RunTopic.STATE})))

    def _as_stored(self, run: StoredRun) -> Derived:
        """What the table says, and where it ran: whoever sees first that a run is over must not miss its machine."""
        try:
            known = remote.read(self.workspace.path / run.folder)
        except RunFolderError as error:
            log.warning("%s", error)
            known = None
        return replace(_first(run), elsewhere="" if known is None else known.host)

    def tick(self) -> None:
        """Read what was appended to runs that are started or wanted, derive, settle, tell."""
        with self._lock:
            self._launched = reap(self._launched)
            active = [run for run in self._stored.values() if run.state is StoredState.STARTED]
            active += [self._stored[i] for i in self._wanted if i in self._stored and self._stored[i] not in active]
        budget = BYTES_A_TICK
        for run in active:
            if budget > 0:
                budget -= self._read(run, min(budget, PIECE))

    def remark(self, run_id: int, text: str) -> None:
        """Something about a run that the table does not say; shown with its message in this session."""
        with self._lock:
            self._remarks = self._remarks | {run_id: text}
        self._tell(RunUpdate(run_id, frozenset({RunTopic.STATE})))

    def stored(self) -> tuple[StoredRun, ...]:
        """The table as last read, newest first."""
        with self._lock:
            return tuple(self._stored.values())

    def state(self, run_id: int) -> Derived:
        """What a run was doing at the last look. Raises NotFoundError."""
        with self._lock:
            found = self._derived.get(run_id)
        if found is None:
            raise NotFoundError(f"there is no run {run_id} in this workspace")
        return found

    def views(self) -> tuple[RunView, ...]:
        """Every run, newest first."""
        with self._lock:
            return tuple(self._view(run) for run in self._stored.values())

    def view(self, run_id: int) -> RunView:
        """One run. Raises NotFoundError."""
        with self._lock:
            run = self._stored.get(run_id)
            if run is None:
                raise NotFoundError(f"there is no run {run_id} in this workspace")
            return self._view(run)

    def track(self, run_id: int) -> Track:
        """What a run has said as far as it is read; from now on the rest is read too. Raises NotFoundError."""
        with self._lock:
            run = self._stored.get(run_id)
            if run is None:
                raise NotFoundError(f"there is no run {run_id} in this workspace")
            track = self._track(run)
            if run.state is not StoredState.STARTED and not track.at_end:
                self._wanted.add(run_id)
            return track

    def _track(self, run: StoredRun) -> Track:
        return self._tracks.setdefault(run.id, Track(RunFolder(self.workspace.path / run.folder)))

    def _read(self, run: StoredRun, limit: int) -> int:
        with self._lock:
            track = self._track(run)
        before = track.offset
        try:
            sign = look(track)
            topics = track.read(limit)
            derived = derive(run, track, sign)
        except RunFolderError as error:
            topics, derived = frozenset(), Derived(RunState.LOST, str(error))
        self._derive(run, track, derived, topics)
        if run.state is not StoredState.STARTED and track.at_end:
            with self._lock:
                self._wanted.discard(run.id)
        return track.offset - before

    def _derive(self, run: StoredRun, track: Track, derived: Derived, topics: frozenset[RunTopic]) -> None:
        with self._lock:
            before, kept = self._derived.get(run.id), self._stored.get(run.id)
            if kept is None or (kept.state, kept.attempts) != (run.state, run.attempts):
                return  # the table has gone on since this look began
            if not derived.over:
                self._derived[run.id] = derived
        if derived.over:  # first the table, then the view: a verb may trust that what is shown as over is over
            self._settle(run, track, derived)
        if before is None or not before.looks_like(derived):
            topics = topics | {RunTopic.STATE}
        if topics:
            self._tell(RunUpdate(run.id, topics))

    def _settle(self, run: StoredRun, track: Track, derived: Derived) -> None:
        """Write into the table how the attempt ended; another studio may have been faster."""
        state = StoredState(derived.state.value)
        summary = track.ended.summary if track.ended is not None else {}
        database = self.workspace.database
        database.run(lambda c: runs.settle(c, run.id, run.attempts, state, message=derived.message, summary=summary))
        with self._table:
            with database.read() as c:
                after = runs.get(c, run.id)
            with self._lock:
                self._stored[run.id] = after
                self._derived[run.id] = replace(_first(after), elsewhere=derived.elsewhere)

    def _view(self, run: StoredRun) -> RunView:
        derived, track = self._derived.get(run.id) or _first(run), self._tracks.get(run.id)
        progress = track.progress if track is not None else None
        finished = derived.state is RunState.FINISHED  # whatever phase was told last, all is done
        idle_end = _idle_end(run, derived.state, progress)
        return RunView(
            id=run.id,
            uid=run.uid,
            name=run.name,
            recipe=run.recipe,
            state=derived.state,
            device=run.device,
            done=(progress.total if finished else progress.done) if progress else 0,
            total=progress.total if progress else 0,
            phase=progress.phase if progress and not finished else "",
            eta=progress.eta if progress and run.state is StoredState.STARTED else None,
            message="; ".join(filter(None, (derived.message, self._remarks.get(run.id)))),
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
            host=run.host,
            silent_seconds=derived.silent_seconds,
            last_metrics=dict(track.last_metrics) if track is not None else {},
            summary=run.summary,
            model_folder=run.model_folder,
            stale=bool(run.stale),
            place=run.place,
            attempts=run.attempts,
            ingested=run.state in ENDED and not run.needs_ingest,
            records=run.ingested,
            rows=run.rows,
            folder=run.folder,
            resident=run.resident,
            idle_end=idle_end,
            group=run.group,
            alarm=track.alarm if track is not None and derived.state is RunState.PAUSED else "",
            scheduler=derived.scheduler,
            elsewhere=derived.elsewhere,
            asked=derived.asked,
        )

    def _tell(self, update: RunUpdate) -> None:
        for listener in self._listeners:
            try:
                listener(update)
            except Exception:
                log.exception("a listener of runs failed")


def _idle_end(run: StoredRun, state: RunState, progress: Progress | None) -> float | None:
    if not run.resident or state is not RunState.RUNNING or progress is None or progress.phase != WAITING:
        return None
    return progress.at + 60.0 * run.idle_minutes


def _first(run: StoredRun) -> Derived:
    """What the table alone says."""
    if run.state is StoredState.STARTED:
        return Derived(RunState.STARTING)
    return Derived(RunState(run.state.value), run.message)
