"""The runs elsewhere of one workspace: a thread for each hands it over, fetches, asks after it, passes on control."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import msgspec

from studio.errors import NotFoundError, RunError
from studio.jobs import processes, remote, templates
from studio.jobs.follower import Follower
from studio.jobs.remote import Elsewhere, Phase, Remote
from studio.jobs.states import LOST_SECONDS, SILENT_SECONDS
from studio.settings import LaunchTemplate, Settings
from studio.store import holds, runs
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract import launch
from trainer.contract.run_folder import HEARTBEAT_SECONDS, Control, RunFolder, RunFolderError, host_name

log = logging.getLogger(__name__)
HOLD_SECONDS = 120.0
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 5.0


class Remotes:
    """The threads. `tick` and `begin` belong to the thread that starts runs; the rest may be called by any."""

    def __init__(self, workspace: Workspace, follower: Follower) -> None:
        self.workspace, self.follower = workspace, follower
        self._watches: dict[int, Watch] = {}

    def begin(self, run: StoredRun, attempt: int) -> None:
        """Hand over a run that was just claimed; its thread goes on from there."""
        folder = RunFolder(self.workspace.path / run.folder)
        how = launch.kept(folder.path)
        known = remote.read(folder.path)
        fresh = Remote(host=how.host or how.template, attempt=attempt, sender=processes.identity())
        remote.write(folder.path, fresh if known is None else _again(known, fresh))
        self._watch(run)

    def tick(self) -> None:
        """Adopt the runs elsewhere that a studio before this one left."""
        started = {run.id: run for run in self.follower.stored() if run.state is StoredState.STARTED}
        self._watches = {run_id: watch for run_id, watch in self._watches.items() if watch.is_alive()}
        for run in started.values():
            if run.host == host_name() and run.id not in self._watches and self._is_elsewhere(run):
                self._watch(run)

    def wait_handed_over(self, run_id: int) -> None:
        """Until this run is started there, or could not be."""
        watch = self._watches.get(run_id)
        if watch is not None:
            watch.handed_over.wait()

    def fetch(self, run_id: int) -> None:
        """Fetch, and ask the scheduler, now. Raises RunError with what went wrong."""
        watch = self._watches.get(run_id)
        if watch is None:
            raise RunError("this run is not elsewhere, or another studio follows it")
        watch.fetch_now()

    def stop_job(self, run_id: int) -> bool:
        """End its job at once, without a word of its worker; False when this studio does not follow it."""
        watch = self._watches.get(run_id)
        if watch is None:
            return False
        watch.insist()
        return True

    def close(self) -> None:
        """Leave the runs to themselves."""
        for watch in self._watches.values():
            watch.leave()
        for watch in self._watches.values():
            watch.join()

    def _is_elsewhere(self, run: StoredRun) -> bool:
        return (self.workspace.path / run.folder / remote.FILE).exists()

    def _watch(self, run: StoredRun) -> None:
        watch = Watch(self.workspace, self.follower, run)
        self._watches[run.id] = watch
        watch.start()


class Watch(threading.Thread):
    """One run elsewhere, from handing it over until all that it made is here."""

    def __init__(self, workspace: Workspace, follower: Follower, run: StoredRun) -> None:
        super().__init__(name=f"elsewhere {run.name}", daemon=True)
        self.handed_over = threading.Event()
        self._workspace, self._follower, self._run_id = workspace, follower, run.id
        self._folder = RunFolder(workspace.path / run.folder)
        self._title = run.name
        self._uid = run.uid
        self._leave, self._insisted = threading.Event(), threading.Event()
        self._turn = threading.Lock()  # one conversation with the other side at a time
        self._passed_on: Control | None = None
        self._due = 0.0
        self._ours_until = 0.0

    def run(self) -> None:
        """Whatever goes wrong is told with the run and tried again; a person can always cancel."""
        try:
            while not self._leave.wait(LOOK_SECONDS) and self._is_started():
                if self._is_ours() and not self._turn_of(remote.read(self._folder.path)):
                    return
        except Exception as error:
            log.exception("run %s elsewhere", self._title)
            self._follower.remark(self._run_id, f"following it elsewhere failed: {error}; see the log")
            self._leave.wait(AGAIN_SECONDS)
        finally:
            self.handed_over.set()
            self._release()

    def _turn_of(self, known: Remote | None) -> bool:
        """What there is to do now; False when there is nothing any more."""
        if known is None:
            return False
        if known.phase is Phase.SENDING:
            self._hand_over(known)
        elif known.phase is Phase.STARTED:
            self.handed_over.set()
            if known.job:
                self._follow(known)
            else:
                self._find_job(known)
        return True

    def leave(self) -> None:
        """End the thread soon; the run goes on."""
        self._leave.set()

    def insist(self) -> None:
        """End the job at once."""
        self._insisted.set()

    def fetch_now(self) -> None:
        """One conversation, whenever the next was due. Raises RunError."""
        known = remote.read(self._folder.path)
        if known is not None and known.phase is Phase.STARTED:
            self._converse(known, ask_scheduler=True)
            after = remote.read(self._folder.path)
            if after is not None and after.problem:
                raise RunError(after.problem)

    def _place(self) -> tuple[Elsewhere, LaunchTemplate]:
        how = launch.kept(self._folder.path)
        template = templates.find(Settings.load(), how)
        device = self._folder.read_spec().device
        name = f"steplens-{self._uid[:8]}-{self._tries()}"  # of one try: a worker that never began counts none
        cache = self._workspace.cache
        cache.mkdir(parents=True, exist_ok=True)
        return Elsewhere(self._folder, self._uid, name, template, how, device, cache, self._is_broken_off), template

    def _is_broken_off(self) -> bool:
        """While it is handed over, cancel and pause break that off."""
        known = remote.read(self._folder.path)
        sending = known is not None and known.phase is Phase.SENDING
        return self._leave.is_set() or (sending and self._folder.asked() is not None)

    def _hand_over(self, known: Remote) -> None:
        """Send and start, or settle the run with why that was not possible."""
        if known.sender != processes.identity():
            return  # another process does, or died at it: the run's state tells
        try:
            place, template = self._place()
            if known.run_dir and templates.copies(template):
                place.fetch(known.run_dir)  # what an earlier attempt wrote there and nobody has brought yet
            self._note(known, host=template.host or place.how.template)
            run_dir = place.hand_over(self._tell_doing)
            if self._is_broken_off():
                raise RunError("broken off before it was started")
        except (RunError, RunFolderError, OSError) as error:
            self._settle_unsent(str(error))
            return
        known = remote.read(self._folder.path) or known
        try:
            self._note_started(known, run_dir, place.start(run_dir))
        except RunError as error:  # it may have started all the same: see `_find_job`
            self._note(known, phase=Phase.STARTED, run_dir=run_dir, job="", doing="", problem=str(error))

    def _note_started(self, known: Remote, run_dir: str, job: str) -> None:
        now = time.time()
        self._note(
            known, phase=Phase.STARTED, run_dir=run_dir, job=job, doing="", heard_at=now, state_at=0.0, problem=""
        )
        self._due = time.monotonic() + 1.0

    def _find_job(self, known: Remote) -> None:
        """Ask what became of a start that was not answered, until that is: a job that nobody knows must not go on."""
        try:
            place, asked = self._place()[0], self._folder.asked()
            if asked is not None:
                place.ask(known.run_dir, asked)
            job = place.started(known.run_dir)
        except (RunError, RunFolderError, OSError) as error:
            unknown = f"whether its job has begun on {known.host} is not known: {error}"
            if self._insisted.is_set():
                self._settle_unsent(known.problem, f"{unknown}; look there")
            else:
                self._note(known, doing=unknown)
                self._leave.wait(LOOK_SECONDS * 4)
            return
        if job is None:
            self._settle_unsent(known.problem)
        else:
            self._note_started(known, known.run_dir, job)

    def _tell_doing(self, text: str) -> None:
        known = remote.read(self._folder.path)
        if known is not None:
            self._note(known, doing=text)

    def _settle_unsent(self, why: str, if_asked: str = "before it was started") -> None:
        asked = self._folder.asked()
        state = {Control.CANCEL: StoredState.CANCELLED, Control.PAUSE: StoredState.PAUSED}
        after = StoredState.FAILED if asked is None else state[asked]
        message = why if asked is None else if_asked
        if self._leave.is_set() and asked is None:
            message = "handing it over was broken off; resume it"
        tries = self._tries()
        self._workspace.database.run(lambda c: runs.settle(c, self._run_id, tries, after, message=message))
        (self._folder.path / remote.FILE).unlink(missing_ok=True)
        self._follower.reload()

    def _tries(self) -> int:
        with self._workspace.database.read() as c:
            return runs.get(c, self._run_id).attempts

    def _follow(self, known: Remote) -> None:
        asked = self._folder.asked()
        if asked is not self._passed_on or self._insisted.is_set():
            self._steer(known, asked)
        if time.monotonic() >= self._due:
            self._converse(known, ask_scheduler=self._is_quiet(known))

    def _steer(self, known: Remote, asked: Control | None) -> None:
        """Pass on what is asked; a job that has not begun, or does not listen, is taken from its scheduler."""
        with self._turn:
            try:
                place, _ = self._place()
                if asked is not None:
                    place.ask(known.run_dir, asked)
                    place.fetch(known.run_dir)
                if self._insisted.is_set() or (asked is not None and not self._has_begun(known)):
                    place.stop(known.run_dir, known.job)
                    self._insisted.clear()
                self._passed_on, self._due = asked, 0.0
            except RunError as error:
                self._note(known, problem=str(error))
                self._leave.wait(LOOK_SECONDS * 4)

    def _converse(self, known: Remote, *, ask_scheduler: bool) -> None:
        """Fetch; when it is quiet, ask the scheduler; when all is over, fetch once more, for the last of it."""
        with self._turn:
            known = remote.read(self._folder.path) or known
            if known.phase is not Phase.STARTED:
                return
            try:
                place, template = self._place()
                self._due = time.monotonic() + (min(template.every, 2.0) if self._passed_on else template.every)
                ended = remote.has_last_word(self._folder, known.attempt)
                place.fetch(known.run_dir)
                known = self._heard(known)
                if ask_scheduler and not ended:
                    said = place.state(known.run_dir, known.job)
                    known = self._note(known, state=said, state_at=time.time())
                    if templates.is_over(said):
                        place.fetch(known.run_dir)
                        ended = True
                if ended:
                    self._note(known, phase=Phase.FETCHED)
                elif remote.has_last_word(self._folder, known.attempt):
                    self._due = 0.0  # it may have written after that fetch had begun
            except (RunError, RunFolderError, OSError) as error:
                self._note(known, problem=str(error))

    def _heard(self, known: Remote) -> Remote:
        """After a fetch: a heartbeat that has moved there is a sign of life here, whatever the clock there says."""
        beat, now = self._folder.last_beat() or 0.0, time.time()
        moved = beat != known.beat and self._has_begun(known)
        return self._note(known, fetched_at=now, beat=beat, heard_at=now if moved else known.heard_at, problem="")

    def _has_begun(self, known: Remote) -> bool:
        process = self._folder.read_process()
        return process is not None and process.pid != 0 and process.attempt >= known.attempt

    def _is_quiet(self, known: Remote) -> bool:
        """Whether only the scheduler can tell what it does; asked seldom while nothing changes."""
        now = time.time()
        quiet = now - known.heard_at > SILENT_SECONDS or not self._has_begun(known)
        pressing = self._folder.asked() is not None and now - known.heard_at > 2 * HEARTBEAT_SECONDS
        return pressing or (quiet and now - known.state_at > min(LOST_SECONDS / 4, 15.0)) or bool(self._passed_on)

    def _is_started(self) -> bool:
        with self._workspace.database.read() as c:
            try:
                return runs.get(c, self._run_id).state is StoredState.STARTED
            except NotFoundError:
                return False

    def _note(self, known: Remote, **changes: Any) -> Remote:  # noqa: ANN401 - fields of Remote
        after: Remote = msgspec.structs.replace(known, **changes)
        remote.write(self._folder.path, after)
        return after

    def _is_ours(self) -> bool:
        """Of several studios one converses with the other side."""
        if time.monotonic() < self._ours_until:
            return True
        name, me = f"elsewhere:{self._uid}", processes.identity()
        ours = self._workspace.database.run(
            lambda c: holds.take(c, name, me, seconds=HOLD_SECONDS, gone=processes.surely_dead)
        )
        self._ours_until = time.monotonic() + HOLD_SECONDS / 4 if ours else 0.0
        return ours

    def _release(self) -> None:
        name, me = f"elsewhere:{self._uid}", processes.identity()
        self._workspace.database.run(lambda c: holds.release(c, name, me))


def _again(known: Remote, fresh: Remote) -> Remote:
    """A resume: where the folder lies there, when it goes to the same host."""
    return msgspec.structs.replace(fresh, run_dir=known.run_dir if known.host == fresh.host else "")
