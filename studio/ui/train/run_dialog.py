"""The form of a new run: settings from the recipe, rows with live counts, an estimate, Start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.errors import CancelledError
from studio.jobs.values import Preview, RunOrder, RunView
from studio.store import models
from studio.store.models import StoredModel
from studio.ui.train.presets import PRESETS
from studio.ui.train.preview_panel import PreviewPanel
from studio.ui.train.selection_form import SelectionForm
from studio.ui.train.words import RECIPE_NAMES, local_time
from studio.ui.widgets.fields import ModelField
from studio.ui.widgets.parts import MARGIN, Quiet, align_labels, button, heading
from studio.ui.widgets.spec_form import SpecForm
from trainer.contract.spec import Value

if TYPE_CHECKING:
    from studio.ui.context import Context

PREVIEW_AFTER_MS = 300
BODY_MODELS = ("tiny", "HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-Math-1.5B")


class RunDialog(QDialog):
    """Order a run of one recipe.

    Signals:
        created(RunView): the run is queued.
    """

    created = Signal(object)
    _told = Signal(str)

    def __init__(
        self,
        context: Context,
        recipe: str,
        *,
        devices: tuple[str, ...] = ("cpu",),
        values: dict[str, Value] | None = None,
        projects: tuple[str, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._context = context
        self.recipe = recipe
        self._asked = 0
        self._preview: Preview | None = None
        self._creating = False
        self._stop = False
        labelled = recipe == "prm"
        self.setWindowTitle(RECIPE_NAMES.get(recipe, recipe))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(1080, 760)
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("named by its recipe and number unless you name it")
        self.device = QComboBox(self)
        self.device.addItems([*devices])
        self.preset = QComboBox(self)
        for each in PRESETS[recipe]:
            self.preset.addItem(each.name, each)
        self.preset_about = Quiet("", self)
        self.form = SpecForm(recipe, models=BODY_MODELS if labelled else (), parent=self)
        self.rows = SelectionForm(context, labelled=labelled, ticked=projects, parent=self)
        self.panel = PreviewPanel(context.theme, labelled=labelled, parent=self)
        self.start = button("Start", self._on_start, tip="Queue the run on its device", primary=True, parent=self)
        self.cancel = button("Close", self.reject, parent=self)
        self.status = Quiet("", self)
        self._lay_out(labelled)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PREVIEW_AFTER_MS)
        self._connect()
        self.name.setFocus()
        self._on_preset()
        if values:
            self.form.set_values(values)
        context.background.read(self, _all_models, self._on_models)

    def _connect(self) -> None:
        self._told.connect(self.status.setText)
        self._timer.timeout.connect(self._on_preview_due)
        self.preset.currentIndexChanged.connect(lambda _index: self._on_preset())
        self.form.changed.connect(self._on_changed)
        self.rows.changed.connect(self._on_changed)
        self.device.currentIndexChanged.connect(lambda _index: self._on_changed())
        self._context.packages.changed.connect(self._show_start)

    def order(self) -> RunOrder:
        """What the form asks for now."""
        return RunOrder(
            self.recipe,
            dict(self.form.values()),
            self.rows.selection(),
            self.name.text().strip(),
            self.device.currentText(),
        )

    def closeEvent(self, event: QCloseEvent) -> None:
        """While the rows are being frozen, closing cancels that."""
        if self._creating:
            self._stop = True
            event.ignore()
        else:
            super().closeEvent(event)

    def reject(self) -> None:
        """Escape and Close; while the rows are being frozen, Cancel."""
        if self._creating:
            self._stop = True
            self.status.setText("Cancelling…")
        else:
            super().reject()

    def _on_models(self, found: tuple[StoredModel, ...]) -> None:
        field = self.form.editor("model")
        if self.recipe != "score" or not isinstance(field, ModelField):
            return
        for model in found:
            field.add_known(f"{model.name}, {local_time(model.created_at)}", model.folder)
        values = self.form.values()
        if found and not values["model"]:
            values["model"] = found[0].folder
        self.form.set_values(values)

    def _on_preset(self) -> None:
        preset = self.preset.currentData()
        self.preset_about.setText(f"{preset.about}.")
        keep = {} if self.recipe == "prm" else {"model": self.form.values()["model"]}
        self.form.set_values({**keep, **preset.values})

    def _on_changed(self) -> None:
        self._asked += 1
        self._preview = None
        invalid = self.form.invalid()
        if invalid:
            self._timer.stop()
            self.panel.show_problem("Nothing can be counted until this is mended:\n" + invalid[0].problem)
        else:
            self.panel.show_busy()
            self._timer.start()
        self._show_start()

    def _on_preview_due(self) -> None:
        asked, order, jobs = self._asked, self.order(), self._context.jobs
        self._context.background.call(
            self,
            lambda: jobs.preview(order, lambda _done, _total: self._still_wanted(asked)),
            lambda preview: self._on_preview(asked, preview),
            lambda error: self._on_preview_failed(asked, error),
        )

    def _still_wanted(self, asked: int) -> None:
        """Called in the thread that counts; raising there ends a count that nobody waits for."""
        if asked != self._asked:
            raise CancelledError("another selection is counted")

    def _on_preview(self, asked: int, preview: Preview) -> None:
        if asked == self._asked:
            self._preview = preview
            self.panel.show_preview(preview)
            self._show_start()

    def _on_preview_failed(self, asked: int, error: Exception) -> None:
        if asked == self._asked:
            self.panel.show_problem(str(error))

    def _show_start(self) -> None:
        ready = self._preview is not None and not self._preview.problems and self._preview.counts.rows > 0
        allowed = self._context.packages.allows_start
        self.start.setEnabled(ready and not self._creating and allowed)
        if not self._creating:
            self.status.setText("" if allowed else "Start has to wait for the training packages.")
        self.cancel.setText("Cancel" if self._creating else "Close")

    def _on_start(self) -> None:
        self._creating = True
        self._stop = False
        self._show_start()
        self.status.setText("Freezing the rows into the run folder…")
        order, jobs = self.order(), self._context.jobs
        self._context.background.call(self, lambda: jobs.create(order, self._tell), self._on_created, self._on_failed)

    def _tell(self, phase: str, done: int, total: int) -> None:
        """Called in the thread that creates the run; raising there stops it, and leaves nothing."""
        if self._stop:
            raise CancelledError("cancelled; no run was made")
        self._told.emit(f"{phase}: {done:,} of {total:,}" if total else phase)

    def _on_created(self, view: RunView) -> None:
        self._creating = False
        self.created.emit(view)
        self.accept()

    def _on_failed(self, error: Exception) -> None:
        self._creating = False
        self.status.setText("")
        self._show_start()
        if isinstance(error, CancelledError):
            self._context.say("Cancelled: no run was made")
            return
        self.panel.show_problem(str(error))
        self._context.fail(error)

    def _lay_out(self, labelled: bool) -> None:
        top = QFormLayout()
        top.setHorizontalSpacing(14)
        top.setVerticalSpacing(10)
        top.addRow("Name", self.name)
        top.addRow("Device", self.device)
        if labelled:
            top.addRow("Start from", self.preset)
            top.addRow("", self.preset_about)
        else:
            self.preset.hide()
            self.preset_about.hide()
        align_labels(top)
        left = QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(18)
        column.addLayout(top)
        column.addWidget(heading("Rows", left, size=1.15))
        column.addWidget(self.rows)
        column.addWidget(heading("Settings", left, size=1.15))
        column.addWidget(self.form, 1)
        foot = QHBoxLayout()
        foot.addWidget(self.status, 1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.start)
        right = QVBoxLayout()
        right.setContentsMargins(0, MARGIN, MARGIN, MARGIN)
        right.addWidget(_scrolled(self.panel), 1)
        right.addLayout(foot)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(MARGIN)
        outer.addWidget(_scrolled(left), 3)
        outer.addLayout(right, 2)


def _scrolled(inner: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def _all_models(c: Connection) -> tuple[StoredModel, ...]:
    return models.all_models(c, "prm")
