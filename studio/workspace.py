"""The folder a user opens: workspace.toml, workspace.db, runs/, models/, cache/, backups/."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import tomllib
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DatabaseError

from studio.domain import new_uid
from studio.errors import CancelledError, SteplensError, WorkspaceError
from studio.store.database import Database

log = logging.getLogger(__name__)
FORMAT = 1
LOOK_SECONDS = 60.0  # between two looks whether a backup is due; the first comes after the window is there
FOLDERS = ("runs", "models", "cache", "backups")


class Workspace:
    """An open workspace. Close it, or use it in a `with`; others may have the same folder open."""

    def __init__(self, path: Path, uid: str, name: str, database: Database) -> None:
        self.path, self.uid, self.name, self.database = path, uid, name, database
        self.runs, self.models, self.cache, self.backups = (path / folder for folder in FOLDERS)
        self._closing = threading.Event()
        self._cleaner: threading.Thread | None = None
        self._keeper: threading.Thread | None = None

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Workspace:
        """Open a folder, or make it. Raises WorkspaceError, StoreError and VersionError.

        What a killed import or ingest left is taken away in a thread of its own: nobody can see it meanwhile.
        """
        path = Path(path).expanduser().absolute()
        settings = path / "workspace.toml"
        if not settings.exists():
            if not create:
                raise WorkspaceError(f"{path} is not a workspace: it has no workspace.toml; make one, or open another")
            _make(path, settings)
        document = _read(settings)
        try:
            for folder in FOLDERS:
                (path / folder).mkdir(exist_ok=True)
        except OSError as error:
            raise WorkspaceError(f"{path}: {error.strerror}; choose a folder you may write to") from error
        database = Database.open(path / "workspace.db")
        workspace = cls(path, str(document["uid"]), str(document["name"]), database)
        workspace._clean()
        return workspace

    def close(self) -> None:
        """Finish queued writes and close the database."""
        self._closing.set()
        for thread in (self._cleaner, self._keeper):
            if thread is not None:
                thread.join()
        self.database.close()

    def keep_backed_up(self) -> None:
        """Make a backup whenever one is due, in a thread, as long as the workspace is open. For the window."""
        self._keeper = threading.Thread(target=self._back_up, name="store-backups", daemon=True)
        self._keeper.start()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _clean(self) -> None:
        from studio.store import batches

        if not batches.abandoned(self.database):
            return
        self._cleaner = threading.Thread(target=self._clean_now, name="store-cleaner", daemon=True)
        self._cleaner.start()

    def _clean_now(self) -> None:
        from studio.store import batches

        try:
            removed = batches.clean_abandoned(self.database, stop=self._closing.is_set)
        except (SteplensError, DatabaseError, sqlite3.Error, OSError) as error:  # a full disk, most of all
            said = "%s: what a killed import left could not be removed (%s); the next start tries again"
            log.warning(said, self.path, error)
            return
        log.info("%s: removed %d unfinished batch(es)", self.path, removed)

    def _back_up(self) -> None:
        from studio.store import backup

        while not self._closing.wait(LOOK_SECONDS):
            try:
                if backup.due(self.backups):
                    backup.make(self.database, self.backups, stop=self._closing.is_set)
            except CancelledError:  # the workspace closes; the next opening makes it
                return
            except (SteplensError, OSError):
                log.exception("%s: the backup failed; the next try is in %d s", self.path, LOOK_SECONDS)


def _make(path: Path, settings: Path) -> None:
    import tomli_w  # here, as most openings make nothing

    from trainer.contract.run_folder import write_atomic

    if path.exists() and not path.is_dir():
        raise WorkspaceError(f"{path} is a file; name a folder")
    document = {"format": FORMAT, "uid": new_uid(), "name": path.name or "workspace"}
    try:
        path.mkdir(parents=True, exist_ok=True)
        aside = path / f".workspace.{document['uid']}.tmp"
        write_atomic(aside, tomli_w.dumps(document).encode())
        try:
            os.link(aside, settings)
        except FileExistsError:  # somebody else made it in this moment: theirs stands
            log.info("%s was made by another process", settings)
        except OSError:  # a file system without links, such as exFAT
            aside.replace(settings)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{path}: {error.strerror}; choose a folder you may write to") from error


def _read(settings: Path) -> dict[str, Any]:
    """The document, checked. The key `postgresql` is reserved: the URL of a team's database."""
    try:
        document = tomllib.loads(settings.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WorkspaceError(f"{settings}: {error}; mend the file, or take it from a backup") from error
    for key in ("uid", "name"):
        if not isinstance(document.get(key), str):
            raise WorkspaceError(f"{settings}: the text {key!r} is missing; take the file from a backup")
    if document.get("format", FORMAT) > FORMAT:
        raise WorkspaceError(f"{settings} was written by a newer Steplens; update this program")
    if "postgresql" in document:
        raise WorkspaceError(f"{settings}: a PostgreSQL workspace cannot be opened by this version; remove the key")
    return document
