"""What is to be played: problem, models, budgets, strategies. Says what is missing instead of refusing silently."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QTextCursor
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLayout,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.shipped import EXAMPLES, POLICY, PRM, Example
from studio.store.models import StoredModel
from studio.ui.context import Context
from studio.ui.play.address import AddressFields
from studio.ui.play.model_choice import ModelChoice
from studio.ui.play.problems_button import ProblemsButton
from studio.ui.play.values import ENTRANTS, MOST_LANES, Budgets, Entrant, Models, Play
from studio.ui.widgets.fields import ChoiceField, NumberField, mark_invalid
from studio.ui.widgets.parts import Quiet, button, heading
from trainer.contract.forms import Aggregation
from trainer.contract.specs.search import Compute
from trainer.reasoning.budget import allocate

TOTAL, TRACES, TEMPERATURE = 108, 8, 1.0
MOST_TOKENS = 131_072
ELSEWHERE = "at an address"
STEPS = 20  # of the slider
Choices = Sequence[StoredModel]


class PlayForm(QScrollArea):
    """The left side of the page.

    Signals:
        changed(): something was edited.
    """

    changed = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._wanted = ""  # a policy's name, until models are shown
        self.by_hand = False
        self.problem, self.reference = QPlainTextEdit(), QLineEdit()
        self.examples = ProblemsButton()
        self.policy, self.prm = ModelChoice(first=POLICY), ModelChoice(first=PRM, none="none")
        self.folder = button("…", self._on_folder, tip="A model's folder on disk as the policy")
        self.reasoning = ModelChoice(none="none", more=("at an address…", ELSEWHERE))
        self.router = ModelChoice(none="none: not calibrated")
        self.address = AddressFields()
        self.address.hide()
        self.difficulty = QSlider(Qt.Orientation.Horizontal)
        self.difficulty_words = Quiet()
        self.total = NumberField(TOTAL, whole=True, low=2, high=MOST_TOKENS)
        self.thinking = NumberField(0, whole=True, low=0, high=MOST_TOKENS)
        self.answer = NumberField(1, whole=True, low=1, high=MOST_TOKENS)
        self.ways = {each: QCheckBox(each.title) for each in ENTRANTS}
        self.n = NumberField(TRACES, whole=True, low=1, high=4096)
        self.compute, self.aggregation = ChoiceField(), ChoiceField()
        self.temperature = NumberField(TEMPERATURE, whole=False, low=0, high=5)
        self.seed = NumberField(0, whole=True, low=0, high=2**31 - 1)
        self._name()
        self._lay_out()
        self._connect()
        self.set_problem(EXAMPLES[0])
        self.difficulty.setValue(STEPS // 2)
        self.ways[ENTRANTS[0]].setChecked(True)
        self._split()

    # -- what stands in it --------------------------------------------------------------------------------------------

    @property
    def entrants(self) -> tuple[Entrant, ...]:
        """The strategies that are ticked."""
        return tuple(each for each, box in self.ways.items() if box.isChecked())

    def choose(self, *titles: str) -> None:
        """Tick these strategies and no others."""
        for each, box in self.ways.items():
            box.setChecked(each.title in titles)

    def missing(self) -> str:
        """What must still be given, as a sentence; empty when it can be asked."""
        if not self.problem.toPlainText().strip():
            return "Write a problem, or take one of the examples."
        if not self.policy.currentData():
            return "There is no policy here: teach one with sft on the Train page, or choose a folder on disk."
        if not self.entrants:
            return "Tick at least one strategy."
        if len(self.entrants) > MOST_LANES:
            return f"At most {MOST_LANES} strategies race side by side; untick some."
        if any(each.needs_prm for each in self.entrants) and not self.prm.currentData():
            return "A search is led by scores of steps: choose a PRM, or self-consistency."
        if any(each.routed for each in self.entrants):
            if not self.reasoning.currentData():
                return "The router needs a reasoning model to escalate to."
            if self._elsewhere and (missing := self.address.missing()):
                return missing
        for field in self._numbers():
            if field.problem():
                return f"{field.accessibleName()}: {field.problem()}."
        return self._copies()

    @property
    def is_cold(self) -> bool:
        """Whether a strategy would choose among copies, as the temperature is 0."""
        return not any(field.problem() for field in self._numbers()) and bool(self._copies())

    def warm(self) -> None:
        """A temperature at which tries differ."""
        self.temperature.set_number(TEMPERATURE)
        self._on_edited()

    def one_trace(self) -> None:
        """No strategy that would choose among copies: n is 1, and what tries steps is not ticked."""
        self.compute.setCurrentIndex(self.compute.findData(Compute.BY_HAND))
        self.n.set_number(1)
        play = self.play()
        self.choose(*([each.title for each in self.entrants if not play.objection(each)] or [ENTRANTS[0].title]))
        self._on_edited()

    @property
    def _elsewhere(self) -> bool:
        """Whether the reasoning model answers at an address."""
        return bool(self.reasoning.currentData() == ELSEWHERE)

    def _copies(self) -> str:
        play = self.play()
        return next((f"{why[0].upper()}{why[1:]}." for each in self.entrants if (why := play.objection(each))), "")

    def play(self) -> Play:
        """What is to be played; only while nothing is missing."""
        return Play(
            problem=self.problem.toPlainText().strip(),
            reference=self.reference.text().strip() or None,
            models=Models(
                str(self.policy.currentData()), str(self.prm.currentData() or ""),
                "" if self._elsewhere else str(self.reasoning.currentData() or ""),
                str(self.router.currentData() or ""), self.address.address if self._elsewhere else None,
            ),
            budgets=self.budgets(),
            entrants=self.entrants,
            n=_whole(self.n),
            compute=Compute(self.compute.currentData()),
            aggregation=str(self.aggregation.currentData()),
            temperature=float(self.temperature.number() or 0.0),
            seed=_whole(self.seed),
        )  # fmt: skip

    def budgets(self) -> Budgets:
        """As they stand."""
        share = None if self.by_hand else self.difficulty.value() / STEPS
        return Budgets(_whole(self.thinking), _whole(self.answer), share)

    def show_play(self, play: Play) -> None:
        """Fill it with what was played, but for models that are not here any more."""
        self.set_problem(Example(play.problem, play.reference or ""))
        if play.budgets.difficulty is None:
            self.set_budgets(play.budgets.thinking, play.budgets.answer)
        else:
            self.total.set_number(play.budgets.thinking + play.budgets.answer)
            self.difficulty.setValue(round(play.budgets.difficulty * STEPS))
            self._split()
        address = play.models.address
        if address is not None:
            self.address.set_address(address)
        for field, value in (
            (self.policy, play.models.policy), (self.prm, play.models.prm), (self.router, play.models.router),
            (self.reasoning, play.models.reasoning if address is None else ELSEWHERE),
        ):  # fmt: skip
            field.choose(value)
        self.compute.setCurrentIndex(self.compute.findData(play.compute))
        self.aggregation.setCurrentIndex(self.aggregation.findData(play.aggregation))
        for number, said in ((self.n, play.n), (self.seed, play.seed), (self.temperature, play.temperature)):
            number.set_number(said)
        self.choose(*(each.title for each in play.entrants))
        self._on_edited()

    def set_problem(self, example: Example) -> None:
        """Put this problem in the place of what stands there: Ctrl+Z brings that back."""
        cursor = self.problem.textCursor()
        cursor.select(QTextCursor.SelectionType.Document)
        cursor.insertText(example.problem)
        self.reference.selectAll()
        self.reference.insert(example.reference)

    def set_budgets(self, thinking: int | None, answer: int | None) -> None:
        """Both by hand; as they stand where either is not known."""
        if thinking is not None and answer:
            self.thinking.set_number(thinking)
            self.answer.set_number(answer)
            self._on_hand()

    def choose_policy(self, name: str) -> None:
        """Take the policy of this name, if it is here or comes in a moment."""
        self._wanted = "" if self.policy.choose_name(name) else name

    def show_models(self, policies: Choices, prms: Choices, routers: Choices) -> None:
        """Offer these, the shipped ones first; what was chosen stays chosen."""
        self.policy.show_models(policies)
        if self._wanted:
            self.policy.choose_name(self._wanted)
            self._wanted = ""
        self.prm.show_models(prms)
        self.reasoning.show_models(policies)
        self.router.show_models(routers)
        self.changed.emit()

    def fit(self) -> None:
        """Take lengths in the present size of text."""
        px = self._context.theme.px
        self.problem.setFixedHeight(px(74))
        for combo in (self.compute, self.aggregation):
            combo.setMinimumWidth(px(96))
        for field in self._numbers():
            field.setFixedWidth(px(66))

    # -- parts --------------------------------------------------------------------------------------------------------

    def _numbers(self) -> tuple[NumberField, ...]:
        return self.total, self.thinking, self.answer, self.n, self.temperature, self.seed

    def _on_folder(self) -> None:
        """A model on disk: the policy, and offered as the router's reasoning model."""
        folder = QFileDialog.getExistingDirectory(self, "A model's folder")
        if not folder:
            return
        if not (Path(folder) / "config.json").is_file():
            self._context.say(f"{folder} is no folder of a model: there is no config.json in it")
            return
        self.reasoning.offer_folder(folder)
        self.policy.choose(folder)

    def _split(self) -> None:
        """Give the slider's share of all tokens to thinking."""
        self.by_hand = False
        share, total = self.difficulty.value() / STEPS, self.total.number()
        if isinstance(total, int) and not self.total.problem():
            grant = allocate(total, share)
            self.thinking.set_number(grant.thinking)
            self.answer.set_number(grant.answer)
        self.difficulty_words.setText(f"difficulty {share:.2f}: {0.3 + 0.6 * share:.0%} of the tokens for thinking")
        self._on_edited()

    def _on_hand(self) -> None:
        self.by_hand = True
        thinking, answer = self.thinking.number(), self.answer.number()
        if isinstance(thinking, int) and isinstance(answer, int):
            self.total.set_number(thinking + answer)
        self.difficulty_words.setText("both budgets by hand; move the slider to split them again")
        self._on_edited()

    def _on_edited(self) -> None:
        for field in self._numbers():
            mark_invalid(field, bool(field.problem()))
        by_hand = self.compute.currentData() == Compute.BY_HAND
        self.n.setEnabled(by_hand)
        routed = any(each.routed for each in self.entrants)
        self.reasoning.setEnabled(routed)
        self.address.setVisible(routed and self._elsewhere)
        self.router.setEnabled(routed)
        self.changed.emit()

    def _connect(self) -> None:
        self.difficulty.valueChanged.connect(lambda _value: self._split())
        self.total.changed.connect(self._split)
        self.thinking.changed.connect(self._on_hand)
        self.answer.changed.connect(self._on_hand)
        for field in (self.n, self.temperature, self.seed):
            field.changed.connect(self._on_edited)
        for box in self.ways.values():
            box.toggled.connect(lambda _on: self._on_edited())
        for combo in (self.policy, self.prm, self.reasoning, self.router, self.compute, self.aggregation):
            combo.currentIndexChanged.connect(lambda _index: self._on_edited())
        self.address.changed.connect(self._on_edited)
        self.examples.chosen.connect(self.set_problem)
        self.problem.textChanged.connect(self._on_edited)
        self.reference.textChanged.connect(lambda _text: self._on_edited())

    def _name(self) -> None:
        names: dict[QWidget, str] = {
            self.problem: "Problem", self.reference: "Reference answer", self.policy: "Policy", self.prm: "PRM",
            self.reasoning: "Reasoning model", self.router: "Learned router", self.difficulty: "Difficulty",
            self.total: "Tokens in all", self.thinking: "Tokens of thinking", self.answer: "Tokens of answer",
            self.n: "Traces", self.compute: "Compute", self.aggregation: "Score of a trace",
            self.temperature: "Temperature", self.seed: "Seed", self.folder: "Policy: a folder on disk",
        }  # fmt: skip
        for widget, name in names.items():
            widget.setAccessibleName(name)
        self.setAccessibleName("What to play")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its fields bring themselves into sight
        self.problem.setTabChangesFocus(True)
        self.problem.setPlaceholderText("A problem; LaTeX between dollars")
        self.reference.setPlaceholderText("optional: says whether an answer is right")
        self.difficulty.setRange(0, STEPS)
        for compute in Compute:
            self.compute.addItem(compute.value, compute)
        for each in Aggregation:
            self.aggregation.addItem(each.value, each.value)
        self.aggregation.setCurrentIndex(self.aggregation.findData(Aggregation.LAST.value))

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(2, 0, 10, 0)
        column.setSpacing(6)
        head = QHBoxLayout()
        head.addWidget(heading("Problem"), 1)
        head.addWidget(self.examples)
        column.addLayout(head)
        column.addWidget(self.problem)
        policy = QHBoxLayout()
        policy.addWidget(self.policy, 1)
        policy.addWidget(self.folder)
        column.addLayout(_pairs(("Reference", self.reference), ("Policy", policy), ("PRM", self.prm)))
        column.addWidget(heading("Budget"))
        column.addWidget(self.difficulty)
        column.addWidget(self.difficulty_words)
        numbers = QGridLayout()
        numbers.setColumnStretch(3, 1)
        numbers.setHorizontalSpacing(14)
        for place, (name, field) in enumerate(
            (("All", self.total), ("Thinking", self.thinking), ("Answer", self.answer))
        ):
            numbers.addWidget(Quiet(name), 0, place)
            numbers.addWidget(field, 1, place)
        column.addLayout(numbers)
        column.addWidget(heading("Strategies"))
        ways = QGridLayout()
        ways.setVerticalSpacing(2)
        for place, box in enumerate(self.ways.values()):
            ways.addWidget(box, place // 2, place % 2)
        column.addLayout(ways)
        more = QGridLayout()
        more.setVerticalSpacing(6)
        more.setColumnStretch(1, 1)
        pairs = (("Compute", self.compute), ("n", self.n), ("Score", self.aggregation), ("Seed", self.seed))
        for place, (name, widget) in enumerate((*pairs, ("Temperature", self.temperature))):
            more.addWidget(Quiet(name), place // 2, 2 * (place % 2))
            more.addWidget(widget, place // 2, 2 * (place % 2) + 1)
        column.addLayout(more)
        column.addWidget(heading("Router"))
        column.addLayout(_pairs(("Reasoning", self.reasoning), ("Learned", self.router)))
        column.addWidget(self.address)
        column.addStretch(1)
        self.setWidget(inside)
        self.setWidgetResizable(True)
        for each in (inside, self.viewport()):  # the card's own ground shows
            each.setAutoFillBackground(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)


def _pairs(*pairs: tuple[str, QWidget | QLayout]) -> QGridLayout:
    grid = QGridLayout()
    grid.setVerticalSpacing(6)
    grid.setColumnStretch(1, 1)
    for row, (name, part) in enumerate(pairs):
        grid.addWidget(Quiet(name), row, 0)
        if isinstance(part, QLayout):
            grid.addLayout(part, row, 1)
        else:
            grid.addWidget(part, row, 1)
    return grid


def _whole(field: NumberField) -> int:
    return int(field.number() or 0)
