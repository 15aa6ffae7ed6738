"""Text with maths, laid out in lines: QTextLayout breaks the lines, formulas stand on their baselines.

A formula is one no-break space whose letter spacing makes it as wide as its picture; what stands above and below the
line's letters is given to the line's height. Text is never read as HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen, QTextCharFormat, QTextLayout, QTextOption

from studio.render.estimate import Extent, estimated
from studio.render.formula import QUARTERS, Formula, Mask
from studio.render.maths import MathsRenderer
from studio.render.prose import Piece, PieceKind, is_rtl, pieces, visible

HOLDER = "\u00a0"
NEW_LINE = "\u2028"
BLANKS = " \t\u2028"
LONGEST_TEXT = 20_000  # characters laid out of one step; what is beyond is announced, and copied whole
LEADING = 1.28
MATHS_SCALE = 1.12  # STIX has smaller letters than the interface font at the same em size
SMALLEST = 0.55  # a formula wider than its line is shrunk at most this far


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How text is set: the fonts and the device pixels a logical pixel has."""

    font: QFont
    code_font: QFont
    dpr: float = 1.0

    @property
    def quarters(self) -> int:
        """The size of formulas, in quarters of a device pixel an em."""
        return round(QFontMetricsF(self.font).height() / 1.21 * MATHS_SCALE * self.dpr * QUARTERS)


@dataclass(frozen=True, slots=True)
class Ink:
    """The colours text is drawn in."""

    text: QColor
    code: QColor
    trouble: QColor


@dataclass(slots=True)
class _Held:
    """A formula's place in the text."""

    formula: Formula
    position: int
    extent: Extent
    waiting: bool
    scale: float = 1.0


