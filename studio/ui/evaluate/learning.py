"""Open the forms of monitor runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from studio.ui.evaluate.order_dialog import MonitorRunDialog
from trainer.contract.specs.monitor import MonitorTask

if TYPE_CHECKING:
    from studio.ui.context import Context


def look(context: Context, parent: QWidget, *, model: str = "") -> MonitorRunDialog:
    """Choose traces and what looks at them; `model`: the folder of a trained monitor."""
    dialog = MonitorRunDialog(context, MonitorTask.SCORE, model=model, parent=parent)
    dialog.open()
    return dialog


def learn(context: Context, parent: QWidget) -> MonitorRunDialog:
    """Choose of which traces the reviewed flags teach."""
    dialog = MonitorRunDialog(context, MonitorTask.TRAIN, parent=parent)
    dialog.open()
    return dialog
