"""Traces that are kept ready to be shown again, within bounds of number and text."""

from __future__ import annotations

from collections import OrderedDict

from studio.ui.inspect.opened import Opened

HELD = 24  # traces
HELD_TEXT = 8_000_000  # code points of them together


class HeldTraces:
    """By id; the ones looked at longest ago go first, the newest stays however long it is."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Opened] = OrderedDict()

    def __contains__(self, trace_id: int) -> bool:
        return trace_id in self._held

    def get(self, trace_id: int) -> Opened | None:
        """A kept trace."""
        found = self._held.get(trace_id)
        if found is not None:
            self._held.move_to_end(trace_id)
        return found

    def put(self, opened: Opened) -> None:
        """Keep a trace."""
        self._held[opened.trace.id] = opened
        self._held.move_to_end(opened.trace.id)
        while len(self._held) > 1 and (len(self._held) > HELD or self._length() > HELD_TEXT):
            self._held.popitem(last=False)

    def drop(self, trace_id: int) -> None:
        """Forget one."""
        self._held.pop(trace_id, None)

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()

    def _length(self) -> int:
        return sum(len(each.trace.text) for each in self._held.values())
