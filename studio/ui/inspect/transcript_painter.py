"""How the lines of the transcript are drawn: titles of turns and blocks, steps with their sign and score, raw text."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QPainter, QPen, QPolygonF, QTextCharFormat

from studio.render import prose
from studio.render.layout import Ink
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.structure import BlockPlace, LineKind
from studio.ui.widgets import faces
from studio.ui.widgets.parts import plural
from studio.ui.widgets.raw_layout import RawLayout
from studio.ui.widgets.step_model import sentence
from trainer.contract.records import BlockKind, Rating

if TYPE_CHECKING:
    from studio.ui.inspect.transcript import Transcript

TITLES = {
    BlockKind.THINKING: "thinking",
    BlockKind.ANSWER: "answer",
    BlockKind.TOOL_CALL: "tool call",
    BlockKind.TOOL_RESULT: "tool result",
    BlockKind.REDACTED: "redacted: present, not readable",
    BlockKind.SUMMARY: "summary by the provider, not the thinking itself",
    BlockKind.OTHER: "other content, as the source has it",
}
RULES = {
    BlockKind.THINKING: "unsure",
    BlockKind.ANSWER: "accent",
    BlockKind.TOOL_CALL: "neutral",
    BlockKind.TOOL_RESULT: "neutral",
    BlockKind.REDACTED: "negative",
    BlockKind.SUMMARY: "unsure",
    BlockKind.OTHER: "hatch",
}
LOW, HIGH = 1 / 3, 2 / 3
SPOKEN = 2_000


def block_words(opened: Opened, place: BlockPlace) -> str:
    """What a block is and how much of it there is."""
    length = place.end - place.start
    turn = opened.structure.turns[place.turn]
    title = TITLES[place.kind]
    if place.kind is BlockKind.ANSWER and any(b.kind is BlockKind.THINKING for b in opened.structure.blocks):
        title = "answer: what the user saw"
    if turn.name and place.kind in (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT):
        title = f"{turn.name}: {title}"
    if not length:
        return f"{title} · empty"
    if place.kind is BlockKind.REDACTED:
        return f"{title} · {length:,} characters"
    if len(place.steps):
        return f"{title} · {plural(len(place.steps), 'step')}"
    return f"{title} · {plural(opened.trace.text.count(chr(10), place.start, place.end) + 1, 'line')}"


def turn_words(opened: Opened, number: int) -> str:
    """Who speaks, and when."""
    turn = opened.structure.turns[number]
    parts = [f"{number + 1}  {turn.role}", turn.name]
    if turn.at:
        parts.append(_clock_time(turn.at))
    return " · ".join(part for part in parts if part)


def line_words(opened: Opened, line: int) -> str:
    """A line for a screen reader."""
    shape = opened.structure
    if shape.kind[line] == LineKind.TURN:
        return f"turn {turn_words(opened, int(shape.turn[line]))}"
    if shape.kind[line] == LineKind.BLOCK:
        return block_words(opened, shape.blocks[int(shape.block[line])])
    step = int(shape.step[line])
    if step >= 0:
        return sentence(opened.row(step), opened.count) + (", bookmarked" if opened.marks.bookmarked[step] else "")
    text = prose.spoken(shape.text[int(shape.start[line]) : int(shape.end[line])][:SPOKEN])
    return f"markup {text}" if shape.kind[line] == LineKind.MARKUP else text


class TranscriptPainter:
    """Draws the rows of one Transcript."""

    def __init__(self, view: Transcript) -> None:
        self._view = view

    # -- measures -----------------------------------------------------------------------------------------------------

    def padding(self, line: int | None) -> int:
        """Room above and below a line's text."""
        opened = self._view.opened
        step = line is None or opened is None or opened.structure.step[line] >= 0
        return self._view.theme.px(7 if step else 4)

    def title_height(self) -> int:
        """Height of a turn's or block's title."""
        return self._view.theme.px(30)

    def widest(self) -> float:
        """Width of the text of a step."""
        return self.text_box(None).width()

    def text_box(self, line: int | None) -> QRectF:
        """Where the text of a line is in its row; the height means nothing."""
        px = self._view.theme.px
        opened = self._view.opened
        signs = opened is not None and bool(opened.lines or opened.flags)
        left, right = px(78), self._view.viewport().width() - px(100 if signs else 14)
        return QRectF(left, self.padding(line), max(right - left, 60), 0)

    def mark_look(self) -> QTextCharFormat:
        """The format of what is marked."""
        colours = self._view.theme.colours
        look = QTextCharFormat()
        look.setBackground(QBrush(colours.q("accent_soft")))
        look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        look.setUnderlineColor(colours.q("accent"))
        return look

    def tip(self, line: int) -> str:
        """What a row says when somebody asks."""
        opened = self._view.opened
        step = -1 if opened is None else int(opened.structure.step[line])
        return "" if step < 0 or opened is None else opened.row(step).score_note

    # -- drawing ------------------------------------------------------------------------------------------------------

    def paint(self, painter: QPainter, rect: QRectF, row: int, line: int) -> bool:
        """Draw a row; whether every formula was drawn."""
        opened = self._view.opened
        assert opened is not None
        kind = opened.structure.kind[line]
        painter.save()
        whole = True
        if kind == LineKind.TURN:
            self._turn(painter, rect, line, opened)
        elif kind == LineKind.BLOCK:
            self._block(painter, rect, line, opened)
        else:
            whole = self._text(painter, rect, row, line, opened)
        painter.restore()
        return whole

    def _turn(self, painter: QPainter, rect: QRectF, line: int, opened: Opened) -> None:
        px, colours, number = self._view.theme.px, self._view.theme.colours, int(opened.structure.turn[line])
        if number:
            painter.setPen(QPen(colours.q("border"), 1))
            painter.drawLine(QPointF(px(12), rect.top() + 0.5), QPointF(rect.right() - px(12), rect.top() + 0.5))
        self._chevron(painter, QPointF(px(22), rect.center().y()), line)
        here = self._view.position.message == number
        painter.setPen(colours.q("accent" if here else "text"))
        painter.setFont(self._view.theme.font(10, QFont.Weight.DemiBold))
        box = rect.adjusted(px(36), 0, -px(12), 0)
        _draw_cut(painter, box, turn_words(opened, number))

    def _block(self, painter: QPainter, rect: QRectF, line: int, opened: Opened) -> None:
        px, colours = self._view.theme.px, self._view.theme.colours
        place = opened.structure.blocks[int(opened.structure.block[line])]
        self._rule(painter, rect.adjusted(0, px(5), 0, 0), place.kind)
        self._chevron(painter, QPointF(px(46), rect.center().y()), line)
        painter.setPen(colours.q("negative" if place.kind is BlockKind.REDACTED else "secondary"))
        painter.setFont(self._view.theme.font(9.4, QFont.Weight.DemiBold))
        box = rect.adjusted(px(60), 0, -px(12), 0)
        _draw_cut(painter, box, prose.visible(block_words(opened, place)))

    def _chevron(self, painter: QPainter, at: QPointF, line: int) -> None:
        size = float(self._view.theme.px(4))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._view.theme.colours.q("secondary"))
        if self._view.is_folded(line):
            corners = [QPointF(-0.6, -1), QPointF(0.8, 0), QPointF(-0.6, 1)]
        else:
            corners = [QPointF(-1, -0.6), QPointF(1, -0.6), QPointF(0, 0.8)]
        painter.drawPolygon(QPolygonF([at + corner * size for corner in corners]))

    def _rule(self, painter: QPainter, rect: QRectF, kind: BlockKind) -> None:
        """A line at the left that says, with the title, what kind of text it is; dashed for what is not readable."""
        px, colours = self._view.theme.px, self._view.theme.colours
        dashed = kind in (BlockKind.REDACTED, BlockKind.SUMMARY, BlockKind.OTHER)
        pen = QPen(colours.q(RULES[kind]), px(2), Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        painter.setPen(pen)
        painter.drawLine(QPointF(px(35), rect.top()), QPointF(px(35), rect.bottom()))

    def _text(self, painter: QPainter, rect: QRectF, row: int, line: int, opened: Opened) -> bool:
        shape, view = opened.structure, self._view
        step, block = int(shape.step[line]), int(shape.block[line])
        colours, px = view.theme.colours, view.theme.px
        current = step >= 0 and step == view.position.step
        self._ground(painter, rect, row, step, opened)
        if block >= 0 and shape.blocks[block].titled:
            self._rule(painter, rect, shape.blocks[block].kind)
        box = self.text_box(line).translated(rect.topLeft())
        ahead = view.plays and int(shape.start[line]) > view.position.point
        markup = shape.kind[line] == LineKind.MARKUP
        ink = colours.q("faint" if ahead or markup else "text")
        layout = view.layout_of(line)
        whole = True
        if isinstance(layout, RawLayout):
            layout.draw(painter, box.topLeft(), ink)
            self._token(painter, box.topLeft(), line, layout, opened)
        else:
            whole = layout.draw(painter, box.topLeft(), Ink(ink, colours.q("secondary"), colours.q("unsure")))
        if step >= 0 and shape.head[line]:
            self._signs(painter, rect, step, opened, current=current)
        if current and view.plays:
            self._progress(painter, rect, line, opened)
        if view.hasFocus() and current and shape.head[line]:
            painter.setPen(QPen(colours.q("focus"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(rect.adjusted(px(4) + 0.5, 1.5, -px(4) - 0.5, -1.5), px(6), px(6))
        return whole

    def _ground(self, painter: QPainter, rect: QRectF, row: int, step: int, opened: Opened) -> None:
        colours, px = self._view.theme.colours, self._view.theme.px
        inner = rect.adjusted(px(4), 1, -px(4), -1)
        painter.setPen(Qt.PenStyle.NoPen)
        if self._view.is_selected(row) or (step >= 0 and step == self._view.position.step):
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(inner, px(6), px(6))
            painter.setBrush(colours.q("accent"))
            painter.drawRoundedRect(QRectF(inner.left(), inner.top() + px(5), px(3), inner.height() - px(10)), 1.5, 1.5)
        elif step >= 0 and opened.standing(step) is Rating.NEGATIVE:
            painter.setBrush(colours.q("negative_soft"))
            painter.drawRoundedRect(inner, px(6), px(6))

    def _signs(self, painter: QPainter, rect: QRectF, step: int, opened: Opened, *, current: bool) -> None:
        px, colours, theme = self._view.theme.px, self._view.theme.colours, self._view.theme
        tall = self._view.text.line_height
        top = rect.top() + self.padding(None)
        painter.setFont(theme.font(9.5, QFont.Weight.DemiBold if current else QFont.Weight.Normal))
        painter.setPen(colours.q("accent" if current else "secondary"))
        numbers = QRectF(rect.left() + px(38), top, px(34), tall)
        rating = opened.standing(step)
        if rating is not None:  # the sign stands where the number is, and the number before the rule
            size = px(20)
            face = QRectF(numbers.right() - size, top + (tall - size) / 2, size, size)
            faces.draw(painter, face, rating, fill=colours.rating(rating), line=colours.q("on_rating"))
            numbers = QRectF(rect.left() + px(4), top, px(28) if self._is_titled(opened, step) else px(42), tall)
            painter.setPen(colours.q("accent" if current else "secondary"))
        painter.drawText(numbers, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, str(step + 1))
        right = rect.right() - px(10)
        if opened.marks.flagged[step]:
            self._flag(painter, QRectF(right - px(12), top + (tall - px(12)) / 2, px(11), px(12)))
        if opened.marks.bookmarked[step]:
            self._ribbon(painter, QRectF(rect.right() - px(11), rect.top() + 1, px(7), px(13)))
        self._score(painter, QRectF(right - px(82), top, px(64), tall), opened, step)

    def _ribbon(self, painter: QPainter, box: QRectF) -> None:
        """A bookmark hangs into the row from above."""
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._view.theme.colours.q("accent"))
        faces.draw_ribbon(painter, box)

    def _is_titled(self, opened: Opened, step: int) -> bool:
        block = int(opened.structure.block[opened.structure.step_lines[step]])
        return block >= 0 and opened.structure.blocks[block].titled

    def _score(self, painter: QPainter, box: QRectF, opened: Opened, step: int) -> None:
        score = opened.score(step)
        if score is None:
            return
        colours, px = self._view.theme.colours, self._view.theme.px
        colour = colours.q("negative" if score < LOW else "neutral" if score < HIGH else "positive")
        bar = QRectF(box.left(), box.center().y() - px(3), px(28), px(6))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("border"))
        painter.drawRoundedRect(bar, px(3), px(3))
        painter.setBrush(colour)
        painter.drawRoundedRect(
            QRectF(bar.left(), bar.top(), max(px(4), bar.width() * score), bar.height()), px(3), px(3)
        )
        hatched = bool(opened.lines[0].note)
        if hatched:
            painter.fillRect(bar, faces.hatched(colours.q("surface")))
        painter.setFont(self._view.theme.font(9.5))
        painter.setPen(colours.q("secondary") if hatched else colour)
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{score:.2f}")

    def _flag(self, painter: QPainter, box: QRectF) -> None:
        colour = self._view.theme.colours.q("unsure")
        painter.setPen(QPen(colour, 1.4))
        painter.drawLine(box.topLeft(), box.bottomLeft())
        painter.setBrush(colour)
        middle = box.top() + box.height() * 0.3
        painter.drawPolygon(
            QPolygonF(
                [box.topLeft(), QPointF(box.right(), middle), QPointF(box.left(), box.top() + box.height() * 0.6)]
            )
        )

    def _token(self, painter: QPainter, at: QPointF, line: int, layout: RawLayout, opened: Opened) -> None:
        """A frame around the token under the cursor."""
        token, starts = self._view.position.token, opened.token_starts
        if token < 0 or starts is None or token >= len(starts):
            return
        first = int(opened.structure.start[line])
        begin = int(starts[token]) - first
        end = (int(starts[token + 1]) if token + 1 < len(starts) else len(opened.trace.text)) - first
        if end <= 0 or begin >= int(opened.structure.end[line]) - first:
            return
        painter.setPen(QPen(self._view.theme.colours.q("accent"), 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for box in layout.boxes(max(0, begin), min(end, int(opened.structure.end[line]) - first)):
            painter.drawRoundedRect(box.translated(at), 2, 2)

    def _progress(self, painter: QPainter, rect: QRectF, line: int, opened: Opened) -> None:
        """How much of the line the replay has passed."""
        start, end = int(opened.structure.start[line]), int(opened.structure.end[line])
        share = min(1.0, max(0.0, (self._view.position.point - start) / max(1, end - start)))
        box = self.text_box(line)
        y = rect.bottom() - self._view.theme.px(3)
        colour = QColor(self._view.theme.colours.q("accent"))
        painter.setPen(QPen(colour, 2))
        painter.drawLine(QPointF(box.left(), y), QPointF(box.left() + box.width() * share, y))


def _clock_time(said: str) -> str:
    """The time of day of an ISO-8601 moment; as it was said where it is none."""
    try:
        return datetime.fromisoformat(said).strftime("%H:%M:%S")
    except ValueError:
        return prose.visible(said)


def _draw_cut(painter: QPainter, box: QRectF, words: str) -> None:
    """One line, with an ellipsis where it has no room."""
    said = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, int(box.width()))
    painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, said)
