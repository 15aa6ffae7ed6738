"""The problems to begin with: examples that the tiny policy can try, and what was asked before."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QMenu, QPushButton, QSizePolicy, QWidget

from studio.jobs.shipped import EXAMPLES, Example

RECENT = 12
SHOWN = 90  # characters of a problem in the menu


class ProblemsButton(QPushButton):
    """Opens a menu of them.

    Signals:
        chosen(Example): this one is wanted.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Examples", parent)
        self._recent: list[Example] = []
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setToolTip("Problems that the tiny policy can try, and recent")
        self.setAccessibleDescription(self.toolTip())
        self.clicked.connect(lambda _checked=False: self.offer())

    @property
    def graded(self) -> tuple[Example, ...]:
        """The problems of the menu that have a reference answer."""
        known = {each.problem: each for each in (*EXAMPLES, *self._recent) if each.reference}
        return tuple(known.values())

    def remember(self, new: Example) -> None:
        """Offer this problem among the recent ones."""
        self._recent = [new, *(each for each in self._recent if each.problem != new.problem)][:RECENT]

    def offer(self) -> QMenu:
        """Open the menu."""
        menu = QMenu("Problems", self)
        menu.setAccessibleName("Problems")
        menu.aboutToHide.connect(menu.deleteLater)
        known = {each.problem for each in EXAMPLES}
        recent = [each for each in self._recent if each.problem not in known]
        for title, given in (("Examples", EXAMPLES), ("Recent", recent)):
            if given:
                menu.addSection(title)
            for each in given:
                text = " ".join(each.problem.split())
                text = (text if len(text) < SHOWN else f"{text[: SHOWN - 1]}…").replace("&", "&&")
                menu.addAction(text).triggered.connect(partial(self._on_chosen, each))
        menu.popup(self.mapToGlobal(self.rect().bottomLeft()))
        return menu

    def _on_chosen(self, example: Example, _checked: bool = False) -> None:
        self.chosen.emit(example)
