"""Faces and marks, drawn: each rating has a face, a sign and a shape of its own, so that colour is never alone."""

from __future__ import annotations

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPainterPath, QPen, QPolygonF

from trainer.contract.records import Rating

SIGNS = {Rating.NEGATIVE: "−", Rating.NEUTRAL: "0", Rating.POSITIVE: "+"}


def shape(box: QRectF, value: Rating) -> QPainterPath:
    """Diamond for negative, rounded square for neutral, circle for positive."""
    path = QPainterPath()
    if value is Rating.POSITIVE:
        path.addEllipse(box)
    elif value is Rating.NEUTRAL:
        inner = box.adjusted(*(box.width() * share for share in (0.06, 0.06, -0.06, -0.06)))
        path.addRoundedRect(inner, box.width() * 0.22, box.width() * 0.22)
    else:
        grow = box.width() * 0.06
        outer = box.adjusted(-grow, -grow, grow, grow)
        middle = outer.center()
        corners = (
            QPointF(middle.x(), outer.top()),
            QPointF(outer.right(), middle.y()),
            QPointF(middle.x(), outer.bottom()),
            QPointF(outer.left(), middle.y()),
        )
        path.addPolygon(QPolygonF(corners))
        path.closeSubpath()
    return path


def outline(painter: QPainter, box: QRectF, value: Rating, colour: QColor) -> None:
    """The shape of a rating that is not given."""
    painter.setPen(QPen(colour, 1.3, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(shape(box.adjusted(0.8, 0.8, -0.8, -0.8), value))


def draw(painter: QPainter, box: QRectF, value: Rating, *, fill: QColor, line: QColor) -> None:
    """A face in its shape."""
    painter.setPen(QPen(fill, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    painter.setBrush(fill)
    painter.drawPath(shape(box.adjusted(0.8, 0.8, -0.8, -0.8), value))
    size, middle = box.width(), box.center()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(line)
    eye = size * 0.062
    for side in (-1, 1):
        painter.drawEllipse(QPointF(middle.x() + side * size * 0.14, middle.y() - size * 0.1), eye, eye * 1.25)
    pen = QPen(line, max(1.3, size * 0.075), Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    mouth = QPainterPath()
    left, right = QPointF(middle.x() - size * 0.18, 0), QPointF(middle.x() + size * 0.18, 0)
    level = middle.y() + size * (0.2 if value is Rating.NEGATIVE else 0.14 if value is Rating.NEUTRAL else 0.1)
    bend = size * (-0.2 if value is Rating.NEGATIVE else 0.0 if value is Rating.NEUTRAL else 0.22)
    mouth.moveTo(left.x(), level)
    mouth.quadTo(middle.x(), level + bend, right.x(), level)
    painter.drawPath(mouth)


def draw_mark(painter: QPainter, box: QRectF, word: str, colour: QColor) -> None:
    """Saving (a clock's arc), done (a tick) or not saved (a cross)."""
    pen = QPen(colour, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    inner = box.adjusted(2, 2, -2, -2)
    if word == "saving":
        painter.drawArc(inner, 90 * 16, -270 * 16)
    elif word == "done":
        size = inner.width()
        at = inner.topLeft()
        points = (QPointF(0.05, 0.55), QPointF(0.38, 0.88), QPointF(0.98, 0.16))
        painter.drawPolyline(QPolygonF([at + point * size for point in points]))
    else:
        painter.drawLines([QLineF(inner.topLeft(), inner.bottomRight()), QLineF(inner.topRight(), inner.bottomLeft())])


def draw_ribbon(painter: QPainter, box: QRectF) -> None:
    """A bookmark: a ribbon with a notch below, in the painter's brush."""
    notch = QPointF(box.center().x(), box.bottom() - min(box.width() / 2, box.height() / 3))
    painter.drawPolygon(QPolygonF([box.topLeft(), box.topRight(), box.bottomRight(), notch, box.bottomLeft()]))


def hatched(colour: QColor) -> QBrush:
    """The brush for what does not count: diagonal lines."""
    return QBrush(colour, Qt.BrushStyle.BDiagPattern)
