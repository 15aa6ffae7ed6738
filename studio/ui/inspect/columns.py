"""Lists, transcript and side panels beside each other; where there is no room for all, lists or panels, and never
less than the words of the trace."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSplitter, QVBoxLayout, QWidget

from studio.ui.dialogs import set_role
from studio.ui.theme import Theme

ROOM = 1000  # lengths are those of 100 %: with less, lists and panels take turns
TURNS_ROOM, MAP_ROOM = 460, 340  # of what holds the transcript: with less, list of turns and map make room for words
LEAST = 240
LEFT, SIDE = (0.20, 284, 420), (0.215, 270, 470)  # share of the whole, least and most of it: words come first
LANES_SHARE = 0.38  # of what transcript and lanes have together


class Columns(QSplitter):
    """The three columns.

    Signals:
        otherWanted(): somebody asked for the column that is not shown.
    """

    otherWanted = Signal()

    def __init__(
        self, theme: Theme, left: QWidget, centre: QWidget, side: QWidget, parent: QWidget | None = None
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._theme = theme
        self._both, self._side_asked, self._side_hidden = True, False, False
        self.to_side = QPushButton(self.tr("Evidence, Flags, Find, Bookmarks"))
        self.to_left = QPushButton(self.tr("Lists of traces"))
        self._left, self._side = self._with(left, self.to_side), self._with(side, self.to_left)
        self._centre = centre
        self.setHandleWidth(12)
        self.setChildrenCollapsible(False)
        for each, share in ((self._left, 0), (centre, 1), (self._side, 0)):
            self.addWidget(each)
            self.setStretchFactor(self.count() - 1, share)
        self._by_hand = False
        self.splitterMoved.connect(lambda _place, _number: self._keep())
        theme.switched.connect(self._fit)  # of another size, too
        self._fit()

    @property
    def shows_side(self) -> bool:
        """Whether the side panels stand beside the transcript."""
        return not self._side.isHidden()

    def show_side(self) -> None:
        """Show the side panels, in the place of the lists if there is no room for both."""
        self._side_asked, self._side_hidden = True, False
        self._fit()

    def show_left(self) -> None:
        """Show the lists, in the place of the side panels if there is no room for both."""
        self._side_asked = False
        self._fit()

    def turn(self) -> None:
        """Show lists or panels, the other one; where there is room for both, hide the panels or show them."""
        if self._both:
            self._side_hidden = not self._side_hidden
        else:
            self._side_asked = not self._side_asked
        self._fit()

    def minimumSizeHint(self) -> QSize:
        """One of the outer columns beside the transcript."""
        outer = [each.minimumSizeHint() for each in (self._left, self._side)]
        centre = self._centre.minimumSizeHint()
        width = max(size.width() for size in outer) + self.handleWidth() + centre.width()
        return QSize(width, max(size.height() for size in (*outer, centre)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Look what there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _keep(self) -> None:
        """The widths are somebody's own from now on."""
        self._by_hand = True

    def _fit(self) -> None:
        both = self.width() >= self._theme.px(ROOM)
        if both and not self._both:
            self._side_asked = False
        self._both = both
        self._left.setVisible(both or not self._side_asked)
        self._side.setVisible(not self._side_hidden if both else self._side_asked)
        self.to_side.setVisible(not both)
        self.to_left.setVisible(not both)
        if not self._by_hand:
            left, side = (self._share(*each) for each in (LEFT, SIDE))
            self.setSizes([left, max(1, self.width() - left - side), side])

    def _share(self, share: float, least: int, most: int) -> int:
        """A column's width: large screens show more of what was cut."""
        return int(min(max(share * self.width(), self._theme.px(least)), self._theme.px(most)))

    def _with(self, column: QWidget, button: QPushButton) -> QWidget:
        """A column with the way to the other one below."""
        holder = QWidget()
        rows = QVBoxLayout(holder)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(6)
        rows.addWidget(column, 1)
        rows.addWidget(button)
        set_role(button, "quiet")
        button.clicked.connect(lambda _checked: self.otherWanted.emit())
        return holder


class OverLanes(QSplitter):
    """The transcript over the lanes: lanes take what they ask for, but no more than their share, until it is moved."""

    def __init__(self, theme: Theme, steps: QWidget, lanes: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self._lanes, self._by_hand = lanes, False
        self.setHandleWidth(10)
        self.setChildrenCollapsible(False)
        self.setAccessibleName(self.tr("Transcript and lanes"))
        for each, share in ((steps, 1), (lanes, 0)):
            self.addWidget(each)
            self.setStretchFactor(self.count() - 1, share)
        self.splitterMoved.connect(lambda _place, _number: self._keep())
        theme.switched.connect(self._fit)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Look what there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _keep(self) -> None:
        self._by_hand = True

    def _fit(self) -> None:
        if not self._by_hand:
            lanes = min(self._lanes.sizeHint().height(), int(LANES_SHARE * self.height()))
            self.setSizes([max(1, self.height() - lanes), lanes])


class Reading(QWidget):
    """The transcript with its turns and its map, which make room for the words where it is narrow."""

    def __init__(
        self, theme: Theme, turns: QWidget, steps: QWidget, map: QWidget, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._turns, self._map = _held(turns), _held(map)
        self._steps = steps
        inside = QHBoxLayout(self)
        inside.setContentsMargins(0, 2, 2, 2)
        inside.setSpacing(2)
        inside.addWidget(self._turns)
        inside.addWidget(steps, 1)
        inside.addWidget(self._map)
        theme.switched.connect(self._fit)

    def minimumSizeHint(self) -> QSize:
        """Some words in a line."""
        return QSize(self._theme.px(LEAST), self._theme.px(90))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Look what there is room for."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self._turns.setVisible(self.width() >= self._theme.px(TURNS_ROOM))
        self._map.setVisible(self.width() >= self._theme.px(MAP_ROOM))


def _held(widget: QWidget) -> QWidget:
    """A widget that shows and hides itself, in one that is shown and hidden for want of room."""
    holder = QWidget()
    inside = QHBoxLayout(holder)
    inside.setContentsMargins(0, 0, 0, 0)
    inside.addWidget(widget)
    return holder
