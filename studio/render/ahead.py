"""Drawing formulas into a workspace's cache before a window asks for them. Knows nothing of Qt."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from studio.render.formula import LONGEST, PIECE, Helpers, Mask, Sized, order_of
from studio.render.mask_store import MaskStore

log = logging.getLogger(__name__)
AT_MOST_S = 15.0
LOOK_S = 0.05


def draw_ahead(
    helpers: Helpers,
    wanted: Iterable[Sized],
    cache: Path,
    *,
    progress: Callable[[int, int], None],
    stop: Callable[[], bool],
    at_most: float = AT_MOST_S,
) -> int:
    """Draw what the cache file lacks; returns how many were drawn.

    Ends early when `stop` says so or after `at_most` seconds. `progress` gets how many are drawn, of how many. What a
    helper cannot draw, and a helper that dies, is logged and left to the window.
    """
    store = MaskStore(cache)
    try:
        some = [sized for sized in dict.fromkeys(wanted) if len(sized.formula.latex) <= LONGEST]
        there = store.load(some)
        missing = [sized for sized in some if sized not in there]
        if not missing or stop():
            return 0
        until = time.monotonic() + at_most
        return _draw(helpers, missing, store, progress, lambda: stop() or time.monotonic() > until)
    finally:
        store.close()


def _draw(
    helpers: Helpers,
    missing: list[Sized],
    store: MaskStore,
    progress: Callable[[int, int], None],
    ended: Callable[[], bool],
) -> int:
    results: queue.SimpleQueue[tuple[list[Sized], object]] = queue.SimpleQueue()
    pieces = [missing[start : start + PIECE] for start in range(0, len(missing), PIECE)]
    for part in pieces:
        helpers.submit("studio.render.maths_worker:draw", order_of(part), partial(_put, results, part))
    answered, drawn = 0, 0
    progress(0, len(missing))
    while answered < len(pieces) and not ended():
        try:
            part, result = results.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        answered += 1
        if isinstance(result, list):
            store.save({sized: Mask(*values) for sized, values in zip(part, result, strict=True)})
            drawn += len(part)
            progress(drawn, len(missing))
        else:
            log.warning("a helper could not draw %s: %s", [s.formula.latex[:40] for s in part], result)
    return drawn


def _put(results: queue.SimpleQueue[tuple[list[Sized], object]], part: list[Sized], result: object) -> None:
    results.put((part, result))
