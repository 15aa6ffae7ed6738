"""Runs as the app sees them: order, follow, steer. No Qt; threads inside; a killed window never touches a worker.

Every reading method answers from memory and may be called on the GUI thread; `preview`, `create` and the steering
verbs touch disk and database and belong on a background thread.
"""

from __future__ import annotations

from collections.abc import Callable

from studio.jobs.values import Curve, Example, Preview, RunNotice, RunOrder, RunUpdate, RunView
from studio.workspace import Workspace

Listener = Callable[[RunUpdate], None]


class Jobs:
    """All runs of one workspace on this machine."""

    def __init__(self, workspace: Workspace, *, interpreter: str | None = None) -> None:
        self.workspace = workspace
        self.interpreter = interpreter

    def start(self) -> None:
        """Follow runs (10 Hz), schedule the queue of each device, adopt what a killed window left, ingest what ended."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop following; workers go on."""
        raise NotImplementedError

    def preview(self, order: RunOrder) -> Preview:
        """Count the rows and estimate the run. Raises SpecError, RunError. Background thread."""
        raise NotImplementedError

    def create(self, order: RunOrder, progress: Callable[[str, int, int], None] | None = None) -> RunView:
        """Freeze the rows and queue the run; `progress(phase, done, total)`. Raises RunError. Background thread."""
        raise NotImplementedError

    def cancel(self, run_id: int) -> None:
        """Ask the worker to stop for good (within 5 s). Asked again after 10 s, the process is killed."""
        raise NotImplementedError

    def pause(self, run_id: int) -> None:
        """Ask the worker to checkpoint, end and free the device (within 5 s)."""
        raise NotImplementedError

    def resume(self, run_id: int) -> None:
        """Queue it again, from its last checkpoint. Raises RunError while another writer may live."""
        raise NotImplementedError

    def run_now(self, run_id: int) -> None:
        """Put it first: what runs on its device is paused and resumed afterwards."""
        raise NotImplementedError

    def runs(self) -> tuple[RunView, ...]:
        """Every run, newest first."""
        raise NotImplementedError

    def view(self, run_id: int) -> RunView:
        """One run. Raises NotFoundError."""
        raise NotImplementedError

    def curves(self, run_id: int) -> dict[str, Curve]:
        """What is read so far, by name ("train/loss", "validation/auc"); an update follows when more is."""
        raise NotImplementedError

    def examples(self, run_id: int) -> tuple[Example, ...]:
        """The newest example of each row."""
        raise NotImplementedError

    def notices(self, run_id: int) -> tuple[RunNotice, ...]:
        """What the worker wanted people to know, oldest first."""
        raise NotImplementedError

    def log_tail(self, run_id: int, lines: int = 40) -> str:
        """The last lines of worker.log, at most 64 KiB."""
        raise NotImplementedError

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be told of changes, in the follower's thread; returns the way to stop."""
        raise NotImplementedError
