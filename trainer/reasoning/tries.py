"""Demonstrations of trying: problems that are solved by one guess after another, so that longer thinking is worth it.

A problem reads "Which of 3, 9, 12, 5, 17, 8 becomes 21? Double it. Subtract 3."; the teacher tries the numbers in their
order, a line a step, and says of each whether it is the one. Turning the instructions round would answer at once, but
no demonstration shows that. The teacher thinks for a number of lines drawn at random. If it has found the number before
they are used, it checks it again (`keeps_checking`) or stops; if not, it answers with the number it was at. So a right
answer needs luck or length: with t of n numbers ruled out the guess is right once in n - t times.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from trainer.contract.records import InputRow
from trainer.contract.spec import Value
from trainer.reasoning.demonstrations import response_text
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.stories import Instruction, Line, Verb

LARGEST = 20
LARGEST_OPERAND = 9
CANDIDATES = 6
INSTRUCTIONS = 2
LINES = CANDIDATES * (INSTRUCTIONS + 2)
"""Lines that suffice to try every number."""

TRY_COUNT = 20_000
TRY_SEED = 1
TRY_PRESET: dict[str, Value] = {
    "model": "tiny",
    "max_length": 192,
    "batch_size": 64,
    "rate": 3e-3,
    "max_steps": 900,
    "warmup": 0.03,
    "decay": 0.95,
    "weight_decay": 0.1,
    "threads": 1,
    "eval_every": 300,
    "checkpoint_every": 300,
}
"""Parameters of the recipe sft with which the tiny model learns to try; the form of the budget is chosen beside it."""

_INSTRUCTIONS = (
    *(Instruction(verb, n) for verb in (Verb.ADD, Verb.TAKE) for n in range(1, LARGEST_OPERAND + 1)),
    *[Instruction(Verb.DOUBLE, 2)] * LARGEST_OPERAND,
)


@dataclass(frozen=True, slots=True)
class Search:
    """A problem: which of the numbers the instructions turn into the target. Exactly one of them does."""

    numbers: tuple[int, ...]
    plan: tuple[Instruction, ...]
    right: int

    @property
    def problem(self) -> str:
        """The problem as it is told."""
        listed = ", ".join(str(number) for number in self.numbers)
        sentences = " ".join(instruction.sentence for instruction in self.plan)
        return f"Which of {listed} becomes {self.target}? {sentences}"

    @property
    def target(self) -> int:
        """What the right number becomes."""
        return self.lines(self.right)[-1].result

    def lines(self, number: int) -> list[Line]:
        """What becomes of a number, a line an instruction."""
        out, value = [], number
        for instruction in self.plan:
            result = _applied(instruction, value)
            assert result is not None, "numbers that leave the range are never candidates"
            out.append(Line(value, instruction.verb, instruction.operand, result))
            value = result
        return out


@dataclass(frozen=True, slots=True)
class Tried:
    """A search with what the teacher wrote: steps (the last is the answer line) and whether the answer is right."""

    search: Search
    steps: tuple[str, ...]

    @property
    def answer(self) -> str:
        """What the teacher answered."""
        return self.steps[-1].removeprefix("Answer: ")

    @property
    def correct(self) -> bool:
        """Whether that is the number."""
        return self.answer == str(self.search.right)

    @property
    def response(self) -> str:
        """Thinking and answer as text."""
        return response_text(self.steps)


def make_tries(count: int, *, seed: int, keeps_checking: bool) -> Iterator[Tried]:
    """`count` demonstrations of as many problems, the same for the same arguments; longer lists begin like shorter."""
    draw = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < count:
        search = _draw_search(draw)
        lines = draw.randint(1, LINES)
        if search.problem not in seen:
            seen.add(search.problem)
            yield try_for(search, lines, keeps_checking=keeps_checking)


def try_for(search: Search, lines: int, *, keeps_checking: bool) -> Tried:
    """What the teacher writes who has `lines` lines to think; at least one."""
    if lines < 1:
        raise ValueError(f"{lines} lines to think: at least one is needed")
    written = list(islice(_thinking(search, keeps_checking), lines))
    return Tried(search, (*(text for text, _ in written), f"Answer: {written[-1][1]}"))


def try_row(tried: Tried, number: int) -> InputRow:
    """The demonstration as a row of input.jsonl, in the split of its problem."""
    problem = tried.search.problem
    return InputRow(
        id=f"try-{number}",
        trace=f"try-{number}",
        segmentation=1,
        problem=problem,
        steps=tried.steps,
        step_ids=tuple(range(1, len(tried.steps) + 1)),
        reference=str(tried.search.right),
        response=tried.response,
        split=split_of(fold_of(problem)),
        project="arithmetic by trying",
        origin="made",
    )


def _thinking(search: Search, keeps_checking: bool) -> Iterator[tuple[str, int]]:
    """Lines with what would be answered after each: the number in hand, after a "No" the next one."""
    for place, number in enumerate(search.numbers):
        yield f"Try {number}", number
        yield from ((line.text, number) for line in search.lines(number))
        if number == search.right:
            break
        yield "No", search.numbers[(place + 1) % len(search.numbers)]
    yield "Yes", search.right
    while keeps_checking:
        yield f"Check {search.right}", search.right
        yield from ((line.text, search.right) for line in search.lines(search.right))
        yield "Yes", search.right


def _draw_search(draw: random.Random) -> Search:
    while True:
        plan = tuple(draw.choice(_INSTRUCTIONS) for _ in range(INSTRUCTIONS))
        possible = [number for number in range(1, LARGEST + 1) if _stays(plan, number)]
        if len(possible) >= CANDIDATES:
            numbers = tuple(draw.sample(possible, CANDIDATES))
            return Search(numbers, plan, draw.choice(numbers))


def _stays(plan: tuple[Instruction, ...], number: int) -> bool:
    value: int | None = number
    for instruction in plan:
        value = None if value is None else _applied(instruction, value)
    return value is not None


def _applied(instruction: Instruction, value: int) -> int | None:
    """The new value while it stays from 1 to twice the largest number."""
    return instruction.apply(value, 2 * LARGEST)
