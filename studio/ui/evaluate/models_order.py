"""The form of a new evaluation: a suite and its problems, who is measured and how much it may think, counts, Start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.devices import Machine
from studio.jobs.roles import roles_of
from studio.jobs.values import Preview, RunOrder, RunView
from studio.store import models
from studio.store.evaluation_rows import Key
from studio.store.models import StoredModel
from studio.ui.dialogs import set_role
from studio.ui.evaluate import models_tiny
from studio.ui.train.selection_form import SelectionForm
from studio.ui.train.words import local_time
from studio.ui.widgets.fields import ChoiceField, ModelField
from studio.ui.widgets.parts import MARGIN, Quiet, align_labels, button, duration, heading, plural, size_text
from studio.ui.widgets.spec_form import SpecForm
from trainer.contract.spec import SpecError, Value, build
from trainer.contract.specs.evaluate import EvaluateSpec, Suite

if TYPE_CHECKING:
    from studio.ui.context import Context

RECIPE = "evaluate"
PREVIEW_AFTER_MS = 300
ABOUT = (
    "Every sample is kept with its grades, tokens and trace. Two models are compared on the problems that both had, so "
    "give them the same file."
)
FILE_HINT = "The file with the suite's problems, or a folder of such files"
OWN_HINT = "Without a file: the problems of the chosen traces"
STORED_HINT = "The tests of this workspace: no file"


class EvaluateDialog(QDialog):
    """Orders a run of the recipe `evaluate`.

    Signals:
        created(RunView): the run is queued.
    """

    created = Signal(object)

    def __init__(self, context: Context, *, like: Key | None = None, parent: QWidget | None = None) -> None:
        """`like`: begin with the suite of this cell."""
        super().__init__(parent)
        self._context = context
        self._asked = 0
        self._preview: Preview | None = None
        self._creating = False
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("New evaluation")
        self.resize(1180, 780)
        self.device = QComboBox(self)
        self.device.addItem("cpu")
        self.file = ChoiceField(self)
        self.file_about = Quiet(FILE_HINT, self)
        self.choose_file = button("File…", self._on_file, tip="Choose the suite's file", parent=self)
        self.choose_folder = button("Folder…", self._on_folder, tip="Choose a folder of task files", parent=self)
        self.tiny = button("Tiny models", self._on_tiny, tip="Problems that the shipped policy knows", parent=self)
        self.rows = SelectionForm(context, labelled=False, parent=self)
        self.form = SpecForm(RECIPE, models={}, parent=self)
        self.counts, self.answers, self.time = QLabel("", self), QLabel("", self), Quiet("", self)
        self.problem, self.warnings = QLabel("", self), QLabel("", self)
        self.start = button("Start", self._on_start, tip="Queue the run on its device", primary=True, parent=self)
        self.close_ = button("Close", self.reject, parent=self)
        self._timer = QTimer(self, singleShot=True, interval=PREVIEW_AFTER_MS)
        self._lay_out()
        self._timer.timeout.connect(self._on_due)
        for source in (self.form.changed, self.rows.changed, self.device.currentIndexChanged):
            source.connect(lambda *_: self._on_changed())
        self.file.currentTextChanged.connect(lambda _text: self._on_changed())
        if like is not None and like.suite in set(Suite):
            self.form.set_values({"suite": like.suite})
        context.background.read(self, models.all_models, self._on_models)
        context.background.call(self, context.jobs.machine, self._on_machine)
        context.background.call(self, lambda: models_tiny.files(context.workspace), self._on_files)
        self._on_changed()

    @property
    def suite(self) -> Suite:
        """What is asked."""
        return Suite(str(self.form.values()["suite"]))

    def order(self) -> RunOrder:
        """What the form asks for now."""
        given = self.file.currentText().strip()
        known = self.file.findText(given)
        path = str(self.file.itemData(known) or given) if known >= 0 else given
        rows = (path,) if path and not self.suite.is_stored else ()
        device = self.device.currentText()
        return RunOrder(RECIPE, dict(self.form.values()), self.rows.selection(), device=device, rows=rows)

    # -- what there is to choose from ---------------------------------------------------------------------------------

    def _on_models(self, found: tuple[StoredModel, ...]) -> None:
        """The models made here where they fit; the newest policy is measured unless another is chosen."""
        values: dict[str, Value] = dict(self.form.values())
        for role in roles_of(RECIPE):
            field = self.form.editor(role.name)
            assert isinstance(field, ModelField)
            fitting = [model for model in found if model.kind in role.kinds]
            for model in fitting:
                field.add_known(f"{model.name}, {local_time(model.created_at)}", model.folder)
            if fitting and role.name == "model" and not values[role.name]:
                values[role.name] = fitting[0].folder
        self.form.set_values(values)

    def _on_machine(self, machine: Machine) -> None:
        self.device.addItems([each.id for each in machine.devices if each.id != "cpu"])

    def _on_files(self, found: tuple[Path, ...]) -> None:
        typed = self.file.currentText()
        self.file.blockSignals(True)
        for path in found:
            self.file.addItem(path.name, str(path))
        self.file.setCurrentText(typed)
        self.file.blockSignals(False)

    def _on_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Problems of the suite", "", "JSON (*.jsonl *.json);;All files (*)")
        if name:
            self.file.setCurrentText(name)

    def _on_folder(self) -> None:
        if name := QFileDialog.getExistingDirectory(self, "Folder of task files"):
            self.file.setCurrentText(name)

    def _on_tiny(self) -> None:
        workspace = self._context.workspace
        self.tiny.setEnabled(False)
        self._context.background.call(self, lambda: models_tiny.ready(workspace), self._on_tiny_ready, self._on_failed)

    def _on_tiny_ready(self, tiny: models_tiny.Tiny) -> None:
        self.tiny.setEnabled(True)
        for role, model in (("model", tiny.policy), ("prm", tiny.prm)):
            field = self.form.editor(role)
            assert isinstance(field, ModelField)
            if field.combo.findData(model.folder) < 0:
                field.add_known(f"{model.name}, {local_time(model.created_at)}", model.folder)
        chosen: dict[str, Value] = {"model": tiny.policy.folder, "prm": tiny.prm.folder}
        self.form.set_values({**models_tiny.VALUES, **chosen})
        self.file.setCurrentText(str(tiny.problems))
        edit = self.file.lineEdit()
        assert edit is not None
        edit.setCursorPosition(0)

    # -- counts and start ---------------------------------------------------------------------------------------------

    def _on_changed(self) -> None:
        self._asked += 1
        self._preview = None
        own = self.suite.is_own and not self.file.currentText().strip()
        self.rows.setVisible(own)
        self._rows_title.setVisible(own)
        for widget in (self.file, self.choose_file, self.choose_folder):
            widget.setEnabled(not self.suite.is_stored)
        hint = STORED_HINT if self.suite.is_stored else OWN_HINT if self.suite.is_own else FILE_HINT
        self.file_about.setText(hint)
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
            lambda error: self._on_failed(error) if asked == self._asked else None,
        )

    def _on_preview(self, asked: int, preview: Preview) -> None:
        if asked != self._asked:
            return
        self._preview = preview
        counts, needs = preview.counts, preview.estimate
        self.counts.setText(
            f"{plural(counts.rows, 'problem')}, {counts.referenced:,} with a reference answer"
            if not self.suite.judges_prm
            else f"{plural(counts.rows, 'solution')}, {plural(counts.steps, 'step')}"
        )
        self.answers.setText(self._answers(counts.rows))
        took = "Nobody can say how long" if needs.seconds is None else f"About {duration(needs.seconds)}"
        disk = "" if needs.disk_bytes is None else f", {size_text(needs.disk_bytes)} on disk"
        self.time.setText(f"{took}{disk}; {needs.basis}")
        self.problem.setText("\n".join(preview.problems) or ("" if counts.rows else "there is no problem to ask"))
        self.warnings.setText("\n".join(preview.warnings))
        self._show_start()

    def _answers(self, problems: int) -> str:
        """How many answers will be written, and how long they may be."""
        try:
            spec = build(RECIPE, dict(self.form.values()))
            assert isinstance(spec, EvaluateSpec)
            caps = spec.caps()
        except SpecError as error:
            return str(error)
        if self.suite.judges_prm:
            return ""
        set_to = spec.with_preset()
        each = "" if len(caps) == 1 else f" under each of {len(caps)} caps ({', '.join(f'{cap:,}' for cap in caps)})"
        return (
            f"{plural(set_to.n, 'sample')} of each{each}: {plural(problems * set_to.n * len(caps), 'answer')} "
            f"of at most {max(caps):,} tokens of thinking and {set_to.max_answer_tokens:,} of answer"
        )

    def _on_failed(self, error: Exception) -> None:
        self.tiny.setEnabled(True)
        self.counts.setText("")
        self.answers.setText("")
        self.problem.setText(str(error))

    def _show_start(self) -> None:
        preview = self._preview
        ready = preview is not None and not preview.problems and preview.counts.rows > 0
        self.start.setEnabled(ready and not self._creating and self._context.packages.allows_start)

    def _on_start(self) -> None:
        self._creating = True
        self._show_start()
        self.counts.setText("Freezing the rows into the run folder…")
        order, jobs = self.order(), self._context.jobs
        self._context.background.call(self, lambda: jobs.create(order), self._on_created, self._on_not_created)

    def _on_created(self, view: RunView) -> None:
        self._creating = False
        self._context.say(f"{view.name} is queued on {view.device}; its results come when it has ended")
        self.created.emit(view)
        self.accept()

    def _on_not_created(self, error: Exception) -> None:
        self._creating = False
        self._show_start()
        self._on_failed(error)

    def _lay_out(self) -> None:
        self.file.setEditable(True)
        self.file.setCurrentText("")
        self.file.setAccessibleName("Problems")
        self.file.setMinimumContentsLength(24)
        self.file.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        files = QHBoxLayout()
        files.addWidget(self.file, 1)
        for each in (self.choose_file, self.choose_folder):
            files.addWidget(each)
        top = QFormLayout()
        top.setHorizontalSpacing(14)
        top.addRow("Problems", files)
        top.addRow("", self.file_about)
        top.addRow("Or begin with", self.tiny)
        top.addRow("Device", self.device)
        align_labels(top)
        left = QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(14)
        column.addWidget(Quiet(ABOUT, left))
        column.addLayout(top)
        self._rows_title = heading("Traces whose problems are asked", left, size=1.15)
        for widget in (self._rows_title, self.rows, heading("Settings", left, size=1.15), self.form):
            column.addWidget(widget)
        area = QScrollArea(self)
        area.setWidget(left)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(MARGIN)
        outer.addWidget(area, 13)
        outer.addLayout(self._aside(), 7)
        QWidget.setTabOrder(self.form.last_editor, self.close_)
        QWidget.setTabOrder(self.close_, self.start)

    def _aside(self) -> QVBoxLayout:
        right = QVBoxLayout()
        right.setContentsMargins(0, MARGIN, MARGIN, MARGIN)
        right.setSpacing(10)
        right.addWidget(heading("What goes in", self))
        set_role(self.problem, "error")
        set_role(self.warnings, "warning")
        for label in (self.counts, self.answers, self.time, self.warnings, self.problem):
            label.setWordWrap(True)
            right.addWidget(label)
        right.addStretch(1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.close_)
        foot.addWidget(self.start)
        right.addLayout(foot)
        return right
