"""The Monitors tab: who looks, whose word counts, from which score on, and how good that is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QScrollArea,
    QSplitter,
    QTabWidget,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.domain import Changes
from studio.errors import ConflictError
from studio.store import monitors
from studio.store.monitors import Kind, Monitor, MonitorState
from studio.ui.evaluate.compare_dialog import CompareDialog
from studio.ui.evaluate.desk import Desk, read_desk
from studio.ui.evaluate.figures_panel import FiguresPanel
from studio.ui.evaluate.learning import learn, look
from studio.ui.evaluate.thresholds_panel import ThresholdsPanel
from studio.ui.widgets.parts import Quiet, button, heading, plural

if TYPE_CHECKING:
    from studio.ui.context import Context

ID_ROLE = int(Qt.ItemDataRole.UserRole)
EVERYONE = "All that count"
STATES = {MonitorState.ACTIVE: "● counts", MonitorState.SHADOW: "○ shadow", MonitorState.RETIRED: "– retired"}
COMMANDS = ("look_at_traces", "learn_from_flags", "promote_monitor", "roll_back_monitor", "keep_thresholds")
PROMISE = (
    "A trace without flags is no proof of anything: it is only that nothing was found.",
    "A model that is trained against a monitor learns to hide what it finds; do not use flags as a reward.",
    "A topic is not an intent: discussing harm, refusing it or writing fiction can raise a false flag.",
    "Thinking that is missing, redacted or summarised cannot be assessed, and is never shown as clean.",
    "A figure holds for traces like the labelled ones: other models and tasks can be far worse.",
    "A judge depends on its prompt and on how much of a long trace it is shown.",
)


class MonitorsTab(QWidget):
    """Monitors on the left, thresholds and figures on the right."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._on = False
        self.desk: Desk | None = None
        self.dialog: CompareDialog | None = None
        self.list = QTreeWidget(self)
        self.thresholds = ThresholdsPanel(context, self)
        self.figures = FiguresPanel(context, self)
        self.news = Quiet("", self)
        self.sides = QTabWidget(self)
        self.look_button = button("Look at traces…", self._on_look, primary=True, parent=self)
        self.learn_button = button("Learn…", self._on_learn, parent=self)
        self.promote_button = button("Promote…", self._on_promote, parent=self)
        self.back_button = button("Roll back", self._on_roll_back, parent=self)
        self._lay_out()
        self._connect()

    def reload(self) -> None:
        """Read everything anew."""
        self._context.background.read(self, read_desk, self._on_desk)

    def enable(self, on: bool) -> None:
        """Whether the commands of this tab mean something now."""
        self._on = on
        for id in COMMANDS:
            self._context.actions.enable(id, on)
        self._enable()

    def undo(self) -> None:
        """Take back the newest change of thresholds."""
        self.thresholds.undo()

    def redo(self) -> None:
        """Make the change of thresholds again that was taken back last."""
        self.thresholds.redo()

    @property
    def chosen(self) -> Monitor | None:
        """The monitor chosen in the list; None: all that count."""
        item = self.list.currentItem()
        wanted = None if item is None else item.data(0, ID_ROLE)
        known = () if self.desk is None else self.desk.monitors
        return next((one for one in known if one.id == wanted), None)

    def choose(self, monitor_id: int | None) -> None:
        """Choose a monitor of the list."""
        for row in range(self.list.topLevelItemCount()):
            item = self.list.topLevelItem(row)
            if item is not None and item.data(0, ID_ROLE) == monitor_id:
                self.list.setCurrentItem(item)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _on_desk(self, desk: Desk) -> None:
        item = self.list.currentItem()
        before = None if item is None else item.data(0, ID_ROLE)
        self.desk = desk
        self.list.blockSignals(True)
        self.list.clear()
        _line(self.list, EVERYONE, "", f"{len(desk.scored):,}", None, "The verdicts of this workspace")
        for one in desk.monitors:
            tip = f"{one.kind.value}, version {one.version}" + (f", taught by {one.training}" if one.training else "")
            _line(self.list, f"{one.name} {one.version[:8]}", STATES[one.state], f"{one.traces:,}", one.id, tip)
        self.choose(None)
        self.choose(before)
        self.list.blockSignals(False)
        self.thresholds.show_desk(desk)
        self.figures.show_monitor(self.chosen)
        self._show_news(desk)
        self._enable()

    def _show_news(self, desk: Desk) -> None:
        told = []
        if desk.untried:
            told.append(f"{desk.untried[0].name} is taught and has looked at nothing yet: look at traces with it.")
        if desk.labels:
            told.append(f"{plural(desk.labels, 'new label')} since a monitor was taught.")
        if not desk.monitors:
            told.append("Nothing was looked at yet. The exact checks need no model: look at traces.")
        self.news.setText("\n".join(told))
        self.learn_button.setText(f"Learn from {plural(desk.labels, 'new label')}…" if desk.labels else "Learn…")

    def _enable(self) -> None:
        chosen = self.chosen
        can = chosen is not None and chosen.state is not MonitorState.ACTIVE
        self.promote_button.setEnabled(can)
        self._context.actions.enable("promote_monitor", self._on and can)

    # -- doing --------------------------------------------------------------------------------------------------------

    def _on_chosen(self) -> None:
        self.figures.show_monitor(self.chosen)
        self._enable()

    def _on_look(self) -> None:
        untried = self.desk.untried if self.desk is not None else ()
        look(self._context, self, model=untried[0].folder if untried else "")

    def _on_learn(self) -> None:
        learn(self._context, self)

    def _on_promote(self) -> None:
        chosen, desk = self.chosen, self.desk
        if chosen is None or desk is None or chosen.state is MonitorState.ACTIVE:
            return
        self.dialog = CompareDialog(self._context, desk.active(chosen.kind), chosen, self)
        self.dialog.promoteAsked.connect(self._promote)
        self.dialog.show()  # not modal: the traces that change are read beside it

    def _promote(self, monitor_id: int) -> None:
        me = self._context.annotator.id
        self._context.background.write(
            self, lambda c: monitors.promote(c, monitor_id, me), partial(self._on_switched, "it counts now")
        )

    def _on_roll_back(self) -> None:
        me, kind = self._context.annotator.id, self.chosen.kind if self.chosen is not None else Kind.CLASSIFIER
        self._context.background.write(
            self,
            lambda c: monitors.roll_back(c, me, kind),
            partial(self._on_switched, "the last promotion is taken back"),
            self._on_refused,
        )

    def _on_switched(self, said: str, _changes: Changes) -> None:
        self._context.say(said)
        self.reload()

    def _on_refused(self, error: Exception) -> None:
        if isinstance(error, ConflictError):
            self._context.say(str(error))
        else:
            self._context.fail(error)

    def _connect(self) -> None:
        on = self._context.actions.on
        on("look_at_traces", self._on_look)
        on("learn_from_flags", self._on_learn)
        on("promote_monitor", self._on_promote)
        on("roll_back_monitor", self._on_roll_back)
        on("keep_thresholds", self.thresholds.keep_wanted)
        self.list.currentItemChanged.connect(lambda *_: self._on_chosen())
        self.thresholds.kept.connect(self.reload)

    def _words(self, parent: QWidget) -> QScrollArea:
        """What is new, and what nobody can promise: never cut off, however little room there is."""
        inside = QWidget(parent)
        inside.setObjectName("words")
        inside.setStyleSheet("#words { background: transparent; }")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.news)
        column.addWidget(heading("What a monitor cannot promise", inside))
        for sentence in PROMISE:
            column.addWidget(Quiet(f"• {sentence}", inside))
        column.addStretch(1)
        area = QScrollArea(parent)
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.viewport().setAutoFillBackground(False)
        area.setAccessibleName("What a monitor cannot promise")
        return area

    def _lay_out(self) -> None:
        self.list.setColumnCount(3)
        self.list.setHeaderLabels(["Monitor", "State", "Traces"])
        self.list.setRootIsDecorated(False)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setAccessibleName("Monitors")
        head = self.list.header()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        head.setStretchLastSection(False)
        left = QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.list, 1)
        for pair in ((self.look_button, self.learn_button), (self.promote_button, self.back_button)):
            row = QHBoxLayout()
            row.setSpacing(8)
            for each in pair:
                row.addWidget(each)
            row.addStretch(1)
            column.addLayout(row)
        self.list.setMinimumHeight(self._context.theme.px(90))
        column.addWidget(self._words(left), 1)
        self.sides.setAccessibleName("Thresholds and figures")
        self.sides.tabBar().setAccessibleName("Thresholds and figures")
        self.sides.setDocumentMode(True)
        self.sides.tabBar().setDrawBase(False)
        self.sides.addTab(self.thresholds, "Thresholds")
        self.sides.addTab(self.figures, "Figures")
        right = QFrame(self)
        right.setProperty("card", True)
        inside = QVBoxLayout(right)
        inside.setContentsMargins(4, 4, 4, 4)
        inside.addWidget(self.sides)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setHandleWidth(12)
        split.setChildrenCollapsible(False)
        split.addWidget(left)
        split.addWidget(right)
        split.setStretchFactor(1, 1)
        split.setSizes([360, 800])
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(split)


def _line(tree: QTreeWidget, name: str, state: str, traces: str, id: int | None, tip: str) -> None:
    item = QTreeWidgetItem(tree, [name, state, traces])
    item.setData(0, ID_ROLE, id)
    item.setTextAlignment(2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    item.setToolTip(0, f"{name}: {tip}")
    item.setData(0, Qt.ItemDataRole.AccessibleTextRole, f"{name}, {state.strip('●○– ')}, {traces} traces")
