"""What to find and where: the text, how it is meant, the places, and the filters behind a button."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PySide6.QtCore import QSignalBlocker, QTimer, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection, select

from studio.store import batches, saved_filters, scores
from studio.store.find_pattern import Mode
from studio.store.find_spans import EVERYWHERE, Place, Query
from studio.store.saved_filters import SavedFilter
from studio.store.schema import trace
from studio.store.scores import Scorer
from trainer.reasoning.safety import Category

TYPING_MS = 150
PLACES = {
    Place.PROBLEM: "Problem",
    Place.THINKING: "Thinking",
    Place.ANSWER: "Answer",
    Place.TOOL: "Tools",
    Place.OTHER: "Other",
}
OUTCOMES: tuple[tuple[str, int | None], ...] = (("any outcome", None), ("right", 1), ("wrong", 0))
ROLES = ("", "user", "assistant", "tool", "system")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the workspace offers to filter by."""

    models: tuple[str, ...]
    scorers: tuple[Scorer, ...]
    saved: tuple[SavedFilter, ...]


def read_choices(c: Connection) -> Choices:
    """Models, scorers and saved searches."""
    models = select(trace.c.model).where(trace.c.model != "", batches.visible(trace.c.batch_id)).distinct()
    return Choices(tuple(sorted(c.scalars(models))), scores.scorers(c), saved_filters.every(c))


