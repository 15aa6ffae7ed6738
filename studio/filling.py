"""The verbs that fill a workspace. The formulas of what a window will show first are drawn at their end."""

from __future__ import annotations

import argparse
import gc
import itertools
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from studio.domain import Project
from studio.exchange import file_records, transfer
from studio.exchange import sample as sample_
from studio.exchange.files import Piece, Result
from studio.exchange.telling import Progress, Stop
from studio.helpers.in_order import in_order
from studio.helpers.pool import HelperPool
from studio.render.ahead import draw_ahead
from studio.render.formula import Formula, Sized
from studio.render.needed import problem_formulas, step_formulas, title_formulas
from studio.settings import FormulaSizes, Settings
from studio.store import projects, queue, traces
from studio.store.traces import TraceQuery
from studio.workspace import Workspace

PIECES_ALONE = 4  # a file of so few is read before a helper has started
COLLECT_EVERY = 50_000  # objects
log = logging.getLogger(__name__)
FIRST_TRACES = 3  # of every queue, and of the list of all traces
FIRST_TITLES = 12  # of every list
MOST_PROJECTS = 4
MOST_FORMULAS = 1_000


def import_(args: argparse.Namespace) -> int:
    """`steplens import`; see `studio.exchange.transfer.import_`."""
    with _collecting_seldom():
        return transfer.import_(args, draw_first, read_in_helpers)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Millions of rows come and go without cycles; looking for some after every 700 objects costs a twentieth."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def sample(args: argparse.Namespace) -> int:
    """`steplens sample`; see `studio.exchange.sample.sample`."""
    return sample_.sample(args, draw_first)


def read_in_helpers(pieces: Iterator[Piece]) -> Iterator[list[Result]]:
    """Read the pieces of a large file in a process beside the one that stores; here while that process starts."""
    first = list(itertools.islice(pieces, PIECES_ALONE))
    yield from map(file_records.read_piece, first)
    following = next(pieces, None)
    if following is None:
        return
    rest = itertools.chain((following,), pieces)
    pool = HelperPool(1 if (os.cpu_count() or 1) < 4 else 2, preload=("studio.exchange.file_records",))
    try:
        ready = threading.Event()
        pool.submit("studio.exchange.file_records:nothing", None, lambda _: ready.set())
        for piece in rest:
            yield file_records.read_piece(piece)
            if ready.is_set():
                break
        yield from in_order(pool, "studio.exchange.file_records:read_piece", rest)
    finally:
        pool.close()


def draw_first(workspace: Workspace, progress: Progress, stop: Stop) -> None:
    """Draw what a window on this workspace shows first. Everything is stored already: Cancel and errors only end this.

    The count is bounded, so that it takes seconds at most, however much has come in.
    """
    try:
        settings = Settings.load()
        with workspace.database.read() as c:
            wanted = [each for each, _ in zip(first_formulas(c, settings), range(MOST_FORMULAS), strict=False)]
        helpers = HelperPool(1, at_once=False)
        try:
            draw_ahead(
                helpers,
                wanted,
                workspace.cache / "maths.db",
                progress=lambda done, total: progress("draw formulas", done, total, f"{done:,} of {total:,} formulas"),
                stop=stop,
            )
        finally:
            helpers.close()
    except Exception:
        log.exception("the first formulas could not be drawn; the window will draw them")


def first_formulas(c: Connection, settings: Settings) -> Iterator[Sized]:
    """The formulas, at the sizes the window uses, of the first traces of the queues and lists; soonest needed first."""
    known = [project for project in projects.all_projects(c) if project.traces]
    known.sort(key=lambda project: project.id != settings.last_project)  # the one that will be opened
    person = next((a.id for a in projects.annotators(c) if a.uid == settings.annotator_uid), 0)
    sizes = settings.formula_sizes
    seen: set[int] = set()
    for project in known[:MOST_PROJECTS]:
        yield from _of_traces(c, queue.upcoming(c, project.id, person, FIRST_TRACES), sizes, seen)
    for query in (TraceQuery(), *map(_list_of, known[:MOST_PROJECTS])):
        listed = traces.rows(c, query, limit=FIRST_TITLES)
        yield from _of_traces(c, [row.id for row in listed[:FIRST_TRACES]], sizes, seen)
        yield from _at(sizes.title, (formula for row in listed for formula in title_formulas(row.title)))


def _list_of(project: Project) -> TraceQuery:
    return TraceQuery(project=project.id)


def _of_traces(c: Connection, ids: Iterable[int], sizes: FormulaSizes, seen: set[int]) -> Iterator[Sized]:
    for trace in traces.load_many(c, [each for each in ids if each not in seen]):
        seen.add(trace.id)
        yield from _at(sizes.problem, problem_formulas(trace.problem))
        yield from _at(sizes.step, step_formulas(trace))


def _at(quarters: int, formulas: Iterable[Formula]) -> Iterator[Sized]:
    return (Sized(formula, quarters) for formula in formulas)
