"""The one window: menus, rail, pages, status bar. Pages are built when first shown."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import logging
from functools import partial
from typing import Protocol, cast

from PySide6.QtCore import QByteArray, Signal
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QWidget

from studio.settings import Theme as ThemeName
from studio.ui.actions import ACTIONS, MENUS, Page
from studio.ui.context import Context
from studio.ui.dialogs import ErrorDialog
from studio.ui.rail import PAGES, Rail
from studio.ui.shell import Shell
from studio.ui.status import StatusBar
from studio.ui.theme import SCALES

log = logging.getLogger(__name__)
THEMES = {
    "theme_system": ThemeName.SYSTEM,
    "theme_light": ThemeName.LIGHT,
    "theme_dark": ThemeName.DARK,
    "theme_contrast": ThemeName.HIGH_CONTRAST,
}


class PageWidget(Protocol):
    """What the window asks of a page. `show_trace` (Label, Inspect) and `take_files` (Data) where they make sense."""

    def activate(self) -> None:
        """The page is shown now: bring it up to date."""

    def show_trace(self, trace_id: int, step: int) -> None:
        """Show this trace; step -1 = where it was."""

    def take_files(self, paths: tuple[str, ...]) -> None:
        """Offer to import these files."""


class MainWindow(QMainWindow):
    """Wires pages, commands and the shell together; does no work itself.

    Signals:
        workspaceAsked(str, bool): the person wants this workspace; True = make it.
        closed(): the window has been closed.
    """

    workspaceAsked = Signal(str, bool)
    closed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._pages: dict[Page, PageWidget] = {}
        self._page = Page.ANY
        self._stack = QStackedWidget()
        self._rail = Rail(context)
        self._shell = Shell(context, self)
        self._shell.workspaceAsked.connect(self.workspaceAsked)
        self.status = StatusBar(context)
        self.setStatusBar(self.status)
        self.setWindowTitle(f"{context.workspace.name} — Steplens")
        self.setAccessibleName("Steplens")
        self.setAcceptDrops(True)
        centre = QWidget()
        row = QHBoxLayout(centre)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._rail)
        row.addWidget(self._stack, 1)
        self.setCentralWidget(centre)
        self._register()
        self._fill_menus()
        context.wanted.connect(self._on_wanted)
        context.broke.connect(self._on_broke)
        context.filesGiven.connect(self._on_files)
        context.theme.switched.connect(self._on_theme)
        self._on_theme()
        self._restore()

    @property
    def page(self) -> Page:
        """The page that is shown."""
        return self._page

    def page_widget(self, page: Page) -> QWidget:
        """The widget of a page, built now if it was not."""
        return cast(QWidget, self._built(page))

    def show_page(self, page: Page) -> None:
        """Show a page and enable its commands."""
        if page != self._page:
            widget = self._built(page)
            self._stack.setCurrentWidget(cast(QWidget, widget))
            self._page = page
            self._context.actions.show_page(page)
        self._rail.show_page(page)
        self._pages[page].activate()

    def start_services(self) -> None:
        """After the first paint: follow runs and other processes, keep backups, see to the training packages."""
        self._context.background.watch()
        self._context.jobs.start()
        self.status.follow_runs()
        self._context.workspace.keep_backed_up()
        self._context.packages.look()
        self._context.receiving.apply()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember where everything was."""
        self._context.settings.update(
            last_page=self._page.value,
            window=base64.b64encode(self.saveGeometry().data()).decode(),
        )
        super().closeEvent(event)
        self.closed.emit()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files can be dropped anywhere."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Offer dropped files to the Data page."""
        paths = tuple(url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile())
        if paths:
            event.acceptProposedAction()
            self._context.filesGiven.emit(paths)

    # -- commands -----------------------------------------------------------------------------------------------------

    def _register(self) -> None:
        on = self._context.actions.on
        for page in PAGES:
            on(f"page_{page.value}", partial(self.show_page, page))
        for id, name in THEMES.items():
            on(id, partial(self._use_theme, name))
        on("larger", partial(self._zoom, 1))
        on("smaller", partial(self._zoom, -1))
        on("normal_size", partial(self._zoom, 0))
        on("full_screen", self._toggle_full_screen)
        on("quit", self.close)
        on("import", partial(self._data_command, "import_asked"))
        on("export", partial(self._data_command, "export_asked"))

    def _data_command(self, method: str) -> None:
        self.show_page(Page.DATA)
        getattr(self._pages[Page.DATA], method)()

    def _fill_menus(self) -> None:
        menus = {name: self.menuBar().addMenu(f"&{name}") for name in MENUS}
        for name, menu in menus.items():  # icons take time to draw: when first looked at
            menu.aboutToShow.connect(partial(self._context.actions.dress, name, self._context.theme.icon))
        for action in ACTIONS:
            menus[action.menu].addAction(self._context.actions.q(action.id))
            if action.id == "new_workspace":
                recent = menus[action.menu].addMenu("Open &recent")
                recent.aboutToShow.connect(partial(self._shell.fill_recent, recent))
        for action in ACTIONS:  # shortcuts work while a menu bar is hidden, too
            self.addAction(self._context.actions.q(action.id))

    def _use_theme(self, name: ThemeName) -> None:
        self._context.settings.update(theme=name)
        self._context.theme.use(name)

    def _zoom(self, direction: int) -> None:
        scale = self._context.theme.scale
        if direction:
            ahead = [s for s in SCALES if (s - scale) * direction > 0]
            scale = (min(ahead) if direction > 0 else max(ahead)) if ahead else scale
        else:
            scale = SCALES[0]
        self._context.settings.update(scale=scale / 100)
        self._context.theme.zoom(scale)
        self._context.say(f"text at {scale} %")

    def _toggle_full_screen(self) -> None:
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    # -- pages --------------------------------------------------------------------------------------------------------

    def _built(self, page: Page) -> PageWidget:
        if page not in self._pages:
            module = importlib.import_module(f"studio.ui.{page.value}.page")
            widget: QWidget = getattr(module, f"{page.value.capitalize()}Page")(self._context)
            self._stack.addWidget(widget)
            self._pages[page] = cast(PageWidget, widget)
        return self._pages[page]

    def _on_wanted(self, page: Page, trace_id: int, step: int) -> None:
        self.show_page(page)
        if trace_id:
            self._pages[page].show_trace(trace_id, step)

    def _on_files(self, paths: tuple[str, ...]) -> None:
        self.show_page(Page.DATA)
        self._pages[Page.DATA].take_files(paths)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _on_broke(self, error: BaseException) -> None:
        ErrorDialog(error, self).show()

    def _on_theme(self) -> None:
        for id, name in THEMES.items():
            self._context.actions.q(id).setChecked(name == self._context.theme.name)

    def _restore(self) -> None:
        stored = QByteArray(base64.b64decode(self._context.settings.window or ""))
        if stored.isEmpty() or not self.restoreGeometry(stored):
            self.resize(1240, 820)
        last = self._context.settings.last_page
        page = Page(last) if last in {p.value for p in PAGES} else Page.LABEL
        self.show_page(page)
