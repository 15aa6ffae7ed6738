"""The problem with its maths, and the boxed reference answer."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QSizePolicy, QWidget

from studio.render import prose
from studio.render.formula import Formula
from studio.render.layout import Ink, ProseLayout
from studio.render.maths import MathsRenderer
from studio.render.prose import reference_text
from studio.ui.theme import Theme
from studio.ui.widgets.layouts import LayoutCache
from studio.ui.widgets.text_style import PROBLEM_POINTS, text_style

TALLEST = 240  # logical pixels at 100 %; a longer problem scrolls


class ProblemView(QAbstractScrollArea):
    """A problem's text beside its reference answer; as high as its text, up to a limit.

    Signals:
        paintedReady(): the first paint since `set_problem` with all maths. Sent from within the paint event.
    """

    paintedReady = Signal()

    def __init__(
        self,
        maths: MathsRenderer | None,
        theme: Theme,
        parent: QWidget | None = None,
        *,
        captions: tuple[str, str] = ("Problem", "Reference"),
        tallest: int = TALLEST,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._captions, self._tallest = captions, tallest
        self._layouts = LayoutCache(maths, text_style(theme, PROBLEM_POINTS, self.devicePixelRatioF()))
        self._prompt, self._reference = "", ""
        self._source = False
        self._told_ready = True
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(captions[0])
        theme.switched.connect(self._on_theme_switched)
        if maths is not None:
            maths.rendered.connect(self._on_rendered)

    @property
    def is_ready(self) -> bool:
        """Whether the problem has been painted with all its maths, or is not to be seen."""
        return self._told_ready or self.isHidden()

    def set_problem(self, prompt: str, reference: str | None) -> None:
        """Show another problem."""
        self._prompt, self._reference = prompt, reference_text(reference)
        self._told_ready = False
        said = prose.spoken(prompt)
        self.setAccessibleDescription(
            said + (f" {self._captions[1]} answer: {prose.spoken(self._reference)}" if reference else "")
        )
        self._relay()

    def set_show_source(self, on: bool) -> None:
        """Show the problem as it was written, or with its maths drawn."""
        self._source = on
        self._told_ready = False
        self._relay()

    def prepare(self, prompt: str, reference: str | None) -> None:
        """Have the next problem's maths drawn when there is nothing else to do."""
        self._layouts.get(prompt, self._text_width(), source=self._source, urgent=False)
        if reference:
            self._layouts.get(reference_text(reference), self._box_width(), urgent=False)

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def hasHeightForWidth(self) -> bool:
        """Its height follows its text."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height of the whole problem, up to the limit."""
        return self._wanted_height()

    def sizeHint(self) -> QSize:
        """As high as the text."""
        return QSize(self._theme.px(480), self._wanted_height())

    def minimumSizeHint(self) -> QSize:
        """As high as the text: a problem that fits is never cut."""
        return QSize(self._theme.px(200), self._wanted_height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out for the new width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._relay()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw caption, text and reference."""
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours, px = self._theme.colours, self._theme.px
        painter.fillRect(self.viewport().rect(), colours.q("surface"))
        painter.translate(0, -self.verticalScrollBar().value())
        whole = True
        self._caption(painter, QPointF(px(14), px(6)), self._captions[0])
        if self._prompt:
            ink = Ink(colours.q("text"), colours.q("secondary"), colours.q("unsure"))
            whole = self._text().draw(painter, QPointF(px(14), self._top()), ink)
        if self._reference:
            whole &= self._draw_reference(painter)
        painter.end()
        if whole and not self._told_ready:
            self._told_ready = True
            self.paintedReady.emit()

    # -- parts --------------------------------------------------------------------------------------------------------

    def _caption(self, painter: QPainter, at: QPointF, words: str) -> None:
        painter.setFont(self._theme.font(8.8, QFont.Weight.DemiBold))
        painter.setPen(self._theme.colours.q("secondary"))
        painter.drawText(
            QRectF(at.x(), at.y(), self._theme.px(220), self._theme.px(18)), Qt.AlignmentFlag.AlignVCenter, words
        )

    def _draw_reference(self, painter: QPainter) -> bool:
        colours, px = self._theme.colours, self._theme.px
        laid = self._answer()
        width = min(laid.natural_width, self._box_width())
        left = self.viewport().width() - px(14) - max(width + px(24), px(72))  # the caption's width, too
        self._caption(painter, QPointF(left, px(6)), self._captions[1])
        box = QRectF(left, self._top(), width + px(24), laid.height + px(12))
        painter.setPen(QPen(colours.q("accent"), 1.4))
        painter.setBrush(colours.q("accent_soft"))
        painter.drawRoundedRect(box, px(6), px(6))
        ink = Ink(colours.q("text"), colours.q("text"), colours.q("unsure"))
        return laid.draw(painter, QPointF(left + px(12), self._top() + px(6)), ink)

    def _top(self) -> int:
        return self._theme.px(26)

    def _text(self) -> ProseLayout:
        return self._layouts.get(self._prompt, self._text_width(), source=self._source)

    def _answer(self) -> ProseLayout:
        return self._layouts.get(self._reference, self._box_width(), source=self._source)

    def _box_width(self) -> int:
        return max(self._theme.px(60), int(self.viewport().width() * 0.3))

    def _text_width(self) -> int:
        px = self._theme.px
        taken = min(self._answer().natural_width, self._box_width()) + px(24) + px(24) if self._reference else 0
        return max(px(120), int(self.viewport().width() - px(28) - max(taken, px(96) if self._reference else 0)))

    def _content_height(self) -> int:
        px = self._theme.px
        text = self._text().height if self._prompt else px(20)
        answer = self._answer().height + px(12) if self._reference else 0
        return math.ceil(self._top() + max(text, answer)) + px(12)

    def _wanted_height(self) -> int:
        return min(self._content_height(), self._theme.px(self._tallest))

    def _relay(self) -> None:
        self.updateGeometry()
        over = self._content_height() - self._wanted_height()
        self.verticalScrollBar().setRange(0, max(0, over))
        self.verticalScrollBar().setPageStep(self._wanted_height())
        self.verticalScrollBar().setSingleStep(self._theme.px(24))
        self.viewport().update()

    def _on_rendered(self, formulas: frozenset[Formula]) -> None:
        if self._layouts.drop(formulas) & {self._prompt, self._reference}:
            self._relay()

    def _on_theme_switched(self) -> None:
        self._layouts.restyle(text_style(self._theme, PROBLEM_POINTS, self.devicePixelRatioF()))
        self._told_ready = not self._prompt
        self._relay()
