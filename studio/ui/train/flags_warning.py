"""Before flags may pay a policy: what that does to the monitor, and No as the answer that Enter gives."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QMessageBox

from studio.ui.widgets.spec_form import SpecForm

PARAMETER = "flags_as_reward"
ASK = "Use the flags of a safety monitor as a reward?"
WHY = (
    "A policy that is paid for not being flagged learns to hide what is flagged: its thinking looks clean while it "
    "does the same. The monitor then tells nothing any more, of this policy nor of what learns from its traces. "
    "Flags are for reading, and for choosing what to mend."
)


def warn_of_flags(form: SpecForm) -> None:
    """Ask whenever a person ticks the parameter; it stays unticked unless they insist."""
    box = form.editor(PARAMETER)
    assert isinstance(box, QCheckBox)
    box.clicked.connect(lambda on: _ask(box) if on else None)


def _ask(box: QCheckBox) -> None:
    box.setChecked(False)
    warning = QMessageBox(box.window())
    warning.setIcon(QMessageBox.Icon.Warning)
    warning.setWindowTitle("Flags as a reward")
    warning.setText(ASK)
    warning.setInformativeText(WHY)
    yes = warning.addButton("Use them all the same", QMessageBox.ButtonRole.AcceptRole)
    no = warning.addButton("Do not use them", QMessageBox.ButtonRole.RejectRole)
    warning.setDefaultButton(no)
    warning.setEscapeButton(no)
    yes.clicked.connect(lambda: box.setChecked(True))
    warning.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    warning.open()
