"""Many jobs of one kind for the helper processes, their results in the order of the jobs, a few ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from studio.helpers.pool import HelperPool

AHEAD = 6  # jobs that wait or are worked on: bounds the memory


def in_order(pool: HelperPool, target: str, arguments: Iterable[object]) -> Iterator[Any]:
    """The results of `target` for each argument, in order. Raises what a job raised; what is left is cancelled then."""
    waiting: deque[tuple[Future[object], Callable[[], None]]] = deque()
    try:
        for argument in arguments:
            waiting.append(_asked(pool, target, argument))
            if len(waiting) >= AHEAD:
                yield _taken(waiting)
        while waiting:
            yield _taken(waiting)
    finally:
        for _, cancel in waiting:
            cancel()


def _asked(pool: HelperPool, target: str, argument: object) -> tuple[Future[object], Callable[[], None]]:
    future: Future[object] = Future()
    return future, pool.submit(target, argument, future.set_result, urgent=False)


def _taken(waiting: deque[tuple[Future[object], Callable[[], None]]]) -> object:
    future, _ = waiting[0]
    result = future.result()
    waiting.popleft()
    if isinstance(result, BaseException):
        raise result
    return result
