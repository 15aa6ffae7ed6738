"""Which of several traces answers: answers grouped by mathematical equality, votes, and scores of steps as one.

Majority vote is self-consistency (Wang et al. 2023), the weighted vote that of Li et al. 2023; min, product and last
are the aggregations compared by Lightman et al. 2023 and Zhang et al. 2025. No answer never votes; ties go to the
first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.contract.forms import Aggregation, Pick
from trainer.reasoning.grader import GradeForm, Grader, Pair

Equal = Callable[[Sequence[tuple[str, str]]], Sequence[bool | None]]
"""Whether the answers of each pair are equal; None where that could not be decided."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finished trace: its answer, None without one, and its score, None where nothing scored it."""

    answer: str | None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Traces whose answers are equal: how the first writes it, their places in order, the sum of their scores."""

    answer: str
    members: tuple[int, ...]
    weight: float

    @property
    def count(self) -> int:
        """How many traces gave the answer."""
        return len(self.members)


@dataclass(frozen=True, slots=True)
class Picked:
    """The place of the trace that answers, -1 when none has an answer; the groups, best first by what decided."""

    chosen: int
    groups: tuple[Group, ...]


def aggregate(scores: Sequence[float | None], how: Aggregation) -> float | None:
    """One score of a trace from those of its steps; steps without a score are passed over, None without any."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    match how:
        case Aggregation.MIN:
            return min(known)
        case Aggregation.PRODUCT:
            return math.prod(known)
        case Aggregation.LAST:
            return known[-1]
        case Aggregation.MEAN:
            return math.fsum(known) / len(known)


def equal_by(grader: Grader, form: GradeForm = GradeForm.LENIENT) -> Equal:
    """Equality as the grader decides it, in either direction: it reads a prediction and a reference differently."""

    def equal(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        there = grader.grade([Pair(a, b) for a, b in pairs], form=form)
        back = grader.grade([Pair(b, a) for a, b in pairs], form=form)
        return [_either(one.correct, other.correct) for one, other in zip(there, back, strict=True)]

    return equal


def grouped(candidates: Sequence[Candidate], equal: Equal) -> tuple[Group, ...]:
    """Groups in the order of their first trace; an answer joins the first group whose first answer it equals.

    What could not be decided stands apart. Equal texts are asked for once, and all new texts of one round together.
    """
    texts = dict.fromkeys(answer for one in candidates if (answer := _said(one)) is not None)
    heads: list[str] = []
    head_of: dict[str, str] = {}
    waiting = list(texts)
    while waiting:
        head = waiting[0]
        heads.append(head)
        head_of[head] = head
        same = equal([(text, head) for text in waiting[1:]])
        joined = {text for text, is_same in zip(waiting[1:], same, strict=True) if is_same}
        head_of |= dict.fromkeys(joined, head)
        waiting = [text for text in waiting[1:] if text not in joined]
    members: dict[str, list[int]] = {head: [] for head in heads}
    for place, one in enumerate(candidates):
        if (answer := _said(one)) is not None:
            members[head_of[answer]].append(place)
    return tuple(
        Group(head, tuple(places), math.fsum(candidates[place].score or 0.0 for place in places))
        for head, places in members.items()
    )


def pick(candidates: Sequence[Candidate], how: Pick, equal: Equal) -> Picked:
    """The trace that answers.

    MAJORITY takes the first trace of the largest group, the others the best score in the group that wins. BEST takes
    the best score of all that have an answer; where nothing is scored, the first.
    """
    groups = grouped(candidates, equal)
    if not groups:
        return Picked(-1, ())
    best = {group: _best(candidates, group.members) for group in groups}
    worth = {
        Pick.MAJORITY: lambda group: (group.count, -group.members[0]),
        Pick.WEIGHTED: lambda group: (group.weight, -group.members[0]),
        Pick.BEST: lambda group: (_score(candidates[best[group]]), -best[group]),
        Pick.BEST_OF_MAJORITY: lambda group: (group.count, -group.members[0]),
    }[how]
    ordered = tuple(sorted(groups, key=worth, reverse=True))
    first = ordered[0]
    return Picked(first.members[0] if how is Pick.MAJORITY else best[first], ordered)


def _said(one: Candidate) -> str | None:
    answer = (one.answer or "").strip()
    return answer or None


def _score(one: Candidate) -> float:
    return -math.inf if one.score is None else one.score


def _best(candidates: Sequence[Candidate], places: Sequence[int]) -> int:
    """The place of the best score; of equal ones the first."""
    return max(places, key=lambda place: (_score(candidates[place]), -place))


def _either(one: bool | None, other: bool | None) -> bool | None:
    if one or other:
        return True
    return None if one is None or other is None else False
