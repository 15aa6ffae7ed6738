"""The line below the lanes while a stretch is chosen: its figures, Loop, and the way out of it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.brush import Brush, Stretch, figures, seconds_of
from studio.ui.inspect.cursor import Cursor
from studio.ui.inspect.player import Player
from studio.ui.widgets.parts import button

COMMANDS = ("stretch_from", "stretch_to", "stretch_clear", "stretch_loop", "stretch_only")
NOTHING = "no steps are chosen: I and O choose from and to the current one, or Shift and drag"


class BrushBar(QWidget):
    """Shows a Brush, and registers the commands that move it with `context.actions`.

    Signals:
        onlyWanted(bool): show these steps alone in the transcript, or all again.
    """

    onlyWanted = Signal(bool)

    def __init__(
        self, context: Context, brush: Brush, cursor: Cursor, player: Player, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._context, self._brush, self._cursor, self._player = context, brush, cursor, player
        self._narrowed = False
        self.words, self.places = QLabel(), QLabel()
        set_role(self.words, "caption")
        self.words.setWordWrap(True)
        self.words.setAccessibleName("Figures of the chosen steps")
        run = context.actions.run
        self.loop = button("Loop", lambda: run("stretch_loop"), tip="Replay these steps over and over", parent=self)
        self.loop.setCheckable(True)
        tip = "Show these steps alone; Find looks in them alone"
        self.only = button("Only these", lambda: run("stretch_only"), tip=tip, parent=self)
        self.only.setCheckable(True)
        self.away = button("Clear", lambda: run("stretch_clear"), tip="Choose no steps", parent=self)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 2, 8, 4)
        row.setSpacing(8)
        said = QVBoxLayout()
        said.setSpacing(0)
        said.addWidget(self.places)
        said.addWidget(self.words)
        row.addLayout(said, 1)
        row.addWidget(self.only)
        row.addWidget(self.loop)
        row.addWidget(self.away)
        brush.changed.connect(self._on_changed)
        on = context.actions.on
        on("stretch_from", self._from)
        on("stretch_to", self._to)
        on("stretch_clear", self._clear)
        on("stretch_loop", self._toggle)
        on("stretch_only", self._narrow)
        self.hide()

    def _from(self) -> None:
        step, chosen = self._cursor.position.step, self._brush.stretch
        end = step if chosen is None or chosen.last < step else chosen.last
        self._brush.choose(step, end)

    def _to(self) -> None:
        step, chosen = self._cursor.position.step, self._brush.stretch
        start = step if chosen is None or chosen.first > step else chosen.first
        self._brush.choose(start, step)

    def _clear(self) -> None:
        self._brush.clear()

    def widen(self) -> None:
        """All steps are shown again."""
        self._show_narrowed(False)

    def _show_narrowed(self, on: bool) -> None:
        self._narrowed = on
        self.only.setChecked(on)
        self.only.setText("Show all" if on else "Only these")

    def _narrow(self) -> None:
        if self._brush.stretch is None:
            self._context.say(NOTHING)
            self.widen()
            return
        self._show_narrowed(not self._narrowed)
        self.onlyWanted.emit(self._narrowed)

    def _toggle(self) -> None:
        opened, chosen = self._brush.opened, self._brush.stretch
        if opened is None or chosen is None:
            self._context.say(NOTHING)
            self.loop.setChecked(False)
            return
        if self._player.loop is not None:
            self._stop()
            return
        start, end = seconds_of(opened, chosen)
        self._player.set_loop(start, end)
        self.loop.setChecked(True)
        self._player.seek(start)
        self._player.play()

    def _stop(self) -> None:
        self._player.set_loop(None, None)
        self._player.pause()
        self.loop.setChecked(False)

    def _on_changed(self, stretch: Stretch | None) -> None:
        opened = self._brush.opened
        if self._player.loop is not None:
            if stretch is None or opened is None:
                self._stop()
            else:
                self._player.set_loop(*seconds_of(opened, stretch))
        self.setVisible(stretch is not None)
        if stretch is None:
            self.widen()
        if stretch is not None and opened is not None:
            self.places.setText(str(stretch))
            said = str(figures(opened, stretch))
            self.words.setText(said)
            self.words.setToolTip(said)
