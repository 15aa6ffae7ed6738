"""A button that shows the key of its command."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from studio.ui.actions import Actions, by_id
from studio.ui.dialogs import set_role


class KeyButton(QPushButton):
    """Gives a command; its name and its key are drawn from the table of commands."""

    def __init__(self, actions: Actions, id: str, parent: QWidget | None = None, *, primary: bool = False) -> None:
        super().__init__(parent)
        self._actions, self._id = actions, id
        self._name = QLabel(by_id(id).name)
        self._cap = QLabel()
        for label in (self._cap, self._name):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        set_role(self._cap, "key")
        row = QHBoxLayout(self)
        row.setContentsMargins(12 if primary else 8, 3, 14 if primary else 10, 3)
        row.setSpacing(7)
        row.addWidget(self._cap)
        row.addWidget(self._name)
        self.setProperty("primary" if primary else "flat", True)
        self.setAccessibleName(by_id(id).name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setEnabled(False)
        self.clicked.connect(partial(self._on_clicked))
        actions.enabledChanged.connect(self._on_enabled)
        actions.rebound.connect(self._on_rebound)
        self._on_rebound(id)
        self._on_enabled(id, actions.is_enabled(id))

    def set_name(self, text: str) -> None:
        """Say something else than the command's name."""
        self._name.setText(text)
        self.updateGeometry()

    def sizeHint(self) -> QSize:
        """As large as its two labels."""
        layout = self.layout()
        assert layout is not None
        return layout.sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Never cut."""
        return self.sizeHint()

    def _on_clicked(self, _checked: bool = False) -> None:
        self._actions.run(self._id)

    def _on_enabled(self, id: str, on: bool) -> None:
        if id == self._id:
            self.setEnabled(on)

    def _on_rebound(self, id: str) -> None:
        if id == self._id:
            self._cap.setText(self._actions.hint(id))
            self._cap.setVisible(bool(self._actions.hint(id)))
            self.setToolTip(self._actions.q(id).toolTip())
