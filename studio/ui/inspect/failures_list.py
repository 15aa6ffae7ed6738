"""The wrong traces behind a bar: trace, first bad step, cause and the quote that shows it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter

from studio.store.failures import Explained
from studio.ui.widgets.card_list import CardDelegate, CardModel
from trainer.reasoning.failures import Basis, Cause

SHOWN_QUOTE = 200


class FailureModel(CardModel):
    """Explained traces, by trace."""

    def sentence(self, row: Explained) -> str:
        """With the whole reason."""
        return sentence(row)


def bad_step(row: Explained) -> int | None:
    """The first bad step, or where the cause shows; None where nobody names one and no cause was found either."""
    unknown = row.failure.basis is Basis.NONE and row.failure.cause is Cause.UNKNOWN
    return None if unknown else row.failure.step


def place_words(row: Explained) -> str:
    """Which step, of how many."""
    step = bad_step(row)
    return "step not known" if step is None else f"step {step + 1} of {row.steps}"


def sentence(row: Explained) -> str:
    """A failure in words."""
    old = ", of older steps or rules" if row.stale else ""
    named = row.failure.basis is not Basis.NONE and bad_step(row) is not None
    said = f" (first bad step by {row.failure.basis.value})" if named else ""
    return (
        f"trace {row.trace_id}, {place_words(row)}{said}: {row.failure.cause.value}, {row.failure.why}: "
        f"“{row.failure.quote[:SHOWN_QUOTE]}”{old}"
    )


class FailureDelegate(CardDelegate):
    """Trace, step and cause above the reason and the quote."""

    def heads(self, row: Explained) -> tuple[str, str]:
        """Trace; cause and step."""
        return f"Trace {row.trace_id}", f"{row.failure.cause.value} · {place_words(row)}"

    def draw(self, painter: QPainter, box: QRectF, row: Explained) -> None:
        """Two lines."""
        px = self._theme.px
        line = QRectF(box.left(), box.top(), box.width(), px(18))
        self._line(painter, line, row.failure.why, "secondary")
        self._line(painter, line.translated(0, px(18)), f"“{' '.join(row.failure.quote.split())}”", "text")

    def _line(self, painter: QPainter, box: QRectF, text: str, colour: str) -> None:
        font = self._theme.font(9.2)
        painter.setFont(font)
        painter.setPen(self._theme.colours.q(colour))
        cut = QFontMetricsF(font).elidedText(text[:SHOWN_QUOTE], Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, cut)
