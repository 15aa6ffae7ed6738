"""The rows of the map of a whole trace: its steps, and between them the blocks that have none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.ui.inspect.opened import Opened
from studio.ui.inspect.transcript_painter import RULES, block_words
from studio.ui.widgets.trace_map import MapRows
from studio.ui.widgets.trace_values import NO_RATING
from trainer.contract.records import BlockKind


def map_rows(opened: Opened) -> MapRows:
    """Steps and blocks without steps, in the order of the text."""
    shape, marks = opened.structure, opened.marks
    blocks = _without_steps(opened)
    at = np.concatenate([shape.step_starts, shape.block_starts[blocks]])
    order = np.argsort(at, kind="stable")
    step = np.concatenate([np.arange(shape.steps), np.full(len(blocks), -1)])[order].astype(np.int64)
    of_step = step >= 0

    def spread(values: NDArray[np.generic], empty: object) -> NDArray[np.generic]:
        out = np.full(len(step), empty, values.dtype)
        out[of_step] = values[step[of_step]]
        return out

    rules = [""] * shape.steps
    if any(place.kind is not BlockKind.ANSWER for place in shape.blocks):
        for place in shape.blocks:
            rules[place.steps.start : place.steps.stop] = [RULES[place.kind]] * len(place.steps)
    both = [*rules, *(RULES[shape.blocks[block].kind] for block in blocks)]
    places = order.tolist()
    names = {
        row: block_words(opened, shape.blocks[blocks[place - shape.steps]])
        for row, place in enumerate(places)
        if place >= shape.steps
    }
    return MapRows(
        step,
        spread(marks.standing, NO_RATING).astype(np.int8),
        spread(marks.score, np.nan).astype(np.float32),
        spread(marks.disputed, False).astype(np.bool_),
        spread(marks.flagged, False).astype(np.bool_),
        tuple(both[place] for place in places),
        names,
        spread(marks.bookmarked, False).astype(np.bool_),
    )


def block_of_row(opened: Opened, row: int) -> int:
    """The block that a row without a step stands for."""
    blocks = _without_steps(opened)
    at = np.concatenate([opened.structure.step_starts, opened.structure.block_starts[blocks]])
    place = int(np.argsort(at, kind="stable")[row]) - opened.structure.steps
    return blocks[place]


def _without_steps(opened: Opened) -> list[int]:
    return [place.number for place in opened.structure.blocks if not len(place.steps) and place.end > place.start]
