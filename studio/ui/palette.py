"""The command palette: every command that can be given now, found by a few of its letters."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from studio.ui.actions import Action, Actions
from studio.ui.popup_list import Entry, PopupList
from studio.ui.theme import Theme


class CommandPalette(PopupList):
    """Takes a command and gives it."""

    def __init__(self, actions: Actions, theme: Theme, parent: QWidget) -> None:
        super().__init__(theme, "All commands", "Type a command", parent)
        self._actions = actions
        self._theme = theme
        self._commands = tuple(a for a in actions.available() if a.id != "palette")
        self.typed.connect(self._on_typed)
        self.taken.connect(actions.run)
        self._on_typed("")

    def _on_typed(self, text: str) -> None:
        found = matching(text, self._commands)
        self.fill(tuple(self._entry(a) for a in found), "" if found else "No command has these letters.")

    def _entry(self, action: Action) -> Entry:
        icon = self._theme.icon(action.icon, "secondary") if action.icon else None
        return Entry(action.id, action.name, self._actions.hint(action.id), icon)


def matching(text: str, commands: tuple[Action, ...]) -> tuple[Action, ...]:
    """Commands that hold the letters of `text` in this order, the tightest first; all of them for an empty text."""
    wanted = text.replace(" ", "").lower()
    ranked = [(span, place, a) for place, a in enumerate(commands) if (span := _span(wanted, a.name.lower())) >= 0]
    return tuple(action for _, _, action in sorted(ranked, key=lambda r: r[:2]))


def _span(wanted: str, name: str) -> int:
    """How far apart the letters stand in the name, a start within a word counting against it; -1 = not all there."""
    best = -1
    for start in range(len(name)):
        if wanted and name[start] != wanted[0]:
            continue
        at = start
        for letter in wanted:
            at = name.find(letter, at) + 1
            if not at:
                break
        else:
            inside = 0 if start == 0 or name[start - 1] == " " else 5
            span = (at - start - len(wanted)) * 2 + inside
            best = span if best < 0 else min(best, span)
        if not wanted:
            break
    return best
