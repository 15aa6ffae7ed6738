"""What lies on the annotator's desk: the open trace, the next ones fetched ahead, and the writes on their way.

Everything here talks to the store off the GUI thread. The page draws what this says.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal
from sqlalchemy import Connection

from studio.domain import Changes, Project, Topic, Trace
from studio.errors import ConflictError
from studio.store import annotations as verbs
from studio.store import notes, projects, queue, traces
from studio.store.annotations import Undone, Work
from studio.ui.context import Context
from studio.ui.label.given import Begun, Counts, Given, Opened, choose, given, next_given
from studio.ui.label.work import TraceWork
from trainer.contract.records import FinishReason, Rating

log = logging.getLogger(__name__)
AHEAD = 3  # traces fetched ahead
KEPT = 24
INITIATOR = "label"
RETRY_MS = 5_000
COUNT_MS = 700
Verb = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """A write that failed and is tried again."""

    work: TraceWork
    ordinal: int
    verb: Verb


class Desk(QObject):
    """Opens traces and writes what is said of them.

    Signals:
        projectChosen(Project | None): the queue of this project is worked off now; None = there is no project.
        opened(TraceWork): this trace lies on the desk.
        emptied(): nothing is left in the queue.
        stepChanged(int): a step of the open trace is shown otherwise; -1 = perhaps all of them.
        counted(Counts): traces left and submitted today.
        told(str): something to tell the person.
        fetched(tuple[Trace, ...]): traces that come next.
        unsavedChanged(int): how many writes have failed and are tried again.
        refused(): a submit did not go through; the trace stays.
    """

    projectChosen = Signal(object)
    opened = Signal(object)
    emptied = Signal()
    stepChanged = Signal(int)
    counted = Signal(object)
    told = Signal(str)
    fetched = Signal(object)
    unsavedChanged = Signal(int)
    refused = Signal()

    def __init__(self, context: Context, on_read: Callable[[Trace], None], parent: QObject | None = None) -> None:
        """`on_read` is called in the reading thread with every trace that was read."""
        super().__init__(parent)
        self._context, self._on_read = context, on_read
        self.project: Project | None = None
        self.work: TraceWork | None = None
        self._traces: OrderedDict[int, Trace] = OrderedDict()
        self._unsaved: list[_Unsaved] = []
        self._retry = QTimer(self, interval=RETRY_MS)
        self._retry.timeout.connect(self.retry)
        self._count = QTimer(self, singleShot=True, interval=COUNT_MS)
        self._count.timeout.connect(self.count)
        context.background.changed.connect(self._on_changed)

    # -- opening ------------------------------------------------------------------------------------------------------

    def begin(self, project_id: int = 0, trace_id: int = 0, step: int = -1) -> None:
        """Open a project (0 = the last one, else the first with traces) at a trace, or at what its queue gives."""
        wanted = project_id or self._context.settings.last_project
        person = self._context.annotator.id

        def verb(c: Connection) -> Begun:
            found = projects.all_projects(c)
            project = choose(found, wanted)
            if project is None:
                return Begun(None, Given(None))
            if trace_id:
                return Begun(project, given(c, project.id, person, trace_id))
            return Begun(project, next_given(c, project.id, person, None))

        self._context.background.write(self, verb, partial(self._on_begun, step), self._context.fail)

    def visit(self, trace_id: int, step: int) -> None:
        """Open this trace in the project in hand, or else in one that has it."""

        def show(ids: tuple[int, ...]) -> None:
            if self.project is not None and self.project.id in ids:
                self.open_trace(trace_id, step)
            elif ids:
                self.begin(ids[0], trace_id, step)
            else:
                self.told.emit("this trace is in no project; send it to one on the Data page")
                self.refused.emit()

        self._context.background.read(self, lambda c: projects.of_trace(c, trace_id), show, self._context.fail)

    def open_trace(self, trace_id: int, step: int = -1) -> None:
        """Open this trace, in a project that has it."""
        if self.project is None:
            return
        if (kept := self._dirty_work(trace_id)) is not None:
            self._show(kept, step)
            return
        work = self._key(trace_id)

        def read(c: Connection) -> Opened:
            trace = self._traces.get(trace_id) or traces.load(c, trace_id)
            self._on_read(trace)
            return Opened(trace, verbs.current(c, work), notes.reference_is_wrong(c, work))

        self._context.background.read(self, read, partial(self._on_opened, step), self._context.fail)

    def skip(self) -> None:
        """The trace behind the open one."""
        if self.project is None:
            return
        project, person = self.project.id, self._context.annotator.id
        after = self.work.trace.id if self.work else None
        self._context.background.write(
            self, lambda c: next_given(c, project, person, after), self._on_given, self._context.fail
        )

    def _on_begun(self, step: int, begun: Begun) -> None:
        self.project = begun.project
        self._traces.clear()
        self.projectChosen.emit(begun.project)
        if begun.project is not None and self._context.settings.last_project != begun.project.id:
            self._context.settings.update(last_project=begun.project.id)
        self._on_given(begun.given, step)

    def _on_given(self, given: Given, step: int = -1) -> None:
        if given.trace_id is None:
            self.work = None
            self.emptied.emit()
            self.count()
            return
        if (kept := self._dirty_work(given.trace_id)) is not None:
            self._show(kept, step)
        elif (trace := self._traces.get(given.trace_id)) is not None:
            self._show(TraceWork(trace, given.annotation, reference_wrong=given.reference_wrong), step)
        else:
            self.open_trace(given.trace_id, step)

    def _on_opened(self, step: int, opened: Opened) -> None:
        self._keep((opened.trace,))
        self._show(TraceWork(opened.trace, opened.annotation, reference_wrong=opened.reference_wrong), step)

    def _show(self, work: TraceWork, step: int) -> None:
        self.work = work
        if step >= 0:
            work.current = min(step, work.count - 1)
        self.opened.emit(work)
        self._count.start()

    def fetch_ahead(self) -> None:
        """Read the traces that come next, so that Submit finds them here."""
        if self.project is None or self.work is None:
            return
        project, person, after = self.project.id, self._context.annotator.id, self.work.trace.id
        held = frozenset(self._traces)

        def read(c: Connection) -> tuple[Trace, ...]:
            wanted = queue.upcoming(c, project, person, AHEAD, after=after)
            found = traces.load_many(c, tuple(id for id in wanted if id not in held))
            for trace in found:
                self._on_read(trace)
            return found

        self._context.background.read(self, read, self._on_fetched)

    def _on_fetched(self, found: tuple[Trace, ...]) -> None:
        self._keep(found)
        if found:
            self.fetched.emit(found)

    def _keep(self, found: tuple[Trace, ...]) -> None:
        for trace in found:
            self._traces[trace.id] = trace
            self._traces.move_to_end(trace.id)
        while len(self._traces) > KEPT:
            self._traces.popitem(last=False)

    # -- saying -------------------------------------------------------------------------------------------------------

    def rate(self, ordinal: int, value: Rating | None, *, device: str, shown_ms: int | None) -> None:
        """Rate a step; it is shown at once and saved behind."""
        work = self._open()
        work.rate(ordinal, value)
        key = self._key(work.trace.id, device)
        self._save(work, ordinal, lambda c: verbs.rate(c, key, ordinal, value, shown_ms=shown_ms))

    def set_unsure(self, ordinal: int, on: bool) -> None:
        """Mark a step unsure, or not."""
        work = self._open()
        work.set_unsure(ordinal, on)
        key = self._key(work.trace.id)
        self._save(work, ordinal, lambda c: verbs.set_unsure(c, key, ordinal, on))

    def set_comment(self, text: str) -> None:
        """Set the comment."""
        work = self._open()
        work.comment = text
        key = self._key(work.trace.id)
        self._write(lambda c: verbs.set_comment(c, key, text), partial(self._on_said, work), self._on_refused)

    def set_reference_wrong(self, on: bool) -> None:
        """Note in the history that the reference answer is wrong, or not."""
        work = self._open()
        work.reference_wrong = on
        key = self._key(work.trace.id)
        self._write(lambda c: notes.reference_wrong(c, key, on), partial(self._on_said, work), self._on_refused)

    def submit(self, active_ms: int) -> None:
        """Submit the open trace and open the next, in one transaction."""
        key, person = self._key(self._open().trace.id), self._context.annotator.id

        def verb(c: Connection) -> Given:
            rated = verbs.submit(c, key, active_ms=active_ms)
            return next_given(c, key.project_id, person, key.trace_id, rated.changes)

        self._write(verb, self._on_given, self._on_refused)

    def finish(self, reason: FinishReason, text: str, active_ms: int) -> None:
        """Give up, or call the problem bad, and open the next trace."""
        key, person = self._key(self._open().trace.id), self._context.annotator.id

        def verb(c: Connection) -> Given:
            rated = verbs.finish(c, key, reason, text, active_ms=active_ms)
            return next_given(c, key.project_id, person, key.trace_id, rated.changes)

        self._write(verb, self._on_given, self._on_refused)

    def leave(self, active_ms: int) -> None:
        """Remember where the annotator was in the open trace."""
        if self.work is None or self.project is None or self.work.is_submitted:
            return
        key, place = self._key(self.work.trace.id), self.work.current
        self._write(lambda c: verbs.move_to(c, key, place, active_ms=active_ms), None, self._context.fail)

    def undo(self, *, again: bool = False) -> None:
        """Take back the annotator's newest deed in the project, or (`again`) do again what was taken back."""
        if self.project is None:
            return
        if self._unsaved:
            self.told.emit("something is not saved yet; that comes first")
            return
        project, person = self.project.id, self._context.annotator.id
        verb = verbs.redo if again else verbs.undo
        self._write(
            lambda c: verb(c, person, project, initiator=INITIATOR), partial(self._on_undone, again), self._context.fail
        )

    def retry(self) -> None:
        """Try again to write what failed, in order."""
        waiting, self._unsaved = self._unsaved, []
        self._retry.stop()
        for each in waiting:
            each.work.start(each.ordinal)
            self._save(each.work, each.ordinal, each.verb)
        self._tell_unsaved()

    def _save(self, work: TraceWork, ordinal: int, verb: Verb) -> None:
        if work is self.work:
            self.stepChanged.emit(-1)
        self._write(
            verb, partial(self._on_saved, work, ordinal), partial(self._on_failed, _Unsaved(work, ordinal, verb))
        )

    def _write(
        self, verb: Verb, done: Callable[[Any], None] | None, failed: Callable[[Exception], None] | None = None
    ) -> None:
        self._context.background.write(self, verb, done, failed)

    # -- what became of it --------------------------------------------------------------------------------------------

    def _on_saved(self, work: TraceWork, ordinal: int, rated: verbs.Rated) -> None:
        work.saved(ordinal)
        if not work.is_saving and not work.unsaved:
            work.adopt(rated.annotation, place=False)
        if work is self.work:
            self.stepChanged.emit(ordinal)

    def _on_failed(self, unsaved: _Unsaved, error: Exception) -> None:
        log.error("a rating was not saved: %s", error, exc_info=error)
        unsaved.work.failed(unsaved.ordinal, str(error))
        if isinstance(error, ConflictError) and not self._unsaved:
            self._give_way(unsaved.work, unsaved.ordinal, error)
            return
        self._unsaved.append(unsaved)
        self._retry.start()
        self._tell_unsaved()
        if unsaved.work is self.work:
            self.stepChanged.emit(-1)

    def _give_way(self, work: TraceWork, ordinal: int, error: Exception) -> None:
        """The store knows better (another window of this annotator wrote): show what it has."""
        work.forgive(ordinal)
        self.told.emit(str(error))
        if work is self.work:
            self.open_trace(work.trace.id)

    def _on_said(self, work: TraceWork, _result: object) -> None:
        if work is self.work:
            self.stepChanged.emit(-1)

    def _on_refused(self, error: Exception) -> None:
        if isinstance(error, ConflictError):
            self.told.emit(str(error))
        else:
            self._context.fail(error)
        self.refused.emit()

    def _on_undone(self, again: bool, undone: Undone | None) -> None:
        if undone is None:
            self.told.emit("nothing to do again" if again else "nothing to take back")
            return
        step = -1 if undone.entry.ordinal is None else undone.entry.ordinal
        self.told.emit(f"{'done again' if again else 'taken back'}: {undone.what}")
        if self.work is not None and self.work.trace.id == undone.trace_id:
            self.work.adopt(undone.annotation)
            if step >= 0:
                self.work.current = step
            self.stepChanged.emit(-1)
            self._count.start()
        else:
            self.open_trace(undone.trace_id, step)

    # -- news ---------------------------------------------------------------------------------------------------------

    def count(self) -> None:
        """Count what is left and what was done today."""
        if self.project is None:
            return
        project, person = self.project.id, self._context.annotator.id

        def read(c: Connection) -> Counts:
            return Counts(queue.left(c, project, person), queue.done_today(c, project, person))

        self._context.background.read(self, read, self.counted.emit)

    def _on_changed(self, changes: Changes) -> None:
        if changes.initiator == INITIATOR:
            return
        if self.project is None and changes.touches(Topic.PROJECTS, Topic.TRACES):
            self.begin()
        elif changes.touches(Topic.TRACES, Topic.PROJECTS, Topic.ANNOTATIONS) and not self._count.isActive():
            self._count.start()

    def _dirty_work(self, trace_id: int) -> TraceWork | None:
        return next((u.work for u in self._unsaved if u.work.trace.id == trace_id), None)

    def _tell_unsaved(self) -> None:
        self.unsavedChanged.emit(len(self._unsaved))

    def _open(self) -> TraceWork:
        assert self.work is not None
        return self.work

    def _key(self, trace_id: int, device: str = "key") -> Work:
        assert self.project is not None
        return Work(self.project.id, trace_id, self._context.annotator.id, INITIATOR, device)
