"""A button that gives a command of the window: its tool tip says what that does and its key, as it is now."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from studio.ui.actions import Actions


class CommandButton(QPushButton):
    """Whether it can be pressed is its owner's to say; its text may be shorter than the command's name."""

    def __init__(
        self, actions: Actions, id: str, text: str, *, primary: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._actions, self._id = actions, id
        self.setProperty("primary", primary)
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.clicked.connect(lambda _checked=False: actions.run(id))
        actions.rebound.connect(self._on_rebound)
        self._on_rebound(id)

    def _on_rebound(self, id: str) -> None:
        if id == self._id:
            said = self._actions.q(id).toolTip()
            self.setToolTip(said)
            self.setAccessibleDescription(said)
