"""The fonts of steps and problems in the present theme."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontDatabase

from studio.render.layout import TextStyle
from studio.settings import FormulaSizes
from studio.ui.theme import Theme

STEP_POINTS, PROBLEM_POINTS, TITLE_POINTS = 11.0, 11.5, 9.8


def text_style(theme: Theme, points: float, dpr: float) -> TextStyle:
    """The interface font at a size of the 100 % layout, with a monospaced one for code."""
    font = theme.font(points)
    code = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    code.setStyleHint(QFont.StyleHint.Monospace)
    code.setPointSizeF(font.pointSizeF() * 0.95)
    return TextStyle(font, code, dpr)


def formula_sizes(theme: Theme, ratio: float) -> FormulaSizes:
    """How large formulas are, at this many device pixels a logical pixel."""
    step, problem, title = (
        text_style(theme, points, ratio).quarters for points in (STEP_POINTS, PROBLEM_POINTS, TITLE_POINTS)
    )
    return FormulaSizes(step=step, problem=problem, title=title)
