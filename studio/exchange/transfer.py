"""The verbs import and export: for the window's child process and for the command line."""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.exc import DBAPIError

from studio.domain import Changes, Project, Topic, changed, new_uid
from studio.errors import CancelledError, ImportFormatError, NotFoundError, SteplensError, StoreError
from studio.exchange import exporter, foreign_export, trace_export
from studio.exchange.exporter import ExportQuery, Origin
from studio.exchange.files import Source, look, refuse_pipe
from studio.exchange.foreign import StepsBy
from studio.exchange.foreign_import import SUFFIXES, ForeignImporter, Spread, files_of, in_this_process
from studio.exchange.importer import Importer
from studio.exchange.prm800k import is_prm800k
from studio.exchange.report import ExportReport, ImportReport, OriginalReport, RowError
from studio.exchange.telling import CANCELLED, Progress, Stop, Teller, cancellable, never, quiet
from studio.store import projects
from studio.store import schema as s
from studio.store.database import Database
from studio.workspace import Workspace

ROWS_BETWEEN_PROGRESS = 200
Afterwards = Callable[[Workspace, Progress, Stop], None]  # what follows when everything is in


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rows go; without a database nothing is known and nothing can be stored."""

    database: Database | None
    project: Project


def import_files(
    workspace: Workspace | None,
    files: Sequence[Path],
    project_name: str = "",
    *,
    format: str = "auto",
    dry_run: bool = False,
    copy: bool = False,
    fields: tuple[str, ...] = (),
    steps: StepsBy = StepsBy.IDEAS,
    spread: Spread = in_this_process,
    progress: Progress = quiet,
    stop: Stop = never,
) -> ImportReport:
    """Bring files in; each file appears as a whole or not at all.

    PRM800K comes into a project, made if there is none; traces of other formats into the workspace, and into a project
    if one is named. `copy` keeps the bytes of these, `fields` says what their fields mean, `steps` how those are
    cut that have no steps of their own, `spread` who reads them.

    Without a workspace (dry run only) nothing is known already. Broken rows stand in the report, and so do files that
    cannot be read or are none, as long as another one can. Raises CancelledError, ConflictError, ImportFormatError.
    """
    began = time.perf_counter()
    known = _known(files, format, fields, steps)
    files = known.files
    name = project_name.strip() or (files[0].stem if known.plain else "")
    report = ImportReport(name, dry_run, [str(path) for path in files])
    for error in known.wrong:
        _leave_out(report, error)
    sizes = [path.stat().st_size for path in files]

    def removing(rows: int) -> None:  # whoever cancelled sees that something goes on, and does not kill it
        progress("clean up", 0, 0, f"{rows:,} rows removed")

    with _refusals_named(workspace), _place(workspace, name, make=not dry_run) as place:
        for at, path in enumerate(files):
            told = _told(progress, "check" if dry_run else "import", sum(sizes[:at]), sum(sizes), path)
            if path in known.plain:
                importer = Importer(place.database, place.project, report, progress=told, removing=removing, stop=stop)
                importer.run(path, dry_run=dry_run)
                continue
            database = None if dry_run else place.database
            project = place.project.id if name else None
            foreign = ForeignImporter(database, project, report, copy, spread, told, removing, stop)
            _bring(foreign, known, path)
    report.seconds = time.perf_counter() - began
    return report


@dataclass(frozen=True, slots=True)
class _Known:
    """The files that can be read: PRM800K, and others by what they are; what is wrong with those that cannot."""

    files: list[Path]
    plain: set[Path]
    sources: dict[Path, Source]
    wrong: list[ImportFormatError]


def _known(paths: Sequence[Path], format: str, fields: tuple[str, ...], steps: StepsBy) -> _Known:
    for path in paths:
        refuse_pipe(path)
    files = list(paths) if format == "prm800k" else files_of(paths)
    if not files:
        raise SteplensError(f"no files to import; a folder is searched for {', '.join(sorted(SUFFIXES))}")
    plain = {path for path in files if format == "prm800k" or (format == "auto" and is_prm800k(path))}
    sources, wrong = dict[Path, Source](), list[ImportFormatError]()
    for path in files:
        if path not in plain or not _is_utf8(path):
            plain.discard(path)
            try:
                if not _is_utf8(path):
                    name = str(path).encode("utf-8", "backslashreplace").decode()
                    raise ImportFormatError(name, 0, "its name is not UTF-8", "rename the file")
                source = look(path, fields)
                sources[path] = replace(source, told=replace(source.told, steps=steps))
            except ImportFormatError as error:
                wrong.append(error)
    readable = [path for path in files if path in plain or path in sources]
    if not readable:
        raise wrong[0] if len(files) == 1 else _none_of(len(files), wrong[0])
    return _Known(readable, plain, sources, wrong)


def _is_utf8(path: Path) -> bool:
    """Whether the name can be stored."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _bring(foreign: ForeignImporter, known: _Known, path: Path) -> None:
    """Import a file; one of several that turns out to be none is left out."""
    try:
        foreign.run(known.sources[path])
    except ImportFormatError as error:
        if len(known.files) + len(known.wrong) == 1:
            raise
        _leave_out(foreign.report, error)


