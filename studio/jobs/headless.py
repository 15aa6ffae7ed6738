"""The verbs of runs without a window: run, runs, ingest. Same preparation, launcher and follower as the Train page."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from studio.errors import CancelledError, RunError
from studio.exchange.telling import CANCELLED, Stop, Teller, cancellable
from studio.jobs import export as exporting
from studio.jobs import grid, prepare, user_code
from studio.jobs import ingest as ingesting
from studio.jobs.follower import Follower
from studio.jobs.service import Jobs
from studio.jobs.steering import start_if_free
from studio.jobs.values import RunOrder, RunView
from studio.settings import Settings
from studio.store import runs as run_store
from studio.store.rows import Origin, Resolution, Selection
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.launch import Launch, Share
from trainer.contract.records import RunState
from trainer.contract.run_folder import RunFolder, all_events, last_attempt
from trainer.contract.spec import SpecError

POLL_SECONDS = 0.2
_LISTS = {"projects", "annotators", "origins", "traces"}
_SINGULAR = {"project": "projects", "annotator": "annotators", "origin": "origins", "trace": "traces"}
_RECIPES_OWN = {"labelled", "unrated", "responses", "problems"}  # follow from the recipe
_SHORT = {"drop": Resolution.DROP, "soft": Resolution.SOFT}


def run(args: argparse.Namespace) -> int:
    """Make a run and start it when its device is free; with --wait, 0 only if it finished and is in the store."""
    teller = Teller(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, cancellable() as stop:
            orders = _orders(args)
            if args.dry_run or len(orders) > 1:
                _tell_needs(workspace, orders, teller)
            made = [] if args.dry_run else _create(workspace, orders, guarded(teller, stop))
            for each in made:
                if not args.order and not args.wait:
                    start_if_free(workspace, each.id)
                if not args.wait:
                    teller.report(Queued(each.uid, each.id, each.name, each.rows))
            return max((wait(workspace, each.id, teller, stop) for each in made if args.wait), default=0)
    except SpecError as error:
        raise RunError(str(error)) from error
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED


def runs(args: argparse.Namespace) -> int:
    """List the runs, newest first, with their states as the folders show them now; or write their figures out."""
    if args.export is not None:
        return exporting.verb(args)
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
    teller = Teller(args.progress)
    try:
        with Workspace.open(args.workspace) as workspace, cancellable() as stop:
            done = ingesting.ingest(workspace, args.run, guarded(teller, stop))
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    teller.report(done)
    return 0


@dataclass(frozen=True, slots=True)
class Queued:
    """A run that was made."""

    run: str
    id: int
    name: str
    rows: int

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"queued {self.name!r} with {self.rows} rows, run {self.run}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What runs will take together; None = nobody can say."""

    runs: int
    rows: int
    seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    basis: str

    def sentences(self) -> Iterator[str]:
        """For a person."""
        time = "an unknown time" if self.seconds is None else f"about {self.seconds:,.0f} s"
        memory = "unknown" if self.memory_bytes is None else f"{self.memory_bytes / 2**20:,.0f} MiB"
        disk = "unknown" if self.disk_bytes is None else f"{self.disk_bytes / 2**20:,.0f} MiB"
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        yield f"{runs} on {self.rows:,} rows: {time} in all, memory {memory}, disk {disk}"
        yield self.basis


@dataclass(frozen=True, slots=True)
class Over:
    """A run that was waited for."""

    run: RunView

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.run.name!r} {self.run.state.value}, {self.run.records} records stored; run {self.run.uid}"
        if self.run.model_folder:
            yield f"model: {self.run.model_folder}"
        if self.run.message:
            yield self.run.message


def selection_of(settings: dict[str, str]) -> Selection:
    """Take the keys of a selection out of `settings`; lists are cut at commas. Raises RunError."""
    names = {field.name for field in fields(Selection)} - _RECIPES_OWN
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


def _create(workspace: Workspace, orders: Sequence[RunOrder], tell: Callable[[str, int, int], None]) -> list[StoredRun]:
    """Every run, or none: those that were made before one could not be are cancelled."""
    made: list[StoredRun] = []
    try:
        for order in orders:
            uid = prepare.create_run(workspace, order, tell)
            with workspace.database.read() as c:
                made.append(run_store.by_uid(c, uid))
    except BaseException:
        for each in made:
            workspace.database.run(lambda c, id=each.id: run_store.stop_waiting(c, id, StoredState.CANCELLED))  # type: ignore[misc]
        raise
    return made


