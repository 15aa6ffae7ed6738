"""Order a run that looks at traces: of monitors, or another recipe. What a judge costs is told before Start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.devices import Machine
from studio.jobs.roles import JUDGE, MODEL, roles_of
from studio.jobs.values import Preview, RunOrder, RunView
from studio.store import models
from studio.store.models import StoredModel
from studio.ui.dialogs import set_role
from studio.ui.train.selection_form import SelectionForm
from studio.ui.train.words import local_time
from studio.ui.widgets.fields import ModelField
from studio.ui.widgets.parts import MARGIN, Quiet, align_labels, button, duration, heading, plural
from studio.ui.widgets.spec_form import SpecForm
from trainer.contract.spec import Value
from trainer.contract.specs.monitor import MonitorTask
from trainer.reasoning import judging

if TYPE_CHECKING:
    from studio.ui.context import Context

RECIPE = "monitor"
PREVIEW_AFTER_MS = 300
TITLES = {MonitorTask.SCORE: "Look at traces", MonitorTask.TRAIN: "Learn from reviewed flags"}
ABOUT = {
    MonitorTask.SCORE: "The exact checks need no model. A trained monitor and a judge look, too, where one is chosen. "
    "What they find goes to the review queue.",
    MonitorTask.TRAIN: "A classifier of every category learns from confirmed and rejected flags and from traces called "
    "clean, split by problem. It counts only after it has looked at traces and was promoted, unless it is the first.",
}


class LookDialog(QDialog):
    """The form of a run that looks at traces or learns to: settings, traces, counts, time and cost, Start.

    Signals:
        created(RunView): the run is queued.
    """

    created = Signal(object)
    when = "its findings come when it has ended"

    def __init__(
        self,
        context: Context,
        recipe: str,
        title: str,
        about: str,
        fixed: Mapping[str, Value],
        parent: QWidget | None = None,
    ) -> None:
        """`fixed` are settings that are shown and cannot be changed here."""
        super().__init__(parent)
        self._context, self._recipe, self._about = context, recipe, about
        self._asked = 0
        self._preview: Preview | None = None
        self._creating = False
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.resize(960, 700)
        self.device = QComboBox(self)
        self.device.addItem("cpu")
        self.rows = SelectionForm(context, labelled=False, parent=self)
        self.form = SpecForm(recipe, models={}, parent=self)
        self.counts, self.time, self.cost = QLabel("", self), Quiet("", self), QLabel("", self)
        self.problem = QLabel("", self)
        self.start = button("Start", self._on_start, tip="Queue the run on its device", primary=True, parent=self)
        self.close_ = button("Close", self.reject, parent=self)
        self._timer = QTimer(self, singleShot=True, interval=PREVIEW_AFTER_MS)
        self._lay_out()
        self.form.set_values({**self.form.values(), **fixed})
        for name in fixed:
            self.form.editor(name).setEnabled(False)
        self._timer.timeout.connect(self._on_due)
        for source in (self.form.changed, self.rows.changed, self.device.currentIndexChanged):
            source.connect(lambda *_: self._on_changed())
        context.background.read(self, models.all_models, self._on_models)
        context.background.call(self, context.jobs.machine, self._on_machine)
        self._on_changed()

    def order(self) -> RunOrder:
        """What the form asks for now."""
        return RunOrder(self._recipe, dict(self.form.values()), self.rows.selection(), device=self.device.currentText())

    def _first(self, _role: str, _fitting: Sequence[StoredModel]) -> str:
        """Which of the models that fit plays a role unless another is chosen."""
        return ""

    def _cost(self, preview: Preview) -> str:
        """What it will cost, in words."""
        return "\n".join(preview.warnings)

    def _on_models(self, found: tuple[StoredModel, ...]) -> None:
        """The models made here where they fit."""
        values: dict[str, Value] = dict(self.form.values())
        for role in roles_of(self._recipe):
            field = self.form.editor(role.name)
            assert isinstance(field, ModelField)
            fitting = [model for model in found if model.kind in role.kinds]
            for model in fitting:
                field.add_known(f"{model.name}, {local_time(model.created_at)}", model.folder)
            values[role.name] = values[role.name] or self._first(role.name, fitting)
        self.form.set_values(values)
        self._on_changed()

    def _on_machine(self, machine: Machine) -> None:
        self.device.addItems([each.id for each in machine.devices if each.id != "cpu"])

    def _on_changed(self) -> None:
        self._asked += 1
        self._preview = None
        invalid = self.form.invalid()
        self.problem.setText(invalid[0].problem if invalid else "")
        if invalid:
            self._timer.stop()
        else:
            self._timer.start()
        self._show_start()

    def _on_due(self) -> None:
        asked, order, jobs = self._asked, self.order(), self._context.jobs
        self._context.background.call(
            self,
            lambda: jobs.preview(order),
            lambda preview: self._on_preview(asked, preview),
            lambda error: self._on_failed(asked, error),
        )

    def _on_preview(self, asked: int, preview: Preview) -> None:
        if asked != self._asked:
            return
        self._preview = preview
        counts = preview.counts
        self.counts.setText(f"{plural(counts.rows, 'trace')} of {plural(counts.problems, 'problem')}")
        took = preview.estimate.seconds
        self.time.setText("" if took is None else f"about {duration(took)}; {preview.estimate.basis}")
        self.problem.setText("\n".join(preview.problems) or ("" if counts.rows else "no trace is chosen"))
        self.cost.setText(self._cost(preview))
        self._show_start()

    def _on_failed(self, asked: int, error: Exception) -> None:
        if asked == self._asked:
            self.problem.setText(str(error))

    def _show_start(self) -> None:
        preview = self._preview
        ready = preview is not None and not preview.problems and preview.counts.rows > 0
        self.start.setEnabled(ready and not self._creating)

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
        self.problem.setText(str(error))
        self._show_start()

    def _lay_out(self) -> None:
        left = QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(14)
        column.addWidget(Quiet(self._about, left))
        top = QFormLayout()
        top.setHorizontalSpacing(14)
        top.addRow("Device", self.device)
        align_labels(top)
        column.addLayout(top)
        for title, widget in (("Traces", self.rows), ("Settings", self.form)):
            column.addWidget(heading(title, left, size=1.15))
            column.addWidget(widget)
        area = QScrollArea(self)
        area.setWidget(left)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        right = QVBoxLayout()
        right.setContentsMargins(0, MARGIN, MARGIN, MARGIN)
        right.setSpacing(10)
        right.addWidget(heading("What goes in", self))
        set_role(self.problem, "error")
        set_role(self.cost, "warning")
        for label in (self.counts, self.cost, self.problem):
            label.setWordWrap(True)
        for line in (self.counts, self.time, self.cost, self.problem):
            right.addWidget(line)
        right.addStretch(1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.close_)
        foot.addWidget(self.start)
        right.addLayout(foot)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(MARGIN)
        outer.addWidget(area, 3)
        outer.addLayout(right, 2)


class MonitorRunDialog(LookDialog):
    """The form of a run of the recipe `monitor`."""

    def __init__(self, context: Context, task: MonitorTask, *, model: str = "", parent: QWidget | None = None) -> None:
        """The newest monitor looks unless `model` is given."""
        self._task, self._model = task, model
        super().__init__(context, RECIPE, TITLES[task], ABOUT[task], {"task": task}, parent)

    def _first(self, role: str, fitting: Sequence[StoredModel]) -> str:
        """The monitor that was asked for, else the newest."""
        if role != MODEL or self._task is not MonitorTask.SCORE:
            return ""
        return self._model or (fitting[0].folder if fitting else "")

    def _cost(self, preview: Preview) -> str:
        """What the judge will be asked and cost; empty without one."""
        rows, characters = preview.counts.rows, preview.counts.characters
        said = self.form.values()
        if self._task is not MonitorTask.SCORE or not (said[JUDGE] or said["judge_url"]) or not rows:
            return ""
        limit = int(said["judge_limit"])
        number = min(rows, limit) if limit else rows
        told = judging.cost(
            [characters // rows] * number,
            int(said["judge_tokens"]),
            price_input=float(said["price_input"]),
            price_output=float(said["price_output"]),
        )
        words = told.sentence()
        return words[:1].upper() + words[1:]
