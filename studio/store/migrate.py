"""Bring a workspace database to the present schema: exclusive, after a backup when there is something to lose."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from studio.errors import CancelledError, StoreError
from studio.store.schema import SCHEMA_REVISION

if TYPE_CHECKING:
    from studio.store.database import Database

PIECE = 128  # pages of 4 KiB in one step of a copy
PIECE_AT_ONCE = 8_192  # while nobody else writes
PAUSE = 0.006  # seconds between two steps


def upgrade(database: Database, found: str | None) -> None:
    """Migrate from revision `found` (None: an empty file) to SCHEMA_REVISION in one exclusive transaction."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    if found is not None:
        kept = database.path.with_name(f"{database.path.name}.before-{SCHEMA_REVISION}")
        try:
            backup_file(database.path, kept, gently=False)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{database.path}: it is of schema {found}, and the copy that is made before it is brought to "
                f"{SCHEMA_REVISION} failed: {error}; make room on the disk, nothing was changed"
            ) from error
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    with database.write() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"fn": lambda revision, _: script._upgrade_revs("head", revision), "render_as_batch": True},
        )
        if context.get_current_revision() == SCHEMA_REVISION:  # another process was faster
            return
        with Operations.context(context):
            context.run_migrations()


def backup_file(source: Path, target: Path, stop: Callable[[], bool] | None = None, *, gently: bool = True) -> None:
    """Copy a live database consistently, without holding writers up; `target` appears whole or not at all.

    One read transaction spans the copy: without it SQLite's backup begins anew whenever another process commits. It
    goes in pieces with pauses, each piece on the disk before the next, so that a commit meanwhile need not wait for
    a flood of writing; not `gently` it goes as fast as it can. Raises CancelledError once `stop` says so.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    _clear(target.parent)
    aside.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(source, isolation_level=None)) as origin:
            origin.execute("BEGIN")
            origin.execute("SELECT 1 FROM sqlite_master").fetchall()
            _copy(origin, aside, stop or (lambda: False), gently=gently)
        aside.replace(target)
        flush(target.parent)
    finally:
        aside.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Remove what processes that were killed left of their copies."""
    import psutil

    for left in folder.glob(".*.db*.part"):
        pid = left.name.split(".")[-2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            left.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(origin: sqlite3.Connection, aside: Path, stop: Callable[[], bool], *, gently: bool) -> None:
    with closing(sqlite3.connect(aside, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode=OFF")  # nobody reads it before it is whole
        copy.execute("PRAGMA synchronous=OFF")

        def flushed(*_: int) -> None:
            if stop():
                raise CancelledError(f"the backup of {aside.parent} was stopped")
            if gently:
                flush(aside)
                time.sleep(PAUSE)

        origin.backup(copy, pages=PIECE if gently else PIECE_AT_ONCE, progress=flushed, sleep=PAUSE)
    flush(aside)
