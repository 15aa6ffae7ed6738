"""Which policy continues a trace, how often, and under which budgets; what bisecting and forking ask alike."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFormLayout, QWidget

from studio.jobs.continuing import Start
from studio.store.models import StoredModel
from studio.ui.widgets.fields import ChoiceField, NumberField, mark_invalid
from studio.ui.widgets.parts import align_labels

MOST_NUMBER = 1024
MOST_TOKENS = 131_072


class ContinueForm(QWidget):
    """Begins with the policy that wrote the trace, if it is here, and with the budgets that the trace had.

    Signals:
        edited(): something was chosen.
    """

    edited = Signal()

    def __init__(self, number: int, least: int, parent: QWidget | None = None) -> None:
        """`number` continuations, at least `least`."""
        super().__init__(parent)
        self._models: tuple[StoredModel, ...] = ()
        self.model = ChoiceField()
        self.model.setAccessibleName("The policy that continues")
        self.number = NumberField(number, whole=True, low=least, high=MOST_NUMBER)
        self.thinking = NumberField(0, whole=True, low=0, high=MOST_TOKENS)
        self.answer = NumberField(1, whole=True, low=1, high=MOST_TOKENS)
        for field in (self.number, self.thinking, self.answer):
            field.changed.connect(self._on_edited)
        self.model.currentIndexChanged.connect(lambda _index: self.edited.emit())
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("&Policy", self.model)
        form.addRow("Continuations of &each", self.number)
        form.addRow("Most tokens of &thinking", self.thinking)
        form.addRow("Most tokens of the &answer", self.answer)
        align_labels(form)

    def fill(self, start: Start, models: tuple[StoredModel, ...]) -> None:
        """Offer these policies for this trace."""
        self._models = models
        for model in models:
            self.model.addItem(model.name, model.uid)
        own = next((at for at, model in enumerate(models) if model.name == start.model), 0)
        self.model.setCurrentIndex(own if models else -1)
        self.thinking.set_number(start.thinking)
        self.answer.set_number(start.answer_tokens)

    @property
    def chosen(self) -> StoredModel | None:
        """The policy; None where there is none."""
        return next((model for model in self._models if model.uid == self.model.currentData()), None)

    @property
    def problem(self) -> str:
        """What is wrong with a number, in words; empty when nothing is."""
        fields = (
            ("continuations", self.number),
            ("tokens of thinking", self.thinking),
            ("tokens of the answer", self.answer),
        )
        return next((f"{name}: {field.problem()}" for name, field in fields if field.problem()), "")

    @property
    def numbers(self) -> tuple[int, int, int] | None:
        """Continuations, tokens of thinking, tokens of answer; None where one is wrong."""
        if self.problem:
            return None
        number, thinking, answer = (int(each.text_value()) for each in (self.number, self.thinking, self.answer))
        return number, thinking, answer

    def _on_edited(self) -> None:
        for field in (self.number, self.thinking, self.answer):
            mark_invalid(field, bool(field.problem()))
        self.edited.emit()
