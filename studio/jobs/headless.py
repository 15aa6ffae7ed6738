"""The verbs of runs without a window: run, runs, ingest. Same preparation, launcher and follower as the Train page."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import msgspec

from studio.errors import CancelledError, RunError
from studio.jobs import ingest as ingesting
from studio.jobs import prepare
from studio.jobs.follower import Follower
from studio.jobs.scheduler import Scheduler
from studio.jobs.service import Jobs
from studio.jobs.values import RunOrder, RunView
from studio.settings import Settings
from studio.store import runs as run_store
from studio.store.rows import Origin, Resolution, Selection
from studio.workspace import Workspace
from trainer.contract.records import RunState
from trainer.contract.spec import SpecError

CANCELLED_CODE = 130
POLL_SECONDS = 0.2
_LISTS = {"projects", "annotators", "origins", "traces"}
_SINGULAR = {"project": "projects", "annotator": "annotators", "origin": "origins", "trace": "traces"}
_SHORT = {"drop": Resolution.DROP, "soft": Resolution.SOFT}


def run(args: argparse.Namespace) -> int:
    """Make a run and start it when its device is free; with --wait, 0 only if it finished and is in the store."""
    said = Says(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, _cancellable() as cancelled:
            uid = prepare.create_run(workspace, _order(args), _guarded(said, cancelled))
            with workspace.database.read() as c:
                made = run_store.by_uid(c, uid)
            if args.wait:
                return _wait(workspace, made.id, said, cancelled)
            if not args.order:
                _start_if_free(workspace, made.id)
            said.report({"run": uid, "id": made.id, "rows": made.rows}, f"queued {made.name!r}, run {uid}")
            return 0
    except SpecError as error:
        raise RunError(str(error)) from error
    except CancelledError:
        return CANCELLED_CODE


def runs(args: argparse.Namespace) -> int:
    """List the runs, newest first, with their states as the folders show them now."""
    with Workspace.open(args.workspace) as workspace:
        follower = Follower(workspace)
        follower.reload()
        follower.tick()
        found = [_document(view) for view in follower.views()]
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
        return 0
    for each in found:
        line = f"{each['uid'][:8]}  {each['state']:<12} {each['recipe']:<6} {each['device']:<7} {each['name']}"
        sys.stdout.write(f"{line}  {each['message']}".rstrip() + "\n")
    return 0


def ingest(args: argparse.Namespace) -> int:
    """Bring what a run made into the store, exactly once."""
    said = Says(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, _cancellable() as cancelled:
            done = ingesting.ingest(workspace, args.run, _guarded(said, cancelled))
    except CancelledError:
        return CANCELLED_CODE
    text = "another studio has done it" if done.elsewhere else f"{done.stored} records stored, {done.known} known"
    said.report(msgspec.to_builtins(done), text)
    return 0


class Says:
    """How a verb tells its progress: text to stderr, JSON lines to stdout, or nothing."""

    def __init__(self, how: str) -> None:
        self.how = how
        self._last = 0.0

    def progress(self, phase: str, done: int, total: int, text: str = "") -> None:
        """At most ten lines a second, and always the last of a phase."""
        moment = time.monotonic()
        if done < total and moment - self._last < 0.1:
            return
        self._last = moment
        if self.how == "json":
            line = msgspec.json.encode({"phase": phase, "done": done, "total": total, "text": text})
            sys.stdout.write(line.decode() + "\n")
            sys.stdout.flush()
        elif self.how == "text":
            sys.stderr.write(f"{phase} {done}/{total} {text}".rstrip() + "\n")

    def report(self, report: dict[str, Any], text: str) -> None:
        """The last word."""
        if self.how == "json":
            sys.stdout.write(msgspec.json.encode({"report": report}).decode() + "\n")
        elif self.how == "text":
            sys.stdout.write(text + "\n")
        sys.stdout.flush()


def selection_of(settings: dict[str, str]) -> Selection:
    """Take the keys of a selection out of `settings`; lists are cut at commas. Raises RunError."""
    names = {field.name for field in fields(Selection)} - {"labelled"}
    given: dict[str, Any] = {}
    for key in list(settings):
        name = _SINGULAR.get(key, key)
        if name in names:
            value: Any = settings.pop(key)
            if name in _LISTS:
                value = [part.strip() for part in value.split(",") if part.strip()]
            elif name == "resolution":
                value = _SHORT.get(value, value)
            given[name] = value
    try:
        return msgspec.convert(given, Selection, strict=False)
    except msgspec.ValidationError as error:
        choices = f"origins: {', '.join(Origin)}; resolution: drop, soft"
        raise RunError(f"{error}; {choices}") from None


def _order(args: argparse.Namespace) -> RunOrder:
    if args.order:
        return msgspec.json.decode(sys.stdin.buffer.read(), type=RunOrder)
    settings: dict[str, str] = {}
    for each in args.settings:
        key, equals, value = each.partition("=")
        if not equals:
            raise RunError(f"--set {each}: write KEY=VALUE")
        settings[key.strip()] = value
    if args.project:
        settings.setdefault("projects", args.project)
    selection = selection_of(settings)
    return RunOrder(args.recipe, dict(settings), selection, args.name, args.device)


def _start_if_free(workspace: Workspace, run_id: int) -> None:
    """One turn of the scheduler, so that a run starts without a window; a busy device starts it later."""
    follower = Follower(workspace)
    follower.reload()
    follower.tick()
    scheduler = Scheduler(workspace, follower, Settings.load().interpreter or sys.executable)
    scheduler.launch_next(only=run_id)
    scheduler.close()


def _wait(workspace: Workspace, run_id: int, said: Says, cancelled: threading.Event) -> int:
    jobs = Jobs(workspace, interpreter=Settings.load().interpreter or None)
    jobs.start()
    asked = False
    try:
        while True:
            time.sleep(POLL_SECONDS)
            if cancelled.is_set() and not asked:
                asked = True
                jobs.cancel(run_id)
            view = next((each for each in jobs.runs() if each.id == run_id), None)
            if view is None:
                continue
            said.progress(view.phase or view.state.value, view.done, max(view.total, view.done + 1), view.message)
            if _is_over(view):
                return _last_word(view, said, cancelled.is_set())
    finally:
        jobs.stop()


def _is_over(view: RunView) -> bool:
    if view.state is RunState.PAUSED:
        return True
    return view.state.is_final and (view.ingested or "not in the store" in view.message)


def _last_word(view: RunView, said: Says, cancelled: bool) -> int:
    text = f"{view.name!r} {view.state.value}, {view.records} records stored {view.message}".rstrip()
    said.report(_document(view), text)
    if view.state is not RunState.FINISHED:
        sys.stderr.write(f"steplens: run {view.uid} {view.state.value}: {view.message or 'see its worker.log'}\n")
    if cancelled and view.state is RunState.CANCELLED:
        return CANCELLED_CODE
    return 0 if view.state is RunState.FINISHED and view.ingested else 1


def _document(view: RunView) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(view)
    return document


def _guarded(said: Says, cancelled: threading.Event) -> Callable[[str, int, int], None]:
    def tell(phase: str, done: int, total: int) -> None:
        if cancelled.is_set():
            raise CancelledError("cancelled; nothing was kept")
        said.progress(phase, done, total)

    return tell


@contextmanager
def _cancellable(signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> Iterator[threading.Event]:
    """SIGTERM and Ctrl-C set the event instead of killing."""
    asked = threading.Event()
    before = {each: signal.signal(each, lambda _number, _frame: asked.set()) for each in signals}
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
