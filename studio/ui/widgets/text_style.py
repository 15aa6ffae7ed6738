"""The fonts of steps and problems in the present theme."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontDatabase

from studio.render.layout import TextStyle
from studio.ui.theme import Theme


def text_style(theme: Theme, points: float, dpr: float) -> TextStyle:
    """The interface font at a size of the 100 % layout, with a monospaced one for code."""
    font = theme.font(points)
    code = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    code.setStyleHint(QFont.StyleHint.Monospace)
    code.setPointSizeF(font.pointSizeF() * 0.95)
    return TextStyle(font, code, dpr)
