"""The composition root of the window: settings -> workspace -> annotator -> context -> window. No globals."""

from __future__ import annotations

import argparse
import getpass
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy  # noqa: F401 - before PySide6, which reads the source of every module that is imported after it

# isort: split
from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication

from studio import __version__
from studio.domain import Annotator
from studio.errors import SteplensError
from studio.settings import Settings, default_workspace
from studio.store import projects
from studio.store.database import Database
from studio.ui.collector import Collector
from studio.ui.context import Context
from studio.ui.main_window import MainWindow
from studio.ui.session_log import catch_all, log_qt, start_log
from studio.ui.single_instance import SingleInstance
from studio.ui.theme import Theme
from studio.ui.widgets.text_style import formula_sizes
from studio.workspace import Workspace

if TYPE_CHECKING:
    from studio.helpers.pool import HelperPool
    from studio.jobs.service import Jobs

log = logging.getLogger(__name__)
SERVICES_AFTER_MS = 400  # the first trace is painted first
TURN = 0.001  # seconds a thread may compute while another wants to: what hears of an answer does not wait for paint


class Studio(QObject):
    """The running application: one workspace at a time with its window.

    Signals:
        uncaught(BaseException): from any thread, for the dialog.
    """

    uncaught = Signal(object)

    def __init__(self, app: QApplication, settings: Settings, helpers: HelperPool | None = None) -> None:
        super().__init__(app)
        self._helpers = helpers  # started before Qt was loaded, for the first workspace
        self.settings = settings
        self.theme = Theme(app, settings.theme, round(settings.scale * 100))
        self.window: MainWindow | None = None
        self.context: Context | None = None
        self._instance: SingleInstance | None = None
        self._collector: Collector | None = None
        self.uncaught.connect(self._on_uncaught)
        app.aboutToQuit.connect(self.close)

    def open(self, folder: Path, *, create: bool = False) -> bool:
        """Show a workspace; False when its window is open already and was raised.

        Raises WorkspaceError, StoreError, VersionError.
        """
        workspace = Workspace.open(folder, create=create)
        instance = SingleInstance(workspace.path, self)
        if not instance.acquire():
            workspace.close()
            instance.raise_other()
            return False
        context = Context(
            workspace,
            self.settings,
            this_annotator(workspace.database, self.settings),
            self.theme,
            make_jobs=partial(_make_jobs, workspace, self.settings),
            make_helpers=self._make_helpers,
        )
        window = MainWindow(context)
        self.close()
        self.context, self.window, self._instance = context, window, instance
        self._collector = Collector(self)
        instance.raised.connect(self._on_raised)
        window.workspaceAsked.connect(self._on_workspace_asked)
        window.show()
        QTimer.singleShot(SERVICES_AFTER_MS, window, self._settle)
        return True

    def _settle(self) -> None:
        """What can wait until the first trace is painted."""
        if self._collector is not None:
            self._collector.start()
        self._remember()
        if self.window is not None and self.context is not None:
            self.context.helpers.warm_up()
            self.window.start_services()

    def _remember(self) -> None:
        if self.window is not None:
            sizes = formula_sizes(self.theme, self.window.devicePixelRatioF())
            if sizes != self.settings.formula_sizes:
                self.settings.update(formula_sizes=sizes)
        if self.context is not None and self.settings.last_workspace != str(self.context.workspace.path):
            self.settings.update(last_workspace=str(self.context.workspace.path))
        if self.context is not None and self.settings.recent[:1] != [str(self.context.workspace.path)]:
            self.settings.remember(self.context.workspace.path)

    def fill_with_sample(self) -> None:
        """Put the sample projects into the open workspace, in a child process that the status bar shows."""
        from studio.ui.widgets.child_process import ChildProcess

        context = self.context
        assert context is not None, "a workspace is open"
        child = ChildProcess(["sample", "--workspace", str(context.workspace.path)], context)
        child.failed.connect(lambda text: context.fail(SteplensError(text)))
        child.ended.connect(context.background.poll)
        child.ended.connect(child.deleteLater)
        context.follow("Making the sample projects", child)
        child.start()

    @property
    def instance(self) -> SingleInstance | None:
        """The lock on the open workspace."""
        return self._instance

    def close(self) -> None:
        """Close the window and the workspace; what was queued is written first."""
        if self.window is None or self.context is None or self._instance is None:
            return
        self._remember()
        window, context, instance = self.window, self.context, self._instance
        self.window = self.context = self._instance = None
        window.close()
        window.deleteLater()
        context.close()
        context.workspace.close()
        instance.release()
        if self._collector is not None:
            self._collector.stop()
            self._collector.deleteLater()
            self._collector = None

    def _make_helpers(self) -> HelperPool:
        from studio.helpers.pool import HelperPool
        from studio.start import MATHS

        started, self._helpers = self._helpers, None
        return started or HelperPool(preload=MATHS)

    def _on_raised(self) -> None:
        if self.window is not None:
            self.window.setWindowState(self.window.windowState() & ~Qt.WindowState.WindowMinimized)
            self.window.raise_()
            self.window.activateWindow()

    def _on_workspace_asked(self, folder: str, create: bool) -> None:
        try:
            self.open(Path(folder), create=create)
        except SteplensError as error:
            self._on_uncaught(error)

    def _on_uncaught(self, error: BaseException) -> None:
        if self.context is not None:
            self.context.broke.emit(error)


