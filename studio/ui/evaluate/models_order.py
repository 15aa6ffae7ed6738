"""The form of a new evaluation: a suite and its problems, who is measured and how much it may think, counts, Start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QWidget

from studio.jobs.values import Preview, RunOrder
from studio.store.evaluation_rows import Key
from studio.store.models import StoredModel
from studio.ui.dialogs import set_role
from studio.ui.evaluate import models_tiny
from studio.ui.evaluate.order_form import OrderForm, Parts
from studio.ui.widgets.fields import ChoiceField
from studio.ui.widgets.parts import Quiet, button, duration, heading, plural, size_text
from trainer.contract.spec import SpecError, Value, build
from trainer.contract.specs.evaluate import EvaluateSpec, Suite

if TYPE_CHECKING:
    from studio.ui.context import Context

RECIPE = "evaluate"
ABOUT = (
    "Every sample is kept with its grades, tokens and trace. Two models are compared on the problems that both had, so "
    "give them the same file."
)
FILE_HINT = "The file with the suite's problems, or a folder of such files"
OWN_HINT = "Without a file: the problems of the chosen traces"
STORED_HINT = "The tests of this workspace: no file"


class EvaluateDialog(OrderForm):
    """Orders a run of the recipe `evaluate`."""

    def __init__(self, context: Context, *, like: Key | None = None, parent: QWidget | None = None) -> None:
        """`like`: begin with the suite of this cell."""
        super().__init__(context, RECIPE, "New evaluation", parent)
        self.resize(1180, 780)
        self.file = ChoiceField(self)
        self.file_about = Quiet(FILE_HINT, self)
        self.choose_file = button("File…", self._on_file, tip="Choose the suite's file", parent=self)
        self.choose_folder = button("Folder…", self._on_folder, tip="Choose a folder of task files", parent=self)
        self.tiny = button("Tiny models", self._on_tiny, tip="Problems that the shipped policy knows", parent=self)
        self.answers, self.warnings = QLabel("", self), QLabel("", self)
        set_role(self.warnings, "warning")
        self._rows_title = heading("Traces whose problems are asked", self, size=1.15)
        self.file.currentTextChanged.connect(lambda _text: self.on_changed())
        known = like is not None and like.suite in set(Suite)
        self.begin(self._parts(), {"suite": like.suite} if like is not None and known else {})
        context.background.call(self, lambda: models_tiny.files(context.workspace), self._on_files)
        QWidget.setTabOrder(self.tiny, self.device)  # as they stand below each other
        self.file.setFocus()

    def _parts(self) -> Parts:
        self.file.setEditable(True)
        self.file.setCurrentText("")
        self.file.setAccessibleName("Problems")
        if (line := self.file.lineEdit()) is not None:
            line.setAccessibleName("Problems")
        self.file.setMinimumContentsLength(24)
        self.file.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        files = QHBoxLayout()
        files.addWidget(self.file, 1)
        for each in (self.choose_file, self.choose_folder):
            files.addWidget(each)
        return Parts(
            about=ABOUT,
            top=(("Problems", files), ("", self.file_about), ("Or begin with", self.tiny)),
            sections=((self._rows_title, self.rows), (heading("Settings", self, size=1.15), self.form)),
            aside=(self.problem, self.counts, self.answers, self.time, self.warnings),
            shares=(13, 7),
        )

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

    def first_model(self, role: str, fitting: Sequence[StoredModel]) -> str:
        """The newest policy is measured."""
        return fitting[0].folder if fitting and role == "model" else ""

    def may_start(self) -> bool:
        """Whether the training packages are there."""
        return self._context.packages.allows_start

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
        self._context.background.call(
            self, lambda: models_tiny.ready(workspace), self._on_tiny_ready, self.show_failure
        )

    def _on_tiny_ready(self, tiny: models_tiny.Tiny) -> None:
        self.tiny.setEnabled(True)
        for role, model in (("model", tiny.policy), ("prm", tiny.prm)):
            self.offer(role, model)
        chosen: dict[str, Value] = {"model": tiny.policy.folder, "prm": tiny.prm.folder}
        self.form.set_values({**models_tiny.VALUES, **chosen})
        self.file.setCurrentText(str(tiny.problems))
        edit = self.file.lineEdit()
        assert edit is not None
        edit.setCursorPosition(0)

    def on_changed(self) -> None:
        """What can be given depends on the suite."""
        own = self.suite.is_own and not self.file.currentText().strip()
        self.rows.setVisible(own)
        self._rows_title.setVisible(own)
        for widget in (self.file, self.choose_file, self.choose_folder):
            widget.setEnabled(not self.suite.is_stored)
        hint = STORED_HINT if self.suite.is_stored else OWN_HINT if self.suite.is_own else FILE_HINT
        self.file_about.setText(hint)
        super().on_changed()
        if missing := self._missing():
            self.problem.setText(missing)

    def show_preview(self, preview: Preview) -> None:
        """Problems, answers, time."""
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

    def show_failure(self, error: Exception) -> None:
        """Nothing else is known then."""
        self.tiny.setEnabled(True)
        self.counts.setText("")
        self.answers.setText("")
        super().show_failure(error)
        if missing := self._missing():
            self.problem.setText(missing)

    def _missing(self) -> str:
        """What can be told without reading any file: which is wanted, and settings that make no sense together."""
        if self.form.invalid():
            return ""
        spec = build(RECIPE, dict(self.form.values()))
        assert isinstance(spec, EvaluateSpec)
        takes_file = not spec.suite.is_stored and not spec.suite.is_own
        if takes_file and not self.file.currentText().strip():
            return "\n".join(
                filter(None, [f"choose the file with the problems of {spec.suite.heading}", spec.objection()])
            )
        return spec.objection()

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
