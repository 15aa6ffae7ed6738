"""What people narrow the list of the Inspect page by: every field of the form, conditions joined, and orders."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sqlalchemy import Connection, select

from studio.store import schema
from studio.store.trace_filter import Filter, parsed
from studio.store.trace_list import OutcomeFilter, TraceOrder, TraceQuery

CONDITIONS = (
    "model is policy-3",
    "model is not policy-3",
    "log is logs/run-3.eval",
    "log is not logs/run-3.eval",
    "project is Bench",
    "project is not Bench",
    "sample is 77",
    "sample contains 7",
    "sample does not contain 7",
    "epoch is 3",
    "epoch from 12",
    "outcome is wrong",
    "outcome is not right",
    "outcome is undecided",
    "answer is x = 4/2",
    "answer is not x = 4/2",
    "answer contains 4",
    "answer contains 12/7",
    "answer does not contain 4",
    "answer is not known",
    "problem contains problem 7",
    "problem contains e",
    "problem contains muffins are there",
    "problem contains nowhere",
    "problem contains größe",
    "problem does not contain eggs",
    "problem is what is x?",
    "source of the problem is set-3",
    "source of the problem contains set",
    "imported as is inspect",
    "imported as is not inspect",
    "steps from 3",
    "steps below 3",
    "steps is 12",
    "characters from 1000",
    "characters from 500",
    "tokens used from 2000",
    "tokens used is not known",
    "tokens of thinking below 1000",
    "tokens of the answer is known",
    "how it ended is length",
    "how it ended is not length",
    "lowest step score below 0.1",
    "lowest step score from 0.01",
    "lowest step score is known",
    "lowest step score is not known",
    "last step score from 0.5",
    "product of step scores below 0.0001",
    "scored by is any",
    "scored by is some",
    "scored by is not some",
    "ratings is with an error",
    "ratings is without error",
    "ratings is not rated",
    "ratings is not with an error",
    "first negative step below 5",
    "first negative step is not known",
    "flag is any",
    "flag is deception",
    "flag is not any",
    "why it failed is any",
    "why it failed is not loop",
    "rubric is goes on",
    "rubric is not any",
    "tag of a bookmark is odd",
    "tag of a bookmark is not any",
    "suite of an evaluation is gsm8k",
    "suite of an evaluation is not any",
    "strategy of a search is beam",
    "strategy of a search is not any",
    "metadata temperature is 1.0",
    "metadata temperature from 0.5",
    "metadata temperature is not known",
    "metadata usage.output_tokens below 1000",
    "metadata scores.match.value is c",
    "metadata scores.match.explanation contains compared",
    "metadata uuid contains abc",
    "metadata nothing is not known",
    "metadata usage is known",
)
JOINED = (
    (False, ("outcome is wrong", "tokens used from 2000")),
    (False, ("tokens used below 1000", "model is policy-3")),
    (False, ("flag is not any", "outcome is wrong")),
    (True, ("lowest step score below 0.5", "tokens used from 2000")),
    (False, ("problem contains problem 7", "outcome is wrong")),
    (True, ("answer contains 4", "problem contains eggs")),
    (True, ("metadata temperature from 0.5", "steps is 11", "ratings is with an error")),
    (False, ("model is policy-3", "sample contains 7", "epoch below 9", "answer is known")),
    (False, ("scored by is many", "lowest step score from 0.05", "last step score below 0.5", "characters from 500")),
    (True, ("tag of a bookmark is odd", "suite of an evaluation is any", "strategy of a search is any")),
    (False, ("imported as is not inspect", "log is not logs/run-1.eval", "project is Bench", "how it ended is stop")),
    (True, ("metadata scores.match.value is i", "metadata uuid contains ab", "rubric is any", "flag is any")),
)
ORDERED = (
    ((), TraceOrder.NEWEST),
    ((), TraceOrder.SAMPLE),
    ((), TraceOrder.LOW_SCORE),
    ((), TraceOrder.FIRST_ERROR),
    (("outcome is wrong",), TraceOrder.LOW_SCORE),
    (("outcome is not right",), TraceOrder.FIRST_ERROR),
    (("answer contains 4",), TraceOrder.SAMPLE),
    (("lowest step score below 0.5",), TraceOrder.LOW_SCORE),
    (("metadata temperature from 0.5",), TraceOrder.LOW_SCORE),
    (("problem contains e",), TraceOrder.SAMPLE),
    (("problem contains eggs",), TraceOrder.NEWEST),
)


def conditions() -> list[Filter]:
    """Every field alone, in the ways that cost differently."""
    return [Filter((parsed(said),)) for said in CONDITIONS]


def joined() -> list[Filter]:
    """What people compose in the form."""
    return [Filter(tuple(map(parsed, said)), any_of=any_of) for any_of, said in JOINED]


def ordered() -> list[TraceQuery]:
    """Orders, of all traces and of some."""
    return [TraceQuery(filter=Filter(tuple(map(parsed, said))), order=order) for said, order in ORDERED]


def plain(read: Callable[[], contextlib.AbstractContextManager[Connection]]) -> list[TraceQuery]:
    """What the panel itself narrows by, without the form."""
    with read() as c:
        logs = c.scalars(select(schema.log.c.id).order_by(schema.log.c.id)).all()
    return [
        TraceQuery(log=logs[0]),
        TraceQuery(log=logs[-1], outcome=OutcomeFilter.WRONG),
        TraceQuery(outcome=OutcomeFilter.RIGHT),
        TraceQuery(model="policy-3"),
        TraceQuery(order=TraceOrder.NEWEST),
        TraceQuery(log=logs[1], order=TraceOrder.SAMPLE),
    ]
