"""Which policy continues a trace, how often, and under which budgets; what bisecting and forking ask alike."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QSpinBox, QWidget

from studio.jobs.continuing import Start
from studio.store.models import StoredModel
from studio.ui.widgets.parts import align_labels

MOST_NUMBER = 1024
MOST_TOKENS = 131_072


class ContinueForm(QWidget):
    """Begins with the policy that wrote the trace, if it is here, and with the budgets that the trace had.

    Signals:
        edited(): something was chosen.
    """

    edited = Signal()

    def __init__(self, number: int, least: int, field_width: int, parent: QWidget | None = None) -> None:
        """`number` continuations, at least `least`."""
        super().__init__(parent)
        self._models: tuple[StoredModel, ...] = ()
        self.model, self.number, self.thinking, self.answer = QComboBox(), QSpinBox(), QSpinBox(), QSpinBox()
        self.model.setAccessibleName("The policy that continues")
        self.number.setRange(least, MOST_NUMBER)
        self.number.setValue(number)
        for spin, low in ((self.thinking, 0), (self.answer, 1)):
            spin.setRange(low, MOST_TOKENS)
            spin.setSuffix(" tokens")
        for spin in (self.number, self.thinking, self.answer):
            spin.setMaximumWidth(field_width)
            spin.valueChanged.connect(lambda _value: self.edited.emit())
        self.model.currentIndexChanged.connect(lambda _index: self.edited.emit())
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("&Policy", self.model)
        form.addRow("Continuations of &each", self.number)
        form.addRow("Most of &thinking", self.thinking)
        form.addRow("Most of the &answer", self.answer)
        align_labels(form)

    def fill(self, start: Start, models: tuple[StoredModel, ...]) -> None:
        """Offer these policies for this trace."""
        self._models = models
        for model in models:
            self.model.addItem(model.name, model.uid)
        own = next((at for at, model in enumerate(models) if model.name == start.model), 0)
        self.model.setCurrentIndex(own if models else -1)
        self.thinking.setValue(start.thinking)
        self.answer.setValue(start.answer_tokens)

    @property
    def chosen(self) -> StoredModel | None:
        """The policy; None where there is none."""
        return next((model for model in self._models if model.uid == self.model.currentData()), None)

    @property
    def numbers(self) -> tuple[int, int, int]:
        """Continuations, tokens of thinking, tokens of answer."""
        return self.number.value(), self.thinking.value(), self.answer.value()
