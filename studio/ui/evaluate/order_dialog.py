"""Order a run that looks at traces: of monitors, or another recipe. What a judge costs is told before Start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLabel, QWidget

from studio.jobs.roles import JUDGE, MODEL
from studio.jobs.values import Preview
from studio.store.models import StoredModel
from studio.ui.dialogs import set_role
from studio.ui.evaluate.order_form import OrderForm, Parts
from studio.ui.widgets.parts import duration, heading, plural
from trainer.contract.spec import Value
from trainer.contract.specs.monitor import MonitorTask
from trainer.reasoning import judging

if TYPE_CHECKING:
    from studio.ui.context import Context

RECIPE = "monitor"
TITLES = {MonitorTask.SCORE: "Look at traces", MonitorTask.TRAIN: "Learn from reviewed flags"}
ABOUT = {
    MonitorTask.SCORE: "The exact checks need no model. A trained monitor and a judge look, too, where one is chosen. "
    "What they find goes to the review queue.",
    MonitorTask.TRAIN: "A classifier of every category learns from confirmed and rejected flags and from traces called "
    "clean, split by problem. It counts only after it has looked at traces and was promoted, unless it is the first.",
}


class LookDialog(OrderForm):
    """The form of a run that looks at traces or learns to: settings, traces, counts, time and cost, Start."""

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
        super().__init__(context, recipe, title, parent)
        self.resize(960, 700)
        self.cost = QLabel("", self)
        set_role(self.cost, "warning")
        sections = [
            (heading(name, self, size=1.15), it) for name, it in (("Traces", self.rows), ("Settings", self.form))
        ]
        self.begin(Parts(about, (), sections, (self.problem, self.counts, self.time, self.cost), (3, 2)), fixed)
        for name in fixed:
            self.form.editor(name).setEnabled(False)

    def cost_words(self, preview: Preview) -> str:
        """What it will cost, in words."""
        return "\n".join(preview.warnings)

    def show_preview(self, preview: Preview) -> None:
        """Traces, time, cost."""
        counts = preview.counts
        self.counts.setText(f"{plural(counts.rows, 'trace')} of {plural(counts.problems, 'problem')}")
        took = preview.estimate.seconds
        self.time.setText("" if took is None else f"about {duration(took)}; {preview.estimate.basis}")
        self.problem.setText("\n".join(preview.problems) or ("" if counts.rows else "no trace is chosen"))
        self.cost.setText(self.cost_words(preview))


class MonitorRunDialog(LookDialog):
    """The form of a run of the recipe `monitor`."""

    def __init__(self, context: Context, task: MonitorTask, *, model: str = "", parent: QWidget | None = None) -> None:
        """The newest monitor looks unless `model` is given."""
        self._task, self._model = task, model
        super().__init__(context, RECIPE, TITLES[task], ABOUT[task], {"task": task}, parent)

    def first_model(self, role: str, fitting: Sequence[StoredModel]) -> str:
        """The monitor that was asked for, else the newest."""
        if role != MODEL or self._task is not MonitorTask.SCORE:
            return ""
        return self._model or (fitting[0].folder if fitting else "")

    def cost_words(self, preview: Preview) -> str:
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
