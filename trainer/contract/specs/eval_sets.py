"""Named held-out sets of a run, written as a setting: "easy: difficulty=..2; hard: difficulty=3..; exam: split=test".

A set holds the held-out rows that meet all of its conditions. `project=NAME` and `origin=NAME` compare with the row's,
`split=validation` (the default) or `split=test` says which part of the problems, and `difficulty=LOW..HIGH`, either end
left open, counts the steps of the row's trace: how much work its problem is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainer.contract.records import InputRow, Split
from trainer.contract.specs.setting import SpecError

EXAMPLE = "easy: difficulty=..2; hard: difficulty=3.."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]*")
_RANGE = re.compile(r"(\d*)\.\.(\d*)|(\d+)")


@dataclass(frozen=True, slots=True)
class EvalSet:
    """One set; empty texts mean no condition, `low` and `high` are steps, both ends included (None = open)."""

    name: str
    project: str = ""
    origin: str = ""
    split: Split = Split.VALIDATION
    low: int | None = None
    high: int | None = None

    def holds(self, row: InputRow) -> bool:
        """Whether a row belongs to it."""
        steps = len(row.steps)
        return (
            row.split is self.split
            and self.project in ("", row.project)
            and self.origin in ("", row.origin)
            and (self.low is None or steps >= self.low)
            and (self.high is None or steps <= self.high)
        )


def parse(text: str) -> tuple[EvalSet, ...]:
    """The sets of a setting, in its order; none for empty text. Raises SpecError with what is wrong and an example."""
    found: dict[str, EvalSet] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, conditions = (piece.strip() for piece in part.partition(":"))
        if not colon or not _NAME.fullmatch(name):
            raise SpecError(f"eval_sets: {part!r} does not begin with a name and a colon; for example: {EXAMPLE}")
        if name in found:
            raise SpecError(f"eval_sets: two sets are called {name!r}; give each a name of its own")
        found[name] = _set(name, conditions)
    return tuple(found.values())


def check_best(sets: tuple[EvalSet, ...], best_by: str) -> None:
    """Raises SpecError when the set by which the best weights are chosen is none of these."""
    names = [each.name for each in sets]
    if best_by and best_by not in names:
        raise SpecError(f"best_by = {best_by!r} is none of the sets: {', '.join(names) or 'eval_sets names none'}")


def _set(name: str, conditions: str) -> EvalSet:
    values: dict[str, str] = {}
    for condition in filter(None, (condition.strip() for condition in conditions.split(","))):
        key, equals, value = (piece.strip() for piece in condition.partition("="))
        if not equals or not value or key not in ("project", "origin", "split", "difficulty") or key in values:
            raise SpecError(
                f"eval_sets, {name}: {condition!r} is not one of project=, origin=, split=, difficulty=, each at most "
                f"once; for example: {EXAMPLE}"
            )
        values[key] = value
    split = values.get("split", Split.VALIDATION.value)
    if split not in (Split.VALIDATION.value, Split.TEST.value):
        raise SpecError(f"eval_sets, {name}: split={split} is not held out; write validation or test")
    low, high = _range(name, values.get("difficulty", ".."))
    return EvalSet(name, values.get("project", ""), values.get("origin", ""), Split(split), low, high)


def _range(name: str, text: str) -> tuple[int | None, int | None]:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise SpecError(f"eval_sets, {name}: difficulty={text} is no range of steps; write 3.., ..2, 3..5 or 4")
    low, high, only = found.groups()
    if only:
        return int(only), int(only)
    ends = int(low) if low else None, int(high) if high else None
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        raise SpecError(f"eval_sets, {name}: difficulty={text} holds nothing; write the smaller number first")
    return ends
