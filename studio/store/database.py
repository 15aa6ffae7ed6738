"""The workspace database: opening, transactions, the writer thread and the broadcast of what changed.

SQLite: WAL, `synchronous=FULL`, `BEGIN IMMEDIATE`. Any number of processes of one machine may share the file.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from studio.domain import Changes, Topic
from studio.errors import StoreError, VersionError
from studio.store.schema import SCHEMA_REVISION

log = logging.getLogger(__name__)
T = TypeVar("T")
Verb = Callable[[Connection], T]
BUSY_MS = 20_000


class Database:
    """One open workspace database. `write` and `read` work in any thread; `submit` queues for the writer thread."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._listeners: list[Callable[[Changes], None]] = []
        self._jobs: queue.SimpleQueue[tuple[Verb[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()
        self._watch: Any = None
        self._seen_version = 0
        self.engine = create_engine(
            f"sqlite:///{self.path}",
            poolclass=QueuePool,
            pool_size=4,
            max_overflow=12,
            connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False},
        )
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open, or make, a database; migrates when needed. Raises StoreError and VersionError."""
        database = cls(path)
        try:
            database._make_current()
        except (OperationalError, DatabaseError) as error:
            database.close()
            raise StoreError(f"{path}: {error.orig}; is it a Steplens workspace, and is its disk writable?") from error
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on one consistent snapshot."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its beginning; commits at the end, rolls back on an error."""
        with self.engine.connect().execution_options(steplens_write=True) as connection, connection.begin():
            yield connection

    def run(self, verb: Verb[T]) -> T:
        """Run one writing verb here and now, commit, and tell the listeners if it returned Changes."""
        with self.write() as connection:
            result = verb(connection)
        self._tell(result)
        return result

    def submit(self, verb: Verb[T]) -> Future[T]:
        """Queue a writing verb for the writer thread; the future is done when its commit has returned."""
        future: Future[T] = Future()
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
                self._writer.start()
        self._jobs.put((verb, future))
        return future

    def subscribe(self, listener: Callable[[Changes], None]) -> Callable[[], None]:
        """Call `listener` after every commit of this process, in the thread that wrote; returns the way to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, changes: Changes) -> None:
        """Tell the listeners what changed."""
        for listener in list(self._listeners):
            listener(changes)

    def poll(self) -> bool:
        """Whether another process has committed since the last call; if so the listeners are told EVERYTHING."""
        if self._watch is None:
            self._watch = self.engine.raw_connection()
            self._seen_version = self._version()
            return False
        version = self._version()
        if version == self._seen_version:
            return False
        self._seen_version = version
        self.publish(Changes(frozenset({Topic.EVERYTHING})))
        return True

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join()
            self._writer = None
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        self.engine.dispose()

    def _version(self) -> int:
        cursor = self._watch.cursor()
        try:
            return int(cursor.execute("PRAGMA data_version").fetchone()[0])
        finally:
            cursor.close()

    def _tell(self, result: object) -> None:
        changes = result if isinstance(result, Changes) else getattr(result, "changes", None)
        if isinstance(changes, Changes):
            self.publish(changes)

    def _write_loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            verb, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                with self.write() as connection:
                    result = verb(connection)
            except BaseException as error:
                future.set_exception(error)
                continue
            future.set_result(result)
            try:
                self._tell(result)
            except Exception:
                log.exception("a listener failed after a commit")

    def _make_current(self) -> None:
        found = self._revision()
        if found == SCHEMA_REVISION:
            return
        if found is not None and found > SCHEMA_REVISION:
            raise VersionError(f"{self.path} was written by a newer Steplens (schema {found}); update this program")
        from studio.store import migrate  # alembic takes 0.4 s to import

        migrate.upgrade(self, found)

    def _revision(self) -> str | None:
        with self.read() as connection:
            known = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").first()
            if known is None:
                return None
            row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
            return None if row is None else str(row[0])


def _prepare(raw: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
    raw.isolation_level = None
    cursor = raw.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("steplens_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
