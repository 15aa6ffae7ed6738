"""Order a run that looks for a rubric by its own classifier or by a judge; what it costs is told before Start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from studio.ui.evaluate.order_dialog import LookDialog
from trainer.contract.specs.rubric import RubricBy

if TYPE_CHECKING:
    from studio.ui.context import Context

ABOUT = {
    RubricBy.CLASSIFIER: "It learns from the rubric's examples and from what was confirmed and rejected, beside steps "
    "drawn from these traces that are taken as not it, and looks at every step.",
    RubricBy.JUDGE: "A model copies passages word for word, those that do not stand in the trace are dropped, and it "
    "judges each of the others alone.",
}


class RubricRunDialog(LookDialog):
    """The form of a run of the recipe `rubric`."""

    when = "what it finds comes when it has ended"

    def __init__(self, context: Context, rubric: str, by: RubricBy, parent: QWidget | None = None) -> None:
        title = f"Look for “{rubric}” by {by.value}"
        super().__init__(context, "rubric", title, ABOUT[by], {"rubric": rubric, "by": by}, parent)
