"""Traces of the store, read off the GUI thread; the last few are kept, so that going back to one takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from PySide6.QtCore import QObject
from sqlalchemy import Connection

from studio.store import token_values
from studio.ui.context import Context
from studio.ui.inspect.held import HeldTraces
from studio.ui.inspect.opened import Opened, read_trace

Alternatives = tuple[tuple[str, float], ...]


class TraceReader(QObject):
    """Reads traces as the present annotator sees them. `held` are the kept ones: whoever hears news drops them."""

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.held = HeldTraces()

    def read(self, trace_id: int, done: Callable[[Opened], None], failed: Callable[[Exception], None]) -> None:
        """Give a trace to `done`: at once where it is kept."""
        kept = self.held.get(trace_id)
        if kept is not None:
            done(kept)
            return
        self._context.background.read(self, self._work(trace_id), partial(self._on_read, done), failed)

    def read_ahead(self, trace_ids: Iterable[int], done: Callable[[Opened], None]) -> None:
        """Keep these, and give those that were not kept yet to `done`; one that cannot be read is left for later."""
        for trace_id in trace_ids:
            if trace_id not in self.held:
                work, told = self._work(trace_id), partial(self._on_read, done)
                self._context.background.read(self, work, told, lambda _error: None)

    def read_alternatives(self, trace_id: int, token: int, done: Callable[[Alternatives], None]) -> None:
        """Give what else could have stood in a token's place to `done`."""
        self._context.background.read(self, partial(_alternatives, trace_id, token), done)

    def _work(self, trace_id: int) -> Callable[[Connection], Opened]:
        return partial(_read, trace_id, self._context.annotator.id)

    def _on_read(self, done: Callable[[Opened], None], opened: Opened) -> None:
        self.held.put(opened)
        done(opened)


def _read(trace_id: int, annotator_id: int, c: Connection) -> Opened:
    return read_trace(c, trace_id, annotator_id)


def _alternatives(trace_id: int, token: int, c: Connection) -> Alternatives:
    found = token_values.read(c, trace_id, token, token + 1)
    return () if found is None or not found.alternatives else found.alternatives[0]
