"""The launch templates: each text shown and edited, what may stand in braces, and what is wrong as one types."""

from __future__ import annotations

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.jobs import templates
from studio.settings import LaunchTemplate, Settings
from studio.ui.widgets.fields import ChoiceField
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, heading, monospace, set_property

_LINES = {
    "host": "the machine that ssh speaks to",
    "folder": "where run folders, models and the worker's program lie there",
    "python": "the interpreter there that has the training packages",
}
_TEXTS = {
    "shell": "run here; runs the script on its standard input there",
    "send": "run here: {source} to {target}; empty with fetch: one disk",
    "fetch": "run here: what is new in {run_dir} to {local_dir}",
    "start": "run there; its last line names the job",
    "state": "run there; says RUNNING, PENDING, GONE … of {job}",
    "stop": "run there; ends {job} at once",
}
_HEIGHTS = {"start": 150, "state": 84, "fetch": 62}


class TemplateDialog(QDialog):
    """Edit the templates; Save keeps the shown one in the preferences.

    Signals:
        saved(str): the name of the template that was kept.
    """

    saved = Signal(str)

    def __init__(self, settings: Settings, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle("Launch templates")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(820, 760)
        self.names = ChoiceField(self)
        self.names.addItems(list(templates.known(settings)))
        self.name = QLineEdit(self)
        self.lines = {field: QLineEdit(self) for field in _LINES}
        self.texts = {field: self._text(field) for field in _TEXTS}
        self.queues = QCheckBox("a scheduler there keeps the order: hand over any number of runs", self)
        self.problems = Quiet("", self)
        self.save = button("Save", self._on_save, primary=True, parent=self)
        self.reset = button("As shipped", self._on_reset, tip="Forget your changes to this template", parent=self)
        self._lay_out()
        self.names.setCurrentText(name or "ssh")
        self.names.currentTextChanged.connect(self._show)
        for line in (*self.lines.values(), self.name):
            line.textEdited.connect(lambda _text: self._check())
        for text in self.texts.values():
            text.textChanged.connect(self._check)
        self._show()

    def template(self) -> LaunchTemplate:
        """What the form says now; what it does not show is as it was."""
        kept = templates.known(self._settings).get(self.names.currentText(), LaunchTemplate())
        given = {field: line.text().strip() for field, line in self.lines.items()}
        given |= {field: text.toPlainText().strip() for field, text in self.texts.items()}
        return msgspec.structs.replace(kept, queues=self.queues.isChecked(), **given)

    def _text(self, field: str) -> QPlainTextEdit:
        made = monospace("", self)
        made.setReadOnly(False)
        made.setFixedHeight(_HEIGHTS.get(field, 44))
        made.setTabChangesFocus(True)
        made.setAccessibleName(f"{field}: {_TEXTS[field]}")
        return made

    def _show(self) -> None:
        name = self.names.currentText()
        kept = templates.known(self._settings).get(name, LaunchTemplate())
        self.name.setText(name)
        for field, line in self.lines.items():
            line.setText(getattr(kept, field))
        for field, text in self.texts.items():
            text.setPlainText(getattr(kept, field))
        self.queues.setChecked(kept.queues)
        own = name in self._settings.launch_templates
        self.reset.setEnabled(own and name in templates.SHIPPED)
        self._check()

    def _check(self) -> None:
        found = list(templates.check(self.template()))
        if not self.name.text().strip():
            found.append("give it a name")
        self.problems.setText("\n".join(found) or "In order. Passwords and keys stay in an ssh agent, never in here.")
        set_property(self.problems, "role", "error" if found else "caption")
        self.save.setEnabled(not found)

    def _on_save(self) -> None:
        name = self.name.text().strip()
        self._settings.update(launch_templates={**self._settings.launch_templates, name: self.template()})
        self.saved.emit(name)
        self.accept()

    def _on_reset(self) -> None:
        name = self.names.currentText()
        rest = {key: kept for key, kept in self._settings.launch_templates.items() if key != name}
        self._settings.update(launch_templates=rest)
        self._show()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setVerticalSpacing(8)
        form.addRow("Template", self.names)
        form.addRow("Save as", self.name)
        for field, line in self.lines.items():
            line.setPlaceholderText(_LINES[field])
            form.addRow(field, line)
        form.addRow("", self.queues)
        for field, text in self.texts.items():
            form.addRow(field, text)
            form.addRow("", Quiet(_TEXTS[field], self))
        inner = QWidget(self)
        column = QVBoxLayout(inner)
        column.addLayout(form)
        column.addWidget(heading("What may stand in braces", inner))
        column.addWidget(Quiet("\n".join(f"{{{k}}}  {v}" for k, v in templates.PLACEHOLDERS.items()), inner))
        area = QScrollArea(self)
        area.setWidget(inner)
        area.setWidgetResizable(True)
        foot = QHBoxLayout()
        foot.addWidget(self.reset)
        foot.addStretch(1)
        foot.addWidget(button("Close", self.reject, parent=self))
        foot.addWidget(self.save)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        outer.setSpacing(GAP)
        outer.addWidget(area, 1)
        outer.addWidget(self.problems)
        outer.addLayout(foot)
