"""What a lane along the trace has in common with the others: its state in words, a kept picture, a place, a click."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.theme import Theme
from studio.ui.widgets.cut_label import CutLabel

HEIGHT = 104
LEFT, RIGHT = 84, 14  # room for the names of rows, and at the right edge


class LaneState(StrEnum):
    """How far what a lane shows can be trusted."""

    MEASURED = "measured"
    FOREIGN = "out of the scorer's domain"
    SCORING = "still scoring"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class LaneSays:
    """A lane's state, why, and (absent) the command that fills it."""

    state: LaneState
    words: str
    action: str = ""

    @property
    def text(self) -> str:
        """The state with its reason."""
        sign = {LaneState.MEASURED: "●", LaneState.FOREIGN: "▨", LaneState.SCORING: "◔", LaneState.ABSENT: "○"}
        return f"{sign[self.state]} {self.state.value}" + (f": {self.words}" if self.words else "")


class Lane(QWidget):
    """A picture along the width of the trace with a line where the cursor stands; a subclass draws the picture.

    Signals:
        sought(float): a click, as a share of the width.
        stepped(int): one on (1) or back (-1).
    """

    sought = Signal(float)
    stepped = Signal(int)

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self._picture: QPixmap | None = None
        self._share: float | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(name)
        theme.switched.connect(self.redraw)

    def draw(self, painter: QPainter, plot: QRectF) -> None:
        """Draw the lane; `plot` is where the trace runs from left to right."""
        raise NotImplementedError

    def set_share(self, share: float | None) -> None:
        """Where the cursor stands, as a share of the width."""
        if share != self._share:
            self._share = share
            self.update()

    def redraw(self) -> None:
        """What is drawn is another."""
        self._picture = None
        self.update()

    def plot_rect(self) -> QRectF:
        """Where the trace runs."""
        px = self.theme.px
        return QRectF(px(LEFT), px(6), max(self.width() - px(LEFT + RIGHT), px(60)), self.height() - px(12))

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(self.theme.px(420), self.theme.px(HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """Low enough for small windows."""
        return QSize(self.theme.px(160), self.theme.px(60))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The kept picture, and over it the place."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self.theme.colours.q("surface"))
        painter.drawPixmap(0, 0, self._drawn())
        plot = self.plot_rect()
        if self._share is not None:
            x = plot.left() + plot.width() * self._share
            painter.setPen(QPen(self.theme.colours.q("accent"), 1.6))
            painter.drawLine(QPointF(x, plot.top() - 2), QPointF(x, plot.bottom() + 2))
        if self.hasFocus():
            painter.setPen(QPen(self.theme.colours.q("focus"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew."""
        super().resizeEvent(event)
        self.redraw()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go there."""
        self._seek(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._seek(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and Right go one on or back, Home and End to the ends."""
        key = event.key()
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.stepped.emit(1 if key == Qt.Key.Key_Right else -1)
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self.sought.emit(1.0 if key == Qt.Key.Key_End else 0.0)
        else:
            event.ignore()

    def _seek(self, event: QMouseEvent) -> None:
        plot = self.plot_rect()
        self.sought.emit(min(max((event.position().x() - plot.left()) / plot.width(), 0.0), 1.0))

    def _drawn(self) -> QPixmap:
        if self._picture is None:
            ratio = self.devicePixelRatioF()
            self._picture = QPixmap(max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))
            self._picture.setDevicePixelRatio(ratio)
            self._picture.fill(Qt.GlobalColor.transparent)
            painter = QPainter(self._picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self.draw(painter, self.plot_rect())
            painter.end()
        return self._picture


class LaneFrame(QWidget):
    """A lane under a line that says its state and offers the command that fills it."""

    def __init__(self, context: Context, lane: Lane, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self.lane = context, lane
        self._action = ""
        self.words = CutLabel()
        set_role(self.words, "caption")
        self.button = QPushButton()
        self.button.setAccessibleName(f"Fill the lane {lane.accessibleName()}")
        self.button.clicked.connect(lambda _checked: context.actions.run(self._action))
        self.head = QHBoxLayout()
        self.head.setContentsMargins(10, 4, 8, 0)
        self.head.setSpacing(10)
        self.head.addWidget(self.words, 1)
        self.head.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(self.head)
        column.addWidget(lane, 1)

    def say(self, says: LaneSays) -> None:
        """Show a state."""
        self.words.setText(says.text)
        self._action = says.action
        self.button.setVisible(bool(says.action))
        if says.action:
            self.button.setText(self._context.actions.q(says.action).text().replace("&", ""))
        self.lane.setAccessibleDescription(says.text)
