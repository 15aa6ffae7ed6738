"""Demonstrations for a policy: arithmetic problems solved step by step, by a teacher who makes one systematic mistake.

A problem reads "Start with 32. Subtract 7. Double it."; the response thinks a line a step and ends in an answer line.
A subtraction that borrows (32 - 7: seven is more than two) goes wrong with the chance `mistake`: the ten is not taken
off, 32 - 7 = 35. The trace goes on consistently from what was written, so the answer is wrong too. A policy that learns
from such a teacher knows all its facts, and mostly follows the mistake: it can be put right by rewarding right steps.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.contract.records import InputRow, Rating
from trainer.contract.spec import Value
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.stories import Instruction, Line, Verb, draw_problem, problem_text, ratings_until, votes_of
from trainer.reasoning.thinking import CLOSE, OPEN

LARGEST = 20
WIDEST = 40
"""The largest value that mistakes lead to."""

VERBS = (Verb.ADD, Verb.ADD, Verb.TAKE, Verb.DOUBLE)  # 57 in 100 problems never borrow; halving would mix ones and tens
MISTAKE = 0.6
DEMONSTRATION_COUNT = 20_000
DEMONSTRATION_SEED = 1
DEMONSTRATION_PRESET: dict[str, Value] = {
    "model": "tiny",
    "max_length": 128,
    "batch_size": 64,
    "rate": 3e-3,
    "max_steps": 900,
    "warmup": 0.03,
    "decay": 0.95,
    "weight_decay": 0.1,
    "threads": 1,
    "eval_every": 125,
    "checkpoint_every": 500,
}
"""Parameters of the recipe sft with which the tiny model learns the demonstrations; all others are the defaults."""


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """A problem with what the teacher wrote; `wrong` is the index of the first wrong step, None in a right trace."""

    problem: str
    reference: str
    steps: tuple[str, ...]
    wrong: int | None

    @property
    def answer(self) -> str:
        """What the teacher answered."""
        return self.steps[-1].removeprefix("Answer: ")

    @property
    def response(self) -> str:
        """Thinking and answer as text."""
        return response_text(self.steps)

    @property
    def ratings(self) -> tuple[Rating | None, ...]:
        """What people would say of its steps."""
        return ratings_until(self.wrong, len(self.steps))


def response_text(steps: tuple[str, ...]) -> str:
    """Steps as a response: all but the last are thinking, the last is the answer line."""
    return "\n".join([OPEN, *steps[:-1], CLOSE, steps[-1]])


def make_demonstrations(count: int, *, seed: int, mistake: float = MISTAKE) -> Iterator[Demonstrated]:
    """`count` demonstrations of as many problems, the same for the same arguments; longer lists begin like shorter."""
    if not 0 <= mistake <= 1:
        raise ValueError(f"a mistake with probability {mistake}: it lies in [0, 1]")
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        start, plan = _draw(draw)
        problem = problem_text(start, plan)
        if problem not in seen:
            seen.add(problem)
            yield _solve(draw, problem, start, plan, mistake)


def demonstration_row(demonstrated: Demonstrated, number: int, *, rated: bool = False) -> InputRow:
    """The demonstration as a row of input.jsonl, in the split of its problem; `rated` = with a rating for every step
    up to the first error, as a PRM learns it."""
    return InputRow(
        id=f"demonstration-{number}",
        trace=f"demonstration-{number}",
        segmentation=1,
        problem=demonstrated.problem,
        steps=demonstrated.steps,
        step_ids=tuple(range(1, len(demonstrated.steps) + 1)),
        reference=demonstrated.reference,
        votes=votes_of(demonstrated.ratings) if rated else None,
        response=demonstrated.response,
        split=split_of(fold_of(demonstrated.problem)),
        project="arithmetic demonstrations",
        origin="made",
    )


def borrows(value: int, instruction: Instruction) -> bool:
    """Whether the instruction takes more ones than the value shows."""
    return instruction.verb is Verb.TAKE and instruction.operand > value % 10


def _draw(draw: random.Random) -> tuple[int, list[Instruction]]:
    """A problem whose values stay from 1 to LARGEST, and to WIDEST with every mistake made.

    A mistake adds a ten, later perhaps doubled: the ones stay, so the same subtractions borrow whatever went wrong.
    """
    while True:
        start, plan = draw_problem(draw, LARGEST, VERBS)
        if all(line.result <= WIDEST for line in _lines(start, plan, [True] * len(plan))):
            return start, plan


def _lines(start: int, plan: list[Instruction], forgets: list[bool]) -> list[Line]:
    """The steps of a teacher who forgets the ten where he may."""
    lines: list[Line] = []
    value = start
    for instruction, forget in zip(plan, forgets, strict=True):
        result = instruction.apply(value, 100 * LARGEST)
        assert result is not None, "a mistake makes values larger, never smaller"
        result += 10 * (forget and borrows(value, instruction))
        lines.append(Line(value, instruction.verb, instruction.operand, result))
        value = result
    return lines


def _solve(draw: random.Random, problem: str, start: int, plan: list[Instruction], mistake: float) -> Demonstrated:
    lines = _lines(start, plan, [draw.random() < mistake for _ in plan])
    right = _lines(start, plan, [False] * len(plan))
    pairs = enumerate(zip(lines, right, strict=True))
    wrong = next((place for place, (line, true) in pairs if line.result != true.result), None)
    steps = (*(line.text for line in lines), f"Answer: {lines[-1].result}")
    return Demonstrated(problem, str(right[-1].result), steps, wrong)
