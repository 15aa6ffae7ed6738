"""Backups of a live workspace database: made without holding anybody up, checked, rotated, put back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from studio.errors import StoreError, VersionError
from studio.store.database import Database
from studio.store.migrate import backup_file
from studio.store.schema import SCHEMA_REVISION

EVERY = timedelta(minutes=30)
RECENT, DAYS, WEEKS = 10, 14, 8  # kept: the newest, and the last of each of so many days and weeks
_STAMP = "%Y%m%dT%H%M%S%f"
_PREFIX = "workspace-"


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup file; `made_at` is UTC."""

    path: Path
    made_at: datetime
    size: int


def make(database: Database, folder: Path, *, stop: Callable[[], bool] | None = None) -> Backup:
    """Copy the database into the folder and rotate. Takes a while; run it in a thread or child.

    Raises StoreError, and CancelledError once `stop` says so.
    """
    size = database.path.stat().st_size
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size * 1.1 + (64 << 20):
        raise StoreError(
            f"{folder}: a backup needs {size >> 20} MiB and {free >> 20} MiB are free; make room on the disk"
        )
    moment = datetime.now(UTC)
    path = folder / f"{_PREFIX}{moment.strftime(_STAMP)}.db"
    try:
        backup_file(database.path, path, stop)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path}: the backup failed: {error}; earlier backups are as they were") from error
    rotate(folder)
    return Backup(path, moment, path.stat().st_size)


def all_backups(folder: Path) -> tuple[Backup, ...]:
    """The backups of a folder, newest first; files of other names are not looked at."""
    found = []
    for path in folder.glob(f"{_PREFIX}*.db"):
        try:
            moment = datetime.strptime(path.stem.removeprefix(_PREFIX), _STAMP).replace(tzinfo=UTC)
        except ValueError:  # a file that somebody else put here
            continue
        found.append(Backup(path, moment, path.stat().st_size))
    return tuple(sorted(found, key=lambda backup: backup.made_at, reverse=True))


def due(folder: Path) -> bool:
    """Whether the newest backup is older than EVERY, or there is none."""
    made = all_backups(folder)
    return not made or datetime.now(UTC) - made[0].made_at > EVERY


def rotate(folder: Path) -> tuple[Backup, ...]:
    """Delete backups that are neither among the newest nor the last of a recent day or week; returns the deleted."""
    made = all_backups(folder)
    kept = _kept(made)
    gone = tuple(backup for backup in made if backup not in kept)
    for backup in gone:
        backup.path.unlink(missing_ok=True)
    return gone


def quick_check(path: Path) -> tuple[str, ...]:
    """What is wrong with a database file, in SQLite's words; nothing when it is sound."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(20)")]
    except sqlite3.Error as error:
        return (str(error),)
    return () if found == ["ok"] else tuple(found)


def restore(database: Database, backup: Path, folder: Path) -> Backup:
    """Put a backup in the place of the workspace's content; the present content becomes a backup first, returned.

    Raises StoreError when the backup is damaged or no workspace, VersionError when a newer Steplens made it.
    """
    if wrong := quick_check(backup):
        raise StoreError(f"{backup} is damaged ({wrong[0]}); choose another backup")
    revision = _revision(backup)
    if revision > SCHEMA_REVISION:
        raise VersionError(f"{backup} was made by a newer Steplens (schema {revision}); update this program")
    present = make(database, folder)
    database.replace_from(backup)
    return present


def _revision(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        row = None
    if row is None:
        raise StoreError(f"{path} is no backup of a workspace; choose another file")
    return str(row[0])


def _kept(made: tuple[Backup, ...]) -> set[Backup]:
    """`made` is newest first, so that the first seen of a day or week is its last."""
    kept = set(made[:RECENT])
    days: dict[object, Backup] = {}
    weeks: dict[object, Backup] = {}
    for backup in made:
        days.setdefault(backup.made_at.date(), backup)
        weeks.setdefault(backup.made_at.isocalendar()[:2], backup)
    return kept | set(list(days.values())[:DAYS]) | set(list(weeks.values())[:WEEKS])
