"""The foot of the form: what is missing, and the buttons that ask, stop, ask again and compare."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.widgets.command_button import CommandButton
from studio.ui.widgets.parts import Quiet, button

GAP = 6


class AskBar(QWidget):
    """Its buttons stay where they are, whatever can be pressed: nothing is laid out anew while a policy writes.

    Signals:
        warmWanted: tries are to differ.
        oneWanted: there is to be one try only.
    """

    warmWanted = Signal()
    oneWanted = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        made = partial(CommandButton, context.actions, parent=self)
        self.missing = Quiet("", self)
        self.ask, self.cancel = made("play_ask", "Ask", primary=True), made("play_cancel", "Cancel")
        self.again, self.next = made("play_again", "Again"), made("play_next_seed", "Next seed")
        self.contest = made("play_contest", "Best-of-n or larger?")
        self.warm = button("Temperature 1", self.warmWanted.emit, tip="Tries that differ", parent=self)
        self.alone = button("One trace", self.oneWanted.emit, tip="No more than one try: n = 1", parent=self)
        column = QVBoxLayout(self)
        column.setContentsMargins(2, 0, 10, 0)  # as the form above
        column.setSpacing(GAP)
        column.addWidget(self.missing)
        for row in ((self.warm, self.alone), (self.ask, self.cancel, self.again), (self.next, self.contest)):
            column.addLayout(_row(row))

    def show_state(self, missing: str, *, running: bool, cold: bool, played: bool, contest: bool) -> None:
        """What can be pressed now, and what must still be given.

        `cold`: a strategy would choose among copies; `played`: there is something to ask again.
        """
        self.missing.setText("" if running else missing)
        set_role(self.missing, "warning" if missing else "caption")
        self.missing.setVisible(bool(self.missing.text()))
        for each in (self.warm, self.alone):
            each.setVisible(not running and cold)
        self.cancel.setEnabled(running)
        self.ask.setEnabled(not running and not missing)
        self.contest.setEnabled(not running and contest)
        for each in (self.again, self.next):
            each.setEnabled(not running and played)


def _row(buttons: tuple[QPushButton, ...]) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(GAP)
    for each in buttons:
        row.addWidget(each)
    row.addStretch(1)
    return row
