"""What a suite is to the recipe that runs it: how a problem is asked, what is read of a response, what counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainer.contract.generated import Settings
from trainer.contract.records import InputRow
from trainer.reasoning.response import Response

Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """A response to a row, and the answer that was read of it."""

    row: InputRow
    response: Response
    answer: str | None


@dataclass(frozen=True, slots=True)
class Graded:
    """`correct` is what the suite counts; None = could not be decided. `why` is for people."""

    correct: bool | None
    strict: bool | None
    lenient: bool | None
    why: str = ""
    detail: Settings = field(default_factory=dict)


class Kind(Protocol):
    """A suite in which a policy answers."""

    def ask(self, row: InputRow, taught: bool) -> str:
        """The problem as it is put; `taught` policies have learned how to answer and get no instructions."""

    def prefix(self, row: InputRow) -> str:
        """What already stands of the response; empty but for regression tests."""

    def read(self, row: InputRow, response: Response) -> str | None:
        """The answer; None when there is none."""

    def equal(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool | None]:
        """Whether the answers of each pair are the same, for votes; None = could not be decided."""

    def grade(self, answered: Sequence[Answered], check: Check) -> list[Graded]:
        """A grade each, in order. `check` may raise."""


class AsText:
    """Answers that are the same when their texts are."""

    def equal(self, pairs: Sequence[tuple[str, str]]) -> Sequence[bool | None]:
        """Character by character."""
        return [one == other for one, other in pairs]

    def prefix(self, row: InputRow) -> str:
        """Nothing."""
        return ""
