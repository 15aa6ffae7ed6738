"""The cache file of drawn formulas: SQLite, one row a formula and size. It may be deleted at any time."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.render.formula import Mask, Sized

log = logging.getLogger(__name__)
DRAWING_VERSION = 1  # raise it when the same LaTeX comes out as other pixels
LARGEST_BYTES = 256 << 20
_TABLE = """
CREATE TABLE IF NOT EXISTS mask (key BLOB PRIMARY KEY, width INTEGER, height INTEGER, ascent REAL, trouble TEXT,
  alpha BLOB, day INTEGER) WITHOUT ROWID
"""


class MaskStore:
    """Masks on disk. A file that cannot be read is thrown away: it holds nothing that cannot be drawn again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def load(self, wanted: Iterable[Sized]) -> dict[Sized, Mask]:
        """Those of the wanted masks that the file holds."""
        keys = {_key(sized): sized for sized in wanted}
        found: dict[Sized, Mask] = {}
        names = list(keys)
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, width, height, ascent, trouble, alpha FROM mask WHERE key IN ({marks})"
            for key, width, height, ascent, trouble, alpha in self._run(query, some):
                found[keys[key]] = Mask(width, height, ascent, zlib.decompress(alpha), trouble)
        return found

    def save(self, masks: Mapping[Sized, Mask]) -> None:
        """Add drawn masks; a failure is logged and costs nothing but time later."""
        day = int(time.time() // 86_400)
        rows = [
            (_key(sized), mask.width, mask.height, mask.ascent, mask.trouble, zlib.compress(mask.alpha, 3), day)
            for sized, mask in masks.items()
        ]
        self._run("INSERT OR REPLACE INTO mask VALUES (?, ?, ?, ?, ?, ?, ?)", rows, many=True)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(self, query: str, values: Sequence[Any], *, many: bool = False) -> list[Any]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                if not many:
                    return self._connection.execute(query, values).fetchall()
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(query, values)
                self._connection.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                self._give_up(error)
        return []

    def _give_up(self, error: sqlite3.DatabaseError) -> None:
        log.warning("%s: the cache of formulas cannot be used (%s)", self._path, error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not isinstance(error, sqlite3.OperationalError):  # damaged, not just busy or read-only
            for name in (self._path.name, f"{self._path.name}-wal", f"{self._path.name}-shm"):
                self._path.with_name(name).unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=2, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(_TABLE)
        if self._path.stat().st_size > LARGEST_BYTES:
            connection.execute(
                "DELETE FROM mask WHERE day < (SELECT avg(day) FROM mask) OR day = (SELECT min(day) FROM mask)"
            )
            connection.execute("VACUUM")
        return connection


def _key(sized: Sized) -> bytes:
    text = f"{DRAWING_VERSION}|{sized.quarters}|{int(sized.formula.display)}|{sized.formula.latex}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
