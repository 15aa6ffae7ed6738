"""How the steps of a rollout are painted: advantages as bars behind the text, tokens as a strip below it."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QAbstractItemModel, QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QHelpEvent, QPainter, QTextLayout, QTextOption
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDoubleSpinBox,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QToolTip,
    QWidget,
)

from studio.ui.theme import Colours, Theme
from studio.ui.train.rollouts_bar import WITHOUT_ARROWS
from studio.ui.train.rollouts_credit import StepCredit, TraceCredit, signed
from studio.ui.train.rollouts_step_model import PAID, Index, RolloutStepModel, is_edited
from studio.ui.widgets.parts import blend
from trainer.contract.rollouts import floats, ints

TINT = 0.34
"""How much of its colour the largest advantage lays behind text: 4.5:1 and more is left in every theme."""
_FAINTEST = 0.08
_LINE = 9  # height of one line of tokens, at 100 %
_PAD = 6
_HELD = 512  # layouts of texts
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class Strip:
    """Where the tokens of a step stand: `count` cells of one `width` from `left`, two lines from `top`."""

    left: float
    top: float
    width: float
    height: float
    count: int

    def place_at(self, x: float, y: float) -> int | None:
        """The token under a point, counted from the step's first."""
        if not self.count or not self.top <= y <= self.top + self.height:
            return None
        place = int((x - self.left) / self.width) if x >= self.left else -1
        return place if 0 <= place < self.count else None


def tint(colours: Colours, value: float, peak: float, ground: QColor) -> QColor:
    """The colour behind text for an advantage, over `ground`."""
    share = min(1.0, abs(value) / peak) if peak > 0 else 0.0
    name = "positive" if value > 0 else "negative"
    return blend(colours.q(name), ground, _FAINTEST + (TINT - _FAINTEST) * share) if share else ground


