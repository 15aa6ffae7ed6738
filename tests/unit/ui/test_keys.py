"""Rating keys by position on the keyboard, letters by what they write."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from studio.ui.actions import Actions
from studio.ui.label.keys import Press, RatingKeys

SHIFT, KEYPAD = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.KeypadModifier


def keys(platform: str) -> RatingKeys:
    return RatingKeys(Actions(), platform=platform)


@pytest.mark.parametrize(
    ("platform", "press", "expected"),
    [
        ("xcb", Press(Qt.Key.Key_Ampersand, scan=10), "rate_negative"),  # AZERTY: the key of 1 writes &
        ("xcb", Press(Qt.Key.Key_Eacute, scan=11), "rate_neutral"),
        ("wayland", Press(Qt.Key.Key_QuoteDbl, scan=12), "rate_positive"),
        ("xcb", Press(Qt.Key.Key_End, KEYPAD, scan=87), "rate_negative"),  # numpad without Num Lock
        ("xcb", Press(Qt.Key.Key_3, KEYPAD, scan=89), "rate_positive"),
        ("xcb", Press(Qt.Key.Key_Q, scan=38), "rate_negative"),  # AZERTY: where A is on QWERTY
        ("xcb", Press(Qt.Key.Key_R, scan=39), "reference_wrong"),  # Colemak: a letter that names a command keeps it
        ("xcb", Press(Qt.Key.Key_G, scan=42), "give_up"),
        ("xcb", Press(Qt.Key.Key_1, scan=24), "rate_negative"),  # a digit elsewhere
        ("windows", Press(Qt.Key.Key_Ampersand, scan=2), "rate_negative"),
        ("windows", Press(Qt.Key.Key_Q, scan=30), "rate_negative"),
        ("cocoa", Press(Qt.Key.Key_Eacute, virtual=19), "rate_neutral"),
        ("offscreen", Press(Qt.Key.Key_2), "rate_neutral"),
        ("offscreen", Press(Qt.Key.Key_2, KEYPAD), "rate_neutral"),
        ("offscreen", Press(Qt.Key.Key_1, SHIFT), "rate_negative"),
        ("offscreen", Press(Qt.Key.Key_Enter, KEYPAD), "submit"),
        ("offscreen", Press(Qt.Key.Key_S, SHIFT), None),
        ("offscreen", Press(Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier), None),
        ("offscreen", Press(Qt.Key.Key_X), None),
    ],
)
def test_a_press_finds_its_command(qapp: QApplication, platform: str, press: Press, expected: str | None) -> None:
    assert keys(platform).command(press) == expected


def test_rebinding_is_heard(qapp: QApplication) -> None:
    actions = Actions()
    finder = RatingKeys(actions, platform="offscreen")
    actions.set_keys("rate_negative", ("X",))
    assert finder.command(Press(Qt.Key.Key_X)) == "rate_negative"
    assert finder.command(Press(Qt.Key.Key_1)) is None