def _none_of(files: int, first: ImportFormatError) -> ImportFormatError:
    what = f"{first.problem} (and none of the other {files - 1} files can be read either)"
    return ImportFormatError(first.path, first.line, what, first.remedy)


def _leave_out(report: ImportReport, error: ImportFormatError) -> None:
    """A whole file that is left out counts as one row."""
    report.rows += 1
    report.refuse(RowError(str(error.path), error.line, f"the file is left out: {error.problem}", error.remedy))


def _told(progress: Progress, phase: str, before: int, total: int, path: Path) -> Callable[[int, int], None]:
    return lambda bytes_read, rows: progress(phase, before + bytes_read, total, f"{path.name}: {rows:,} rows")


@contextmanager
def _refusals_named(workspace: Workspace | None) -> Iterator[None]:
    """What the database or the system refuses (a full disk, a lost file), said with its place."""
    try:
        yield
    except OSError as error:
        raise SteplensError(
            f"{error.filename or 'a file'}: {error.strerror}; check the path and your rights"
        ) from error
    except (sqlite3.Error, DBAPIError) as error:
        where = "" if workspace is None else f"{workspace.path}: "
        raise StoreError(f"{where}{error}; nothing half-imported can be seen; is there room on the disk?") from error


@contextmanager
def _place(workspace: Workspace | None, name: str, *, make: bool) -> Iterator[_Place]:
    """The project of this name. One that is made for an import which brings nothing goes again."""
    if workspace is None or not name:
        yield _Place(None if workspace is None else workspace.database, Project(0, new_uid(), name))
        return
    database = workspace.database
    with database.read() as c:
        found = projects.by_name(c, name)
    if found is not None or not make:
        yield _Place(database, found or Project(0, new_uid(), name))
        return
    made = database.run(lambda c: projects.create(c, name))
    database.publish(changed(Topic.PROJECTS))
    try:
        yield _Place(database, made)
    finally:
        database.run(lambda c: _drop_if_empty(c, made.id))


def _drop_if_empty(c: Connection, project_id: int) -> Changes:
    for table in (s.project_trace, s.annotation, s.batch):
        if c.scalar(select(func.count()).select_from(table).where(table.c.project_id == project_id)):
            return Changes()
    c.execute(delete(s.project).where(s.project.c.id == project_id))
    return changed(Topic.PROJECTS)


def export_file(
    workspace: Workspace, out: Path, query: ExportQuery, *, progress: Progress = quiet, stop: Stop = never
) -> ExportReport:
    """Write annotations as PRM800K JSONL; the file appears whole or not at all. Raises CancelledError."""
    began = time.perf_counter()
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    rows = 0
    try:
        with workspace.database.read() as c, aside.open("wb") as stream:
            total = exporter.count(c, query)
            every = exporter.count(c, replace(query, submitted=False))
            for line in exporter.encoded(c, query):
                stream.write(line)
                rows += 1
                if not rows % ROWS_BETWEEN_PROGRESS:
                    progress("export", rows, total, f"{rows:,} annotations")
                    if stop():
                        raise CancelledError(f"cancelled; {out} was not written")
            size = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(out)
    except OSError as error:
        raise SteplensError(f"{out}: {error.strerror}; choose a place you may write to, with enough room") from error
    finally:
        aside.unlink(missing_ok=True)
    return ExportReport(str(out), rows, size, time.perf_counter() - began, every - total)


