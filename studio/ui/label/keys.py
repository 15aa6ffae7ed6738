"""From a key press to a command, by position on the keyboard where that is known."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QKeyCombination, QObject, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence

from studio.ui.actions import ACTIONS, Actions, Page

# Scan codes of the three digits, the three keys of the numpad and the three letters of the second set.
_EVDEV = {10: "1", 11: "2", 12: "3", 87: "1", 88: "2", 89: "3", 38: "A", 39: "S", 40: "D"}
_WINDOWS = {2: "1", 3: "2", 4: "3", 79: "1", 80: "2", 81: "3", 30: "A", 31: "S", 32: "D"}
_MAC_VIRTUAL = {18: "1", 19: "2", 20: "3", 83: "1", 84: "2", 85: "3", 0: "A", 1: "S", 2: "D"}
_KEYPAD = {Qt.Key.Key_1: "1", Qt.Key.Key_2: "2", Qt.Key.Key_3: "3"}
_OTHER_MODIFIERS = (
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.MetaModifier
)
REPEATABLE = frozenset({"step_up", "step_down"})


@dataclass(frozen=True, slots=True)
class Press:
    """What of a key event matters here."""

    key: int
    modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
    scan: int = 0
    virtual: int = 0
    repeated: bool = False

    @classmethod
    def of(cls, event: QKeyEvent) -> Press:
        """Take it from Qt's event."""
        return cls(
            event.key(), event.modifiers(), event.nativeScanCode(), event.nativeVirtualKey(), event.isAutoRepeat()
        )


def position(press: Press, platform: str) -> str:
    """The rating key that is at this place of the keyboard: "1" "2" "3" "A" "S" "D", or "" when it is none of them."""
    if platform in ("xcb", "wayland"):
        return _EVDEV.get(press.scan, "")
    if platform == "windows":
        return _WINDOWS.get(press.scan, "")
    if platform == "cocoa":
        return _MAC_VIRTUAL.get(press.virtual, "") if press.key else ""
    return _KEYPAD.get(Qt.Key(press.key), "") if press.modifiers & Qt.KeyboardModifier.KeypadModifier else ""


class RatingKeys(QObject):
    """Finds the command of a key on the Label page.

    Digits go by position first, then every key goes by what it writes, then the second set goes by position: so a
    letter that names a command keeps it on every layout.
    """

    def __init__(self, actions: Actions, parent: QObject | None = None, *, platform: str = "") -> None:
        super().__init__(parent)
        self._actions = actions
        self._platform = platform or QGuiApplication.platformName()
        self._commands: dict[str, str] = {}
        actions.rebound.connect(self._read)
        self._read()

    def command(self, press: Press) -> str | None:
        """The id of the command, None when the key has none here."""
        if press.modifiers & _OTHER_MODIFIERS:
            return None
        place = position(press, self._platform)
        if place.isdigit():
            return self._commands.get(place)
        return self._commands.get(_written(press)) or (self._commands.get(place) if place else None)

    def _read(self) -> None:
        self._commands = {
            _portable(key): action.id
            for action in ACTIONS
            if action.physical and action.page == Page.LABEL
            for key in self._actions.keys(action.id)
        }


def _written(press: Press) -> str:
    keypad = Qt.KeyboardModifier.KeypadModifier
    modifiers = press.modifiers & ~keypad
    digit = Qt.Key.Key_0 <= press.key <= Qt.Key.Key_9
    if digit:  # written with Shift on some layouts
        modifiers &= ~Qt.KeyboardModifier.ShiftModifier
    return QKeySequence(QKeyCombination(modifiers, Qt.Key(press.key))).toString(
        QKeySequence.SequenceFormat.PortableText
    )


def _portable(key: str) -> str:
    return QKeySequence(key).toString(QKeySequence.SequenceFormat.PortableText)
