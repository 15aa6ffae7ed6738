"""GSM8K, MATH-500, AIME and problems of one's own: an answer that is compared with the reference by two graders.

`strict` wants the answer in a form that names it and compares as the PRM800K grader; `lenient` compares by value and
takes GSM8K's last number for want of anything better (lm-evaluation-harness calls these strict and flexible). The
lenient grade counts, the strict one stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.contract.records import InputRow
from trainer.contract.specs.evaluate import Suite
from trainer.reasoning.answers import extract
from trainer.reasoning.grader import GradeForm, Grader, Pair
from trainer.reasoning.response import Response
from trainer.reasoning.votes import equal_by
from trainer.suites.values import Answered, Check, Graded

_INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."
_LOOSE = (Suite.GSM8K, Suite.AIME)  # their answers are numbers


class Mathematics:
    """Problems with a reference answer."""

    def __init__(self, suite: Suite, grader: Grader) -> None:
        self._loose, self._grader = suite in _LOOSE, grader
        self._equal = equal_by(grader)

    def ask(self, row: InputRow, taught: bool) -> str:
        """The problem; with the usual instruction for a policy that was not taught here."""
        return row.problem if taught else f"{row.problem.rstrip()}\n\n{_INSTRUCTION}"

    def equal(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool | None]:
        """By value."""
        return self._equal(pairs)

    def prefix(self, row: InputRow) -> str:
        """Nothing."""
        return ""

    def read(self, row: InputRow, response: Response) -> str | None:
        """The final answer, for want of one the last number where answers are numbers."""
        return extract(response.visible.of(response.text), loose=self._loose)

    def grade(self, answered: Sequence[Answered], check: Check) -> list[Graded]:
        """By both graders."""
        check()
        references = [one.row.reference or "" for one in answered]
        named = [Pair(one.response.answer, reference) for one, reference in zip(answered, references, strict=True)]
        any_form = [Pair(one.answer, reference) for one, reference in zip(answered, references, strict=True)]
        strict = self._grader.grade(named, form=GradeForm.STRICT)
        lenient = self._grader.grade(any_form, form=GradeForm.LENIENT)
        return [
            Graded(free.correct, bound.correct, free.correct, free.why)
            for bound, free in zip(strict, lenient, strict=True)
        ]