def _tell_needs(workspace: Workspace, orders: Sequence[RunOrder], teller: Teller) -> None:
    """How many runs, and what all of them will take. Raises RunError when one cannot start."""
    found = grid.preview(workspace, orders)
    if found.problems:
        raise RunError(f"cannot start: {'; '.join(found.problems)}")
    needs = found.estimate
    teller.report(
        Needs(found.runs, found.counts.rows, needs.seconds, needs.memory_bytes, needs.disk_bytes, needs.basis)
    )


def _orders(args: argparse.Namespace) -> tuple[RunOrder, ...]:
    if args.order:
        return (msgspec.json.decode(sys.stdin.buffer.read(), type=RunOrder),)
    return tuple(
        _consenting(order) if args.trust_code else order
        for order in grid.points(_order(args), grid.axes_of(args.recipe, args.grid))
    )


def _consenting(order: RunOrder) -> RunOrder:
    return replace(order, consents=tuple(code.sha256 for code in user_code.codes_of(order)))


def _order(args: argparse.Namespace) -> RunOrder:
    settings: dict[str, str] = {}
    for each in args.settings:
        key, equals, value = each.partition("=")
        if not equals:
            raise RunError(f"--set {each}: write KEY=VALUE")
        settings[key.strip()] = value
    files = [*args.rows, *(Path(name) for name in settings.pop("rows", "").split(",") if name.strip())]
    if args.project:
        settings.setdefault("projects", args.project)
    selection = selection_of(settings)
    how = Launch(
        template=args.where, host=args.host, processes=args.processes, machines=args.machines, share=Share(args.share)
    )
    rows = tuple(str(path.expanduser().absolute()) for path in files)
    return RunOrder(args.recipe, dict(settings), selection, args.name, args.device, launch=how, rows=rows)


def wait(workspace: Workspace, run_id: int, teller: Teller, stop: Stop) -> int:
    """Stay until a run is over and in the store; returns the exit code. `stop` cancels the run."""
    jobs = Jobs(workspace, interpreter=Settings.load().interpreter or None)
    jobs.start()
    asked = False
    try:
        while True:
            time.sleep(POLL_SECONDS)
            if stop() and not asked:
                asked = True
                jobs.cancel(run_id)
            view = next((each for each in jobs.runs() if each.id == run_id), None)
            if view is None:
                continue
            teller(view.phase or view.state.value, view.done, view.total, view.message)
            if _is_over(view):
                with workspace.database.read() as c:
                    folder = RunFolder(workspace.path / run_store.get(c, run_id).folder)
                sys.stderr.write("".join(f"{line}\n" for line in warnings_of(folder)))
                return _last_word(view, teller, asked)
    finally:
        jobs.stop()


def warnings_of(folder: RunFolder) -> list[str]:
    """What the last attempt warned of: one line for each kind, the first of its kind, and how many more there are."""
    attempt = last_attempt(folder.events)
    first: dict[str, events.Notice] = {}
    count = Counter[str]()
    for event in all_events(folder.events):
        if isinstance(event, events.Notice) and event.level is not Level.INFO and event.attempt == attempt:
            first.setdefault(event.code, event)
            count[event.code] += 1
    more = {code: f" ({many - 1} more like this)" if many > 1 else "" for code, many in count.items()}
    return [f"{notice.level.value}: {notice.message}{more[code]}" for code, notice in first.items()]


def _is_over(view: RunView) -> bool:
    if view.state is RunState.PAUSED:
        return True
    return view.state.is_final and (view.ingested or "not in the store" in view.message)


def _last_word(view: RunView, teller: Teller, asked_to_stop: bool) -> int:
    teller.report(Over(view))
    if view.state is RunState.FINISHED and view.ingested:
        return 0
    if asked_to_stop and view.state is RunState.CANCELLED:
        return CANCELLED
    if view.state is not RunState.FINISHED:
        sys.stderr.write(f"steplens: run {view.uid} {view.state.value}: {view.message or 'see its worker.log'}\n")
    return 1


def _document(view: RunView) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(view)
    return document


def guarded(teller: Teller, stop: Stop) -> Callable[[str, int, int], None]:
    """Progress of a preparation, which a stop takes back: it raises CancelledError."""

    def tell(phase: str, done: int, total: int) -> None:
        if stop():
            raise CancelledError("cancelled; nothing was kept")
        teller(phase, done, total, "")

    return tell
