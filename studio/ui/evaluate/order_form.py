"""What the forms of runs on this page share: settings, rows, what goes in and how long it takes, Start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.devices import Machine
from studio.jobs.roles import roles_of
from studio.jobs.values import Preview, RunOrder, RunView
from studio.store import models
from studio.store.models import StoredModel
from studio.ui.dialogs import set_role
from studio.ui.train.selection_form import SelectionForm
from studio.ui.train.words import local_time
from studio.ui.widgets.fields import ModelField
from studio.ui.widgets.parts import MARGIN, Quiet, align_labels, button, heading
from studio.ui.widgets.spec_form import SpecForm
from trainer.contract.spec import Value

if TYPE_CHECKING:
    from studio.ui.context import Context

PREVIEW_AFTER_MS = 300


@dataclass(frozen=True, slots=True)
class Parts:
    """What a form is put together from: `top` beside names, `sections` under headings, `aside` on the right.

    `shares` of the width: left, right.
    """

    about: str
    top: Sequence[tuple[str, QWidget | QLayout]]
    sections: Sequence[tuple[QLabel, QWidget]]
    aside: Sequence[QLabel]
    shares: tuple[int, int]


class OrderForm(QDialog):
    """Orders a run of one recipe; who inherits makes its own widgets, then calls `begin` once.

    Signals:
        created(RunView): the run is queued.
    """

    created = Signal(object)
    when = "its results come when it has ended"

    def __init__(self, context: Context, recipe: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._recipe = context, recipe
        self._asked = 0
        self._preview: Preview | None = None
        self._creating = False
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.device = QComboBox(self)
        self.device.setAccessibleName("Device")
        self.device.addItem("cpu")
        self.rows = SelectionForm(context, labelled=False, parent=self)
        self.form = SpecForm(recipe, models={}, parent=self)
        self.counts, self.time, self.problem = QLabel("", self), Quiet("", self), QLabel("", self)
        self.start = button("Start", self._on_start, tip="Queue the run on its device", primary=True, parent=self)
        self.close_ = button("Close", self.reject, parent=self)
        self._timer = QTimer(self, singleShot=True, interval=PREVIEW_AFTER_MS)
        self._timer.timeout.connect(self._on_due)

    def begin(self, parts: Parts, values: Mapping[str, Value]) -> None:
        """Lay out, fill in these settings, and look what there is to choose from."""
        self._lay_out(parts)
        self.form.set_values({**self.form.values(), **values})
        for source in (self.form.changed, self.rows.changed, self.device.currentIndexChanged):
            source.connect(lambda *_: self.on_changed())
        self._context.background.read(self, models.all_models, self._on_models)
        self._context.background.call(self, self._context.jobs.machine, self._on_machine)
        self.on_changed()

    def order(self) -> RunOrder:
        """What the form asks for now."""
        return RunOrder(self._recipe, dict(self.form.values()), self.rows.selection(), device=self.device.currentText())

    # -- for who inherits ---------------------------------------------------------------------------------------------

    def first_model(self, role: str, fitting: Sequence[StoredModel]) -> str:
        """Which of the models that fit plays a role unless another is chosen."""
        return ""

    def show_preview(self, preview: Preview) -> None:
        """Say what goes in; set `problem` where nothing can begin."""
        raise NotImplementedError

    def show_failure(self, error: Exception) -> None:
        """Say what went wrong."""
        self.problem.setText(str(error))

    def may_start(self) -> bool:
        """Whether everything that such a run needs is there."""
        return True

    def on_changed(self) -> None:
        """Something was chosen: count anew."""
        self._asked += 1
        self._preview = None
        invalid = self.form.invalid()
        self.problem.setText(invalid[0].problem if invalid else "")
        if invalid:
            self._timer.stop()
        else:
            self._timer.start()
        self._show_start()

    # -- counts and start ---------------------------------------------------------------------------------------------

    def _on_models(self, found: tuple[StoredModel, ...]) -> None:
        """The models made here where they fit."""
        values: dict[str, Value] = dict(self.form.values())
        for role in roles_of(self._recipe):
            field = self.form.editor(role.name)
            assert isinstance(field, ModelField)
            fitting = [model for model in found if model.kind in role.kinds]
            for model in fitting:
                self.offer(role.name, model)
            values[role.name] = values[role.name] or self.first_model(role.name, fitting)
        self.form.set_values(values)
        self.on_changed()

    def offer(self, role: str, model: StoredModel) -> None:
        """Let a model be chosen for a role."""
        field = self.form.editor(role)
        assert isinstance(field, ModelField)
        if field.combo.findData(model.folder) < 0:
            field.add_known(f"{model.name}, {local_time(model.created_at)}", model.folder)

    def _on_machine(self, machine: Machine) -> None:
        self.device.addItems([each.id for each in machine.devices if each.id != "cpu"])

    def _on_due(self) -> None:
        asked, order, jobs = self._asked, self.order(), self._context.jobs
        self._context.background.call(
            self,
            lambda: jobs.preview(order),
            lambda preview: self._on_preview(asked, preview),
            lambda error: self._on_failed(asked, error),
        )

    def _on_preview(self, asked: int, preview: Preview) -> None:
        if asked == self._asked:
            self._preview = preview
            self.show_preview(preview)
            self._show_start()

    def _on_failed(self, asked: int, error: Exception) -> None:
        if asked == self._asked:
            self.show_failure(error)

    def _show_start(self) -> None:
        preview = self._preview
        ready = preview is not None and not preview.problems and preview.counts.rows > 0
        self.start.setEnabled(ready and not self._creating and self.may_start())

    def _on_start(self) -> None:
        self._creating = True
        self._show_start()
        self.counts.setText("Freezing the rows into the run folder…")
        order, jobs = self.order(), self._context.jobs
        self._context.background.call(self, lambda: jobs.create(order), self._on_created, self._on_not_created)

    def _on_created(self, view: RunView) -> None:
        self._creating = False
        self._context.say(f"{view.name} is queued on {view.device}; {self.when}")
        self.created.emit(view)
        self.accept()

    def _on_not_created(self, error: Exception) -> None:
        self._creating = False
        self._show_start()
        self.show_failure(error)

    # -- layout -------------------------------------------------------------------------------------------------------

    def _lay_out(self, parts: Parts) -> None:
        left = QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(14)
        column.addWidget(Quiet(parts.about, left))
        top = QFormLayout()
        top.setHorizontalSpacing(14)
        for name, field in (*parts.top, ("Device", self.device)):
            top.addRow(name, field)
        align_labels(top)
        column.addLayout(top)
        for title, widget in parts.sections:
            column.addWidget(title)
            column.addWidget(widget)
        area = QScrollArea(self)
        area.setWidget(left)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(MARGIN)
        outer.addWidget(area, parts.shares[0])
        outer.addLayout(self._aside(parts.aside), parts.shares[1])
        QWidget.setTabOrder(self.form.last_editor, self.close_)
        QWidget.setTabOrder(self.close_, self.start)

    def _aside(self, labels: Sequence[QLabel]) -> QVBoxLayout:
        right = QVBoxLayout()
        right.setContentsMargins(0, MARGIN, MARGIN, MARGIN)
        right.setSpacing(10)
        right.addWidget(heading("What goes in", self))
        set_role(self.problem, "error")
        for label in labels:
            label.setWordWrap(True)
            right.addWidget(label)
        right.addStretch(1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.close_)
        foot.addWidget(self.start)
        right.addLayout(foot)
        return right
