"""The budget of a trace: what was asked for, granted and used, thinking and answer apart, and how it ended."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.store.conversations import Budget
from studio.ui.theme import Theme
from studio.ui.widgets import faces

ENDS = {
    "stop": "closed itself",
    "end_turn": "closed itself",
    "stop_sequence": "closed itself",
    "closed": "closed itself",
    "length": "cut off at the limit",
    "max_tokens": "cut off at the limit",
    "limit": "cut off at the limit",
    "token": "cut off at the limit",
    "budget": "closed by its budget",
    "forced": "closed by its budget",
    "nudged": "closed itself near its budget",
    "stopped": "closed where it would have ended",
    "open": "never closed its thinking",
    "before": "began with its answer",
    "context": "cut off by the model's context",
    "content_filter": "stopped by a filter",
    "tool_calls": "stopped to call a tool",
    "tool_use": "stopped to call a tool",
}
BAR = 86


def ended_words(ended: str) -> str:
    """How a trace ended; the source's own word where it is not known here."""
    return ENDS.get(ended, ended)


def count_words(count: int) -> str:
    """A number of tokens, short."""
    return f"{count:,}" if count < 10_000 else f"{count / 1000:.1f}k"


def budget_words(budget: Budget) -> str:
    """A budget on one line; says so when the source says nothing."""
    if not budget.is_known:
        return "budget: the source says nothing"
    parts = []
    thinking = _of(budget.thinking, budget.thinking_granted)
    whole = _of(budget.used, budget.granted)
    answer = _of(budget.answer, budget.answer_granted)
    if thinking:
        parts.append(f"thinking {thinking}" + (", " if answer else " tokens"))
    elif whole:
        parts.append(f"used {whole}" + (", " if answer else " tokens"))
    parts.append(f"answer {answer} tokens" if answer else "")
    return " · ".join(part for part in ("".join(parts), ended_words(budget.ended)) if part)


def budget_tip(budget: Budget) -> str:
    """All that is known of a budget, a line a fact."""
    facts = {
        "asked for": budget.requested,
        "granted": budget.granted,
        "used": budget.used,
        "thinking": budget.thinking,
        "thinking granted": budget.thinking_granted,
        "answer": budget.answer,
        "answer granted": budget.answer_granted,
    }
    lines = [f"{name}: {count:,} tokens" for name, count in facts.items() if count is not None]
    lines += [f"ended: {ended_words(budget.ended)}" for _ in (1,) if budget.ended]
    return "\n".join([*lines, budget.mismatch] if budget.mismatch else lines)


def _of(used: int | None, granted: int | None) -> str:
    if used is None:
        return ""
    return count_words(used) if granted is None else f"{count_words(used)}/{count_words(granted)}"


class BudgetBar(QWidget):
    """A bar as long as what was granted, filled by what was used: thinking solid, answer hatched; and its words."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._budget = Budget()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Budget"))
        theme.switched.connect(self.updateGeometry)
        theme.switched.connect(self.update)

    def set_budget(self, budget: Budget) -> None:
        """Show this budget."""
        self._budget = budget
        self.setToolTip(budget_tip(budget))
        self.setAccessibleDescription(budget_words(budget))
        self.updateGeometry()
        self.update()

    @property
    def words(self) -> str:
        """What the bar says."""
        return budget_words(self._budget)

    def sizeHint(self) -> QSize:
        """Room for bar and words."""
        words = QFontMetricsF(self._theme.font(9.2)).horizontalAdvance(self.words)
        bar = self._theme.px(BAR) + self._theme.px(10) if self._whole() else 0
        return QSize(math.ceil(words) + bar + self._theme.px(8), self._theme.px(30))

    def minimumSizeHint(self) -> QSize:
        """Room for the bar and the beginning of the words."""
        return QSize(self._theme.px(170), self._theme.px(30))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bar and words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        px, colours = self._theme.px, self._theme.colours
        left = 0.0
        if self._whole():
            self._bar(painter, QRectF(0, self.height() / 2 - px(4), px(BAR), px(8)))
            left = px(BAR) + px(10)
        painter.setFont(self._theme.font(9.2))
        painter.setPen(colours.q("negative" if self._budget.mismatch else "secondary"))
        box = QRectF(left, 0, self.width() - left, self.height())
        words = QFontMetricsF(painter.font()).elidedText(self.words, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, words)
        painter.end()

    def _whole(self) -> int:
        b = self._budget
        used = b.used if b.used is not None else (b.thinking or 0) + (b.answer or 0)
        return max(used, b.granted or 0, b.requested or 0, (b.thinking_granted or 0) + (b.answer_granted or 0))

    def _bar(self, painter: QPainter, box: QRectF) -> None:
        b, colours, whole = self._budget, self._theme.colours, self._whole()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("border"))
        painter.drawRoundedRect(box, 3, 3)
        thinking = b.thinking if b.thinking is not None else (b.used or 0) - (b.answer or 0)
        answer = b.answer or 0
        first = QRectF(box.left(), box.top(), box.width() * max(0, thinking) / whole, box.height())
        second = QRectF(first.right(), box.top(), box.width() * answer / whole, box.height())
        painter.setBrush(colours.q("unsure"))
        painter.drawRoundedRect(first, 3, 3)
        painter.setBrush(colours.q("accent"))
        painter.drawRoundedRect(second, 3, 3)
        painter.fillRect(second, faces.hatched(colours.q("surface")))
        for mark, style in ((b.granted, Qt.PenStyle.SolidLine), (b.requested, Qt.PenStyle.DotLine)):
            if mark is not None:
                x = min(box.right() - 0.5, box.left() + box.width() * mark / whole)
                painter.setPen(QPen(colours.q("text"), 1.4, style))
                painter.drawLine(QPointF(x, box.top() - 3), QPointF(x, box.bottom() + 3))