def nothing(_workspace: Workspace, _progress: Progress, _stop: Stop) -> None:
    """Nothing follows."""


def import_(args: argparse.Namespace, afterwards: Afterwards = nothing, spread: Spread = in_this_process) -> int:
    """`steplens import`: exit code 0 when every row came in or was known, 1 with broken rows, 130 when cancelled."""
    teller = Teller(args.progress)
    nothing_there = args.dry_run and not (args.workspace / "workspace.toml").exists()
    try:
        with (
            cancellable() as stop,
            nullcontext() if nothing_there else Workspace.open(args.workspace, create=not args.dry_run) as workspace,
        ):
            report = import_files(
                workspace,
                args.files,
                args.project or "",
                format=args.format,
                dry_run=args.dry_run,
                copy=args.copy,
                fields=tuple(args.map),
                steps=StepsBy(args.steps),
                spread=spread,
                progress=teller,
                stop=stop,
            )
            if workspace is not None and not args.dry_run:
                afterwards(workspace, teller, stop)
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    teller.report(report)
    return 1 if report.broken else 0


def export(args: argparse.Namespace) -> int:
    """`steplens export`: exit code 0 when the file is written, 130 when cancelled."""
    teller = Teller(args.progress)
    try:
        with cancellable() as stop, Workspace.open(args.workspace) as workspace:
            if args.format == "original":
                return _export_original(workspace, args, teller)
            if args.format in trace_export.FORMS:
                return trace_export.verb(workspace, args, teller, stop)
            with workspace.database.read() as c:
                query = ExportQuery(
                    project=_project_id(c, args.project),
                    annotator=_annotator_id(c, args.annotator),
                    submitted=not args.unsubmitted,
                    source=Origin(args.source),
                )
            report = export_file(workspace, args.out, query, progress=teller, stop=stop)
    except CancelledError as error:
        teller.say(str(error))
        return CANCELLED
    teller.report(report)
    return 0


def _export_original(workspace: Workspace, args: argparse.Namespace, teller: Teller) -> int:
    if args.log is None:
        raise SteplensError("--format original needs --log FILE: an imported file, by path or name")
    teller.report(export_original(workspace, args.log, args.out, from_tables=args.from_tables))
    return 0


def export_original(workspace: Workspace, name: str, out: Path, *, from_tables: bool = False) -> OriginalReport:
    """Write an imported file as it was: byte by byte if its bytes are kept or still in place, else by value."""
    began = time.perf_counter()
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with workspace.database.read() as c, aside.open("wb") as stream:
            log = foreign_export.by_name(c, name)
            same = None if from_tables else foreign_export.raw(c, log)
            for data in same or foreign_export.rebuilt(c, log):
                stream.write(data)
            size = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(out)
    except OSError as error:
        raise SteplensError(f"{out}: {error.strerror}; choose a place you may write to, with enough room") from error
    finally:
        aside.unlink(missing_ok=True)
    why = "" if same is not None or from_tables else f"{log.path} is {log.standing(thorough=True)}"
    return OriginalReport(str(out), size, time.perf_counter() - began, same is not None, why)


def _project_id(c: Connection, name: str | None) -> int | None:
    if name is None:
        return None
    found = projects.by_name(c, name)
    if found is None:
        names = ", ".join(repr(project.name) for project in projects.all_projects(c))
        raise NotFoundError(f"there is no project {name!r}; there are: {names or 'none'}")
    return found.id


def _annotator_id(c: Connection, name: str | None) -> int | None:
    if name is None:
        return None
    found = [each for each in projects.annotators(c) if name in (each.uid, each.name)]
    if len(found) != 1:
        what = "no annotator" if not found else "more than one annotator"
        raise NotFoundError(f"there is {what} {name!r}; give the uid of one that has rated here")
    return found[0].id