class ProseLayout:
    """One text at one width. `waiting` are the formulas that are still estimated: lay out anew when they have come."""

    def __init__(
        self, text: str, style: TextStyle, width: float, maths: MathsRenderer | None, *, source: bool = False
    ) -> None:
        self._style = style
        self._source = source
        self._maths = maths
        self._width = max(width, 40.0)
        self._metrics = QFontMetricsF(style.font)
        self._held: list[_Held] = []
        self._formats: list[QTextLayout.FormatRange] = []
        self._troubled: list[tuple[int, int]] = []
        self._codes: list[tuple[int, int]] = []
        self._quarters = style.quarters
        shown = self._shown(text)
        self._text = QTextLayout(shown, style.font)
        self._height = self._lay_out(is_rtl(text[:400]))

    @property
    def height(self) -> float:
        """Height in logical pixels."""
        return self._height

    @property
    def natural_width(self) -> float:
        """Width of the widest line in logical pixels."""
        lines = range(self._text.lineCount())
        return max((self._text.lineAt(i).naturalTextWidth() for i in lines), default=0.0)

    @property
    def waiting(self) -> frozenset[Formula]:
        """Formulas whose pictures are not at hand."""
        return frozenset(held.formula for held in self._held if held.waiting)

    @property
    def first_baseline(self) -> float:
        """Where the first line's baseline is, from the top."""
        if not self._text.lineCount():
            return self._metrics.ascent()
        line = self._text.lineAt(0)
        return line.y() + line.ascent()

    def bottom_of(self, line: int) -> float:
        """Where the letters of a line end, from the top; of the last line if there are fewer."""
        found = self._text.lineAt(min(line, self._text.lineCount() - 1))
        return found.y() + found.height() if found.isValid() else self._height

    def draw(self, painter: QPainter, at: QPointF, ink: Ink) -> bool:
        """Draw with the top left corner at `at`; whether every formula was drawn."""
        painter.setPen(ink.text)
        self._text.draw(painter, at, self._coloured(ink))
        whole = True
        for held in self._held:
            whole &= self._draw_formula(painter, at, held, ink)
        self._underline(painter, at, ink)
        return whole

    # -- building -----------------------------------------------------------------------------------------------------

    def _shown(self, text: str) -> str:
        beyond = len(text) - LONGEST_TEXT
        text = text[:LONGEST_TEXT] if beyond > 0 else text
        out: list[str] = []
        at = 0
        for part in self._parts(text):
            out.append(part.replace("\n", NEW_LINE))
            at += utf16(part)
            self._cursor = at
        if beyond > 0:
            out.append(f" … {beyond:,} more characters")
        return "".join(out)

    def _parts(self, text: str) -> Iterator[str]:
        self._cursor = 0
        whole = (Piece(PieceKind.CODE, text, text),) if self._source else pieces(text)
        for index, piece in enumerate(whole):
            if piece.block and index and not whole[index - 1].source.endswith("\n"):
                yield "\n"
            if piece.kind is PieceKind.MATHS:
                yield self._formula(piece)
            elif piece.kind is PieceKind.CODE:
                yield self._code(visible(piece.text))
            else:
                yield self._words(piece)
            last = index + 1 == len(whole)
            if piece.block and not last and not whole[index + 1].source.startswith("\n"):
                yield "\n"

    def _words(self, piece: Piece) -> str:
        words = visible(piece.text)
        if piece.strong or piece.emphasis:
            look = QTextCharFormat()
            if piece.strong:
                look.setFontWeight(QFont.Weight.DemiBold)
            look.setFontItalic(piece.emphasis)
            self._format(utf16(words), look)
        return words

    def _code(self, code: str) -> str:
        if not self._source:
            self._codes.append((self._cursor, utf16(code)))
        self._format(utf16(code), self._code_look())
        return code

    def _formula(self, piece: Piece) -> str:
        formula = Formula(piece.text, piece.block)
        mask = None if self._maths is None else self._maths.look(formula, self._quarters)
        if mask is not None and mask.trouble:
            shown = visible(piece.source.strip("*"))
            self._troubled.append((self._cursor, utf16(shown)))
            return self._code(shown)
        extent = estimated(formula, self._quarters / QUARTERS / self._style.dpr) if mask is None else self._extent(mask)
        held = _Held(formula, self._cursor, extent, mask is None)
        if extent.width > self._width - 2:
            held.scale = max(SMALLEST, (self._width - 2) / extent.width)
            held.extent = Extent(extent.width * held.scale, extent.ascent * held.scale, extent.descent * held.scale)
        self._held.append(held)
        look = QTextCharFormat()
        look.setFontLetterSpacingType(QFont.SpacingType.AbsoluteSpacing)
        look.setFontLetterSpacing(held.extent.width - self._metrics.horizontalAdvance(HOLDER))
        self._format(1, look)
        return HOLDER

    def _extent(self, mask: Mask) -> Extent:
        dpr = self._style.dpr
        return Extent(mask.width / dpr, mask.ascent / dpr, (mask.height - mask.ascent) / dpr)

    def _code_look(self) -> QTextCharFormat:
        look = QTextCharFormat()
        look.setFont(self._style.code_font)
        return look

    def _format(self, length: int, look: QTextCharFormat) -> None:
        part = QTextLayout.FormatRange()
        part.start, part.length, part.format = self._cursor, length, look
        self._formats.append(part)

    # -- lines --------------------------------------------------------------------------------------------------------

    def _lay_out(self, rtl: bool) -> float:
        option = QTextOption(Qt.AlignmentFlag.AlignLeft)
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        option.setTextDirection(Qt.LayoutDirection.RightToLeft if rtl else Qt.LayoutDirection.LeftToRight)
        option.setTabStopDistance(self._metrics.horizontalAdvance(" ") * 4)
        self._text.setTextOption(option)
        self._text.setFormats(self._formats)
        self._text.setCacheEnabled(True)
        self._text.beginLayout()
        y, next_held = 0.0, 0
        shown = self._text.text()
        least = self._metrics.height() * LEADING
        while (line := self._text.createLine()).isValid():
            line.setLineWidth(self._width)
            ascent, descent = line.ascent(), line.descent()
            blank = not shown[line.textStart() : line.textStart() + line.textLength()].strip(BLANKS)
            spare = max(0.0, least - ascent - descent) if not blank else -0.5 * (ascent + descent)
            ascent, descent = ascent + spare / 2, descent + spare / 2
            end = line.textStart() + line.textLength()
            while next_held < len(self._held) and self._held[next_held].position < end:
                held = self._held[next_held]
                margin = 3.0 if held.formula.display else 1.0
                ascent = max(ascent, held.extent.ascent + margin)
                descent = max(descent, held.extent.descent + margin)
                next_held += 1
            line.setPosition(QPointF(0.0, y + ascent - line.ascent()))
            y += ascent + descent
        self._text.endLayout()
        return y or least

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _coloured(self, ink: Ink) -> list[QTextLayout.FormatRange]:
        ranges = []
        for start, length in self._codes:
            part = QTextLayout.FormatRange()
            look = QTextCharFormat()
            look.setForeground(ink.code)
            part.start, part.length, part.format = start, length, look
            ranges.append(part)
        return ranges

    def _place(self, at: QPointF, held: _Held) -> QPointF:
        line = self._text.lineForTextPosition(held.position)
        left = min(_x(line, held.position), _x(line, held.position + 1))
        return QPointF(at.x() + left, at.y() + line.y() + line.ascent())

    def _draw_formula(self, painter: QPainter, at: QPointF, held: _Held, ink: Ink) -> bool:
        place = self._place(at, held)
        extent = held.extent
        box = QRectF(place.x(), place.y() - extent.ascent, extent.width, extent.ascent + extent.descent)
        image = (
            None if held.waiting or self._maths is None else self._maths.image(held.formula, self._quarters, ink.text)
        )
        if image is None:
            faint = QColor(ink.text)
            faint.setAlphaF(0.10)
            painter.fillRect(box.adjusted(1, 2, -1, -2), faint)
            return False
        if held.scale == 1.0:
            dpr = self._style.dpr
            snapped = QPointF(round(box.x() * dpr) / dpr, round(box.y() * dpr) / dpr)
            box.moveTopLeft(snapped)
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(box, image)
        return True

    def _underline(self, painter: QPainter, at: QPointF, ink: Ink) -> None:
        """A dotted line under what could not be drawn as maths."""
        if not self._troubled:
            return
        painter.setPen(QPen(ink.trouble, 1.0, Qt.PenStyle.DotLine))
        for start, length in self._troubled:
            for index in range(self._text.lineCount()):
                line = self._text.lineAt(index)
                first, last = max(start, line.textStart()), min(start + length, line.textStart() + line.textLength())
                if first < last:
                    y = at.y() + line.y() + line.ascent() + 2.5
                    painter.drawLine(QPointF(at.x() + _x(line, first), y), QPointF(at.x() + _x(line, last), y))


def utf16(text: str) -> int:
    """Length in UTF-16 units, as Qt counts."""
    return len(text) if text.isascii() else len(text) + sum(character > "\uffff" for character in text)


def _x(line: object, position: int) -> float:
    """Where a character begins in its line."""
    found = line.cursorToX(position)  # type: ignore[attr-defined]
    return float(found[0] if isinstance(found, tuple) else found)
