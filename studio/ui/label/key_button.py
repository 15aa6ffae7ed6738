"""A button that shows the key of its command."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QPushButton, QSizePolicy, QStyle, QStyleOptionButton, QWidget

from studio.ui.actions import Actions, by_id
from studio.ui.theme import Theme


class KeyButton(QPushButton):
    """Gives a command; its name and its key are drawn from the table of commands. Narrow, it shows the key alone."""

    def __init__(
        self, actions: Actions, theme: Theme, id: str, parent: QWidget | None = None, *, primary: bool = False
    ) -> None:
        super().__init__(parent)
        self._actions, self._theme, self._id, self._primary = actions, theme, id, primary
        self._name = by_id(id).name
        self._cap = ""
        self.setProperty("primary" if primary else "flat", True)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.clicked.connect(self._on_clicked)
        actions.enabledChanged.connect(self._on_enabled)
        actions.rebound.connect(self._on_rebound)
        self._on_rebound(id)
        self.setEnabled(actions.is_enabled(id))

    def set_name(self, text: str) -> None:
        """Say something else than the command's name."""
        if text != self._name:
            self._name = text
            self._describe()
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Key and name."""
        px = self._theme.px
        width = self._cap_width() + self.fontMetrics().horizontalAdvance(self._name) + px(26 if self._primary else 22)
        return QSize(width + px(7), self._height())

    def minimumSizeHint(self) -> QSize:
        """The key alone, or a name without a key."""
        if not self._cap or self._primary:
            return self.sizeHint()
        return QSize(self._cap_width() + self._theme.px(14), self._height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """The style's button with a key cap and a name on it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        px, ink = self._theme.px, self._ink()
        left = px(10 if self._primary else 7)
        if self._cap:
            left += self._draw_cap(painter, left, ink) + px(7)
        painter.setPen(ink)
        room = self.width() - left
        if room >= self.fontMetrics().horizontalAdvance(self._name):
            painter.setFont(self.font())
            painter.drawText(left, 0, room, self.height(), Qt.AlignmentFlag.AlignVCenter, self._name)
        painter.end()

    def _draw_cap(self, painter: QPainter, left: int, ink: QColor) -> int:
        px, colours = self._theme.px, self._theme.colours
        tall = px(20)
        box = QRectF(left + 0.5, (self.height() - tall) / 2 + 0.5, self._cap_width() - 1, tall - 1)
        quiet = self._primary and self.isEnabled()
        painter.setPen(QPen(ink if quiet else colours.q("border"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush if self._primary else colours.q("raised"))
        painter.drawRoundedRect(box, px(4), px(4))
        painter.setPen(ink if self._primary or not self.isEnabled() else colours.q("secondary"))
        painter.setFont(self._theme.font(9))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, self._cap)
        return self._cap_width()

    def _ink(self) -> QColor:
        colours = self._theme.colours
        if not self.isEnabled():
            return colours.q("secondary" if self._primary else "hatch")
        return colours.q("on_accent" if self._primary else "text")

    def _cap_width(self) -> int:
        if not self._cap:
            return 0
        metrics = QFontMetrics(self._theme.font(9))
        return max(self._theme.px(20), metrics.horizontalAdvance(self._cap) + self._theme.px(10))

    def _height(self) -> int:
        return self._theme.px(34 if self._primary else 30)

    def _on_clicked(self, _checked: bool = False) -> None:
        self._actions.run(self._id)

    def _on_enabled(self, id: str, on: bool) -> None:
        if id == self._id:
            self.setEnabled(on)

    def _on_rebound(self, id: str) -> None:
        if id == self._id:
            self._cap = self._actions.hint(id)
            self._describe()
            self.updateGeometry()
            self.update()

    def _describe(self) -> None:
        self.setAccessibleName(f"{self._name}, key {self._cap}" if self._cap else self._name)
        self.setToolTip(self._actions.q(self._id).toolTip())
