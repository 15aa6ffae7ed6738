"""The narrow rail at the left: one button a page."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QButtonGroup, QFrame, QToolButton, QVBoxLayout, QWidget

from studio.ui.actions import Page, by_id
from studio.ui.context import Context

PAGES = (Page.LABEL, Page.INSPECT, Page.TRAIN, Page.PLAY, Page.EVALUATE, Page.DATA)


class Rail(QFrame):
    """Shows which page is open and opens others."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("rail")
        self.setAccessibleName("Pages")
        self._context = context
        self._group = QButtonGroup(self)
        self._buttons: dict[Page, QToolButton] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 12, 8, 12)
        column.setSpacing(4)
        for page in PAGES:
            column.addWidget(self._button(page))
        column.addStretch(1)
        context.theme.switched.connect(self.dress)
        self.dress()

    def show_page(self, page: Page) -> None:
        """Mark the open page."""
        self._buttons[page].setChecked(True)
        self.dress()

    def dress(self) -> None:
        """Take icons and sizes of the present theme."""
        theme = self._context.theme
        for page, button in self._buttons.items():
            button.setIcon(
                theme.icon(by_id(f"page_{page.value}").icon, "accent" if button.isChecked() else "secondary")
            )
            button.setIconSize(QSize(theme.px(24), theme.px(24)))
            button.setFixedWidth(theme.px(68))

    def _button(self, page: Page) -> QToolButton:
        action = self._context.actions.q(f"page_{page.value}")
        button = QToolButton()
        button.setText(page.value.capitalize())
        button.setToolTip(action.toolTip())
        button.setAccessibleName(f"Page {page.value.capitalize()}")
        button.setCheckable(True)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(action.trigger)
        self._group.addButton(button)
        self._buttons[page] = button
        return button
