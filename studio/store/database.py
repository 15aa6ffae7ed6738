"""The workspace database: opening, transactions, the writer thread and the broadcast of what changed.

SQLite: WAL, `synchronous=FULL`, `BEGIN IMMEDIATE`. Any number of processes of one machine may share the file.
A person's write (`write`, `run`, `submit`) polls finely for the write lock and says so by a shared lock on the file
`<database>-turn`; a bulk write (`bulk`, `write_in_slices`) is short and steps back between transactions while somebody
waits. That file grows by a byte with every commit, so that others notice. Checkpoints run beside the writer thread,
never inside a person's commit.
"""

from __future__ import annotations

import fcntl
import itertools
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
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
POLL_SECONDS = 0.0005
SLICE_SECONDS = 0.0015  # work of a bulk transaction before its commit; with the commit it stays under 20 ms
SHARE_OF_WALL = (
    0.4  # of a slice's own time that counts as work at least: on a busy machine the rest is waiting for a core
)
STEP_BACK_SECONDS = 0.1  # longest that a bulk write stands aside for people before it goes on
COMMITS_BETWEEN_CHECKPOINTS = 100
SLICES_BETWEEN_CHECKPOINTS = 12
CHECKPOINT_PASSES = 4


class Database:
    """One open workspace database. `write` and `read` work in any thread; `submit` queues for the writer thread."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._listeners: list[Callable[[Changes], None]] = []
        self._jobs: queue.SimpleQueue[tuple[Verb[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()
        self._turn = self.path.with_name(f"{self.path.name}-turn")  # grows by a byte with every commit: see `poll`
        self._told = 0
        self._commits = 0
        self._slices = 0
        self._checkpointer: threading.Thread | None = None
        self._flusher: threading.Thread | None = None
        self._unflushed = threading.Event()
        self._closing = False
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
            with database._open_turn() as turn:
                database._told = os.fstat(turn).st_size
        except (OperationalError, DatabaseError) as error:
            database.close()
            raise StoreError(
                f"{path}: {error.orig}; is it a Steplens workspace, and is its disk writable and not full?"
            ) from error
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on one consistent snapshot."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A person's transaction: has the write lock from its beginning; commits, or rolls back on an error."""
        with self._open_turn() as turn:
            fcntl.flock(turn, fcntl.LOCK_SH)
            with self.engine.connect().execution_options(steplens_write=True) as connection, connection.begin():
                yield connection
            self._notice(turn)
        self._count_commit()

    @contextmanager
    def bulk(self, *, checked: bool = True, checkpoint_after: int = SLICES_BETWEEN_CHECKPOINTS) -> Iterator[Connection]:
        """A machine's transaction: as `write`, but first stands aside while a person waits. Keep it under 20 ms.

        Its commit does not wait for the disk: a power cut can lose the last of an unpublished batch, which is removed
        anyway, but never a part of a transaction; the next `write`, such as the one that publishes, waits for all.
        With `checked` False foreign keys are not checked: for writers whose order makes them true, and faster.
        """
        with self._open_turn() as turn:
            _step_back(turn)
            options = {"steplens_write": True, "steplens_turn": turn}
            with self.engine.connect().execution_options(**options) as connection:
                _set(connection, foreign_keys="ON" if checked else "OFF", synchronous="NORMAL")
                try:
                    with connection.begin():
                        yield connection
                finally:
                    _set(connection, foreign_keys="ON", synchronous="FULL")
            self._notice(turn)
        self._flush_soon()
        self._slices += 1
        if self._slices % checkpoint_after == 0:
            self.checkpoint()

    def write_in_slices(
        self,
        items: Iterable[T],
        store: Callable[[Connection, Sequence[T]], object],
        *,
        checked: bool = True,
        stop: Callable[[], bool] | None = None,
        stored: Callable[[int], None] | None = None,
        work: float = SLICE_SECONDS,
        checkpoint_after: int = SLICES_BETWEEN_CHECKPOINTS,
    ) -> int:
        """Store many items in short bulk transactions, as many in one as time allows; returns how many were stored.

        `stop` is asked before every slice, `stored` told the sum after every commit. Items of finished slices stay.
        `work` is how many seconds a slice aims at before its commit: more for large items that are dear to index;
        `checkpoint_after` so many slices the log is moved into the file.
        """
        source, size, total = iter(items), 4, 0
        while not (stop is not None and stop()) and (piece := list(itertools.islice(source, size))):
            with self.bulk(checked=checked, checkpoint_after=checkpoint_after) as connection:
                began, used = time.perf_counter(), time.thread_time()
                store(connection, piece)
                spent = max(time.thread_time() - used, SHARE_OF_WALL * (time.perf_counter() - began))
            total += len(piece)
            if stored is not None:
                stored(total)
            size = max(1, min(size * 2, int(len(piece) * work / max(spent, 1e-6)), 8192))
        return total

    def replace_from(self, source: Path) -> None:
        """Put the content of another database file in the place of this one, in one transaction; all are told.

        For restoring alone: what is open elsewhere sees the other content at its next look. Raises StoreError.
        """
        with self._open_turn() as turn:
            fcntl.flock(turn, fcntl.LOCK_SH)
            try:
                with closing(sqlite3.connect(source)) as origin, closing(sqlite3.connect(self.path)) as live:
                    live.execute(f"PRAGMA busy_timeout={BUSY_MS}")
                    origin.backup(live)
            except sqlite3.Error as error:
                raise StoreError(f"{source} could not be restored: {error}; the workspace is as it was") from error
            self._notice(turn)
        self._make_current()
        self.checkpoint()
        self.publish(Changes(frozenset({Topic.EVERYTHING})))

    def checkpoint(self) -> None:
        """Move what is committed from the log into the database file, as far as readers allow; holds nobody up.

        What was committed meanwhile is moved by another, shorter pass: once all is moved the next commit begins the
        log anew, over blocks that the file has already, and that costs a fraction of making it longer.
        """
        raw = self.engine.raw_connection()
        try:
            for _ in range(CHECKPOINT_PASSES):
                _, logged, moved = raw.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if moved >= logged:
                    break
        finally:
            raw.close()

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
        with self._lock:
            size = self._turn.stat().st_size
            foreign = size != self._told
            self._told = size
        if foreign:
            self.publish(Changes(frozenset({Topic.EVERYTHING})))
        return foreign

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join()
            self._writer = None
        if self._checkpointer is not None:
            self._checkpointer.join()
        if self._flusher is not None:
            self._closing = True
            self._unflushed.set()
            self._flusher.join()
            self._flusher, self._closing = None, False
        self.engine.dispose()

    @contextmanager
    def _open_turn(self) -> Iterator[int]:
        turn = os.open(self._turn, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            yield turn
        finally:
            os.close(turn)  # and with it the lock

    def _notice(self, turn: int) -> None:
        """Leave the mark of a commit for the other processes."""
        with self._lock:
            os.write(turn, b".")
            self._told += 1

    def _flush_soon(self) -> None:
        """Bring a bulk commit to the disk beside the work, or a person's next commit would have to wait for it."""
        self._unflushed.set()
        with self._lock:
            if self._flusher is None:
                self._flusher = threading.Thread(target=self._flush_loop, name="store-flusher", daemon=True)
                self._flusher.start()

    def _flush_loop(self) -> None:
        wal = self.path.with_name(f"{self.path.name}-wal")
        while self._unflushed.wait() and not self._closing:
            self._unflushed.clear()
            try:
                descriptor = os.open(wal, os.O_RDONLY)  # SQLite holds no lock on this file that closing could end
            except FileNotFoundError:  # the last connection was closed, which brings all to the disk
                continue
            try:
                os.fdatasync(descriptor)
            except OSError:
                log.exception("%s: could not be brought to the disk; the next commit tries again", wal)
            finally:
                os.close(descriptor)

    def _count_commit(self) -> None:
        with self._lock:
            self._commits += 1
            if self._commits % COMMITS_BETWEEN_CHECKPOINTS or (self._checkpointer and self._checkpointer.is_alive()):
                return
            self._checkpointer = threading.Thread(target=self._checkpoint_now, name="store-checkpoint", daemon=True)
            self._checkpointer.start()

    def _checkpoint_now(self) -> None:
        try:
            self.checkpoint()
        except (DatabaseError, sqlite3.Error):
            log.exception("%s: a checkpoint failed; the log grows until the next one", self.path)

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


def _step_back(turn: int) -> None:
    """Wait while a person holds or wants the write lock, but not for ever."""
    until = time.monotonic() + STEP_BACK_SECONDS
    while time.monotonic() < until:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
        else:
            fcntl.flock(turn, fcntl.LOCK_UN)
            return


def _prepare(raw: sqlite3.Connection, _record: object) -> None:
    raw.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_MS}",  # first: the others may meet a lock
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "wal_autocheckpoint=0",  # see `checkpoint`
    ):
        raw.execute(f"PRAGMA {pragma}").close()


def _set(connection: Connection, **pragmas: str) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    for name, value in pragmas.items():
        raw.execute(f"PRAGMA {name}={value}")


def _begin(connection: Connection) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    if not connection.get_execution_options().get("steplens_write", False):
        raw.execute("BEGIN")
        return
    turn = connection.get_execution_options().get("steplens_turn")
    until = time.monotonic() + BUSY_MS / 1000
    raw.execute("PRAGMA busy_timeout=0")  # SQLite's own waiting sleeps up to 100 ms between two tries
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise
                if time.monotonic() > until:
                    raise StoreError(
                        f"another process has been writing for {BUSY_MS / 1000:.0f} s; try again"
                    ) from error
                time.sleep(POLL_SECONDS)
                if turn is not None:  # a person who came meanwhile goes first, also before the second of two machines
                    _step_back(turn)
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_MS}")
