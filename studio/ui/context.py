"""What every page is given: the one place where the window's parts meet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from studio.domain import Annotator
from studio.settings import Settings
from studio.ui.actions import Actions, Page
from studio.ui.background import Background
from studio.ui.receiving import Receiving
from studio.ui.theme import Theme
from studio.workspace import Workspace

if TYPE_CHECKING:
    from studio.helpers.pool import HelperPool
    from studio.jobs.service import Jobs
    from studio.render.maths import MathsRenderer
    from studio.ui.train.packages import Packages
    from studio.ui.widgets.child_process import ChildProcess

log = logging.getLogger(__name__)


class Context(QObject):
    """Passed to every page; owns nothing that draws.

    `jobs`, `helpers` and `maths` are made when first asked for, so that the first trace is painted without them.

    Signals:
        said(str): a message for the status bar.
        broke(Exception): an error for the dialog with Copy.
        annotatorSwitched(Annotator): somebody else rates now.
        wanted(Page, int, int): show this trace (0 = none) at this step (-1 = where it was) on that page.
        filesGiven(tuple[str, ...]): files to import came by drag and drop.
        unsavedChanged(int): how many writes of a person have failed and are tried again.
        closing(): the window leaves; whoever asked a worker for something that nobody will see takes it back now.
        childStarted(str, ChildProcess): long work of the window began; the status bar shows it with Cancel.
    """

    said = Signal(str)
    broke = Signal(object)
    annotatorSwitched = Signal(object)
    wanted = Signal(object, int, int)
    filesGiven = Signal(object)
    unsavedChanged = Signal(int)
    childStarted = Signal(str, object)
    closing = Signal()

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings,
        annotator: Annotator,
        theme: Theme,
        *,
        make_jobs: Callable[[], Jobs],
        make_helpers: Callable[[], HelperPool],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.workspace = workspace
        self.settings = settings
        self.annotator = annotator
        self.theme = theme
        self.actions = Actions(settings.shortcuts, self)
        self.background = Background(workspace.database, self)
        self.background.failed.connect(self.fail)
        self.receiving = Receiving(workspace, settings, self)
        self._make_jobs, self._make_helpers = make_jobs, make_helpers
        self._jobs: Jobs | None = None
        self._helpers: HelperPool | None = None
        self._maths: MathsRenderer | None = None
        self._packages: Packages | None = None

    @property
    def jobs(self) -> Jobs:
        """Runs as the window sees them."""
        if self._jobs is None:
            self._jobs = self._make_jobs()
        return self._jobs

    @property
    def helpers(self) -> HelperPool:
        """Processes for heavy work."""
        if self._helpers is None:
            self._helpers = self._make_helpers()
        return self._helpers

    @property
    def maths(self) -> MathsRenderer:
        """LaTeX to pictures."""
        if self._maths is None:
            from studio.render.maths import MathsRenderer

            self._maths = MathsRenderer(self.helpers, self.workspace.cache / "maths.db", self)
        return self._maths

    @property
    def packages(self) -> Packages:
        """What runs need, and the job that installs it."""
        if self._packages is None:
            from studio.ui.train.packages import Packages

            self._packages = Packages(self)
        return self._packages

    def say(self, text: str) -> None:
        """Show a message in the status bar for a while."""
        self.said.emit(text)

    def fail(self, error: Exception) -> None:
        """Show an error with its details and Copy; the window goes on."""
        log.error("%s", error, exc_info=error)
        self.broke.emit(error)

    def open_trace(self, page: Page, trace_id: int, step: int = -1) -> None:
        """Show a trace on a page."""
        self.wanted.emit(page, trace_id, step)

    def show_page(self, page: Page) -> None:
        """Go to a page."""
        self.wanted.emit(page, 0, -1)

    def follow(self, name: str, child: ChildProcess) -> None:
        """Show a child's progress and a Cancel in the status bar until it ends."""
        self.childStarted.emit(name, child)

    def switch_annotator(self, annotator: Annotator) -> None:
        """From now on this person rates."""
        if annotator.id == self.annotator.id:
            return
        self.annotator = annotator
        self.settings.update(annotator_uid=annotator.uid, annotator_name=annotator.name)
        self.annotatorSwitched.emit(annotator)

    def close(self) -> None:
        """Stop following, rendering, receiving and delivering; workers of runs go on."""
        self.closing.emit()
        self.receiving.close()
        if self._packages is not None:
            self._packages.cancel()
        if self._jobs is not None:
            self._jobs.stop()
        if self._maths is not None:
            self._maths.close()
        if self._helpers is not None:
            self._helpers.close()
        self.background.close()
