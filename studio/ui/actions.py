"""Every command of the window, once: menus, palette, shortcut editor and help are drawn from this table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction, QIcon, QKeySequence

from studio.errors import ConflictError
from studio.ui.action import Action, Page
from studio.ui.actions_evaluate import EVALUATE_ACTIONS
from studio.ui.actions_inspect import INSPECT_ACTIONS
from studio.ui.actions_label import LABEL_ACTIONS
from studio.ui.actions_play import PLAY_ACTIONS
from studio.ui.actions_train import TRAIN_ACTIONS

__all__ = ("ACTIONS", "MENUS", "Action", "Actions", "Page", "by_id", "shown_key")
MENUS = ("File", "Edit", "View", "Label", "Inspect", "Train", "Play", "Evaluate", "Data", "Help")

ACTIONS: tuple[Action, ...] = (
    Action("open_workspace", "&Open workspace…", ("Ctrl+O",), "folder", menu="File"),
    Action("new_workspace", "&New workspace…", ("Ctrl+Shift+N",), "plus", menu="File"),
    Action("import", "&Import traces…", ("Ctrl+I",), "import", menu="File"),
    Action("export", "&Export…", ("Ctrl+E",), "export", menu="File"),
    Action("preferences", "&Preferences…", ("Ctrl+,",), "sliders", menu="File"),
    Action("quit", "&Quit", ("Ctrl+Q",), menu="File"),
    Action("undo", "&Undo", ("Ctrl+Z",), "undo", Page.LABEL, "Edit", "Take back your last rating, submit or comment"),
    Action("redo", "&Redo", ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", Page.LABEL, "Edit", "Do again what you took back"),
    Action(
        "find", "&Find everywhere…", ("Ctrl+K",), "search", menu="Edit", tip="Words of problems, steps and comments"
    ),
    Action("palette", "&All commands…", ("Ctrl+Shift+P",), "command", menu="View"),
    Action("page_label", "&Label", ("Ctrl+1",), "label", menu="View", tip="Rate steps"),
    Action("page_inspect", "&Inspect", ("Ctrl+2",), "inspect", menu="View", tip="Read traces and their scores"),
    Action("page_train", "&Train", ("Ctrl+3",), "train", menu="View", tip="Train a PRM, score traces, watch runs"),
    Action("page_play", "&Play", ("Ctrl+6",), "play_page", menu="View", tip="Ask a policy and watch it think"),
    Action("page_evaluate", "&Evaluate", ("Ctrl+5",), "evaluate", menu="View", tip="Models, routing, monitors, review"),
    Action("page_data", "&Data", ("Ctrl+4",), "data", menu="View", tip="Import, export, projects"),
    Action("theme_system", "Theme: as the &system", menu="View", checkable=True),
    Action("theme_light", "Theme: &light", menu="View", checkable=True),
    Action("theme_dark", "Theme: &dark", menu="View", checkable=True),
    Action("theme_contrast", "Theme: &high contrast", menu="View", checkable=True),
    Action("larger", "&Larger text", ("Ctrl++", "Ctrl+="), menu="View"),
    Action("smaller", "&Smaller text", ("Ctrl+-",), menu="View"),
    Action("normal_size", "&Normal text size", ("Ctrl+0",), menu="View"),
    Action("full_screen", "&Full screen", ("F11",), menu="View", checkable=True),
    *LABEL_ACTIONS,
    *INSPECT_ACTIONS,
    *TRAIN_ACTIONS,
    *PLAY_ACTIONS,
    *EVALUATE_ACTIONS,
    Action("new_project", "&New project…", ("N",), "plus", Page.DATA, "Data"),
    Action("refresh", "&Refresh", ("F5",), "retry", menu="View"),
    Action("help_keys", "&Keys of this page", ("F1",), "keyboard", menu="Help"),
    Action("guideline", "&Guideline", ("?", "Shift+F1"), "book", menu="Help"),
    Action("shortcuts", "Edit &shortcuts…", icon="keyboard", menu="Help"),
    Action("show_log", "Show the session &log", menu="Help"),
    Action("about", "&About Steplens", menu="Help"),
)


_BY_ID = {action.id: action for action in ACTIONS}


def by_id(id: str) -> Action:
    """The entry of this name. Raises KeyError when there is none."""
    return _BY_ID[id]


class Actions(QObject):
    """The commands of one window: their handlers, whether they are enabled, and their keys.

    Signals:
        rebound(str): the keys of this command are others now.
        enabledChanged(str, bool): this command can, or cannot, be given now.
    """

    rebound = Signal(str)
    enabledChanged = Signal(str, bool)

    def __init__(self, overrides: Mapping[str, Sequence[str]] | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._page = Page.ANY
        self._handlers: dict[str, Callable[[], object]] = {}
        self._wanted = {action.id: True for action in ACTIONS}
        self._overrides = {id: tuple(keys) for id, keys in (overrides or {}).items() if id in _BY_ID}
        self._q = {action.id: self._make(action) for action in ACTIONS}

    def on(self, id: str, handler: Callable[[], object]) -> None:
        """Say what a command does; the last one to say it wins."""
        self._handlers[by_id(id).id] = handler
        self._update(id)

    def enable(self, id: str, on: bool) -> None:
        """Say whether a command can be given now."""
        if self._wanted[id] != on:
            self._wanted[id] = on
            self._update(id)

    def is_enabled(self, id: str) -> bool:
        """Whether the command has a handler, its page is shown and it can be given now."""
        page = by_id(id).page
        return id in self._handlers and self._wanted[id] and page in (Page.ANY, self._page)

    def run(self, id: str) -> bool:
        """Give a command; returns False when it is not enabled."""
        if not self.is_enabled(id):
            return False
        self._handlers[id]()
        return True

    def show_page(self, page: Page) -> None:
        """Enable the commands of this page and disable those of the others."""
        self._page = page
        for action in ACTIONS:
            self._update(action.id)

    @property
    def page(self) -> Page:
        """The page whose commands are enabled."""
        return self._page

    def available(self) -> tuple[Action, ...]:
        """The commands that can be given now, in table order."""
        return tuple(action for action in ACTIONS if self.is_enabled(action.id))

    def q(self, id: str) -> QAction:
        """The Qt action of a command, for menus and tool buttons."""
        return self._q[id]

    def keys(self, id: str) -> tuple[str, ...]:
        """The key sequences of a command, the user's own if there are any."""
        return self._overrides.get(id, by_id(id).keys)

    def hint(self, id: str) -> str:
        """The first key as the platform writes it, empty when there is none."""
        keys = self.keys(id)
        return shown_key(keys[0]) if keys else ""

    def is_default(self, id: str) -> bool:
        """Whether the command has the keys that it came with."""
        return id not in self._overrides

    def rival(self, id: str, key: str) -> Action | None:
        """The other command that has this key on the same page."""
        page = by_id(id).page
        wanted = _same(key)
        for other in ACTIONS:
            if other.id == id or (page and other.page and page != other.page):
                continue
            if wanted in {_same(k) for k in self.keys(other.id)}:
                return other
        return None

    def set_keys(self, id: str, keys: Sequence[str]) -> None:
        """Give a command other keys. Raises ConflictError when another command of its page has one of them."""
        for key in keys:
            if (rival := self.rival(id, key)) is not None:
                raise ConflictError(f"{shown_key(key)} belongs to “{rival.name}”; give that another key first")
        if tuple(keys) == by_id(id).keys:
            self._overrides.pop(id, None)
        else:
            self._overrides[id] = tuple(keys)
        self._bind(self._q[id], by_id(id))
        self.rebound.emit(id)

    def overrides(self) -> dict[str, list[str]]:
        """The keys that differ from the table, for the settings."""
        return {id: list(keys) for id, keys in sorted(self._overrides.items())}

    def dress(self, menu: str, icon: Callable[[str], QIcon]) -> None:
        """Give the commands of a menu their icons in the present theme."""
        for action in ACTIONS:
            if action.icon and action.menu == menu:
                self._q[action.id].setIcon(icon(action.icon))

    def _make(self, action: Action) -> QAction:
        q = QAction(action.text, self)
        q.setAutoRepeat(action.id in REPEATING)
        q.setCheckable(action.checkable)
        q.setEnabled(False)
        q.triggered.connect(partial(self._on_triggered, action.id))
        self._bind(q, action)
        return q

    def _bind(self, q: QAction, action: Action) -> None:
        keys = self.keys(action.id)
        q.setToolTip(_tip(action, keys))
        q.setStatusTip(action.tip)
        if action.physical:  # a tab shows the key in menus without registering it
            q.setText(action.text + (f"\t{shown_key(keys[0])}" if keys else ""))
        else:
            q.setShortcuts([QKeySequence(key) for key in keys])

    def _on_triggered(self, id: str, _checked: bool = False) -> None:
        self.run(id)

    def _update(self, id: str) -> None:
        on = self.is_enabled(id)
        if self._q[id].isEnabled() != on:
            self._q[id].setEnabled(on)
            self.enabledChanged.emit(id, on)


REPEATING = frozenset(
    {
        "undo",
        "redo",
        "larger",
        "smaller",
        "step_up",
        "step_down",
        "step_below",
        "step_above",
        "next_hit",
        "previous_hit",
        "next_token",
        "previous_token",
    }
)


def shown_key(key: str) -> str:
    """A portable key sequence as the platform writes it."""
    return {"Return": "⏎", "Up": "↑", "Down": "↓", "Backspace": "⌫"}.get(
        key, QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
    )


def _same(key: str) -> str:
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText)


def _tip(action: Action, keys: Sequence[str]) -> str:
    shown = " or ".join(shown_key(key) for key in keys)
    return " · ".join(part for part in (action.tip or action.name, shown) if part)
