"""Where a run runs: here or by a launch template, in how many processes, and what each holds of the model."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from studio.errors import RunError
from studio.jobs import templates
from studio.settings import Settings
from studio.ui.train.template_dialog import TemplateDialog
from studio.ui.widgets.fields import ChoiceField, NumberField
from studio.ui.widgets.parts import Quiet, button, set_property
from trainer.contract.launch import IN_SEVERAL, Launch, Share, objections

HERE = "This machine"
_SHARES = {Share.WHOLE: "the whole model (DDP)", Share.SPREAD: "a part of the model (FSDP)"}


class WhereForm(QWidget):
    """The part of a new run's form that the launcher reads.

    Signals:
        changed: another place, or other processes.
        placeChanged(bool): whether the run goes elsewhere; other devices are there.
    """

    changed = Signal()
    placeChanged = Signal(bool)

    def __init__(self, settings: Settings, recipe: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings, self._recipe = settings, recipe
        self.place = ChoiceField(self)
        self.place.setAccessibleName("Where it runs")
        self.host = QLineEdit(self)
        self.host.setPlaceholderText("host, as ssh knows it")
        self.host.setAccessibleName("Host")
        self.edit = button("Templates…", self._on_edit, tip="See and edit the launch templates", parent=self)
        self.processes, self.machines = _count("Processes on each machine", self), _count("Machines", self)
        self.share = ChoiceField(self)
        self.share.setAccessibleName("What each process holds")
        for share, words in _SHARES.items():
            self.share.addItem(words, share)
        self.about = Quiet("", self)
        self.dialog: TemplateDialog | None = None
        self._lay_out()
        self._fill_places()
        self.place.currentIndexChanged.connect(lambda _index: self._on_place())
        self.host.textEdited.connect(lambda _text: self._on_changed())
        for number in (self.processes, self.machines):
            number.changed.connect(self._on_changed)
        self.share.currentIndexChanged.connect(lambda _index: self._on_changed())
        self._show()

    def launch(self) -> Launch:
        """What is chosen now."""
        name = str(self.place.currentData())
        share = Share(self.share.currentData())
        return Launch(
            template=name,
            host=self.host.text().strip() if self.host.isVisibleTo(self) else "",
            processes=_whole(self.processes),
            machines=_whole(self.machines) if name else 1,
            share=share if _whole(self.processes) * _whole(self.machines) > 1 else Share.WHOLE,
        )

    def set_recipe(self, recipe: str) -> None:
        """Another recipe, which may not run in several processes."""
        self._recipe = recipe
        self._show()

    def _fill_places(self) -> None:
        kept = self.place.currentData()
        blocked = self.place.blockSignals(True)
        self.place.clear()
        self.place.addItem(HERE, "")
        for name in templates.known(self._settings):
            self.place.addItem(name, name)
        self.place.setCurrentIndex(max(0, self.place.findData(kept)))
        self.place.blockSignals(blocked)

    def _on_place(self) -> None:
        template = templates.known(self._settings).get(str(self.place.currentData()))
        self.host.setText("" if template is None else template.host)
        self.placeChanged.emit(template is not None)
        self._on_changed()

    def _on_changed(self) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        """What is asked for only where it matters, and in a sentence what will happen, or why it cannot."""
        template = templates.known(self._settings).get(str(self.place.currentData()))
        speaks = template is not None and any("{host}" in getattr(template, name) for name in templates.ALLOWED)
        self.host.setVisible(speaks)
        machines = template is not None and "{machines}" in template.start
        for widget in (self.machines, self._of_machines):
            widget.setVisible(machines)
        if not machines:
            self.machines.set_number(1)
        several = _whole(self.processes) * _whole(self.machines) > 1
        self._each.setVisible(several)
        self.share.setVisible(several)
        problem = self._problem()
        self.about.setText(problem or self._told(several))
        set_property(self.about, "role", "error" if problem else "caption")

    def _problem(self) -> str:
        found = list(objections(self._recipe, self.launch()))
        if self.launch().is_elsewhere:
            try:
                templates.find(self._settings, self.launch())
            except RunError as error:
                found.append(str(error))
        text = "; ".join(found)
        return f"{text[:1].upper()}{text[1:]}." if text else ""

    def _told(self, several: bool) -> str:
        template = templates.known(self._settings).get(str(self.place.currentData()))
        words = [] if template is None else [template.about]
        if several:
            total = _whole(self.processes) * _whole(self.machines)
            words.append(f"{total} processes by accelerate launch; mixed precision as in the settings below.")
            if self._recipe in IN_SEVERAL and self.launch().share is Share.WHOLE:
                words.append("Choose a part of the model where the whole does not fit.")
        elif template is None:
            words.append("One process.")
        return " ".join(words)

    def _on_edit(self) -> None:
        self.dialog = TemplateDialog(self._settings, str(self.place.currentData()), self)
        self.dialog.saved.connect(self._on_saved)
        self.dialog.open()

    def _on_saved(self, name: str) -> None:
        self._fill_places()
        self.place.setCurrentIndex(max(0, self.place.findData(name)))
        self._on_place()

    def _lay_out(self) -> None:
        first, second, third = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.place)
        first.addWidget(self.host, 1)
        first.addWidget(self.edit)
        self._of_machines, self._each = QLabel("machines ×", self), QLabel("each process holds", self)
        second.addWidget(self.machines)
        second.addWidget(self._of_machines)
        second.addWidget(self.processes)
        second.addWidget(QLabel("processes", self))
        second.addStretch(1)
        third.addWidget(self._each)
        third.addWidget(self.share)
        third.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(first)
        column.addLayout(second)
        column.addLayout(third)
        column.addWidget(self.about)


def _count(name: str, parent: QWidget) -> NumberField:
    made = NumberField(1, whole=True, low=1, high=512, parent=parent)
    made.setFixedWidth(64)
    made.setAccessibleName(name)
    return made


def _whole(field: NumberField) -> int:
    """The number of a field; 0 for what is none, which the objections name."""
    value = field.number()
    return int(value) if value is not None and not field.problem() else 0
