"""ARC-AGI: a grid that must be right in every cell; a problem counts as solved within two tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trainer.contract.generated import Settings
from trainer.contract.records import InputRow
from trainer.reasoning import grids
from trainer.reasoning.response import Response
from trainer.suites.values import Answered, AsText, Check, Graded

_INSTRUCTION = (
    "Each output follows from its input by one rule. Find the rule and apply it to the test input. "
    "End with the output grid alone: a line a row, cells apart by a space."
)


class Arc(AsText):
    """Tasks of grids; each test input is a problem of its own."""

    def ask(self, row: InputRow, taught: bool) -> str:
        """The examples and the test input as text; what is wanted is said before them."""
        return row.problem if taught else f"{_INSTRUCTION}\n\n{row.problem}"

    def read(self, row: InputRow, response: Response) -> str | None:
        """The last grid of what the user sees, written as the reference is."""
        found = grids.read_grid(response.visible.of(response.text))
        return None if found is None else grids.as_text(found)

    def grade(self, answered: Sequence[Answered], check: Check) -> list[Graded]:
        """Right in size and in every cell; which task the input is of, and how many that has, stands beside."""
        check()
        made = zip(answered, map(_graded, answered), strict=True)
        return [replace(graded, detail={**graded.detail, **_task(one.row)}) for one, graded in made]


def _task(row: InputRow) -> Settings:
    return {name: row.extra[name] for name in ("task", "inputs") if name in row.extra}


def _graded(one: Answered) -> Graded:
    wanted = grids.read_grid(one.row.reference or "")
    found = None if one.answer is None else grids.read_grid(one.answer)
    if wanted is None:
        return Graded(None, None, None, "no reference grid")
    if found is None:
        return Graded(False, False, False, "no grid")
    sizes = [(len(grid), len(grid[0])) for grid in (found, wanted)]
    if sizes[0] != sizes[1]:
        return Graded(False, False, False, f"{sizes[0][0]} x {sizes[0][1]} cells, not {sizes[1][0]} x {sizes[1][1]}")
    wrong = sum(a != b for mine, its in zip(found, wanted, strict=True) for a, b in zip(mine, its, strict=True))
    right = wrong == 0
    return Graded(right, right, right, "" if right else f"{wrong} cells differ", {"wrong_cells": wrong})
