"""What happens by itself: the next run of each device is started, and what ended is ingested."""

from __future__ import annotations

import logging
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO

from studio.errors import RunError
from studio.jobs import children, launcher
from studio.jobs.follower import Follower
from studio.jobs.remotes import Remotes
from studio.store import runs
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract import launch
from trainer.contract.run_folder import RunFolderError, host_name

log = logging.getLogger(__name__)


def next_of_each_device(stored: tuple[StoredRun, ...], host: str) -> tuple[StoredRun, ...]:
    """The first queued run of every device of this host on which nothing is started."""
    mine = [run for run in stored if run.host == host]
    busy = {run.device for run in mine if run.state is StoredState.STARTED}
    first: dict[str, StoredRun] = {}
    for run in sorted(mine, key=lambda run: (run.place, run.id)):
        if run.state is StoredState.QUEUED and run.device not in busy:
            first.setdefault(run.device, run)
    return tuple(first.values())


@dataclass(frozen=True, slots=True)
class _Ingesting:
    run: StoredRun
    child: subprocess.Popen[bytes]
    errors: IO[bytes]


class Scheduler:
    """Acts on what the follower has read; `tick` belongs to the follower's thread."""

    def __init__(self, workspace: Workspace, follower: Follower, interpreter: str) -> None:
        self.workspace, self.follower, self.interpreter = workspace, follower, interpreter
        self.remotes = Remotes(workspace, follower)
        self._ingesting: _Ingesting | None = None
        self._given_up: set[tuple[int, int]] = set()  # (run, attempt) whose ingest failed in this session

    def close(self) -> None:
        """An ingest that goes on is left to itself: it needs nobody; so are the runs elsewhere."""
        self.remotes.close()
        if self._ingesting is not None:
            if self._ingesting.child.poll() is None:
                self._ingesting.child.returncode = 0  # nobody will wait for it; its object is told so
            self._ingesting.errors.close()
            self._ingesting = None

    def tick(self) -> None:
        """Start, ingest; whatever changed the table, the follower reads it again."""
        self.remotes.tick()
        acted = [self.launch_next(), self._ingest()]
        if any(acted):
            self.follower.reload()

    def launch_next(self, only: int | None = None) -> bool:
        """Start the first queued run of every free device, or `only` this one if it is one of them."""
        ready = next_of_each_device(self.follower.stored(), host_name())
        return any([self._launch(run) for run in ready if only in (None, run.id)])

    def _launch(self, run: StoredRun) -> bool:
        try:
            if launch.kept(self.workspace.path / run.folder).is_elsewhere:
                return self._hand_over(run)
            launched = launcher.launch(self.workspace, run, self.interpreter)
        except (RunError, RunFolderError) as error:
            message = str(error)
            log.warning("%s", message)
            self.workspace.database.run(lambda c: runs.refuse(c, run.id, message))
            return True
        if launched is not None:
            self.follower.adopt(launched)
        return launched is not None

    def _hand_over(self, run: StoredRun) -> bool:
        attempt = launcher.claim_elsewhere(self.workspace, run)
        if attempt is not None:
            self.remotes.begin(run, attempt)
        return attempt is not None

    def _ingest(self) -> bool:
        """One ingest at a time, each in a child process."""
        if self._ingesting is not None:
            if self._ingesting.child.poll() is None:
                return False
            self._collect(self._ingesting)
            self._ingesting = None
            return True
        for run in reversed(self.follower.stored()):
            if run.needs_ingest and run.host == host_name() and (run.id, run.attempts) not in self._given_up:
                self._start_ingest(run)
                break
        return False

    def _start_ingest(self, run: StoredRun) -> None:
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child is collected
        arguments = ("ingest", run.uid, "--workspace", str(self.workspace.path), "--progress", "none")
        child = subprocess.Popen(
            children.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=children.environment(),
        )
        self._ingesting = _Ingesting(run, child, errors)

    def _collect(self, done: _Ingesting) -> None:
        with done.errors as errors:
            errors.seek(0)
            text = errors.read().decode("utf-8", "replace").strip()
        if done.child.returncode != 0:
            log.warning("ingest of run %s left with %s: %s", done.run.uid, done.child.returncode, text)
            self._given_up.add((done.run.id, done.run.attempts))
            why = text.rpartition("steplens: ")[2] or f"its ingest left with code {done.child.returncode}"
            self.follower.remark(done.run.id, f"what it made is not in the store: {why}")
