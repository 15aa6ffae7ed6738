"""Thresholds of all categories: what moving them would change, while one drags; kept with a log, and undone from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QListWidget, QScrollArea, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.domain import Changes
from studio.store import thresholds
from studio.ui.dialogs import set_role
from studio.ui.evaluate.desk import Desk, sentence_of
from studio.ui.evaluate.threshold_row import ThresholdRow
from studio.ui.widgets.parts import GAP, Quiet, button, heading, plural
from trainer.reasoning.safety import CATEGORIES, VERDICTS, Category, Codes, Moved, Threshold, Thresholds, moved

if TYPE_CHECKING:
    from studio.ui.context import Context

ABOUT = (
    "A score from the first threshold on is reviewed, from the second on blocked. Scores are stored; verdicts are only "
    "read from them, so moving a threshold scores nothing anew."
)


class ThresholdsPanel(QWidget):
    """A row a category, the preview, Keep and Back, and the log.

    Signals:
        kept(): thresholds were stored.
    """

    kept = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._desk: Desk | None = None
        self._before: Codes | None = None
        self.preview_of: Moved | None = None
        self.rows = {category: ThresholdRow(context.theme, category, self) for category in CATEGORIES}
        self.preview, self.verdicts = QLabel("", self), QLabel("", self)
        self.preview.setAccessibleName("What these thresholds would change")
        self.keep = button("Keep", self.keep_wanted, tip="Store these thresholds", primary=True, parent=self)
        self.back = button("Back", self._on_back, tip="To the thresholds in force", parent=self)
        self.log = QListWidget(self)
        self.log.setAccessibleName("Log of thresholds")
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._show_preview)
        for row in self.rows.values():
            row.moved.connect(self._soon.start)
            row.resetAsked.connect(self._on_reset)
            row.setEnabled(False)  # until the scores are in memory: from then on every move is answered at once
        self._lay_out()

    @property
    def wanted(self) -> Thresholds:
        """The thresholds as the sliders stand."""
        return Thresholds({category: row.wanted for category, row in self.rows.items()})

    def show_desk(self, desk: Desk) -> None:
        """Show what is in force; what is being moved stays as it is."""
        self._desk = desk
        self._before = desk.scored.verdicts(desk.thresholds)
        for category, row in self.rows.items():
            row.setEnabled(True)
            row.show_stored(desk.thresholds[category], desk.scored, desk.truth)
        self.log.clear()
        for entry in desk.log:
            who = desk.names.get(entry.annotator_id or 0, "somebody")
            self.log.addItem(f"{entry.at[:16].replace('T', ' ')}  {who}: {sentence_of(entry)}")
        if not desk.log:
            self.log.addItem("no threshold was ever changed")
        self._show_preview()

    def keep_wanted(self) -> None:
        """Store what the sliders say, one entry of the log a category."""
        wanted = [(category, row.wanted) for category, row in self.rows.items() if row.is_moved]
        if not wanted:
            return
        me = self._context.annotator.id
        self._context.background.write(self, lambda c: _choose(c, wanted, me), lambda _changes: self.kept.emit())

    def undo(self) -> None:
        """Take back this person's newest change; what is only being moved goes back first."""
        if any(row.is_moved for row in self.rows.values()):
            self._on_back()
            return
        me = self._context.annotator.id
        self._context.background.write(self, lambda c: thresholds.undo(c, me), self._on_undone)

    def redo(self) -> None:
        """Make the change again that this person took back last."""
        me = self._context.annotator.id
        self._context.background.write(self, lambda c: thresholds.redo(c, me), self._on_redone)

    def _show_preview(self) -> None:
        desk, before = self._desk, self._before
        if desk is None or before is None:
            return
        some = any(row.is_moved for row in self.rows.values())
        told = self.preview_of = moved(before, desk.scored.verdicts(self.wanted))
        self.keep.setEnabled(some)
        self.back.setEnabled(some)
        self._context.actions.enable("keep_thresholds", some)
        number = plural(len(desk.scored), "scored trace")
        parts = [f"{count:,} {old.value} → {new.value}" for (old, new), count in told.changed.items()]
        changes = f"{plural(told.changes, 'trace')} of {len(desk.scored):,} would change"
        self.preview.setText(f"{changes}: {', '.join(parts)}" if parts else f"No verdict of {number} changes.")
        self.verdicts.setText(" · ".join(f"{told.after.get(each, 0):,} {each.value}" for each in reversed(VERDICTS)))

    def _on_back(self) -> None:
        for row in self.rows.values():
            row.back()
        self._show_preview()

    def _on_reset(self, category: Category) -> None:
        me = self._context.annotator.id
        self.rows[category].back()
        self._context.background.write(
            self, lambda c: thresholds.choose(c, category, None, me), lambda _changes: self.kept.emit()
        )

    def _on_undone(self, changes: Changes | None) -> None:
        self._context.say("nothing of yours to take back here" if changes is None else "thresholds: taken back")
        self.kept.emit()

    def _on_redone(self, changes: Changes | None) -> None:
        self._context.say("nothing of yours to do again here" if changes is None else "thresholds: done again")
        self.kept.emit()

    def _lay_out(self) -> None:
        set_role(self.verdicts, "quiet")
        self.preview.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(heading("Thresholds", self))
        head.addStretch(1)
        legend = Quiet("left: review from · right: block from", self)
        legend.setWordWrap(False)
        head.addWidget(legend)
        inside = QWidget(self)
        inside.setObjectName("thresholds")
        inside.setStyleSheet("#thresholds { background: transparent; }")
        rows = QVBoxLayout(inside)
        rows.setContentsMargins(0, 0, 8, 0)
        rows.setSpacing(2)
        for row in self.rows.values():
            rows.addWidget(row)
        rows.addStretch(1)
        area = QScrollArea(self)
        area.setWidget(inside)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its sliders have the keyboard, and come into sight with it
        area.setMinimumHeight(self._context.theme.px(150))
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.viewport().setAutoFillBackground(False)
        foot = QHBoxLayout()
        words = QVBoxLayout()
        words.addWidget(self.preview)
        words.addWidget(self.verdicts)
        foot.addLayout(words, 1)
        foot.addWidget(self.back)
        foot.addWidget(self.keep)
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP, 10, GAP, 10)
        column.setSpacing(6)
        column.addLayout(head)
        column.addWidget(Quiet(ABOUT, self))
        column.addWidget(area, 1)
        column.addLayout(foot)
        column.addWidget(heading("Log", self))
        self.log.setMinimumHeight(self._context.theme.px(34))
        self.log.setMaximumHeight(self._context.theme.px(70))
        column.addWidget(self.log)


def _choose(c: Connection, wanted: list[tuple[Category, Threshold]], me: int) -> Changes:
    done = Changes()
    for category, threshold in wanted:
        done = done | thresholds.choose(c, category, threshold, me)
    return done
