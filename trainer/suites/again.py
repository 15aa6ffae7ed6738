"""Never again: a policy goes on from a prefix that once led astray; the answer must be right, or the words absent."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.contract.records import InputRow
from trainer.contract.specs.evaluate import Must, Suite
from trainer.reasoning.grader import Grader
from trainer.reasoning.response import Response
from trainer.suites.mathematics import Mathematics
from trainer.suites.values import Answered, Check, Graded


class Again:
    """Regression tests of the workspace."""

    def __init__(self, grader: Grader) -> None:
        self._maths = Mathematics(Suite.REGRESSIONS, grader)

    def ask(self, row: InputRow, taught: bool) -> str:
        """The problem as it was asked when it failed: without instructions."""
        return row.problem

    def equal(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool | None]:
        """By value."""
        return self._maths.equal(pairs)

    def prefix(self, row: InputRow) -> str:
        """What stood before the words that failed."""
        return str(row.extra["prefix"])

    def read(self, row: InputRow, response: Response) -> str | None:
        """The final answer."""
        return self._maths.read(row, response)

    def grade(self, answered: Sequence[Answered], check: Check) -> list[Graded]:
        """By what must hold; where the words must stay away, whatever the answer."""
        by_answer = self._maths.grade(answered, check)
        return [_graded(one, grade) for one, grade in zip(answered, by_answer, strict=True)]


def _graded(one: Answered, grade: Graded) -> Graded:
    if one.row.extra["must"] == Must.ANSWER:
        return grade
    prefix, span = str(one.row.extra["prefix"]), str(one.row.extra["span"])
    before, found, after = one.response.text.partition(prefix)
    came_back = comes_back(after if found else before, span)
    why = f"{' '.join(span.split())[:60]!r} came back" if came_back else ""
    return Graded(not came_back, not came_back, not came_back, why, {"came_back": came_back})


def comes_back(text: str, span: str) -> bool:
    """Whether the words of a span stand in a text again, however they are spaced and cased."""
    return f" {_words(span)} " in f" {_words(text)} "


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