def window(args: argparse.Namespace, helpers: HelperPool) -> int:
    """Open the window; returns the exit code. `helpers` have been started already."""
    import platformdirs

    app = application(sys.argv[:1])
    start_log(Path(platformdirs.user_log_dir("steplens", appauthor=False)))
    log_qt()
    settings = Settings.load()
    studio = Studio(app, settings, helpers)
    catch_all(studio.uncaught.emit)
    log.info("Steplens %s starts", __version__)
    known = args.workspace or (Path(settings.last_workspace) if settings.last_workspace else None)
    if known is None or (args.workspace is None and not (known / "workspace.toml").exists()):
        known = default_workspace()
    is_first = known == default_workspace() and not (known / "workspace.toml").exists()
    try:
        opened = studio.open(known, create=True)
    except SteplensError as error:
        if args.workspace is not None:
            raise
        log.exception("the last workspace cannot be opened")
        opened = studio.open(default_workspace(), create=True)
        studio.uncaught.emit(error)
    if not opened:
        return 0
    if is_first:
        studio.fill_with_sample()
    if args.report_first_paint and studio.window is not None:
        from studio.ui.first_paint import FirstPaint

        FirstPaint(studio.window)
    return app.exec()


def application(argv: Sequence[str]) -> QApplication:
    """The one QApplication with its names."""
    app = QApplication(list(argv))
    sys.setswitchinterval(TURN)
    app.setApplicationName("steplens")
    app.setApplicationDisplayName("Steplens")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("steplens")
    return app


def this_annotator(database: Database, settings: Settings) -> Annotator:
    """The person of the settings, made in this workspace when it does not know them."""
    with database.read() as c:
        for person in projects.annotators(c):
            if person.uid == settings.annotator_uid:
                return person
    name = settings.annotator_name or _login_name()
    uid = settings.annotator_uid or None
    person = database.run(lambda c: projects.ensure_annotator(c, name, uid=uid))
    if (settings.annotator_uid, settings.annotator_name) != (person.uid, person.name):
        settings.update(annotator_uid=person.uid, annotator_name=person.name)  # writing loads much: only when it must
    return person


def _login_name() -> str:
    """The user's name on this machine; a container may run us as a user whom it has no name for."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "Annotator"


def _make_jobs(workspace: Workspace, settings: Settings) -> Jobs:
    from studio.jobs.service import Jobs

    return Jobs(workspace, interpreter=settings.interpreter or None)
