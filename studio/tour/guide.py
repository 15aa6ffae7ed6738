"""What the guided tour is driven with: keys into the real window, waiting, pictures, a line for each stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QWidget,
)

from studio.errors import SteplensError
from studio.exchange.telling import Stop, never
from studio.ui.main_window import MainWindow

PATIENCE = 300.0  # seconds; a busy machine is slow, and what comes ends the wait at once
MOST_TABS = 120
MOST_TRIES = 40
_HELD = {
    "Ctrl": Qt.KeyboardModifier.ControlModifier,
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Alt": Qt.KeyboardModifier.AltModifier,
}


class TourError(SteplensError):
    """A stage of the tour did not come to its end."""


class TourCancelled(SteplensError):
    """Somebody pressed Ctrl+C."""


class Guide:
    """Hands on the keyboard of the real window, and a camera."""

    def __init__(self, window: MainWindow, pictures: Path, stop: Stop = never) -> None:
        """`stop`: whether the tour shall end now; every wait then raises TourCancelled."""
        self.window, self.pictures, self.stop = window, pictures, stop
        self.stages = 0
        self._shots = 0
        self._began = time.monotonic()
        pictures.mkdir(parents=True, exist_ok=True)
        for old in pictures.glob("[0-9][0-9]-*.png"):
            old.unlink()

    @contextmanager
    def stage(self, title: str) -> Iterator[Callable[[str], None]]:
        """One stage: prints a line with its time and what was found; a failure names the stage."""
        self.stages += 1
        began = time.monotonic()
        found: list[str] = []
        try:
            yield found.append
        except TourError as error:
            self.picture("failed")
            raise TourError(f"stage {self.stages}, {title}: {error}") from error
        line = f"{self.stages:2}  {title:<34}{time.monotonic() - began:7.1f} s   {'; '.join(found)}"
        self.say(line.rstrip())

    def say(self, line: str) -> None:
        """Print a line."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    @property
    def seconds(self) -> float:
        """Time since the tour began."""
        return time.monotonic() - self._began

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Let the window work until this holds. Raises TourError that says what did not come."""
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until:
                raise TourError(f"waited {seconds:.0f} s for {what}")
            self._work()

    def rest(self, seconds: float) -> None:
        """Let the window work for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._work()

    def press(self, keys: str) -> None:
        """Press keys one after another where the focus is: "3 3 1 Return", "Ctrl+Shift+P"."""
        for key in keys.split():
            *held, name = key.split("+") if key != "+" else ["+"]
            modifiers = Qt.KeyboardModifier.NoModifier
            for each in held:
                modifiers |= _HELD[each]
            code = getattr(Qt.Key, f"Key_{name.upper() if len(name) == 1 else name}")
            QTest.keyClick(self._focus(), code, modifiers)
            QApplication.processEvents()

    def type(self, text: str) -> None:
        """Type text where the focus is."""
        QTest.keyClicks(self._focus(), text)
        QApplication.processEvents()

    def tab_to(self, name: str, *, whole: bool = False) -> QWidget:
        """Press Tab until the focus is on the control whose name begins so, or is so (`whole`). Raises TourError."""
        seen: list[str] = []
        for _ in range(MOST_TABS):
            focus = self._focus()
            mine = name_of(focus)
            if mine == name or (mine.startswith(name) and not whole):
                return focus
            seen.append(mine)
            QTest.keyClick(focus, Qt.Key.Key_Tab)
            QApplication.processEvents()
        raise TourError(f"Tab does not reach {name!r}; it went over {sorted(set(seen))}")

    def enter(self, name: str, text: str) -> None:
        """Put this text in the place of what stands in a field."""
        self.tab_to(name, whole=True)
        self.press("Ctrl+A")
        self.type(text)

    def tick(self, list_name: str, entry: str) -> None:
        """Tick an entry of a list by its beginning. Raises TourError."""
        widget = self.tab_to(list_name)
        if not isinstance(widget, QListWidget):
            raise TourError(f"{list_name!r} is no list")
        self.wait(lambda: widget.count() > 0, f"entries in {list_name!r}")
        self.press("Home")
        for _ in range(widget.count()):
            item = widget.currentItem()
            if item is not None and item.text().startswith(entry):
                if item.checkState() is Qt.CheckState.Unchecked:
                    self.press("Space")
                return
            self.press("Down")
        raise TourError(f"{list_name!r} has no entry {entry!r}")

    def choose(self, combo_name: str, entry: str) -> None:
        """Choose an entry of a drop-down list by its beginning. Raises TourError."""
        widget = self.tab_to(combo_name)
        if not isinstance(widget, QComboBox):
            raise TourError(f"{combo_name!r} is no drop-down list")
        self.press("Home")
        for _ in range(widget.count()):
            if widget.currentText().startswith(entry):
                return
            self.press("Down")
        raise TourError(f"{combo_name!r} has no entry {entry!r}")

    def command(self, name: str) -> None:
        """Give a command through the palette: Ctrl+Shift+P, its name, Return."""
        self.press("Ctrl+Shift+P")
        self.wait(lambda: isinstance(QApplication.focusWidget(), QLineEdit), "the palette")
        self.type(name)
        self.press("Return")
        self.rest(0.05)

    def face(self, window: QWidget) -> None:
        """Turn to this window, as a window manager does when a dialog over it has closed."""
        window.activateWindow()
        self.wait(lambda: QApplication.activeWindow() is window, f"the window {window.windowTitle()!r}")

    def answer_file_dialog(self, path: Path) -> None:
        """Before a key that opens a file dialog: type this path into it and press Return."""

        tries = iter(range(MOST_TRIES))

        def reply() -> None:
            dialog = QApplication.activeModalWidget()
            edit = dialog.findChild(QLineEdit, "fileNameEdit") if isinstance(dialog, QFileDialog) else None
            if edit is not None:
                edit.setFocus()
                edit.clear()
                QTest.keyClicks(edit, str(path))
                QTest.keyClick(edit, Qt.Key.Key_Return)
            if (dialog is None or dialog.isVisible()) and next(tries, None) is not None:
                QTimer.singleShot(100, reply)
            elif isinstance(dialog, QFileDialog) and dialog.isVisible():
                dialog.reject()

        QTimer.singleShot(100, reply)

    def picture(self, name: str) -> Path:
        """Save what is on screen: the window, with an open dialog over its centre."""
        self.rest(0.15)
        image = self.window.grab()
        dialog = QApplication.activeModalWidget() or QApplication.activeWindow()
        if dialog is not None and dialog is not self.window and dialog.isWindow():
            image = dialog.grab()
        self._shots += 1
        path = self.pictures / f"{self._shots:02}-{name}.png"
        if not image.save(str(path)):
            raise TourError(f"{path} cannot be written")
        return path

    def _work(self) -> None:
        if self.stop():
            raise TourCancelled("cancelled by Ctrl+C")
        QApplication.processEvents()
        time.sleep(0.004)

    def _focus(self) -> QWidget:
        return QApplication.focusWidget() or QApplication.activeWindow() or self.window


def name_of(widget: QWidget) -> str:
    """What a person would call the control: its accessible name, else its text, else its label's text."""
    if widget.accessibleName():
        return widget.accessibleName()
    around = widget.parentWidget()
    if around is not None and around.focusProxy() is widget:
        return name_of(around)
    if isinstance(widget, QAbstractButton):
        return widget.text().replace("&", "")
    labels = (label for label in widget.window().findChildren(QLabel) if label.buddy() is widget)
    return next((label.text().replace("&", "") for label in labels), widget.objectName() or type(widget).__name__)