class _StepDelegate(QStyledItemDelegate):
    """What the three kinds of cells share: the row's ground, and the trace that is shown."""

    def __init__(self, theme: Theme, model: RolloutStepModel, view: QTableView) -> None:
        super().__init__(view)
        self._theme, self._model, self._view = theme, model, view

    def _ground(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> QColor:
        """Draw the cell without its text; returns the colour that stands there."""
        self.initStyleOption(option, index)
        option.text = ""
        QApplication.style().drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        return self._theme.colours.q("accent_soft" if selected else "surface")

    def _focus(self, painter: QPainter, option: QStyleOptionViewItem, area: QRectF) -> None:
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(self._theme.colours.q("focus"))
            painter.drawRoundedRect(area.adjusted(1.5, 1.5, -1.5, -1.5), 4, 4)

    def _first_line(self, area: QRectF) -> QRectF:
        return QRectF(area.left(), area.top() + self._theme.px(_PAD), area.width(), self._view.fontMetrics().height())


class NumberDelegate(_StepDelegate):
    """The number of a step, beside its first line."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one number."""
        painter.save()
        self._ground(painter, option, index)
        painter.setPen(self._theme.colours.q("secondary"))
        area = self._first_line(QRectF(option.rect).adjusted(4, 0, -6, 0))
        painter.drawText(area, int(Qt.AlignmentFlag.AlignRight | _MIDDLE), str(index.data()))
        painter.restore()


class FigureDelegate(_StepDelegate):
    """A signed advantage: its bar goes from the middle to the right, or to the left, behind the figure."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one figure."""
        step = self._model.step_at(index.row())
        if step is None:
            return
        painter.save()
        ground = self._ground(painter, option, index)
        value = step.paid if index.column() == PAID else step.what_if
        area = self._first_line(QRectF(option.rect).adjusted(4, 0, -4, 0)).adjusted(0, -2, 0, 2)
        colours, peak = self._theme.colours, self._model.peak
        share = min(1.0, abs(value) / peak) if peak > 0 else 0.0
        long = area.width() / 2 * share
        middle = area.center().x()
        painter.fillRect(
            QRectF(middle if value > 0 else middle - long, area.top(), long, area.height()),
            tint(colours, value, peak, ground),
        )
        painter.fillRect(QRectF(middle, area.top(), 1, area.height()), colours.q("border"))
        painter.setPen(colours.q("text"))
        painter.drawText(area.adjusted(0, 0, -4, 0), int(Qt.AlignmentFlag.AlignRight | _MIDDLE), str(index.data()))
        self._focus(painter, option, QRectF(option.rect))
        painter.restore()


class ScoreDelegate(_StepDelegate):
    """A score from 0 to 1, edited by a spin box."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one score with its bar from the left."""
        step = self._model.step_at(index.row())
        if step is None:
            return
        painter.save()
        ground = self._ground(painter, option, index)
        area = self._first_line(QRectF(option.rect).adjusted(4, 0, -4, 0)).adjusted(0, -2, 0, 2)
        colours = self._theme.colours
        if step.score is not None:
            painter.fillRect(
                QRectF(area.left(), area.top(), area.width() * step.score, area.height()),
                blend(colours.q("accent"), ground, 0.2),
            )
        painter.setPen(colours.q("text"))
        font = QFont(self._view.font())
        font.setBold(is_edited(step))
        painter.setFont(font)
        painter.drawText(area.adjusted(0, 0, -4, 0), int(Qt.AlignmentFlag.AlignRight | _MIDDLE), str(index.data()))
        self._focus(painter, option, QRectF(option.rect))
        painter.restore()

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """A spin box from 0 to 1."""
        box = QDoubleSpinBox(parent)
        box.setRange(0.0, 1.0)
        box.setDecimals(3)
        box.setSingleStep(0.05)
        box.setAccessibleName("Score of the step")
        box.setStyleSheet(WITHOUT_ARROWS + "QDoubleSpinBox { padding: 0 2px; min-height: 0; }")  # in a cell, not a form
        return box

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        """Show the score of now."""
        assert isinstance(editor, QDoubleSpinBox)
        editor.setValue(float(index.data(Qt.ItemDataRole.EditRole)))
        editor.selectAll()

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        """Ask for the score that was typed; one that was only looked at keeps its further digits."""
        assert isinstance(editor, QDoubleSpinBox)
        editor.interpretText()
        if abs(editor.value() - float(index.data(Qt.ItemDataRole.EditRole))) > 0.0005:
            model.setData(index, editor.value())

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        """At the first line of the row."""
        line = self._first_line(QRectF(option.rect))
        editor.setGeometry(line.adjusted(1, -5, -1, 5).toRect())


class TextDelegate(_StepDelegate):
    """A step's text over its what-if advantage, its tokens below."""

    def __init__(self, theme: Theme, model: RolloutStepModel, view: QTableView) -> None:
        super().__init__(theme, model, view)
        self._held: dict[tuple[str, int, str], QTextLayout] = {}

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Height of the wrapped text and the strip."""
        step = self._model.step_at(index.row())
        if step is None:
            return QSize(0, 0)
        px = self._theme.px
        tall = self._lay(str(index.data()), self._view.columnWidth(index.column())).boundingRect().height()
        return QSize(200, round(tall + px(_PAD) * 2 + px(4) + 2 * px(_LINE)))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one step."""
        step, credit = self._model.step_at(index.row()), self._model.credit
        if step is None or credit is None:
            return
        painter.save()
        ground = self._ground(painter, option, index)
        rect, px, colours = QRectF(option.rect), self._theme.px, self._theme.colours
        laid = self._lay(str(index.data()), option.rect.width())
        peak = self._model.peak
        share = min(1.0, abs(step.what_if) / peak) if peak > 0 else 0.0
        top = rect.top() + px(_PAD)
        tall = laid.boundingRect().height()
        behind = QRectF(rect.left() + px(2), top - 2, (rect.width() - px(4)) * share, tall + 4)
        painter.fillRect(behind, tint(colours, step.what_if, peak, ground))
        painter.setPen(colours.q("text"))
        laid.draw(painter, QPointF(rect.left() + px(_PAD), top))
        self._tokens(painter, self.strip(rect, step), step, credit, ground)
        painter.restore()

    def strip(self, rect: QRectF, step: StepCredit) -> Strip:
        """Where the tokens of a step stand in its cell."""
        px = self._theme.px
        height = 2.0 * px(_LINE)
        count = step.end - step.begin
        room = rect.width() - 2 * px(_PAD)
        return Strip(
            rect.left() + px(_PAD),
            rect.bottom() - px(_PAD) - height,
            min(float(px(14)), room / max(1, count)),
            height,
            count,
        )

    def helpEvent(self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: Index) -> bool:
        """Say what is known of the token under the pointer."""
        step, credit = self._model.step_at(index.row()), self._model.credit
        if event.type() != QEvent.Type.ToolTip or step is None or credit is None:
            return super().helpEvent(event, view, option, index)
        place = self.strip(QRectF(option.rect), step).place_at(event.pos().x(), event.pos().y())
        text = token_text(credit, step.begin + place) if place is not None else step_text(step)
        QToolTip.showText(event.globalPos(), text, view.viewport())
        return True

    def _lay(self, text: str, width: int) -> QTextLayout:
        """The text of a cell of this width; the last ones are kept, since sizes and painting ask for them in turn."""
        font = self._view.font()
        key = (text, width, font.toString())
        if key not in self._held:
            if len(self._held) >= _HELD:
                self._held.clear()
            self._held[key] = _laid(text, font, max(40, width - 2 * self._theme.px(_PAD)))
        return self._held[key]

    def _tokens(self, painter: QPainter, strip: Strip, step: StepCredit, credit: TraceCredit, ground: QColor) -> None:
        """Two lines: as paid, and what-if; a bar goes up where the advantage is positive, down where it is not."""
        colours, peak = self._theme.colours, self._model.peak
        line = strip.height / 2
        gap = 1.0 if strip.width >= 4 else 0.0
        for row, values in enumerate((credit.paid, credit.what_if)):
            middle = strip.top + line * (row + 0.5)
            painter.fillRect(QRectF(strip.left, middle, strip.width * strip.count, 1), colours.q("border"))
            for place in range(strip.count):
                value = float(values[step.begin + place])
                share = min(1.0, abs(value) / peak) if peak > 0 else 0.0
                if not share:
                    continue
                tall = (line / 2 - 0.5) * (0.3 + 0.7 * share)
                left = strip.left + place * strip.width
                cell = QRectF(left, middle - tall if value > 0 else middle + 1, strip.width - gap, tall)
                heat = colours.q("positive" if value > 0 else "negative")
                painter.fillRect(cell, blend(heat, ground, 0.35 + 0.65 * share))


def token_text(credit: TraceCredit, token: int) -> str:
    """What the tooltip says of token `token` of a trace."""
    trace = credit.trace
    lines = [
        f"Token {token + 1:,} of {trace.length:,} (id {int(ints(trace.tokens)[token])})",
        f"advantage paid {signed(credit.paid[token], 4)}, what-if {signed(credit.what_if[token], 4)}",
        f"log-prob {signed(float(floats(trace.logprobs)[token]), 4)}",
    ]
    if credit.apart[token]:
        lines.append("It stands between steps and bears no credit.")
    if trace.forced and trace.forced[token]:
        lines.append("The budget wrote it, not the policy.")
    return "\n".join(lines)


def step_text(step: StepCredit) -> str:
    """What the tooltip says of a step."""
    count = step.end - step.begin
    if not count:
        return "It ends in the same token as the step before: both count as one, with the lower score."
    what = "Step" if step.score is not None else "What follows the last step"
    words = f"{what}: {count:,} {'token' if count == 1 else 'tokens'}, mean advantage paid {signed(step.paid, 4)}, "
    return words + f"what-if {signed(step.what_if, 4)}"


def _laid(text: str, font: QFont, width: int) -> QTextLayout:
    """Text in lines of at most `width` logical pixels."""
    layout = QTextLayout(text.replace("\n", "\u2028"), font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    layout.beginLayout()
    top = 0.0
    while (line := layout.createLine()).isValid():
        line.setLineWidth(width)
        line.setPosition(QPointF(0, top))
        top += line.height()
    layout.endLayout()
    return layout
