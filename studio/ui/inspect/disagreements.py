"""The list of disagreements: steps on which people contradict each other or a PRM contradicts them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QModelIndex, QRectF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFrame,
    QLabel,
    QListView,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Project
from studio.render import prose
from studio.store import projects, quality, scores
from studio.store.quality import Against, Disagreement
from studio.store.scores import Scorer
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.theme import Theme
from studio.ui.widgets import faces
from studio.ui.widgets.card_list import HEAD, ROW_ROLE, CardDelegate, CardModel
from trainer.contract.records import Rating

MOST = 500
Found = tuple[tuple[Disagreement, ...], dict[tuple[int, int], str]]  # with how their steps begin
NOTHING = "No disagreements in this project."
ONE_VOICE = "Nobody disagrees: a second annotator (overlap of 2), or a PRM's scores, would be compared here."


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be compared."""

    projects: tuple[Project, ...]
    scorers: tuple[Scorer, ...]


class DisagreementModel(CardModel):
    """Disagreements, the largest first."""

    def sentence(self, row: Disagreement) -> str:
        """Who says what."""
        return sentence(row)


def sentence(row: Disagreement) -> str:
    """A disagreement in words."""
    said = [
        f"{count} {word}"
        for count, word in ((row.negative, "negative"), (row.neutral, "neutral"), (row.positive, "positive"))
        if count
    ]
    scored = f", score {row.score:.2f}" if row.score is not None else ""
    return f"trace {row.trace_id}, step {row.ordinal + 1}: {', '.join(said)}{scored}"


class DisagreementDelegate(CardDelegate):
    """Trace and step, the people's signs, and the score."""

    height = 72

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(theme, parent)
        self.texts: dict[tuple[int, int], str] = {}

    def heads(self, row: Disagreement) -> tuple[str, str]:
        """Trace and step; who contradicts whom."""
        against = "people differ" if row.against is Against.PEOPLE else f"PRM says {row.score:.2f}"
        return f"Trace {row.trace_id} · step {row.ordinal + 1}", against

    def draw(self, painter: QPainter, box: QRectF, row: Disagreement) -> None:
        """The step's words, and below them signs, and a bar for the score."""
        px = self._theme.px
        font = self._theme.font(9.2)
        painter.setFont(font)
        painter.setPen(self._theme.colours.q("text"))
        words = " ".join(prose.spoken(self.texts.get((row.trace_id, row.ordinal), "")).split())
        line = QRectF(box.left(), box.top(), box.width(), px(HEAD))
        cut = QFontMetricsF(font).elidedText(words, Qt.TextElideMode.ElideRight, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, cut)
        box = box.adjusted(0, px(HEAD + 2), 0, 0)
        self._signs(painter, QRectF(box.left(), box.top() + px(3), box.width() + px(10), px(14)), row)

    def _signs(self, painter: QPainter, box: QRectF, row: Disagreement) -> None:
        px, colours = self._theme.px, self._theme.colours
        left = box.left()
        people = ((Rating.NEGATIVE, row.negative), (Rating.NEUTRAL, row.neutral), (Rating.POSITIVE, row.positive))
        for value, count in people:
            for _ in range(min(count, 5)):
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colours.rating(value))
                painter.drawPath(faces.shape(QRectF(left, box.top(), px(12), px(12)), value))
                left += px(17)
        if row.score is not None:
            bar = QRectF(box.right() - px(84), box.top() + px(3), px(60), px(6))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("border"))
            painter.drawRoundedRect(bar, px(3), px(3))
            painter.setBrush(colours.q("negative" if row.score < 0.5 else "positive"))
            painter.drawRoundedRect(QRectF(bar.left(), bar.top(), bar.width() * row.score, bar.height()), px(3), px(3))


class DisagreementPanel(QWidget):
    """Project, PRM, and the steps on which they disagree.

    Signals:
        chosen(int, int): show this trace at this step.
    """

    chosen = Signal(int, int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._number = 0
        self.model = DisagreementModel(self)
        self.project, self.scorer = QComboBox(), QComboBox()
        self.list = QListView()
        self.words = QLabel()
        self.project.setAccessibleName("Project")
        self.scorer.setAccessibleName("Compare with")
        self.list.setAccessibleName("Disagreements")
        self.words.setWordWrap(True)
        set_role(self.words, "caption")
        self.list.setModel(self.model)
        self.delegate = DisagreementDelegate(context.theme, self.list)
        self.list.setItemDelegate(self.delegate)
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        for box in (self.project, self.scorer):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            column.addWidget(box)
            box.currentIndexChanged.connect(lambda _index: self._compare())
        column.addWidget(self.words)
        column.addWidget(self.list, 1)
        self.list.selectionModel().currentChanged.connect(self._on_current_changed)

    def reload(self) -> None:
        """Read again what can be compared, then compare."""
        self._context.background.read(self, _choices, self._on_choices)

    def _on_choices(self, choices: Choices) -> None:
        people = (("people among each other", None),)
        prms = tuple((f"people and {scorer.name} · {scorer.version[:6]}", scorer.id) for scorer in choices.scorers)
        _refill(self.project, tuple((project.name, project.id) for project in choices.projects))
        _refill(self.scorer, (*prms, *people))
        self._compare()

    def _compare(self) -> None:
        project = self.project.currentData()
        if project is None:
            self._show(self._number, ((), {}))
            return
        self._number += 1
        self.words.setText("comparing …")
        scorer = self.scorer.currentData()
        self._context.background.read(self, partial(_read, project, scorer), partial(self._show, self._number))

    def _show(self, number: int, found: Found) -> None:
        if number != self._number:
            return
        rows, self.delegate.texts = found
        self.model.set_rows(rows)
        if not rows:
            self.words.setText(ONE_VOICE if self.scorer.currentData() is None else NOTHING)
        else:
            more = "the largest " if len(rows) == MOST else ""
            self.words.setText(f"{more}{len(rows)} step{'' if len(rows) == 1 else 's'}")

    def _on_current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        row = current.data(ROW_ROLE)
        if row is not None:
            self.chosen.emit(row.trace_id, row.ordinal)


def _refill(box: QComboBox, entries: tuple[tuple[str, int | None], ...]) -> None:
    before = box.currentData()
    box.blockSignals(True)
    box.clear()
    for words, key in entries:
        box.addItem(words, key)
    if box.count() and before is not None:
        box.setCurrentIndex(max(0, box.findData(before)))
    box.blockSignals(False)


def _read(project: int, scorer: int | None, c: Connection) -> Found:
    rows = quality.disagreements(c, project, scorer, limit=MOST)
    return rows, quality.beginnings(c, ((row.trace_id, row.ordinal) for row in rows))


def _choices(c: Connection) -> Choices:
    return Choices(projects.all_projects(c), scores.scorers(c))