class FindForm(QWidget):
    """Asks whenever something of it changes.

    Signals:
        asked(Query): this is wanted now.
        saveAsked(): keep what is asked now under a name.
        removeAsked(int): forget the saved search of this id.
    """

    asked = Signal(object)
    saveAsked = Signal()
    removeAsked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLineEdit()
        self.mode = QComboBox()
        self.case = QCheckBox("Aa")
        self.places = {place: QCheckBox(words) for place, words in PLACES.items()}
        self.more = QToolButton()
        self.role, self.model, self.outcome, self.flag, self.scorer = (QComboBox() for _ in range(5))
        self.below = QDoubleSpinBox()
        self.only = QCheckBox()  # shown while steps are chosen
        self._stretch: tuple[int, tuple[int, int]] | None = None
        self.saved = QComboBox()
        self.keep, self.forget = QToolButton(), QToolButton()
        self.filters = QWidget()
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._ask)
        self._fill()
        self._lay_out()
        self._connect()

    @property
    def query(self) -> Query:
        """What is asked now."""
        places = frozenset(place for place, box in self.places.items() if box.isChecked()) or EVERYWHERE
        held = self._stretch if self.only.isChecked() else None
        return Query(
            self.text.text(),
            Mode(self.mode.currentData()),
            self.case.isChecked(),
            places,
            role=self.role.currentData() or "",
            model=self.model.currentData() or "",
            outcome=self.outcome.currentData(),
            flagged=self.flag.currentData() or "",
            scorer=self.scorer.currentData(),
            score_below=self.below.value() if self.below.value() > 0 else None,
            trace=None if held is None else held[0],
            stretch=None if held is None else held[1],
        )

    def set_stretch(
        self, stretch: tuple[int, tuple[int, int]] | None, words: str = "", *, on: bool | None = None
    ) -> None:
        """Offer to look only in these code points of this trace; None: steps are no longer chosen."""
        before = self.query
        self._stretch = stretch
        with QSignalBlocker(self.only):
            self.only.setText(words)
            self.only.setVisible(stretch is not None)
            self.only.setChecked(stretch is not None and (self.only.isChecked() if on is None else on))
        if self.query != before:
            self._ask()

    def set_query(self, query: Query) -> None:
        """Show and ask this."""
        blocked = [QSignalBlocker(widget) for widget in (self.text, self.mode, self.case, *self.places.values())]
        self.text.setText(query.text)
        self.mode.setCurrentIndex(self.mode.findData(query.mode))
        self.case.setChecked(query.match_case)
        for place, tick in self.places.items():
            tick.setChecked(query.places != EVERYWHERE and place in query.places)
        for box, value in (
            (self.role, query.role),
            (self.model, query.model),
            (self.outcome, query.outcome),
            (self.flag, query.flagged),
            (self.scorer, query.scorer),
        ):
            blocked.append(QSignalBlocker(box))
            box.setCurrentIndex(max(0, box.findData(value)))
        blocked.append(QSignalBlocker(self.below))
        self.below.setValue(query.score_below or 0.0)
        del blocked
        self.more.setChecked(self._is_filtered())
        self._ask()

    def set_choices(self, choices: Choices) -> None:
        """Offer these models, scorers and saved searches; what is chosen stays."""
        _refill(self.model, (("any model", ""), *((name, name) for name in choices.models)))
        named = ((f"{s.name} · {s.version[:6]}", s.id) for s in choices.scorers)
        _refill(self.scorer, (("any scorer", None), *named))
        _refill(self.saved, (("Saved…", None), *((one.name, one) for one in choices.saved)))
        self.forget.setEnabled(self.saved.currentData() is not None)

    def _is_filtered(self) -> bool:
        rest = replace(self.query, text="", mode=Mode.WORDS, match_case=False, places=EVERYWHERE)
        return replace(rest, trace=None, stretch=None) != Query("")

    def _fill(self) -> None:
        for mode in Mode:
            self.mode.addItem(mode.value.capitalize(), mode)
        for role in ROLES:
            self.role.addItem(role or "any role", role)
        for words, value in OUTCOMES:
            self.outcome.addItem(words, value)
        self.flag.addItem("any flag or none", "")
        for category in Category:
            self.flag.addItem(category.value, category.value)
        self.set_choices(Choices((), (), ()))
        self.below.setRange(0.0, 1.0)
        self.below.setSingleStep(0.05)
        self.below.setSpecialValueText("any")
        self.text.setPlaceholderText("Words, “a phrase”, or an expression")
        self.text.setClearButtonEnabled(True)
        self.case.setToolTip("Capitals count")
        self.more.setText("Filters")
        self.more.setCheckable(True)
        self.keep.setText("Save…")
        self.forget.setText("Forget")
        named = {
            self.text: "Text to find", self.mode: "How the text is meant", self.case: "Capitals count",
            self.role: "Role", self.model: "Model", self.outcome: "Outcome", self.flag: "Flag",
            self.scorer: "Scorer", self.below: "Lowest step score below", self.saved: "Saved searches",
            self.only: "Only in the chosen steps",
            self.more: "More filters", self.keep: "Save this search", self.forget: "Forget the saved search",
        }  # fmt: skip
        for widget, name in named.items():
            widget.setAccessibleName(name)

    def _lay_out(self) -> None:
        for box in (self.mode, self.role, self.model, self.outcome, self.flag, self.scorer, self.saved):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.text)
        column.addLayout(_row(self.mode, self.case, self.more, stretch=0))
        column.addLayout(_row(*list(self.places.values())[:3], stretch=-1))
        column.addLayout(_row(*list(self.places.values())[3:], stretch=-1))
        form = QFormLayout(self.filters)
        form.setContentsMargins(0, 0, 0, 0)
        for words, widget in (
            ("Role", self.role),
            ("Model", self.model),
            ("Outcome", self.outcome),
            ("Flag", self.flag),
            ("Scorer", self.scorer),
            ("Score below", self.below),
        ):
            form.addRow(words, widget)
        column.addWidget(self.only)
        self.only.hide()
        column.addWidget(self.filters)
        self.filters.hide()
        column.addLayout(_row(self.saved, self.keep, self.forget, stretch=0))

    def _connect(self) -> None:
        self.text.textChanged.connect(lambda _text: self._typing.start())
        self.text.returnPressed.connect(self._ask)
        for box in (self.mode, self.role, self.model, self.outcome, self.flag, self.scorer):
            box.currentIndexChanged.connect(lambda _index: self._ask())
        for check in (self.case, self.only, *self.places.values()):
            check.toggled.connect(lambda _on: self._ask())
        self.below.valueChanged.connect(lambda _value: self._typing.start())
        self.more.toggled.connect(self.filters.setVisible)
        self.saved.activated.connect(self._on_saved)
        self.keep.clicked.connect(lambda: self.saveAsked.emit())
        self.forget.clicked.connect(self._on_forget)

    def _ask(self) -> None:
        self._typing.stop()
        self.asked.emit(self.query)

    def _on_saved(self, _index: int) -> None:
        chosen = self.saved.currentData()
        self.forget.setEnabled(chosen is not None)
        if isinstance(chosen, SavedFilter):
            self.set_query(chosen.query)

    def _on_forget(self) -> None:
        chosen = self.saved.currentData()
        if isinstance(chosen, SavedFilter):
            self.removeAsked.emit(chosen.id)


def _row(*widgets: QWidget, stretch: int) -> QHBoxLayout:
    """Widgets in a line: the one at `stretch` takes the room, -1 = none does."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for at, widget in enumerate(widgets):
        row.addWidget(widget, 1 if at == stretch else 0)
    if stretch < 0:
        row.addStretch(1)
    return row


def _refill(box: QComboBox, entries: tuple[tuple[str, object], ...]) -> None:
    before = box.currentData()
    with QSignalBlocker(box):
        box.clear()
        for words, value in entries:
            box.addItem(words, value)
        box.setCurrentIndex(next((at for at, (_, value) in enumerate(entries) if value == before), 0))
