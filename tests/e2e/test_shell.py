"""The shell: palette, find, shortcuts, errors, session, dropped files, names for screen readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication, QKeySequence
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTabBar,
    QTextEdit,
    QWidget,
)

from studio.errors import StoreError
from studio.settings import Settings
from studio.ui.actions import Page
from studio.ui.dialogs import ErrorDialog, GuidelineDialog, KeysDialog
from studio.ui.find_popup import FindPopup
from studio.ui.palette import CommandPalette
from studio.ui.preferences import Preferences
from studio.ui.session_log import catch_all
from studio.ui.shortcuts import ShortcutEditor
from tests.e2e.seat import Seat, fill_workspace


def child(seat: Seat, kind: type[QWidget]) -> QWidget:
    """The open window of this kind."""
    seat.wait(lambda: any(w.isVisible() for w in seat.window.findChildren(kind)))
    return next(w for w in seat.window.findChildren(kind) if w.isVisible())


def test_the_palette_gives_any_command(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.press("Ctrl+Shift+P", on=seat.window)
        palette = child(seat, CommandPalette)
        assert "Choose project" in palette.texts()
        palette.line.setText("theme dark")
        assert palette.texts()[0] == "Theme: dark"
        palette.grab().save(str(seat.picture("palette").with_name("palette-popup.png")))
        seat.press("Return", on=palette.line)
        assert seat.context.theme.name.value == "dark"


def test_find_opens_inspect_at_the_hit(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.press("Ctrl+K", on=seat.window)
        popup = child(seat, FindPopup)
        popup.line.setText("denominator numerator")
        seat.wait(lambda: len(popup.texts()) == 3)
        popup.line.setText("no such words here")
        seat.wait(lambda: popup.texts() == ())
        popup.line.setText("numerator")
        seat.wait(lambda: len(popup.texts()) == 3)
        seat.press("Down Return", on=popup.line)
        assert seat.window.page == Page.INSPECT
        inspect = seat.window.page_widget(Page.INSPECT)
        seat.wait(lambda: inspect.shown is not None)


def test_a_shortcut_is_changed_a_conflict_refused_and_both_kept(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.context.actions.run("shortcuts")
        editor = child(seat, ShortcutEditor)
        editor.choose("rate_negative")
        editor.keys.setKeySequence(QKeySequence("G"))
        editor.set_button.click()
        assert "Give up" in editor.note.text()
        editor.keys.setKeySequence(QKeySequence("Q"))
        editor.set_button.click()
        assert seat.context.actions.keys("rate_negative") == ("Q",)
        editor.close()
        seat.press("1")
        assert seat.ratings()[0] is None
        seat.press("Q")
        assert seat.ratings()[0] == -1
        seat.wait_saved()
    with sit_down() as seat:
        seat.wait_painted()
        assert seat.context.actions.keys("rate_negative") == ("Q",)


def test_an_error_is_shown_with_copy_and_the_window_goes_on(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.context.fail(StoreError("workspace.db: the disk is full; make room"))
        dialog = child(seat, ErrorDialog)
        dialog._on_copy()
        copied = QGuiApplication.clipboard().text()
        assert "the disk is full" in copied
        assert "Python" in copied
        dialog.grab().save(str(seat.picture("error").with_name("error-dialog.png")))
        dialog.accept()
        seat.press("3")
        assert seat.ratings()[0] == 1
        assert len(seat.errors) == 1
        seat.errors.clear()


def test_what_nobody_caught_reaches_the_dialog(sit_down: Callable[[], Seat], monkeypatch) -> None:
    import sys
    import threading

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with sit_down() as seat:
        catch_all(seat.studio.uncaught.emit)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        dialog = child(seat, ErrorDialog)
        assert "ZeroDivisionError" in dialog.details
        dialog.accept()
        seat.errors.clear()


def test_page_size_and_place_come_back(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.window.resize(790, 640)
        seat.press("Ctrl+4", on=seat.window)
        assert seat.window.page == Page.DATA
    assert Settings.load().last_page == "data"
    with sit_down() as seat:
        assert seat.window.page == Page.DATA
        assert seat.window.height() == 640  # the width is bounded by the offscreen screen
        seat.press("Ctrl+1", on=seat.window)
        seat.wait_painted()


def test_dropped_files_go_to_the_data_page(sit_down: Callable[[], Seat], tmp_path: Path) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        taken: list[tuple[str, ...]] = []
        seat.context.filesGiven.connect(taken.append)
        data = seat.window.page_widget(Page.DATA)
        data.take_files = lambda paths: None
        source = tmp_path / "rows.jsonl"
        source.write_text("{}\n")
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(source))])
        drop = QDropEvent(
            QPointF(300, 300), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        )
        seat.window.dropEvent(drop)
        assert taken == [(str(source),)]
        assert seat.window.page == Page.DATA


def test_another_workspace_opens_in_place_and_is_remembered(sit_down: Callable[[], Seat], tmp_path: Path) -> None:
    other = tmp_path / "other"
    fill_workspace(other, count=1, project="Geometry")
    with sit_down() as seat:
        seat.wait_painted()
        seat.studio._on_workspace_asked(str(other), False)
        assert seat.studio.window is not seat.window
        seat.window, seat.context = seat.studio.window, seat.studio.context
        seat.wait_painted()
        assert seat.page.header.project.text() == "Geometry"
        seat.wait(lambda: Settings.load().recent[:2] == [str(other), str(seat.folder)])  # once the window has settled


def test_help_guideline_and_preferences_open(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        for id, kind in (("help_keys", KeysDialog), ("guideline", GuidelineDialog), ("preferences", Preferences)):
            seat.context.actions.run(id)
            dialog = child(seat, kind)
            dialog.grab().save(str(seat.picture("label light").with_name(f"dialog-{id}.png")))
            dialog.close()


OWNERS = (QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QTabBar)  # they name their own parts
INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTabBar,
    QTextEdit,
)


def test_every_widget_one_can_use_has_a_name(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        nameless = []
        for page in (Page.LABEL, Page.INSPECT, Page.TRAIN, Page.PLAY, Page.EVALUATE, Page.DATA):
            seat.window.show_page(page)
            for widget in seat.window.page_widget(page).findChildren(QWidget):
                above = widget.parent()
                popup = above is not None and above.metaObject().className() == "QComboBoxPrivateContainer"
                own = popup or widget.objectName().startswith("qt_") or isinstance(above, OWNERS)
                if isinstance(widget, INTERACTIVE) and not own and not name_of(widget):
                    nameless.append(f"{page.value}: {type(widget).__name__} in {type(above).__name__}")
        assert not nameless


def name_of(widget: QWidget) -> str:
    """What a screen reader says."""
    return widget.accessibleName() or (widget.text() if isinstance(widget, QAbstractButton) else "")
