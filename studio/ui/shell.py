"""Commands of the shell that open something: find, palette, preferences, workspaces, guideline, log."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QMainWindow, QMenu, QMessageBox

from studio import __version__
from studio.domain import Project
from studio.store import projects
from studio.ui.context import Context
from studio.ui.dialogs import GuidelineDialog, KeysDialog

RECENT_SHOWN = 9


class Shell(QObject):
    """Registers its commands with `context.actions`.

    Signals:
        workspaceAsked(str, bool): the person wants this workspace; True = make it.
    """

    workspaceAsked = Signal(str, bool)

    def __init__(self, context: Context, window: QMainWindow) -> None:
        super().__init__(window)
        self._context, self._window = context, window
        on = context.actions.on
        on("find", self.find)
        on("palette", self.palette)
        on("preferences", self.preferences)
        on("shortcuts", self.shortcuts)
        on("open_workspace", self._open_workspace)
        on("new_workspace", self._new_workspace)
        on("guideline", self.guideline)
        on("help_keys", self._show_keys)
        on("show_log", self._show_log)
        on("about", self._about)

    def find(self) -> None:
        """Find everywhere."""
        from studio.ui.find_popup import FindPopup

        popup = FindPopup(self._context, self._window)
        popup.show()
        popup.line.setFocus()

    def palette(self) -> None:
        """All commands."""
        from studio.ui.palette import CommandPalette

        popup = CommandPalette(self._context.actions, self._context.theme, self._window)
        popup.show()
        popup.line.setFocus()

    def preferences(self) -> None:
        """Theme, text size, interpreter."""
        from studio.ui.preferences import Preferences

        Preferences(self._context, self._window).open()

    def shortcuts(self) -> None:
        """The shortcut editor."""
        from studio.ui.shortcuts import ShortcutEditor

        ShortcutEditor(self._context, self._window).open()

    def guideline(self) -> None:
        """The guideline of the project in hand, with the decision chart of PRM800K where it has none."""
        wanted = self._context.settings.last_project

        def show(found: tuple[Project, ...]) -> None:
            project = next((p for p in found if p.id == wanted), found[0] if found else None)
            own = project.guideline.strip() if project else ""
            title = f"Guideline — {project.name}" if project else "Guideline"
            GuidelineDialog(title, own or _built_in_guideline(), self._window).show()

        self._context.background.read(self, projects.all_projects, show, self._context.fail)

    def fill_recent(self, menu: QMenu) -> None:
        """List the workspaces that were open lately."""
        menu.clear()
        here = str(self._context.workspace.path)
        for name in self._context.settings.recent[:RECENT_SHOWN]:
            if name != here and (Path(name) / "workspace.toml").exists():
                menu.addAction(name).triggered.connect(partial(self._open_recent, name))
        if menu.isEmpty():
            menu.addAction("No other workspace yet").setEnabled(False)

    def _open_recent(self, name: str, _checked: bool = False) -> None:
        self.workspaceAsked.emit(name, False)

    def _open_workspace(self) -> None:
        start = str(self._context.workspace.path.parent)
        if folder := QFileDialog.getExistingDirectory(self._window, "Open workspace", start):
            self.workspaceAsked.emit(folder, False)

    def _new_workspace(self) -> None:
        start = str(self._context.workspace.path.parent / "new workspace")
        folder, _ = QFileDialog.getSaveFileName(self._window, "New workspace: name its folder", start)
        if folder:
            self.workspaceAsked.emit(folder, True)

    def _show_keys(self) -> None:
        KeysDialog(self._context.actions, self._context.actions.page, self._window).open()

    def _show_log(self) -> None:
        files = [h.baseFilename for h in logging.getLogger().handlers if isinstance(h, logging.FileHandler)]
        if files:
            QDesktopServices.openUrl(QUrl.fromLocalFile(files[0]))
            self._context.say(files[0])
        else:
            self._context.say("this session has no log file")

    def _about(self) -> None:
        QMessageBox.about(
            self._window,
            "About Steplens",
            f"<h3>Steplens {__version__}</h3><p>The desktop studio for process supervision: label reasoning steps, "
            "train process reward models, replay traces.</p><p>Apache License 2.0. Interface font: Inter, SIL Open "
            "Font License 1.1.</p>",
        )


def _built_in_guideline() -> str:
    from importlib.resources import files

    return files("resources").joinpath("guideline.md").read_text(encoding="utf-8")
