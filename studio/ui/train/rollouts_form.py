"""The settings of what-if credit: form, weights, baseline, scale, with their warnings."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from studio.ui.train.rollouts_bar import WITHOUT_ARROWS
from studio.ui.widgets.fields import ChoiceField
from studio.ui.widgets.parts import Quiet, button, heading
from trainer.reasoning.credit import Baseline, CreditForm, CreditSettings, GroupScale

T = TypeVar("T")
WIDTH = 236
_SCALES = {
    GroupScale.GROUP: "deviation within the problem",
    GroupScale.BATCH: "deviation over the update",
    GroupScale.NONE: "nothing",
}


class RolloutForm(QScrollArea):
    """What the rewards of the shown update are computed with.

    Signals:
        changed(): another setting was chosen.
        resetAsked(): back to the run's own settings and scores.
    """

    changed = Signal()
    resetAsked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quiet = False
        self._given = CreditSettings()
        self.credit_form = self._choice("Credit form", {form: form.value for form in CreditForm})
        self.meaning = Quiet("", self)
        self.process_weight = self._weight("Weight of the step scores")
        self.outcome_weight = self._weight("Weight of the outcome")
        self.baseline = self._choice("Baseline", {baseline: baseline.value for baseline in Baseline})
        self.scale = self._choice("Divided by", _SCALES)
        self.warnings = QLabel("", self)
        self.warnings.setWordWrap(True)
        self.warnings.setProperty("role", "warning")
        self.warnings.setAccessibleName("Warnings of these settings")
        self.reset = button(
            "Reset", self.resetAsked.emit, tip="The run's own settings, and the scores the PRM gave", parent=self
        )
        self._lay_out()

    def settings(self) -> CreditSettings:
        """The settings as they stand."""
        return CreditSettings(
            form=CreditForm(self.credit_form.currentData()),
            process_weight=_exact(self.process_weight, self._given.process_weight),
            outcome_weight=_exact(self.outcome_weight, self._given.outcome_weight),
            baseline=Baseline(self.baseline.currentData()),
            scale=GroupScale(self.scale.currentData()),
        )

    def show_settings(self, settings: CreditSettings) -> None:
        """Show these settings; tells nobody."""
        self._quiet, self._given = True, settings
        for combo, value in (
            (self.credit_form, settings.form),
            (self.baseline, settings.baseline),
            (self.scale, settings.scale),
        ):
            combo.setCurrentIndex(combo.findData(value.value))
        self.process_weight.setValue(settings.process_weight)
        self.outcome_weight.setValue(settings.outcome_weight)
        self._quiet = False
        self._explain()

    def _on_changed(self) -> None:
        if not self._quiet:
            self._explain()
            self.changed.emit()

    def _explain(self) -> None:
        settings = self.settings()
        self.meaning.setText(settings.form.meaning)
        texts = settings.warnings
        self.warnings.setText("\n\n".join(f"! {text}" for text in texts))
        self.warnings.setVisible(bool(texts))

    def _choice(self, name: str, choices: dict[T, str]) -> ChoiceField:
        combo = ChoiceField(self)
        combo.setAccessibleName(name)
        for value, text in choices.items():
            combo.addItem(text, str(value))
        combo.currentIndexChanged.connect(lambda _index: self._on_changed())
        return combo

    def _weight(self, name: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox(self)
        box.setAccessibleName(name)
        box.setRange(0.0, 10.0)
        box.setSingleStep(0.05)
        box.setDecimals(3)
        box.setKeyboardTracking(False)
        box.setStyleSheet(WITHOUT_ARROWS)
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        box.valueChanged.connect(lambda _value: self._on_changed())
        return box

    def _lay_out(self) -> None:
        inner = QWidget(self)
        column = QVBoxLayout(inner)
        column.setContentsMargins(12, 0, 4, 0)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.addWidget(heading("What-if credit", inner), 1)
        head.addWidget(self.reset)
        column.addLayout(head)
        for name, editor in (
            ("Credit form", self.credit_form),
            ("Weight of the step scores", self.process_weight),
            ("Weight of the outcome", self.outcome_weight),
            ("Baseline", self.baseline),
            ("Divided by", self.scale),
        ):
            label = QLabel(name, inner)
            label.setProperty("role", "caption")
            label.setBuddy(editor)
            editor.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            column.addWidget(label)
            column.addWidget(editor)
            if editor is self.credit_form:
                column.addWidget(self.meaning)
        column.addWidget(self.warnings)
        column.addStretch(1)
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(WIDTH)


def _exact(box: QDoubleSpinBox, given: float) -> float:
    """What a box stands for: the weight it was given, with the digits it does not show, until another is typed."""
    return given if abs(box.value() - given) <= 0.5 * 10 ** -box.decimals() else box.value()
