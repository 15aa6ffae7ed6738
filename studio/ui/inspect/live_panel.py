"""The left tab Live: traces of runs that go on and of files that grow, as they are being written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListView,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from studio.domain import TraceRow
from studio.exchange.growing import GrowingRun, Grown, News, Source, growing
from studio.jobs.values import RunView
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.opened import Opened, assemble
from studio.ui.inspect.trace_delegate import TraceDelegate
from studio.ui.inspect.trace_model import facts
from studio.ui.widgets.parts import plural
from studio.ui.widgets.trace_values import ScoreLine
from trainer.contract.records import RunState

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole)
NO_PARENT = QModelIndex()
LOOK_MS = 300
MOST = 2_000  # traces kept; the oldest go
TITLE = 160
LIVE_STATES = frozenset({RunState.STARTING, RunState.RUNNING, RunState.SILENT, RunState.LOST})


class LiveModel(QAbstractListModel):
    """Traces as far as they are written, the newest first."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._traces: dict[str, Grown] = {}
        self._order: list[str] = []

    def take(self, news: Sequence[Grown]) -> None:
        """Add these, or replace what they were."""
        for grown in news:
            uid = grown.trace.uid
            if uid in self._traces:
                self._traces[uid] = grown
                row = len(self._order) - 1 - self._order.index(uid)
                self.dataChanged.emit(self.index(row), self.index(row), [ROW_ROLE])
            else:
                self.beginInsertRows(NO_PARENT, 0, 0)
                self._traces[uid] = grown
                self._order.append(uid)
                self.endInsertRows()
        while len(self._order) > MOST:
            last = len(self._order) - 1
            self.beginRemoveRows(NO_PARENT, last, last)
            self._traces.pop(self._order.pop(0))
            self.endRemoveRows()

    def grown(self, row: int) -> Grown:
        """The trace in a line."""
        return self._traces[self._order[len(self._order) - 1 - row]]

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """How many there are."""
        return 0 if parent.isValid() else len(self._order)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """A TraceRow under ROW_ROLE, for the delegate of the other list; a sentence for screen readers."""
        if not index.isValid():
            return None
        grown = self.grown(index.row())
        row = _row(grown)
        if role == ROW_ROLE:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{row.title}. {facts(row)}"
        return None


class LivePanel(QWidget):
    """Looks at its sources several times a second, off the GUI thread.

    Signals:
        chosen(Opened): show this trace.
        grew(Opened): the trace that was chosen last is longer now.
        began(): the first source is followed.
    """

    began = Signal()
    chosen = Signal(object)
    grew = Signal(object)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._sources: dict[str, Source] = {}
        self._left: set[str] = set()
        self._busy: set[str] = set()
        self._remarks: dict[str, str] = {}
        self._watched = ""
        self.model = LiveModel(self)
        self.list = QListView()
        self.words = QLabel("Runs that go on here, and files you follow, appear as they are written.")
        self.button = QPushButton("Follow a file…")
        self.stop = QPushButton("Stop following")
        self.stop.setMenu(QMenu(self.stop))
        self.stop.setEnabled(False)
        self.words.setWordWrap(True)
        set_role(self.words, "caption")
        self.list.setModel(self.model)
        self.list.setItemDelegate(TraceDelegate(context.maths, context.theme, self.list.viewport()))
        self.list.setUniformItemSizes(True)
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setAccessibleName("Live traces")
        head = QHBoxLayout()
        head.addWidget(self.button)
        head.addWidget(self.stop)
        head.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.words)
        column.addWidget(self.list, 1)
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self.look)
        self.button.clicked.connect(lambda _checked: context.actions.run("follow_file"))
        self.stop.menu().aboutToShow.connect(self._fill_menu)
        self.list.selectionModel().currentChanged.connect(self._on_current)

    @property
    def follows(self) -> bool:
        """Whether there is a source, or something that one has written."""
        return bool(self._sources) or self.model.rowCount() > 0

    def ask(self) -> None:
        """Let a person choose a file."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Follow a growing file", "", "Lines of JSON, logs of Inspect (*.jsonl *.ndjson *.log *.eval)"
        )
        if path:
            self.follow(Path(path))

    def follow(self, path: Path) -> None:
        """Follow a file from its beginning."""
        self._add(str(path), growing(path))

    def follow_run(self, folder: Path, name: str) -> None:
        """Follow a run of ours."""
        self._add(str(folder), GrowingRun(folder, name))

    def leave(self, key: str) -> None:
        """Follow this source no more; what was read of it stays in the list."""
        self._left.add(key)
        self._sources.pop(key, None)
        self._remarks.pop(key, None)
        if not self._sources:
            self._timer.stop()
        self._say()

    def activate(self) -> None:
        """Follow the runs that go on here."""
        self._context.background.call(self, self._context.jobs.runs, self._on_runs)

    def look(self) -> None:
        """Read what has come, of every source that is not being read."""
        for key, source in self._sources.items():
            if key not in self._busy:
                self._busy.add(key)
                self._context.background.call(
                    self, source.read, partial(self._on_news, key), partial(self._on_lost, key)
                )

    def _add(self, key: str, source: Source) -> None:
        if key not in self._sources:
            self._sources[key] = source
            self._timer.start()
            self.began.emit()
            self.look()

    def _on_runs(self, runs: tuple[RunView, ...]) -> None:
        for run in runs:
            if run.state in LIVE_STATES and run.folder and not run.elsewhere:
                folder = self._context.workspace.path / run.folder
                if str(folder) not in self._left:
                    self.follow_run(folder, run.name)

    def _fill_menu(self) -> None:
        menu = self.stop.menu()
        menu.clear()
        for key, source in self._sources.items():
            menu.addAction(source.name, partial(self.leave, key)).setToolTip(key)

    def _on_lost(self, key: str, error: Exception) -> None:
        self._busy.discard(key)
        self._sources.pop(key, None)
        self._remarks[key] = f"{error}; it is followed no more"
        self._say()

    def _on_news(self, key: str, news: News) -> None:
        self._busy.discard(key)
        if key not in self._sources:
            return
        self._remarks[key] = news.remark
        if news.traces:
            self.model.take(news.traces)
            watched = next((grown for grown in news.traces if grown.trace.uid == self._watched), None)
            if watched is not None:
                self.grew.emit(opened(watched))
        self._say()

    def _say(self) -> None:
        self.stop.setEnabled(bool(self._sources))
        count = plural(self.model.rowCount(), "trace")
        followed = f"{count} of {plural(len(self._sources), 'source')}: "
        names = ", ".join(source.name for source in self._sources.values())
        remarks = [remark for remark in self._remarks.values() if remark]
        self.words.setText("\n".join([followed + names, *remarks]))

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            grown = self.model.grown(current.row())
            self._watched = grown.trace.uid
            self.chosen.emit(opened(grown))


def opened(grown: Grown) -> Opened:
    """What the page shows of a trace that is still being written."""
    lines = (ScoreLine(grown.scorer, grown.scores),) if grown.scores else ()
    return assemble(grown.trace, grown.conversation, lines=lines)


def _row(grown: Grown) -> TraceRow:
    trace, said = grown.trace, grown.conversation
    return TraceRow(
        trace.id,
        trace.uid,
        trace.problem.prompt[:TITLE],
        len(trace.segmentation.steps),
        trace.problem.reference_answer,
        0,
        None,
        min((score for score in grown.scores if score is not None), default=None),
        sample=said.sample[:12],
        epoch=said.epoch,
        model=trace.model,
        outcome=trace.outcome,
        tokens=said.budget.used,
        ended=said.budget.ended,
    )
