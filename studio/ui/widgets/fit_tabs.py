"""Tabs that never hide one of themselves: where their names do not fit side by side, a box offers them."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QComboBox, QTabWidget, QVBoxLayout, QWidget


class FitTabs(QWidget):
    """Holds a QTabWidget; its bar stands while all names fit, a box of the same names otherwise."""

    def __init__(self, tabs: QTabWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tabs = tabs
        self.choice = QComboBox()
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.setMinimumContentsLength(6)
        self.choice.setAccessibleName(tabs.accessibleName())
        bar = tabs.tabBar()
        bar.setElideMode(Qt.TextElideMode.ElideNone)
        bar.setUsesScrollButtons(True)  # or the widest bar would be the narrowest that the page can be
        for place in range(tabs.count()):
            self.choice.addItem(tabs.tabText(place))
        self.choice.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.choice)
        column.addWidget(tabs, 1)
        self.choice.activated.connect(tabs.setCurrentIndex)
        tabs.currentChanged.connect(self.choice.setCurrentIndex)
        bar.installEventFilter(self)

    @property
    def needed(self) -> int:
        """Pixels that all names take side by side."""
        bar = self.tabs.tabBar()
        return sum(bar.tabRect(place).width() for place in range(bar.count()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Look whether the names fit."""
        super().resizeEvent(event)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        """Look whether the names fit."""
        super().showEvent(event)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Names grow with the font."""
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        bar = self.tabs.tabBar()
        fits = self.needed <= self.width()
        bar.setVisible(fits and bar.count() > 1)
        # it hands the focus to its bar: with the bar hidden Tab would go no further
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus if bar.isHidden() else Qt.FocusPolicy.TabFocus)
        self.choice.setVisible(not fits)
