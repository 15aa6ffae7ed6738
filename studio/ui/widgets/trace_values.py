"""What the map and the score strip show of a trace."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.contract.records import Rating

NO_RATING = 2  # in arrays of ratings


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """One scorer's step scores; `note` says why they do not count here (drawn hatched)."""

    name: str
    values: tuple[float | None, ...]
    version: str = ""
    note: str = ""

    @property
    def given(self) -> tuple[float, ...]:
        """The scores that there are."""
        return tuple(value for value in self.values if value is not None)

    @property
    def product(self) -> float | None:
        """Of all step scores: the solution score of PRM800K."""
        if not self.given:
            return None
        result = 1.0
        for value in self.given:
            result *= value
        return result

    @property
    def low(self) -> float | None:
        """The least step score."""
        return min(self.given, default=None)

    @property
    def last(self) -> float | None:
        """The last step's score."""
        return self.given[-1] if self.given else None


@dataclass(frozen=True, slots=True)
class StepSigns:
    """A step's place in the map: the rating that stands for it and the score, if there are any."""

    rating: Rating | None = None
    score: float | None = None
    disputed: bool = False  # people, or people and the PRM, disagree
