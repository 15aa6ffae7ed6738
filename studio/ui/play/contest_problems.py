"""Where the problems of a comparison come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import Connection

from studio.jobs.shipped import Example
from studio.ui.play.contest_store import stored_problems
from trainer.contract.records import Split
from trainer.reasoning.tries import TRY_COUNT, TRY_SEED, make_tries, try_row


@dataclass(frozen=True, slots=True)
class Source:
    """A choice of problems: what it is called, and what finds so many of them."""

    name: str
    find: Callable[[Connection, int], tuple[Example, ...]]


def sources(of_page: tuple[Example, ...]) -> tuple[Source, ...]:
    """What can be compared on; `of_page` are the examples and recent problems with a reference answer."""
    return (
        Source("Like the examples, never taught to the tiny policy", lambda _c, most: unseen(most)),
        Source("Of this workspace, with a reference answer", stored_problems),
        Source("Examples and recent problems of the page Play", lambda _c, most: of_page[:most]),
    )


def unseen(count: int) -> tuple[Example, ...]:
    """Problems of the kind that the shipped policy knows, of those it was not taught."""
    tried = make_tries(TRY_COUNT, seed=TRY_SEED, keeps_checking=True, any_order=True)
    rows = (try_row(each, number) for number, each in enumerate(tried))
    test = islice((row for row in rows if row.split is Split.TEST), count)
    return tuple(Example(row.problem, row.reference or "") for row in test)
