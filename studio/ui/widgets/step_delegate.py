"""How one step is drawn: number, faces, text with maths, score, and how far its saving has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from studio.render.layout import Ink
from studio.ui.widgets import faces
from studio.ui.widgets.step_model import ROW_ROLE, Faces, Index, Mark, StepRow
from trainer.contract.records import Rating

if TYPE_CHECKING:
    from studio.ui.widgets.step_list import StepListView

RATINGS = (Rating.NEGATIVE, Rating.NEUTRAL, Rating.POSITIVE)
KEYS = {Rating.NEGATIVE: "1", Rating.NEUTRAL: "2", Rating.POSITIVE: "3"}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of a row are, in logical pixels from its left edge."""

    number: QRectF
    faces: QRectF
    text: QRectF
    score: QRectF
    mark: QRectF


class StepDelegate(QStyledItemDelegate):
    """Draws the rows of one StepListView and tells which face is under a point."""

    def __init__(self, view: StepListView) -> None:
        super().__init__(view)
        self._view = view
        self._held: dict[tuple[int, int, Faces, bool], Columns] = {}

    def columns(self, width: int) -> Columns:
        """The columns of a row of this width."""
        view = self._view
        key = (width, view.theme.scale, view.faces, view.shows_scores)
        if key not in self._held:
            self._held = {key: self._measure(width)}
        return self._held[key]

    def _measure(self, width: int) -> Columns:
        px = self._view.theme.px
        edge, gap, tall = float(px(10)), float(px(10)), 1.0
        number = QRectF(edge, 0, px(30), tall)
        left: float = number.right() + gap
        count = {Faces.ALL: 3, Faces.ONE: 1, Faces.NONE: 0}[self._view.faces]
        faces_box = QRectF(left, 0, px(28) * count, tall)
        left = faces_box.right() + (px(14) if count else px(2))
        right: float = width - edge
        mark = QRectF(right - px(20), 0, px(20), tall)
        right = mark.left() - px(4)
        score = QRectF(
            right - (px(76) if self._view.shows_scores else 0), 0, px(76) if self._view.shows_scores else 0, tall
        )
        right = score.left() - (gap if self._view.shows_scores else 0)
        return Columns(number, faces_box, QRectF(left, 0, max(right - left, 60), tall), score, mark)

    def face_rect(self, row: QRectF, value: Rating) -> QRectF:
        """Where the face of a rating is in a row."""
        px = self._view.theme.px
        box = self.columns(round(row.width())).faces
        size = px(24)
        place = RATINGS.index(value) if self._view.faces is Faces.ALL else 0
        left = row.left() + box.left() + px(28) * place + px(2)
        return QRectF(left, row.top() + self._first_line_middle() - size / 2, size, size)

    def face_at(self, row: QRectF, point: QPointF) -> Rating | None:
        """The rating whose face is at a point."""
        return next(
            (value for value in RATINGS if self.face_rect(row, value).adjusted(-2, -4, 2, 4).contains(point)), None
        )

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Height of a row; the width is the view's."""
        return QSize(1, self._view.row_height(index.row()))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one row."""
        row: StepRow = index.data(ROW_ROLE)
        rect = QRectF(option.rect)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        columns = self.columns(round(rect.width()))
        self._ground(painter, rect, row, selected)
        self._number(painter, rect, columns, row)
        if self._view.faces is not Faces.NONE:
            self._faces(painter, rect, row)
        whole = self._text(painter, rect, columns, row, index.row())
        if self._view.shows_scores:
            self._score(painter, rect, columns, row)
        self._mark(painter, rect, columns, row)
        painter.restore()
        self._view.note_painted(index.row(), whole)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _is_current(self, row: StepRow) -> bool:
        return row.ordinal == self._view.current

    def _first_line_middle(self) -> float:
        return self._view.padding + self._view.line_height / 2

    def _ground(self, painter: QPainter, rect: QRectF, row: StepRow, selected: bool) -> None:
        colours, px = self._view.theme.colours, self._view.theme.px
        inner = rect.adjusted(px(4), 1, -px(4), -1)
        painter.setPen(Qt.PenStyle.NoPen)
        if self._is_current(row):
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(inner, px(6), px(6))
            painter.setBrush(colours.q("accent"))
            painter.drawRoundedRect(QRectF(inner.left(), inner.top() + px(5), px(3), inner.height() - px(10)), 1.5, 1.5)
        elif row.rating is Rating.NEGATIVE:
            painter.setBrush(colours.q("negative_soft"))
            painter.drawRoundedRect(inner, px(6), px(6))
        if selected and self._view.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colours.q("focus"), 1.2))
            painter.drawRoundedRect(inner.adjusted(0.5, 0.5, -0.5, -0.5), px(6), px(6))

    def _number(self, painter: QPainter, rect: QRectF, columns: Columns, row: StepRow) -> None:
        colours = self._view.theme.colours
        current = self._is_current(row)
        painter.setFont(self._view.theme.font(9.5, QFont.Weight.DemiBold if current else QFont.Weight.Normal))
        painter.setPen(colours.q("accent" if current else "secondary"))
        box = QRectF(
            rect.left() + columns.number.left(),
            rect.top() + self._view.padding,
            columns.number.width(),
            self._view.line_height,
        )
        shown = row.label or str(row.ordinal + 1)
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, shown)
        if row.stale:
            painter.setPen(QPen(colours.q("unsure"), 1.4, Qt.PenStyle.DashLine))
            painter.drawLine(box.bottomLeft() + QPointF(4, 0), box.bottomRight())

    def _faces(self, painter: QPainter, rect: QRectF, row: StepRow) -> None:
        colours = self._view.theme.colours
        for value in RATINGS:
            if self._view.faces is Faces.ONE and row.rating not in (None, value):
                continue
            box = self.face_rect(rect, value)
            if row.rating is value:
                faces.draw(painter, box, value, fill=colours.rating(value), line=colours.q("on_rating"))
            elif row.ratable:
                hovered = self._view.hovered == (row.ordinal, value)
                self._open_face(painter, box, row, value, hovered)
            else:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colours.q("faint" if row.ahead else "border"))
                painter.drawEllipse(box.center(), 1.8, 1.8)
        if row.unsure:
            painter.setFont(self._view.theme.font(9, QFont.Weight.Bold))
            painter.setPen(colours.q("unsure"))
            last = self.face_rect(rect, Rating.POSITIVE)
            painter.drawText(
                last.translated(last.width() * 0.62, -last.height() * 0.3), Qt.AlignmentFlag.AlignCenter, "?"
            )

    def _open_face(self, painter: QPainter, box: QRectF, row: StepRow, value: Rating, hovered: bool) -> None:
        colours = self._view.theme.colours
        if hovered:
            faces.draw(painter, box, value, fill=colours.rating_soft(value), line=colours.rating(value))
        elif self._is_current(row):
            faces.outline(painter, box, value, colours.rating(value))
            painter.setFont(self._view.theme.font(9.5, QFont.Weight.DemiBold))
            painter.setPen(colours.rating(value))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, KEYS[value])
        else:
            faces.outline(painter, box.adjusted(3, 3, -3, -3), value, colours.q("hatch"))

    def _text(self, painter: QPainter, rect: QRectF, columns: Columns, row: StepRow, place: int) -> bool:
        colours = self._view.theme.colours
        laid = self._view.layout_of(place)
        ink = Ink(colours.q("faint" if row.ahead else "text"), colours.q("secondary"), colours.q("unsure"))
        top = rect.top() + self._view.padding
        return laid.draw(painter, QPointF(rect.left() + columns.text.left(), top), ink)

    def _score(self, painter: QPainter, rect: QRectF, columns: Columns, row: StepRow) -> None:
        if row.score is None:
            return
        colours, px = self._view.theme.colours, self._view.theme.px
        box = QRectF(
            rect.left() + columns.score.left(),
            rect.top() + self._view.padding,
            columns.score.width(),
            self._view.line_height,
        )
        colour = score_colour(self._view, row.score)
        bar = QRectF(box.left(), box.center().y() - px(3), px(34), px(6))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("border"))
        painter.drawRoundedRect(bar, px(3), px(3))
        filled = QRectF(bar.left(), bar.top(), max(px(4), bar.width() * row.score), bar.height())
        painter.setBrush(colour)
        painter.drawRoundedRect(filled, px(3), px(3))
        if row.score_note:
            painter.fillRect(bar, faces.hatched(colours.q("surface")))
        painter.setFont(self._view.theme.font(9.5))
        painter.setPen(colours.q("secondary") if row.score_note else colour)
        painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{row.score:.2f}")

    def _mark(self, painter: QPainter, rect: QRectF, columns: Columns, row: StepRow) -> None:
        if row.mark is Mark.NONE:
            return
        colours = self._view.theme.colours
        size = self._view.theme.px(14)
        middle = rect.top() + self._first_line_middle()
        box = QRectF(rect.left() + columns.mark.left(), middle - size / 2, size, size)
        faces.draw_mark(
            painter,
            box,
            row.mark.value,
            {
                Mark.SAVING: colours.q("secondary"),
                Mark.DONE: colours.q("positive"),
                Mark.ERROR: colours.q("negative"),
            }[row.mark],
        )


def score_colour(view: StepListView, score: float) -> QColor:
    """Red, grey or green, by thirds; the number stands beside it."""
    colours = view.theme.colours
    return colours.q("negative" if score < 1 / 3 else "neutral" if score < 2 / 3 else "positive")
