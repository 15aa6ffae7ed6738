"""What is compared, on which problems: the fields of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QSizePolicy, QWidget

from studio.jobs.roles import POLICIES
from studio.jobs.shipped import POLICY, PRM, Example
from studio.store.models import StoredModel
from studio.ui.play.contest_problems import Source, sources
from studio.ui.play.contest_store import MOST_PROBLEMS, Wanted
from studio.ui.play.model_choice import told_apart
from studio.ui.play.values import Budgets
from studio.ui.widgets.fields import ChoiceField, NumberField
from studio.ui.widgets.parts import align_labels
from trainer.reasoning.budget import allocate

MANY, TRACES, TOTAL, DIFFICULTY = 40, 8, 108, 0.5


@dataclass(frozen=True, slots=True)
class Asked:
    """What the dialog begins with; models by uid, "" for those that travel with the app."""

    small: str = ""
    prm: str = ""
    problems: tuple[Example, ...] = ()
    budgets: Budgets | None = None
    temperature: float = 1.0
    aggregation: str = "last"
    seed: int = 0

    @property
    def granted(self) -> Budgets:
        """The budgets, or what the page Play begins with."""
        if self.budgets is not None:
            return self.budgets
        grant = allocate(TOTAL, DIFFICULTY)
        return Budgets(grant.thinking, grant.answer, DIFFICULTY)


class ContestForm(QWidget):
    """Says what is missing instead of refusing silently. Signals:

    changed(): something was edited.
    """

    changed = Signal()

    def __init__(self, asked: Asked, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._asked = asked
        self._models: dict[str, StoredModel] = {}
        self.small, self.prm, self.large = ChoiceField(), ChoiceField(), ChoiceField()
        self.one_pass, self.source = ChoiceField(), ChoiceField()
        self.many = NumberField(MANY, whole=True, low=1, high=MOST_PROBLEMS)
        self.n = NumberField(TRACES, whole=True, low=1, high=256)
        self.seed = NumberField(asked.seed, whole=True, low=0, high=2**31 - 1)
        self.one_pass.addItem("Its most probable trace (greedy)", userData=True)
        self.one_pass.addItem(f"Drawn at temperature {asked.temperature:g}, as each of the small one's", userData=False)
        for each in sources(asked.problems):
            self.source.addItem(each.name, each)
        self._lay_out()
        for choice in (self.small, self.prm, self.large, self.one_pass, self.source):
            choice.currentIndexChanged.connect(lambda _index: self.changed.emit())
        for number in (self.many, self.n, self.seed):
            number.changed.connect(self.changed)

    def show_models(self, known: tuple[StoredModel, ...]) -> None:
        """Offer the models of the workspace; the larger one is the newest policy that is not the small one."""
        self._models = {each.uid: each for each in known}
        policies = [each for each in known if each.kind in POLICIES]
        _offer(self.small, policies, self._asked.small, POLICY)
        _offer(self.prm, [each for each in known if each.kind == "prm"], self._asked.prm, PRM)
        others = [
            each.uid for each in sorted(policies, key=lambda each: -each.id) if each.uid != self.small.currentData()
        ]
        _offer(self.large, policies, others[0] if others else "", POLICY)

    def missing(self) -> str:
        """What must still be given, as a sentence; empty when it can be compared."""
        if not self.small.currentData():
            return "There is no policy here: teach one with the recipe sft on the Train page."
        if not self.prm.currentData():
            return "Best-of-n is led by scores of steps: train a PRM on the Train page."
        for field in (self.many, self.n, self.seed):
            if field.problem():
                return f"{field.accessibleName()}: {field.problem()}."
        return ""

    @property
    def hint(self) -> str:
        """What is odd about the choice, though it can be compared."""
        if self.small.currentData() != self.large.currentData():
            return ""
        return "The larger model is the small one itself: choose another, or teach one with sft or import one."

    @property
    def chosen(self) -> Source:
        """Where the problems come from."""
        source = self.source.currentData()
        assert isinstance(source, Source)
        return source

    def wanted(self, problems: tuple[Example, ...]) -> Wanted:
        """What is to be compared; only while nothing is missing."""
        asked = self._asked
        return Wanted(
            small=self._models[str(self.small.currentData())],
            prm=self._models[str(self.prm.currentData())],
            large=self._models[str(self.large.currentData())],
            problems=problems,
            budgets=asked.granted,
            n=int(self.n.number() or 1),
            temperature=asked.temperature,
            seed=int(self.seed.number() or 0),
            aggregation=asked.aggregation,
            greedy=bool(self.one_pass.currentData()),
        )

    def _lay_out(self) -> None:
        names: dict[QWidget, str] = {
            self.small: "Small model", self.prm: "PRM", self.large: "Larger model", self.one_pass: "One pass of it",
            self.source: "Problems", self.many: "How many problems", self.n: "Traces of the small model",
            self.seed: "Seed",
        }  # fmt: skip
        for widget, name in names.items():
            widget.setAccessibleName(name)
        left, right = QFormLayout(), QFormLayout()
        left.addRow("Small model", self.small)
        left.addRow("Scored by", self.prm)
        left.addRow("Larger model", self.large)
        left.addRow("One pass of it", self.one_pass)
        right.addRow("Problems", self.source)
        right.addRow("How many", self.many)
        right.addRow("Traces n", self.n)
        right.addRow("Seed", self.seed)
        for form in (left, right):
            align_labels(form)
            form.setVerticalSpacing(6)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(24)
        row.addLayout(left, 1)
        row.addLayout(right, 1)

    @property
    def terms(self) -> str:
        """What both have in common, in a sentence."""
        budgets, asked = self._asked.granted, self._asked
        return (
            f"At most {budgets.grant.thinking} tokens of thinking and {budgets.grant.answer} of answer for a trace; "
            f"temperature {asked.temperature:g}; a trace's score is the {asked.aggregation} of its steps'."
        )


def _offer(field: ChoiceField, known: list[StoredModel], first: str, otherwise: str) -> None:
    """Fill a field; `first` is chosen, or the model called `otherwise`."""
    field.clear()
    for each in sorted(known, key=lambda each: -each.id):
        field.addItem(told_apart(each, known), each.uid)
    place = field.findData(first) if first else -1
    place = place if place >= 0 else max(field.findText(otherwise), 0)
    field.setCurrentIndex(place if known else -1)
